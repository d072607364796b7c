//! The session service's file. Its types are the service's own (`service::settings`); they are read
//! like the agent's.

use super::{
    provenance::Provenance,
    read::{Fault, read},
    report::Report,
};
use crate::model::section::File;
use std::path::Path;

/// Variables of the environment that override this file start so: `GAMESIDE_SESSIONS__TIMINGS__SESSION_TTL=1m`.
pub(crate) const PREFIX: &str = "GAMESIDE_SESSIONS__";

/// Reads the file (none: defaults alone), puts the environment's overrides over it, and reports all faults at once.
/// `faults`: what is wrong beyond the types, as (key, what is expected).
pub(crate) fn load<T: File>(
    path: Option<&Path>,
    env: impl IntoIterator<Item = (String, String)>,
    faults: impl FnOnce(&T) -> Vec<(String, String)>,
) -> Result<(T, Provenance), Report> {
    let variables: Vec<_> = env.into_iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    let mut reading = read::<T>(path, PREFIX, &variables)?;
    for (key, expected) in faults(&reading.value) {
        reading.add(Fault::new(key, expected));
    }
    reading.finish()
}
