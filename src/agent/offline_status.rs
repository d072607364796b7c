//! What can be said of an agent that is down: what its journal and its keeper know.

use super::{journal, record::AgentRecord};
use crate::{
    core::offline::{self, KeeperFound},
    host::paths::AgentPlace,
    keeper::{self, Presence, probe},
    model::{ids::KeeperId, process::RunState, status::Status, time::Now},
};

/// The status of a dead agent. Nothing is taken over and nothing changed.
pub(crate) fn status(name: &str, place: &AgentPlace, now: Now) -> Status {
    let saved = journal::peek(&place.journal()).ok().flatten();
    let keeper = match probe(&place.dir) {
        Presence::Here(hello) => KeeperFound::Here(hello),
        Presence::Silent { .. } => KeeperFound::Silent,
        Presence::None => KeeperFound::Gone(left(place)),
    };
    let name = AgentRecord::read(&place.record).map_or_else(|_| name.to_owned(), |record| record.name);
    offline::status(&name, saved.as_ref(), &keeper, now)
}

/// The end of a game that its keeper has left behind.
fn left(place: &AgentPlace) -> Option<Box<crate::model::process::ExitReport>> {
    let nobody = KeeperId::new("nobody").ok()?;
    match keeper::inherited(&place.dir, nobody).run {
        RunState::Exited { report } => Some(Box::new(report)),
        RunState::Empty | RunState::Running { .. } | RunState::Unkillable { .. } => None,
    }
}
