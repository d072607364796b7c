use super::*;
use crate::{
    model::{
        events::{EventKind, SessionEvent},
        ids::SessionId,
        units::Span,
    },
    service::store::{Write, memory::Memory},
};
use std::time::Duration;

fn at(second: u64) -> Instant {
    Instant(Duration::from_secs(1000 + second))
}
fn player(n: u128) -> PlayerUuid {
    PlayerUuid(uuid::Uuid::from_u128(n))
}
fn limits() -> Limits {
    Limits { events_per_player: 3, events: 5, event_retention: Span::from_secs(60), ..Limits::default() }
}
fn told() -> Arc<FeedItem> {
    Arc::new(FeedItem::Event(SessionEvent {
        event: EventKind::OnSessionUpdated,
        session_id: SessionId::new("s").unwrap(),
        session_type: "t".into(),
        etag: None,
        changed: vec![],
        destroyed: false,
        status: None,
        invite_id: None,
        inviting_player_uuid: None,
        created: Timestamp::EPOCH,
    }))
}
#[test]
fn bytes_are_bounded_for_a_player_and_for_all() {
    use crate::model::units::Size;
    let limits = Limits {
        event_bytes_per_player: Size(4000),
        event_bytes: Size(6000),
        events_per_player: 100,
        events: 100,
        ..limits()
    };
    let note = Arc::new(FeedItem::Note(crate::model::events::Notification {
        message: "m".repeat(1000),
        rh_url: None,
        custom_data: <_>::default(),
        etag: None,
        notification_id: String::new(),
        created: Timestamp::EPOCH,
    }));
    let mut journal = Journal::default();
    let mut kept = |who: u128, times: u32| {
        for _ in 0..times {
            let batch = EventBatch::new(Timestamp::EPOCH, vec![(player(who), note.clone())]);
            journal.add(&batch, Seq(0), at(0), &limits);
            let _ = journal.expire(at(0), &limits);
        }
        [1, 2].map(|who| journal.players.get(&player(who)).map_or(0, |stream| stream.kept.len()))
    };
    assert_eq!(kept(1, 9), [3, 0]);
    assert_eq!(kept(2, 1), [3, 1]);
    assert_eq!(kept(2, 1), [2, 2], "the oldest of all goes");
    assert_eq!(kept(2, 9), [1, 3]);
}

fn push(journal: &mut Journal, who: u128, second: u64) -> u64 {
    push_row(journal, &EventBatch::new(Timestamp::EPOCH, vec![(player(who), told())]), second)
}
fn push_row(journal: &mut Journal, batch: &EventBatch, second: u64) -> u64 {
    journal.add(batch, Seq(0), at(second), &limits());
    let _ = journal.expire(at(second), &limits());
    journal.last()
}
fn numbers(journal: &Journal, who: u128, position: u64) -> Result<Vec<u64>, Gap> {
    journal.after(player(who), position, 100).map(|kept| kept.iter().map(|kept| kept.number).collect())
}

#[test]
fn whoever_resumes_gets_all_or_a_gap() {
    let mut journal = Journal::default();
    let mut tell = |who: u128, second| push(&mut journal, who, second);
    for second in 0..4 {
        tell(1, second);
    }
    assert_eq!(tell(2, 4), 5);
    assert_eq!(numbers(&journal, 1, 0), Err(Gap), "its own limit of three dropped the first");
    assert_eq!(numbers(&journal, 1, 1), Ok(vec![2, 3, 4]));
    assert_eq!(numbers(&journal, 2, 0), Ok(vec![5]));
    assert_eq!(numbers(&journal, 3, 0), Ok(vec![]), "a player to whom nothing happened misses nothing");
}

#[test]
fn age_and_the_common_limit_drop_the_oldest_of_all() {
    let mut journal = Journal::default();
    for second in 0..5 {
        push(&mut journal, u128::from(second), second);
    }
    push(&mut journal, 9, 5);
    assert_eq!(numbers(&journal, 0, 0), Err(Gap));
    assert_eq!(numbers(&journal, 4, 0), Ok(vec![5]), "its stream is whole");
    assert_eq!(numbers(&journal, 77, 0), Err(Gap), "nobody knows any more whether it had any");
    assert_eq!(numbers(&journal, 77, 1), Ok(vec![]));
    let _ = journal.expire(at(64), &limits());
    assert_eq!(numbers(&journal, 4, 0), Err(Gap));
    assert_eq!(numbers(&journal, 9, 5), Ok(vec![6]));
}

#[test]
fn what_others_forget_is_no_gap_for_whoever_listens() {
    let mut journal = Journal::default();
    assert!(journal.watch(player(1), 1).is_some());
    assert!(journal.watch(player(1), 1).is_none(), "bounded");
    let position = journal.last();
    for second in 0..9 {
        push(&mut journal, 2, second);
    }
    let _ = journal.expire(at(100), &limits());
    push(&mut journal, 1, 100);
    assert_eq!(numbers(&journal, 1, position), Ok(vec![10]));
    journal.unwatch(player(1));
    assert_eq!(numbers(&journal, 1, position), Ok(vec![10]), "kept for whoever comes back");
}

#[test]
fn positions_of_another_life_or_of_the_future_are_none() {
    let mut journal = Journal::default();
    push(&mut journal, 1, 0);
    assert_eq!(journal.position(&journal.id(1)), Some(1));
    assert_eq!(journal.position(&journal.id(2)), None);
    let other = Journal { epoch: journal.epoch.wrapping_add(1), ..Journal::default() };
    assert_eq!(journal.position(&other.id(1)), None);
    for text in ["", "1", "x-1", "-", "00000000-99999999999999999999999"] {
        assert_eq!(journal.position(text), None, "{text}");
    }
}

#[test]
fn a_journal_that_is_read_again_goes_on_where_it_was() {
    let mut store = Memory::default();
    let mut journal = Journal { epoch: 7, ..Journal::default() };
    store.commit(&[Write::put(Table::Events, EPOCH, journal.epoch())]).unwrap();
    let shared = told();
    for second in 0..4 {
        let wall = Timestamp::EPOCH.plus(Duration::from_secs(second));
        let batch = EventBatch::new(wall, vec![(player(1), shared.clone()), (player(2), shared.clone())]);
        let key = key(journal.last() + 1);
        store.commit(&[Write::put(Table::Events, key, serde_json::to_vec(&batch).unwrap())]).unwrap();
        push_row(&mut journal, &batch, second);
    }
    let now = |second| {
        let wall = Timestamp::EPOCH.plus(Duration::from_secs(second));
        Now { boot: at(second).0, mono: at(second), wall, boot_id: crate::model::time::BootId::default() }
    };
    let read = |second| Journal::read(&mut store.clone(), &mut SetAside::default(), now(second), &limits()).unwrap();
    let mut again = read(4);
    let _ = again.expire(at(4), &limits());
    for (who, position) in [(1, 1), (1, 3), (2, 4), (2, 8), (3, 3)] {
        assert_eq!(numbers(&again, who, position), numbers(&journal, who, position), "{who} from {position}");
    }
    assert_eq!((again.id(8), again.position(&journal.id(8))), (journal.id(8), Some(8)));
    let mut late = read(62);
    let gone = [1, 3, 5].map(SpentRow::Removed);
    assert_eq!(late.expire(at(62), &limits()), gone, "what was too old meanwhile, but never the newest row");
    assert_eq!((numbers(&late, 1, 3), numbers(&late, 1, 5)), (Err(Gap), Ok(vec![7])));
    assert_eq!(push(&mut late, 1, 62), 9, "no number is given twice");
}

/// A row with one entry for each of these players.
fn row_for(players: &[u128]) -> EventBatch {
    EventBatch::new(Timestamp::EPOCH, players.iter().map(|who| (player(*who), told())).collect())
}

/// Only a player's own limit drops something.
fn many() -> Limits {
    Limits { events: 100, ..limits() }
}

/// The journal with what the store has of it, as `State` keeps both.
struct Kept {
    journal: Journal,
    rows: BTreeMap<u64, Vec<u8>>,
}

impl Kept {
    fn tell(&mut self, players: &[u128], second: u64) {
        let batch = row_for(players);
        self.rows.insert(self.journal.last() + 1, serde_json::to_vec(&batch).unwrap());
        self.journal.add(&batch, Seq(0), at(second), &many());
        for spent in self.journal.expire(at(second), &many()) {
            match spent {
                SpentRow::Removed(first) => drop(self.rows.remove(&first)),
                SpentRow::Emptied(first, batch) => {
                    self.rows.insert(first, serde_json::to_vec(&batch).unwrap());
                }
            }
        }
    }

    fn read_again(&self) -> Journal {
        let mut store = Memory::default();
        for (first, bytes) in &self.rows {
            store.commit(&[Write::put(Table::Events, key(*first), bytes.clone())]).unwrap();
        }
        let now =
            Now { boot: at(0).0, mono: at(0), wall: Timestamp::EPOCH, boot_id: crate::model::time::BootId::default() };
        Journal::read(&mut store, &mut SetAside::default(), now, &many()).unwrap()
    }
}

#[test]
fn what_a_players_own_limit_drops_takes_no_room_and_is_a_gap_for_it_alone_also_when_read_again() {
    let mut kept = Kept { journal: Journal::default(), rows: BTreeMap::new() };
    // An entry that stays, one that is shared, and then more for one player than it may have.
    kept.tell(&[8], 0);
    kept.tell(&[1, 2], 0);
    for _ in 0..2 {
        kept.tell(&[1], 0);
    }
    let whole: usize = kept.rows.values().map(Vec::len).sum();
    for _ in 0..3 {
        kept.tell(&[9, 9, 9], 0);
        kept.tell(&[1], 0);
    }
    assert!(kept.rows.values().map(Vec::len).sum::<usize>() < 3 * whole);
    let again = kept.read_again();
    assert_eq!(again.last(), kept.journal.last());
    for who in [1, 2, 3, 8, 9] {
        for position in 0..=kept.journal.last() {
            assert_eq!(numbers(&again, who, position), numbers(&kept.journal, who, position), "{who} from {position}");
        }
    }
    assert_eq!(numbers(&again, 1, 0), Err(Gap));
    assert_eq!(numbers(&again, 2, 0), Ok(vec![3]));
}
