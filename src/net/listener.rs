//! What is listened on: a TCP port or a unix socket.

use super::stream::Stream;
use rustix::net::{AddressFamily, getsockname, sockopt};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};
use tokio::net::{TcpListener, UnixListener};

/// How soon the kernel asks whether the other end of a silent connection is still there, how often again, and how many
/// times without an answer.
const ASK_AFTER: Duration = Duration::from_secs(30);
const ASK_EVERY: Duration = Duration::from_secs(10);
const ASK_TIMES: u32 = 3;
/// After this long without an acknowledgement by the other end's kernel, a connection is dead.
const UNACKNOWLEDGED: Duration = Duration::from_secs(60);

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

    /// Connections that it accepts from now on end when the other end is gone without a word: its machine lost power, or
    /// a NAT or a load balancer has forgotten the connection. On the loopback nobody goes like that.
    pub(super) fn notice_lost_peers(&self) -> io::Result<()> {
        let Listener::Tcp(listener) = self else { return Ok(()) };
        if listener.local_addr()?.ip().is_loopback() {
            return Ok(());
        }
        // What is accepted inherits this.
        sockopt::set_socket_keepalive(listener, true)?;
        sockopt::set_tcp_keepidle(listener, ASK_AFTER)?;
        sockopt::set_tcp_keepintvl(listener, ASK_EVERY)?;
        sockopt::set_tcp_keepcnt(listener, ASK_TIMES)?;
        Ok(sockopt::set_tcp_user_timeout(listener, UNACKNOWLEDGED.as_millis() as u32)?)
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

    #[tokio::test]
    async fn what_comes_over_a_network_is_asked_whether_it_is_still_there() {
        let everywhere = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let port = everywhere.local_addr().unwrap().port();
        let listener = Listener::Tcp(everywhere);
        listener.notice_lost_peers().unwrap();
        let _client = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let Stream::Tcp(stream) = stream else { panic!("not TCP") };
        assert!(sockopt::socket_keepalive(&stream).unwrap());
        assert_eq!(sockopt::tcp_keepidle(&stream).unwrap(), ASK_AFTER);
        assert_eq!(sockopt::tcp_user_timeout(&stream).unwrap(), 60_000);
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
