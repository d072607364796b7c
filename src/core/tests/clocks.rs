//! Deadlines from one life to the next, where the wall clock is set in between.

use crate::core::{
    io::{Ending, SavedState},
    testing::{World, secs, settings},
};
use crate::model::{
    game::{GameEvent, GamePlayer},
    orders::{After, Order},
    status::PhaseName,
    units::Span,
};

/// A match with a player in it, which has 20 minutes to end.
fn draining() -> World {
    let mut s = settings();
    s.drain.deadline = Span::from_secs(1200);
    let mut w = World::serving(s);
    w.say(GameEvent::PlayerJoined(GamePlayer { id: "ann".into(), name: None, team: None }));
    w.order(Order::Drain { reason: None, then: After::End });
    w
}

fn half_is_left(w: &World) {
    let left = w.status().deadline.unwrap().since(w.now().wall);
    assert!(left > secs(580) && left <= secs(600), "{left:?}");
}

#[test]
fn a_clock_that_is_set_between_two_lives_ends_no_drain() {
    let mut w = draining();
    w.pass(secs(600));
    let aside = |w: &mut World| w.wake(SavedState::SetAside { why: "damaged".into(), text: None });
    for life in [World::kill_agent as fn(&mut World), aside] {
        w.clock_set += secs(3600);
        life(&mut w);
        assert_eq!(w.status().phase, PhaseName::Draining);
        half_is_left(&w);
    }
    w.pass(secs(590));
    assert!(w.ended.is_none() && w.status().phase == PhaseName::Draining);
    w.pass(secs(20));
    assert!(matches!(w.ended, Some(Ending::Orderly { .. })), "{:?}", w.ended);
}

#[test]
fn a_journal_that_says_nothing_of_its_clock_goes_by_the_wall_clock() {
    let mut w = draining();
    let mut text: serde_json::Value = serde_json::from_str(w.journal.as_deref().unwrap()).unwrap();
    let clock = text.as_object_mut().unwrap().remove("clock");
    assert!(clock.is_some());
    w.pass(secs(600));
    w.wake(SavedState::Journal(text.to_string().into()));
    half_is_left(&w);
}
