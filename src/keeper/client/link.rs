//! The connections to a keeper, one after the other.

use super::{
    KeeperError, KeeperEvent, KeeperPlace, Mode,
    note::{Note, Survivor},
    order_queue::{Answer, OrderQueue},
    spawn::{self, SpawnKeeperError},
};
use crate::{
    host::socket,
    keeper::{
        daemon,
        discovery::{self, LockState},
        protocol::{Event, Losses, MAX_LISTENERS, MAX_ORDER_BYTES, Order, Reply, Request, VERSIONS},
    },
    model::{
        backoff::{Backoff, NO_JITTER},
        ids::KeeperId,
        keeper::{KeeperFact, LeftReport},
        process::KeeperHello,
    },
};
use std::{collections::VecDeque, io, mem::MaybeUninit, os::fd::OwnedFd, path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncWriteExt, Interest},
    net::UnixStream,
    sync::mpsc,
    time::{sleep, timeout},
};

const FIRST_DELAY: Duration = Duration::from_millis(20);
const LAST_DELAY: Duration = Duration::from_secs(1);
/// How long a keeper may take to answer; it has nothing else to do.
const HELLO: Duration = Duration::from_secs(5);

/// Why there is no connection, or no longer one.
enum Ended {
    /// It is tried again.
    Away(AwayError),
    Superseded,
    Incompatible(String),
    /// Nobody listens to our events any more.
    Unwanted,
}

/// Why the keeper can't be talked to at the moment.
#[derive(Debug, thiserror::Error)]
enum AwayError {
    #[error("a keeper{} holds {} but can't be reached: {why}", pid(*.holder), .dir.display())]
    Unreachable { holder: Option<i32>, dir: PathBuf, why: io::Error },
    #[error("waiting for a keeper in {}", .0.display())]
    NotThere(PathBuf),
    #[error("waiting for a keeper in {}, where none has left a lock", .0.display())]
    NoLock(PathBuf),
    #[error(
        "the keeper (pid {pid}) of this agent lives, but its files in {} are gone, so it can't be reached; it takes them \
         back within a minute. If it can't, `kill {pid}` ends it and its game",
        .dir.display()
    )]
    KeeperLives { pid: i32, dir: PathBuf },
    #[error("the game (pid {0}) lives without its keeper, and no second one is started beside it; `kill {0}` ends it")]
    GameLives(i32),
    #[error("looking for a keeper in {}: {why}", .dir.display())]
    Lock { dir: PathBuf, why: io::Error },
    #[error("connecting to the keeper in {}: {why}", .dir.display())]
    Connecting { dir: PathBuf, why: io::Error },
    #[error(transparent)]
    NotSpawned(#[from] SpawnKeeperError),
    #[error("the keeper is there but doesn't answer; is it stopped?")]
    NoAnswer,
    #[error("the keeper answered hello with {0:?}")]
    OddAnswer(Box<Event>),
    #[error("writing to the keeper: {0}")]
    Writing(io::Error),
    #[error("the keeper hung up: {0}")]
    HungUp(io::Error),
}

impl AwayError {
    /// Nobody holds the lock, and no keeper came of that.
    fn means_gone(&self) -> bool {
        match self {
            AwayError::NotThere(_) | AwayError::NotSpawned(_) => true,
            AwayError::Unreachable { .. }
            | AwayError::NoLock(_)
            | AwayError::KeeperLives { .. }
            | AwayError::GameLives(_)
            | AwayError::Lock { .. }
            | AwayError::Connecting { .. }
            | AwayError::NoAnswer
            | AwayError::OddAnswer(_)
            | AwayError::Writing(_)
            | AwayError::HungUp(_) => false,
        }
    }
}

impl From<AwayError> for Ended {
    fn from(error: AwayError) -> Self {
        Ended::Away(error)
    }
}

fn pid(holder: Option<i32>) -> String {
    holder.map_or_else(String::new, |pid| format!(" (pid {pid})"))
}

/// What is remembered from one connection to the next.
struct Link {
    place: KeeperPlace,
    mode: Mode,
    queue: Arc<OrderQueue>,
    events: mpsc::Sender<KeeperEvent>,
    epoch: Option<u64>,
    keeper: Option<KeeperId>,
    losses: Losses,
    note: Option<Note>,
}

/// Keeps a connection until this agent is superseded, can't talk to the keeper, or nobody listens any more.
pub(super) async fn run(place: KeeperPlace, mode: Mode, queue: Arc<OrderQueue>, events: mpsc::Sender<KeeperEvent>) {
    let mut link =
        Link { place, mode, queue, events, epoch: None, keeper: None, losses: Losses::default(), note: None };
    let wanted = link.events.clone();
    tokio::select! {
        () = link.live() => {}
        () = wanted.closed() => {}
    }
    link.queue.close();
}

impl Link {
    async fn live(&mut self) {
        let mut backoff = Backoff::default();
        let (mut said, mut gone_said) = (None, false);
        loop {
            let ended = match self.connect().await {
                Ok((session, hello)) => {
                    backoff.reset();
                    (said, gone_said) = (None, false);
                    self.converse(session, hello).await
                }
                Err(ended) => ended,
            };
            let last = match ended {
                Ended::Away(error) => {
                    let why = error.to_string();
                    let gone = error.means_gone();
                    if said.as_ref() != Some(&why) {
                        said = Some(why.clone());
                        self.tell(KeeperFact::Away { why }).await;
                    }
                    if gone && !gone_said {
                        gone_said = true;
                        let left = daemon::left(&self.place.dir);
                        let left = left.map(|(keeper, report)| Box::new(LeftReport { keeper, report }));
                        self.tell(KeeperFact::Gone { left }).await;
                    }
                    sleep(backoff.next(FIRST_DELAY, LAST_DELAY, NO_JITTER)).await;
                    continue;
                }
                Ended::Superseded => KeeperFact::Superseded,
                Ended::Incompatible(why) => KeeperFact::Incompatible { why },
                Ended::Unwanted => return,
            };
            self.tell(last).await;
            return;
        }
    }

    async fn tell(&self, fact: KeeperFact) {
        self.say(KeeperEvent::Fact(fact)).await;
    }

    async fn say(&self, event: KeeperEvent) {
        let _ = self.events.send(event).await;
    }

    /// A connection on which hello was said and answered. A keeper is spawned only where nobody holds the lock.
    async fn connect(&mut self) -> Result<(Session, Box<KeeperHello>), Ended> {
        let dir = self.place.dir.clone();
        if let Err(why) = discovery::connect_to(&dir) {
            match (discovery::lock(&dir), &self.mode) {
                (Ok(LockState::Held { pid: holder }), _) => {
                    return Err(AwayError::Unreachable { holder, dir, why }.into());
                }
                (Ok(LockState::Free | LockState::Missing), Mode::Spawn(how)) => {
                    self.nothing_lives()?;
                    spawn::spawn(&dir, how).await.map_err(AwayError::from)?;
                }
                (Ok(LockState::Free), Mode::Connect) => {
                    self.nothing_lives()?;
                    return Err(AwayError::NotThere(dir).into());
                }
                // Somebody may have deleted it under a keeper.
                (Ok(LockState::Missing), Mode::Connect) => return Err(AwayError::NoLock(dir).into()),
                (Err(why), _) => return Err(AwayError::Lock { dir, why }.into()),
            }
        }
        let away = |why: io::Error| AwayError::Connecting { dir: dir.clone(), why };
        let stream = UnixStream::from_std(discovery::connect_to(&dir).map_err(away)?).map_err(away)?;
        let mut session = Session { stream, inbox: Vec::new(), sockets: VecDeque::new() };
        match timeout(HELLO, session.hello(self.epoch)).await {
            Ok(Ok(Event::Hello { hello, .. })) => Ok((session, hello)),
            Ok(Ok(Event::Incompatible { versions })) => {
                Err(Ended::Incompatible(format!("the keeper speaks versions {versions:?}, this agent {VERSIONS:?}")))
            }
            Ok(Ok(Event::Superseded)) => Err(Ended::Superseded),
            Ok(Ok(other)) => Err(AwayError::OddAnswer(Box::new(other)).into()),
            Ok(Err(error)) => Err(away(error).into()),
            Err(_) => Err(AwayError::NoAnswer.into()),
        }
    }

    /// The keeper and the game that were met last are gone, as far as can be seen from here.
    fn nothing_lives(&self) -> Result<(), AwayError> {
        match Note::read(&self.place.note).and_then(|note| note.survivor()) {
            None => Ok(()),
            Some(Survivor::Keeper(pid)) => Err(AwayError::KeeperLives { pid, dir: self.place.dir.clone() }),
            Some(Survivor::Game(pid)) => Err(AwayError::GameLives(pid)),
        }
    }

    fn note(&mut self, change: impl FnOnce(&mut Note)) {
        if let Some(note) = &mut self.note {
            change(note);
            if let Err(error) = note.write(&self.place.note) {
                tracing::debug!(%error, "which keeper was met can't be noted");
            }
        }
    }

    async fn converse(&mut self, mut session: Session, hello: Box<KeeperHello>) -> Ended {
        let same = self.keeper.as_ref().is_none_or(|keeper| *keeper == hello.keeper);
        self.epoch = Some(hello.epoch);
        self.keeper = Some(hello.keeper.clone());
        self.note = Note::of(&hello);
        self.note(|_| {});
        self.queue.rewind(same);
        self.tell(KeeperFact::Connected(hello)).await;
        let queue = Arc::clone(&self.queue);
        loop {
            for order in queue.take_refused() {
                self.say(refusal(&order, "too many orders wait for the keeper".to_owned())).await;
            }
            for request in queue.take_unsent() {
                let sent = match line(&request) {
                    Ok(line) if line.len() > MAX_ORDER_BYTES => {
                        self.refused(request.id, too_long(line.len())).await;
                        continue;
                    }
                    Ok(line) => session.send(line).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = sent {
                    return AwayError::Writing(error).into();
                }
            }
            tokio::select! {
                reply = session.next() => match reply {
                    Ok(Some(reply)) => if let Err(ended) = self.take(reply, &mut session).await { return ended },
                    Ok(None) => {}
                    Err(error) => return AwayError::HungUp(error).into(),
                },
                () = queue.posted.notified() => {}
            }
        }
    }

    /// An order has its end in a refusal.
    async fn refused(&mut self, id: u64, why: String) {
        match self.queue.answer(id) {
            Some((order, Some(asker))) => {
                let _ = asker.send(Err(KeeperError::Refused { order: order.name().to_owned(), why }));
            }
            Some((order, None)) => self.say(refusal(&order, why)).await,
            None => {}
        }
    }

    /// One line from the keeper: an answer, an event, or both.
    async fn take(&mut self, reply: Reply, session: &mut Session) -> Result<(), Ended> {
        if let (Some(id), Event::Refused { why, .. }) = (reply.re, &reply.event) {
            self.refused(id, why.clone()).await;
            return Ok(());
        }
        let asker = reply.re.and_then(|id| self.queue.answer(id)).and_then(|(_, asker)| asker);
        let event = match (reply.event, asker) {
            (Event::Superseded, _) => return Err(Ended::Superseded),
            (Event::Listeners { names }, asker) => {
                let sockets: Vec<OwnedFd> = session.sockets.drain(..names.len().min(session.sockets.len())).collect();
                if let Some(asker) = asker {
                    let _ = asker.send(Ok(Answer::Listeners(names.into_iter().zip(sockets).collect())));
                }
                return Ok(());
            }
            (Event::Gateway { pid }, asker) => {
                if let (Some(stream), Some(asker)) = (session.sockets.pop_front(), asker) {
                    let _ = asker.send(Ok(Answer::Gateway(pid, stream)));
                }
                return Ok(());
            }
            (Event::Exec { result }, Some(asker)) => {
                let _ = asker.send(Ok(Answer::Exec(result)));
                return Ok(());
            }
            (event, _) => event,
        };
        if let Event::Started { pid, .. } = &event {
            self.note(|note| note.set_game(Some(*pid)));
        } else if let Event::Exited { .. } = &event {
            self.note(|note| note.set_game(None));
        }
        if let Event::Stats { losses, .. } = &event
            && *losses != self.losses
        {
            self.losses = *losses;
            self.say(KeeperEvent::Lost(*losses)).await;
        }
        match passed_on(event) {
            Some(event) => self.events.send(event).await.map_err(|_| Ended::Unwanted),
            None => Ok(()),
        }
    }
}

/// What the agent is told of an event that nobody has asked for.
fn passed_on(event: Event) -> Option<KeeperEvent> {
    Some(match event {
        Event::Started { run, pid, started, output_from } => {
            KeeperEvent::Fact(KeeperFact::Started { run, pid, started, output_from })
        }
        Event::LeftBehind { run, status, left } => KeeperEvent::Fact(KeeperFact::LeftBehind { run, status, left }),
        Event::Exited { report } => KeeperEvent::Fact(KeeperFact::Exited(report)),
        Event::Unkillable { run, left } => KeeperEvent::Fact(KeeperFact::Unkillable { run, left }),
        Event::StopRequested => KeeperEvent::Fact(KeeperFact::StopRequested),
        Event::GatewayEnded { run, status } => KeeperEvent::Fact(KeeperFact::GatewayEnded { run, status }),
        Event::Output { run, stream, line, lost } => KeeperEvent::Output { run, stream, line, lost },
        Event::OutputKept { run } => KeeperEvent::OutputKept { run },
        Event::Refused { order, why } => KeeperEvent::Refused { order, why },
        Event::Stats { stats, losses: _ } => KeeperEvent::Fact(KeeperFact::Stats(stats?)),
        Event::Superseded
        | Event::Hello { .. }
        | Event::Incompatible { .. }
        | Event::Done
        | Event::Listeners { .. }
        | Event::Gateway { .. }
        | Event::Exec { .. } => return None,
    })
}

/// The news of an order that was refused.
fn refusal(order: &Order, why: String) -> KeeperEvent {
    match order {
        Order::Start { run, .. } => KeeperEvent::Fact(KeeperFact::StartRefused { run: *run, why }),
        other => KeeperEvent::Refused { order: other.name().to_owned(), why },
    }
}

/// A request as it goes over the wire, without its end.
fn line(request: &Request) -> io::Result<Vec<u8>> {
    Ok(serde_json::to_vec(request)?)
}

/// Why an order isn't sent: the keeper would hang up, again and again.
fn too_long(length: usize) -> String {
    format!("it has {length} bytes; the keeper takes {MAX_ORDER_BYTES} at most")
}

/// One connection.
struct Session {
    stream: UnixStream,
    inbox: Vec<u8>,
    /// Descriptors that have come and whose line hasn't been read yet.
    sockets: VecDeque<OwnedFd>,
}

impl Session {
    async fn hello(&mut self, epoch: Option<u64>) -> io::Result<Event> {
        let order = Order::Hello { versions: VERSIONS.to_vec(), observe: false, epoch };
        self.send(line(&Request { id: 0, order })?).await?;
        loop {
            if let Some(reply) = self.next().await? {
                return Ok(reply.event);
            }
        }
    }

    async fn send(&mut self, mut line: Vec<u8>) -> io::Result<()> {
        line.push(b'\n');
        self.stream.write_all(&line).await
    }

    /// The next line; none for one that only a newer agent would understand. Safe to drop and call again.
    async fn next(&mut self) -> io::Result<Option<Reply>> {
        loop {
            if let Some(end) = self.inbox.iter().position(|byte| *byte == b'\n') {
                let rest = self.inbox.split_off(end + 1);
                let line = std::mem::replace(&mut self.inbox, rest);
                return Ok(serde_json::from_slice(&line).ok());
            }
            let (stream, inbox, sockets) = (&self.stream, &mut self.inbox, &mut self.sockets);
            stream.async_io(Interest::READABLE, || receive(stream, inbox, sockets)).await?;
        }
    }
}

/// Reads once, with the descriptors that come along.
fn receive(stream: &UnixStream, inbox: &mut Vec<u8>, sockets: &mut VecDeque<OwnedFd>) -> io::Result<()> {
    let mut bytes = [0; 16 << 10];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_LISTENERS))];
    let received = socket::receive_with_fds(stream, &mut bytes, &mut space)?;
    sockets.extend(received.fds);
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    inbox.extend_from_slice(&bytes[..received.bytes]);
    Ok(())
}
