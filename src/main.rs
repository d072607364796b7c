//! `gameside`: see `gameside help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    gameside::cli::main(std::env::args_os())
}
