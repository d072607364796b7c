//! Who becomes a member of the session.

use crate::core::{
    io::Input,
    testing::{World, allocation, secs, settings},
};
use crate::model::{
    allocation::ProviderKind,
    game::{EventSource, GameEvent, GameNotice, GamePlayer},
    ids::RunNumber,
    orders::Order,
    policy::AdmissionPolicy,
};

fn joins(id: &str) -> GameEvent {
    GameEvent::PlayerJoined(GamePlayer { id: id.into(), name: None, team: None })
}
const ANN: &str = "00000000-0000-0000-0000-00000000000a";
const BOB: &str = "00000000-0000-0000-0000-00000000000b";

#[test]
fn an_unknown_player_is_reported_where_only_members_may_play() {
    let mut w = World::serving(settings());
    w.pass(secs(1));
    w.say(joins(ANN));
    w.say(joins("bot-1"));
    let told: Vec<_> =
        w.told_game().into_iter().filter(|told| matches!(told, GameNotice::NotInSession { .. })).collect();
    assert_eq!(told, [&GameNotice::NotInSession { id: ANN.into() }]);
    assert_eq!(w.status().players, Some(2), "both show in status and counts");
}

#[test]
fn where_all_may_play_they_are_added_within_team_size() {
    let mut s = settings();
    s.session.own_admission = AdmissionPolicy::Open;
    let mut w = World::serving(s);
    for session in w.service.sessions.values_mut() {
        session.teams.truncate(1);
        session.teams[0].max_size = 1;
    }
    w.pass(secs(11));
    w.take_told();
    w.say(GameEvent::Players(vec![
        GamePlayer { id: ANN.into(), name: None, team: None },
        GamePlayer { id: BOB.into(), name: None, team: None },
    ]));
    assert_eq!(w.take_told(), [format!("add {ANN} to 0")]);
    assert!(w.told_game().contains(&&GameNotice::NotInSession { id: BOB.into() }));
}

#[test]
fn a_session_of_our_own_may_admit_others_than_one_that_was_given_to_us() {
    for own in [true, false] {
        let mut s = settings();
        s.session.own_admission = AdmissionPolicy::Open;
        s.provider = ProviderKind::Hook;
        let mut w = World::new(s);
        w.service.add_session("given");
        let session = (!own).then_some("given");
        w.order(Order::Allocate(Box::new(allocation("a1", session))));
        w.say(GameEvent::Ready);
        w.pass(secs(1));
        w.take_told();
        w.say(joins(ANN));
        let refused = w.told_game().contains(&&GameNotice::NotInSession { id: ANN.into() });
        assert_eq!((w.take_told().contains(&format!("add {ANN} to 0")), refused), (own, !own), "own: {own}");
    }
}

#[test]
fn the_source_nearest_to_the_game_tells_who_plays_and_nobody_is_counted_twice() {
    let player = |id: &str, name: &str| GamePlayer { id: id.into(), name: Some(name.into()), team: None };
    let mut w = World::new(settings());
    w.say(GameEvent::Ready);
    let run = RunNumber(1);
    let probed = GameEvent::Players(vec![player("Pia", "Pia"), player("Bo", "Bo")]);
    w.give(Input::GameEvent { run, source: EventSource::Probe, event: probed.clone() });
    assert_eq!(w.status().players, Some(2));
    for (id, name) in [("0", "Pia"), ("1", "Bo")] {
        w.give(Input::GameEvent { run, source: EventSource::Log, event: GameEvent::PlayerJoined(player(id, name)) });
    }
    let ids = |w: &World| w.status().players_known.into_iter().map(|player| player.id).collect::<Vec<_>>();
    assert_eq!(ids(&w), ["0", "1"]);
    w.give(Input::GameEvent { run, source: EventSource::Probe, event: probed });
    w.give(Input::GameEvent {
        run,
        source: EventSource::Probe,
        event: GameEvent::PlayerCount { players: 7, max: Some(8) },
    });
    assert_eq!(ids(&w), ["0", "1"]);
    assert_eq!(w.status().max_players, Some(8), "how many it takes, only the probe knows");
    w.kill_agent();
    w.give(Input::GameEvent { run, source: EventSource::Log, event: GameEvent::PlayerLeft { id: "0".into() } });
    assert_eq!(ids(&w), ["1"]);
    w.say(GameEvent::PlayerJoined(player(ANN, "Ann")));
    assert_eq!(ids(&w), [ANN], "an SDK knows better than the log");
}

#[test]
fn lists_and_counts_become_joins_and_leaves() {
    let mut w = World::serving(settings());
    let list = |ids: &[&str]| {
        GameEvent::Players(ids.iter().map(|id| GamePlayer { id: (*id).into(), name: None, team: None }).collect())
    };
    w.say(list(&["a", "b"]));
    w.say(list(&["b", "c"]));
    let kinds: Vec<_> = w.kinds().into_iter().filter(|kind| kind.starts_with("player_")).collect();
    assert_eq!(kinds, ["player_joined", "player_joined", "player_left", "player_joined"]);
    let mut w = World::serving(settings());
    w.say(GameEvent::PlayerCount { players: 3, max: Some(8) });
    assert_eq!((w.status().players, w.status().max_players), (Some(3), Some(8)));
}
