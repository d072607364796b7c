//! TCP connections and HTTP; whether a port is bound.
//!
//! The kernel's tables of bound ports are read from `/proc/PID/net` of the game, which shows its
//! network namespace, else from our own.

use super::ProbeError;
use std::{io, net::SocketAddr, path::PathBuf};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A table of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Udp,
    /// Ports that are listened on.
    Tcp,
}

const LISTEN: &str = "0A";

/// Whether a port is bound in the namespace of that process.
pub(crate) fn is_bound(kind: Kind, port: u16, pid: Option<i32>) -> io::Result<bool> {
    let names = match kind {
        Kind::Udp => ["udp", "udp6"],
        Kind::Tcp => ["tcp", "tcp6"],
    };
    let own = PathBuf::from("/proc/net");
    let dir = pid.map(|pid| PathBuf::from(format!("/proc/{pid}/net"))).filter(|dir| dir.exists()).unwrap_or(own);
    for name in names {
        match std::fs::read_to_string(dir.join(name)) {
            Ok(table) if lists(&table, kind, port) => return Ok(true),
            Ok(_) => {}
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound && name.ends_with('6') => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

fn lists(table: &str, kind: Kind, port: u16) -> bool {
    let port = format!("{port:04X}");
    table.lines().skip(1).any(|line| {
        let mut words = line.split_whitespace();
        let local = words.nth(1).and_then(|local| local.rsplit_once(':')).is_some_and(|(_, bound)| bound == port);
        local && (kind == Kind::Udp || words.nth(1) == Some(LISTEN))
    })
}

/// Whether somebody accepts a connection.
pub(crate) async fn connect(server: SocketAddr) -> Result<(), ProbeError> {
    Ok(TcpStream::connect(server).await.map(drop)?)
}

/// Whether a GET is answered with 2xx.
pub(crate) async fn get(server: SocketAddr, path: &str) -> Result<(), ProbeError> {
    let line = status_line(server, path).await?;
    let mut words = line.split(' ');
    let is_http = words.next().is_some_and(|version| version.starts_with("HTTP/1."));
    match words.next().and_then(|code| code.parse::<u16>().ok()) {
        Some(200..=299) if is_http => Ok(()),
        Some(status) if is_http => Err(ProbeError::HttpStatus { path: path.to_owned(), status }),
        Some(_) | None => Err(ProbeError::NotHttp),
    }
}

async fn status_line(server: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(server).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {server}\r\nuser-agent: gameside\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut line = Vec::new();
    let mut chunk = [0; 512];
    while !line.contains(&b'\n') && line.len() < 4096 {
        match stream.read(&mut chunk).await? {
            0 => break,
            length => line.extend_from_slice(&chunk[..length]),
        }
    }
    Ok(String::from_utf8_lossy(&line).lines().next().unwrap_or("").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bound_ports_are_seen_while_they_are_bound() {
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let tcp =
            std::net::TcpListener::bind("[::1]:0").or_else(|_| std::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let (udp_port, tcp_port) = (udp.local_addr().unwrap().port(), tcp.local_addr().unwrap().port());
        for pid in [None, Some(std::process::id() as i32), Some(i32::MAX)] {
            assert!(is_bound(Kind::Udp, udp_port, pid).unwrap());
            assert!(is_bound(Kind::Tcp, tcp_port, pid).unwrap());
        }
        drop(udp);
        assert!(!is_bound(Kind::Udp, udp_port, None).unwrap());
    }

    #[test]
    fn a_connection_to_a_port_is_no_listener_there() {
        let table = "  sl  local_address rem_address   st\n\
            0: 0100007F:1E61 00000000:0000 01 0\n   1: 00000000:0050 00000000:0000 0A 0\n";
        assert!(!lists(table, Kind::Tcp, 0x1E61) && lists(table, Kind::Udp, 0x1E61));
        assert!(lists(table, Kind::Tcp, 80) && !lists(table, Kind::Tcp, 8));
    }
}
