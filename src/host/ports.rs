//! Free ports, reserved across all agents of a machine, whoever runs them.
//!
//! A port is ours while we are bound to the abstract unix socket `gameside-port-PORT`. Such names
//! belong to the network namespace, as ports do: agents of several users, and of several containers
//! of one pod, see each other's; no file is left, and the kernel frees the name when its holder
//! ends, however that happens. Before a port is given to a game, it is bound once, on IPv4 and
//! IPv6, to see that no other program has it. A port that the agent had reserved before it was
//! restarted is taken [`again`] without that test: the game that goes on has it
//! bound.
//!
//! A program that knows nothing of these reservations can still bind the port before the game does:
//! see [`is_free`].

use crate::model::policy::Transport;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with, sockopt};
use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
    ops::RangeInclusive,
    os::{linux::net::SocketAddrExt as _, unix::net},
};

/// A reserved port. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Reserved {
    pub port: u16,
    _name: net::UnixListener,
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
    Claim { port: u16, source: io::Error },
    #[error("could not try port {port}: {source}")]
    Bind { port: u16, source: io::Error },
}

/// The first port of the range that nobody has reserved or bound. `name` is for the error.
pub(crate) fn pick(name: &str, range: RangeInclusive<u16>, transport: Transport) -> Result<Reserved, NoPort> {
    let (mut reserved, mut bound) = (Vec::new(), 0);
    for port in range.clone() {
        match again(port) {
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
pub(crate) fn again(port: u16) -> Result<Reserved, NoPort> {
    let name = name(port);
    let claimed = net::SocketAddr::from_abstract_name(&name).and_then(|name| net::UnixListener::bind_addr(&name));
    match claimed {
        Ok(listener) => Ok(Reserved { port, _name: listener }),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            Err(NoPort::Reserved { port, by: holder(&name).unwrap_or_else(|| "another agent".to_owned()) })
        }
        Err(source) => Err(NoPort::Claim { port, source }),
    }
}

fn name(port: u16) -> String {
    format!("gameside-port-{port}")
}

/// Who is bound to that name: pid and command, as far as they can be seen from here.
fn holder(name: &str) -> Option<String> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).ok()?;
    connect(&socket, &SocketAddrUnix::new_abstract_name(name.as_bytes()).ok()?).ok()?;
    let peer = sockopt::socket_peercred(&socket).ok()?;
    let (pid, uid) = (peer.pid.as_raw_nonzero(), peer.uid.as_raw());
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<_> =
        command.split(|byte| *byte == 0).filter(|word| !word.is_empty()).map(String::from_utf8_lossy).collect();
    let command = if words.is_empty() { String::new() } else { format!(": {}", words.join(" ")) };
    Some(format!("pid {pid} of uid {uid}{command}"))
}

/// Whether the port can be bound now, by both address families.
pub(crate) fn is_free(port: u16, transport: Transport) -> Result<bool, NoPort> {
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
        let held = pick("game", 10_000..=19_999, Transport::Udp).unwrap();
        let port = held.port;

        let error = pick("game", port..=port, Transport::Udp).unwrap_err();
        assert!(error.to_string().contains(&format!("reserved by pid {} of uid", std::process::id())), "{error}");
        drop(held);
        assert_eq!(again(port).unwrap().port, port);
    }

    #[test]
    fn a_port_that_somebody_else_has_bound_is_passed_over() {
        let other = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = other.local_addr().unwrap().port();
        let error = pick("game", port..=port, Transport::Udp).unwrap_err();
        assert!(matches!(error, NoPort::Exhausted { bound: 1, .. }), "{error}");
    }

    #[test]
    fn a_kept_game_may_have_its_port_bound_already() {
        let game = UdpSocket::bind("0.0.0.0:0").unwrap();
        again(game.local_addr().unwrap().port()).unwrap();
    }
}
