//! Backfill over simulated time.

use crate::core::testing::{World, backfill, member, secs, settings};
use crate::model::{
    calls::{Answer, Refusal},
    game::{Admission, GameEvent, GameNotice},
    process::ExitStatus,
    session::Session,
};
use std::time::Duration;

fn session(w: &mut World) -> &mut Session {
    w.service.sessions.values_mut().next().unwrap()
}

#[test]
fn whenever_it_appears_it_is_followed_and_never_acknowledged_late() {
    let mut s = settings();
    s.guards.no_show_timeout = None;
    let mut w = World::serving(s);
    w.pass(secs(100));
    assert!(w.service.acks.is_empty());
    session(&mut w).backfill = Some(backfill("b1"));
    w.pass(secs(1800));
    let acks = w.service.acks.clone();
    assert!(acks.len() > 340, "{}", acks.len());
    let late = acks.windows(2).map(|pair| pair[1].since(pair[0])).max().unwrap();
    assert!(late <= secs(5), "half the timeout is the most: {late:?}");
    let early = acks.windows(2).skip(2).map(|pair| pair[1].since(pair[0])).min().unwrap();
    assert!(early >= Duration::from_millis(4400), "{early:?}");
}

#[test]
fn the_game_is_told_who_comes() {
    let mut w = World::serving(settings());
    session(&mut w).backfill = Some(backfill("b1"));
    w.service.ack_answer.push_back(Ok(Answer::Backfilled(vec![member(5)])));
    w.pass(secs(11));
    let told = w.told_game();
    assert!(told.iter().any(|told| matches!(told, GameNotice::Backfilled { players } if players[0].0.as_u128() == 5)));
}

#[test]
fn it_ends_without_noise_where_it_is_gone() {
    for refusal in [Refusal::NotFound { code: "backfill_not_found".into() }, Refusal::Gone] {
        let mut w = World::serving(settings());
        session(&mut w).backfill = Some(backfill("b1"));
        w.service.ack_answer.push_back(Err(refusal));
        w.pass(secs(11));
        assert_eq!(w.service.acks.len(), 1);
        let kinds = w.kinds().len();
        w.pass(secs(60));
        assert_eq!((w.service.acks.len(), w.kinds().len()), (1, kinds));
        session(&mut w).backfill = Some(backfill("b2"));
        w.pass(secs(21));
        assert!(w.service.acks.len() > 2, "the next one is followed");
    }
}

#[test]
fn the_places_needed_are_told_as_players_come_and_go_but_not_those_that_are_kept() {
    let mut w = World::serving(settings());
    session(&mut w).backfill = Some(backfill("b1"));
    session(&mut w).teams[0].players = vec![member(5)];
    w.pass(secs(11));
    assert!(w.service.told.contains(&"needs 1+2".to_owned()), "{:?}", w.service.told);
    w.take_told();
    let id = uuid::Uuid::from_u128(5).to_string();
    w.say(GameEvent::PlayerJoined(crate::model::game::GamePlayer { id: id.clone(), name: None, team: None }));
    w.say(GameEvent::PlayerLeft { id: id.clone() });
    w.pass(secs(100));
    assert!(!w.service.told.iter().any(|told| told.starts_with("needs")), "its place is kept: {:?}", w.service.told);
    w.pass(secs(20));
    assert!(w.service.told.contains(&format!("remove {id}")));
}

#[test]
fn it_is_deleted_when_full_when_unjoinable_and_at_the_end() {
    let mut w = World::serving(settings());
    session(&mut w).backfill = Some(backfill("b1"));
    session(&mut w).teams.iter_mut().for_each(|team| team.max_size = 0);
    w.pass(secs(11));
    assert!(w.service.told.contains(&"delete backfill".to_owned()));

    let mut w = World::serving(settings());
    session(&mut w).backfill = Some(backfill("b1"));
    w.pass(secs(11));
    w.say(GameEvent::Joinable(Admission::Closed));
    assert!(w.service.told.contains(&"delete backfill".to_owned()));

    let mut w = World::serving(settings());
    session(&mut w).backfill = Some(backfill("b1"));
    w.pass(secs(11));
    w.game_exits(ExitStatus::Exited { code: 0 });
    assert!(w.service.told.contains(&"delete backfill".to_owned()));

    let mut s = settings();
    s.backfill.delete_when_unjoinable = false;
    let mut w = World::serving(s);
    session(&mut w).backfill = Some(backfill("b1"));
    w.pass(secs(11));
    w.say(GameEvent::Joinable(Admission::Closed));
    let acks = w.service.acks.len();
    w.pass(secs(30));
    assert!(w.service.acks.len() > acks + 4, "kept alive on purpose");
}
