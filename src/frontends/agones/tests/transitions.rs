//! The state machine as a table.

use super::{
    super::{
        GameServerState,
        error::Code,
        state::{AgentView, LAST_ALLOCATED, SdkState},
    },
    settings,
};
use crate::model::{game::GameEvent, ids::AllocationId, time::Timestamp};
use std::time::Duration;

const NOW: Timestamp = Timestamp::EPOCH;

/// Plays the words in their order; `silence` and `ping` are the agent's verdict.
fn play(words: &str, view: &AgentView) -> (SdkState, AgentView, Vec<Result<Vec<GameEvent>, Code>>) {
    let (mut state, mut view) = (SdkState::new(&settings()), view.clone());
    state.track_allocation(&view, NOW);
    let mut answers = Vec::new();
    for word in words.split_whitespace() {
        let outcome = match word {
            "ready" => state.ready(&view),
            "allocate" => state.allocate(&view, NOW),
            "reserve" => state.reserve(5, &view, NOW),
            "for-ever" => state.reserve(0, &view, NOW),
            "shutdown" => state.shutdown(),
            "silence" | "ping" => {
                view.unhealthy = word == "silence";
                answers.push(Ok(Vec::new()));
                continue;
            }
            "sees" => {
                let is_allocated = state.game_server_state(&view) == GameServerState::Allocated;
                state.seen = is_allocated.then(|| view.allocation.clone()).flatten();
                continue;
            }
            other => panic!("no word {other}"),
        };
        answers.push(outcome.map(|done| done.events).map_err(|error| error.code));
    }
    (state, view, answers)
}

fn served() -> AgentView {
    AgentView { allocation: AllocationId::new("one").ok(), ..AgentView::default() }
}

#[test]
fn every_way_through_the_states() {
    let (free, served) = (AgentView::default(), served());
    let table = [
        (&free, "", GameServerState::Scheduled, ""),
        (&free, "ready", GameServerState::Ready, ""),
        (&free, "ready ready", GameServerState::Ready, ""),
        (&free, "ready allocate", GameServerState::Allocated, ""),
        (&free, "ready allocate ready", GameServerState::Ready, ""),
        (&free, "ready reserve", GameServerState::Reserved, ""),
        (&free, "ready for-ever allocate", GameServerState::Allocated, ""),
        (&free, "ready shutdown", GameServerState::Shutdown, ""),
        (&free, "ready shutdown ready", GameServerState::Shutdown, "ready"),
        (&free, "shutdown allocate reserve shutdown", GameServerState::Shutdown, "allocate reserve"),
        (&free, "ready silence", GameServerState::Unhealthy, ""),
        (&free, "ready silence ready allocate reserve", GameServerState::Unhealthy, "ready allocate reserve"),
        (&free, "ready silence ping", GameServerState::Ready, ""),
        (&free, "ready silence shutdown", GameServerState::Shutdown, ""),
        (&free, "ready shutdown silence", GameServerState::Shutdown, ""),
        (&served, "", GameServerState::Scheduled, ""),
        (&served, "ready", GameServerState::Allocated, ""),
        (&served, "ready ready", GameServerState::Allocated, ""),
        (&served, "ready sees ready", GameServerState::Ready, ""),
        (&served, "ready reserve", GameServerState::Reserved, ""),
        (&served, "ready sees reserve ready", GameServerState::Allocated, ""),
    ];
    for (view, words, shown, refused) in table {
        let (state, view, answers) = play(words, view);
        assert_eq!(state.game_server_state(&view), shown, "{words}");
        let spoken = words.split_whitespace().filter(|word| *word != "sees");
        let said_no: Vec<_> =
            spoken.zip(&answers).filter(|(_, answer)| answer.is_err()).map(|(word, _)| word).collect();
        assert_eq!(said_no.join(" "), refused, "{words}");
        assert!(
            answers.iter().all(|answer| answer.as_ref().err().is_none_or(|code| *code == Code::FailedPrecondition))
        );
        let ended = answers
            .iter()
            .flatten()
            .flatten()
            .filter(|said| matches!(said, GameEvent::MatchEnded { allocation } if *allocation == view.allocation))
            .count();
        assert_eq!(ended == 1, words == "ready sees ready", "{words}");
    }
}

#[test]
fn the_end_of_a_session_frees_the_game_and_a_new_one_allocates_it() {
    let (free, served) = (AgentView::default(), served());
    let (mut state, ..) = play("ready allocate", &served);
    assert!(state.annotations.contains_key(LAST_ALLOCATED));
    state.track_allocation(&free, NOW);
    assert_eq!(state.game_server_state(&free), GameServerState::Ready);
    state.track_allocation(&served, NOW);
    assert_eq!(state.game_server_state(&served), GameServerState::Allocated);
    assert_eq!(state.game_server_state(&AgentView { closing: true, ..served }), GameServerState::Shutdown);
}

#[test]
fn last_allocated_changes_when_the_state_becomes_allocated_and_not_before() {
    let (later, latest) = (NOW.plus(Duration::from_secs(5)), NOW.plus(Duration::from_secs(9)));
    let starting = AgentView { ready: false, ..served() };
    let (mut state, ..) = play("", &AgentView::default());
    let noted = |state: &SdkState| state.annotations.get(LAST_ALLOCATED).cloned();
    assert!(state.track_allocation(&starting, NOW));
    assert_eq!((state.game_server_state(&starting), noted(&state)), (GameServerState::Scheduled, None));

    let ready = AgentView { ready: true, ..starting };
    let mut next: SdkState = serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap();
    for state in [&mut state, &mut next] {
        assert!(state.track_allocation(&ready, later));
        assert_eq!(
            (state.game_server_state(&ready), noted(state)),
            (GameServerState::Allocated, Some(later.to_string()))
        );
        assert!(!state.track_allocation(&ready, latest), "once");
        assert_eq!(noted(state), Some(later.to_string()));
    }
}

#[test]
fn only_an_empty_reservation_is_for_ever() {
    let until = |words: &str| play(words, &AgentView::default()).0.reserved_until();
    assert_eq!(until("reserve"), Some(NOW.plus(std::time::Duration::from_secs(5))));
    assert_eq!((until("for-ever"), until("reserve ready"), until("reserve shutdown")), (None, None, None));
}
