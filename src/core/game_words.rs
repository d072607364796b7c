//! What the game has said of itself. It counts for as long as the run lives.
//!
//! Everything that a game says comes in through `game_events`; what it says of players, of health
//! and of the match goes to those machines.

use super::{
    decisions::Decisions,
    facts::Facts,
    revision::{Revision, Tracked},
};
use crate::model::{
    CustomData,
    game::{Admission, CustomDataOf, EventSource, GameEvent, Kept},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// The words of one run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Words {
    /// It said `Shutdown`: however it ends, the end is orderly.
    pub announced_end: bool,
    /// Whether the game lets players in.
    pub gate: Admission,
    pub custom: BTreeMap<CustomDataOf, CustomData>,
    pub version: Option<semver::Version>,
    pub map: Option<String>,
    pub mode: Option<String>,
    /// The sources through which it has spoken.
    pub speaks: BTreeSet<EventSource>,
    pub sdk: Option<String>,
    /// The state that it has set for itself.
    pub sdk_state: Option<String>,
    /// It holds itself back from being allocated.
    pub withheld: bool,
    /// What the frontends remember of it.
    pub kept: BTreeMap<EventSource, Kept>,
    pub kept_aside: BTreeMap<EventSource, Kept>,
}

impl Default for Words {
    fn default() -> Self {
        Words {
            announced_end: false,
            gate: Admission::Open,
            custom: BTreeMap::new(),
            version: None,
            map: None,
            mode: None,
            speaks: BTreeSet::new(),
            sdk: None,
            sdk_state: None,
            withheld: false,
            kept: BTreeMap::new(),
            kept_aside: BTreeMap::new(),
        }
    }
}

impl Words {
    pub(super) fn speaks_an_sdk(&self) -> bool {
        self.speaks.iter().any(|source| match source {
            EventSource::Native | EventSource::Agones | EventSource::Gsdk => true,
            EventSource::Probe | EventSource::Log => false,
        })
    }
}

#[derive(Debug)]
pub(super) enum WordsEvent {
    /// It used this source.
    Spoke(EventSource),
    Said(EventSource, GameEvent),
    /// It is to be ended, as it asks.
    AskedToBeEnded,
    /// The run is another one, or none.
    RunChanged,
    /// The same process serves another match.
    NextMatch,
}

#[derive(Debug, Default)]
pub(super) struct GameWords {
    words: Tracked<Words>,
}

impl GameWords {
    pub(super) fn restore(words: Words) -> Self {
        GameWords { words: Tracked::new(words) }
    }

    pub(super) fn recall(&mut self, words: Words) {
        *self.words.edit() = words;
    }

    pub(super) fn revision(&self) -> Revision {
        Revision { durable: self.words.changes(), visible: 0 }
    }

    pub(super) fn facts(&self) -> Arc<Words> {
        Arc::new(self.words.clone())
    }

    pub(super) fn on(&mut self, event: WordsEvent, _facts: &Facts, decisions: &mut Decisions) {
        match event {
            WordsEvent::Spoke(source) => {
                if !self.words.speaks.contains(&source) {
                    self.words.edit().speaks.insert(source);
                }
            }
            WordsEvent::Said(source, event) => self.said(source, event, decisions),
            WordsEvent::AskedToBeEnded => {
                if self.announce_end() {
                    decisions.timeline("shutdown", "the game asks to be ended", &[]);
                }
            }
            WordsEvent::RunChanged => self.words.set(Words::default()),
            WordsEvent::NextMatch => {
                self.open_gate(Admission::Open);
                self.withhold(false);
            }
        }
    }

    fn said(&mut self, source: EventSource, event: GameEvent, decisions: &mut Decisions) {
        match event {
            // A game that has said it will end takes no more players.
            GameEvent::Joinable(gate) if !self.words.announced_end => self.open_gate(gate),
            GameEvent::Map { map, mode } => self.map_changed(map, mode, decisions),
            GameEvent::CustomData { whose, data } => self.custom_data(whose, data),
            GameEvent::Version(version) => {
                if self.words.version.as_ref() != Some(&version) {
                    self.words.edit().version = Some(version);
                }
            }
            GameEvent::Sdk(name) => {
                if self.words.sdk.as_ref() != Some(&name) {
                    self.words.edit().sdk = Some(name);
                }
            }
            GameEvent::SdkState(state) => {
                if self.words.sdk_state.as_ref() != Some(&state) {
                    self.words.edit().sdk_state = Some(state);
                }
            }
            GameEvent::Shutdown => {
                self.announce_end();
                decisions.timeline("shutdown", "the game says that it ends", &[]);
            }
            GameEvent::Offer(gate) => self.withhold(gate == Admission::Closed),
            GameEvent::Keep(kept) => {
                if self.words.kept.get(&source) != Some(&kept) {
                    self.words.edit().kept.insert(source, kept);
                }
            }
            GameEvent::KeepAside(kept) => {
                if self.words.kept_aside.get(&source) != Some(&kept) {
                    self.words.edit().kept_aside.insert(source, kept);
                }
            }
            GameEvent::Joinable(_)
            | GameEvent::Ready
            | GameEvent::Heartbeat
            | GameEvent::Health { .. }
            | GameEvent::TickRate { .. }
            | GameEvent::PlayerJoined(_)
            | GameEvent::PlayerLeft { .. }
            | GameEvent::Players(_)
            | GameEvent::PlayerCount { .. }
            | GameEvent::MatchStarted { .. }
            | GameEvent::MatchEnded { .. }
            | GameEvent::StopMe
            | GameEvent::Hello => {}
        }
    }

    fn open_gate(&mut self, gate: Admission) {
        if self.words.gate != gate {
            self.words.edit().gate = gate;
        }
    }

    fn withhold(&mut self, withheld: bool) {
        if self.words.withheld != withheld {
            self.words.edit().withheld = withheld;
        }
    }

    /// True: that is news.
    fn announce_end(&mut self) -> bool {
        self.open_gate(Admission::Closed);
        let news = !self.words.announced_end;
        if news {
            self.words.edit().announced_end = true;
        }
        news
    }

    fn custom_data(&mut self, whose: CustomDataOf, data: CustomData) {
        let known = self.words.custom.get(&whose);
        let same = |(key, value): (&String, &String)| known.and_then(|known| known.get(key)) == Some(value);
        if known.is_some() && data.iter().all(same) {
            return;
        }
        self.words.edit().custom.entry(whose).or_default().extend(data);
    }

    fn map_changed(&mut self, map: Option<String>, mode: Option<String>, decisions: &mut Decisions) {
        let map = map.or_else(|| self.words.map.clone());
        let mode = mode.or_else(|| self.words.mode.clone());
        if (&map, &mode) == (&self.words.map, &self.words.mode) {
            return;
        }
        let words = self.words.edit();
        (words.map, words.mode) = (map.clone(), mode.clone());
        let (map, mode) = (map.unwrap_or_default(), mode.unwrap_or_default());
        let text = if mode.is_empty() { format!("playing {map}") } else { format!("playing {map} ({mode})") };
        decisions.timeline("map", text, &[("map", &map), ("mode", &mode)]);
    }
}
