//! Free ports, reserved across the agents of a machine.
//!
//! A port is ours while we hold `<runtime>/ports/PORT.lock`; before it is given to a game, it is bound once, on IPv4 and
//! IPv6, to see that no program of somebody else's has it. A reservation of an earlier life is taken [`again`](Ports::again)
//! without that test: the game that was kept has the port bound.

use super::lock::{Lock, NotLocked};
use crate::model::policy::Transport;
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

/// The reservations of a machine (of a user, where the runtime directory is a user's).
#[derive(Debug, Clone)]
pub struct Ports {
    dir: PathBuf,
    /// Who reserves: shown to others who don't get the port.
    owner: String,
}

/// A reserved port. Dropping it gives it back.
#[derive(Debug)]
pub struct Reserved {
    pub port: u16,
    _lock: Lock,
}

/// Why there is no port.
#[derive(Debug, thiserror::Error)]
pub enum NoPort {
    #[error("no free port for {name:?} in {}: {}; free one or widen the range", Range(range), Taken { reserved, bound })]
    Exhausted {
        name: String,
        range: RangeInclusive<u16>,
        /// Reserved by other agents: who.
        reserved: Vec<String>,
        /// How many are in use by programs that aren't agents.
        bound: usize,
    },
    #[error("port {port} is reserved by {by}")]
    Reserved { port: u16, by: String },
    #[error("could not reserve port {port}: {source}")]
    Lock { port: u16, source: NotLocked },
    #[error("could not try port {port}: {source}")]
    Bind { port: u16, source: io::Error },
}

impl Ports {
    /// `dir`: [`super::paths::Places::ports`], which must be there.
    pub fn new(dir: &Path, owner: &str) -> Self {
        Ports { dir: dir.to_owned(), owner: owner.to_owned() }
    }

    /// The first port of the range that nobody has reserved or bound. `name` is for the error.
    pub fn pick(&self, name: &str, range: RangeInclusive<u16>, transport: Transport) -> Result<Reserved, NoPort> {
        let (mut reserved, mut bound) = (Vec::new(), 0);
        for port in range.clone() {
            match self.again(port) {
                Ok(taken) if is_free(port, transport)? => return Ok(taken),
                Ok(_) => bound += 1,
                Err(NoPort::Reserved { by, .. }) => reserved.push(by),
                Err(error) => return Err(error),
            }
        }
        reserved.sort();
        reserved.dedup();
        Err(NoPort::Exhausted { name: name.to_owned(), range, reserved, bound })
    }

    /// Reserves this port without trying to bind it: it was ours before, and our game has it.
    pub fn again(&self, port: u16) -> Result<Reserved, NoPort> {
        match Lock::take(&self.dir.join(format!("{port}.lock")), &self.owner) {
            Ok(lock) => Ok(Reserved { port, _lock: lock }),
            Err(NotLocked::Held { holder, .. }) => {
                let by = holder.map_or_else(|| "another agent".to_owned(), |holder| holder.label);
                Err(NoPort::Reserved { port, by })
            }
            Err(source @ NotLocked::Io { .. }) => Err(NoPort::Lock { port, source }),
        }
    }
}

/// Whether the port can be bound now, by both address families.
fn is_free(port: u16, transport: Transport) -> Result<bool, NoPort> {
    let any: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    for address in any.map(|ip| SocketAddr::new(ip, port)) {
        let tried = match transport {
            Transport::Udp => UdpSocket::bind(address).map(drop),
            Transport::Tcp => TcpListener::bind(address).map(drop),
            Transport::Both => UdpSocket::bind(address).and_then(|_| TcpListener::bind(address)).map(drop),
        };
        match tried {
            Ok(()) => {}
            Err(error) if is_taken(&error) => return Ok(false),
            Err(error) if address.is_ipv6() && has_no_ipv6(&error) => {}
            Err(source) => return Err(NoPort::Bind { port, source }),
        }
    }
    Ok(true)
}

/// In use, or below 1024 for somebody who isn't root: in either case no port for this game.
fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied)
}

fn has_no_ipv6(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

struct Range<'a>(&'a RangeInclusive<u16>);

impl std::fmt::Display for Range<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.0.start(), self.0.end())
    }
}

struct Taken<'a> {
    reserved: &'a [String],
    bound: &'a usize,
}

impl std::fmt::Display for Taken<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.reserved.is_empty() {
            write!(f, "reserved by {}, ", super::escape::Escaped(&self.reserved.join(", ")))?;
        }
        write!(f, "{} in use by other programs or not allowed to this user", self.bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_agents_never_get_the_same_port() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (Ports::new(dir.path(), "one"), Ports::new(dir.path(), "two"));
        let held = one.pick("game", 10_000..=19_999, Transport::Udp).unwrap();
        let port = held.port;

        let error = two.pick("game", port..=port, Transport::Udp).unwrap_err();
        assert!(error.to_string().contains("reserved by one"), "{error}");
        drop(held);
        assert_eq!(two.again(port).unwrap().port, port);
    }

    #[test]
    fn a_port_that_somebody_else_has_bound_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let ports = Ports::new(dir.path(), "one");
        let other = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = other.local_addr().unwrap().port();
        let error = ports.pick("game", port..=port, Transport::Udp).unwrap_err();
        assert!(matches!(error, NoPort::Exhausted { bound: 1, .. }), "{error}");
    }

    #[test]
    fn a_kept_game_may_have_its_port_bound_already() {
        let dir = tempfile::tempdir().unwrap();
        let ports = Ports::new(dir.path(), "one");
        let game = UdpSocket::bind("0.0.0.0:0").unwrap();
        ports.again(game.local_addr().unwrap().port()).unwrap();
    }
}
