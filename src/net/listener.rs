//! What is listened on: a TCP port or a unix socket.

use super::stream::Stream;
use rustix::net::{AddressFamily, getsockname};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd, OwnedFd},
};
use tokio::net::{TcpListener, UnixListener};

/// A listening socket, whatever its kind.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// IPv4 addresses mapped into IPv6 are shown as IPv4.
    Tcp(IpAddr),
    /// A process of this machine, by the user that it ran as when it connected. None: the kernel doesn't tell.
    Unix { uid: Option<u32> },
}

impl Listener {
    /// Takes over a bound, listening socket. A TCP socket that isn't on a loopback address is refused: for what serves this
    /// machine alone.
    pub(crate) fn local(fd: OwnedFd) -> io::Result<Self> {
        let address = getsockname(fd.as_fd())?;
        rustix::io::ioctl_fionbio(&fd, true)?;
        if address.address_family() == AddressFamily::UNIX {
            return UnixListener::from_std(fd.into()).map(Listener::Unix);
        }
        let address = SocketAddr::try_from(address)?;
        if !address.ip().is_loopback() {
            let why = format!("{address} is no loopback address; the game-facing API is for this machine alone");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        TcpListener::from_std(fd.into()).map(Listener::Tcp)
    }

    /// The next connection. May be dropped and called again without losing one.
    pub(super) async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Without it answers wait for the client's delayed acknowledgement; a socket that
                // can't is slow, not broken.
                let _ = stream.set_nodelay(true);
                Ok((Stream::Tcp(stream), Peer::Tcp(peer.ip().to_canonical())))
            }
            Listener::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let uid = stream.peer_cred().ok().map(|peer| peer.uid());
                Ok((Stream::Unix(stream), Peer::Unix { uid }))
            }
        }
    }
}

impl Peer {
    /// The address that it comes from; none on a unix socket.
    pub(crate) fn ip(self) -> Option<IpAddr> {
        match self {
            Peer::Tcp(ip) => Some(ip),
            Peer::Unix { .. } => None,
        }
    }

    /// Whether it is a process of root's, or of the user that this process runs as.
    pub(crate) fn is_same_user_or_root(self) -> bool {
        match self {
            Peer::Unix { uid: Some(uid) } => uid == 0 || uid == rustix::process::geteuid().as_raw(),
            Peer::Unix { uid: None } | Peer::Tcp(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_loopback_is_local() {
        let everywhere = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
        let error = Listener::local(everywhere.into()).unwrap_err();
        assert!(error.to_string().contains("loopback"), "{error}");
    }

    #[test]
    fn a_peer_is_ours_by_its_user_and_never_by_an_address() {
        let ours = rustix::process::geteuid().as_raw();
        assert!(Peer::Unix { uid: Some(ours) }.is_same_user_or_root());
        assert!(Peer::Unix { uid: Some(0) }.is_same_user_or_root());
        assert!(!Peer::Unix { uid: Some(ours + 1) }.is_same_user_or_root());
        assert!(!Peer::Unix { uid: None }.is_same_user_or_root());
        assert!(!Peer::Tcp([127, 0, 0, 1].into()).is_same_user_or_root());
    }
}
