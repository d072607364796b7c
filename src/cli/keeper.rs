//! `gameside keeper`: handed to `keeper::main` before clap sees it, so that nothing of ours runs in
//! that process. This only makes it appear in the help.

use super::exit::Exit;
use std::ffi::OsString;

#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// As `gameside-keeper --help` says.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

/// Only reached when another option stands before the word `keeper`.
pub(crate) fn unreachable_by_clap(args: &Args) -> Exit {
    let count = args.args.len();
    eprintln!("gameside: write `keeper` first, its {count} options after it: `gameside keeper --dir DIR …`");
    Exit::Usage
}
