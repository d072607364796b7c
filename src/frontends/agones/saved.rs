//! The SDK state as the agent keeps it for the next gateway and agent, in two texts: what is small,
//! and what may be large and seldom changes, which is written only when it has.
//!
//! | text | members |
//! |---|---|
//! | `Keep` | own state, allocation, counters |
//! | `KeepAside` | labels, annotations, lists, players |
//!
//! An earlier gateway said all of it as `Keep`. A member that neither has is as it was at the start
//! of the run.

use super::{
    Settings,
    counters_lists::{Counter, List},
    error::{Code, RpcError},
    state::{Players, SdkState, SelfState},
};
use crate::model::{
    game::{GameEvent, Kept},
    ids::AllocationId,
};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// How much is kept aside of one run, in bytes of JSON.
pub(super) const MAX_ASIDE: usize = 256 * 1024;

#[derive(PartialEq, Serialize)]
struct Small<'s> {
    own: SelfState,
    spoken: bool,
    counters: &'s BTreeMap<String, Counter>,
    allocation: &'s Option<AllocationId>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unshown: bool,
    returned: &'s Option<AllocationId>,
}

#[derive(PartialEq, Serialize)]
struct Aside<'s> {
    labels: &'s BTreeMap<String, String>,
    annotations: &'s BTreeMap<String, String>,
    lists: &'s BTreeMap<String, List>,
    players: &'s Option<Players>,
}

impl<'s> Small<'s> {
    fn of(state: &'s SdkState) -> Self {
        Small {
            own: state.self_state,
            spoken: state.used,
            counters: &state.counters,
            allocation: &state.allocation,
            unshown: state.unshown,
            returned: &state.returned,
        }
    }
}

impl<'s> Aside<'s> {
    fn of(state: &'s SdkState) -> Self {
        Aside { labels: &state.labels, annotations: &state.annotations, lists: &state.lists, players: &state.players }
    }
}

/// What is to be said of it, where the agent has `known`; none: it has nothing.
pub(super) fn statements(known: Option<&SdkState>, state: &SdkState) -> Result<Vec<GameEvent>, RpcError> {
    let mut said = Vec::new();
    let (small, aside) = (Small::of(state), Aside::of(state));
    if known.is_none_or(|known| Aside::of(known) != aside) {
        let text = text(&aside);
        if text.len() > MAX_ASIDE {
            let message =
                format!("more than {} KiB of labels, annotations, lists and players can't be kept", MAX_ASIDE / 1024);
            return Err(RpcError::new(Code::ResourceExhausted, message));
        }
        said.push(GameEvent::KeepAside(text.into()));
    }
    if known.is_none_or(|known| Small::of(known) != small) {
        said.push(GameEvent::Keep(text(&small).into()));
    }
    Ok(said)
}

fn text(part: &impl Serialize) -> String {
    serde_json::to_string(part).expect("plain data always serialises")
}

/// The state of a run of which the agent has kept this. A part that can't be read is passed over.
pub(super) fn restore(settings: &Settings, kept: Option<&Kept>, aside: Option<&Kept>) -> SdkState {
    let mut state = SdkState::new(settings);
    for part in [kept, aside].into_iter().flatten() {
        match overlaid(&state, part.as_str()) {
            Ok(known) => state = known,
            Err(error) => tracing::warn!(%error, "a part of the SDK state of an earlier gateway can't be read"),
        }
    }
    state
}

/// The state with the members that a text has.
fn overlaid(state: &SdkState, text: &str) -> Result<SdkState, serde_json::Error> {
    let mut members: Map<String, Value> = serde_json::from_value(serde_json::to_value(state)?)?;
    members.extend(serde_json::from_str::<Map<String, Value>>(text)?);
    serde_json::from_value(Value::Object(members))
}
