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
//! 5. A message of the game is acknowledged once what it changed is on the disk, or can't get
//!    there.

use super::{
    crash,
    effect_executor::EffectExecutor,
    figures::Figures,
    inbox::{Arrival, Control, Inbox},
    ports::Examined,
    supervisor::Supervisor,
};
use crate::{
    core::{
        Core,
        io::{Effect, Ending, Input, JournalFact, TimelineEvent},
    },
    frontends::{GameMessage, Heartbeat, OperatorRequest},
    keeper::KeeperEvent,
    model::{
        game::Counted,
        gateway_facts::GatewayFact,
        ids::RunNumber,
        keeper::KeeperFact,
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
    pub clock: fn() -> Now,
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
    /// The run whose heartbeats the core asks for.
    asked: Option<RunNumber>,
    next_request: u64,
    /// Messages of the game that wait for a commit.
    unacknowledged: VecDeque<(u64, oneshot::Sender<()>)>,
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
            asked: None,
            next_request: 1,
            unacknowledged: VecDeque::new(),
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
        let sleep = state.due.map(|due| due.since((self.clock)().mono).max(Duration::from_millis(1)));
        let arrival = tokio::select! {
            biased;
            () = sleep_for(sleep) => None,
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
                acknowledge(state, &fact);
                self.take(Input::Journal(fact), state, now)
            }
            Arrival::Answered((call, answer)) => self.take(Input::Answered { call, answer }, state, now),
            Arrival::Backend(backend) => self.take(Input::Backend(backend), state, now),
            Arrival::Provider(event) => self.take(provided(event), state, now),
            Arrival::Heartbeats => self.heartbeats(state, now),
            Arrival::Game(message) => self.game_message(message, state, now),
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
                };
                self.take(input, state, now)
            }
            Arrival::Examined(examined) => self.examined(examined, state, now),
            Arrival::Control(Control::Terminate) => self.take(Input::Terminate, state, now),
            Arrival::Control(Control::Reload(settings)) => self.take(Input::Reloaded(settings), state, now),
            Arrival::Control(Control::Note { kind, text }) => {
                self.executor.timeline(TimelineEvent { kind, text, fields: BTreeMap::new() }, now);
                None
            }
        }
    }

    fn keeper(&mut self, event: KeeperEvent, state: &mut LoopState, now: Now) -> Option<Ending> {
        match event {
            KeeperEvent::Fact(KeeperFact::Exited(report)) if self.is_unready(report.run) => {
                self.executor.examine_ports(report);
                None
            }
            KeeperEvent::Fact(fact) => {
                if matches!(fact, KeeperFact::Connected(_) | KeeperFact::Stats(_)) {
                    let keeper = self.status.borrow().keeper.pid;
                    state.figures.refresh(keeper);
                    state.published = None;
                }
                self.executor.note(&fact);
                let connected = matches!(fact, KeeperFact::Connected(_));
                let ending = self.take(Input::Keeper(fact), state, now);
                if ending.is_none() && connected {
                    // The SDK is served here: nobody keeps words of the game from before.
                    return self.take(Input::Gateway(GatewayFact::Heard), state, now);
                }
                ending
            }
            KeeperEvent::Lost(losses) => {
                self.executor.lost(losses, now);
                None
            }
            KeeperEvent::Output { run, stream: _, line } => {
                let said = self.executor.read_line(run, &line);
                said.into_iter().find_map(|input| self.take(input, state, now))
            }
            KeeperEvent::Refused { order, why } => {
                let text = format!("the keeper refused {order}: {why}");
                self.executor.timeline(TimelineEvent { kind: "keeper", text, fields: BTreeMap::new() }, now);
                None
            }
        }
    }

    fn is_unready(&self, run: RunNumber) -> bool {
        let status = self.status.borrow();
        status.game.run == Some(run) && !status.game.ready
    }

    /// Its ports first, so that what is started next gets them.
    fn examined(&mut self, examined: Examined, state: &mut LoopState, now: Now) -> Option<Ending> {
        for text in examined.taken {
            self.executor.timeline(TimelineEvent { kind: "port_taken", text, fields: BTreeMap::new() }, now);
        }
        let mut ending = None;
        if let Some(ports) = examined.renewed {
            self.executor.set_ports(&ports);
            ending = self.take(Input::Ports(ports), state, now);
        }
        ending.or_else(|| self.take(Input::Keeper(KeeperFact::Exited(examined.report)), state, now))
    }

    fn game_message(&mut self, message: GameMessage, state: &mut LoopState, now: Now) -> Option<Ending> {
        let before = self.core.written().revision;
        let input = Input::GameEvent { run: message.run, source: message.source, event: message.event };
        let ending = self.take(input, state, now);
        if let Some(taken) = message.committed {
            let written = self.core.written();
            if written.revision == before {
                let _ = taken.send(());
            } else {
                state.unacknowledged.push_back((written.by, taken));
            }
        }
        ending
    }

    /// Gives the core what the frontends have counted, unasked.
    fn heartbeats(&mut self, state: &mut LoopState, now: Now) -> Option<Ending> {
        let taken = self.inbox.heartbeats.take(now.mono);
        let run = taken.first()?.run;
        self.take(Input::HeartbeatsCounted { run, counted: counted(run, &taken), answer: false }, state, now)
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
        tracing::trace!(?input, "input");
        crash::point(crash::before(&input));
        let effects = self.core.handle(input, now);
        let ending = self.dispatch(effects, state, now);
        let Some(run) = state.asked.take().filter(|_| ending.is_none()) else { return ending };
        let counted = counted(run, &self.inbox.heartbeats.take(now.mono));
        self.take(Input::HeartbeatsCounted { run, counted, answer: true }, state, now)
    }

    fn dispatch(&mut self, effects: Vec<Effect>, state: &mut LoopState, now: Now) -> Option<Ending> {
        let mut ending = None;
        for effect in effects {
            tracing::trace!(?effect, "effect");
            let point = crash::after(&effect);
            match effect {
                Effect::Reply { request, reply } => {
                    if let Some(asker) = state.requests.remove(&request) {
                        let _ = asker.send(reply);
                    }
                }
                Effect::CountHeartbeats { run } => state.asked = Some(run),
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
        if state.unacknowledged.is_empty() {
            return;
        }
        if self.core.is_written() || self.status.borrow().agent.journal.is_some() {
            for (_, taken) in state.unacknowledged.drain(..) {
                let _ = taken.send(());
            }
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
        self.inbox.heartbeats.set_urgent(ill);
        self.status.send_if_modified(|known| {
            let changed = **known != status;
            if changed {
                *known = Arc::new(status);
            }
            changed
        });
    }
}

/// What was counted of this run.
fn counted(run: RunNumber, heartbeats: &[Heartbeat]) -> Vec<Counted> {
    let of_run = heartbeats.iter().filter(|heartbeat| heartbeat.run == run);
    of_run.map(|&Heartbeat { source, count, age, .. }| Counted { source, count, age }).collect()
}

/// What lies between the last input and now that nobody could have acted on. `due`: when somebody should have.
fn gap(last: Now, due: Option<Instant>, now: Now) -> Option<Duration> {
    let asleep = now.boot.saturating_sub(last.boot).saturating_sub(now.mono.since(last.mono));
    let late = due.map_or(Duration::ZERO, |due| now.mono.since(due));
    let gap = asleep.max(late);
    (gap >= GAP).then_some(gap)
}

fn acknowledge(state: &mut LoopState, fact: &JournalFact) {
    let (JournalFact::Committed { seq: done } | JournalFact::Failed { seq: done, .. }) = fact;
    while state.unacknowledged.front().is_some_and(|(seq, _)| seq <= done)
        && let Some((_, taken)) = state.unacknowledged.pop_front()
    {
        let _ = taken.send(());
    }
}

fn provided(event: ProviderEvent) -> Input {
    match event {
        ProviderEvent::Allocated(allocation) => Input::Allocated(allocation),
        ProviderEvent::Deallocated { allocation } => Input::Deallocated { allocation },
        ProviderEvent::Registered { registered, trouble } => Input::Registered { registered, trouble },
    }
}

async fn sleep_for(span: Option<Duration>) {
    match span {
        Some(span) => tokio::time::sleep(span).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::Timestamp;

    #[test]
    fn a_gap_is_a_machine_that_slept_or_an_agent_that_was_late() {
        let seconds = Duration::from_secs;
        let at = |boot, mono| Now { boot: seconds(boot), mono: Instant(seconds(mono)), wall: Timestamp::EPOCH };
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
