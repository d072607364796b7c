//! Who plays, and what the session has to be told of it; the list itself is in [`super::roster`],
//! and how many play in [`super::headcount`].

use super::{
    decisions::{Decisions, Purpose},
    facts::Facts,
    headcount::{Background, Headcount},
    revision::{Revision, Tracked},
    roster::{Change, PlayerWord, Roster, Verdict},
    signal::Signal,
    steady_time::{SteadyTime, earliest},
};
use crate::model::{
    calls::{Answer, Call, Refusal},
    game::{EventSource, GameNotice},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

#[derive(Debug)]
pub(super) enum PlayersEvent {
    Said(EventSource, PlayerWord),
    /// A probe has answered; what is new in its answer was told before.
    Probed,
    /// The session was read, and says who its members are.
    SessionRead,
    /// The answer about a player who was added (known to the game by this id) or removed.
    Answered(Option<String>, Result<Answer, Refusal>),
    /// The run begins; this is the build of the game that it is of.
    Build(String),
    RunChanged,
    NextMatch,
    Tick,
}

/// Which sources have told of somebody, over all runs of one build of the game: they would do so again. A new build may have
/// broken a pattern.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Tellers {
    build: String,
    sources: BTreeSet<EventSource>,
}

/// Whether what is known of the session's members is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    Fresh,
    Known,
}

#[derive(Debug, Default)]
pub(super) struct Players {
    roster: Tracked<Roster>,
    /// When a probe answered last.
    probed: Tracked<Option<SteadyTime>>,
    headcount: Tracked<Headcount>,
    tellers: Tracked<Option<Tellers>>,
}

impl Players {
    pub(super) fn restore(roster: Roster, tellers: Option<Tellers>) -> Self {
        Players { roster: Tracked::new(roster), tellers: Tracked::new(tellers), ..Players::default() }
    }

    pub(super) fn recall(&mut self, roster: Roster, tellers: Option<Tellers>) {
        *self.roster.edit() = roster;
        *self.tellers.edit() = tellers;
    }

    pub(super) fn tellers(&self) -> Option<&Tellers> {
        self.tellers.as_ref()
    }

    pub(super) fn revision(&self) -> Revision {
        let durable = self.roster.changes() + self.tellers.changes();
        Revision { durable, visible: self.probed.changes() + self.headcount.changes() }
    }

    pub(super) fn facts(&self) -> Arc<Roster> {
        let mut roster = self.roster.clone();
        (roster.background, roster.headcount) = (self.background(Duration::ZERO), *self.headcount);
        Arc::new(roster)
    }

    pub(super) fn on(&mut self, event: PlayersEvent, facts: &Facts, decisions: &mut Decisions) {
        match event {
            PlayersEvent::Said(source, word) => self.said(source, word, facts, decisions),
            PlayersEvent::Probed => self.probed.set(Some(facts.now)),
            PlayersEvent::SessionRead => self.judge(Reading::Fresh, facts, decisions),
            PlayersEvent::Answered(added, answer) => answered(added, &answer, facts, decisions),
            PlayersEvent::Build(build) => {
                self.change(|roster| roster.from_start = true);
                if self.tellers.as_ref().is_none_or(|tellers| tellers.build != build) {
                    self.tellers.set(Some(Tellers { build, sources: BTreeSet::new() }));
                }
            }
            PlayersEvent::RunChanged => {
                self.roster.set(Roster::default());
                self.probed.set(None);
            }
            PlayersEvent::NextMatch => self.change(Roster::next_match),
            PlayersEvent::Tick => self.tick(facts, decisions),
        }
        let background = self.background(facts.settings.players.count_conflict.get());
        self.headcount.set(self.roster.headcount_at(facts.now, background));
    }

    /// When [`PlayersEvent::Tick`] does something next.
    pub(super) fn next_deadline(&self, facts: &Facts) -> Option<SteadyTime> {
        let background = self.background(facts.settings.players.count_conflict.get());
        earliest([self.roster.deadline(), self.roster.headcount_changes_at(facts.now, background)])
    }

    fn background(&self, patience: Duration) -> Background {
        let told_before = self.tellers.as_ref().is_some_and(|tellers| !tellers.sources.is_empty());
        // Silence since some later moment means nothing.
        Background { probed: *self.probed, told_before: told_before && self.roster.from_start, patience }
    }

    /// A source that isn't asked has told of somebody.
    fn told(&mut self, source: EventSource, word: &PlayerWord) {
        let somebody = match word {
            PlayerWord::Joined(_) => true,
            PlayerWord::List(list) => !list.is_empty(),
            PlayerWord::Count { players, .. } => *players > 0,
            PlayerWord::Left(_) => false,
        };
        let news = |tellers: &Tellers| !tellers.sources.contains(&source);
        if somebody
            && source != EventSource::Probe
            && self.tellers.as_ref().is_some_and(news)
            && let Some(tellers) = self.tellers.edit()
        {
            tellers.sources.insert(source);
        }
    }

    /// What leaves the list as it is counts as no change.
    fn change<T>(&mut self, change: impl FnOnce(&mut Roster) -> T) -> T {
        let mut roster = self.roster.clone();
        let outcome = change(&mut roster);
        self.roster.set(roster);
        outcome
    }

    fn said(&mut self, source: EventSource, word: PlayerWord, facts: &Facts, decisions: &mut Decisions) {
        let (now, keep) = (facts.now, facts.settings.players.reconnect_grace.get());
        let session = facts.session.reading.as_deref();
        self.told(source, &word);
        if !self.change(|roster| roster.is_nearest(source)) {
            return self.change(|roster| roster.other_says(source, &word, now));
        }
        let changes: Vec<_> = match word {
            PlayerWord::Joined(player) => {
                self.change(|roster| roster.joined(player, now, session)).into_iter().collect()
            }
            PlayerWord::Left(id) => self.change(|roster| roster.left(&id, now, keep, session)).into_iter().collect(),
            PlayerWord::List(list) => self.change(|roster| roster.replace(source, list, now, keep, session)),
            PlayerWord::Count { players, max } => return self.counted(players, max, now, decisions),
        };
        for change in changes {
            let (kind, player, verb) = match &change {
                Change::Joined(player) => ("player_joined", player, "joined"),
                Change::Left(player) => ("player_left", player, "left"),
            };
            let text = format!("{} {verb}", player.name.as_deref().unwrap_or(&player.id));
            let name = player.name.as_deref().unwrap_or_default();
            decisions.timeline(kind, text, &[("player", player.id.as_str()), ("name", name)]);
        }
        self.judge(Reading::Known, facts, decisions);
    }

    fn counted(&mut self, players: u32, max: Option<u32>, now: SteadyTime, decisions: &mut Decisions) {
        let before = self.roster.nearest_says();
        self.change(|roster| roster.count(players, max, now));
        if before.unwrap_or(0) != players {
            decisions.timeline("players", format!("{players} players"), &[("players", &players.to_string())]);
        }
    }

    /// Judges those who joined by what the session says; where that may be too old, it is read again first.
    fn judge(&mut self, reading: Reading, facts: &Facts, decisions: &mut Decisions) {
        let (Some(game), Some(run)) = (facts.linked(), facts.process.run) else { return };
        let session = facts.session.reading.as_deref().filter(|session| session.session_id == game.session);
        let Some(session) = session.filter(|_| facts.settings.writes()) else { return };
        if reading == Reading::Known && self.roster.has_unjudged(Some(session)) {
            return decisions.signal(Signal::ReadSessionSoon);
        }
        let own = &facts.settings.session;
        let admission = if game.own { own.own_admission } else { own.admission };
        for verdict in self.change(|roster| roster.judge(session, admission)) {
            match verdict {
                Verdict::NotInSession { id } => {
                    decisions.timeline(
                        "not_in_session",
                        format!("{id} is no member of the session"),
                        &[("player", &id)],
                    );
                    decisions.notify(run, GameNotice::NotInSession { id });
                }
                Verdict::Add { known_as, player, team } => {
                    let call = Call::AddPlayer { session: session.session_id.clone(), player, team };
                    decisions.call(call, Purpose::Player(Some(known_as)));
                }
            }
        }
    }

    fn tick(&mut self, facts: &Facts, decisions: &mut Decisions) {
        if self.roster.deadline().is_none_or(|at| facts.now < at) {
            return;
        }
        let lapsed = self.change(|roster| roster.lapsed(facts.now));
        let Some(game) = facts.linked().filter(|_| facts.settings.writes()) else { return };
        for player in lapsed {
            decisions.call(Call::RemovePlayer { session: game.session.clone(), player }, Purpose::Player(None));
        }
    }
}

fn answered(added: Option<String>, answer: &Result<Answer, Refusal>, facts: &Facts, decisions: &mut Decisions) {
    let refused =
        matches!(answer, Err(Refusal::Conflict { .. } | Refusal::Invalid { .. } | Refusal::Credentials { .. }));
    match (added, answer) {
        (Some(id), Err(refusal)) if refused => {
            let text = format!("{id} can't be added to the session: {refusal}");
            decisions.timeline("not_in_session", text, &[("player", &id)]);
            if let Some(run) = facts.process.run {
                decisions.notify(run, GameNotice::NotInSession { id });
            }
        }
        (Some(id), Ok(_)) => {
            decisions.timeline("admitted", format!("{id} was added to the session"), &[("player", &id)]);
        }
        (Some(_), Err(_)) | (None, _) => {}
    }
    // The session says who its members are, also where the outcome of an add isn't known.
    decisions.signal(Signal::ReadSessionSoon);
}
