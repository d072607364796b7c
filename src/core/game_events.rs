//! What the game says, and what is found out about it: one switch, to the machines that it
//! concerns.

use super::{
    engine::Core,
    game_match::MatchEvent,
    game_words::WordsEvent,
    gateway_link::GatewayEvent,
    health::HealthEvent,
    players::PlayersEvent,
    process::{ProcessEvent, ProcessStatus},
    roster::PlayerWord,
};
use crate::model::{
    game::{Admission, Counted, EventSource, Evidence, GameBatch, GameEvent},
    ids::RunNumber,
    policy::ReadyBy,
    process::OutputRead,
};
use std::time::Duration;

impl Core {
    /// Everything that a batch says, in its order. One that was applied before is passed over.
    pub(super) fn game_batch(&mut self, batch: GameBatch) {
        if !self.facts.keeper.met && self.facts.process.run != Some(batch.run) {
            return self.on_gateway(GatewayEvent::Early(Box::new(batch)));
        }
        let id = batch.id();
        let GameBatch { run, said, .. } = batch;
        if self.facts.process.run == Some(run) {
            if self.gateway.has_applied(&id) {
                return;
            }
            self.on_gateway(GatewayEvent::Batch(id));
        }
        for (source, event) in said {
            self.game_event(run, source, event);
        }
    }

    pub(super) fn game_event(&mut self, run: RunNumber, source: EventSource, event: GameEvent) {
        if self.facts.process.state == ProcessStatus::Delayed {
            // The game said so before its exit, but the exit came in first.
            if matches!(event, GameEvent::Shutdown | GameEvent::StopMe) {
                self.on_process(ProcessEvent::LateEnd(run));
            }
            return;
        }
        if self.facts.process.run != Some(run) {
            return;
        }
        self.spoke(source);
        match event {
            GameEvent::Ready => {
                if matches!(self.facts.settings.readiness.by, ReadyBy::Sdk | ReadyBy::Auto) {
                    self.on_process(ProcessEvent::Ready { how: "sdk" });
                }
            }
            GameEvent::Heartbeat => self.heartbeats(source, 1, Duration::ZERO),
            GameEvent::Health { health, reason } => self.on_health(HealthEvent::Opinion { health, reason }),
            GameEvent::TickRate { measured, target } => self.on_health(HealthEvent::TickRate { measured, target }),
            GameEvent::MatchStarted { match_id } => self.on_game(MatchEvent::MatchStarted(match_id)),
            GameEvent::MatchEnded { allocation } => self.on_game(MatchEvent::MatchEnded(allocation)),
            GameEvent::StopMe => {
                self.on_words(WordsEvent::AskedToBeEnded);
                self.on_game(MatchEvent::StopWanted);
            }
            GameEvent::Hello => {}
            GameEvent::PlayerJoined(player) => self.players_word(source, PlayerWord::Joined(player)),
            GameEvent::PlayerLeft { id } => self.players_word(source, PlayerWord::Left(id)),
            GameEvent::Players(list) => self.players_word(source, PlayerWord::List(list)),
            GameEvent::PlayerCount { players, max } => {
                self.players_word(source, PlayerWord::Count { players, max });
            }
            offer @ GameEvent::Offer(gate) => {
                self.on_words(WordsEvent::Said(source, offer));
                if gate == Admission::Open {
                    self.on_game(MatchEvent::GameFree);
                }
            }
            words @ (GameEvent::Joinable(_)
            | GameEvent::Map { .. }
            | GameEvent::CustomData { .. }
            | GameEvent::Version(_)
            | GameEvent::Sdk(_)
            | GameEvent::SdkState(_)
            | GameEvent::Shutdown
            | GameEvent::Keep(_)
            | GameEvent::KeepAside(_)) => self.on_words(WordsEvent::Said(source, words)),
        }
    }

    /// Notes that the game speaks through this source.
    fn spoke(&mut self, source: EventSource) {
        if self.facts.words.speaks.contains(&source) {
            return;
        }
        self.on_words(WordsEvent::Spoke(source));
    }

    fn players_word(&mut self, source: EventSource, word: PlayerWord) {
        self.on_players(PlayersEvent::Said(source, word));
    }

    /// Heartbeats, counted by whoever took them. Once they have been taken into account, an answer has the deadline judged
    /// for which they were asked for.
    pub(super) fn heartbeats_counted(&mut self, run: RunNumber, counted: &[Counted], answer: bool) {
        if self.facts.process.run != Some(run) {
            return;
        }
        for Counted { source, count, age } in counted.iter().filter(|counted| counted.count > 0) {
            self.heartbeats(*source, *count, *age);
        }
        if answer {
            self.on_health(HealthEvent::Counted);
        }
    }

    /// Heartbeats of the present run; the newest came `age` ago.
    fn heartbeats(&mut self, source: EventSource, count: u64, age: Duration) {
        let newest = self.facts.now.before(age);
        self.spoke(source);
        if source == EventSource::Agones {
            self.on_health(HealthEvent::Pinged { newest });
        }
        self.on_health(HealthEvent::Heartbeats { newest, count });
    }

    /// A probe or a line of the log has found out whether the game is up.
    pub(super) fn evidence(&mut self, run: RunNumber, source: EventSource, evidence: Evidence) {
        if self.facts.process.run != Some(run) {
            return;
        }
        self.on_words(WordsEvent::Spoke(source));
        if let Evidence::Down { why } = &evidence
            && self.facts.process.ready.is_none()
        {
            self.on_process(ProcessEvent::NotYet { why: why.clone() });
        }
        if evidence == Evidence::Up
            && let Some(how) = self.proof(source)
        {
            self.on_process(ProcessEvent::Ready { how });
        }
        if evidence == Evidence::Up && source == EventSource::Probe {
            self.on_players(PlayersEvent::Probed);
        }
        if self.facts.process.ready.is_some() && source == EventSource::Probe {
            self.on_health(HealthEvent::Probed(evidence));
        }
    }

    /// What a line of the game's output means, and that it was read.
    pub(super) fn output(
        &mut self,
        run: RunNumber,
        read: Option<OutputRead>,
        evidence: Vec<Evidence>,
        events: Vec<GameEvent>,
    ) {
        if let Some(read) = read {
            self.on_process(ProcessEvent::OutputRead { run, read });
        }
        for evidence in evidence {
            self.evidence(run, EventSource::Log, evidence);
        }
        for event in events {
            self.game_event(run, EventSource::Log, event);
        }
    }

    /// The name of the proof, if evidence from this source that the game is up proves that it is ready.
    fn proof(&self, source: EventSource) -> Option<&'static str> {
        match (self.facts.settings.readiness.by, source) {
            (ReadyBy::Log, EventSource::Log) => Some("log"),
            (ReadyBy::Probe, EventSource::Probe) => Some("probe"),
            (ReadyBy::Port, EventSource::Probe) => Some("port"),
            // A game that speaks an SDK says it itself.
            (ReadyBy::Auto, EventSource::Probe) if !self.facts.words.speaks_an_sdk() => Some("seen from outside"),
            (
                ReadyBy::Auto | ReadyBy::Sdk | ReadyBy::Delay | ReadyBy::Log | ReadyBy::Probe | ReadyBy::Port,
                EventSource::Native | EventSource::Agones | EventSource::Gsdk | EventSource::Probe | EventSource::Log,
            ) => None,
        }
    }
}
