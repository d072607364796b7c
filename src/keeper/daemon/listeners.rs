//! Listening sockets: ours, and those that we hold for the agent so that a connect waits while the
//! agent is away.

use crate::{
    host::socket,
    keeper::protocol::{ListenerAddress, ListenerSpec, MAX_LISTENERS},
};
use std::{
    fs, io,
    net::{SocketAddr, TcpListener, UdpSocket},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

/// Why a socket isn't made.
#[derive(Debug, thiserror::Error)]
pub(super) enum ListenError {
    #[error("a keeper holds at most {MAX_LISTENERS} listening sockets")]
    TooMany,
    #[error("{} is outside {}, where this keeper makes sockets", .path.display(), .root.display())]
    Outside { path: PathBuf, root: PathBuf },
    #[error("listening for `{name}` on {address}: {why}")]
    Bind { name: String, address: String, why: io::Error },
}

/// The sockets that are held, by name.
#[derive(Debug, Default)]
pub(super) struct HeldSockets {
    sockets: Vec<(ListenerSpec, OwnedFd)>,
}

impl HeldSockets {
    pub(super) fn names(&self) -> Vec<String> {
        self.sockets.iter().map(|(spec, _)| spec.name.clone()).collect()
    }

    /// Duplicates of what is asked for, in its order. What is held under the same name and address stays, connections that wait
    /// included; another address replaces it. `within`: the only directory where unix sockets may be made.
    pub(super) fn get(&mut self, want: &[ListenerSpec], within: Option<&Path>) -> Result<Vec<OwnedFd>, ListenError> {
        let new = want.iter().filter(|spec| !self.sockets.iter().any(|(held, _)| held.name == spec.name)).count();
        if self.sockets.len() + new > MAX_LISTENERS {
            return Err(ListenError::TooMany);
        }
        want.iter().map(|spec| self.one(spec, within)).collect()
    }

    fn one(&mut self, spec: &ListenerSpec, within: Option<&Path>) -> Result<OwnedFd, ListenError> {
        let failed = |why: io::Error| ListenError::Bind { name: spec.name.clone(), address: shown(&spec.address), why };
        let held = self.sockets.iter().position(|(held, _)| held.name == spec.name);
        if let Some(at) = held.filter(|at| self.sockets[*at].0 != *spec) {
            let (old, _) = self.sockets.remove(at);
            if let ListenerAddress::Unix(path, _) = old.address {
                let _ = fs::remove_file(path);
            }
        }
        if let Some((_, socket)) = self.sockets.iter().find(|(held, _)| held == spec) {
            return socket.try_clone().map_err(failed);
        }
        let socket = match &spec.address {
            ListenerAddress::Tcp(address) => somewhere(*address, spec.or_any, tcp),
            ListenerAddress::Udp(address) => somewhere(*address, spec.or_any, udp),
            ListenerAddress::Unix(path, mode) => match within {
                Some(root) if !is_within(path, root) => {
                    return Err(ListenError::Outside { path: path.clone(), root: root.to_path_buf() });
                }
                _ => socket::listen(path, Some(*mode)).map(OwnedFd::from),
            },
        };
        let socket = socket.map_err(failed)?;
        let copy = socket.try_clone().map_err(failed)?;
        self.sockets.push((spec.clone(), socket));
        Ok(copy)
    }
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

fn is_within(path: &Path, root: &Path) -> bool {
    let parent = path.parent().and_then(|parent| fs::canonicalize(parent).ok());
    parent.zip(fs::canonicalize(root).ok()).is_some_and(|(parent, root)| parent.starts_with(root))
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
        let first = port(&held.get(&want, None).unwrap()[0]);
        assert_eq!(port(&held.get(&want, None).unwrap()[0]), first);
        assert_eq!(held.names(), ["api"]);
        assert_ne!(port(&held.get(&[tcp("api", "127.0.0.2:0")], None).unwrap()[0]), 0);
        assert_eq!(held.names(), ["api"]);
    }

    #[test]
    fn a_port_that_is_taken_is_refused_or_another_found_as_asked() {
        let (stream, datagrams) = (TcpListener::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let (tcp_at, udp_at) = (stream.local_addr().unwrap(), datagrams.local_addr().unwrap());
        let mut held = HeldSockets::default();
        for (name, address) in [("t", ListenerAddress::Tcp(tcp_at)), ("u", ListenerAddress::Udp(udp_at))] {
            let mut spec = ListenerSpec { name: name.into(), address, or_any: false };
            let why = held.get(&[spec.clone()], None).unwrap_err().to_string();
            assert!(why.contains(&shown(&spec.address)), "{why}");
            spec.or_any = true;
            let moved = port(&held.get(&[spec.clone()], None).unwrap()[0]);
            assert!(moved != 0 && moved != tcp_at.port() && moved != udp_at.port());
            assert_eq!(port(&held.get(&[spec], None).unwrap()[0]), moved, "and there it stays");
        }
    }

    #[test]
    fn bounds_hold() {
        let dir = tempfile::tempdir().unwrap();
        let mut held = HeldSockets::default();
        let outside =
            ListenerSpec { address: ListenerAddress::Unix("/tmp/outside.sock".into(), 0o600), ..tcp("x", "[::]:0") };
        assert!(held.get(&[outside], Some(dir.path())).unwrap_err().to_string().contains("outside"));
        let many: Vec<_> = (0..=MAX_LISTENERS).map(|n| tcp(&n.to_string(), "127.0.0.1:0")).collect();
        assert!(held.get(&many, None).unwrap_err().to_string().contains("at most"));
    }
}
