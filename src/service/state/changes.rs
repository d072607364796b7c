//! What a transaction wants to change. Nothing of it is in the [`State`](super::State) before it is
//! committed.
//!
//! | part | holds |
//! |---|---|
//! | `sessions` | each session that was changed, once, however often the operation changed it |
//! | `liveness` | leases and signs of life: in memory only |
//! | `servers` | registered servers as they will be |
//! | `presence`, `friends`, `marks`, `cleared` | rows by key; none: the row goes |
//! | `numbers` | numbers that players have got |
//! | `audit`, `items` | what the operation itself notes and tells, besides what its changes of sessions do |

use super::{
    audit::Event,
    deserters::Mark,
    entry::{Liveness, SessionView},
    event_batch::FeedItem,
    server::Server,
};
use crate::{
    model::{
        friends::FriendRelationship,
        ids::{PlayerUuid, SessionId},
        time::Timestamp,
    },
    service::rules::record::SessionRecord,
};
use std::{collections::BTreeMap, sync::Arc};
use uuid::Uuid;

#[derive(Debug, Default)]
pub(super) struct Changes {
    pub sessions: Vec<Draft>,
    pub liveness: Vec<(SessionId, Liveness)>,
    pub servers: BTreeMap<String, Option<Server>>,
    pub presence: BTreeMap<PlayerUuid, Option<SessionId>>,
    pub friends: BTreeMap<(PlayerUuid, PlayerUuid), Option<FriendRelationship>>,
    pub marks: BTreeMap<(PlayerUuid, Uuid), Option<Mark>>,
    pub cleared: BTreeMap<Uuid, Timestamp>,
    pub numbers: BTreeMap<PlayerUuid, u32>,
    pub audit: Vec<Event>,
    pub items: Vec<(PlayerUuid, Arc<FeedItem>)>,
}

/// A session that is made, changed or removed.
#[derive(Debug)]
pub(super) struct Draft {
    pub id: SessionId,
    /// As it is committed; none for a new one.
    pub before: Option<Arc<SessionRecord>>,
    /// As it will be; none if it goes.
    pub after: Option<SessionView>,
}

impl Changes {
    pub(super) fn draft(&self, id: &SessionId) -> Option<&Draft> {
        self.sessions.iter().find(|draft| draft.id == *id)
    }

    pub(super) fn draft_mut(&mut self, id: &SessionId) -> Option<&mut Draft> {
        self.sessions.iter_mut().find(|draft| draft.id == *id)
    }

    /// The signs of life of a session, to add to.
    pub(super) fn alive(&mut self, id: &SessionId) -> &mut Liveness {
        let at = self.liveness.iter().position(|(known, _)| known == id).unwrap_or_else(|| {
            self.liveness.push((id.clone(), Liveness::default()));
            self.liveness.len() - 1
        });
        &mut self.liveness[at].1
    }
}
