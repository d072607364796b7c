//! From an allocation to a session: SIC, hook, own.

use crate::core::{
    io::{Availability, Effect, Input},
    testing::{Disk, Net, World, allocation, instance, secs, settings},
};
use crate::model::{
    allocation::ProviderKind,
    calls::Refusal,
    orders::{Accepted, Order, Refused},
    process::ExitStatus,
    session::{JoinStatus, StartupParams},
    status::PhaseName,
};

fn world(provider: ProviderKind) -> World {
    let mut s = settings();
    s.provider = provider;
    World::new(s)
}

fn allocate(w: &mut World, id: &str, session: Option<&str>) {
    w.order(Order::Allocate(Box::new(allocation(id, session))));
}

fn replies(w: &World) -> Vec<Result<Accepted, Refused>> {
    let replies =
        w.seen.iter().filter_map(|e| if let Effect::Reply { reply, .. } = e { Some(reply.clone()) } else { None });
    replies.collect()
}

#[test]
fn sic_waits_until_the_session_shows_the_allocation_and_takes_its_instance_over() {
    let mut w = world(ProviderKind::Sic);
    assert!(matches!(w.offer, Some(Availability::Free { term: 0, .. })));
    w.service.add_session("s1");
    w.give(Input::Allocated(allocation("a1", Some("s1"))));
    assert!(matches!(w.offer, Some(Availability::Unavailable)));
    w.pass(secs(5));
    assert!(w.keeper.starts.is_empty());
    let info = instance("i1".parse().unwrap(), Some("a1"), JoinStatus::Allocated, w.now().wall);
    w.service.add_session("s1").instance = Some(info);
    w.pass(secs(2));
    assert_eq!(w.status().instance_id.unwrap().as_str(), "i1");
    assert_eq!(w.status().map.as_deref(), Some("theirs"));
    assert_eq!(w.take_told(), ["pending"], "the instance is there: nothing is posted");
    w.say(crate::model::game::GameEvent::Ready);
    w.game_exits(ExitStatus::Exited { code: 0 });
    assert!(matches!(w.offer, Some(Availability::Free { term: 1, .. })));
}

#[test]
fn sic_gives_up_on_an_allocation_that_no_session_shows() {
    let mut w = world(ProviderKind::Sic);
    w.give(Input::Allocated(allocation("a1", Some("s1"))));
    w.pass(secs(31));
    assert_eq!(w.status().phase, PhaseName::Idle);
    assert!(matches!(w.offer, Some(Availability::Free { term: 1, .. })));
    assert!(w.kinds().contains(&"refused"));
}

#[test]
fn a_hook_gets_its_answer_and_the_same_for_the_same_id() {
    let mut w = world(ProviderKind::Hook);
    allocate(&mut w, "a1", None);
    allocate(&mut w, "a1", None);
    let replies_now = replies(&w);
    assert!(matches!(&replies_now[0], Ok(Accepted::Allocated { session_id, .. }) if session_id.as_str() == "own-1"));
    assert_eq!(replies_now[0], replies_now[1]);
    allocate(&mut w, "a2", None);
    assert_eq!(replies(&w)[2], Err(Refused::Busy { allocation: "a1".into() }));
    assert_eq!(replies(&w)[2].as_ref().unwrap_err().http_status(), 409);
    assert_eq!(w.service.sessions.len(), 1);
}

#[test]
fn a_hook_for_an_unknown_session_gets_a_clear_error() {
    let mut w = world(ProviderKind::Hook);
    allocate(&mut w, "a1", Some("nowhere"));
    assert_eq!(replies(&w), [Err(Refused::UnknownSession { session: "nowhere".into() })]);
    assert_eq!(w.status().phase, PhaseName::Idle);
    w.service.add_session("s1");
    allocate(&mut w, "a2", Some("s1"));
    assert!(replies(&w)[1].is_ok());
    assert_eq!(w.take_told(), ["post", "pending"]);
}

#[test]
fn a_hook_is_told_when_the_service_cannot_be_asked() {
    let mut w = world(ProviderKind::Hook);
    w.service.net = Net::Refuses(Refusal::Unreachable { why: "refused".into() });
    allocate(&mut w, "a1", None);
    assert!(replies(&w).is_empty());
    w.pass(secs(5));
    let retries = |w: &World| w.kinds().into_iter().filter(|kind| *kind == "allocation_retry").count();
    assert_eq!(retries(&w), 1, "the timeline has each reason once");
    w.service.net = Net::Refuses(Refusal::Busy { retry_after: None });
    w.pass(secs(5));
    assert_eq!(retries(&w), 2);
    assert!(w.timeline().iter().any(|text| text.ends_with("it is tried again: the service is busy")));
    assert!(matches!(replies(&w)[..], [Err(Refused::Backend { .. })]));
}

#[test]
fn an_expired_or_unstartable_allocation_is_refused_before_anything_is_spawned() {
    let mut s = settings();
    s.provider = ProviderKind::Hook;
    s.session.startup_params = None;
    let mut w = World::new(s);
    allocate(&mut w, "a1", None);
    let Err(Refused::Launch { why }) = &replies(&w)[0] else { panic!("{:?}", replies(&w)) };
    assert!(why.contains("no map"), "{why}");
    let mut old = allocation("a2", None);
    old.startup_params = Some(StartupParams { map: "m".into(), ..StartupParams::default() });
    old.expires = Some(w.now().wall);
    w.order(Order::Allocate(Box::new(old.clone())));
    assert!(matches!(replies(&w)[1], Err(Refused::Expired { .. })));
    assert!(w.keeper.starts.is_empty() && w.service.sessions.is_empty());
}

#[test]
fn an_allocation_that_expires_before_the_game_is_ready_is_given_back() {
    let mut w = world(ProviderKind::Hook);
    let mut short = allocation("a1", None);
    short.expires = Some(w.now().wall.plus(secs(20)));
    w.order(Order::Allocate(Box::new(short)));
    w.pass(secs(21));
    assert_eq!(w.status().phase, PhaseName::Idle);
    assert_eq!(w.shown(), Some(JoinStatus::Closed));
}

#[test]
fn nothing_is_accepted_while_an_end_is_undelivered_or_the_journal_broken() {
    let mut w = world(ProviderKind::Hook);
    allocate(&mut w, "a1", None);
    w.say(crate::model::game::GameEvent::Ready);
    w.service.net = Net::Refuses(Refusal::Unreachable { why: "refused".into() });
    w.game_exits(ExitStatus::Exited { code: 0 });
    allocate(&mut w, "a2", None);
    assert_eq!(replies(&w)[1], Err(Refused::EndUndelivered));
    w.service.net = Net::Up;
    w.pass(secs(2));
    w.disk = Disk::Fails;
    w.give(Input::Registered { registered: false, trouble: None });
    allocate(&mut w, "a3", None);
    w.pass(secs(1));
    allocate(&mut w, "a4", None);
    assert!(matches!(replies(&w).last(), Some(Err(Refused::JournalBroken { .. } | Refused::Busy { .. }))));
}

#[test]
fn an_own_session_is_asked_for_until_there_is_one() {
    let mut s = settings();
    s.provider = ProviderKind::Auto;
    let mut w = World::new(s.clone());
    w.service.net = Net::Refuses(Refusal::Unreachable { why: "refused".into() });
    w.game_exits(ExitStatus::Exited { code: 0 });
    w.pass(secs(3600));
    w.service.net = Net::Up;
    w.pass(secs(2));
    w.say(crate::model::game::GameEvent::Ready);
    assert_eq!(w.shown(), Some(JoinStatus::Joinable));
}

#[test]
fn a_session_whose_making_was_not_heard_of_is_not_made_twice() {
    for provider in [ProviderKind::Hook, ProviderKind::Auto] {
        let mut w = match provider {
            ProviderKind::Auto => World::serving(settings()),
            other => world(other),
        };
        w.allocates = false;
        if provider == ProviderKind::Auto {
            w.game_exits(ExitStatus::Exited { code: 0 });
        }
        let before = w.service.sessions.len();
        w.service.net = Net::LosesAnswers;
        match provider {
            ProviderKind::Hook => allocate(&mut w, "a9", None),
            _ => w.give(Input::Allocated(allocation("a9", None))),
        }
        assert_eq!(w.service.sessions.len(), before + 1, "{provider:?}: it was made");
        w.service.net = Net::Up;
        w.kill_agent();
        w.pass(secs(5));
        assert_eq!(w.service.sessions.len(), before + 1, "{provider:?}");
        assert_eq!(w.status().session_id, w.service.sessions.keys().last().cloned());
    }
}
