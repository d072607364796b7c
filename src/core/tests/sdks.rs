//! What SDKs of other platforms say that the native one doesn't: to be ended, to be held back, to
//! be remembered.

use crate::core::{
    io::{Availability, Effect, Ending, Input},
    settings::Settings,
    testing::{World, allocation, secs, settings},
};
use crate::model::{
    allocation::ProviderKind,
    game::{Admission, EventSource, GameEvent, GamePlayer, Kept},
    orders::{Order, Refused},
    policy::Start,
    process::ExitStatus,
    session::JoinStatus,
    status::PhaseName,
};

/// A warm game that is ready, and waits for an order.
fn warm() -> World {
    let mut w = World::new(at_boot());
    w.say(GameEvent::Ready);
    w
}

fn at_boot() -> Settings {
    let mut s = settings();
    s.provider = ProviderKind::Hook;
    s.launch.start = Start::AtBoot;
    s
}

fn allocate(w: &mut World, id: &str) -> Option<Refused> {
    w.order(Order::Allocate(Box::new(allocation(id, None))));
    w.seen.iter().rev().find_map(|effect| match effect {
        Effect::Reply { reply, .. } => Some(reply.clone().err()),
        _ => None,
    })?
}

#[test]
fn a_game_that_asks_to_be_ended_is_stopped_and_its_end_is_orderly() {
    let mut w = World::serving(settings());
    w.take_told();
    w.say(GameEvent::StopMe);
    assert_eq!(w.status().last_end.unwrap().reason, "the game asked to be ended");
    assert!(w.take_told().contains(&"closed".to_owned()));
    w.pass(secs(1));
    assert_eq!(w.keeper.starts, [1, 2], "the next match, without a delay");
    assert!(!w.kinds().contains(&"restart"));
}

#[test]
fn a_warm_game_that_asks_to_be_ended_over_and_over_is_started_ever_later_and_given_up() {
    let mut w = warm();
    w.say(GameEvent::StopMe);
    assert_eq!(w.keeper.starts, [1], "not at once");
    w.pass(secs(1));
    assert_eq!(w.keeper.starts, [1, 2]);
    for _ in 0..2 {
        w.say(GameEvent::Ready);
        w.say(GameEvent::StopMe);
        w.pass(secs(10));
    }
    assert_eq!(w.keeper.starts, [1, 2, 3]);
    assert!(
        matches!(&w.ended, Some(Ending::Failed { why }) if why.contains("the game asked to be ended")),
        "{:?}",
        w.ended
    );
}

#[test]
fn it_counts_also_when_it_exits_before_its_word_was_read() {
    let mut w = World::serving(settings());
    let run = w.status().game.run.unwrap();
    w.game_exits(ExitStatus::Exited { code: 7 });
    w.give(Input::GameEvent { run, source: EventSource::Agones, event: GameEvent::StopMe });
    assert_eq!(w.status().last_end.unwrap().reason, "the game ended, as it had said");
    assert!(w.seen.iter().all(|effect| !matches!(effect, Effect::End(_))));
}

#[test]
fn a_warm_game_may_ask_for_it_too() {
    let mut w = warm();
    w.say(GameEvent::StopMe);
    w.pass(secs(1));
    assert_eq!(w.keeper.starts, [1, 2]);
    assert_eq!(w.status().phase, PhaseName::Idle);
    assert!(w.kinds().contains(&"restart"), "after a delay");
}

#[test]
fn a_warm_game_that_announces_its_end_may_do_so_as_often_as_it_likes() {
    for late in [false, true] {
        let mut s = at_boot();
        s.restart.budget = 2;
        let mut w = World::new(s);
        for _ in 0..5 {
            w.say(GameEvent::Ready);
            let run = w.status().game.run.unwrap();
            if !late {
                w.say(GameEvent::Shutdown);
            }
            w.game_exits(ExitStatus::Exited { code: 7 });
            if late {
                w.give(Input::GameEvent { run, source: EventSource::Agones, event: GameEvent::StopMe });
            }
            w.pass(secs(60));
        }
        assert!(w.seen.iter().all(|effect| !matches!(effect, Effect::End(_))), "no crash loop: {:?}", w.kinds());
        assert_eq!(w.keeper.starts.len(), 6);
    }
}

#[test]
fn a_game_that_has_said_it_will_end_takes_no_more_players() {
    let mut w = World::serving(settings());
    w.say(GameEvent::Shutdown);
    w.say(GameEvent::Joinable(Admission::Open));
    assert_eq!(w.shown(), Some(JoinStatus::Unjoinable));
}

#[test]
fn a_game_that_holds_itself_back_is_neither_offered_nor_allocated() {
    let mut w = warm();
    assert!(matches!(w.offer, Some(Availability::Free { .. })));
    w.say(GameEvent::Offer(Admission::Closed));
    assert!(matches!(w.offer, Some(Availability::Unavailable)));
    assert_eq!(allocate(&mut w, "a1"), Some(Refused::HeldBack));
    w.say(GameEvent::Offer(Admission::Open));
    assert!(matches!(w.offer, Some(Availability::Free { .. })));
    assert_eq!(allocate(&mut w, "a2"), None);
    assert_eq!(w.shown(), Some(JoinStatus::Joinable));
}

#[test]
fn a_game_that_is_free_again_doesnt_wait_for_players_whom_nobody_counts() {
    let mut s = at_boot();
    s.recycle.after_matches = 0;
    let mut w = World::new(s);
    let says = |w: &mut World, said| {
        let run = w.status().game.run.unwrap();
        w.give(Input::GameEvent { run, source: EventSource::Agones, event: said });
    };
    says(&mut w, GameEvent::Ready);
    assert_eq!(allocate(&mut w, "a1"), None);
    says(&mut w, GameEvent::MatchEnded { allocation: None });
    assert_eq!(w.status().phase, PhaseName::Draining);
    says(&mut w, GameEvent::Offer(Admission::Open));
    assert_eq!(w.status().phase, PhaseName::Idle);
    assert_eq!(w.keeper.starts, [1], "the same process");

    assert_eq!(allocate(&mut w, "a2"), None);
    says(&mut w, GameEvent::PlayerJoined(GamePlayer { id: "ann".to_owned(), name: None, team: None }));
    says(&mut w, GameEvent::MatchEnded { allocation: None });
    says(&mut w, GameEvent::Offer(Admission::Open));
    assert_eq!(w.status().phase, PhaseName::Draining, "she may finish");
    says(&mut w, GameEvent::PlayerLeft { id: "ann".to_owned() });
    assert_eq!(w.status().phase, PhaseName::Idle);
}

#[test]
fn what_a_frontend_keeps_is_there_for_the_next_agent_and_gone_with_the_run() {
    let mut w = warm();
    let kept = Kept::from("a book".to_owned());
    w.say(GameEvent::Keep(kept.clone()));
    w.kill_agent();
    assert_eq!(w.status().game.kept.get(&EventSource::Native), Some(&kept));
    w.say(GameEvent::StopMe);
    w.pass(secs(1));
    assert!(w.status().game.kept.is_empty());
}
