//! From other names to sessions. Rebuilt at a start, changed with every change of a session.

use crate::{
    model::ids::{AllocationId, PlayerUuid, SessionId},
    service::rules::record::SessionRecord,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A platform and its own session id.
pub type PlatformKey = (String, String);

#[derive(Debug, Default)]
pub struct Index {
    allocations: HashMap<AllocationId, SessionId>,
    codes: HashMap<String, SessionId>,
    platform: HashMap<PlatformKey, SessionId>,
    players: HashMap<PlayerUuid, BTreeSet<SessionId>>,
    numbers: HashMap<i64, PlayerUuid>,
    /// Type → number → session: in the order in which they were made.
    types: HashMap<String, BTreeMap<u64, SessionId>>,
}

impl Index {
    /// Follows a change: from what was to what is.
    pub fn change(&mut self, old: Option<&SessionRecord>, new: Option<&SessionRecord>) {
        let Some(id) = new.or(old).map(|record| record.id.clone()) else { return };
        differ(&mut self.allocations, &id, allocation(old), allocation(new));
        differ(&mut self.codes, &id, old.and_then(|r| r.short_code.clone()), new.and_then(|r| r.short_code.clone()));
        for gone in keys(old).difference(&keys(new)) {
            self.platform.remove(gone);
        }
        for come in keys(new).difference(&keys(old)) {
            self.platform.insert(come.clone(), id.clone());
        }
        self.change_players(&id, &members(old), &members(new));
        match (old, new) {
            (None, Some(new)) => {
                self.types.entry(new.session_type.clone()).or_default().insert(new.number, id);
            }
            (Some(old), None) => {
                if let Some(sessions) = self.types.get_mut(&old.session_type) {
                    sessions.remove(&old.number);
                }
            }
            _ => {}
        }
    }

    fn change_players(&mut self, id: &SessionId, old: &BTreeSet<PlayerUuid>, new: &BTreeSet<PlayerUuid>) {
        for gone in old.difference(new) {
            if let Some(sessions) = self.players.get_mut(gone) {
                sessions.remove(id);
                if sessions.is_empty() {
                    self.players.remove(gone);
                }
            }
        }
        for come in new.difference(old) {
            self.players.entry(*come).or_default().insert(id.clone());
            self.know(*come);
        }
    }

    /// Remembers a player's legacy number.
    pub fn know(&mut self, player: PlayerUuid) {
        self.numbers.insert(crate::service::rules::join::player_number(player), player);
    }

    pub fn by_allocation(&self, id: &AllocationId) -> Option<SessionId> {
        self.allocations.get(id).cloned()
    }
    pub fn by_code(&self, code: &str) -> Option<SessionId> {
        self.codes.get(code).cloned()
    }
    pub fn by_platform(&self, key: &PlatformKey) -> Option<SessionId> {
        self.platform.get(key).cloned()
    }
    pub fn by_number(&self, number: i64) -> Option<PlayerUuid> {
        self.numbers.get(&number).copied()
    }
    /// The sessions in which a player has a place of any kind.
    pub fn of_player(&self, player: PlayerUuid) -> Vec<SessionId> {
        self.players.get(&player).map(|sessions| sessions.iter().cloned().collect()).unwrap_or_default()
    }
    /// All sessions.
    pub fn all(&self) -> impl Iterator<Item = &SessionId> {
        self.types.values().flat_map(BTreeMap::values)
    }

    /// The sessions of a type made after number `after`, in order.
    pub fn of_type(&self, kind: &str, after: u64) -> impl Iterator<Item = (u64, &SessionId)> {
        let sessions = self.types.get(kind).map(|sessions| sessions.range(after..));
        sessions.into_iter().flatten().map(|(number, id)| (*number, id))
    }
}

fn differ<K: std::hash::Hash + Eq>(map: &mut HashMap<K, SessionId>, id: &SessionId, old: Option<K>, new: Option<K>) {
    if old == new {
        return;
    }
    if let Some(old) = old {
        map.remove(&old);
    }
    if let Some(new) = new {
        map.insert(new, id.clone());
    }
}

fn allocation(record: Option<&SessionRecord>) -> Option<AllocationId> {
    record?.instance.as_ref()?.info.allocation_id.clone()
}

fn members(record: Option<&SessionRecord>) -> BTreeSet<PlayerUuid> {
    record.map(|record| record.players().map(|player| player.player_uuid).collect()).unwrap_or_default()
}

fn keys(record: Option<&SessionRecord>) -> BTreeSet<PlatformKey> {
    let sessions = record.map(|record| record.platform_sessions.as_slice()).unwrap_or_default();
    sessions.iter().map(|session| (session.platform.clone(), session.platform_session_id_base64.clone())).collect()
}
