//! Loading a configuration for a command: faults go to stderr, in the form that suits whoever reads
//! there.

use super::{error::Failure, exit::Exit};
use crate::{
    agent::{
        config::{Loaded, Overrides},
        validate,
    },
    config::report::{Report, Style},
};
use std::{io::IsTerminal as _, path::Path};

/// The agent's configuration with every check there is.
pub(crate) fn agent(path: Option<&Path>, overrides: Overrides) -> Result<Loaded, Failure> {
    validate::load(path, validate::environment(), overrides).map_err(|report| refuse(&report))
}

/// Prints all faults and says how many there are.
pub(crate) fn refuse(report: &Report) -> Failure {
    let terminal = std::io::stderr().is_terminal();
    let plain = !terminal || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    complain!("{}", report.render(if plain { Style::Plain } else { Style::Fancy }).trim_end());
    let count = report.problems.len();
    let faults = if count == 1 { "a fault".to_owned() } else { format!("{count} faults") };
    Failure::new(Exit::Usage, format!("the configuration has {faults}; nothing was done"))
}
