//! Why a command did not do what it was asked, and the exit code that says so.

use super::exit::Exit;
use std::fmt;

/// An error with its exit code. The message says what was being done, to what, and what to do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub exit: Exit,
    pub error: anyhow::Error,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Failure { exit, error: anyhow::anyhow!("{message}") }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure { exit: Exit::Failed, error: error.into() }
    }
}

impl fmt::Display for Failure {
    /// The whole chain in one line; texts that already tell their cause aren't told twice.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told = String::new();
        for cause in self.error.chain() {
            let cause = cause.to_string();
            if !told.contains(&cause) {
                if !told.is_empty() {
                    f.write_str(": ")?;
                }
                f.write_str(&cause)?;
                told.push_str(&cause);
            }
        }
        Ok(())
    }
}

/// Gives an error the exit code that it deserves.
pub(crate) trait OrExit<T> {
    fn or_exit(self, exit: Exit) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> OrExit<T> for Result<T, E> {
    fn or_exit(self, exit: Exit) -> Result<T, Failure> {
        self.map_err(|error| Failure { exit, error: error.into() })
    }
}
