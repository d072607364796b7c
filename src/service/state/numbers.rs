//! The numbers by which older clients know players: 31 bits, so that whoever reads 32 keeps them.
//!
//! The service hands one out when a player is first heard of by a login, or does something itself;
//! it is drawn at random and stays for good. A player who was only named by others has none. The
//! numbers of before, the first 52 bits of the UUID, still lead to a player who has a number.

use super::{
    State, Transaction,
    commit::Commit,
    moment::Moment,
    set_aside::{RowError, SetAside},
};
use crate::{
    model::ids::{PlayerUuid, SessionId},
    service::{
        http::reply::{Outcome, Refused},
        rules::record::SessionRecord,
        store::{Seq, Store, StoreError, Table},
    },
};
use http::StatusCode;
use rand::RngExt as _;
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

#[derive(Debug, Default)]
pub(super) struct Numbers {
    by_player: BTreeMap<PlayerUuid, (u32, Seq)>,
    by_number: HashMap<u32, PlayerUuid>,
}

/// Numbers that are drawn before the service gives up: with every second one taken, it finds a free one all the same.
const DRAWS: usize = 64;
/// Bits of a UUID that aren't in its number of before.
const REST: u32 = 76;

impl Numbers {
    pub(super) fn read(store: &mut dyn Store, set_aside: &mut SetAside) -> Result<Numbers, StoreError> {
        let mut numbers = Numbers::default();
        set_aside.rows(store, Table::Numbers, |key, bytes| {
            let number = u32::from_str_radix(key, 16).map_err(|_| RowError::Key)?;
            let player = std::str::from_utf8(bytes)?.parse::<uuid::Uuid>().map_err(|_| RowError::Player)?;
            numbers.add(PlayerUuid(player), number, Seq::default());
            Ok(())
        })?;
        Ok(numbers)
    }

    fn add(&mut self, player: PlayerUuid, number: u32, seq: Seq) {
        self.by_player.insert(player, (number, seq));
        self.by_number.insert(number, player);
    }

    fn of(&self, player: PlayerUuid) -> Option<u32> {
        self.by_player.get(&player).map(|(number, _)| *number)
    }

    fn find(&self, number: i64) -> Option<PlayerUuid> {
        let now = u32::try_from(number).ok().and_then(|number| self.by_number.get(&number).copied());
        now.or_else(|| self.of_before(number))
    }

    /// The player of a number of before, unless several have it.
    fn of_before(&self, number: i64) -> Option<PlayerUuid> {
        let first = u128::try_from(number).ok().filter(|number| number >> (128 - REST) == 0)? << REST;
        let last = first | ((1 << REST) - 1);
        let range = PlayerUuid(Uuid::from_u128(first))..=PlayerUuid(Uuid::from_u128(last));
        let mut found = self.by_player.range(range).map(|(player, _)| *player);
        found.next().filter(|_| found.next().is_none())
    }

    pub(super) fn commit(&mut self, given: BTreeMap<PlayerUuid, u32>, commit: &mut Commit) {
        for (player, number) in given {
            commit.row(Table::Numbers, format!("{number:08x}"), Some(player.to_string().into_bytes()));
            self.add(player, number, commit.seq);
        }
    }

    /// Writes the numbers into a session that comes from the store.
    pub(super) fn write_into(&self, record: &mut SessionRecord) {
        number(record, |player| self.of(player));
    }
}

impl Transaction<'_> {
    /// A player is there by itself: it has a number from now on.
    pub fn know_player(&mut self, player: PlayerUuid) -> Outcome<()> {
        if let Some((_, seq)) = self.state.numbers.by_player.get(&player) {
            self.durability([*seq]);
            return Ok(());
        }
        if self.changes.numbers.contains_key(&player) {
            return Ok(());
        }
        let taken = &self.state.numbers.by_number;
        let draws = (0..DRAWS).map(|_| self.rng().random_range(1..=i32::MAX as u32));
        let none = || Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "no_number", "no unused number was found");
        let number = draws.into_iter().find(|number| !taken.contains_key(number)).ok_or_else(none)?;
        self.changes.numbers.insert(player, number);
        // Sessions that invited the player before it had a number get it now.
        let sessions: Vec<SessionId> = self.index().of_player(player).cloned().collect();
        for id in sessions {
            self.update(&id, |session| {
                if let Some(known) = session.player_mut(player) {
                    known.player_id = Some(number.into());
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// A player's number, if it has one.
    pub fn number_of(&self, player: PlayerUuid) -> Option<i64> {
        self.number_in_force(player).map(i64::from)
    }

    /// As given by this operation, or before.
    fn number_in_force(&self, player: PlayerUuid) -> Option<u32> {
        self.changes.numbers.get(&player).copied().or_else(|| self.state.numbers.of(player))
    }

    /// The player of a number.
    pub fn player_of_number(&self, number: i64) -> Option<PlayerUuid> {
        self.state.numbers.find(number)
    }

    /// Writes the numbers into a session that an operation has changed.
    pub(super) fn write_numbers(&self, record: &mut SessionRecord) {
        number(record, |player| self.number_in_force(player));
    }
}

impl State {
    /// Gives a number to everybody who is in a session of a store that has no numbers yet.
    pub(super) fn number_players(&mut self, moment: &Moment) {
        if !self.numbers.by_number.is_empty() {
            return;
        }
        let active = self.sessions.values().flat_map(|entry| entry.record().active().map(|player| player.player_uuid));
        let players: Vec<PlayerUuid> = active.collect();
        for player in players {
            // One that gets none is left without.
            let _ = self.transact(moment, |tx| tx.know_player(player));
        }
    }
}

fn number(record: &mut SessionRecord, of: impl Fn(PlayerUuid) -> Option<u32>) {
    for player in record.teams.iter_mut().flat_map(|team| &mut team.players) {
        player.player_id = of(player.player_uuid).map(i64::from);
    }
    if let Some(instance) = &mut record.instance {
        instance.info.host_player_id = instance.info.host_player_uuid.and_then(&of).map(i64::from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::{
        auth::Caller,
        settings::ServiceSettings,
        state::testing::{Harness, at, player, server},
    };
    use serde_json::{Value, json};

    /// A player whose UUID is crafted to share the number of before with another's.
    fn twin(of: &Caller) -> String {
        PlayerUuid(Uuid::from_u128(of.player.unwrap().0.as_u128() ^ 1)).to_string()
    }

    fn before(of: &Caller) -> i64 {
        i64::try_from(of.player.unwrap().0.as_u128() >> REST).unwrap()
    }

    fn seen(harness: &mut Harness, path: &str, who: &Caller) -> Value {
        let admin = Caller { permissions: ["session:*".to_owned()].into(), ..server("admin") };
        let path = format!("{path}/player/{}", who.player.unwrap());
        harness.json(&admin, "GET", &path, Value::Null)["player_id"].clone()
    }

    fn join() -> Value {
        json!({"client_version": "1.0.0", "client_settings": {"input": "gamepad"}, "team_id": 0})
    }

    #[test]
    fn a_number_is_handed_out_once_has_31_bits_and_leads_to_its_player_for_good() {
        let mut harness = Harness::new(ServiceSettings::default());
        let (ann, bob) = (player("ann"), player("bob"));
        let path = harness.session(&ann, "default");
        harness.json(&bob, "POST", &format!("{path}/player/me"), join());
        let [of_ann, of_bob] = [&ann, &bob].map(|who| seen(&mut harness, &path, who).as_i64().unwrap());
        for number in [of_ann, of_bob] {
            assert!((1..=i64::from(i32::MAX)).contains(&number), "{number}");
        }
        assert!((of_ann - of_bob).abs() > 1, "not in sequence: {of_ann}, {of_bob}");

        // A crafted UUID that others name gets no number and takes none.
        let invite = format!("{}/player/{}:invite", path.replace("/v1/", "/v2/"), twin(&bob));
        harness.json(&ann, "POST", &invite, json!({}));
        harness.json(&ann, "POST", &format!("{path}/instance"), json!({"host_type": "player"}));
        let shown = harness.json(&ann, "GET", &path, Value::Null);
        assert_eq!(shown["instance"]["host_player_id"], of_ann);
        let players = shown["teams"][0]["players"].as_array().unwrap().clone();
        let of_twin = players.iter().find(|player| player["player_uuid"] == twin(&bob)).unwrap();
        assert_eq!(of_twin.get("player_id"), None, "{of_twin}");

        let mut harness = harness.restart(ServiceSettings::default());
        assert_eq!(seen(&mut harness, &path, &bob), of_bob, "the same after a restart");
        for number in [of_bob, before(&bob)] {
            let moved = format!("{path}/player/id/{number}");
            let answer = harness.json(&ann, "POST", &moved, json!({"team_id": 0}));
            assert_eq!(answer["player_uuid"], bob.player.unwrap().to_string(), "{number}");
        }
        for nobody in [i64::MIN, -1, 0, i64::MAX, 1 << 52, before(&player("eve"))] {
            let code = harness.code(&ann, "DELETE", &format!("{path}/player/id/{nobody}"), Value::Null);
            assert_eq!(code, "player_not_found", "{nobody}");
        }
    }

    #[test]
    fn whoever_was_named_by_others_has_a_number_once_it_is_there_itself() {
        let mut harness = Harness::new(ServiceSettings::default());
        let (ann, bob) = (player("ann"), player("bob"));
        let path = harness.session(&ann, "default");
        let invite = format!("{}/player/{}:invite", path.replace("/v1/", "/v2/"), bob.player.unwrap());
        harness.json(&ann, "POST", &invite, json!({}));
        assert_eq!(seen(&mut harness, &path, &bob), Value::Null);
        harness.state.transact(&Moment::new(at(1)), |tx| tx.know_player(bob.player.unwrap())).0.unwrap();
        let number = seen(&mut harness, &path, &bob);
        assert!(number.is_i64(), "{number}");
        harness.json(&bob, "POST", &format!("{path}/player/me"), join());
        assert_eq!(seen(&mut harness, &path, &bob), number);
        let other = harness.session(&bob, "default");
        assert_eq!(seen(&mut harness, &other, &bob), number, "the same everywhere");
    }
}
