//! Remote consoles, to ask a game to quit that handles no signal: Source's RCON, and Minecraft's,
//! which is nearly the same.
//!
//! ```text
//!   size:i32le  id:i32le  type:i32le  body  0 0        size counts what is behind it
//!
//!   ──► 3 password            ◄── (Source: an empty 0)  2 with our id: logged in; with -1: refused
//!   ──► 2 command             ◄── 0 …, or nothing: a game that quits may not answer any more
//! ```
//!
//! Invariants: everything is bounded: the time, the length of each packet, the number of packets
//! before the one that counts. The password is never in an error or a log.

use secrecy::{ExposeSecret as _, SecretString};
use std::{io, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// The dialect of the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Source,
    Minecraft,
}

impl Dialect {
    /// The longest body of a request, in bytes; a longer one is cut off or ends the connection.
    fn max_body(self) -> usize {
        match self {
            Dialect::Source => 4086,
            Dialect::Minecraft => 1446,
        }
    }
}

const LOGIN: i32 = 3;
const LOGIN_ANSWER: i32 = 2;
const COMMAND: i32 = 2;
/// Id and type in front of a body, two zeros behind it.
const FRAME: usize = 10;
/// The longest packet that a server sends, with something to spare.
const MAX_ANSWER: usize = 8 * 1024;
/// Packets that may come before the answer to a login.
const MAX_PACKETS_BEFORE_LOGIN: usize = 8;
const LOGIN_ID: i32 = 1;
const COMMAND_ID: i32 = 2;

/// Why the command could not be given.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RconError {
    #[error("could not connect to the remote console at {at}: {source}")]
    Connect { at: SocketAddr, source: io::Error },
    #[error("the remote console at {at} refuses the password")]
    Refused { at: SocketAddr },
    #[error("the remote console at {at} ended the connection: {source}")]
    Broken { at: SocketAddr, source: io::Error },
    #[error("what answers at {at} is no remote console: {why}")]
    NotRcon { at: SocketAddr, why: &'static str },
    #[error("the {what} has more than {longest} bytes, which the remote console doesn't take")]
    TooLong { what: &'static str, longest: usize },
    #[error("the remote console at {at} took longer than {within:?}")]
    Slow { at: SocketAddr, within: Duration },
}

/// Logs in and sends the command. Without an error it has reached the console, as far as a client can know.
pub(crate) async fn send_command(
    dialect: Dialect,
    at: SocketAddr,
    password: &SecretString,
    command: &str,
    within: Duration,
) -> Result<(), RconError> {
    let longest = dialect.max_body();
    for (what, text) in [("password", password.expose_secret()), ("command", command)] {
        if text.len() > longest || text.contains('\0') {
            return Err(RconError::TooLong { what, longest });
        }
    }
    let talk = async {
        let stream = TcpStream::connect(at).await.map_err(|source| RconError::Connect { at, source })?;
        let mut console = Console { at, stream };
        console.login(password).await?;
        console.send(COMMAND_ID, COMMAND, command).await
    };
    timeout(within, talk).await.unwrap_or(Err(RconError::Slow { at, within }))
}

struct Console {
    at: SocketAddr,
    stream: TcpStream,
}

impl Console {
    async fn login(&mut self, password: &SecretString) -> Result<(), RconError> {
        self.send(LOGIN_ID, LOGIN, password.expose_secret()).await?;
        for _ in 0..MAX_PACKETS_BEFORE_LOGIN {
            match self.receive().await? {
                (LOGIN_ID, LOGIN_ANSWER) => return Ok(()),
                (-1, LOGIN_ANSWER) => return Err(RconError::Refused { at: self.at }),
                _ => {}
            }
        }
        Err(RconError::NotRcon { at: self.at, why: "it doesn't answer a login" })
    }

    async fn send(&mut self, id: i32, kind: i32, body: &str) -> Result<(), RconError> {
        // Password and command are bounded, so the size fits.
        let size = (body.len() + FRAME) as i32;
        let mut packet = Vec::with_capacity(body.len() + FRAME + 4);
        for number in [size, id, kind] {
            packet.extend(number.to_le_bytes());
        }
        packet.extend(body.as_bytes());
        packet.extend([0, 0]);
        let at = self.at;
        self.stream.write_all(&packet).await.map_err(|source| RconError::Broken { at, source })
    }

    /// Id and type of the next packet; its body is ignored.
    async fn receive(&mut self) -> Result<(i32, i32), RconError> {
        let at = self.at;
        let broken = |source| RconError::Broken { at, source };
        let size = self.stream.read_i32_le().await.map_err(broken)?;
        let size = usize::try_from(size).unwrap_or(0);
        if !(FRAME..=MAX_ANSWER).contains(&size) {
            return Err(RconError::NotRcon { at, why: "a packet of an impossible length" });
        }
        let mut packet = vec![0; size];
        self.stream.read_exact(&mut packet).await.map_err(broken)?;
        let number = |from: usize| i32::from_le_bytes(std::array::from_fn(|byte| packet[from + byte]));
        Ok((number(0), number(4)))
    }
}

#[cfg(test)]
#[path = "rcon_tests.rs"]
mod tests;
