//! A world goes on, whoever plays.

use crate::core::{
    io::Ending,
    testing::{World, secs, settings},
};
use crate::model::{
    game::{GameEvent, GamePlayer},
    policy::{GameKind, RestartWhen},
    process::ExitStatus,
    session::JoinStatus,
    status::PhaseName,
    units::Span,
};

const CRASH: ExitStatus = ExitStatus::Signaled { signal: 11, core: false };
const DONE: ExitStatus = ExitStatus::Exited { code: 0 };

fn world() -> crate::core::settings::Settings {
    let mut s = settings();
    s.kind = GameKind::World;
    s
}

#[test]
fn a_world_has_no_guard_and_is_started_again_for_ever_once_it_has_been_up() {
    let mut s = world();
    s.guards.max_match_time = Some(Span::from_secs(60));
    let mut w = World::serving(s);
    let session = w.status().session_id;
    w.pass(secs(3600));
    w.say(GameEvent::PlayerJoined(GamePlayer { id: "ann".into(), name: None, team: None }));
    w.say(GameEvent::PlayerLeft { id: "ann".into() });
    w.pass(secs(3600));
    assert_eq!((w.keeper.starts.len(), w.shown()), (1, Some(JoinStatus::Joinable)));
    for run in 2..12 {
        w.game_exits(if run % 2 == 0 { CRASH } else { DONE });
        w.pass(secs(31));
        assert_eq!(w.keeper.starts.len(), run, "{:?}", w.ended);
    }
    w.say(GameEvent::Ready);
    assert_eq!((w.status().session_id, w.status().phase), (session, PhaseName::Serving), "in the same session");
    assert_eq!(w.status().kind, GameKind::World);
}

#[test]
fn a_world_that_has_never_been_up_fails_as_clearly_as_a_match() {
    let mut w = World::new(world());
    for _ in 0..3 {
        w.game_exits(CRASH);
        w.pass(secs(10));
    }
    assert!(matches!(&w.ended, Some(Ending::Failed { why }) if why.contains("crash loop")), "{:?}", w.ended);
}

#[test]
fn a_world_that_is_never_to_be_started_again_isnt() {
    let mut s = world();
    s.restart.when = RestartWhen::Never;
    let mut w = World::serving(s);
    let session = w.status().session_id;
    w.game_exits(DONE);
    assert_ne!(w.status().session_id, session, "its match is closed");
}
