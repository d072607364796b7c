//! Who becomes a member of the session.

use crate::core::testing::{World, secs, settings};
use crate::model::{
    game::{GamePlayer, Said, Told},
    policy::Admission,
};

fn joins(id: &str) -> Said {
    Said::PlayerJoined(GamePlayer { id: id.into(), name: None, team: None })
}
const ANN: &str = "00000000-0000-0000-0000-00000000000a";
const BOB: &str = "00000000-0000-0000-0000-00000000000b";

#[test]
fn an_unknown_player_is_reported_where_only_members_may_play() {
    let mut w = World::serving(settings());
    w.pass(secs(1));
    w.say(joins(ANN));
    w.say(joins("bot-1"));
    let told: Vec<_> = w.told_game().into_iter().filter(|told| matches!(told, Told::NotInSession { .. })).collect();
    assert_eq!(told, [&Told::NotInSession { id: ANN.into() }]);
    assert_eq!(w.status().players, 2, "both show in status and counts");
}

#[test]
fn where_all_may_play_they_are_added_within_team_size() {
    let mut s = settings();
    s.players.admission = Admission::Open;
    let mut w = World::serving(s);
    for session in w.service.sessions.values_mut() {
        session.teams.truncate(1);
        session.teams[0].max_size = 1;
    }
    w.pass(secs(11));
    w.take_told();
    w.say(Said::Players(vec![
        GamePlayer { id: ANN.into(), name: None, team: None },
        GamePlayer { id: BOB.into(), name: None, team: None },
    ]));
    assert_eq!(w.take_told(), [format!("add {ANN} to 0")]);
    assert!(w.told_game().contains(&&Told::NotInSession { id: BOB.into() }));
}

#[test]
fn lists_and_counts_become_joins_and_leaves() {
    let mut w = World::serving(settings());
    let list = |ids: &[&str]| {
        Said::Players(ids.iter().map(|id| GamePlayer { id: (*id).into(), name: None, team: None }).collect())
    };
    w.say(list(&["a", "b"]));
    w.say(list(&["b", "c"]));
    let kinds: Vec<_> = w.kinds().into_iter().filter(|kind| kind.starts_with("player_")).collect();
    assert_eq!(kinds, ["player_joined", "player_joined", "player_left", "player_joined"]);
    let mut w = World::serving(settings());
    w.say(Said::PlayerCount { players: 3, max: Some(8) });
    assert_eq!((w.status().players, w.status().max_players), (3, Some(8)));
}
