//! Who plays, and who of them is a member of the session.
//!
//! | the game says | member of the session | not a member |
//! |---|---|---|
//! | joined | its place is no longer kept for it | `members`: the game is told `not_in_session`; `open`: added, within team size |
//! | left | its place is kept for `reconnect_grace`, then it is removed | – |
//!
//! One source tells who plays: the one nearest to the game that has spoken of players in this run.
//! Two of them know a player by different ids, and would name everybody twice. How many play is
//! concluded from all of them, in [`super::headcount`].
//!
//! An id that isn't, and doesn't map to, a player UUID only shows in status and counts. A UUID that
//! the last reading of the session doesn't know is judged after another reading: it may have been
//! added since.

use super::{
    headcount::{Account, Background, Evidence, Headcount, Voice},
    roster_text::RosterText,
    steady_time::{SteadyTime, earliest},
};
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

/// The players of one run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "RosterText", into = "RosterText")]
pub(super) struct Roster {
    /// What the nearest source says.
    pub nearest: Account,
    /// The nearest source.
    source: Option<EventSource>,
    /// What the others say.
    others: BTreeMap<EventSource, Account>,
    /// It has everything that was said since the run began. One that was lost, and begun anew, hasn't.
    pub from_start: bool,
    /// Knowledge beside that, of this life of the agent.
    pub background: Background,
    /// What was concluded from all that.
    pub headcount: Headcount,
    pub max: Option<u32>,
    /// The run has said something about players.
    countable: bool,
    /// Somebody has played in this match.
    pub ever: bool,
    /// Since when somebody says that everybody has left.
    pub empty_since: Option<SteadyTime>,
    /// Since when some say that somebody plays, and others that nobody does.
    disputed_since: Option<SteadyTime>,
    /// Members who have left, and until when their places are kept.
    grace: BTreeMap<PlayerUuid, SteadyTime>,
    /// To be judged at the next reading of the session.
    unjudged: BTreeSet<String>,
}

/// What is said of players.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PlayerWord {
    Joined(GamePlayer),
    Left(String),
    /// The whole list.
    List(Vec<GamePlayer>),
    Count {
        players: u32,
        max: Option<u32>,
    },
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

    /// Those whom the nearest source names, unless it only counts them by now.
    pub(super) fn named(&self) -> impl Iterator<Item = &GamePlayer> {
        self.nearest.named()
    }

    /// How many the nearest source says play.
    pub(super) fn nearest_says(&self) -> Option<u32> {
        self.nearest.says()
    }

    /// What every source says, the nearest first.
    pub(super) fn voices(&self) -> Vec<Voice> {
        let nearest = self.source.map(|source| (source, &self.nearest));
        let others = self.others.iter().map(|(source, account)| (*source, account));
        let mut accounts: Vec<_> = nearest.into_iter().chain(others).collect();
        accounts.sort_by_key(|(source, _)| distance(*source));
        accounts.into_iter().flat_map(|(source, account)| Voice::of(source, account)).collect()
    }

    /// What is concluded of all that, or will be at another moment if nobody says anything new until then.
    pub(super) fn headcount_at(&self, at: SteadyTime, background: Background) -> Headcount {
        Evidence { voices: &self.voices(), disputed_since: self.disputed_since, background }.at(at)
    }

    /// When that changes next by time alone.
    pub(super) fn headcount_changes_at(&self, now: SteadyTime, background: Background) -> Option<SteadyTime> {
        Evidence { voices: &self.voices(), disputed_since: self.disputed_since, background }.changes_at(now)
    }

    /// Until when a dispute among the sources holds the server, if there is one.
    pub(super) fn disputed_until(&self, patience: Duration) -> Option<SteadyTime> {
        self.disputed_since.map(|since| since + patience)
    }

    /// Whether this source is the nearest to the game that has spoken of players, so that its word changes the list. A
    /// nearer one than before begins with what it has said itself.
    pub(super) fn is_nearest(&mut self, from: EventSource) -> bool {
        self.countable = true;
        match self.source {
            Some(source) if distance(source) < distance(from) => return false,
            Some(source) if distance(source) > distance(from) => {
                let nearer = self.others.remove(&from).unwrap_or_default();
                self.others.insert(source, std::mem::replace(&mut self.nearest, nearer));
                self.unjudged.clear();
            }
            Some(_) | None => {}
        }
        self.source = Some(from);
        true
    }

    /// What another source than the nearest says. It is counted, and changes no list.
    pub(super) fn other_says(&mut self, from: EventSource, word: &PlayerWord, now: SteadyTime) {
        let account = self.others.entry(from).or_default();
        let came = match word {
            PlayerWord::Joined(player) => account.join(player),
            PlayerWord::Left(id) => {
                account.leave(id);
                false
            }
            PlayerWord::List(list) => account.list(from, list),
            PlayerWord::Count { players, max } => {
                self.max = max.or(self.max);
                account.number(*players)
            }
        };
        self.counted(came, now);
    }

    pub(super) fn joined(&mut self, player: GamePlayer, now: SteadyTime, members: Option<&Session>) -> Option<Change> {
        let came = self.nearest.join(&player);
        self.counted(came, now);
        if !came {
            return None;
        }
        let id = player.id.clone();
        if let Some(uuid) = uuid_of(&id, members) {
            self.grace.remove(&uuid);
        }
        self.unjudged.insert(id);
        Some(Change::Joined(player))
    }

    pub(super) fn left(
        &mut self,
        id: &str,
        now: SteadyTime,
        keep: Duration,
        members: Option<&Session>,
    ) -> Option<Change> {
        let player = self.nearest.leave(id)?;
        self.unjudged.remove(id);
        if let Some(uuid) = uuid_of(id, members).filter(|uuid| is_member(members, *uuid)) {
            self.grace.insert(uuid, now + keep);
        }
        self.counted(false, now);
        Some(Change::Left(player))
    }

    /// The whole list.
    pub(super) fn replace(
        &mut self,
        from: EventSource,
        list: Vec<GamePlayer>,
        now: SteadyTime,
        keep: Duration,
        members: Option<&Session>,
    ) -> Vec<Change> {
        self.nearest.begin_list(from, &list);
        let stay: BTreeSet<_> = list.iter().map(|player| player.id.clone()).collect();
        let gone: Vec<_> = self.nearest.known.keys().filter(|id| !stay.contains(*id)).cloned().collect();
        let mut changes: Vec<_> = gone.iter().filter_map(|id| self.left(id, now, keep, members)).collect();
        changes.extend(list.into_iter().filter_map(|player| self.joined(player, now, members)));
        self.counted(false, now);
        changes
    }

    pub(super) fn count(&mut self, players: u32, max: Option<u32>, now: SteadyTime) {
        self.max = max.or(self.max);
        let came = self.nearest.number(players);
        self.counted(came, now);
    }

    /// Something was said of players. `came`: of one who wasn't there before.
    fn counted(&mut self, came: bool, now: SteadyTime) {
        let voices = self.voices();
        let somebody = voices.iter().any(|voice| voice.players > 0);
        let nobody = voices.iter().any(Voice::denies);
        self.ever |= somebody;
        self.disputed_since = (somebody && nobody).then(|| self.disputed_since.filter(|_| !came).unwrap_or(now));
        self.empty_since = (nobody && self.ever).then(|| self.empty_since.filter(|_| !came).unwrap_or(now));
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
            let wished = self.nearest.known.get(&id).and_then(|player| player.team);
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
        for (id, player) in &self.nearest.known {
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

impl From<RosterText> for Roster {
    fn from(text: RosterText) -> Self {
        let RosterText {
            known, source, count, max, countable, named, ever, empty_since, grace, unjudged, told, ..
        } = text;
        Roster {
            nearest: Account { known, count, named, told },
            source,
            others: text.others,
            from_start: text.from_start,
            max,
            countable,
            ever,
            empty_since,
            disputed_since: text.disputed_since,
            grace,
            unjudged,
            ..Roster::default()
        }
    }
}

impl From<Roster> for RosterText {
    fn from(roster: Roster) -> Self {
        let Account { known, count, named, told } = roster.nearest;
        RosterText {
            known,
            source: roster.source,
            count,
            max: roster.max,
            countable: roster.countable,
            named,
            ever: roster.ever,
            empty_since: roster.empty_since,
            grace: roster.grace,
            unjudged: roster.unjudged,
            told,
            others: roster.others,
            from_start: roster.from_start,
            disputed_since: roster.disputed_since,
        }
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

pub(super) fn active(team: &crate::model::player::SessionTeam) -> u32 {
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
