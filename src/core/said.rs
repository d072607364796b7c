//! What the game says, and what is found out about it.

use super::{
    engine::{Core, Purpose},
    players::{Change, Verdict},
    state::{Phase, Process, Then},
};
use crate::model::{
    calls::{Answer, Call, Refusal},
    game::{Admission, EventSource, Evidence, GameEvent, GameNotice},
    ids::{MatchId, RunNumber},
    policy::ReadyBy,
    process::ProcessStats,
};
use std::time::Duration;

impl Core {
    pub(super) fn said(&mut self, number: RunNumber, door: EventSource, said: GameEvent) {
        if self.overtaken(number, &said) {
            return;
        }
        let Some(run) = self.state.process.run_mut().filter(|run| run.number == number) else { return };
        if run.speaks.insert(door) && door == EventSource::Native {
            run.roster.speaks_of_players();
        }
        match said {
            GameEvent::Ready => {
                if matches!(self.settings.readiness.by, ReadyBy::Sdk | ReadyBy::Auto) {
                    self.ready("sdk");
                }
            }
            // Who has said that it ends takes nobody in any more.
            GameEvent::Joinable(gate) if !run.orderly => run.gate = gate,
            GameEvent::Heartbeat => self.heartbeats(number, door, 1, Duration::ZERO),
            GameEvent::Health { health, reason } => self.health.opinion(health, reason),
            GameEvent::TickRate { measured, target } => self.health.ticks(&self.settings.health, measured, target),
            GameEvent::Map { map, mode } => self.map_changed(map, mode),
            GameEvent::CustomData { whose, data } => run.custom.entry(whose).or_default().extend(data),
            GameEvent::Version(version) => run.version = Some(version),
            GameEvent::Sdk(name) => run.sdk = Some(name),
            GameEvent::Shutdown => {
                run.orderly = true;
                run.gate = Admission::Closed;
                self.happened("shutdown", "the game says that it ends", &[]);
            }
            GameEvent::StopMe => self.stop_wanted(),
            GameEvent::Joinable(_) | GameEvent::Hello => {}
            GameEvent::Offer(gate) => self.offered(gate),
            GameEvent::Keep(kept) => drop(run.kept.insert(door, kept)),
            GameEvent::MatchStarted { match_id } => self.match_started(match_id),
            GameEvent::MatchEnded => self.match_ended(),
            players @ (GameEvent::PlayerJoined(_)
            | GameEvent::PlayerLeft { .. }
            | GameEvent::Players(_)
            | GameEvent::PlayerCount { .. }) => {
                self.said_of_players(door, players);
            }
        }
    }

    /// Of a run that is up; others need no proof of life.
    pub(super) fn heartbeats(&mut self, number: RunNumber, source: EventSource, count: u64, age: Duration) {
        let newest = self.now.before(age);
        let Some(run) = self.state.process.run_mut().filter(|run| run.number == number) else { return };
        if run.speaks.insert(source) && source == EventSource::Native {
            run.roster.speaks_of_players();
        }
        if source == EventSource::Agones {
            self.pinged(newest);
        }
        self.health.beat(newest, count);
    }

    /// `Shutdown` that arrives after the exit that it announced: the end was orderly after all.
    fn overtaken(&mut self, number: RunNumber, said: &GameEvent) -> bool {
        let Process::Delayed { after, stopped, .. } = &mut self.state.process else { return false };
        let announced = *after == number && matches!(said, GameEvent::Shutdown | GameEvent::StopMe) && !*stopped;
        if announced {
            // It counts once.
            *stopped = true;
            self.state.failures.times.pop();
            if self.state.phase.game().is_some() {
                self.close_match("the game ended, as it had said", Then::Recycle, None);
            }
        }
        true
    }

    fn map_changed(&mut self, map: Option<String>, mode: Option<String>) {
        let Some(run) = self.state.process.run_mut() else { return };
        let before = (run.map.clone(), run.mode.clone());
        run.map = map.or(run.map.take());
        run.mode = mode.or(run.mode.take());
        if (&run.map, &run.mode) == (&before.0, &before.1) {
            return;
        }
        let (map, mode) = (run.map.clone().unwrap_or_default(), run.mode.clone().unwrap_or_default());
        let text = if mode.is_empty() { format!("playing {map}") } else { format!("playing {map} ({mode})") };
        self.happened("map", text, &[("map", &map), ("mode", &mode)]);
    }

    /// The ladder begins at once, and the end that it leads to is an orderly one.
    fn stop_wanted(&mut self) {
        const WHY: &str = "the game asked to be ended";
        let Some(run) = self.state.process.run_mut() else { return };
        run.gate = Admission::Closed;
        if !std::mem::replace(&mut run.orderly, true) {
            self.happened("shutdown", "the game asks to be ended", &[]);
        }
        match &self.state.phase {
            Phase::Idle | Phase::Starting(_) | Phase::Serving(_) => self.stop_process(WHY, Then::Recycle, None),
            Phase::Draining(_, drain) => {
                let then = drain.then.clone();
                self.stop_process(WHY, then, None);
            }
            // The match that is about to begin gets a fresh process.
            Phase::Acquiring(_) => self.fail(WHY),
            Phase::Closing(..) | Phase::Leaving(_) => {}
        }
    }

    /// A game that says it is free has nobody playing; where players are counted, that count says so itself.
    fn offered(&mut self, gate: Admission) {
        let Some(run) = self.state.process.run_mut() else { return };
        run.withheld = gate == Admission::Closed;
        if let Phase::Draining(_, drain) = &mut self.state.phase
            && gate == Admission::Open
            && drain.then == Then::Recycle
            && !run.roster.countable
        {
            drain.deadline = Some(self.now);
        }
    }

    fn match_started(&mut self, match_id: Option<MatchId>) {
        let minted = MatchId::from_uuid(self.mint.uuid());
        let Some(game) = self.state.phase.game_mut() else { return };
        let begun = Some(match_id.unwrap_or(minted));
        // A game repeats what it said to an agent that is new to it.
        if std::mem::replace(&mut game.match_id, begun.clone()) != begun {
            self.happened("match_started", "the match has begun", &[]);
        }
    }

    fn match_ended(&mut self) {
        if self.state.phase.game().is_some() {
            self.happened("match_ended", "the match is over", &[]);
            self.drain("the match is over", Then::Recycle);
        }
    }

    fn said_of_players(&mut self, door: EventSource, said: GameEvent) {
        let (now, keep) = (self.now, self.settings.players.reconnect_grace.get());
        let session = self.session.as_ref();
        let Some(run) = self.state.process.run_mut() else { return };
        let roster = &mut run.roster;
        if !roster.heeds(door, now) {
            if let GameEvent::PlayerCount { max, .. } = said {
                roster.max = max.or(roster.max);
            }
            return;
        }
        let changes: Vec<_> = match said {
            GameEvent::PlayerJoined(player) => roster.joined(player, now, session).into_iter().collect(),
            GameEvent::PlayerLeft { id } => roster.left(&id, now, keep, session).into_iter().collect(),
            GameEvent::Players(list) => roster.replace(list, now, keep, session),
            GameEvent::PlayerCount { players, max } => {
                let before = roster.players();
                roster.count(players, max, now);
                if roster.players() != before {
                    self.happened("players", format!("{players} players"), &[("players", &players.to_string())]);
                }
                return;
            }
            GameEvent::Ready
            | GameEvent::Joinable(_)
            | GameEvent::Heartbeat
            | GameEvent::Health { .. }
            | GameEvent::TickRate { .. }
            | GameEvent::Map { .. }
            | GameEvent::MatchStarted { .. }
            | GameEvent::MatchEnded
            | GameEvent::CustomData { .. }
            | GameEvent::Version(_)
            | GameEvent::Sdk(_)
            | GameEvent::StopMe
            | GameEvent::Hello
            | GameEvent::Offer(_)
            | GameEvent::Keep(_)
            | GameEvent::Shutdown => return,
        };
        for change in changes {
            let (kind, player, verb) = match &change {
                Change::Joined(player) => ("player_joined", player, "joined"),
                Change::Left(player) => ("player_left", player, "left"),
            };
            let text = format!("{} {verb}", player.name.as_deref().unwrap_or(&player.id));
            let name = player.name.as_deref().unwrap_or_default();
            self.happened(kind, text, &[("player", player.id.as_str()), ("name", name)]);
        }
        self.judge_players(false);
    }

    /// By what the session says; if that is too old to say, it is read again first.
    pub(super) fn judge_players(&mut self, fresh: bool) {
        if !self.writes() {
            return;
        }
        let Some(game) = self.linked() else { return };
        let id = game.session.clone();
        let settings = &self.settings.session;
        let admission = if game.own { settings.own_admission } else { settings.admission };
        let Some(session) = self.session.take().filter(|session| session.session_id == id) else { return };
        let verdicts = match self.state.process.run_mut() {
            Some(run) if !fresh && run.roster.has_unjudged(Some(&session)) => {
                self.poll.now();
                Vec::new()
            }
            Some(run) => run.roster.judge(&session, admission),
            None => Vec::new(),
        };
        self.session = Some(session);
        for verdict in verdicts {
            match verdict {
                Verdict::NotInSession { id } => {
                    self.happened("not_in_session", format!("{id} is no member of the session"), &[("player", &id)]);
                    self.tell(GameNotice::NotInSession { id });
                }
                Verdict::Add { known_as, player, team } => {
                    let call = Call::AddPlayer { session: id.clone(), player, team };
                    self.call(call, Purpose::Player(Some(known_as)));
                }
            }
        }
    }

    pub(super) fn players_tick(&mut self) {
        let now = self.now;
        let Some(run) = self.state.process.run_mut() else { return };
        let lapsed = run.roster.lapsed(now);
        let Some(session) = self.linked().map(|game| game.session.clone()).filter(|_| self.writes()) else { return };
        for player in lapsed {
            self.call(Call::RemovePlayer { session: session.clone(), player }, Purpose::Player(None));
        }
    }

    pub(super) fn player_answered(&mut self, added: Option<String>, answer: &Result<Answer, Refusal>) {
        let refused =
            matches!(answer, Err(Refusal::Conflict { .. } | Refusal::Invalid { .. } | Refusal::Credentials { .. }));
        match (added, answer) {
            (Some(id), Err(refusal)) if refused => {
                let text = format!("{id} can't be added to the session: {refusal}");
                self.happened("not_in_session", text, &[("player", &id)]);
                self.tell(GameNotice::NotInSession { id });
            }
            (Some(id), Ok(_)) => {
                self.happened("admitted", format!("{id} was added to the session"), &[("player", &id)]);
            }
            _ => {}
        }
        // What the session says now decides on, also about an add whose outcome isn't known.
        self.poll.now();
    }

    pub(super) fn evidence(&mut self, number: RunNumber, door: EventSource, evidence: &Evidence) {
        let Some(run) = self.state.process.run_mut().filter(|run| run.number == number) else { return };
        run.speaks.insert(door);
        let proves = match (self.settings.readiness.by, door) {
            (ReadyBy::Log, EventSource::Log) => Some("log"),
            (ReadyBy::Probe, EventSource::Probe) => Some("probe"),
            (ReadyBy::Port, EventSource::Probe) => Some("port"),
            // A game that speaks an SDK says it itself.
            (ReadyBy::Auto, EventSource::Probe) if !run.speaks_an_sdk() => Some("seen from outside"),
            (ReadyBy::Auto | ReadyBy::Sdk | ReadyBy::Delay | ReadyBy::Log | ReadyBy::Probe | ReadyBy::Port, _) => None,
        };
        match evidence {
            Evidence::Up => {
                if let Some(how) = proves {
                    self.ready(how);
                }
            }
            Evidence::Down { .. } => {}
        }
        let ready = self.state.process.run().is_some_and(|run| run.ready.is_some());
        if ready && door == EventSource::Probe {
            self.health.probed(&self.settings.health, evidence);
        }
    }

    pub(super) fn measured(&mut self, stats: ProcessStats) {
        if self.state.process.run().is_some_and(|run| run.number == stats.run) {
            self.stats = Some(stats);
            self.health.measured(&self.settings.health, &stats);
        }
    }

    pub(super) fn registration(&mut self, registered: bool, trouble: Option<String>) {
        if registered && !self.registered {
            self.happened("registered", "registered for allocation", &[]);
        }
        self.registered = registered;
        self.registration_trouble = trouble;
    }

    /// Nothing that should have come meanwhile counts as missed.
    pub(super) fn gap(&mut self, span: Duration) {
        self.happened("gap", format!("the machine slept or stood still for {} s", span.as_secs()), &[]);
        self.health.gap(self.now, self.settings.sdk_pings.as_ref());
        self.guards_from = self.now;
        self.poll.now();
    }

    pub(super) fn reloaded(&mut self, settings: super::settings::Settings) {
        // What is reserved may have moved since the agent's start, which is what a reload knows.
        let ports = std::mem::replace(&mut self.settings, settings).launch.ports;
        self.settings.launch.ports = ports;
        self.conn_strs = super::reports::ConnStrs::new(&self.settings);
        self.learn_host_deadline();
        self.happened("reloaded", "the configuration was reloaded; launch settings count from the next start", &[]);
    }
}
