//! `gameside keeper` and `gameside gateway`: handed on before clap sees them, so that nothing else
//! of ours runs in those processes. This only makes them appear in the help.

use super::exit::Exit;
use std::ffi::OsString;

#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// Of the keeper, as `gameside-keeper --help` says; the gateway has none.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

/// Only reached when another option stands before the word.
pub(crate) fn unreachable_by_clap(role: &str, args: &Args) -> Exit {
    let count = args.args.len();
    complain!("gameside: write `{role}` first, its {count} options after it: `gameside {role} …`");
    Exit::Usage
}
