//! Listening sockets: ours, and those that we hold for the agent so that a connect waits while the
//! agent is away.

use crate::{
    host::socket,
    keeper::protocol::{ListenerAddress, ListenerSpec, MAX_LISTENERS, names},
};
use rustix::fs::fstat;
use std::{
    ffi::{OsStr, OsString},
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

/// Why a socket isn't made.
#[derive(Debug, thiserror::Error)]
pub(super) enum ListenError {
    #[error("a keeper holds at most {MAX_LISTENERS} listening sockets")]
    TooMany,
    #[error("{} doesn't lie directly in the state directory or in its {}/, where this keeper makes sockets", .0.display(), names::GAME)]
    Outside(PathBuf),
    #[error("listening for `{name}` on {address}: {why}")]
    Bind { name: String, address: String, why: io::Error },
}

/// Where unix sockets may be made.
#[derive(Debug, Clone, Copy)]
pub(super) enum Places<'a> {
    Anywhere,
    /// Directly in one of these: a path only says in which of them, and is never walked again.
    In(&'a [&'a OwnedFd]),
}

/// The sockets that are held, by name.
#[derive(Debug, Default)]
pub(super) struct HeldSockets {
    sockets: Vec<Socket>,
}

#[derive(Debug)]
struct Socket {
    spec: ListenerSpec,
    socket: OwnedFd,
    /// Of a unix socket: the directory of its file, and its name there.
    file: Option<(OwnedFd, OsString)>,
}

impl HeldSockets {
    pub(super) fn names(&self) -> Vec<String> {
        self.all().map(|(name, _)| name.to_owned()).collect()
    }

    /// All that are held.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, BorrowedFd<'_>)> {
        self.sockets.iter().map(|held| (held.spec.name.as_str(), held.socket.as_fd()))
    }

    /// Duplicates of what is asked for, in its order. What is held under the same name and address stays, connections that wait
    /// included; another address replaces it.
    pub(super) fn get(&mut self, want: &[ListenerSpec], places: Places<'_>) -> Result<Vec<OwnedFd>, ListenError> {
        let new = want.iter().filter(|spec| !self.sockets.iter().any(|held| held.spec.name == spec.name)).count();
        if self.sockets.len() + new > MAX_LISTENERS {
            return Err(ListenError::TooMany);
        }
        want.iter().map(|spec| self.one(spec, places)).collect()
    }

    fn one(&mut self, spec: &ListenerSpec, places: Places<'_>) -> Result<OwnedFd, ListenError> {
        let failed = |why: io::Error| ListenError::Bind { name: spec.name.clone(), address: shown(&spec.address), why };
        let held = self.sockets.iter().position(|held| held.spec.name == spec.name);
        if let Some(at) = held.filter(|at| self.sockets[*at].spec != *spec)
            && let Some((dir, name)) = self.sockets.remove(at).file
        {
            let _ = socket::remove(&dir, &name);
        }
        if let Some(held) = self.sockets.iter().find(|held| held.spec == *spec) {
            return held.socket.try_clone().map_err(failed);
        }
        let (socket, file) = match &spec.address {
            ListenerAddress::Tcp(address) => (somewhere(*address, spec.or_any, tcp).map_err(failed)?, None),
            ListenerAddress::Udp(address) => (somewhere(*address, spec.or_any, udp).map_err(failed)?, None),
            ListenerAddress::Unix(path, mode) => {
                let (dir, name) = place(path, places).map_err(failed)?.ok_or(ListenError::Outside(path.clone()))?;
                let socket = socket::listen_in(&dir, name, Some(*mode)).map_err(failed)?;
                (socket.into(), Some((dir, name.to_owned())))
            }
        };
        let copy = socket.try_clone().map_err(failed)?;
        self.sockets.push(Socket { spec: spec.clone(), socket, file });
        Ok(copy)
    }
}

/// The directory and the name that a path stands for. None: where no socket may be made.
fn place<'a>(path: &'a Path, places: Places<'_>) -> io::Result<Option<(OwnedFd, &'a OsStr)>> {
    let (dir, name) = socket::open_parent(path)?;
    let Places::In(ours) = places else { return Ok(Some((dir, name))) };
    let asked = fstat(&dir)?;
    for own in ours {
        let about = fstat(own)?;
        if (about.st_dev, about.st_ino) == (asked.st_dev, asked.st_ino) {
            return Ok(Some((own.try_clone()?, name)));
        }
    }
    Ok(None)
}

/// At that port; where it is taken, and another will do, at any.
fn somewhere(at: SocketAddr, or_any: bool, bind: fn(SocketAddr) -> io::Result<OwnedFd>) -> io::Result<OwnedFd> {
    match bind(at) {
        Err(error) if or_any && error.kind() == io::ErrorKind::AddrInUse => bind(SocketAddr::new(at.ip(), 0)),
        bound => bound,
    }
}

fn tcp(at: SocketAddr) -> io::Result<OwnedFd> {
    let socket = TcpListener::bind(at)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn udp(at: SocketAddr) -> io::Result<OwnedFd> {
    let socket = UdpSocket::bind(at)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn shown(address: &ListenerAddress) -> String {
    match address {
        ListenerAddress::Tcp(address) | ListenerAddress::Udp(address) => address.to_string(),
        ListenerAddress::Unix(path, _) => path.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(name: &str, address: &str) -> ListenerSpec {
        ListenerSpec { name: name.into(), address: ListenerAddress::Tcp(address.parse().unwrap()), or_any: false }
    }

    fn port(socket: &OwnedFd) -> u16 {
        TcpListener::from(socket.try_clone().unwrap()).local_addr().unwrap().port()
    }

    #[test]
    fn a_held_socket_is_the_same_the_next_time() {
        let mut held = HeldSockets::default();
        let want = [tcp("api", "127.0.0.1:0")];
        let first = port(&held.get(&want, Places::Anywhere).unwrap()[0]);
        assert_eq!(port(&held.get(&want, Places::Anywhere).unwrap()[0]), first);
        assert_eq!(held.names(), ["api"]);
        assert_ne!(port(&held.get(&[tcp("api", "127.0.0.2:0")], Places::Anywhere).unwrap()[0]), 0);
        assert_eq!(held.names(), ["api"]);
    }

    #[test]
    fn a_port_that_is_taken_is_refused_or_another_found_as_asked() {
        let (stream, datagrams) = (TcpListener::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let (tcp_at, udp_at) = (stream.local_addr().unwrap(), datagrams.local_addr().unwrap());
        let mut held = HeldSockets::default();
        for (name, address) in [("t", ListenerAddress::Tcp(tcp_at)), ("u", ListenerAddress::Udp(udp_at))] {
            let mut spec = ListenerSpec { name: name.into(), address, or_any: false };
            let why = held.get(&[spec.clone()], Places::Anywhere).unwrap_err().to_string();
            assert!(why.contains(&shown(&spec.address)), "{why}");
            spec.or_any = true;
            let moved = port(&held.get(&[spec.clone()], Places::Anywhere).unwrap()[0]);
            assert!(moved != 0 && moved != tcp_at.port() && moved != udp_at.port());
            assert_eq!(port(&held.get(&[spec], Places::Anywhere).unwrap()[0]), moved, "and there it stays");
        }
    }

    #[test]
    fn bounds_hold() {
        let dir = tempfile::tempdir().unwrap();
        let mut held = HeldSockets::default();
        std::fs::create_dir(dir.path().join("below")).unwrap();
        let ours = OwnedFd::from(std::fs::File::open(dir.path()).unwrap());
        let unix = |path: &str| ListenerSpec {
            address: ListenerAddress::Unix(dir.path().join(path), 0o600),
            ..tcp("x", "[::]:0")
        };
        for outside in ["/tmp/outside.sock", "below/s.sock", "../s.sock"] {
            let why = held.get(&[unix(outside)], Places::In(&[&ours])).unwrap_err().to_string();
            assert!(why.contains("doesn't lie directly"), "{outside}: {why}");
        }
        held.get(&[unix("below/../s.sock")], Places::In(&[&ours])).unwrap();
        held.get(&[unix("t.sock")], Places::In(&[&ours])).unwrap();
        assert!(dir.path().join("t.sock").exists() && !dir.path().join("s.sock").exists(), "replaced, and taken away");
        let many: Vec<_> = (0..=MAX_LISTENERS).map(|n| tcp(&n.to_string(), "127.0.0.1:0")).collect();
        assert!(held.get(&many, Places::Anywhere).unwrap_err().to_string().contains("at most"));
    }
}
