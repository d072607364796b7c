//! The gateway itself: one run's frontends, and the link to whichever agent is connected.
//!
//! ```text
//!   no agent yet ──introduced, hello──► serves ──run──► serves that run ──end──► reads out ──► what is left over
//!        │                               ▲  │                 ▲  │
//!        └ connections wait in           │  └── link breaks ──┘  └── another agent is introduced: hello, levels,
//!          the kernel's queue            │                           the batch that is out is sent again
//!                                        └── the first hello's settings count for good
//! ```
//!
//! | it ends | because | and then |
//! |---|---|---|
//! | a link | the agent is gone, another is introduced, or it says nonsense | the game notices nothing: calls wait |
//! | the gateway | the keeper says so, or is gone | what waits is evaluated and handed over |

use super::{
    connection::{Broken, Connection},
    wire::{AgentSays, GatewaySays, VERSIONS},
};
use crate::{
    frontends::{
        self, Batch, BoundSocket, Events, GameMessage, GameQueue, Heartbeat, Heartbeats, Settings, Shared, TokenStore,
        Tokens, http,
    },
    host::clock,
    model::{
        game::{BatchId, Counted, EventSource, GameBatch, GameEvent, Kept},
        gateway::MAX_WORDS_BYTES,
        ids::{GatewayId, RunNumber},
        status::Status,
    },
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::Instant,
};

/// How long the sockets of a game that has ended are read out.
const READ_OUT: Duration = Duration::from_millis(200);
/// How often it is looked whether they are.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// What whoever started the gateway wants of it.
#[derive(Debug)]
pub(crate) enum Order {
    /// A new agent: its socket, and those that the game knows.
    Agent { link: OwnedFd, listeners: Vec<BoundSocket> },
    /// The run is over.
    End,
}

/// Serves until told to end; none when whoever gives the orders is gone. Returns what no agent has acknowledged.
pub(crate) async fn serve(mut orders: mpsc::Receiver<Order>) -> Option<String> {
    let mut gateway = Gateway::new();
    loop {
        match gateway.next(&mut orders).await {
            Next::Order(Some(Order::Agent { link, listeners })) => gateway.introduced(link, listeners),
            Next::Order(Some(Order::End)) => return Some(gateway.end(&mut orders).await),
            Next::Order(None) => return None,
            Next::Said(said) => {
                gateway.heard(said);
                if gateway.serving.as_ref().is_some_and(|serving| serving.is_over) {
                    return Some(gateway.end(&mut orders).await);
                }
            }
            Next::Sent => gateway.tell(Gateway::send_batch),
            Next::Heartbeats => gateway.tell(|link, serving| link.count(serving, None)),
        }
    }
}

struct Gateway {
    id: GatewayId,
    link: Option<Link>,
    /// Until somebody says how to serve them.
    listeners: Vec<BoundSocket>,
    serving: Option<Serving>,
}

/// The connection with the present agent.
struct Link {
    connection: Connection,
    greeted: bool,
    /// The last batch that went over this link.
    sent: u64,
}

/// What the game is served with.
struct Serving {
    run: Option<RunNumber>,
    /// The agent has a later run: another gateway must serve that. It comes to this where an agent didn't know yet that its
    /// run was over when it was introduced.
    is_over: bool,
    kept: BTreeMap<EventSource, Kept>,
    kept_aside: BTreeMap<EventSource, Kept>,
    queue: Arc<GameQueue>,
    heartbeats: Arc<Heartbeats>,
    status: Option<watch::Sender<Arc<Status>>>,
    events: Arc<Events>,
    tokens: Arc<TokenStore>,
    connections: Arc<http::Connections>,
    /// Copies of the listening sockets: whether somebody waits there.
    doors: Vec<OwnedFd>,
    settings: Settings,
    unserved: Vec<BoundSocket>,
    tasks: JoinSet<()>,
}

enum Next {
    Order(Option<Order>),
    Said(Result<AgentSays, Broken>),
    /// There may be another batch.
    Sent,
    /// Heartbeats that can't wait.
    Heartbeats,
}

impl Gateway {
    fn new() -> Self {
        let id = uuid::Uuid::new_v4().simple().to_string().parse().expect("a hexadecimal text is an id");
        Gateway { id, link: None, listeners: Vec::new(), serving: None }
    }

    async fn next(&mut self, orders: &mut mpsc::Receiver<Order>) -> Next {
        let link = self.link.as_mut();
        let said = async {
            match link {
                Some(link) => link.connection.next().await,
                None => std::future::pending().await,
            }
        };
        let serving = self.serving.as_ref();
        let sent = async {
            match serving {
                Some(serving) => serving.queue.sent().await,
                None => std::future::pending().await,
            }
        };
        let heartbeats = async {
            match serving {
                Some(serving) => serving.heartbeats.urgent().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            order = orders.recv() => Next::Order(order),
            said = said => Next::Said(said),
            () = sent => Next::Sent,
            () = heartbeats => Next::Heartbeats,
        }
    }

    /// The keeper vouches for a new agent. The old one's connection is closed first.
    fn introduced(&mut self, link: OwnedFd, listeners: Vec<BoundSocket>) {
        self.hang_up();
        if self.serving.is_none() {
            self.listeners = listeners;
        }
        match Connection::new(link) {
            Ok(connection) => self.link = Some(Link { connection, greeted: false, sent: 0 }),
            Err(error) => tracing::warn!(%error, "the agent's connection can't be used"),
        }
    }

    fn hang_up(&mut self) {
        self.link = None;
        if let Some(serving) = &self.serving {
            serving.queue.set_agent(false);
        }
    }

    fn heard(&mut self, said: Result<AgentSays, Broken>) {
        if let Err(why) = said.and_then(|said| self.take(said)) {
            match why {
                Broken::Closed => {}
                Broken::Refused(why) => {
                    tracing::warn!(why, "an agent was refused; the game goes on and its calls wait");
                    // It hears why, if it listens.
                    let _ = self.link.as_mut().map(|link| link.connection.say(&GatewaySays::Refused { why }));
                }
                why => tracing::warn!(%why, "the agent's connection is closed; the game goes on and its calls wait"),
            }
            self.hang_up();
        }
    }

    fn take(&mut self, said: AgentSays) -> Result<(), Broken> {
        let Some(link) = &mut self.link else { return Ok(()) };
        if let AgentSays::Hello { versions, build, settings, heard } = said {
            return self.greet(&versions, &build, *settings, heard);
        }
        let Some(serving) = self.serving.as_mut().filter(|_| link.greeted) else {
            return Err(Broken::Refused("the first message of an agent must be hello".to_owned()));
        };
        match said {
            AgentSays::Run { run, token, kept, kept_aside } => serving.begin(run, token.0, kept, kept_aside),
            AgentSays::State { status, pings_stopped } => serving.show(*status, pings_stopped),
            AgentSays::Notice { run, notice } => {
                if serving.run == Some(run) {
                    serving.events.tell(run, *notice);
                }
                Ok(())
            }
            AgentSays::Acknowledge { batch } => {
                serving.queue.acknowledge(batch);
                Ok(())
            }
            AgentSays::Count { question } => link.count(serving, Some(question)),
            AgentSays::Urgent { on } => {
                serving.heartbeats.set_urgent(on);
                Ok(())
            }
            AgentSays::Hello { .. } | AgentSays::Unknown => Ok(()),
        }
    }

    fn greet(
        &mut self,
        versions: &[u32],
        build: &str,
        settings: Settings,
        heard: Option<BatchId>,
    ) -> Result<(), Broken> {
        let Some(version) = VERSIONS.iter().copied().find(|version| versions.contains(version)) else {
            let why = format!("the agent (build {build}) speaks versions {versions:?}, this gateway {VERSIONS:?}");
            return Err(Broken::Refused(why));
        };
        let serving = match self.serving.take() {
            Some(serving) => serving,
            None => Serving::new(settings, std::mem::take(&mut self.listeners))
                .map_err(|error| Broken::Refused(format!("the game's sockets can't be served: {error}")))?,
        };
        let serving = self.serving.insert(serving);
        serving.queue.resume(heard.filter(|heard| heard.gateway == self.id).map_or(0, |heard| heard.batch));
        let Some(link) = &mut self.link else { return Ok(()) };
        link.greeted = true;
        link.sent = 0;
        link.connection.say(&GatewaySays::Hello {
            version,
            gateway: self.id.clone(),
            pid: std::process::id().cast_signed(),
            build: env!("CARGO_PKG_VERSION").to_owned(),
            run: serving.run,
            owes: serving.queue.owes(),
        })?;
        link.send(serving)?;
        // This agent has heard none yet, and silence counts only from the first one on.
        link.say_counted(serving, None, serving.heartbeats.take_known(clock::mono()))
    }

    fn send_batch(link: &mut Link, serving: &Serving) -> Result<(), Broken> {
        link.send(serving)
    }

    /// Tells the agent something, if one is there.
    fn tell(&mut self, tell: impl FnOnce(&mut Link, &Serving) -> Result<(), Broken>) {
        let (Some(link), Some(serving)) = (&mut self.link, &self.serving) else { return };
        if link.greeted
            && let Err(why) = tell(link, serving)
        {
            self.heard(Err(why));
        }
    }

    /// Reads out what the game has still sent, and returns what no agent has acknowledged.
    async fn end(mut self, orders: &mut mpsc::Receiver<Order>) -> String {
        let until = Instant::now() + READ_OUT;
        if let Some(serving) = &self.serving {
            serving.queue.last_call();
        }
        while Instant::now() < until && !self.is_read_out() {
            let next = tokio::select! {
                next = self.next(orders) => Some(next),
                () = tokio::time::sleep(LOOK_AGAIN) => None,
            };
            match next {
                Some(Next::Said(said)) => self.heard(said),
                Some(Next::Sent) => self.tell(Gateway::send_batch),
                Some(Next::Order(Some(Order::Agent { link, listeners }))) => self.introduced(link, listeners),
                Some(Next::Order(None)) => break,
                Some(Next::Heartbeats | Next::Order(Some(Order::End))) | None => {}
            }
        }
        if let Some(link) = self.link.as_mut().filter(|link| link.greeted) {
            let told = link.connection.say(&GatewaySays::Ending);
            if told.is_ok() {
                // An agent that doesn't read finds it out by itself.
                let _ = tokio::time::timeout_at(until, link.connection.flushed()).await;
            }
        }
        self.serving.as_ref().map_or_else(String::new, |serving| words(&self.id, &serving.queue))
    }

    /// Everything that the game has sent was read, and the agent, if there is one, has it.
    fn is_read_out(&self) -> bool {
        let Some(serving) = &self.serving else { return true };
        let delivered = if serving.queue.has_agent() { serving.queue.is_empty() } else { serving.queue.is_evaluated() };
        delivered && serving.connections.open() == 0 && !somebody_waits(&serving.doors)
    }
}

impl Link {
    /// The batch that is out, unless this agent has got it.
    fn send(&mut self, serving: &Serving) -> Result<(), Broken> {
        let Some(out) = serving.queue.out().filter(|out| out.number > self.sent) else { return Ok(()) };
        let Some(run) = serving.run else { return Ok(()) };
        self.sent = out.number;
        let said = out.messages.iter().map(GameMessage::statement).collect();
        self.connection.say(&GatewaySays::Batch { number: out.number, run, said })
    }

    /// The heartbeats since the last time.
    fn count(&mut self, serving: &Serving, question: Option<u64>) -> Result<(), Broken> {
        self.say_counted(serving, question, serving.heartbeats.take(clock::mono()))
    }

    fn say_counted(&mut self, serving: &Serving, question: Option<u64>, taken: Vec<Heartbeat>) -> Result<(), Broken> {
        let Some(run) = serving.run else { return Ok(()) };
        let counted: Vec<_> = taken
            .into_iter()
            .filter(|heartbeat| heartbeat.run == run)
            .map(|heartbeat| Counted { source: heartbeat.source, count: heartbeat.count, age: heartbeat.age })
            .collect();
        if question.is_none() && counted.is_empty() {
            return Ok(());
        }
        self.connection.say(&GatewaySays::Counted { question, run, counted })
    }
}

impl Serving {
    fn new(settings: Settings, listeners: Vec<BoundSocket>) -> io::Result<Self> {
        Ok(Serving {
            run: None,
            is_over: false,
            kept: BTreeMap::new(),
            kept_aside: BTreeMap::new(),
            queue: Arc::default(),
            heartbeats: Arc::default(),
            status: None,
            events: Arc::new(Events::new(uuid::Uuid::new_v4().simple().to_string()[..16].to_owned())),
            tokens: Arc::new(TokenStore::new(String::new().into())),
            connections: Arc::default(),
            doors: listeners.iter().map(|bound| bound.fd.try_clone()).collect::<io::Result<_>>()?,
            settings,
            unserved: listeners,
            tasks: JoinSet::new(),
        })
    }

    /// From now on the game is this run.
    fn begin(
        &mut self,
        run: RunNumber,
        token: secrecy::SecretString,
        kept: BTreeMap<EventSource, Kept>,
        kept_aside: BTreeMap<EventSource, Kept>,
    ) -> Result<(), Broken> {
        if let Some(served) = self.run.filter(|served| *served != run) {
            self.is_over = run.0 > served.0;
            return Err(Broken::Refused(format!(
                "it serves run {served}, and a gateway serves one: this is run {run}"
            )));
        }
        self.queue.known_aside(run, &kept_aside);
        if self.run.is_none() {
            self.run = Some(run);
            (self.kept, self.kept_aside) = (kept, kept_aside);
        }
        self.tokens.set_game(run, token);
        Ok(())
    }

    /// The agent's newest state. The first one opens the doors.
    fn show(&mut self, mut status: Status, pings_stopped: bool) -> Result<(), Broken> {
        let there = self.run.is_some() && status.game.run == self.run;
        status.game.pings_stopped = pings_stopped;
        status.game.kept.clone_from(&self.kept);
        status.game.kept_aside.clone_from(&self.kept_aside);
        match &self.status {
            Some(known) => drop(known.send_replace(Arc::new(status))),
            None => self
                .open(status)
                .map_err(|error| Broken::Refused(format!("the game's sockets can't be served: {error}")))?,
        }
        self.queue.set_agent(there);
        Ok(())
    }

    fn open(&mut self, status: Status) -> io::Result<()> {
        let (to, status) = watch::channel(Arc::new(status));
        let shared = Shared {
            queue: Arc::clone(&self.queue),
            heartbeats: Arc::clone(&self.heartbeats),
            status,
            events: Arc::clone(&self.events),
            tokens: Arc::clone(&self.tokens) as Arc<dyn Tokens>,
            api_counters: Arc::default(),
            connections: Arc::clone(&self.connections),
        };
        for frontend in frontends::registry(&self.settings) {
            frontend.serve(&mut self.unserved, shared.clone(), &mut self.tasks)?;
        }
        self.status = Some(to);
        Ok(())
    }
}

/// Whether a connection waits to be accepted.
fn somebody_waits(doors: &[OwnedFd]) -> bool {
    let mut doors: Vec<_> = doors.iter().map(|door| PollFd::from_borrowed_fd(door.as_fd(), PollFlags::IN)).collect();
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut doors, Some(&now)).is_ok_and(|ready| ready > 0)
}

/// The batches that no agent has acknowledged, as text for the exit report, after what of the others makes the end an orderly
/// one: an agent may have lost that. Where it is too long, the memory of the frontends is left out first, and then all but the
/// statements that make the end an orderly one. What is kept aside for the run is of no use after its end.
pub(super) fn words(gateway: &GatewayId, queue: &GameQueue) -> String {
    let ends: fn(&GameEvent) -> bool = |event| matches!(event, GameEvent::Shutdown | GameEvent::StopMe);
    let rest: [fn(&GameEvent) -> bool; 3] = [
        |event| !matches!(event, GameEvent::KeepAside(_)),
        |event| !matches!(event, GameEvent::KeepAside(_) | GameEvent::Keep(_)),
        ends,
    ];
    let before = batches(gateway, queue.kept().iter().map(AsRef::as_ref), ends);
    let left = queue.unacknowledged();
    for keep in rest {
        let said: Vec<_> = before.iter().cloned().chain(batches(gateway, &left, keep)).collect();
        let text = serde_json::to_string(&said).expect("plain data always serialises");
        if text.len() <= MAX_WORDS_BYTES {
            return if text == "[]" { String::new() } else { text };
        }
    }
    String::new()
}

fn batches<'b>(
    gateway: &GatewayId,
    left: impl IntoIterator<Item = &'b Batch>,
    keep: fn(&GameEvent) -> bool,
) -> Vec<GameBatch> {
    let batch = |batch: &Batch| {
        let kept: Vec<_> = batch.messages.iter().filter(|message| keep(&message.event)).collect();
        Some(GameBatch {
            gateway: gateway.clone(),
            number: batch.number,
            run: kept.first()?.run,
            said: kept.into_iter().map(GameMessage::statement).collect(),
        })
    };
    left.into_iter().filter_map(batch).collect()
}

/// Reads the text that a gateway has left behind.
pub(crate) fn read_words(text: &str) -> Result<Vec<GameBatch>, serde_json::Error> {
    serde_json::from_str(text)
}
