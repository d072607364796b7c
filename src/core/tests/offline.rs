//! What can be said of an agent that isn't there.

use crate::core::{
    io::Saved,
    offline::{KeeperFound, status},
    testing::{Keeper, World, exit, secs, settings},
};
use crate::model::{
    game::{GameEvent, GamePlayer},
    ids::RunNumber,
    process::{ExitStatus, RunState},
    session::{InstanceHealth, JoinStatus},
    status::{PhaseName, Status},
};

/// A match with a player, whose agent is gone.
fn left() -> World {
    let mut w = World::serving(settings());
    w.say(GameEvent::PlayerJoined(GamePlayer { id: "ann".into(), name: None, team: None }));
    w
}

fn look(w: &World, keeper: &KeeperFound) -> Status {
    status("one", w.journal.clone().map(Saved::from).as_ref(), keeper, w.now())
}

fn here(keeper: &Keeper) -> KeeperFound {
    KeeperFound::Here(Box::new(keeper.hello()))
}

#[test]
fn a_game_that_lives_on_is_shown_with_its_match_and_players() {
    let w = left();
    let (alive, down) = (w.status(), look(&w, &here(&w.keeper)));
    assert_eq!((down.phase, down.join_status), (PhaseName::Serving, Some(JoinStatus::Joinable)));
    assert_eq!((&down.session_id, &down.instance_id), (&alive.session_id, &alive.instance_id));
    assert_eq!((down.game.pid, down.game.run, down.players), (alive.game.pid, alive.game.run, Some(1)));
    assert_eq!((down.instance_health, down.keeper.connected), (InstanceHealth::Healthy, true));
    assert_eq!((down.name.as_str(), down.warnings.len(), down.last_end), ("one", 0, None));
}

#[test]
fn an_end_that_its_keeper_has_or_left_behind_is_shown_as_it_was() {
    let mut w = left();
    let RunState::Running { run, started, .. } = w.keeper.run else { panic!("no game") };
    let report = exit(run, ExitStatus::Exited { code: 7 }, started, w.now().wall);
    w.keeper.run = RunState::Exited { report: report.clone() };
    for keeper in [here(&w.keeper), KeeperFound::Gone(Some(Box::new(report.clone())))] {
        let down = look(&w, &keeper);
        assert_eq!((down.game.run, down.players, down.phase), (None, Some(0), PhaseName::Closing), "{keeper:?}");
        let end = down.last_end.unwrap();
        assert_eq!((end.exit, end.reported, end.session_id), (Some(report.clone()), false, w.status().session_id));
        assert!(down.warnings.iter().any(|warning| warning.contains("the game is over")));
    }
}

#[test]
fn a_keeper_that_is_gone_or_another_one_means_that_the_game_is_lost() {
    let w = left();
    for keeper in [KeeperFound::Gone(None), here(&Keeper::new("keeper-2"))] {
        let end = look(&w, &keeper).last_end.unwrap();
        assert_eq!(end.exit.unwrap().status, ExitStatus::Lost, "{keeper:?}");
    }
}

#[test]
fn of_a_keeper_that_does_not_answer_the_journal_is_believed() {
    let w = left();
    let down = look(&w, &KeeperFound::Silent);
    assert_eq!((down.phase, down.game.run, down.keeper.connected), (PhaseName::Serving, Some(RunNumber(1)), false));
}

#[test]
fn without_a_journal_the_keepers_record_is_shown_and_what_nothing_explains_is_said() {
    let mut w = left();
    w.journal = None;
    let down = look(&w, &here(&w.keeper));
    assert_eq!((down.session_id, down.game.run), (w.status().session_id, Some(RunNumber(1))));
    w.keeper.record = None;
    let down = look(&w, &here(&w.keeper));
    assert_eq!(down.session_id, None);
    assert!(down.warnings.iter().any(|warning| warning.contains("gameside stop")), "{:?}", down.warnings);
}

#[test]
fn the_last_end_stays_what_it_was_once_it_was_noted() {
    let mut w = left();
    w.allocates = false;
    w.game_exits(ExitStatus::Exited { code: 0 });
    w.pass(secs(3));
    let down = look(&w, &KeeperFound::Gone(None));
    assert_eq!((down.phase, &down.last_end), (PhaseName::Idle, &w.status().last_end));
}
