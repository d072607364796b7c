//! The datagrams, as text: a line `practice/1 VERB`, then `key: value` lines; UTF-8, at most
//! [`MAX_DATAGRAM`] bytes.
//!
//! | from the player | keys | answer |
//! |---|---|---|
//! | `hello` | `name`, `uuid`?, `token`? | `welcome` (`id`, `map`, `mode`, `players`, `places`) or `refused` (`reason`) |
//! | `input` | `x`, `y`: −1, 0, 1 | `world` a few times a second |
//! | `ping` | `nonce` | `pong` |
//! | `say` | `text` | `chat` (`from`, `text`) to everybody |
//! | `bye` | | `bye` (`reason`) |
//! | `admin` | `password`, `command` | as on the console |
//!
//! The server says `map` (`map`, `mode`) when it changes, and `bye` when it ends or a player must
//! go. Besides it answers the Quake 3 query `getstatus`, as any server browser or probe asks it.

use crate::model::text::printable;
use std::fmt::Write;
use uuid::Uuid;

pub(crate) const MAX_DATAGRAM: usize = 1200;
const HEAD: &str = "practice/1 ";
/// The longest name, in characters.
pub(crate) const MAX_NAME: usize = 32;
const MAX_TEXT: usize = 200;
const QUAKE: &[u8] = b"\xff\xff\xff\xff";

/// What a player sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromPlayer {
    Hello {
        name: String,
        uuid: Option<Uuid>,
        token: Option<String>,
    },
    Input {
        x: i32,
        y: i32,
    },
    Ping {
        nonce: String,
    },
    Say {
        text: String,
    },
    Bye,
    Admin {
        password: String,
        command: String,
    },
    /// Anybody, not only players.
    Query,
}

/// What the server sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FromServer {
    Welcome { id: String, map: String, mode: String, players: usize, places: usize },
    Refused { reason: String },
    Pong { nonce: String },
    Chat { from: String, text: String },
    World { tick: u64, positions: Vec<(String, i32, i32)> },
    Map { map: String, mode: String },
    Bye { reason: String },
}

/// `key: value` lines behind the head.
struct Fields<'a>(&'a str);

impl<'a> Fields<'a> {
    fn get(&self, key: &str) -> Option<&'a str> {
        self.0.lines().find_map(|line| line.split_once(": ").filter(|(found, _)| *found == key).map(|(_, value)| value))
    }
    fn text(&self, key: &str, chars: usize) -> Option<String> {
        self.get(key).map(|text| clean(text, chars)).filter(|text| !text.is_empty())
    }
    fn number<T: std::str::FromStr>(&self, key: &str) -> Option<T> {
        self.get(key)?.parse().ok()
    }
}

/// One line of printable text.
fn clean(text: &str, chars: usize) -> String {
    printable(text.trim(), chars)
}

fn parse(datagram: &[u8]) -> Option<(&str, Fields<'_>)> {
    let text = std::str::from_utf8(datagram).ok()?.strip_prefix(HEAD)?;
    let (verb, rest) = text.split_once('\n').unwrap_or((text, ""));
    Some((verb, Fields(rest)))
}

fn packet(verb: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut text = format!("{HEAD}{verb}\n");
    for (key, value) in fields {
        let _ = writeln!(text, "{key}: {}", clean(value, MAX_DATAGRAM));
    }
    text.into_bytes()
}

impl FromPlayer {
    /// None for anything that isn't of this protocol.
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        if datagram.strip_prefix(QUAKE).is_some_and(|query| query.starts_with(b"getstatus")) {
            return Some(FromPlayer::Query);
        }
        let (verb, fields) = parse(datagram)?;
        Some(match verb {
            "hello" => FromPlayer::Hello {
                name: fields.text("name", MAX_NAME)?,
                uuid: match fields.get("uuid") {
                    Some(uuid) => Some(uuid.parse().ok()?),
                    None => None,
                },
                token: fields.text("token", MAX_TEXT),
            },
            "input" => FromPlayer::Input {
                x: fields.number::<i32>("x")?.clamp(-1, 1),
                y: fields.number::<i32>("y")?.clamp(-1, 1),
            },
            "ping" => FromPlayer::Ping { nonce: fields.text("nonce", MAX_NAME).unwrap_or_default() },
            "say" => FromPlayer::Say { text: fields.text("text", MAX_TEXT)? },
            "bye" => FromPlayer::Bye,
            "admin" => FromPlayer::Admin {
                password: fields.text("password", MAX_TEXT)?,
                command: fields.text("command", MAX_TEXT)?,
            },
            _ => return None,
        })
    }

    pub fn encode(&self) -> Vec<u8> {
        match self {
            FromPlayer::Hello { name, uuid, token } => {
                let uuid = uuid.map(|uuid| uuid.to_string());
                let mut fields = vec![("name", name.as_str())];
                fields.extend(uuid.as_deref().map(|uuid| ("uuid", uuid)));
                fields.extend(token.as_deref().map(|token| ("token", token)));
                packet("hello", &fields)
            }
            FromPlayer::Input { x, y } => packet("input", &[("x", &x.to_string()), ("y", &y.to_string())]),
            FromPlayer::Ping { nonce } => packet("ping", &[("nonce", nonce)]),
            FromPlayer::Say { text } => packet("say", &[("text", text)]),
            FromPlayer::Bye => packet("bye", &[]),
            FromPlayer::Admin { password, command } => packet("admin", &[("password", password), ("command", command)]),
            FromPlayer::Query => [QUAKE, b"getstatus\n"].concat(),
        }
    }
}

impl FromServer {
    /// None for anything that isn't of this protocol.
    pub(crate) fn parse(datagram: &[u8]) -> Option<Self> {
        let (verb, fields) = parse(datagram)?;
        let text = |key| fields.get(key).map(str::to_owned);
        Some(match verb {
            "welcome" => FromServer::Welcome {
                id: text("id")?,
                map: text("map")?,
                mode: text("mode")?,
                players: fields.number("players")?,
                places: fields.number("places")?,
            },
            "refused" => FromServer::Refused { reason: text("reason")? },
            "pong" => FromServer::Pong { nonce: text("nonce").unwrap_or_default() },
            "chat" => FromServer::Chat { from: text("from")?, text: text("text")? },
            "world" => FromServer::World { tick: fields.number("tick")?, positions: positions(fields.0) },
            "map" => FromServer::Map { map: text("map")?, mode: text("mode")? },
            "bye" => FromServer::Bye { reason: text("reason")? },
            _ => return None,
        })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            FromServer::Welcome { id, map, mode, players, places } => {
                let (players, places) = (players.to_string(), places.to_string());
                packet(
                    "welcome",
                    &[("id", id), ("map", map), ("mode", mode), ("players", &players), ("places", &places)],
                )
            }
            FromServer::Refused { reason } => packet("refused", &[("reason", reason)]),
            FromServer::Pong { nonce } => packet("pong", &[("nonce", nonce)]),
            FromServer::Chat { from, text } => packet("chat", &[("from", from), ("text", text)]),
            FromServer::World { tick, positions } => {
                let mut datagram = packet("world", &[("tick", &tick.to_string())]);
                for (name, x, y) in positions {
                    let line = format!("at: {x} {y} {name}\n");
                    if datagram.len() + line.len() > MAX_DATAGRAM {
                        break;
                    }
                    datagram.extend_from_slice(line.as_bytes());
                }
                datagram
            }
            FromServer::Map { map, mode } => packet("map", &[("map", map), ("mode", mode)]),
            FromServer::Bye { reason } => packet("bye", &[("reason", reason)]),
        }
    }
}

fn positions(lines: &str) -> Vec<(String, i32, i32)> {
    let one = |line: &str| {
        let mut words = line.strip_prefix("at: ")?.splitn(3, ' ');
        let (x, y) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some((words.next()?.to_owned(), x, y))
    };
    lines.lines().filter_map(one).collect()
}

/// The answer to a Quake 3 `getstatus`: variables, then a line `score ping "name"` a player.
pub(crate) fn quake_status<'a>(variables: &[(&str, &str)], names: impl Iterator<Item = &'a str>) -> Vec<u8> {
    let plain = |text: &str| text.replace(['\\', '"', '\n'], "_");
    let mut answer = [QUAKE, b"statusResponse\n"].concat();
    for (key, value) in variables {
        answer.extend_from_slice(format!("\\{key}\\{}", plain(value)).as_bytes());
    }
    answer.push(b'\n');
    for name in names {
        let line = format!("0 1 \"{}\"\n", plain(name));
        if answer.len() + line.len() > MAX_DATAGRAM {
            break;
        }
        answer.extend_from_slice(line.as_bytes());
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_what_is_understood() {
        let uuid = Some(Uuid::from_u128(5));
        for packet in [
            FromPlayer::Hello { name: "Pia".to_owned(), uuid, token: Some("t".to_owned()) },
            FromPlayer::Hello { name: "Pia Ö".to_owned(), uuid: None, token: None },
            FromPlayer::Input { x: -1, y: 1 },
            FromPlayer::Ping { nonce: "7".to_owned() },
            FromPlayer::Say { text: "hello: there".to_owned() },
            FromPlayer::Bye,
            FromPlayer::Admin { password: "p".to_owned(), command: "map foundry".to_owned() },
            FromPlayer::Query,
        ] {
            assert_eq!(FromPlayer::parse(&packet.encode()), Some(packet));
        }
        let text = || "text".to_owned();
        for packet in [
            FromServer::Welcome { id: text(), map: text(), mode: text(), players: 1, places: 2 },
            FromServer::Refused { reason: text() },
            FromServer::Pong { nonce: text() },
            FromServer::Chat { from: text(), text: text() },
            FromServer::World { tick: 9, positions: vec![("Pia P".to_owned(), -3, 4)] },
            FromServer::Map { map: text(), mode: text() },
            FromServer::Bye { reason: text() },
        ] {
            assert_eq!(FromServer::parse(&packet.encode()), Some(packet));
        }
    }

    #[test]
    fn anything_else_is_nothing() {
        for datagram in [
            &b""[..],
            b"hello",
            b"practice/2 hello\nname: a",
            b"practice/1 dance",
            b"practice/1 hello",
            b"practice/1 hello\nname: \x07\n",
            b"practice/1 hello\nname: a\nuuid: nobody",
            b"practice/1 input\nx: 1",
            b"practice/1 say\ntext: \xff",
            b"\xff\xff\xff\xffgetinfo",
        ] {
            assert_eq!(FromPlayer::parse(datagram), None, "{datagram:?}");
        }
    }

    #[test]
    fn nothing_breaks_out_of_its_line_and_no_datagram_is_too_long() {
        let said = FromServer::Chat { from: "a\nbye".to_owned(), text: "b".to_owned() };
        assert_eq!(
            FromServer::parse(&said.encode()),
            Some(FromServer::Chat { from: "abye".to_owned(), text: "b".to_owned() })
        );
        let crowd = (0..500).map(|n| (format!("player {n}"), n, n)).collect();
        assert!(FromServer::World { tick: 1, positions: crowd }.encode().len() <= MAX_DATAGRAM);
        let names: Vec<String> = (0..500).map(|n| format!("player {n}")).collect();
        assert!(quake_status(&[("mapname", "a\\b")], names.iter().map(String::as_str)).len() <= MAX_DATAGRAM);
    }
}
