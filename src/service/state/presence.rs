//! Presence sessions: at most one a player, which its friends may see. Durable. Invariant: a player is active in its
//! presence session; leaving clears it.

use super::State;
use crate::{
    model::ids::{PlayerUuid, SessionId},
    service::store::{Seq, Store, StoreError, Table},
};
use std::collections::HashMap;

#[derive(Debug, Default)]
pub struct Presence(HashMap<PlayerUuid, (SessionId, Seq)>);

impl Presence {
    pub fn read(store: &mut dyn Store) -> Result<Presence, StoreError> {
        let rows = store.read(Table::Presence)?;
        let read = |(key, bytes): (String, Vec<u8>)| {
            let player = key.parse().ok().map(PlayerUuid);
            let session = String::from_utf8(bytes).ok().and_then(|text| SessionId::new(text).ok());
            player.zip(session).ok_or_else(|| StoreError::new("read the presence sessions", format!("row {key}")))
        };
        let read = rows.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(Presence(read.into_iter().map(|(player, session)| (player, (session, Seq::default()))).collect()))
    }
}

impl State {
    pub fn presence_of(&mut self, player: PlayerUuid) -> Option<SessionId> {
        let (session, seq) = self.presence.0.get(&player)?.clone();
        self.touched = self.touched.max(seq);
        Some(session)
    }

    pub fn set_presence(&mut self, player: PlayerUuid, session: SessionId) {
        self.write(Table::Presence, player.to_string(), Some(session.as_str().as_bytes().to_vec()));
        self.presence.0.insert(player, (session, self.touched));
    }

    pub fn clear_presence(&mut self, player: PlayerUuid) {
        if self.presence.0.remove(&player).is_some() {
            self.write(Table::Presence, player.to_string(), None);
        }
    }

    /// The player is no longer active in a session.
    pub(super) fn presence_left(&mut self, player: PlayerUuid, session: &SessionId) {
        if self.presence.0.get(&player).is_some_and(|(shown, _)| shown == session) {
            self.clear_presence(player);
        }
    }
}
