//! Steam's server queries (A2S), answered for a game that doesn't answer them itself: name, map,
//! players, rules.
//!
//! ```text
//!   client ──► request
//!          ◄── challenge (9 bytes, no more than the request)
//!          ──► request with the challenge        proves that packets reach the client's address
//!          ◄── answer, in several packets if it is long
//! ```
//!
//! | file | holds |
//! |---|---|
//! | [`wire`] | requests and answers as bytes |
//! | [`challenge`] | numbers that prove an address; none is stored |
//! | [`rate`] | how many answers a second, to everybody and to one address |
//!
//! Invariants: an answer to an unproved address is never longer than its request, so that nobody
//! can be flooded through us; answers are limited for each address and for all together; a game
//! that isn't ready is not listed. Nothing wakes while nobody asks and nothing changes.

pub(crate) mod challenge;
pub(crate) mod config;
pub(crate) mod rate;
#[cfg(test)]
mod tests;
pub(crate) mod wire;

use super::{BindAddress, BoundSocket, Frontend, Shared, SocketSpec, take_socket};
use crate::{
    host::clock,
    model::{
        game::IfTaken,
        status::{PhaseName, Status},
        time::Instant,
    },
};
use challenge::Challenges;
use rate::RateLimiter;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, UdpSocket as Socket},
    sync::Arc,
    time::Duration,
};
use tokio::{net::UdpSocket, sync::watch, task::JoinSet};
use wire::{Info, Player, Query, Request};

/// Name of its socket at the keeper.
pub(crate) const UDP: &str = "a2s-udp";
/// Longer packets are no request.
const MAX_REQUEST: usize = 1400;

/// How queries are answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    pub listen: SocketAddr,
    /// The server's name.
    pub name: String,
    pub game: String,
    pub folder: String,
    pub app_id: u32,
    pub keywords: String,
    pub rules: BTreeMap<String, String>,
    /// The port, by name, that players connect to.
    pub port: String,
    /// Answers a second to everybody together, and to one address.
    pub rate: u32,
    pub rate_per_address: u32,
    pub challenge_lifetime: Duration,
}

/// The frontend.
#[derive(Debug)]
pub(crate) struct A2s {
    settings: Settings,
}

impl A2s {
    pub(crate) fn new(settings: Settings) -> Self {
        A2s { settings }
    }
}

impl Frontend for A2s {
    fn name(&self) -> &'static str {
        "a2s"
    }

    /// The port was reserved with the game's others, so it never moves.
    fn sockets(&self) -> Vec<SocketSpec> {
        vec![SocketSpec {
            name: UDP.to_owned(),
            address: BindAddress::Udp(self.settings.listen),
            if_taken: IfTaken::Fail,
        }]
    }

    fn env(&self, _bound: &[BoundSocket]) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    fn serve(self: Box<Self>, bound: &mut Vec<BoundSocket>, shared: Shared, tasks: &mut JoinSet<()>) -> io::Result<()> {
        if let Some(fd) = take_socket(bound, UDP) {
            let socket = Socket::from(fd);
            socket.set_nonblocking(true)?;
            let responder = Responder::new(self.settings, rand::random());
            tasks.spawn(responder.serve(UdpSocket::from_std(socket)?, shared.status));
        }
        Ok(())
    }
}

/// Answers queries; what is in an answer comes from the settings and the status.
#[derive(Debug)]
struct Responder {
    settings: Settings,
    challenges: Challenges,
    rates: RateLimiter,
    /// Since when each player is known to be connected.
    since: BTreeMap<String, Instant>,
    /// Numbers answers of several packets.
    split: u32,
}

impl Responder {
    fn new(settings: Settings, secret: [u8; 32]) -> Self {
        Responder {
            challenges: Challenges::new(secret, settings.challenge_lifetime),
            rates: RateLimiter::new(settings.rate, settings.rate_per_address),
            since: BTreeMap::new(),
            split: 0,
            settings,
        }
    }

    async fn serve(mut self, socket: UdpSocket, mut status: watch::Receiver<Arc<Status>>) {
        let mut packet = vec![0; MAX_REQUEST + 1];
        loop {
            tokio::select! {
                received = socket.recv_from(&mut packet) => {
                    // An error is about an earlier answer that was refused.
                    let Ok((length, from)) = received else { continue };
                    let now = clock::mono();
                    let status = Arc::clone(&status.borrow());
                    for answer in self.answer(&packet[..length], from, &status, now) {
                        // A client that gets no answer asks again.
                        let _ = socket.try_send_to(&answer, from);
                    }
                }
                changed = status.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let status = Arc::clone(&status.borrow_and_update());
                    self.track_players(&status, clock::mono());
                }
            }
        }
    }

    /// Who came and who went.
    fn track_players(&mut self, status: &Status, now: Instant) {
        let there = |id: &str| status.players_known.iter().any(|player| player.id == id);
        self.since.retain(|id, _| there(id));
        for player in &status.players_known {
            self.since.entry(player.id.clone()).or_insert(now);
        }
    }

    /// The packets that answer this one; none where it is no request, comes too often, or there is nothing to show.
    fn answer(&mut self, packet: &[u8], from: SocketAddr, status: &Status, now: Instant) -> Vec<Vec<u8>> {
        let Some(Request { query, challenge }) = Request::parse(packet).filter(|_| packet.len() <= MAX_REQUEST) else {
            return Vec::new();
        };
        if !is_listed(status) || !self.rates.allow(from.ip(), now) {
            return Vec::new();
        }
        if !challenge.is_some_and(|given| self.challenges.is_valid(given, from, now)) {
            let answer = wire::challenge(self.challenges.issue(from, now));
            return if answer.len() <= packet.len() { vec![answer] } else { Vec::new() };
        }
        self.track_players(status, now);
        let whole = match query {
            Query::Info => self.info(status).write(),
            Query::Players => wire::players(&self.players(status, now)),
            Query::Rules => wire::rules(&self.rules(status)),
        };
        self.split = self.split.wrapping_add(1) & 0x7fff_ffff;
        wire::packets(whole, self.split)
    }

    fn info<'a>(&'a self, status: &'a Status) -> Info<'a> {
        Info {
            name: &self.settings.name,
            map: status.map.as_deref().unwrap_or_default(),
            folder: &self.settings.folder,
            game: &self.settings.game,
            app_id: self.settings.app_id,
            players: status.players.unwrap_or(0),
            max_players: status.max_players.unwrap_or(0),
            version: status.game.version.as_deref().unwrap_or("0.0.0"),
            port: status.ports.get(&self.settings.port).copied(),
            keywords: &self.settings.keywords,
        }
    }

    fn players<'a>(&self, status: &'a Status, now: Instant) -> Vec<Player<'a>> {
        let known = status.players_known.iter().map(|player| Player {
            name: player.name.as_deref().unwrap_or(&player.id),
            connected_for: self.since.get(&player.id).map_or(Duration::ZERO, |since| now.since(*since)),
        });
        known.collect()
    }

    /// The configured rules, and what the status adds to them.
    fn rules(&self, status: &Status) -> BTreeMap<String, String> {
        let mut rules = self.settings.rules.clone();
        let joinable = status.join_status == Some(crate::model::session::JoinStatus::Joinable);
        let mut rule = |key: &str, text: String| rules.insert(key.to_owned(), text);
        rule("joinable", u8::from(joinable).to_string());
        if let Some(mode) = &status.mode {
            rule("mode", mode.clone());
        }
        if let Some(version) = &status.game.version {
            rule("version", version.clone());
        }
        rules
    }
}

/// Whether the game is proved to be ready and isn't being ended.
fn is_listed(status: &Status) -> bool {
    status.game.ready && !matches!(status.phase, PhaseName::Closing | PhaseName::Ended)
}
