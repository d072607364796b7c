//! The state machine as a table.

use super::{
    super::{
        Shown,
        book::{Book, View},
        fault::Code,
    },
    settings,
};
use crate::model::{game::GameEvent, ids::AllocationId, time::Timestamp};

const NOW: Timestamp = Timestamp::EPOCH;

fn book(words: &str, view: &View) -> (Book, Vec<Result<Vec<GameEvent>, Code>>) {
    let mut book = Book::new(&settings());
    book.follow(view, NOW);
    let mut answers = Vec::new();
    for word in words.split_whitespace() {
        let outcome = match word {
            "ready" => book.ready(view),
            "allocate" => book.allocate(NOW),
            "reserve" => book.reserve(5, NOW),
            "for-ever" => book.reserve(0, NOW),
            "shutdown" => book.shutdown(),
            "silence" => book.silent("silent".to_owned()),
            "ping" => book.ping(),
            "sees" => {
                book.seen = (book.shown(view) == Shown::Allocated).then(|| view.allocation.clone()).flatten();
                continue;
            }
            other => panic!("no word {other}"),
        };
        answers.push(outcome.map(|done| done.says).map_err(|fault| fault.code));
    }
    (book, answers)
}

fn served() -> View {
    View { allocation: AllocationId::new("one").ok(), ..View::default() }
}

#[test]
fn every_way_through_the_states() {
    let (free, served) = (View::default(), served());
    let table = [
        (&free, "", Shown::Scheduled, ""),
        (&free, "ready", Shown::Ready, ""),
        (&free, "ready ready", Shown::Ready, ""),
        (&free, "ready allocate", Shown::Allocated, ""),
        (&free, "ready allocate ready", Shown::Ready, ""),
        (&free, "ready reserve", Shown::Reserved, ""),
        (&free, "ready for-ever allocate", Shown::Allocated, ""),
        (&free, "ready shutdown", Shown::Shutdown, ""),
        (&free, "ready shutdown ready", Shown::Shutdown, "ready"),
        (&free, "shutdown allocate reserve shutdown", Shown::Shutdown, "allocate reserve"),
        (&free, "ready silence", Shown::Unhealthy, ""),
        (&free, "ready silence ready allocate reserve", Shown::Unhealthy, "ready allocate reserve"),
        (&free, "ready silence ping", Shown::Ready, ""),
        (&free, "ready silence shutdown", Shown::Shutdown, ""),
        (&free, "ready shutdown silence", Shown::Shutdown, ""),
        (&served, "", Shown::Scheduled, ""),
        (&served, "ready", Shown::Allocated, ""),
        (&served, "ready ready", Shown::Allocated, ""),
        (&served, "ready sees ready", Shown::Ready, ""),
        (&served, "ready reserve", Shown::Reserved, ""),
        (&served, "ready sees reserve ready", Shown::Allocated, ""),
    ];
    for (view, words, shown, refused) in table {
        let (book, answers) = book(words, view);
        assert_eq!(book.shown(view), shown, "{words}");
        let spoken = words.split_whitespace().filter(|word| *word != "sees");
        let said_no: Vec<_> =
            spoken.zip(&answers).filter(|(_, answer)| answer.is_err()).map(|(word, _)| word).collect();
        assert_eq!(said_no.join(" "), refused, "{words}");
        assert!(
            answers.iter().all(|answer| answer.as_ref().err().is_none_or(|code| *code == Code::FailedPrecondition))
        );
        let ended = answers.iter().flatten().flatten().filter(|said| **said == GameEvent::MatchEnded).count();
        assert_eq!(ended == 1, words == "ready sees ready", "{words}");
    }
}

#[test]
fn the_end_of_a_session_frees_the_game_and_a_new_one_allocates_it() {
    let (free, served) = (View::default(), served());
    let (mut book, _) = book("ready allocate", &served);
    assert!(book.annotations.contains_key(super::super::book::LAST_ALLOCATED));
    book.follow(&free, NOW);
    assert_eq!(book.shown(&free), Shown::Ready);
    book.follow(&served, NOW);
    assert_eq!(book.shown(&served), Shown::Allocated);
    assert_eq!(book.shown(&View { closing: true, ..served }), Shown::Shutdown);
}

#[test]
fn only_an_empty_reservation_is_for_ever() {
    let until = |words: &str| book(words, &View::default()).0.reserved_until();
    assert_eq!(until("reserve"), Some(NOW.plus(std::time::Duration::from_secs(5))));
    assert_eq!((until("for-ever"), until("reserve ready"), until("reserve shutdown")), (None, None, None));
}
