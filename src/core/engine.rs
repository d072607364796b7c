//! The core's door: inputs in, effects out.
//!
//! Each input is taken in three steps: what it says is noted (`take`), what time has brought about is done (`advance`), and
//! whatever follows from the new state is made so (`settle`): calls, offer, orders to the keeper, the journal. The last step only
//! compares what is wanted with what was said last, so that nothing has to remember to do it.
//!
//! | effect | waits for the commit |
//! |---|---|
//! | `Start`, `ExitTaken`, the exit hook, the answer to an allocation, `PostInstance` | always: they are written ahead |
//! | `closed` | while the journal works; not longer than 2 s |
//! | every other report, everything said to the game, signals | never |

use super::{
    backfill::BackfillDesk,
    clock::{Clock, When, earliest},
    health::HealthDesk,
    io::{Availability, Effect, Ending, Input, Restored, SavedState, TimelineEvent},
    journal::Journal,
    mint::{Jitter, Mint},
    poll::Poll,
    publish::Lane,
    reports::ConnStrs,
    settings::Settings,
    state::Durable,
};
use crate::model::{
    calls::{Answer, Backend, Call, CallId, Refusal},
    ids::{InstanceId, RunNumber},
    keeper::KeeperOrder,
    orders::RequestId,
    process::{FallbackPolicy, KeeperHello, ProcessStats},
    session::{InstanceHealth, JoinStatus, Session},
    time::{Instant, Now, Timestamp},
    units::Span,
};
use std::{collections::BTreeMap, time::Duration};

/// The agent's decisions and everything that they rest on.
#[derive(Debug)]
pub struct Core {
    pub(super) settings: Settings,
    /// Of the settings; kept, as a template takes its time.
    pub(super) conn_strs: ConnStrs,
    pub(super) state: Durable,
    /// The journal was unusable: the keeper's record counts until it has said hello.
    pub(super) amnesia: bool,
    pub(super) clock: Clock,
    /// Of the input being taken.
    pub(super) now: When,
    pub(super) wall: Timestamp,
    pub(super) mint: Mint,
    pub(super) jitter: Jitter,
    pub(super) out: Vec<Effect>,
    pub(super) journal: Journal,
    pub(super) keeper: KeeperLink,
    pub(super) host_deadline: Option<Duration>,
    /// A stop was asked for, by signal, keeper or operator.
    pub(super) leaving: bool,
    /// The last commit is waited for.
    pub(super) farewell: Option<(Ending, When)>,
    /// Nobody is reckoned absent from before this.
    pub(super) guards_from: When,
    pub(super) ended: bool,
    /// A run that no record explains: kept, and left alone.
    pub(super) stranger: bool,
    next_call: u64,
    pub(super) calls: BTreeMap<CallId, Purpose>,
    pub(super) acquire: AcquireDesk,
    pub(super) session: Option<Session>,
    pub(super) poll: Poll,
    pub(super) health: HealthDesk,
    pub(super) backfill: BackfillDesk,
    pub(super) backend: Backend,
    pub(super) registered: bool,
    pub(super) registration_trouble: Option<String>,
    pub(super) stats: Option<ProcessStats>,
    pub(super) next_stats: Option<When>,
    pub(super) refusals: Refusals,
    pub(super) last: Last,
}

/// What the session service won't have. Each stands until its own end.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// A session of our own; until there is one, or none is wanted any more.
    pub session: Option<String>,
    /// This lane's reports, which are tried again; until one is taken, or none is owed.
    pub waiting: Option<(InstanceId, String)>,
    /// A report that was dropped; until the match is over.
    pub dropped: Option<String>,
}

/// What is known of the keeper.
#[derive(Debug, Default)]
pub(super) struct KeeperLink {
    pub hello: Option<KeeperHello>,
    pub connected: bool,
    pub trouble: Option<String>,
    /// An order to end came through it; it stands.
    pub stop_seen: bool,
}

/// An allocation on its way.
#[derive(Debug, Default)]
pub(super) struct AcquireDesk {
    pub retry_at: Option<When>,
    pub under_way: bool,
    /// Who waits for an answer.
    pub askers: Vec<RequestId>,
}

/// What was said last, for comparison.
#[derive(Debug, Default)]
pub(super) struct Last {
    pub provide: Option<Availability>,
    pub record: Option<String>,
    pub fallback: Option<FallbackPolicy>,
    pub shown: Option<(InstanceId, JoinStatus)>,
    /// The run that was told what is in force.
    pub told: Option<RunNumber>,
}

/// Why a call was made.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Purpose {
    Acquire,
    Recreate,
    Lane(InstanceId),
    Poll,
    HealthConfig,
    Health(InstanceId, InstanceHealth),
    BackfillConfig,
    Ack,
    Need,
    DropBackfill,
    /// A player was added, known to the game by this id; or one was removed.
    Player(Option<String>),
}

impl Core {
    /// Wakes a core with what it remembers. Nothing is known of the keeper until it says hello.
    pub fn new(settings: Settings, restored: Restored, now: Now) -> (Self, Vec<Effect>) {
        let clock = Clock::starting(now);
        let (state, trouble) = match restored.saved {
            SavedState::Fresh => (None, None),
            SavedState::Journal(text) => match Durable::read(&text) {
                Ok(state) => (Some(state), None),
                Err(why) => (None, Some(format!("the journal can't be read: {why}"))),
            },
            SavedState::SetAside { why } => (None, Some(why)),
        };
        let amnesia = state.is_none();
        let mut core = Core {
            state: state.unwrap_or_else(|| Durable::new(now.wall)),
            amnesia,
            clock,
            now: clock.when(now),
            wall: now.wall,
            mint: Mint::new(restored.entropy),
            jitter: Jitter::new(settings.seed),
            out: Vec::new(),
            journal: Journal::default(),
            keeper: KeeperLink::default(),
            host_deadline: settings.drain.host_deadline.map(Span::get),
            leaving: false,
            farewell: None,
            guards_from: When(Timestamp::EPOCH),
            ended: false,
            stranger: false,
            next_call: 0,
            calls: BTreeMap::new(),
            acquire: AcquireDesk::default(),
            session: None,
            poll: Poll::default(),
            health: HealthDesk::default(),
            backfill: BackfillDesk::default(),
            backend: Backend::Untried,
            registered: false,
            registration_trouble: None,
            stats: None,
            next_stats: None,
            refusals: Refusals::default(),
            conn_strs: ConnStrs::new(&settings),
            last: Last::default(),
            settings,
        };
        if let Some(why) = trouble {
            core.happened("journal_set_aside", format!("{why}; going by the keeper's record"), &[]);
            core.journal.set_aside = Some(why);
        }
        core.wake();
        let effects = core.finish();
        (core, effects)
    }

    /// Takes one fact and decides. The effects are to be dispatched in this order, none of them waited for.
    pub fn handle(&mut self, input: Input, now: Now) -> Vec<Effect> {
        if self.ended {
            return Vec::new();
        }
        self.now = self.clock.when(now).max(self.now);
        self.wall = now.wall;
        self.take(input);
        self.finish()
    }

    /// When [`Input::Tick`] is due next; none: not before another input.
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.ended { None } else { self.deadline().map(|when| self.clock.instant(when)) }
    }

    fn finish(&mut self) -> Vec<Effect> {
        if !self.ended {
            self.advance();
            self.settle();
        }
        std::mem::take(&mut self.out)
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Keeper(fact) => self.keeper_fact(fact),
            Input::Journal(fact) => self.journal_fact(&fact),
            Input::GameEvent { run, source, event } => self.said(run, source, event),
            Input::Heartbeats { run, source, count, age } => self.heartbeats(run, source, count, age),
            Input::Evidence { run, source, evidence } => self.evidence(run, source, &evidence),
            Input::Allocated(allocation) => self.allocated(allocation),
            Input::Deallocated { allocation } => self.deallocated(&allocation),
            Input::Registered { registered, trouble } => self.registration(registered, trouble),
            Input::Answered { call, answer } => self.answered(call, answer),
            Input::Backend(backend) => self.backend_changed(backend),
            Input::Ordered { request, order } => self.ordered(request, order),
            Input::Terminate => self.terminate("asked to end by a signal"),
            Input::Ports(ports) => {
                self.settings.launch.ports = ports;
                self.conn_strs = super::reports::ConnStrs::new(&self.settings);
            }
            Input::Reloaded(settings) => self.reloaded(*settings),
            Input::Gap(span) => self.gap(span),
            Input::Tick => {}
        }
    }

    /// Does what time has brought about.
    fn advance(&mut self) {
        self.journal_tick();
        self.acquire_tick();
        self.link_tick();
        // What the process did moves the match, and the other way round; a start or an end is at most a few such moves away.
        for _ in 0..8 {
            let before = (self.state.phase.name(), self.state.last_run, std::mem::discriminant(&self.state.process));
            self.process_tick();
            self.phase_tick();
            if before == (self.state.phase.name(), self.state.last_run, std::mem::discriminant(&self.state.process)) {
                break;
            }
        }
        self.players_tick();
        self.stats_tick();
        self.health_tick();
        self.poll_tick();
        self.backfill_tick();
    }

    /// Makes so whatever follows from the new state.
    fn settle(&mut self) {
        let detaching = matches!(&self.farewell, Some((Ending::Detached { .. }, _)));
        if !detaching {
            self.first_joinable_later();
            self.levels();
            self.pump();
        }
        self.say_offer();
        self.say_to_keeper();
        self.commit();
        self.part();
    }

    /// Of everything that time alone brings about: what [`Core::advance`] looks at.
    fn deadline(&self) -> Option<When> {
        if let Some((_, until)) = &self.farewell {
            return earliest([Some(*until), self.journal.deadline()]);
        }
        let lanes = earliest(self.state.lanes.iter().map(Lane::deadline));
        earliest([
            self.journal.deadline(),
            self.acquire_deadline(),
            self.link_deadline(),
            self.process_deadline(),
            self.phase_deadline(),
            self.state.process.run().and_then(|run| run.roster.deadline()),
            self.stats_deadline(),
            self.health_deadline(),
            self.poll_deadline(),
            self.backfill_deadline(),
            lanes,
            self.offer_deadline(),
        ])
    }

    pub(super) fn effect(&mut self, effect: Effect) {
        self.out.push(effect);
    }

    pub(super) fn order(&mut self, order: KeeperOrder) {
        self.effect(Effect::Keeper(order));
    }

    pub(super) fn call(&mut self, call: Call, purpose: Purpose) {
        let effect = self.numbered(call, purpose);
        self.effect(effect);
    }

    /// The same, but not before the present state is on disk.
    pub(super) fn call_written_ahead(&mut self, call: Call, purpose: Purpose) {
        let effect = self.numbered(call, purpose);
        self.journal.hold(effect);
    }

    /// The same, but not longer than the journal may take.
    pub(super) fn call_soon(&mut self, call: Call, purpose: Purpose) {
        let effect = self.numbered(call, purpose);
        self.journal.hold_briefly(effect);
    }

    fn numbered(&mut self, call: Call, purpose: Purpose) -> Effect {
        self.next_call += 1;
        let id = CallId(self.next_call);
        self.calls.insert(id, purpose);
        Effect::Call { id, call }
    }

    pub(super) fn happened(&mut self, kind: &'static str, text: impl Into<String>, fields: &[(&str, &str)]) {
        let fields = fields.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        self.effect(Effect::Timeline(TimelineEvent { kind, text: text.into(), fields }));
    }

    fn answered(&mut self, call: CallId, answer: Result<Answer, Refusal>) {
        // Late and repeated answers name a call that isn't open.
        let Some(purpose) = self.calls.remove(&call) else { return };
        match purpose {
            Purpose::Acquire => self.acquire_answered(answer),
            Purpose::Recreate => self.recreate_answered(answer),
            Purpose::Lane(instance) => self.lane_answered(&instance, &answer),
            Purpose::Poll => self.poll_answered(answer),
            Purpose::HealthConfig => self.health_configured(&answer),
            Purpose::Health(instance, health) => self.health_posted(&instance, health, &answer),
            Purpose::BackfillConfig => self.backfill_configured(&answer),
            Purpose::Ack => self.ack_answered(answer),
            Purpose::Need => self.need_answered(&answer),
            Purpose::DropBackfill => self.drop_answered(&answer),
            Purpose::Player(id) => self.player_answered(id, &answer),
        }
    }
}
