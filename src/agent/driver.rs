//! The driver: one task that owns the core.
//!
//! ```text
//!   inbox ──► arrival ──► Input ──► core.handle ──► effects ──► executor (queued to the edges, never waited for)
//!                 ▲                     │
//!   deadline ─────┘                     └─► status (a watch), timeline, systemd
//! ```
//!
//! Invariants:
//!
//! 1. One input at a time; its effects are dispatched in their order before the next is taken.
//! 2. Nothing here waits for a disk, a network or a terminal.
//! 3. systemd's watchdog is answered by this loop and nothing else, so it shows that decisions are
//!    still made.
//! 4. What the machine slept through, or this task was kept from, is told to the core as a gap
//!    before anything else.
//! 5. A batch of the game's messages is acknowledged once what it changed is on the disk, or can't
//!    get there, and the state that it led to was published.

mod keeper_events;

use super::{
    crash,
    effect_executor::EffectExecutor,
    figures::Figures,
    inbox::{Arrival, Control, Inbox},
    supervisor::Supervisor,
};
use crate::{
    core::{
        Core,
        io::{Effect, Ending, Input, JournalFact, TimelineEvent},
    },
    frontends::native::OperatorRequest,
    gateway::client::GatewayEvent,
    host::alarm::Alarm,
    model::{
        game::{BatchId, GameBatch},
        orders::{Accepted, Refused, RequestId},
        session::InstanceHealth,
        status::{AgentStatus, PhaseName, Status},
        time::{Instant, Now},
    },
    probes::Observation,
    providers::ProviderEvent,
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::sync::{oneshot, watch};

/// Being later than this, or asleep for longer, makes a gap.
const GAP: Duration = Duration::from_secs(2);
/// After this long the state that was replayed counts as harmless.
const SETTLED: Duration = Duration::from_secs(20);

/// What only the composition root knows of the status.
#[derive(Debug, Clone)]
pub struct Identity {
    pub agent: AgentStatus,
    pub sessions_url: Option<String>,
}

/// The loop and what it holds.
#[derive(Debug)]
pub struct Driver {
    pub core: Core,
    pub inbox: Inbox,
    pub executor: EffectExecutor,
    pub status: watch::Sender<Arc<Status>>,
    pub identity: watch::Receiver<Identity>,
    /// The last batch that was acknowledged; the next gateway is told.
    pub heard: watch::Sender<Option<BatchId>>,
    pub clock: fn() -> Now,
    /// None: tokio's timer, which tests can pause.
    pub alarm: Option<Alarm>,
}

/// What the loop remembers between two inputs.
#[derive(Debug)]
struct LoopState {
    last: Now,
    /// When this task wanted to be woken at the latest.
    due: Option<Instant>,
    supervisor: Supervisor,
    settled: Option<Instant>,
    figures: Figures,
    /// The revision of the status that was published last.
    published: Option<u64>,
    requests: BTreeMap<RequestId, oneshot::Sender<Result<Accepted, Refused>>>,
    next_request: u64,
    /// Batches that wait for a commit, each with the number of the commit.
    unacknowledged: VecDeque<(u64, BatchId)>,
    /// What the gateway was told of [`EffectExecutor::gateway`]'s urgency.
    urgent: bool,
}

impl Driver {
    /// Runs until the core ends. `first`: what the core wanted at its birth. The inbox comes back too: the edges go on until
    /// it is dropped, and the keeper has to hear the last orders.
    pub async fn run(mut self, first: Vec<Effect>) -> (Ending, EffectExecutor, Inbox) {
        let now = (self.clock)();
        let mut state = LoopState {
            last: now,
            due: None,
            supervisor: Supervisor::new(now),
            settled: Some(now.mono + SETTLED),
            figures: Figures::new(),
            published: None,
            requests: BTreeMap::new(),
            next_request: 1,
            unacknowledged: VecDeque::new(),
            urgent: false,
        };
        let mut ending = self.dispatch(first, &mut state, now);
        self.publish(&mut state);
        loop {
            if let Some(ending) = ending {
                return (ending, self.executor, self.inbox);
            }
            ending = self.step(&mut state).await;
        }
    }

    /// Waits for one thing, and deals with it.
    async fn step(&mut self, state: &mut LoopState) -> Option<Ending> {
        state.due = self.next_wake(state);
        let sleep = sleep_until(self.alarm.as_ref(), state.due, (self.clock)().mono);
        let arrival = tokio::select! {
            biased;
            () = sleep => None,
            arrival = self.inbox.next() => Some(arrival),
        };
        let now = (self.clock)();
        let mut ending = None;
        if let Some(gap) = gap(state.last, state.due, now) {
            ending = self.take(Input::Gap(gap), state, now);
        }
        state.last = now;
        if ending.is_none() && self.core.next_deadline().is_some_and(|due| due <= now.mono) {
            ending = self.take(Input::Tick, state, now);
        }
        if ending.is_none()
            && let Some(arrival) = arrival
        {
            ending = self.arrive(arrival, state, now);
        }
        self.housekeeping(state, now);
        self.publish(state);
        ending
    }

    /// Turns an arrival into an input, or deals with it where the core needn't know.
    fn arrive(&mut self, arrival: Arrival, state: &mut LoopState, now: Now) -> Option<Ending> {
        match arrival {
            Arrival::Keeper(event) => self.keeper(event, state, now),
            Arrival::Journal(fact) => {
                self.written(state, &fact);
                self.take(Input::Journal(fact), state, now)
            }
            Arrival::Answered((call, answer)) => self.take(Input::Answered { call, answer }, state, now),
            Arrival::Backend(backend) => self.take(Input::Backend(backend), state, now),
            Arrival::Provider(event) => self.take(provided(event), state, now),
            Arrival::Gateway(event) => self.gateway(event, state, now),
            Arrival::Operator(request) => self.operator_request(request, state, now),
            Arrival::LivenessCheck(alive) => {
                let _ = alive.send(());
                None
            }
            Arrival::Found(finding) => {
                let (run, source) = (finding.run, finding.source);
                let input = match finding.observation {
                    Observation::Evidence(evidence) => Input::Evidence { run, source, evidence },
                    Observation::GameEvent(event) => Input::GameEvent { run, source, event },
                    Observation::Build(build) => Input::Build { run, build },
                };
                self.take(input, state, now)
            }
            Arrival::Log(news) => self.output(news, state, now),
            Arrival::Examined(examined) => self.examined(examined, state, now),
            Arrival::Control(Control::Terminate) => self.take(Input::Terminate, state, now),
            Arrival::Control(Control::Reload(settings)) => self.take(Input::Reloaded(settings), state, now),
            Arrival::Control(Control::Note { kind, text }) => {
                self.executor.timeline(TimelineEvent { kind, text, fields: BTreeMap::new() }, now);
                None
            }
        }
    }

    fn gateway(&mut self, event: GatewayEvent, state: &mut LoopState, now: Now) -> Option<Ending> {
        match event {
            GatewayEvent::Fact(fact) => self.take(Input::Gateway(fact), state, now),
            GatewayEvent::Counted { run, counted, answer } => {
                self.take(Input::HeartbeatsCounted { run, counted, answer }, state, now)
            }
            GatewayEvent::Batch(batch) => self.batch(batch, state, now),
        }
    }

    /// It is acknowledged once it is durable, also where it was applied before or has changed nothing.
    fn batch(&mut self, batch: GameBatch, state: &mut LoopState, now: Now) -> Option<Ending> {
        let id = batch.id();
        let ending = self.take(Input::GameBatch(batch), state, now);
        state.unacknowledged.push_back((self.core.written().by, id));
        ending
    }

    fn operator_request(&mut self, asked: OperatorRequest, state: &mut LoopState, now: Now) -> Option<Ending> {
        let request = RequestId(state.next_request);
        state.next_request += 1;
        state.requests.retain(|_, reply| !reply.is_closed());
        state.requests.insert(request, asked.reply);
        self.take(Input::Ordered { request, order: asked.order }, state, now)
    }

    /// Gives the core one input and dispatches what follows.
    fn take(&mut self, input: Input, state: &mut LoopState, now: Now) -> Option<Ending> {
        tracing::debug!(?input, "input");
        crash::point(crash::before(&input));
        let effects = self.core.handle(input, now);
        self.dispatch(effects, state, now)
    }

    fn dispatch(&mut self, effects: Vec<Effect>, state: &mut LoopState, now: Now) -> Option<Ending> {
        let mut ending = None;
        for effect in effects {
            tracing::debug!(?effect, "effect");
            let point = crash::after(&effect);
            match effect {
                Effect::Reply { request, reply } => {
                    if let Some(asker) = state.requests.remove(&request) {
                        let _ = asker.send(reply);
                    }
                }
                Effect::End(how) => ending = Some(how),
                other => self.executor.carry_out(other, now),
            }
            crash::point(point);
        }
        ending
    }

    fn next_wake(&self, state: &LoopState) -> Option<Instant> {
        let supervisor = state.supervisor.next_deadline(self.is_ending());
        [self.core.next_deadline(), supervisor, state.settled].into_iter().flatten().min()
    }

    fn is_ending(&self) -> bool {
        matches!(self.status.borrow().phase, PhaseName::Draining | PhaseName::Closing)
    }

    /// Tells the service manager; lets go of what only the start needed.
    fn housekeeping(&mut self, state: &mut LoopState, now: Now) {
        state.supervisor.tick(self.is_ending(), now);
        if state.settled.is_some_and(|settled| settled <= now.mono) {
            self.executor.settled();
            state.settled = None;
        }
    }

    /// Makes the state visible, where it changed, and acknowledges what needs no commit any more.
    fn publish(&mut self, state: &mut LoopState) {
        let revision = self.core.status_revision();
        if state.published != Some(revision) || self.identity.has_changed().unwrap_or_default() {
            state.published = Some(revision);
            self.publish_status(state);
        }
        let works = self.status.borrow().agent.journal.is_none();
        if !state.unacknowledged.is_empty() && (self.core.is_written() || !works) {
            self.acknowledge(state, u64::MAX);
        }
    }

    /// A commit is done, or can't be.
    fn written(&mut self, state: &mut LoopState, fact: &JournalFact) {
        let (JournalFact::Committed { seq: done } | JournalFact::Failed { seq: done, .. }) = fact;
        self.acknowledge(state, *done);
    }

    fn acknowledge(&mut self, state: &mut LoopState, done: u64) {
        while state.unacknowledged.front().is_some_and(|(seq, _)| *seq <= done)
            && let Some((_, batch)) = state.unacknowledged.pop_front()
        {
            self.heard.send_replace(Some(batch.clone()));
            self.executor.gateway.acknowledge(batch);
        }
    }

    fn publish_status(&mut self, state: &mut LoopState) {
        let mut status = self.core.status();
        let identity = self.identity.borrow_and_update().clone();
        status.agent.pid = identity.agent.pid;
        status.agent.version = identity.agent.version;
        status.agent.started = identity.agent.started;
        status.agent.api = identity.agent.api;
        status.sessions_url = identity.sessions_url;
        state.figures.show(&mut status);
        state.supervisor.show(super::summary::line(&status));
        let ill = matches!(status.instance_health, InstanceHealth::Degraded | InstanceHealth::Unhealthy);
        if state.urgent != ill {
            state.urgent = ill;
            self.executor.gateway.set_urgent(ill);
        }
        self.status.send_if_modified(|known| {
            let changed = **known != status;
            if changed {
                *known = Arc::new(status);
            }
            changed
        });
    }
}

/// What lies between the last input and now that nobody could have acted on. `due`: when somebody should have.
fn gap(last: Now, due: Option<Instant>, now: Now) -> Option<Duration> {
    let asleep = now.boot.saturating_sub(last.boot).saturating_sub(now.mono.since(last.mono));
    let late = due.map_or(Duration::ZERO, |due| now.mono.since(due));
    let gap = asleep.max(late);
    (gap >= GAP).then_some(gap)
}

fn provided(event: ProviderEvent) -> Input {
    match event {
        ProviderEvent::Allocated(allocation) => Input::Allocated(allocation),
        ProviderEvent::Deallocated { allocation } => Input::Deallocated { allocation },
        ProviderEvent::Registered { registered, trouble } => Input::Registered { registered, trouble },
    }
}

async fn sleep_until(alarm: Option<&Alarm>, due: Option<Instant>, now: Instant) {
    let Some(due) = due else { return std::future::pending().await };
    let due = due.max(now + Duration::from_millis(1));
    if let Some(alarm) = alarm
        && alarm.at(due).await.is_ok()
    {
        return;
    }
    tokio::time::sleep(due.since(now)).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::{BootId, Timestamp};

    #[test]
    fn a_gap_is_a_machine_that_slept_or_an_agent_that_was_late() {
        let seconds = Duration::from_secs;
        let at = |boot, mono| Now {
            boot: seconds(boot),
            mono: Instant(seconds(mono)),
            wall: Timestamp::EPOCH,
            boot_id: BootId::default(),
        };
        let rows = [
            ("a quiet hour", None, at(3610, 3610), None),
            ("a little late", Some(12), at(13, 13), None),
            ("stopped for a while", Some(12), at(15, 15), Some(3)),
            ("asleep for an hour", None, at(3611, 11), Some(3600)),
            ("asleep, with something due", Some(12), at(3613, 13), Some(3600)),
        ];
        for (what, due, now, expected) in rows {
            let due = due.map(|due| Instant(seconds(due)));
            assert_eq!(gap(at(10, 10), due, now), expected.map(seconds), "{what}");
        }
    }
}
