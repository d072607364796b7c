//! The game itself: players who walk about on a map, in a match. No I/O, no clock: `now` is the
//! time since the start.

use super::wire::{self, FromPlayer, FromServer};
use std::{net::SocketAddr, time::Duration};
use uuid::Uuid;

/// Edge of the square that players walk on.
const FIELD: i32 = 1000;
/// Every n-th tick players are sent the world.
const WORLD_EVERY: u64 = 10;

/// One player.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Player {
    /// The UUID, or `guest-NAME`.
    pub id: String,
    pub name: String,
    pub address: SocketAddr,
    heard: Duration,
    at: (i32, i32),
    input: (i32, i32),
}

/// Something that happened, to log and to report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    Joined {
        id: String,
        name: String,
        address: SocketAddr,
    },
    Left {
        id: String,
        name: String,
        why: &'static str,
    },
    Refused {
        name: String,
        address: SocketAddr,
        why: &'static str,
    },
    Said {
        name: String,
        text: String,
    },
    /// An admin's command, password checked.
    Command(String),
}

/// Datagrams to send, and events.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub send: Vec<(SocketAddr, Vec<u8>)>,
    pub events: Vec<Event>,
}

impl Outcome {
    fn say(&mut self, to: SocketAddr, packet: &FromServer) {
        self.send.push((to, packet.encode()));
    }
}

/// Whether players may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JoinPolicy {
    Open,
    /// New players are refused with this reason.
    Closed(&'static str),
}

/// The game.
#[derive(Debug)]
pub(crate) struct Game {
    pub name: String,
    pub map: String,
    pub mode: String,
    pub places: usize,
    pub joins: JoinPolicy,
    /// Players must send it in their hello; none: no token is needed.
    pub join_token: Option<String>,
    pub admin_password: Option<String>,
    /// A player who sends nothing for this long is removed.
    pub timeout: Duration,
    players: Vec<Player>,
    ticks: u64,
}

impl Game {
    pub(crate) fn new(name: &str, map: &str, mode: &str, places: usize, timeout: Duration) -> Self {
        Game {
            name: name.to_owned(),
            map: map.to_owned(),
            mode: mode.to_owned(),
            places,
            joins: JoinPolicy::Closed("starting"),
            join_token: None,
            admin_password: None,
            timeout,
            players: Vec::new(),
            ticks: 0,
        }
    }

    pub(crate) fn players(&self) -> &[Player] {
        &self.players
    }
    pub(crate) fn ticks(&self) -> u64 {
        self.ticks
    }

    /// When the next silent player times out.
    pub(crate) fn next_timeout(&self) -> Option<Duration> {
        self.players.iter().map(|player| player.heard + self.timeout).min()
    }

    /// A datagram came in.
    pub(crate) fn receive(&mut self, datagram: &[u8], from: SocketAddr, now: Duration) -> Outcome {
        let mut outcome = Outcome::default();
        let Some(packet) = FromPlayer::parse(datagram) else { return outcome };
        match packet {
            FromPlayer::Hello { name, uuid, token } => {
                self.hello(&mut outcome, name, uuid, token.as_deref(), from, now);
            }
            FromPlayer::Query => outcome.send.push((from, self.status())),
            FromPlayer::Admin { password, command } => {
                if self.admin_password.as_deref().is_some_and(|known| known == password) {
                    outcome.events.push(Event::Command(command));
                }
            }
            FromPlayer::Input { .. } | FromPlayer::Ping { .. } | FromPlayer::Say { .. } | FromPlayer::Bye => {
                self.act(&mut outcome, packet, from, now);
            }
        }
        outcome
    }

    fn act(&mut self, outcome: &mut Outcome, packet: FromPlayer, from: SocketAddr, now: Duration) {
        let Some(at) = self.players.iter().position(|player| player.address == from) else {
            return outcome.say(from, &FromServer::Refused { reason: "say hello first".to_owned() });
        };
        self.players[at].heard = now;
        match packet {
            FromPlayer::Input { x, y } => self.players[at].input = (x, y),
            FromPlayer::Ping { nonce } => outcome.say(from, &FromServer::Pong { nonce }),
            FromPlayer::Say { text } => {
                let name = self.players[at].name.clone();
                self.tell_all(outcome, &FromServer::Chat { from: name.clone(), text: text.clone() });
                outcome.events.push(Event::Said { name, text });
            }
            FromPlayer::Bye => {
                outcome.say(from, &FromServer::Bye { reason: "you left".to_owned() });
                self.remove(outcome, at, "left");
            }
            FromPlayer::Hello { .. } | FromPlayer::Admin { .. } | FromPlayer::Query => {}
        }
    }

    fn hello(
        &mut self,
        outcome: &mut Outcome,
        name: String,
        uuid: Option<Uuid>,
        token: Option<&str>,
        from: SocketAddr,
        now: Duration,
    ) {
        let id = uuid.map_or_else(|| format!("guest-{name}"), |uuid| uuid.to_string());
        let known = self.players.iter().position(|player| player.id == id);
        let refusal = if self.join_token.as_deref().is_some_and(|wanted| Some(wanted) != token) {
            Some("wrong join token")
        } else {
            match (known, self.joins) {
                (Some(at), _) if uuid.is_none() && self.players[at].address != from => Some("name taken"),
                (Some(_), _) => None,
                (None, JoinPolicy::Closed(why)) => Some(why),
                (None, JoinPolicy::Open) => (self.players.len() >= self.places).then_some("full"),
            }
        };
        if let Some(why) = refusal {
            outcome.say(from, &FromServer::Refused { reason: why.to_owned() });
            return outcome.events.push(Event::Refused { name, address: from, why });
        }
        if let Some(at) = known {
            // The welcome was lost, or the player comes back from elsewhere.
            (self.players[at].address, self.players[at].heard) = (from, now);
        } else {
            outcome.events.push(Event::Joined { id: id.clone(), name: name.clone(), address: from });
            self.players.push(Player { id: id.clone(), name, address: from, heard: now, at: (0, 0), input: (0, 0) });
        }
        let welcome = FromServer::Welcome {
            id,
            map: self.map.clone(),
            mode: self.mode.clone(),
            players: self.players.len(),
            places: self.places,
        };
        outcome.say(from, &welcome);
    }

    /// One step of the simulation.
    pub(crate) fn tick(&mut self) -> Outcome {
        let mut outcome = Outcome::default();
        self.ticks += 1;
        for player in &mut self.players {
            let step = |at: i32, by: i32| (at + by).clamp(-FIELD, FIELD);
            player.at = (step(player.at.0, player.input.0), step(player.at.1, player.input.1));
        }
        if self.ticks.is_multiple_of(WORLD_EVERY) {
            let positions = self.players.iter().map(|player| (player.name.clone(), player.at.0, player.at.1)).collect();
            self.tell_all(&mut outcome, &FromServer::World { tick: self.ticks, positions });
        }
        outcome
    }

    /// Removes the players who have sent nothing for too long.
    pub(crate) fn expire(&mut self, now: Duration) -> Outcome {
        let mut outcome = Outcome::default();
        while let Some(at) = self.players.iter().position(|player| player.heard + self.timeout <= now) {
            outcome.say(self.players[at].address, &FromServer::Bye { reason: "timed out".to_owned() });
            self.remove(&mut outcome, at, "timed out");
        }
        outcome
    }

    pub(crate) fn kick(&mut self, name: &str) -> Outcome {
        let mut outcome = Outcome::default();
        while let Some(at) = self.players.iter().position(|player| player.name == name || player.id == name) {
            outcome.say(self.players[at].address, &FromServer::Bye { reason: "kicked".to_owned() });
            self.remove(&mut outcome, at, "kicked");
        }
        outcome
    }

    /// Removes all players.
    pub(crate) fn empty(&mut self, why: &'static str) -> Outcome {
        let mut outcome = Outcome::default();
        self.tell_all(&mut outcome, &FromServer::Bye { reason: why.to_owned() });
        while !self.players.is_empty() {
            self.remove(&mut outcome, 0, why);
        }
        outcome
    }

    pub(crate) fn announce(&mut self, text: &str) -> Outcome {
        let mut outcome = Outcome::default();
        self.tell_all(&mut outcome, &FromServer::Chat { from: "server".to_owned(), text: text.to_owned() });
        outcome
    }

    pub(crate) fn change_map(&mut self, map: &str, mode: Option<&str>) -> Outcome {
        let mut outcome = Outcome::default();
        map.clone_into(&mut self.map);
        if let Some(mode) = mode {
            mode.clone_into(&mut self.mode);
        }
        self.tell_all(&mut outcome, &FromServer::Map { map: self.map.clone(), mode: self.mode.clone() });
        outcome
    }

    fn remove(&mut self, outcome: &mut Outcome, at: usize, why: &'static str) {
        let player = self.players.remove(at);
        outcome.events.push(Event::Left { id: player.id, name: player.name, why });
    }

    fn tell_all(&self, outcome: &mut Outcome, packet: &FromServer) {
        let datagram = packet.encode();
        outcome.send.extend(self.players.iter().map(|player| (player.address, datagram.clone())));
    }

    fn status(&self) -> Vec<u8> {
        let places = self.places.to_string();
        let variables = [
            ("sv_hostname", self.name.as_str()),
            ("mapname", &self.map),
            ("g_gametype", &self.mode),
            ("sv_maxclients", &places),
            ("version", concat!("gameside-practice ", env!("CARGO_PKG_VERSION"))),
        ];
        wire::quake_status(&variables, self.players.iter().map(|player| player.name.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn game() -> Game {
        let mut game = Game::new("practice", "harbour", "duel", 2, 10 * SECOND);
        game.joins = JoinPolicy::Open;
        game
    }
    fn from(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }
    fn hello(name: &str, uuid: Option<u128>, token: Option<&str>) -> Vec<u8> {
        FromPlayer::Hello { name: name.to_owned(), uuid: uuid.map(Uuid::from_u128), token: token.map(str::to_owned) }
            .encode()
    }
    fn answers(outcome: &Outcome) -> Vec<(u16, FromServer)> {
        outcome.send.iter().map(|(to, packet)| (to.port(), FromServer::parse(packet).unwrap())).collect()
    }
    fn refusal(outcome: &Outcome) -> String {
        match &answers(outcome)[..] {
            [(_, FromServer::Refused { reason })] => reason.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn players_come_talk_and_go() {
        let mut game = game();
        let outcome = game.receive(&hello("Pia", Some(1), None), from(1), SECOND);
        assert!(matches!(&answers(&outcome)[..], [(1, FromServer::Welcome { map, .. })] if map == "harbour"));
        assert!(matches!(&outcome.events[..], [Event::Joined { name, .. }] if name == "Pia"));
        game.receive(&hello("Olu", None, None), from(2), SECOND);
        assert_eq!(game.players()[1].id, "guest-Olu");
        let said = game.receive(&FromPlayer::Say { text: "hi".to_owned() }.encode(), from(2), SECOND);
        assert_eq!(answers(&said).len(), 2);
        let left = game.receive(&FromPlayer::Bye.encode(), from(1), SECOND);
        assert!(matches!(&left.events[..], [Event::Left { why: "left", .. }]));
        assert_eq!(game.players().len(), 1);
    }

    #[test]
    fn who_may_not_come_is_told_why() {
        let mut game = game();
        game.receive(&hello("guest", None, None), from(1), SECOND);
        assert_eq!(refusal(&game.receive(&hello("guest", None, None), from(3), SECOND)), "name taken");
        game.receive(&hello("b", Some(2), None), from(2), SECOND);
        assert_eq!(refusal(&game.receive(&hello("c", Some(3), None), from(3), SECOND)), "full");
        assert_eq!(refusal(&game.receive(&FromPlayer::Bye.encode(), from(3), SECOND)), "say hello first");
        game.kick("b");
        game.joins = JoinPolicy::Closed("draining");
        assert_eq!(refusal(&game.receive(&hello("c", Some(3), None), from(3), SECOND)), "draining");
        game.joins = JoinPolicy::Open;
        game.join_token = Some("t".to_owned());
        assert_eq!(refusal(&game.receive(&hello("c", Some(3), Some("x")), from(3), SECOND)), "wrong join token");
        game.receive(&hello("c", Some(3), Some("t")), from(3), SECOND);
        assert_eq!(game.players().len(), 2);
    }

    #[test]
    fn a_repeated_hello_is_welcomed_again_and_a_new_address_is_a_return() {
        let mut game = game();
        for port in [1, 1, 9] {
            let outcome = game.receive(&hello("Pia", Some(1), None), from(port), SECOND);
            assert!(matches!(&answers(&outcome)[..], [(to, FromServer::Welcome { players: 1, .. })] if *to == port));
        }
        assert_eq!((game.players().len(), game.players()[0].address), (1, from(9)));
    }

    #[test]
    fn the_silent_time_out_and_the_walking_walk() {
        let mut game = game();
        game.receive(&hello("Pia", Some(1), None), from(1), SECOND);
        game.receive(&hello("Olu", Some(2), None), from(2), SECOND);
        game.receive(&FromPlayer::Input { x: 1, y: -1 }.encode(), from(1), 5 * SECOND);
        let mut last = Outcome::default();
        for _ in 0..10 {
            last = game.tick();
        }
        let positions = vec![("Pia".to_owned(), 10, -10), ("Olu".to_owned(), 0, 0)];
        assert_eq!(answers(&last)[0].1, FromServer::World { tick: 10, positions });
        assert_eq!(game.next_timeout(), Some(11 * SECOND));
        let gone = game.expire(11 * SECOND);
        assert!(matches!(&gone.events[..], [Event::Left { name, why: "timed out", .. }] if name == "Olu"));
        assert_eq!(game.players().len(), 1);
    }

    #[test]
    fn server_browsers_get_what_they_ask_for() {
        let mut game = game();
        game.receive(&hello("Pia", Some(1), None), from(1), SECOND);
        let outcome = game.receive(b"\xff\xff\xff\xffgetstatus\n", from(5), SECOND);
        let text = String::from_utf8_lossy(&outcome.send[0].1).into_owned();
        assert!(text.contains("\\mapname\\harbour\\") && text.ends_with("\n0 1 \"Pia\"\n"), "{text}");
    }

    #[test]
    fn commands_need_the_password() {
        let mut game = game();
        let command =
            |password: &str| FromPlayer::Admin { password: password.to_owned(), command: "quit".to_owned() }.encode();
        assert!(game.receive(&command("x"), from(1), SECOND).events.is_empty());
        game.admin_password = Some("secret".to_owned());
        assert!(game.receive(&command("x"), from(1), SECOND).events.is_empty());
        assert_eq!(game.receive(&command("secret"), from(1), SECOND).events, [Event::Command("quit".to_owned())]);
    }
}
