//! Instance outboxes: levels, milestones, writes whose outcome isn't known, the last report.

use crate::core::{
    io::{Effect, Input},
    testing::{Net, World, secs, settings},
};
use crate::model::{
    calls::{Backend, Call, Refusal},
    game::{Admission, GameEvent},
    process::ExitStatus,
    session::JoinStatus,
};

fn unreachable() -> Net {
    Net::Refuses(Refusal::Unreachable { why: "refused".into() })
}

#[test]
fn the_newest_level_wins() {
    let mut w = World::serving(settings());
    w.service.net = unreachable();
    w.take_told();
    for gate in [Admission::Closed, Admission::Open, Admission::Closed, Admission::Open, Admission::Closed] {
        w.say(GameEvent::Joinable(gate));
    }
    w.service.net = Net::Up;
    w.give(Input::Backend(Backend::Up));
    assert_eq!(w.take_told(), ["unjoinable"]);
}

#[test]
fn milestones_that_were_passed_over_are_told_in_order_with_their_times() {
    let mut w = World::new(settings());
    w.take_told();
    w.service.net = unreachable();
    w.pass(secs(3));
    let joinable = w.now().wall;
    w.say(GameEvent::Ready);
    w.say(GameEvent::Players(Vec::new()));
    w.pass(secs(3));
    let unjoinable = w.now().wall;
    w.say(GameEvent::MatchEnded { allocation: None });
    w.pass(secs(3));
    w.service.net = Net::Up;
    w.give(Input::Backend(Backend::Up));
    assert_eq!(w.take_told()[..4], ["audit joinable", "audit unjoinable", "audit drain", "closed"]);
    assert_eq!(w.service.audits[..2], [("joinable", joinable), ("unjoinable", unjoinable)]);
}

#[test]
fn it_converges_within_two_seconds_of_the_services_return_even_if_nobody_says_that_it_is_back() {
    let mut s = settings();
    s.guards.no_show_timeout = None;
    let mut w = World::serving(s);
    w.service.net = unreachable();
    w.say(GameEvent::Joinable(Admission::Closed));
    w.pass(secs(3600));
    w.service.net = Net::Up;
    w.pass(secs(2));
    assert_eq!(w.shown(), Some(JoinStatus::Unjoinable));
}

#[test]
fn an_answer_that_was_lost_is_read_back_before_the_next_write() {
    let mut w = World::serving(settings());
    w.take_told();
    w.service.net = Net::LosesAnswers;
    w.say(GameEvent::Joinable(Admission::Closed));
    assert_eq!(w.take_told(), ["unjoinable"]);
    w.seen.clear();
    w.service.net = Net::Up;
    w.pass(secs(2));
    assert!(w.take_told().is_empty(), "it had arrived");
    assert!(w.seen.iter().any(|effect| matches!(effect, Effect::Call { call: Call::ReadSession { .. }, .. })));
}

#[test]
fn a_post_whose_answer_was_lost_is_not_repeated() {
    let mut s = settings();
    s.provider = crate::model::allocation::ProviderKind::Hook;
    let mut w = World::new(s);
    w.service.add_session("s1");
    let order = crate::core::testing::allocation("a1", Some("s1"));
    w.service.net = Net::Up;
    w.disk = crate::core::testing::Disk::Silent;
    w.order(crate::model::orders::Order::Allocate(Box::new(order)));
    assert!(w.take_told().is_empty(), "not before the instance id is on disk");
    w.service.net = Net::LosesAnswers;
    w.disk = crate::core::testing::Disk::Works;
    let seq = w.seen.iter().filter_map(|e| if let Effect::Commit { seq, .. } = e { Some(*seq) } else { None }).max();
    w.give(Input::Journal(crate::core::io::JournalFact::Committed { seq: seq.unwrap() }));
    assert_eq!(w.take_told(), ["post"]);
    w.service.net = Net::Up;
    w.pass(secs(2));
    assert_eq!(w.take_told(), ["pending"]);
}

#[test]
fn closed_is_confirmed_by_reading_back() {
    let mut w = World::serving(settings());
    w.seen.clear();
    w.allocates = false;
    w.game_exits(ExitStatus::Exited { code: 0 });
    let calls: Vec<_> =
        w.seen.iter().filter_map(|e| if let Effect::Call { call, .. } = e { Some(call) } else { None }).collect();
    let closed = calls.iter().position(|call| matches!(call, Call::PatchInstance { .. })).unwrap();
    assert!(matches!(calls[closed + 1], Call::ReadSession { .. }), "{calls:?}");
    assert!(w.status().outbox.is_empty());
}

#[test]
fn a_session_that_is_gone_or_has_another_instance_counts_as_told() {
    for gone in [true, false] {
        let mut w = World::serving(settings());
        w.allocates = false;
        if gone {
            w.service.sessions.clear();
        } else {
            let session = w.service.sessions.values_mut().next().unwrap();
            session.instance.as_mut().unwrap().instance_id = "another".parse().unwrap();
            session.instance.as_mut().unwrap().allocation_id = Some("another".parse().unwrap());
        }
        w.game_exits(ExitStatus::Exited { code: 0 });
        w.pass(secs(3));
        assert!(w.status().outbox.is_empty(), "{gone}");
        assert!(w.status().last_end.unwrap().reported);
    }
}

#[test]
fn every_write_to_an_allocated_instance_carries_its_allocation_id() {
    let mut s = settings();
    s.provider = crate::model::allocation::ProviderKind::Sic;
    let mut w = World::new(s);
    let created = w.now().wall;
    let info = crate::core::testing::instance("i1".parse().unwrap(), Some("a1"), JoinStatus::Allocated, created);
    w.service.add_session("s1").instance = Some(info);
    w.give(Input::Allocated(crate::core::testing::allocation("a1", Some("s1"))));
    w.say(GameEvent::Ready);
    w.game_exits(ExitStatus::Exited { code: 0 });
    // The service of these tests refuses another allocation id, and none.
    assert_eq!(w.take_told(), ["pending", "joinable", "closed"]);
}

#[test]
fn a_missing_permission_for_the_audit_does_not_hold_up_the_last_word() {
    let mut w = World::serving(settings());
    w.allocates = false;
    w.service.audit_refused = Some(Refusal::Credentials { desc: "session:audit is missing".into() });
    w.say(GameEvent::MatchEnded { allocation: None });
    w.pass(secs(60));
    let told = w.take_told();
    assert!(told.iter().any(|what| what.starts_with("audit")), "it was tried: {told:?}");
    assert!(w.service.audits.is_empty(), "and refused each time");
    assert_eq!(w.shown(), Some(JoinStatus::Closed));
    assert!(w.status().outbox.is_empty(), "{:?}", w.status().outbox);
    assert_eq!(w.status().last_end.map(|end| end.reported), Some(true));
}

#[test]
fn each_refusal_stands_until_its_own_end() {
    let waits = |w: &World| w.status().warnings.iter().any(|text| text.contains("doesn't take our reports"));
    let dropped = |w: &World| w.status().warnings.iter().any(|text| text.contains("it was dropped: not this"));
    let mut w = World::serving(settings());
    w.service.net = Net::Refuses(Refusal::Invalid { desc: "not this".into() });
    w.say(GameEvent::Joinable(Admission::Closed));
    assert!(dropped(&w) && !waits(&w));
    w.service.net = Net::Refuses(Refusal::Credentials { desc: "no permission".into() });
    w.say(GameEvent::Joinable(Admission::Open));
    w.pass(secs(5));
    assert!(dropped(&w) && waits(&w));
    assert_eq!(w.kinds().into_iter().filter(|kind| *kind == "report_refused").count(), 2, "once for each");
    w.service.net = Net::Up;
    w.pass(secs(2));
    assert_eq!(w.shown(), Some(JoinStatus::Joinable));
    assert!(dropped(&w) && !waits(&w), "what was dropped is missing still");
    w.game_exits(ExitStatus::Exited { code: 0 });
    assert!(!dropped(&w) && !waits(&w));
}

#[test]
fn a_last_word_that_is_refused_is_shown_for_as_long_as_it_waits() {
    let mut w = World::serving(settings());
    w.allocates = false;
    w.service.net = Net::Refuses(Refusal::Credentials { desc: "no permission".into() });
    w.game_exits(ExitStatus::Exited { code: 0 });
    w.pass(secs(10));
    assert!(w.status().warnings.iter().any(|text| text.contains("no permission")), "{:?}", w.status().warnings);
    w.service.net = Net::Up;
    w.pass(secs(2));
    assert_eq!(w.status().warnings, [""; 0]);
}

#[test]
fn retry_after_is_honoured() {
    let mut w = World::serving(settings());
    w.service.net = Net::Refuses(Refusal::Busy { retry_after: Some(secs(30)) });
    w.say(GameEvent::Joinable(Admission::Closed));
    w.service.net = Net::Up;
    w.take_told();
    w.pass(secs(29));
    assert!(w.take_told().is_empty());
    w.pass(secs(1));
    assert_eq!(w.take_told(), ["unjoinable"]);
}
