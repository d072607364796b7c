//! Looks at a keeper without taking it over, for `gameside status` and `gameside stop` while the
//! agent is down. Blocking.

use super::{
    daemon,
    discovery::{self, LockState},
    protocol::{Event, Order, Reply, Request, VERSIONS},
};
use crate::{
    host::clock,
    model::{
        ids::KeeperId,
        process::{Containment, ExitReport, KeeperHello, RunState},
    },
};
use rustix::{
    io::Errno,
    net::{SendFlags, send},
};
use std::{
    io::{self, BufRead, BufReader},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

/// How long a keeper may take to answer; it has nothing else to do.
const ANSWER: Duration = Duration::from_secs(3);

/// Whether a keeper is there, and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// Nobody holds the lock.
    None,
    /// A keeper lives but doesn't answer.
    Silent {
        pid: Option<i32>,
        why: String,
    },
    Here(Box<KeeperHello>),
}

/// Why a keeper could not be told to stop, or was not seen to end.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    #[error("no keeper holds {dir}")]
    NoKeeper { dir: String },
    #[error("the keeper in {dir} can't be told to stop: {why}")]
    Unreachable { dir: String, why: String },
    #[error("the keeper (pid {pid:?}) still runs after {waited:?}; its fallback policy may allow for more")]
    StillThere { pid: Option<i32>, waited: Duration },
}

/// Whether a keeper lives in this state directory, and what it holds.
pub fn probe(dir: &Path) -> Presence {
    match discovery::lock(dir) {
        Ok(LockState::Free | LockState::Missing) => Presence::None,
        Err(error) => Presence::Silent { pid: None, why: format!("looking at its lock: {error}") },
        Ok(LockState::Held { pid }) => match Observer::hello(dir) {
            Ok((_, hello)) => Presence::Here(hello),
            Err(error) => Presence::Silent { pid, why: error.to_string() },
        },
    }
}

/// What the next keeper in this state directory would say in its hello: it inherits the exit report that the last keeper left, or
/// holds nothing. For when [`probe`] finds no keeper: whatever ran under the last one is gone.
pub fn inherited(dir: &Path, fresh: KeeperId) -> KeeperHello {
    let (keeper, run) = match daemon::left(dir) {
        Some((keeper, report)) => (keeper, RunState::Exited { report }),
        None => (fresh, RunState::Empty),
    };
    KeeperHello {
        keeper,
        pid: 0,
        epoch: 0,
        run,
        containment: Containment::Subreaper,
        record: None,
        listeners: Vec::new(),
        stop_requested: false,
        output_from: None,
        host_deadline: None,
        users: None,
        gateway: false,
    }
}

/// Tells a keeper to stop as SIGTERM would, and waits for its end. `now`: what is under way is hastened. Returns the report of the game that it ended.
pub fn stop(dir: &Path, now: bool, wait: Duration) -> Result<Option<ExitReport>, StopError> {
    let shown = || dir.display().to_string();
    let unreachable = |error: io::Error| StopError::Unreachable { dir: shown(), why: error.to_string() };
    let pid = match discovery::lock(dir).map_err(unreachable)? {
        LockState::Free | LockState::Missing => return Err(StopError::NoKeeper { dir: shown() }),
        LockState::Held { pid } => pid,
    };
    let (mut observer, hello) = Observer::hello(dir).map_err(unreachable)?;
    let mut report = match hello.run {
        RunState::Exited { report } => Some(report),
        RunState::Empty | RunState::Running { .. } | RunState::Unkillable { .. } => None,
    };
    observer.order(Order::Stop { now }).map_err(unreachable)?;
    let until = clock::mono() + wait;
    loop {
        let left = until.since(clock::mono());
        if left.is_zero() {
            return Err(StopError::StillThere { pid, waited: wait });
        }
        match observer.next(left) {
            Ok(Some(Event::Exited { report: ended })) => report = Some(ended),
            Ok(Some(_)) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // It hung up: it has ended.
            Ok(None) | Err(_) => return Ok(report),
        }
    }
}

/// A connection that takes nothing over.
struct Observer {
    reader: BufReader<UnixStream>,
}

impl Observer {
    fn hello(dir: &Path) -> io::Result<(Observer, Box<KeeperHello>)> {
        let socket = discovery::connect_to(dir)?;
        socket.set_nonblocking(false)?;
        socket.set_write_timeout(Some(ANSWER))?;
        let mut observer = Observer { reader: BufReader::new(socket) };
        observer.order(Order::Hello { versions: VERSIONS.to_vec(), observe: true, epoch: None })?;
        match observer.next(ANSWER)? {
            Some(Event::Hello { hello, .. }) => Ok((observer, hello)),
            Some(Event::Incompatible { versions }) => {
                Err(io::Error::other(format!("it speaks {versions:?}, this program {VERSIONS:?}")))
            }
            _ => Err(io::Error::other("it hung up")),
        }
    }

    fn order(&mut self, order: Order) -> io::Result<()> {
        let mut line = serde_json::to_vec(&Request { id: 1, order })?;
        line.push(b'\n');
        let mut rest = line.as_slice();
        while !rest.is_empty() {
            // A command that asks may have SIGPIPE's default action.
            match send(self.reader.get_ref(), rest, SendFlags::NOSIGNAL) {
                Ok(sent) => rest = &rest[sent..],
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn next(&mut self, within: Duration) -> io::Result<Option<Event>> {
        self.reader.get_ref().set_read_timeout(Some(within.max(Duration::from_millis(1))))?;
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        // An event of a later version is none for us.
        Ok(Some(serde_json::from_str::<Reply>(&line).map_or(Event::Done, |reply| reply.event)))
    }
}
