//! The match from its beginning to its end, row by row of the lifecycle's table.

use crate::core::{
    io::Ending,
    testing::{World, settings},
};
use crate::model::{game::Said, process::ExitStatus, session::JoinStatus, status::PhaseName};

#[test]
fn a_match_of_our_own_from_offer_to_closed_and_the_next() {
    let mut w = World::new(settings());
    assert_eq!(w.status().phase, PhaseName::Starting);
    assert_eq!(w.take_told(), ["create", "post", "pending"]);
    assert_eq!(w.keeper.starts, [1]);
    w.say(Said::Ready);
    assert_eq!(w.status().phase, PhaseName::Serving);
    assert_eq!(w.take_told(), ["joinable"]);
    assert_eq!(w.status().private_conn_str.as_deref(), Some("10.0.0.5:7777"));
    assert_eq!(w.status().public_conn_str, None);
    w.game_exits(ExitStatus::Exited { code: 0 });
    assert_eq!(w.take_told(), ["closed", "create", "post", "pending"]);
    assert_eq!(w.keeper.starts, [1, 2]);
    assert!(w.status().last_end.unwrap().reported);
    assert!(w.ended.is_none());
}

#[test]
fn asked_to_end_with_nobody_playing_it_stops_the_game_and_ends() {
    let mut w = World::serving(settings());
    w.take_told();
    w.give(crate::core::io::Input::Terminate);
    assert_eq!(w.take_told(), ["unjoinable", "audit drain", "closed"]);
    assert!(matches!(w.ended, Some(Ending::Orderly { .. })), "{:?}", w.ended);
    assert!(
        w.keeper.orders.ends_with(&["taken 1".into(), "record".into(), "shutdown".into()]),
        "{:?}",
        w.keeper.orders
    );
    assert_eq!(w.shown(), Some(JoinStatus::Closed));
}
