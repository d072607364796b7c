//! Who plays, and who of them is a member of the session.
//!
//! | the game says | member of the session | not a member |
//! |---|---|---|
//! | joined | its place is no longer kept for it | `members`: the game is told `not_in_session`; `open`: added, within team size |
//! | left | its place is kept for `reconnect_grace`, then it is removed | – |
//!
//! One source tells who plays: the one nearest to the game that has spoken of players in this run.
//! Two of them know a player by different ids, and would count everybody twice.
//!
//! | SDK (native, agones, gsdk) | its log | a probe |
//! |---|---|---|
//! | nearest: every join and leave, with real ids | every join and leave, with the log's ids | a list or a number now and then |
//!
//! An id that isn't, and doesn't map to, a player UUID only shows in status and counts. A UUID that
//! the last reading of the session doesn't know is judged after another reading: it may have been
//! added since.

use super::steady_time::{SteadyTime, earliest};
use crate::model::{
    game::{EventSource, GamePlayer},
    ids::PlayerUuid,
    policy::AdmissionPolicy,
    session::Session,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Players kept by name; a game that reports more is only counted.
const MAX_KNOWN: usize = 1000;
/// So long a probe's 0 means that nobody plays.
const RECENT: Duration = Duration::from_secs(10);

/// The players of one run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Roster {
    pub known: BTreeMap<String, GamePlayer>,
    /// The source that tells who plays.
    #[serde(default)]
    source: Option<EventSource>,
    /// From a source that only counts.
    count: Option<u32>,
    /// When a probe answered last: what it says of players holds from then on.
    #[serde(skip)]
    pub probed: Option<SteadyTime>,
    pub max: Option<u32>,
    /// The run has said something about players: only then an empty list means that nobody plays.
    pub countable: bool,
    /// The source names players, rather than counting them.
    named: bool,
    /// Somebody has played in this match.
    pub ever: bool,
    /// Since when everybody has left.
    pub empty_since: Option<SteadyTime>,
    /// Members who have left, and until when their places are kept.
    grace: BTreeMap<PlayerUuid, SteadyTime>,
    /// To be judged at the next reading of the session.
    unjudged: BTreeSet<String>,
}

/// What a change of the list amounts to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Joined(GamePlayer),
    Left(GamePlayer),
}

/// What is to be done about a player.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    NotInSession { id: String },
    Add { known_as: String, player: PlayerUuid, team: Option<u32> },
}

impl Roster {
    /// For the next match of a warm game.
    pub(super) fn next_match(&mut self) {
        self.ever = false;
        self.empty_since = None;
        self.grace.clear();
        self.unjudged.clear();
    }

    /// Who tells of players.
    pub(super) fn source(&self) -> Option<EventSource> {
        self.source
    }

    pub(super) fn players(&self) -> u32 {
        if self.named { u32::try_from(self.known.len()).unwrap_or(u32::MAX) } else { self.count.unwrap_or(0) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.countable && self.players() == 0
    }

    /// Nobody plays, and whoever says so would know: a probe that answered lately, or a source that tells of those who come.
    pub(super) fn is_known_empty(&self, now: SteadyTime) -> bool {
        let recent = |at: SteadyTime| now < at + RECENT;
        self.is_empty() && (self.source != Some(EventSource::Probe) || self.probed.is_some_and(recent))
    }

    /// Whether this source's word on players counts. A nearer one than before begins with an empty list.
    pub(super) fn counts(&mut self, from: EventSource, now: SteadyTime) -> bool {
        match self.source {
            Some(source) if distance(source) < distance(from) => return false,
            Some(source) if distance(source) > distance(from) => {
                self.known.clear();
                self.unjudged.clear();
                (self.count, self.named) = (None, false);
                self.counted(now);
            }
            Some(_) | None => {}
        }
        self.source = Some(from);
        true
    }

    pub(super) fn joined(&mut self, player: GamePlayer, now: SteadyTime, members: Option<&Session>) -> Option<Change> {
        self.named = true;
        self.countable = true;
        let id = player.id.clone();
        if self.known.len() >= MAX_KNOWN || self.known.insert(id.clone(), player.clone()).is_some() {
            return None;
        }
        if let Some(uuid) = uuid_of(&id, members) {
            self.grace.remove(&uuid);
        }
        self.unjudged.insert(id);
        self.counted(now);
        Some(Change::Joined(player))
    }

    pub(super) fn left(
        &mut self,
        id: &str,
        now: SteadyTime,
        keep: Duration,
        members: Option<&Session>,
    ) -> Option<Change> {
        let player = self.known.remove(id)?;
        self.countable = true;
        self.unjudged.remove(id);
        if let Some(uuid) = uuid_of(id, members).filter(|uuid| is_member(members, *uuid)) {
            self.grace.insert(uuid, now + keep);
        }
        self.counted(now);
        Some(Change::Left(player))
    }

    /// The whole list.
    pub(super) fn replace(
        &mut self,
        list: Vec<GamePlayer>,
        now: SteadyTime,
        keep: Duration,
        members: Option<&Session>,
    ) -> Vec<Change> {
        (self.named, self.countable) = (true, true);
        let stay: BTreeSet<_> = list.iter().map(|player| player.id.clone()).collect();
        let gone: Vec<_> = self.known.keys().filter(|id| !stay.contains(*id)).cloned().collect();
        let mut changes: Vec<_> = gone.iter().filter_map(|id| self.left(id, now, keep, members)).collect();
        changes.extend(list.into_iter().filter_map(|player| self.joined(player, now, members)));
        self.counted(now);
        changes
    }

    pub(super) fn count(&mut self, players: u32, max: Option<u32>, now: SteadyTime) {
        self.count = Some(players);
        self.max = max.or(self.max);
        self.countable = true;
        self.counted(now);
    }

    /// It speaks a protocol in which it would say so if somebody came.
    pub(super) fn speaks_of_players(&mut self) {
        self.countable = true;
    }

    fn counted(&mut self, now: SteadyTime) {
        if self.players() > 0 {
            self.ever = true;
            self.empty_since = None;
        } else if self.ever {
            self.empty_since.get_or_insert(now);
        }
    }

    /// Somebody waits for a newer reading of the session.
    pub(super) fn has_unjudged(&self, members: Option<&Session>) -> bool {
        self.unjudged.iter().any(|id| uuid_of(id, members).is_some_and(|uuid| !is_member(members, uuid)))
    }

    /// Judges those who came, by a fresh reading of the session.
    pub(super) fn judge(&mut self, session: &Session, admission: AdmissionPolicy) -> Vec<Verdict> {
        let mut free: Vec<u32> = session.teams.iter().map(|t| t.max_size.saturating_sub(active(t))).collect();
        let mut verdicts = Vec::new();
        for id in std::mem::take(&mut self.unjudged) {
            let Some(uuid) = uuid_of(&id, Some(session)) else { continue };
            if is_member(Some(session), uuid) {
                continue;
            }
            let wished = self.known.get(&id).and_then(|player| player.team);
            let place = free.iter().position(|free| *free > 0);
            let place = wished
                .filter(|team| free.get(*team as usize).is_some_and(|free| *free > 0))
                .or(place.map(|p| p as u32));
            verdicts.push(match place.filter(|_| admission == AdmissionPolicy::Open) {
                Some(team) => {
                    free[team as usize] -= 1;
                    Verdict::Add { known_as: id, player: uuid, team: Some(team) }
                }
                None => Verdict::NotInSession { id },
            });
        }
        verdicts
    }

    /// Places that are no longer kept.
    pub(super) fn lapsed(&mut self, now: SteadyTime) -> Vec<PlayerUuid> {
        let lapsed: Vec<_> = self.grace.iter().filter(|(_, until)| now >= **until).map(|(uuid, _)| *uuid).collect();
        self.grace.retain(|_, until| now < *until);
        lapsed
    }

    pub(super) fn deadline(&self) -> Option<SteadyTime> {
        earliest(self.grace.values().map(|until| Some(*until)))
    }

    /// How many more each team takes: places that are kept are members still, and a connected player who is no member
    /// takes one too.
    pub(super) fn needs(&self, session: &Session) -> Vec<u32> {
        let mut needs: Vec<u32> = session.teams.iter().map(|t| t.max_size.saturating_sub(active(t))).collect();
        for (id, player) in &self.known {
            if uuid_of(id, Some(session)).is_some_and(|uuid| is_member(Some(session), uuid)) {
                continue;
            }
            let team = player.team.map_or(0, |team| team as usize);
            if let Some(need) = needs.get_mut(team) {
                *need = need.saturating_sub(1);
            }
        }
        needs
    }
}

/// How far a source is from the game: the nearest knows best.
fn distance(source: EventSource) -> u8 {
    match source {
        EventSource::Native => 0,
        EventSource::Agones => 1,
        EventSource::Gsdk => 2,
        EventSource::Log => 3,
        EventSource::Probe => 4,
    }
}

fn active(team: &crate::model::player::SessionTeam) -> u32 {
    team.players.iter().filter(|player| player.status != crate::model::player::PlayerStatus::Invited).count() as u32
}

fn is_member(session: Option<&Session>, uuid: PlayerUuid) -> bool {
    session.is_some_and(|s| s.teams.iter().flat_map(|t| &t.players).any(|p| p.player_uuid == uuid))
}

/// The player UUID that a game's id is, or that the session knows it by.
fn uuid_of(id: &str, session: Option<&Session>) -> Option<PlayerUuid> {
    if let Ok(uuid) = id.parse() {
        return Some(PlayerUuid(uuid));
    }
    let number: i64 = id.parse().ok()?;
    let mut players = session?.teams.iter().flat_map(|team| &team.players);
    players.find(|player| player.player_id == Some(number)).map(|player| player.player_uuid)
}
