//! Steam's server queries (A2S), answered in the stead of a game that doesn't answer them: name, map, players, rules.
//!
//! ```text
//!   asker ──► request                                   nobody is told anything before it has shown
//!         ◄── challenge (9 bytes, no more than asked)   that packets reach it where it says it is
//!         ──► request with the challenge
//!         ◄── answer, in several packets if it is long
//! ```
//!
//! | file | holds |
//! |---|---|
//! | [`wire`] | requests and answers as bytes |
//! | [`challenge`] | numbers that prove an address, kept by nobody |
//! | [`rate`] | how many answers whom |
//!
//! Invariants: an answer to an unproved address is never longer than its request, so that nobody can be flooded through us; answers
//! are bounded for each address and for all together; a game that isn't ready isn't shown. Nothing wakes while nobody asks
//! and nothing changes.

pub mod challenge;
pub mod rate;
#[cfg(test)]
mod tests;
pub mod wire;

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
use rate::Rates;
use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, UdpSocket as Socket},
    sync::Arc,
    time::Duration,
};
use tokio::{net::UdpSocket, sync::watch, task::JoinSet};
use wire::{Info, Player, Request, What};

/// Name of its socket at the keeper.
pub const UDP: &str = "a2s-udp";
/// Longer packets are nobody's request.
const LONGEST_REQUEST: usize = 1400;

/// How queries are answered.
#[derive(Debug, Clone, PartialEq, Eq)]
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
pub struct A2s {
    settings: Settings,
}

impl A2s {
    pub fn new(settings: Settings) -> Self {
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
            let desk = Desk::new(self.settings, rand::random());
            tasks.spawn(desk.serve(UdpSocket::from_std(socket)?, shared.status));
        }
        Ok(())
    }
}

/// Everything that an answer is made of.
#[derive(Debug)]
struct Desk {
    settings: Settings,
    challenges: Challenges,
    rates: Rates,
    /// Since when each player is known to be there.
    since: BTreeMap<String, Instant>,
    /// Numbers answers of several packets.
    split: u32,
}

impl Desk {
    fn new(settings: Settings, secret: [u8; 32]) -> Self {
        Desk {
            challenges: Challenges::new(secret, settings.challenge_lifetime),
            rates: Rates::new(settings.rate, settings.rate_per_address),
            since: BTreeMap::new(),
            split: 0,
            settings,
        }
    }

    async fn serve(mut self, socket: UdpSocket, mut status: watch::Receiver<Arc<Status>>) {
        let mut packet = vec![0; LONGEST_REQUEST + 1];
        loop {
            tokio::select! {
                received = socket.recv_from(&mut packet) => {
                    // An error is about an earlier answer that nobody took.
                    let Ok((length, from)) = received else { continue };
                    let shown = Arc::clone(&status.borrow());
                    for answer in self.answer(&packet[..length], from, &shown, clock::now().mono) {
                        // What can't be sent now is asked for again.
                        let _ = socket.try_send_to(&answer, from);
                    }
                }
                changed = status.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let shown = Arc::clone(&status.borrow_and_update());
                    self.note(&shown, clock::now().mono);
                }
            }
        }
    }

    /// Who came and who went.
    fn note(&mut self, status: &Status, now: Instant) {
        let there = |id: &str| status.players_known.iter().any(|player| player.id == id);
        self.since.retain(|id, _| there(id));
        for player in &status.players_known {
            self.since.entry(player.id.clone()).or_insert(now);
        }
    }

    /// The packets that answer this one; none where it is no request, comes too often, or there is nothing to show.
    fn answer(&mut self, packet: &[u8], from: SocketAddr, status: &Status, now: Instant) -> Vec<Vec<u8>> {
        let Some(Request { what, proof }) = Request::read(packet).filter(|_| packet.len() <= LONGEST_REQUEST) else {
            return Vec::new();
        };
        if !is_shown(status) || !self.rates.allow(from.ip(), now) {
            return Vec::new();
        }
        if !proof.is_some_and(|proof| self.challenges.holds(proof, from, now)) {
            let challenge = wire::challenge(self.challenges.make(from, now));
            return if challenge.len() <= packet.len() { vec![challenge] } else { Vec::new() };
        }
        self.note(status, now);
        let whole = match what {
            What::Info => self.info(status).write(),
            What::Players => wire::players(&self.players(status, now)),
            What::Rules => wire::rules(&self.rules(status)),
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
            players: status.players,
            max_players: status.max_players.unwrap_or(0),
            version: status.game.version.as_deref().unwrap_or("0.0.0"),
            port: status.ports.get(&self.settings.port).copied(),
            keywords: &self.settings.keywords,
        }
    }

    fn players<'a>(&self, status: &'a Status, now: Instant) -> Vec<Player<'a>> {
        let known = status.players_known.iter().map(|player| Player {
            name: player.name.as_deref().unwrap_or(&player.id),
            there_for: self.since.get(&player.id).map_or(Duration::ZERO, |since| now.since(*since)),
        });
        known.collect()
    }

    /// What everybody may know, and where the server stands.
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

/// A game that is proved to be ready and isn't on its way out.
fn is_shown(status: &Status) -> bool {
    status.game.ready && !matches!(status.phase, PhaseName::Closing | PhaseName::Ended)
}
