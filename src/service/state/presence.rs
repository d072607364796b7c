//! Presence sessions: at most one a player, which its friends may see. Durable. Invariant: a player
//! is active in its presence session; leaving clears it.

use super::{
    Transaction,
    commit::Commit,
    set_aside::{RowError, SetAside},
};
use crate::{
    model::ids::{PlayerUuid, SessionId},
    service::store::{Seq, Store, StoreError, Table},
};
use std::collections::{BTreeMap, HashMap};

#[derive(Debug, Default)]
pub(crate) struct Presence(HashMap<PlayerUuid, (SessionId, Seq)>);

impl Presence {
    pub(crate) fn read(store: &mut dyn Store, set_aside: &mut SetAside) -> Result<Presence, StoreError> {
        let mut presence = Presence::default();
        set_aside.rows(store, Table::Presence, |key, bytes| {
            let player = PlayerUuid(key.parse::<uuid::Uuid>()?);
            let session = SessionId::new(std::str::from_utf8(bytes)?).map_err(|_| RowError::SessionId)?;
            presence.0.insert(player, (session, Seq::default()));
            Ok(())
        })?;
        Ok(presence)
    }
}

impl Presence {
    /// Whether this is the session that a player shows.
    pub(super) fn shows(&self, player: PlayerUuid, session: &SessionId) -> bool {
        self.0.get(&player).is_some_and(|(shown, _)| shown == session)
    }

    /// Takes what an operation changed; none: the player shows none any more.
    pub(super) fn commit(&mut self, changed: BTreeMap<PlayerUuid, Option<SessionId>>, commit: &mut Commit) {
        for (player, session) in changed {
            match session {
                Some(session) => {
                    let bytes = session.as_str().as_bytes().to_vec();
                    commit.row(Table::Presence, player.to_string(), Some(bytes));
                    self.0.insert(player, (session, commit.seq));
                }
                None => {
                    if self.0.remove(&player).is_some() {
                        commit.row(Table::Presence, player.to_string(), None);
                    }
                }
            }
        }
    }
}

impl Transaction<'_> {
    pub fn presence_of(&mut self, player: PlayerUuid) -> Option<SessionId> {
        if let Some(changed) = self.changes.presence.get(&player) {
            return changed.clone();
        }
        let (session, seq) = self.state.presence.0.get(&player)?;
        self.durability([*seq]);
        Some(session.clone())
    }

    pub fn set_presence(&mut self, player: PlayerUuid, session: SessionId) {
        self.changes.presence.insert(player, Some(session));
    }

    pub fn clear_presence(&mut self, player: PlayerUuid) {
        self.changes.presence.insert(player, None);
    }
}
