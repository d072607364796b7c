//! `gameside`: see `gameside help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    gameside::programs::gameside(std::env::args_os())
}
