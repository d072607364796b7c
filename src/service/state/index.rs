//! Indexes: they find sessions by an allocation, a short code, a player, a platform session or a
//! type.
//!
//! The entries of a session are one pure function of its record, [`keys`]: what an index holds
//! after a change is what it held before, without the keys of the old record, with those of the new
//! one. Rebuilt at a start.
//!
//! | key | finds |
//! |---|---|
//! | `Allocation`, `Code`, `Platform`, `Maker` | the one session that has it |
//! | `Player` | the sessions in which a player has a place of any kind |
//! | `Made` | the sessions that a player has made |
//! | `Left` | the sessions that a player has left during the term of their instance |
//! | `Kind` | the sessions of a type, in the order in which they were made |
//! | `Listed`, `Open` | those of them that are in the browser; that could take in somebody more |
//! | `Live` | nothing: those whose instance isn't closed are counted |
//! | `Requested` | sessions that wait for a server, in the order in which they asked |

use crate::{
    model::{
        ids::{AllocationId, PlayerUuid, SessionId},
        session::JoinStatus,
        time::Timestamp,
    },
    service::rules::{
        join,
        record::{Maker, SessionRecord},
    },
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A platform and its own session id.
pub(crate) type PlatformKey = (String, String);

/// An entry of the index, for one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key<'r> {
    Allocation(&'r AllocationId),
    Code(&'r str),
    Platform(&'r str, &'r str),
    Maker(&'r Maker),
    Player(PlayerUuid),
    Made(PlayerUuid),
    Left(PlayerUuid),
    Kind(&'r str, u64),
    Listed(&'r str, u64),
    Open(&'r str, u64),
    Live,
    Requested(Timestamp, u64),
}

/// Every entry of a session, in order.
pub(crate) fn keys(record: &SessionRecord) -> Vec<Key<'_>> {
    let (kind, number) = (record.session_type.as_str(), record.number);
    let mut keys = Vec::with_capacity(8);
    if let Some(instance) = &record.instance {
        keys.extend(instance.info.allocation_id.as_ref().map(Key::Allocation));
        keys.extend(instance.left.iter().map(|player| Key::Left(*player)));
        if instance.info.join_status == JoinStatus::Requested {
            keys.push(Key::Requested(instance.info.created, number));
        }
    }
    keys.extend(record.live_instance().map(|_| Key::Live));
    keys.extend(record.short_code.as_deref().map(Key::Code));
    keys.extend(record.made_by.as_ref().map(Key::Maker));
    let platform = record.platform_sessions.iter();
    keys.extend(platform.map(|known| Key::Platform(&known.platform, &known.platform_session_id_base64)));
    keys.extend(record.players().map(|player| Key::Player(player.player_uuid)));
    keys.extend(record.creator.map(Key::Made));
    keys.push(Key::Kind(kind, number));
    if record.browser.is_some() {
        keys.push(Key::Listed(kind, number));
    }
    if join::takes_newcomers(record) {
        keys.push(Key::Open(kind, number));
    }
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// Sessions of each type, in the order in which they were made.
type ByKind = HashMap<String, BTreeMap<u64, SessionId>>;

type ByPlayer = HashMap<PlayerUuid, BTreeSet<SessionId>>;

#[derive(Debug, Default)]
pub struct Index {
    allocations: HashMap<AllocationId, SessionId>,
    codes: HashMap<String, SessionId>,
    platform: HashMap<PlatformKey, SessionId>,
    makers: HashMap<Maker, SessionId>,
    players: ByPlayer,
    made: ByPlayer,
    left: ByPlayer,
    kinds: ByKind,
    listed: ByKind,
    open: ByKind,
    requested: BTreeMap<(Timestamp, u64), SessionId>,
    live: usize,
    /// Of all sessions, as [`SessionRecord::bytes`] counts.
    bytes: usize,
}

impl Index {
    /// Follows a change: from what was to what is.
    pub fn change(&mut self, old: Option<&SessionRecord>, new: Option<&SessionRecord>) {
        let Some(id) = new.or(old).map(|record| &record.id) else { return };
        let bytes = |record: Option<&SessionRecord>| record.map_or(0, SessionRecord::bytes);
        self.bytes = self.bytes + bytes(new) - bytes(old);
        let (before, after) = (old.map(keys).unwrap_or_default(), new.map(keys).unwrap_or_default());
        for gone in before.iter().filter(|key| after.binary_search(key).is_err()) {
            self.remove(*gone, id);
        }
        for come in after.iter().filter(|key| before.binary_search(key).is_err()) {
            self.insert(*come, id);
        }
    }

    fn insert(&mut self, key: Key<'_>, id: &SessionId) {
        let put = |kinds: &mut ByKind, kind: &str, number| match kinds.get_mut(kind) {
            Some(sessions) => drop(sessions.insert(number, id.clone())),
            None => drop(kinds.insert(kind.to_owned(), BTreeMap::from([(number, id.clone())]))),
        };
        match key {
            Key::Allocation(allocation) => drop(self.allocations.insert(allocation.clone(), id.clone())),
            Key::Code(code) => drop(self.codes.insert(code.to_owned(), id.clone())),
            Key::Platform(platform, own) => {
                self.platform.insert((platform.to_owned(), own.to_owned()), id.clone());
            }
            Key::Maker(maker) => drop(self.makers.insert(maker.clone(), id.clone())),
            Key::Player(player) => {
                self.players.entry(player).or_default().insert(id.clone());
            }
            Key::Made(player) => drop(self.made.entry(player).or_default().insert(id.clone())),
            Key::Left(player) => drop(self.left.entry(player).or_default().insert(id.clone())),
            Key::Kind(kind, number) => put(&mut self.kinds, kind, number),
            Key::Listed(kind, number) => put(&mut self.listed, kind, number),
            Key::Open(kind, number) => put(&mut self.open, kind, number),
            Key::Live => self.live += 1,
            Key::Requested(since, number) => drop(self.requested.insert((since, number), id.clone())),
        }
    }

    fn remove(&mut self, key: Key<'_>, id: &SessionId) {
        let take = |kinds: &mut ByKind, kind: &str, number| {
            if let Some(sessions) = kinds.get_mut(kind) {
                sessions.remove(&number);
            }
        };
        match key {
            Key::Allocation(allocation) => drop(self.allocations.remove(allocation)),
            Key::Code(code) => drop(self.codes.remove(code)),
            Key::Platform(platform, own) => drop(self.platform.remove(&(platform.to_owned(), own.to_owned()))),
            Key::Maker(maker) => drop(self.makers.remove(maker)),
            Key::Player(player) => forget(&mut self.players, player, id),
            Key::Made(player) => forget(&mut self.made, player, id),
            Key::Left(player) => forget(&mut self.left, player, id),
            Key::Kind(kind, number) => take(&mut self.kinds, kind, number),
            Key::Listed(kind, number) => take(&mut self.listed, kind, number),
            Key::Open(kind, number) => take(&mut self.open, kind, number),
            Key::Live => self.live -= 1,
            Key::Requested(since, number) => drop(self.requested.remove(&(since, number))),
        }
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
    /// The session that a request has made.
    pub fn by_maker(&self, maker: &Maker) -> Option<&SessionId> {
        self.makers.get(maker)
    }
    /// The sessions in which a player has a place of any kind.
    pub fn of_player(&self, player: PlayerUuid) -> impl Iterator<Item = &SessionId> {
        self.players.get(&player).into_iter().flatten()
    }
    /// How many sessions a player has made.
    pub fn made_by(&self, player: PlayerUuid) -> usize {
        self.made.get(&player).map_or(0, BTreeSet::len)
    }
    /// The bytes of all sessions.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
    /// The sessions that a player has left during the term of their instance.
    pub fn left_by(&self, player: PlayerUuid) -> impl Iterator<Item = &SessionId> {
        self.left.get(&player).into_iter().flatten()
    }
    /// The sessions of a type, or of all types.
    pub fn of_kind(&self, kind: Option<&str>) -> impl Iterator<Item = &SessionId> {
        within(&self.kinds, kind)
    }
    /// Those that could take in somebody more.
    pub fn open(&self, kind: Option<&str>) -> impl Iterator<Item = &SessionId> {
        within(&self.open, kind)
    }
    /// Those that are in the browser.
    pub fn listed(&self, kind: Option<&str>) -> impl Iterator<Item = &SessionId> {
        within(&self.listed, kind)
    }
    /// The listed sessions of a type from a number on, in order.
    pub fn listed_from(&self, kind: &str, number: u64) -> impl Iterator<Item = (u64, &SessionId)> {
        let sessions = self.listed.get(kind).map(|sessions| sessions.range(number..));
        sessions.into_iter().flatten().map(|(number, id)| (*number, id))
    }
    /// Sessions whose instance isn't closed.
    pub fn live(&self) -> usize {
        self.live
    }
    /// Sessions that wait for a server, the one that asked first before others.
    pub fn requested(&self) -> impl Iterator<Item = &SessionId> {
        self.requested.values()
    }
}

fn forget(players: &mut ByPlayer, player: PlayerUuid, id: &SessionId) {
    if let Some(sessions) = players.get_mut(&player) {
        sessions.remove(id);
        if sessions.is_empty() {
            players.remove(&player);
        }
    }
}

fn within<'i>(kinds: &'i ByKind, kind: Option<&str>) -> impl Iterator<Item = &'i SessionId> {
    let one = kind.map(|kind| kinds.get(kind));
    let all = one.is_none().then(|| kinds.values()).into_iter().flatten();
    one.flatten().into_iter().chain(all).flat_map(BTreeMap::values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::player::PlayerStatus::{Invited, Leader},
        service::rules::record::testing::{session, uuid},
    };

    fn ids(found: impl Iterator<Item = impl std::borrow::Borrow<SessionId>>) -> Vec<String> {
        found.map(|id| id.borrow().as_str().to_owned()).collect()
    }

    #[test]
    fn entries_follow_the_record_and_nothing_is_left_of_one_that_went() {
        let mut index = Index::default();
        let mut first = session(&[(2, &[(1, Leader)])]);
        first.joinability.open = true;
        first.short_code = Some("ABC".into());
        index.change(None, Some(&first));
        assert_eq!(ids(index.open(Some("default"))), ["s"]);
        assert_eq!(ids(index.of_player(uuid(1))), ["s"]);

        let mut full = session(&[(2, &[(2, Leader), (3, Invited)])]);
        full.joinability.open = true;
        index.change(Some(&first), Some(&full));
        assert_eq!(ids(index.open(None)), [""; 0], "there is no room");
        assert_eq!(ids(index.of_player(uuid(1))), [""; 0]);
        assert_eq!(ids(index.of_player(uuid(3))), ["s"]);
        assert_eq!(index.by_code("ABC"), None);
        assert_eq!(ids(index.of_kind(Some("default"))), ["s"]);

        index.change(Some(&full), None);
        assert_eq!(ids(index.of_kind(None)), [""; 0]);
        assert_eq!(ids(index.of_player(uuid(2))), [""; 0]);
    }
}
