//! `gameside completion SHELL`: prints a script with which the shell completes commands.

use super::{Cli, exit::Exit};
use clap::CommandFactory as _;

/// Print a completion script for a shell.
///
/// Put it where your shell looks, e.g. `gameside completion bash > ~/.local/share/bash-completion/completions/gameside`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    shell: clap_complete::Shell,
}

pub(crate) fn run(args: &Args) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "gameside", &mut script);
    say_part!("{}", String::from_utf8_lossy(&script));
    Exit::Done
}
