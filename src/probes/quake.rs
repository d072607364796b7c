//! Status queries of the Quake family, our own: gamedig 0.9.0 never reads the list of players
//! behind the variables (the condition of its loop, `!length == 0`, is false for every length), so
//! that every server looks empty; and it refuses names that aren't UTF-8.
//!
//! | version | request | answer begins with | line of a player |
//! |---|---|---|---|
//! | 1 | `status` | `n` | `id score time ping "name" "skin" shirt trousers` |
//! | 2 | `status` | `print\n` | `score ping "name" "address"` |
//! | 3 | `getstatus` | `statusResponse\n` | `score ping "name"` |
//!
//! A line of variables (`\key\value\…`) comes first.

use super::query::{Answer, Bots, MAX_PLAYERS};
use std::{collections::HashMap, io, net::SocketAddr};
use tokio::net::UdpSocket;

const MARK: &[u8] = b"\xff\xff\xff\xff";
const MAX_ANSWER: usize = 16 * 1024;

/// The version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quake {
    One,
    Two,
    Three,
}

impl Quake {
    fn request_and_answer(self) -> (&'static [u8], &'static [u8]) {
        match self {
            Quake::One => (b"status\n", b"n"),
            Quake::Two => (b"status\n", b"print\n"),
            Quake::Three => (b"getstatus\n", b"statusResponse\n"),
        }
    }
}

/// Sends one query and waits for the answer; the caller bounds the time.
pub(crate) async fn ask(quake: Quake, server: SocketAddr, bots: Bots) -> io::Result<Answer> {
    let local: SocketAddr =
        if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { (std::net::Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(local).await?;
    socket.connect(server).await?;
    socket.send(&[MARK, quake.request_and_answer().0].concat()).await?;
    let mut datagram = vec![0; MAX_ANSWER];
    let length = socket.recv(&mut datagram).await?;
    parse(quake, &datagram[..length], bots).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "the answer is none to a Quake status query; is the protocol right?")
    })
}

fn parse(quake: Quake, datagram: &[u8], bots: Bots) -> Option<Answer> {
    let body = datagram.strip_prefix(MARK)?.strip_prefix(quake.request_and_answer().1)?;
    // Names are bytes of an unknown code page; Latin-1 loses none.
    let text: String = body.iter().copied().filter(|byte| *byte != 0).map(char::from).collect();
    let mut lines = text.lines();
    let variables = variables(lines.next()?);
    let value = |names: &[&str]| names.iter().find_map(|name| variables.get(*name)).map(|value| (*value).to_owned());
    let players =
        lines.filter_map(|line| player(quake, line)).filter(|(_, ping)| bots == Bots::Count || *ping != Some(0));
    let players: Vec<String> = players.map(|(name, _)| name).take(MAX_PLAYERS).collect();
    Some(Answer {
        map: value(&["mapname", "map"]),
        count: u32::try_from(players.len()).unwrap_or(u32::MAX),
        max: value(&["sv_maxclients", "maxclients"]).and_then(|max| max.parse().ok()),
        names: Some(players),
    })
}

fn variables(line: &str) -> HashMap<&str, &str> {
    let mut words = line.strip_prefix('\\').unwrap_or(line).split('\\');
    let mut variables = HashMap::new();
    while let (Some(key), Some(value)) = (words.next(), words.next()) {
        variables.insert(key, value);
    }
    variables
}

/// Name without colours, and ping.
fn player(quake: Quake, line: &str) -> Option<(String, Option<i32>)> {
    let (numbers, rest) = line.split_once('"')?;
    let (name, _) = rest.split_once('"')?;
    let ping = match quake {
        Quake::One => 3,
        Quake::Two | Quake::Three => 1,
    };
    let ping = numbers.split_whitespace().nth(ping).and_then(|ping| ping.parse().ok());
    Some((plain(name), ping))
}

/// `^1Red^7` → `Red`.
fn plain(name: &str) -> String {
    let mut plain = String::new();
    let mut chars = name.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '^' && chars.next_if(char::is_ascii_alphanumeric).is_some() {
            continue;
        }
        if !c.is_control() {
            plain.push(c);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: &[u8] = b"\xff\xff\xff\xffstatusResponse\n\\sv_maxclients\\8\\mapname\\oa_dm1\\g_gametype\\0\n\
        12 48 \"^1Red ^7Baron\"\n0 0 \"Gargoyle\"\n3 5 \"J\xf6rg\"\n";

    #[test]
    fn all_three_versions_are_read() {
        let answer = parse(Quake::Three, THREE, Bots::Count).unwrap();
        assert_eq!(answer.map.as_deref(), Some("oa_dm1"));
        assert_eq!((answer.count, answer.max), (3, Some(8)));
        assert_eq!(answer.names.unwrap(), ["Red Baron", "Gargoyle", "Jörg"]);
        let two = b"\xff\xff\xff\xffprint\n\\maxclients\\4\\mapname\\q2dm1\n5 30 \"Pia\" \"127.0.0.1:5\"\n\0";
        let answer = parse(Quake::Two, two, Bots::Count).unwrap();
        assert_eq!((answer.names.unwrap(), answer.max), (vec!["Pia".to_owned()], Some(4)));
        let one = b"\xff\xff\xff\xffn\\maxclients\\4\\map\\dm6\n1 5 12 0 \"Olu\" \"base\" 3 4\n";
        assert_eq!(parse(Quake::One, one, Bots::Count).unwrap().count, 1);
        assert_eq!(parse(Quake::One, one, Bots::Ignore).unwrap().count, 0);
    }

    #[test]
    fn bots_have_no_ping() {
        let answer = parse(Quake::Three, THREE, Bots::Ignore).unwrap();
        assert_eq!(answer.names.unwrap(), ["Red Baron", "Jörg"]);
    }

    #[test]
    fn anything_else_is_no_answer() {
        for datagram in [&b""[..], b"\xff\xff\xff\xffstatusResponse\n", b"\xff\xff\xff\xffdisconnect", b"hello"] {
            assert!(parse(Quake::Three, datagram, Bots::Count).is_none());
        }
        let odd = b"\xff\xff\xff\xffstatusResponse\n\\mapname\nnobody\n1 2 \"open\n";
        let answer = parse(Quake::Three, odd, Bots::Count).unwrap();
        assert_eq!((answer.map, answer.count, answer.max), (None, 0, None));
    }
}
