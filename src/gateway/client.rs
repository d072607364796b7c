//! The agent's side: has itself introduced to a gateway, or serves in its own process where there
//! is none, and keeps the link.
//!
//! ```text
//!   the keeper can? ──yes──► introduced by it ──► hello ──► levels down, batches up ──► link breaks ─┐
//!        ▲      └──no──► a task of this process ──────▲                                              │
//!        └──────────────────── back-off, 20 ms … 1 s ◄───────────────────────────────────────────────┘
//! ```
//!
//! Invariants:
//! - The newest state is on its way before the acknowledgement of the batch that led to it.
//! - Nobody waits for a gateway that is stopped: levels coalesce, and questions stay unanswered.

use super::{
    connection::{Broken, Connection},
    server::{self, Order},
    wire::{AgentSays, GatewaySays, Token, VERSIONS},
};
use crate::{
    frontends::{BoundSocket, Events, Settings, ring::Next as Read},
    model::{
        backoff::{Backoff, NO_JITTER},
        calls::Backend,
        game::{BatchId, Counted, GameBatch},
        gateway_facts::GatewayFact,
        ids::{GatewayId, RunNumber},
        status::{AgentStatus, GameStatus, KeeperStatus, Status},
    },
};
use futures_util::future::BoxFuture;
use secrecy::SecretString;
use std::{io, os::fd::OwnedFd, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

const FIRST_DELAY: Duration = Duration::from_millis(20);
const LAST_DELAY: Duration = Duration::from_secs(1);
/// After so many failures in a row, some two seconds, the reason is told again: it may be another one by now.
const LASTS: u32 = 7;
/// Notices that go out in one go.
const CHUNK: usize = 64;

/// Asks the keeper to introduce this agent; the error is a sentence for people.
pub(crate) type Introduce = Box<dyn Fn() -> BoxFuture<'static, Result<OwnedFd, String>> + Send + Sync>;

/// What the gateway is told.
pub(crate) struct Levels {
    pub settings: Settings,
    pub status: watch::Receiver<Arc<Status>>,
    pub events: Arc<Events>,
    /// The newest run, and its token.
    pub run: watch::Receiver<Option<(RunNumber, SecretString)>>,
    /// The last batch that is in the journal.
    pub heard: watch::Receiver<Option<BatchId>>,
}

/// What comes from the gateway.
#[derive(Debug)]
pub enum GatewayEvent {
    Fact(GatewayFact),
    Batch(GameBatch),
    Counted {
        run: RunNumber,
        counted: Vec<Counted>,
        /// It answers the newest question.
        answer: bool,
    },
}

/// What the driver wants of the link.
#[derive(Debug)]
pub enum Command {
    /// Whether the keeper starts gateways.
    Keeper(bool),
    Acknowledge(BatchId),
    Count,
    Urgent(bool),
}

/// The driver's handle. Nothing here waits.
#[derive(Debug, Clone)]
pub struct Gateway {
    commands: mpsc::UnboundedSender<Command>,
}

impl Gateway {
    /// A handle, and where its commands arrive.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Command>) {
        let (commands, given) = mpsc::unbounded_channel();
        (Gateway { commands }, given)
    }
    /// A keeper has introduced itself. Nothing is tried before.
    pub(crate) fn keeper(&self, starts_gateways: bool) {
        self.give(Command::Keeper(starts_gateways));
    }
    /// The batch is in the journal, or can't get there.
    pub(crate) fn acknowledge(&self, batch: BatchId) {
        self.give(Command::Acknowledge(batch));
    }
    /// Asks for heartbeats. Where there is nobody to ask, nothing comes back.
    pub(crate) fn count(&self) {
        self.give(Command::Count);
    }
    /// Whether each heartbeat is to be told at once.
    pub(crate) fn set_urgent(&self, on: bool) {
        self.give(Command::Urgent(on));
    }
    fn give(&self, command: Command) {
        // The task goes only with the agent.
        let _ = self.commands.send(command);
    }
}

/// Starts the link. It lives until the set is dropped. `sockets`: copies, for serving in this process.
pub(crate) fn start(
    introduce: Introduce,
    sockets: Vec<BoundSocket>,
    levels: Levels,
    tasks: &mut JoinSet<()>,
) -> (Gateway, mpsc::Receiver<GatewayEvent>) {
    let (gateway, given) = Gateway::new();
    let (events, received) = mpsc::channel(64);
    let client = Client {
        introduce,
        sockets,
        levels,
        commands: given,
        events,
        keeper: None,
        urgent: false,
        question: 0,
        own: JoinSet::new(),
    };
    tasks.spawn(client.live());
    (gateway, received)
}

struct Client {
    introduce: Introduce,
    sockets: Vec<BoundSocket>,
    levels: Levels,
    commands: mpsc::UnboundedReceiver<Command>,
    events: mpsc::Sender<GatewayEvent>,
    keeper: Option<bool>,
    urgent: bool,
    /// Of the last question.
    question: u64,
    /// The gateway that this process itself is.
    own: JoinSet<()>,
}

/// Why a conversation is over.
enum Over {
    Broken(Broken),
    /// The gateway ends with its run, or the run is another one.
    NextRun,
    /// The driver is gone.
    Unwanted,
}

impl From<Broken> for Over {
    fn from(broken: Broken) -> Self {
        Over::Broken(broken)
    }
}

/// What one link has seen and told so far.
struct Link {
    connection: Connection,
    gateway: Option<GatewayId>,
    in_process: bool,
    /// The batch that it owed at the beginning, until it came.
    owes: Option<u64>,
    run: Option<RunNumber>,
    /// The last notice that was told.
    told: u64,
    /// The status that was looked at last, and what the gateway was told of it.
    seen: Option<Arc<Status>>,
    state: Option<(Status, bool)>,
}

impl Client {
    async fn live(mut self) {
        let mut backoff = Backoff::default();
        // Since there was a link.
        let mut failures = 0;
        loop {
            while self.keeper.is_none() {
                match self.commands.recv().await {
                    Some(command) => self.note(&command),
                    None => return,
                }
            }
            let in_process = self.keeper == Some(false);
            let introduced = if in_process { self.serve_here() } else { (self.introduce)().await };
            let (why, silent) = match introduced {
                Ok(socket) => {
                    let (over, greeted) = self.converse(socket, in_process).await;
                    if greeted {
                        failures = 0;
                        backoff.reset();
                    }
                    match over {
                        Over::Unwanted => return,
                        Over::NextRun => continue,
                        // One that is about to end takes nobody on; the next one is soon there.
                        Over::Broken(why) => (why.to_string(), matches!(why, Broken::Closed) && !greeted),
                    }
                }
                Err(why) => (why, false),
            };
            // Once at the beginning, and once more when it lasts.
            let tells = if failures == 0 { !silent } else { failures == LASTS };
            failures += 1;
            if tells && self.tell(GatewayEvent::Fact(GatewayFact::Lost { why })).await.is_err() {
                return;
            }
            tokio::time::sleep(backoff.next(FIRST_DELAY, LAST_DELAY, NO_JITTER)).await;
            while let Ok(command) = self.commands.try_recv() {
                self.note(&command);
            }
        }
    }

    /// Serves in this process, over a socket pair as everywhere.
    fn serve_here(&mut self) -> Result<OwnedFd, String> {
        let pair = || -> io::Result<_> {
            let (ours, link) = std::os::unix::net::UnixStream::pair()?;
            let copy = |bound: &BoundSocket| Ok(BoundSocket { name: bound.name.clone(), fd: bound.fd.try_clone()? });
            let listeners = self.sockets.iter().map(copy).collect::<io::Result<_>>()?;
            Ok((ours.into(), Order::Agent { link: link.into(), listeners }))
        };
        let (ours, order) = pair().map_err(|error| format!("the game's API can't be served: {error}"))?;
        self.own = JoinSet::new();
        self.own.spawn(async move {
            let (orders, given) = mpsc::channel(1);
            if orders.send(order).await.is_ok() {
                server::serve(given).await;
            }
            drop(orders);
        });
        Ok(ours)
    }

    /// A command while there is no link.
    fn note(&mut self, command: &Command) {
        match command {
            Command::Keeper(starts_gateways) => self.keeper = Some(*starts_gateways),
            Command::Urgent(on) => self.urgent = *on,
            Command::Acknowledge(_) | Command::Count => {}
        }
    }

    async fn tell(&self, event: GatewayEvent) -> Result<(), Over> {
        self.events.send(event).await.map_err(|_| Over::Unwanted)
    }

    /// Also says whether the gateway had anything to do with us.
    async fn converse(&mut self, socket: OwnedFd, in_process: bool) -> (Over, bool) {
        let connection = match Connection::new(socket) {
            Ok(connection) => connection,
            Err(error) => return (Over::Broken(error.into()), false),
        };
        let mut link =
            Link { connection, gateway: None, in_process, owes: None, run: None, told: 0, seen: None, state: None };
        let over = self.keep_up(&mut link).await;
        (over.err().unwrap_or(Over::Unwanted), link.gateway.is_some())
    }

    /// Tells levels and hears batches until the link is over.
    async fn keep_up(&mut self, link: &mut Link) -> Result<(), Over> {
        link.connection.say(&AgentSays::Hello {
            versions: VERSIONS.to_vec(),
            build: env!("CARGO_PKG_VERSION").to_owned(),
            settings: Box::new(self.levels.settings.clone()),
            heard: self.levels.heard.borrow().clone(),
        })?;
        let mut notices = self.levels.events.watch();
        loop {
            if link.gateway.is_some() && link.connection.has_room() {
                self.tell_levels(link)?;
            }
            let greeted = link.gateway.is_some() && link.connection.has_room();
            let (status, run) = (&mut self.levels.status, &mut self.levels.run);
            tokio::select! {
                said = link.connection.next::<GatewaySays>() => self.heard(said?, link).await?,
                Ok(()) = status.changed(), if greeted => {}
                Ok(()) = run.changed(), if greeted => {}
                Ok(()) = notices.changed(), if greeted => {}
                command = self.commands.recv() => {
                    let command = command.ok_or(Over::Unwanted)?;
                    self.carry_out(&command, link)?;
                }
            }
        }
    }

    fn carry_out(&mut self, command: &Command, link: &mut Link) -> Result<(), Over> {
        self.note(command);
        match command {
            Command::Keeper(starts_gateways) if *starts_gateways == link.in_process => return Err(Over::NextRun),
            Command::Keeper(_) => {}
            Command::Acknowledge(BatchId { gateway, batch }) => {
                if link.gateway.as_ref() == Some(gateway) {
                    self.tell_levels(link)?;
                    link.connection.say(&AgentSays::Acknowledge { batch: *batch })?;
                }
            }
            Command::Count => {
                self.question += 1;
                link.connection.say(&AgentSays::Count { question: self.question })?;
            }
            Command::Urgent(on) => link.connection.say(&AgentSays::Urgent { on: *on })?,
        }
        Ok(())
    }

    async fn heard(&mut self, said: GatewaySays, link: &mut Link) -> Result<(), Over> {
        match said {
            GatewaySays::Hello { version: _, gateway, pid, build, run: _, owes } => {
                link.gateway = Some(gateway);
                link.owes = owes;
                if self.urgent {
                    link.connection.say(&AgentSays::Urgent { on: true })?;
                }
                let fact = GatewayFact::Linked { pid, build, in_process: link.in_process };
                self.tell(GatewayEvent::Fact(fact)).await?;
                if owes.is_none() {
                    self.tell(GatewayEvent::Fact(GatewayFact::Heard)).await?;
                }
            }
            GatewaySays::Batch { number, run, said } => {
                let Some(gateway) = link.gateway.clone() else { return Ok(()) };
                self.tell(GatewayEvent::Batch(GameBatch { gateway, number, run, said })).await?;
                if link.owes.take_if(|owes| *owes <= number).is_some() {
                    self.tell(GatewayEvent::Fact(GatewayFact::Heard)).await?;
                }
            }
            GatewaySays::Counted { question, run, counted } => {
                let answer = question == Some(self.question);
                self.tell(GatewayEvent::Counted { run, counted, answer }).await?;
            }
            GatewaySays::Refused { why } => return Err(Broken::Refused(why).into()),
            GatewaySays::Ending => return Err(Over::NextRun),
            GatewaySays::Unknown => {}
        }
        Ok(())
    }

    /// Tells the gateway the levels that have changed: the run first, then the notices, then the state.
    fn tell_levels(&mut self, link: &mut Link) -> Result<(), Over> {
        let status = Arc::clone(&self.levels.status.borrow_and_update());
        let run = self.levels.run.borrow_and_update().clone();
        let run = run.filter(|(run, _)| status.game.run == Some(*run));
        if let Some((run, token)) = run {
            match link.run {
                None => {
                    link.run = Some(run);
                    let (kept, kept_aside) = (status.game.kept.clone(), status.game.kept_aside.clone());
                    link.connection.say(&AgentSays::Run { run, token: Token(token), kept, kept_aside })?;
                    let (levels, head) = self.levels.events.levels();
                    link.told = head;
                    for level in levels.events.iter().filter(|_| levels.run == Some(run)) {
                        link.connection.say(&AgentSays::Notice { run, notice: Box::new(level.notice.clone()) })?;
                    }
                }
                Some(served) if served != run => return Err(Over::NextRun),
                Some(_) => {}
            }
        }
        self.tell_notices(link)?;
        if link.seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, &status)) {
            return Ok(());
        }
        let state = (for_the_game(&status), status.game.pings_stopped);
        if link.state.as_ref() != Some(&state) {
            let said = AgentSays::State { status: Box::new(state.0.clone()), pings_stopped: state.1 };
            link.state = Some(state);
            link.connection.say(&said)?;
        }
        link.seen = Some(status);
        Ok(())
    }

    fn tell_notices(&self, link: &mut Link) -> Result<(), Over> {
        let Some(run) = link.run else { return Ok(()) };
        loop {
            let events = match self.levels.events.after(link.told, CHUNK) {
                Read::Entries(events) => events,
                Read::Lagged => {
                    // What holds is told again, and the gateway finds what is new in it.
                    let (levels, head) = self.levels.events.levels();
                    link.told = head;
                    levels.events.into_iter().map(|event| (head, event)).collect()
                }
            };
            let Some((last, _)) = events.last() else { return Ok(()) };
            link.told = link.told.max(*last);
            for (_, event) in events.iter().filter(|(_, event)| event.run == run) {
                link.connection.say(&AgentSays::Notice { run, notice: Box::new(event.notice.clone()) })?;
            }
        }
    }
}

/// The status as far as the game's frontends need it: nothing of the agent, the machine, or operators.
fn for_the_game(status: &Status) -> Status {
    Status {
        agent: AgentStatus::default(),
        keeper: KeeperStatus::default(),
        // Older gateways read a number.
        players: Some(status.players.unwrap_or(0)),
        gateway: None,
        machine: None,
        sessions_url: None,
        backend: Backend::Up,
        outbox: Vec::new(),
        warnings: Vec::new(),
        last_end: None,
        game: GameStatus {
            memory: None,
            cpu_ms: None,
            processes: None,
            memory_limit: None,
            memory_pressure: None,
            cpu_pressure: None,
            kept: std::collections::BTreeMap::new(),
            kept_aside: std::collections::BTreeMap::new(),
            pings_stopped: false,
            ..status.game.clone()
        },
        ..status.clone()
    }
}
