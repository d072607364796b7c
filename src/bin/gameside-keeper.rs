//! The keeper as a small binary of its own; `gameside keeper` is the same code.

fn main() -> std::process::ExitCode {
    gameside::programs::keeper(std::env::args_os().skip(1).collect())
}
