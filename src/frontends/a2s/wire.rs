//! Requests and answers as bytes. Numbers are little-endian, texts end with a zero.
//!
//! ```text
//!   FF FF FF FF kind …                         one packet
//!   FE FF FF FF id:4 total:1 number:1 size:2 … one of several; put together they are a packet again
//! ```

use super::challenge::NO_CHALLENGE;
use crate::model::text::printable;
use std::{collections::BTreeMap, time::Duration};

const SINGLE: [u8; 4] = [0xff; 4];
const SPLIT: [u8; 4] = [0xfe, 0xff, 0xff, 0xff];
/// The largest packet that is sent.
pub(crate) const MAX_PACKET: usize = 1248;
const SPLIT_HEADER: usize = 12;
/// More is cut off: no client puts more packets together.
const MAX_PACKETS: usize = 15;
const INFO_QUERY: &[u8] = b"Source Engine Query\0";
const MAX_TEXT: usize = 128;

/// Query is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Query {
    Info,
    Players,
    Rules,
}

/// A request, with the challenge that proves its sender, if it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    pub query: Query,
    pub challenge: Option<u32>,
}

impl Request {
    pub fn parse(packet: &[u8]) -> Option<Request> {
        let (kind, rest) = packet.strip_prefix(&SINGLE)?.split_first()?;
        let (query, rest) = match kind {
            b'T' => (Query::Info, rest.strip_prefix(INFO_QUERY)?),
            b'U' => (Query::Players, rest),
            b'V' => (Query::Rules, rest),
            _ => return None,
        };
        let challenge = rest
            .first_chunk::<4>()
            .map(|bytes| u32::from_le_bytes(*bytes))
            .filter(|challenge| *challenge != NO_CHALLENGE);
        Some(Request { query, challenge })
    }
}

/// `A`: the number that the request has to be repeated with.
pub(crate) fn challenge(number: u32) -> Vec<u8> {
    [&SINGLE, b"A".as_slice(), &number.to_le_bytes()].concat()
}

/// `I`
#[derive(Debug, Clone, Copy)]
pub(crate) struct Info<'a> {
    pub name: &'a str,
    pub map: &'a str,
    pub folder: &'a str,
    pub game: &'a str,
    pub app_id: u32,
    pub players: u32,
    pub max_players: u32,
    pub version: &'a str,
    /// Where players connect.
    pub port: Option<u16>,
    pub keywords: &'a str,
}

impl Info<'_> {
    pub(crate) fn write(&self) -> Vec<u8> {
        const PROTOCOL: u8 = 17;
        const PORT: u8 = 0x80;
        const KEYWORDS: u8 = 0x20;
        const LONG_ID: u8 = 0x01;
        let count = |number: u32| u8::try_from(number).unwrap_or(u8::MAX);
        let mut bytes = [&SINGLE, [b'I', PROTOCOL].as_slice()].concat();
        for shown in [self.name, self.map, self.folder, self.game] {
            text(&mut bytes, shown);
        }
        bytes.extend((self.app_id as u16).to_le_bytes());
        // No bots are told apart; a dedicated server on Linux, without password and anti-cheat.
        bytes.extend([count(self.players), count(self.max_players), 0, b'd', b'l', 0, 0]);
        text(&mut bytes, self.version);
        let port = self.port.map_or(0, |_| PORT);
        let keywords = if self.keywords.is_empty() { 0 } else { KEYWORDS };
        bytes.push(port | keywords | LONG_ID);
        bytes.extend(self.port.iter().flat_map(|port| port.to_le_bytes()));
        if keywords > 0 {
            text(&mut bytes, self.keywords);
        }
        bytes.extend(u64::from(self.app_id).to_le_bytes());
        bytes
    }
}

/// One row of `D`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Player<'a> {
    pub name: &'a str,
    pub connected_for: Duration,
}

/// `D`: at most 255 players.
pub(crate) fn players(players: &[Player<'_>]) -> Vec<u8> {
    let shown = &players[..players.len().min(usize::from(u8::MAX))];
    let mut bytes = [&SINGLE, [b'D', shown.len() as u8].as_slice()].concat();
    for player in shown {
        bytes.push(0);
        text(&mut bytes, player.name);
        bytes.extend(0i32.to_le_bytes());
        bytes.extend(player.connected_for.as_secs_f32().to_le_bytes());
    }
    bytes
}

/// `E`
pub(crate) fn rules(rules: &BTreeMap<String, String>) -> Vec<u8> {
    let shown = rules.iter().take(usize::from(u8::MAX));
    let mut bytes = [&SINGLE, b"E".as_slice(), &(shown.len() as u16).to_le_bytes()].concat();
    for (name, value) in shown {
        text(&mut bytes, name);
        text(&mut bytes, value);
    }
    bytes
}

/// As it is, or in several packets under this id.
pub(crate) fn packets(whole: Vec<u8>, id: u32) -> Vec<Vec<u8>> {
    if whole.len() <= MAX_PACKET {
        return vec![whole];
    }
    let parts: Vec<_> = whole.chunks(MAX_PACKET - SPLIT_HEADER).take(MAX_PACKETS).collect();
    let total = parts.len() as u8;
    let numbered = parts.iter().zip(0u8..).map(|(part, number)| {
        let header =
            [&SPLIT, id.to_le_bytes().as_slice(), &[total, number], &(MAX_PACKET as u16).to_le_bytes()].concat();
        [&header, *part].concat()
    });
    numbered.collect()
}

/// Bounded, and without control characters.
fn text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend(printable(text, MAX_TEXT).bytes());
    bytes.push(0);
}
