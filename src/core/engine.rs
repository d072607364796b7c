//! The wiring: which machine takes what, in which order. Nothing is decided here.
//!
//! ```text
//!   Input ──► take: one machine, or a switch (orders, keeper_facts, game_events)
//!             advance: each machine does what time has brought about
//!             settle: what follows from the state of all machines; last the commit ──► [Effect]
//! ```
//!
//! A machine is handed an event and the [`Facts`], and leaves effects and signals in the
//! [`Decisions`]. Its facts are refreshed where it has changed, then its signals are passed on,
//! depth first: [`super::routing`] says to whom.
//!
//! | effect | waits for the commit |
//! |---|---|
//! | `Start`, `ExitTaken`, the exit hook, the answer to an allocation, `PostInstance` | always: they are written ahead |
//! | `closed` | while the journal works; not longer than 2 s |
//! | every other report, everything said to the game, signals | never |

use super::{
    allocation::{AllocationEvent, AllocationMachine},
    availability::{Availability, AvailabilityEvent},
    backfill::{Backfill, BackfillEvent},
    decisions::{Decisions, Purpose},
    desired_state::{self, Addresses},
    durable::{BulkText, Memory, bulk_named_in},
    ending::{EndingEvent, EndingMachine},
    facts::{Facts, Phase},
    game_match::{GameMatch, MatchEvent},
    game_words::{GameWords, WordsEvent},
    gateway_link::{GatewayEvent, GatewayLink},
    health::{Health, HealthEvent},
    io::{Effect, Input, SavedState},
    journal::{Journal, Written},
    keeper_link::{KeeperEvent, KeeperLink, Recovery},
    outbox::{Outbox, OutboxEvent},
    players::{Players, PlayersEvent},
    process::{ProcessEvent, ProcessMachine},
    revision::Revision,
    session::{SessionEvent, SessionMachine},
    settings::Settings,
    steady_time::{Clock, SteadyTime, earliest},
};
use crate::model::{
    calls::{Answer, CallId, Refusal},
    game::BatchId,
    ids::{KeeperId, RunNumber},
    ordered::Ports,
    process::OutputRead,
    time::{Instant, Now},
};
use std::time::Duration;

/// The agent's decisions and everything that they rest on.
#[derive(Debug)]
pub struct Core {
    pub(super) clock: Clock,
    pub(super) facts: Facts,
    pub(super) decisions: Decisions,
    pub(super) keeper: KeeperLink,
    pub(super) allocation: AllocationMachine,
    pub(super) process: ProcessMachine,
    pub(super) words: GameWords,
    pub(super) gateway: GatewayLink,
    pub(super) players: Players,
    pub(super) game: GameMatch,
    pub(super) outbox: Outbox,
    pub(super) session: SessionMachine,
    pub(super) health: Health,
    pub(super) backfill: Backfill,
    pub(super) availability: Availability,
    pub(super) ending: EndingMachine,
    pub(super) journal: Journal,
    /// Changes of the settings.
    pub(super) settings_changes: u64,
    /// The revision whose consequences have been carried out.
    pub(super) settled: Option<Revision>,
    /// The phase when the last input was done.
    pub(super) phase: Phase,
}

/// The keeper's record is made anew after so many batches of the game's words: the gateway keeps more of them.
const BATCHES_A_RECORD: u64 = 32;

/// Gives a machine an event, and refreshes what others know of it.
macro_rules! tell {
    ($core:ident, $machine:ident, $event:expr) => {{
        let before = $core.$machine.revision();
        $core.$machine.on($event, &$core.facts, &mut $core.decisions);
        if $core.$machine.revision() != before {
            $core.facts.$machine = $core.$machine.facts();
        }
    }};
}

impl Core {
    /// A core that begins with what was saved. Nothing is known of the keeper until it says hello. `entropy` is drawn
    /// from the operating system at each start: ids and join tokens are made from it.
    pub fn new(settings: Settings, saved: SavedState, entropy: [u8; 32], now: Now) -> (Self, Vec<Effect>) {
        let clock = Clock::starting(now);
        let fresh = || Memory::new(now.wall);
        let read = |text: &str, bulk: Option<BulkText>| Memory::read_by(&clock, clock.steady(now), text, bulk);
        let mut lost = None;
        let (memory, recovery, trouble) = match saved {
            SavedState::Fresh => (fresh(), Recovery::JournalLost, None),
            SavedState::Journal(saved) => {
                let bulk = saved.bulk.and_then(|bulk| BulkText::read(&bulk.text));
                lost = bulk_named_in(&saved.text).filter(|_| bulk.is_none());
                match read(&saved.text, bulk) {
                    Ok(memory) => (memory, Recovery::Done, None),
                    Err(why) => (fresh(), Recovery::JournalLost, Some(format!("the journal can't be read: {why}"))),
                }
            }
            SavedState::SetAside { why, text } => {
                let known = text.and_then(|text| read(&text, None).ok());
                let memory = known.map_or_else(fresh, |known| known.owed_to_sessions(now.wall));
                (memory, Recovery::JournalLost, Some(why))
            }
        };
        let mut decisions = Decisions::new(entropy, settings.seed);
        if let Some(why) = &trouble {
            decisions.timeline("journal_set_aside", format!("{why}; going by the keeper's record"), &[]);
        }
        if lost.is_some() {
            let text = "the bulk of the journal is damaged: who plays and what the game's SDK keeps isn't known";
            decisions.timeline("journal", text, &[]);
        }
        let mut core = Core::assemble(memory, recovery, settings, clock, decisions, now);
        core.journal = Journal::new(trouble);
        core.woken();
        let effects = core.finish();
        (core, effects)
    }

    /// Takes one fact and decides. The effects are to be dispatched in this order, none of them waited for.
    pub fn handle(&mut self, input: Input, now: Now) -> Vec<Effect> {
        if self.facts.ending.ended {
            return Vec::new();
        }
        self.facts.now = self.clock.steady(now).max(self.facts.now);
        self.facts.wall = now.wall;
        self.take(input);
        self.finish()
    }

    /// When [`Input::Tick`] is due next; none: not before another input.
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.facts.ending.ended { None } else { self.deadline().map(|at| self.clock.instant(at)) }
    }

    /// Where the present state stands on its way to the disk: what changed it is safe once that commit is done.
    pub fn written(&self) -> Written {
        self.journal.written()
    }

    /// The present state is on the disk.
    pub fn is_written(&self) -> bool {
        self.journal.is_written()
    }

    /// The last batch of the present run's SDK gateway whose effects are on disk: what it hears when it is linked with.
    /// Everything after it, it sends again; what was applied already is passed over.
    pub fn heard(&self) -> Option<BatchId> {
        self.gateway.written().cloned()
    }

    /// How far the output of this run has been read, as far as that is known.
    pub fn output_read(&self, run: RunNumber) -> Option<OutputRead> {
        self.process.output_of(run)
    }

    /// The keepers that were met, the latest first: each is an incarnation under which this server may be registered.
    pub fn met_keepers(&self) -> Vec<KeeperId> {
        self.keeper.id().into_iter().chain(self.keeper.former()).cloned().collect()
    }

    /// Goes up whenever [`Core::status`] may be another one.
    pub fn status_revision(&self) -> u64 {
        let Revision { durable, visible } = self.revision();
        durable + visible
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Keeper(fact) => self.keeper_fact(fact),
            Input::Journal(fact) => {
                self.journal.on(&fact, self.facts.now, &mut self.decisions);
                self.facts.journal = self.journal.facts();
            }
            Input::GameEvent { run, source, event } => self.game_event(run, source, event),
            Input::GameBatch(batch) => self.game_batch(batch),
            Input::HeartbeatsCounted { run, counted, answer } => self.heartbeats_counted(run, &counted, answer),
            Input::Gateway(fact) => self.on_gateway(GatewayEvent::Fact(fact)),
            Input::Evidence { run, source, evidence } => self.evidence(run, source, evidence),
            Input::Output { run, read, evidence, events } => self.output(run, read, evidence, events),
            Input::Build { run, build } => {
                if self.facts.process.run == Some(run) {
                    self.on_players(PlayersEvent::Build(build));
                }
            }
            Input::Allocated(allocation) => self.on_allocation(AllocationEvent::Allocated(allocation)),
            Input::Deallocated { allocation } => self.on_allocation(AllocationEvent::Deallocated(allocation)),
            Input::Registered { registered, trouble } => {
                self.on_availability(AvailabilityEvent::Registered { registered, trouble });
            }
            Input::Answered { call, answer } => self.answered(call, answer),
            Input::Backend(backend) => self.on_session(SessionEvent::Backend(backend)),
            Input::Ordered { request, order } => self.ordered(request, order),
            Input::Terminate => self.terminate("asked to end by a signal"),
            Input::Ports(ports) => self.ports(ports),
            Input::Reloaded(settings) => self.reloaded(*settings),
            Input::Gap(span) => self.gap(span),
            Input::Tick => {}
        }
    }

    fn answered(&mut self, call: CallId, answer: Result<Answer, Refusal>) {
        let Some(purpose) = self.decisions.close_call(call) else { return };
        match purpose {
            Purpose::Acquire(id) => self.on_allocation(AllocationEvent::Answered(id, answer)),
            Purpose::RemoveUnused(request) => self.on_allocation(AllocationEvent::Removed(request, answer)),
            Purpose::Recreate => self.on_allocation(AllocationEvent::Recreated(answer)),
            Purpose::Outbox(instance) => self.on_outbox(OutboxEvent::Answered { instance, answer }),
            Purpose::Poll => self.on_session(SessionEvent::Polled(answer)),
            Purpose::HealthConfig => self.on_health(HealthEvent::Configured(answer)),
            Purpose::Health(instance, told) => self.on_health(HealthEvent::Posted { instance, told, answer }),
            Purpose::BackfillConfig => self.on_backfill(BackfillEvent::Configured(answer)),
            Purpose::Ack => self.on_backfill(BackfillEvent::Acknowledged(answer)),
            Purpose::Need => self.on_backfill(BackfillEvent::NeedTold(answer)),
            Purpose::DropBackfill => self.on_backfill(BackfillEvent::Deleted(answer)),
            Purpose::Player(added) => self.on_players(PlayersEvent::Answered(added, answer)),
        }
    }

    /// Nothing that should have come meanwhile counts as missed.
    fn gap(&mut self, span: Duration) {
        self.decisions.timeline("gap", format!("the machine slept or stood still for {} s", span.as_secs()), &[]);
        self.on_health(HealthEvent::Gap);
        self.on_game(MatchEvent::Gap);
        self.on_session(SessionEvent::ReadSoon);
    }

    fn ports(&mut self, ports: Ports) {
        self.facts.settings.launch.ports = ports;
        self.settings_changed();
    }

    fn reloaded(&mut self, settings: Settings) {
        // What is reserved may have moved since the agent's start, which is what a reload knows.
        let ports = std::mem::replace(&mut self.facts.settings, settings).launch.ports;
        self.facts.settings.launch.ports = ports;
        self.settings_changed();
        self.learn_host_deadline();
        let text = "the configuration was reloaded; launch settings count from the next start";
        self.decisions.timeline("reloaded", text, &[]);
    }

    fn settings_changed(&mut self) {
        self.settings_changes += 1;
        self.facts.addresses = Addresses::new(&self.facts.settings);
        self.on_game(MatchEvent::SettingsChanged);
        self.on_health(HealthEvent::SettingsChanged);
    }

    /// The configured one, or less if the keeper's host, which told it to stop, waits no longer.
    pub(super) fn learn_host_deadline(&mut self) {
        let hello = self.keeper.hello().filter(|_| self.keeper.stop_seen());
        let keepers = hello.and_then(|hello| hello.host_deadline);
        self.on_ending(EndingEvent::HostDeadline(keepers));
    }

    fn finish(&mut self) -> Vec<Effect> {
        if !self.facts.ending.ended {
            self.advance();
            self.settle();
        }
        self.decisions.take_effects()
    }

    /// Does what time has brought about. Once the agent exits, time moves its end alone: the rest is the
    /// next life's. What [`Core::deadline`] leaves out must not be done here.
    fn advance(&mut self) {
        self.journal.tick(self.facts.now, &mut self.decisions);
        self.facts.journal = self.journal.facts();
        if self.facts.ending.exiting {
            return self.on_ending(EndingEvent::Tick);
        }
        self.on_allocation(AllocationEvent::Tick);
        // How many play decides whether the match ends.
        self.on_players(PlayersEvent::Tick);
        // What the process did moves the match, and the other way round; a start or an end is at
        // most a few such moves away.
        for _ in 0..8 {
            let before = self.process.revision() + self.game.revision() + self.ending.revision();
            self.on_process(ProcessEvent::Tick);
            self.on_game(MatchEvent::Tick);
            self.on_ending(EndingEvent::Tick);
            if before == self.process.revision() + self.game.revision() + self.ending.revision() {
                break;
            }
        }
        self.on_gateway(GatewayEvent::Tick);
        self.on_health(HealthEvent::Tick);
        self.on_session(SessionEvent::Tick);
        self.on_backfill(BackfillEvent::Tick);
        self.on_availability(AvailabilityEvent::Tick);
    }

    /// Carries out what follows from the new state; that is nothing, where nothing has changed.
    fn settle(&mut self) {
        if self.facts.phase() != self.phase {
            self.phase = self.facts.phase();
            self.on_game(MatchEvent::PhaseChanged);
        }
        if !self.facts.ending.exiting {
            self.on_health(HealthEvent::Tick);
        }
        if !self.facts.ending.detaching {
            self.on_game(MatchEvent::Settle);
            if self.has_moved() {
                self.publish();
            }
            self.on_outbox(OutboxEvent::Flush);
        }
        if self.has_moved() {
            self.on_availability(AvailabilityEvent::Settle);
            self.record_heard();
            self.update_keeper();
        }
        self.settled = Some(self.revision());
        self.commit();
        self.on_gateway(GatewayEvent::Written(self.journal.is_written()));
        let written = self.journal.is_settled(&self.decisions);
        self.on_ending(EndingEvent::Settle { written });
    }

    fn has_moved(&self) -> bool {
        self.settled != Some(self.revision())
    }

    fn publish(&mut self) {
        let Some(game) = self.facts.game.game.clone() else { return };
        let level = Box::new(desired_state::level(&self.facts, &game));
        let browser = desired_state::browser(&self.facts, &game);
        self.on_outbox(OutboxEvent::Want { instance: game.instance.clone(), level, browser });
    }

    fn update_keeper(&mut self) {
        let game = self.facts.game.game.as_ref().map(|game| (&game.session, &game.instance));
        let process = (self.facts.process.run, self.facts.process.ready);
        let outboxes: Vec<_> = self.facts.outbox.all().iter().map(|outbox| (&outbox.instance, outbox.posted)).collect();
        // What makes a new record worthwhile: another run, another phase, other ids.
        let said = self.gateway.recorded().map(|batch| (&batch.gateway, batch.batch / BATCHES_A_RECORD));
        let key = format!("{:?} {process:?} {game:?} {outboxes:?} {said:?}", self.facts.phase().name());
        let memory = self.memory();
        self.keeper.update(&self.facts, &mut self.decisions, key, || memory.record());
    }

    /// A commit, and the keeper's record, say which batch they have the effects of, and up to where those of the game's output.
    /// A batch or a line that has had no effect on them is no reason for one.
    fn record_heard(&mut self) {
        if self.journal.needs_text(self.revision().durable) {
            self.on_gateway(GatewayEvent::Record);
            self.on_process(ProcessEvent::RecordOutput);
        }
    }

    fn commit(&mut self) {
        let durable = self.revision().durable;
        let memory = self.journal.needs_text(durable).then(|| self.memory());
        self.journal.commit(durable, memory.as_ref(), self.facts.now, &mut self.decisions);
        self.facts.journal = self.journal.facts();
    }

    fn revision(&self) -> Revision {
        Revision { durable: 0, visible: self.settings_changes }
            + self.keeper.revision()
            + self.allocation.revision()
            + self.process.revision()
            + self.words.revision()
            + self.gateway.revision()
            + self.players.revision()
            + self.game.revision()
            + self.outbox.revision()
            + self.session.revision()
            + self.health.revision()
            + self.backfill.revision()
            + self.availability.revision()
            + self.ending.revision()
            + self.journal.revision()
    }

    /// When time alone brings something about next.
    fn deadline(&self) -> Option<SteadyTime> {
        let facts = &self.facts;
        let ending = [self.ending.next_deadline(facts), self.journal.next_deadline()];
        if facts.ending.detaching {
            return earliest(ending);
        }
        if facts.ending.exiting {
            return earliest(ending.into_iter().chain([self.outbox.next_deadline(facts)]));
        }
        let others = [
            self.allocation.next_deadline(facts),
            self.process.next_deadline(facts),
            self.gateway.next_deadline(),
            self.players.next_deadline(facts),
            self.game.next_deadline(facts),
            self.outbox.next_deadline(facts),
            self.session.next_deadline(facts),
            self.health.next_deadline(facts),
            self.backfill.next_deadline(facts),
            self.availability.next_deadline(facts),
        ];
        earliest(ending.into_iter().chain(others))
    }

    pub(super) fn on_keeper(&mut self, event: KeeperEvent) {
        tell!(self, keeper, event);
        self.deliver();
    }

    pub(super) fn on_allocation(&mut self, event: AllocationEvent) {
        tell!(self, allocation, event);
        self.deliver();
    }

    pub(super) fn on_process(&mut self, event: ProcessEvent) {
        let run = self.facts.process.run;
        tell!(self, process, event);
        if self.facts.process.run != run {
            // What a run has said ends with it.
            tell!(self, words, WordsEvent::RunChanged);
            tell!(self, gateway, GatewayEvent::RunChanged);
            tell!(self, players, PlayersEvent::RunChanged);
            tell!(self, health, HealthEvent::RunChanged);
        }
        self.deliver();
    }

    pub(super) fn on_words(&mut self, event: WordsEvent) {
        tell!(self, words, event);
        self.deliver();
    }

    pub(super) fn on_gateway(&mut self, event: GatewayEvent) {
        tell!(self, gateway, event);
        self.deliver();
    }

    pub(super) fn on_players(&mut self, event: PlayersEvent) {
        tell!(self, players, event);
        self.deliver();
    }

    pub(super) fn on_game(&mut self, event: MatchEvent) {
        tell!(self, game, event);
        self.deliver();
    }

    pub(super) fn on_outbox(&mut self, event: OutboxEvent) {
        tell!(self, outbox, event);
        self.deliver();
    }

    pub(super) fn on_session(&mut self, event: SessionEvent) {
        tell!(self, session, event);
        self.deliver();
    }

    pub(super) fn on_health(&mut self, event: HealthEvent) {
        tell!(self, health, event);
        self.deliver();
    }

    pub(super) fn on_backfill(&mut self, event: BackfillEvent) {
        self.backfill.on(event, &self.facts, &mut self.decisions);
        self.deliver();
    }

    fn on_availability(&mut self, event: AvailabilityEvent) {
        self.availability.on(event, &self.facts, &mut self.decisions);
        self.deliver();
    }

    pub(super) fn on_ending(&mut self, event: EndingEvent) {
        tell!(self, ending, event);
        self.deliver();
    }
}
