//! How many play: what each source says, and what is concluded from all of them.
//!
//! | source | says | its 0 counts |
//! |---|---|---|
//! | an SDK | who came and went, the whole list, or a number | once it has told of somebody, in this run or an earlier one of the same build; native and GSDK also by the whole list |
//! | the game's log | who came and went | the same |
//! | a query | the whole list; a number, where it lists not all of them | for 10 s after an answer |
//! | the session | its members | never: they may be on their way, or gone |
//!
//! The newest statement of a source counts. A query that counts nobody and lists somebody all the
//! same disagrees with itself: that is two sources.
//!
//! | somebody plays, say | nobody plays, say | concluded |
//! |---|---|---|
//! | one or more | none | so many: as the source nearest to the game says |
//! | one or more | one or more | disputed for `players.count_conflict`; then nobody, where a 0 counts |
//! | none | one or more, and it counts | nobody |
//! | none | one or more, but none counts | unknown |
//! | none | none | unknown |
//!
//! The silence of a source that told of somebody in an earlier run of the same build is a 0, where
//! nobody else says otherwise. Only *nobody* ends anything early. A dispute begins anew when
//! somebody comes.

use super::steady_time::SteadyTime;
use crate::model::game::{EventSource, GamePlayer};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// Players kept by name; a game that reports more is only counted.
const MAX_KNOWN: usize = 1000;
/// So long after an answer a query's 0 means that nobody plays …
const RECENT: Duration = Duration::from_secs(10);
/// … and so long it is shown.
const SHOWN: Duration = Duration::from_secs(60);

/// How many play, as far as that can be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Headcount {
    Players(u32),
    Nobody,
    /// A query's 0 that is older than [`RECENT`]: it is shown, and ends nothing.
    NobodyLately,
    #[default]
    Unknown,
    /// Somebody says that so many play, and somebody that nobody does. The server is held until then.
    Disputed {
        players: u32,
        until: SteadyTime,
    },
}

impl Headcount {
    /// What people are shown. None: unknown.
    pub(super) fn shown(self) -> Option<u32> {
        match self {
            Headcount::Players(players) | Headcount::Disputed { players, .. } => Some(players),
            Headcount::Nobody | Headcount::NobodyLately => Some(0),
            Headcount::Unknown => None,
        }
    }

    /// Until when sources that disagree hold the server.
    pub(super) fn disputed_until(self) -> Option<SteadyTime> {
        match self {
            Headcount::Disputed { until, .. } => Some(until),
            Headcount::Players(_) | Headcount::Nobody | Headcount::NobodyLately | Headcount::Unknown => None,
        }
    }

    /// Nothing says that somebody plays, and nothing that nobody does.
    pub(super) fn is_unknown(self) -> bool {
        matches!(self, Headcount::Unknown | Headcount::NobodyLately)
    }
}

/// What one source says of who plays.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Account {
    pub known: BTreeMap<String, GamePlayer>,
    /// The number that it said last, unless it has named players since.
    pub count: Option<u32>,
    /// It names players.
    pub named: bool,
    /// Its 0 is believed.
    pub told: bool,
}

impl Account {
    /// True: somebody came who wasn't known.
    pub(super) fn join(&mut self, player: &GamePlayer) -> bool {
        (self.named, self.told, self.count) = (true, true, None);
        self.known.len() < MAX_KNOWN && self.known.insert(player.id.clone(), player.clone()).is_none()
    }

    pub(super) fn leave(&mut self, id: &str) -> Option<GamePlayer> {
        let player = self.known.remove(id)?;
        (self.named, self.told, self.count) = (true, true, None);
        Some(player)
    }

    /// The whole list follows, as who leaves and who joins.
    pub(super) fn begin_list(&mut self, from: EventSource, list: &[GamePlayer]) {
        (self.named, self.count) = (true, None);
        self.told |= !list.is_empty() || matches!(from, EventSource::Native | EventSource::Gsdk);
    }

    /// The whole list. True: somebody came who wasn't known.
    pub(super) fn list(&mut self, from: EventSource, list: &[GamePlayer]) -> bool {
        self.begin_list(from, list);
        self.known.retain(|id, _| list.iter().any(|player| player.id == *id));
        list.iter().filter(|player| self.join(player)).count() > 0
    }

    /// True: more than it said before.
    pub(super) fn number(&mut self, players: u32) -> bool {
        let more = players > self.says().unwrap_or(0);
        self.count = Some(players);
        self.told |= players > 0;
        more
    }

    /// Those it has named, unless it only counts them by now.
    pub(super) fn named(&self) -> impl Iterator<Item = &GamePlayer> {
        let current = self.count.is_none_or(|count| count == 0 || count == self.names());
        self.known.values().filter(move |_| current)
    }

    fn names(&self) -> u32 {
        u32::try_from(self.known.len()).unwrap_or(u32::MAX)
    }

    /// What it says last.
    pub(super) fn says(&self) -> Option<u32> {
        self.count.or_else(|| self.named.then(|| self.names()))
    }

    /// Those whom it lists, where it counts nobody.
    fn lists_all_the_same(&self) -> Option<u32> {
        Some(self.names()).filter(|names| *names > 0 && self.count == Some(0))
    }
}

/// A source, and how many it says play.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Voice {
    pub source: EventSource,
    /// It lists them, and counts another number.
    pub listed: bool,
    pub players: u32,
    /// Its 0 is believed, if it is new enough.
    told: bool,
}

impl Voice {
    /// What a source says: nothing, one thing, or two that disagree.
    pub(super) fn of(source: EventSource, account: &Account) -> impl Iterator<Item = Voice> {
        let told = account.told;
        let voice = move |listed, players| Voice { source, listed, players, told };
        let says = account.says().map(|players| voice(false, players));
        says.into_iter().chain(account.lists_all_the_same().map(|players| voice(true, players)))
    }

    /// Its name in the status.
    pub(super) fn name(&self) -> String {
        let source = match self.source {
            EventSource::Native => "native",
            EventSource::Agones => "agones",
            EventSource::Gsdk => "gsdk",
            EventSource::Log => "log",
            EventSource::Probe => "probe",
        };
        if self.listed { format!("{source}_list") } else { source.to_owned() }
    }

    /// It says that nobody plays, and would know.
    pub(super) fn denies(&self) -> bool {
        self.players == 0 && (self.told || self.source == EventSource::Probe)
    }

    /// The same, and it has said so lately enough.
    fn denies_at(&self, at: SteadyTime, probed: Option<SteadyTime>) -> bool {
        self.denies() && (self.source != EventSource::Probe || within(probed, RECENT, at))
    }
}

fn within(since: Option<SteadyTime>, span: Duration, at: SteadyTime) -> bool {
    since.is_some_and(|since| at < since + span)
}

/// Knowledge beside what the sources say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Background {
    /// When a query was answered last, in this life.
    pub probed: Option<SteadyTime>,
    /// An SDK or the log has told of somebody in an earlier run of the same build: it would do so again.
    pub told_before: bool,
    /// How long a dispute holds the server.
    pub patience: Duration,
}

/// What all of them say together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Evidence<'a> {
    /// The nearest to the game first.
    pub voices: &'a [Voice],
    pub disputed_since: Option<SteadyTime>,
    pub background: Background,
}

impl Evidence<'_> {
    /// How many play at that moment, if nobody says anything new until then.
    pub(super) fn at(&self, at: SteadyTime) -> Headcount {
        let somebody = self.voices.iter().map(|voice| voice.players).find(|players| *players > 0);
        let nobody = self.voices.iter().any(|voice| voice.denies_at(at, self.background.probed));
        let until = self.disputed_since.map(|since| since + self.background.patience);
        match (somebody, until) {
            (Some(players), Some(until)) if at < until => Headcount::Disputed { players, until },
            (Some(players), Some(_)) if !nobody => Headcount::Players(players),
            (Some(players), None) => Headcount::Players(players),
            (Some(_) | None, _) if nobody => Headcount::Nobody,
            (None, _) if self.background.told_before => Headcount::Nobody,
            (Some(_) | None, _) if self.was_nobody_lately(at) => Headcount::NobodyLately,
            (Some(_) | None, _) => Headcount::Unknown,
        }
    }

    fn was_nobody_lately(&self, at: SteadyTime) -> bool {
        self.voices.iter().any(Voice::denies) && within(self.background.probed, SHOWN, at)
    }

    /// When that changes next by time alone.
    pub(super) fn changes_at(&self, now: SteadyTime) -> Option<SteadyTime> {
        let present = self.at(now);
        let probed = self.background.probed.map(|at| [at + RECENT, at + SHOWN]);
        let disputed = self.disputed_since.map(|since| since + self.background.patience);
        let moments = probed.into_iter().flatten().chain(disputed);
        moments.filter(|at| *at > now && self.at(*at) != present).min()
    }
}
