//! The SDK state of one run: what the game has called, and what follows from it. Pure: no clock, no
//! socket.
//!
//! ```text
//!   Scheduled ──Ready──► Ready ◄──────────► Reserved        any ──► Unhealthy (pings stop) ──► as before (pings again)
//!                          ▲ │ Allocate,      │ Reserve      any ──► Shutdown, for good
//!        Ready: match over │ ▼ a session      ▼
//!                        Allocated ◄──────────┘
//! ```
//!
//! `Ready` shows as `Allocated` for as long as a session is served. A game that has seen that and
//! calls Ready again gives the match back, as on Agones; a game that only repeats an unanswered
//! Ready doesn't.
//!
//! Invariants: a call changes everything it means to, or nothing; nothing leads out of Shutdown,
//! and only pings and Shutdown out of Unhealthy; whether the game is healthy is no part of this
//! state but the agent's verdict ([`AgentView::unhealthy`]); what is serialised here is what the
//! next agent begins with.

use super::{
    GameServerState, Settings,
    counters_lists::{Counter, List, ListParts, MAX_LIST},
    error::{Code, RpcError},
    proto,
};
use crate::model::{
    CustomData,
    game::{Admission, CustomDataOf, GameEvent, GamePlayer},
    ids::AllocationId,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// What a game's own labels and annotations are stored under.
pub(crate) const PREFIX: &str = "agones.dev/sdk-";
/// Set when the game is allocated.
pub(crate) const LAST_ALLOCATED: &str = "agones.dev/last-allocated";
const MAX_KEY: usize = 100;
const MAX_VALUE: usize = 4096;
/// Labels and annotations together, in number and bytes: they are custom data of the instance as well.
const MAX_KEYS: usize = 200;
const MAX_METADATA: usize = 24 * 1024;
const MAX_PLAYER_ID: usize = 128;

/// The state that the game has called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SelfState {
    #[default]
    Scheduled,
    Ready,
    Allocated,
    /// Until this time; none: until the next call.
    Reserved {
        until: Option<Timestamp>,
    },
    Shutdown,
}

impl SelfState {
    /// As Agones names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            SelfState::Scheduled => "Scheduled",
            SelfState::Ready => "Ready",
            SelfState::Allocated => "Allocated",
            SelfState::Reserved { .. } => "Reserved",
            SelfState::Shutdown => "Shutdown",
        }
    }
}

/// What counts here of the agent's status.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct AgentView {
    /// Readiness was proved, by whatever means.
    pub ready: bool,
    /// A session is served under this allocation.
    pub allocation: Option<AllocationId>,
    /// The process is being ended.
    pub closing: bool,
    /// The agent's verdict: the health pings have stopped.
    pub unhealthy: bool,
}

/// Players of the alpha API.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Players {
    pub capacity: i64,
    pub ids: Vec<String>,
}

/// What a call answers, and what the agent hears of it.
#[derive(Debug)]
pub(crate) struct CallOutcome<T> {
    pub value: T,
    pub events: Vec<GameEvent>,
}

pub(crate) type Outcome<T> = Result<CallOutcome<T>, RpcError>;

#[allow(clippy::unnecessary_wraps, reason = "every call ends with it")]
fn done<T>(value: T, events: impl Into<Vec<GameEvent>>) -> Outcome<T> {
    Ok(CallOutcome { value, events: events.into() })
}

/// Everything that this SDK knows of one run. Its serialised form lies in the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SdkState {
    #[serde(default, rename = "own")]
    pub self_state: SelfState,
    /// The game has called or pinged; reading doesn't count.
    #[serde(default, rename = "spoken")]
    pub used: bool,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    #[serde(default)]
    pub counters: BTreeMap<String, Counter>,
    #[serde(default)]
    pub lists: BTreeMap<String, List>,
    /// None: this game doesn't use player tracking.
    #[serde(default)]
    pub players: Option<Players>,
    /// The allocation that was noted last.
    #[serde(default)]
    pub allocation: Option<AllocationId>,
    /// It hasn't shown as Allocated yet: `last-allocated` changes when it does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unshown: bool,
    /// The game has given this allocation back.
    #[serde(default)]
    pub returned: Option<AllocationId>,
    /// The game has seen that it has this allocation. Not saved: it looks again when the agent is another one.
    #[serde(skip)]
    pub seen: Option<AllocationId>,
}

impl SdkState {
    /// Of a run that has called nothing.
    pub(crate) fn new(settings: &Settings) -> Self {
        SdkState {
            self_state: SelfState::Scheduled,
            used: false,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            counters: settings.counters.clone(),
            lists: settings.lists.clone(),
            players: settings.player_capacity.map(|capacity| Players { capacity, ids: Vec::new() }),
            allocation: None,
            unshown: false,
            returned: None,
            seen: None,
        }
    }

    /// The state as Agones names it.
    pub(crate) fn game_server_state(&self, view: &AgentView) -> GameServerState {
        let serves = view.allocation.is_some() && self.returned != view.allocation;
        let well = match self.self_state {
            SelfState::Shutdown => return GameServerState::Shutdown,
            SelfState::Reserved { .. } => GameServerState::Reserved,
            SelfState::Allocated => GameServerState::Allocated,
            SelfState::Scheduled if !view.ready => GameServerState::Scheduled,
            SelfState::Scheduled | SelfState::Ready => {
                if serves {
                    GameServerState::Allocated
                } else {
                    GameServerState::Ready
                }
            }
        };
        if view.closing {
            GameServerState::Shutdown
        } else if view.unhealthy {
            GameServerState::Unhealthy
        } else {
            well
        }
    }

    /// A new session allocates the game, the end of one frees it. Whether anything changed.
    pub(crate) fn track_allocation(&mut self, view: &AgentView, now: Timestamp) -> bool {
        let another = self.allocation != view.allocation;
        if another {
            self.allocation.clone_from(&view.allocation);
            self.returned = None;
            self.seen = None;
            self.unshown = view.allocation.is_some();
            if view.allocation.is_none() && matches!(self.self_state, SelfState::Allocated | SelfState::Reserved { .. })
            {
                self.self_state = SelfState::Ready;
            }
        }
        let shows = self.unshown && self.game_server_state(view) == GameServerState::Allocated;
        if shows {
            self.mark_allocated(now);
        }
        another || shows
    }

    fn mark_allocated(&mut self, now: Timestamp) {
        self.unshown = false;
        self.annotations.insert(LAST_ALLOCATED.to_owned(), now.to_string());
    }

    fn check_transition(&self, view: &AgentView, to: &str) -> Result<(), RpcError> {
        let refused =
            |from: &str, what: &str| Err(RpcError::new(Code::FailedPrecondition, format!("{from} → {to}: {what}")));
        if self.self_state == SelfState::Shutdown {
            return refused("Shutdown", "the game server has called Shutdown; nothing leads back");
        }
        if view.unhealthy {
            return refused("Unhealthy", "health pings have stopped; send them again first");
        }
        Ok(())
    }

    pub(crate) fn ready(&mut self, view: &AgentView) -> Outcome<()> {
        self.check_transition(view, "Ready")?;
        let mut events = vec![GameEvent::Ready];
        let saw_allocation = match self.self_state {
            SelfState::Allocated => true,
            SelfState::Ready => self.seen.is_some() && self.seen == view.allocation,
            SelfState::Scheduled | SelfState::Reserved { .. } | SelfState::Shutdown => false,
        };
        if saw_allocation && view.allocation.is_some() && self.returned != view.allocation {
            self.returned.clone_from(&view.allocation);
            events.push(GameEvent::MatchEnded { allocation: view.allocation.clone() });
        }
        events.push(GameEvent::Offer(Admission::Open));
        self.self_state = SelfState::Ready;
        done((), events)
    }

    pub(crate) fn allocate(&mut self, view: &AgentView, now: Timestamp) -> Outcome<()> {
        self.check_transition(view, "Allocated")?;
        self.self_state = SelfState::Allocated;
        self.mark_allocated(now);
        done((), [GameEvent::Ready, GameEvent::Offer(Admission::Closed)])
    }

    /// Kept out of allocation for so many seconds; 0 or less: until the next call.
    pub(crate) fn reserve(&mut self, seconds: i64, view: &AgentView, now: Timestamp) -> Outcome<()> {
        self.check_transition(view, "Reserved")?;
        let span = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs);
        self.self_state = SelfState::Reserved { until: span.map(|span| now.plus(span)) };
        done((), [GameEvent::Offer(Admission::Closed)])
    }

    pub(crate) fn reserved_until(&self) -> Option<Timestamp> {
        match self.self_state {
            SelfState::Reserved { until } => until,
            SelfState::Scheduled | SelfState::Ready | SelfState::Allocated | SelfState::Shutdown => None,
        }
    }

    /// Allowed from everywhere, and as often as the game likes.
    pub(crate) fn shutdown(&mut self) -> Outcome<()> {
        self.self_state = SelfState::Shutdown;
        done((), [GameEvent::StopMe])
    }

    pub(crate) fn label(&mut self, key: &str, value: &str) -> Outcome<()> {
        let events = set((&mut self.labels, &self.annotations), "label", key, value)?;
        done((), [events])
    }

    pub(crate) fn annotate(&mut self, key: &str, value: &str) -> Outcome<()> {
        let events = set((&mut self.annotations, &self.labels), "annotation", key, value)?;
        done((), [events])
    }

    pub(crate) fn counter(&self, name: &str) -> Result<Counter, RpcError> {
        self.counters.get(name).copied().ok_or_else(|| unknown("counter", name, self.counters.keys()))
    }

    pub(crate) fn update_counter(
        &mut self,
        update: &proto::CounterUpdate,
        settings: &Settings,
    ) -> Outcome<proto::Counter> {
        let new = self.counter(&update.name)?.update(&update.name, update)?;
        self.counters.insert(update.name.clone(), new);
        let is_players = settings.players_counter.as_deref() == Some(&update.name);
        let events =
            is_players.then(|| GameEvent::PlayerCount { players: clamp(new.count), max: Some(clamp(new.capacity)) });
        let value = proto::Counter { name: update.name.clone(), count: new.count, capacity: new.capacity };
        done(value, events.into_iter().collect::<Vec<_>>())
    }

    pub(crate) fn list(&self, name: &str) -> Result<&List, RpcError> {
        self.lists.get(name).ok_or_else(|| unknown("list", name, self.lists.keys()))
    }

    pub(crate) fn update_list(
        &mut self,
        update: &proto::List,
        parts: ListParts,
        settings: &Settings,
    ) -> Outcome<proto::List> {
        let new = self.list(&update.name)?.update(&update.name, update, parts)?;
        self.put_list(&update.name, new, settings)
    }

    pub(crate) fn add_value(&mut self, name: &str, value: &str, settings: &Settings) -> Outcome<proto::List> {
        let new = self.list(name)?.add(name, value)?;
        self.put_list(name, new, settings)
    }

    pub(crate) fn remove_value(&mut self, name: &str, value: &str, settings: &Settings) -> Outcome<proto::List> {
        let new = self.list(name)?.remove(name, value)?;
        self.put_list(name, new, settings)
    }

    fn put_list(&mut self, name: &str, new: List, settings: &Settings) -> Outcome<proto::List> {
        let mut events = Vec::new();
        if settings.players_list.as_deref() == Some(name) {
            events.push(GameEvent::Players(new.values.iter().map(|id| player(id)).collect()));
        }
        let value = proto::List { name: name.to_owned(), capacity: new.capacity, values: new.values.clone() };
        self.lists.insert(name.to_owned(), new);
        done(value, events)
    }

    /// False: the player was connected already.
    pub(crate) fn connect(&mut self, id: &str) -> Outcome<bool> {
        let length = id.chars().count();
        if !(1..=MAX_PLAYER_ID).contains(&length) {
            let message = format!("a player's id must have 1 to {MAX_PLAYER_ID} characters, found {length}");
            return Err(RpcError::invalid(message));
        }
        let players = self.players.get_or_insert_default();
        if players.ids.iter().any(|known| known == id) {
            return done(false, []);
        }
        if players.ids.len() as i64 >= players.capacity.min(MAX_LIST) {
            let message = format!("no place for player {id:?}: the capacity is {}", players.capacity);
            return Err(RpcError::new(Code::OutOfRange, message));
        }
        players.ids.push(id.to_owned());
        done(true, [GameEvent::PlayerJoined(player(id))])
    }

    /// False: the player wasn't connected.
    pub(crate) fn disconnect(&mut self, id: &str) -> Outcome<bool> {
        let Some(at) = self.players.as_ref().and_then(|players| players.ids.iter().position(|known| known == id))
        else {
            return done(false, []);
        };
        self.players.get_or_insert_default().ids.remove(at);
        done(true, [GameEvent::PlayerLeft { id: id.to_owned() }])
    }

    pub(crate) fn set_player_capacity(&mut self, capacity: i64) -> Outcome<()> {
        if capacity < 0 {
            let message = format!("the player capacity must be 0 or more, found {capacity}");
            return Err(RpcError::new(Code::OutOfRange, message));
        }
        let players = self.players.get_or_insert_default();
        players.capacity = capacity;
        let count = clamp(players.ids.len() as i64);
        done((), [GameEvent::PlayerCount { players: count, max: Some(clamp(capacity)) }])
    }
}

type Metadata = BTreeMap<String, String>;

/// Stores a label or annotation of the game, beside those of the other kind. The event puts it into the instance's custom
/// data.
fn set((map, others): (&mut Metadata, &Metadata), what: &str, key: &str, value: &str) -> Result<GameEvent, RpcError> {
    let (key_length, length) = (key.chars().count(), value.chars().count());
    if !(1..=MAX_KEY).contains(&key_length) || length > MAX_VALUE {
        return Err(RpcError::invalid(format!(
            "the {what}'s key must have 1 to {MAX_KEY} characters and its value at most {MAX_VALUE}, found {key_length} and {length}"
        )));
    }
    let stored = format!("{PREFIX}{key}");
    let rest = || map.iter().filter(|(key, _)| **key != stored).chain(others);
    let bytes = rest().map(|(key, value)| key.len() + value.len()).sum::<usize>() + stored.len() + value.len();
    if rest().count() >= MAX_KEYS || bytes > MAX_METADATA {
        let message = format!(
            "at most {MAX_KEYS} labels and annotations with {} KiB together are kept; use one of them again, or shorter ones",
            MAX_METADATA / 1024
        );
        return Err(RpcError::new(Code::ResourceExhausted, message));
    }
    map.insert(stored, value.to_owned());
    let data = CustomData::from([(format!("agones.{what}.{key}"), value.to_owned())]);
    Ok(GameEvent::CustomData { whose: CustomDataOf::Instance, data })
}

fn player(id: &str) -> GamePlayer {
    GamePlayer { id: id.to_owned(), name: None, team: None }
}

fn clamp(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(if number < 0 { 0 } else { u32::MAX })
}

fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a String>) -> RpcError {
    let known: Vec<_> = known.map(String::as_str).collect();
    let known = if known.is_empty() { "there is none".to_owned() } else { format!("there are: {}", known.join(", ")) };
    RpcError::new(Code::NotFound, format!("there is no {what} {name:?}; [agones.{what}s] defines them, {known}"))
}
