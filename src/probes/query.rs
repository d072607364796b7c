//! A game query, through `gamedig`, by the name of a protocol or a game.

use super::quake::{self, Quake};
pub use crate::model::probe::Bots;
use gamedig::{
    ExtraRequestSettings, GAMES, Game, TimeoutSettings,
    protocols::{
        gamespy::GameSpyVersion,
        quake::QuakeVersion,
        types::{CommonResponse, GatherToggle, Protocol},
        valve::Engine,
    },
    query_with_timeout_and_extra_settings,
};
use std::{net::SocketAddr, time::Duration};

/// Players named by one answer.
pub const MAX_PLAYERS: usize = 1024;
const MAX_NAME: usize = 128;

/// What a server says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    pub map: Option<String>,
    pub count: u32,
    pub max: Option<u32>,
    /// Everybody's name; none if the protocol doesn't tell them all.
    pub names: Option<Vec<String>>,
}

/// How a name of a protocol or game is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    Quake(Quake),
    Gamedig(Protocol),
}

/// Protocols by their own names: what they are, and how they are asked. Games follow from `gamedig`'s list.
fn generic() -> Vec<(&'static str, &'static str, How)> {
    vec![
        ("valve", "Source and other games with A2S queries", How::Gamedig(Protocol::Valve(Engine::Source(None)))),
        ("goldsrc", "Half-Life and its relatives", How::Gamedig(Protocol::Valve(Engine::GoldSrc(false)))),
        ("quake1", "Quake and QuakeWorld", How::Quake(Quake::One)),
        ("quake2", "Quake II and its relatives", How::Quake(Quake::Two)),
        ("quake3", "Quake III Arena and its relatives", How::Quake(Quake::Three)),
        ("openarena", "OpenArena (quake3)", How::Quake(Quake::Three)),
        ("gamespy1", "GameSpy 1", How::Gamedig(Protocol::Gamespy(GameSpyVersion::One))),
        ("gamespy2", "GameSpy 2", How::Gamedig(Protocol::Gamespy(GameSpyVersion::Two))),
        ("gamespy3", "GameSpy 3", How::Gamedig(Protocol::Gamespy(GameSpyVersion::Three))),
        ("unreal2", "Unreal 2", How::Gamedig(Protocol::Unreal2)),
    ]
}

/// Names that `[probe] protocol` takes, with what they are: protocols first, then games by name.
pub fn protocols() -> Vec<(&'static str, &'static str)> {
    let mut all: Vec<_> = generic().into_iter().map(|(name, what, _)| (name, what)).collect();
    let mut games: Vec<_> = GAMES.entries().map(|(name, game)| (*name, game.name)).collect();
    games.retain(|(name, _)| all.iter().all(|(other, _)| other != name));
    games.sort_unstable();
    all.extend(games);
    all
}

/// How that protocol or game is asked.
pub fn find(name: &str) -> Option<How> {
    if let Some((_, _, how)) = generic().into_iter().find(|(other, _, _)| *other == name) {
        return Some(how);
    }
    Some(match &GAMES.get(name)?.protocol {
        Protocol::Quake(QuakeVersion::One) => How::Quake(Quake::One),
        Protocol::Quake(QuakeVersion::Two) => How::Quake(Quake::Two),
        Protocol::Quake(QuakeVersion::Three) => How::Quake(Quake::Three),
        protocol => How::Gamedig(protocol.clone()),
    })
}

/// The name that was probably meant.
pub fn nearest(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    let distance = |other: &str| {
        let mut row: Vec<usize> = (0..=other.len()).collect();
        for (at, byte) in name.bytes().enumerate() {
            let mut before = std::mem::replace(&mut row[0], at + 1);
            for (column, against) in other.bytes().enumerate() {
                let cost = before + usize::from(byte != against);
                before = row[column + 1];
                row[column + 1] = cost.min(before + 1).min(row[column] + 1);
            }
        }
        row[other.len()]
    };
    let best = protocols().into_iter().map(|(other, _)| (distance(other), other)).min()?;
    Some(best.1).filter(|_| best.0 <= 3 && best.0 < name.len().max(1))
}

/// Asks once. Blocking protocols run beside the runtime; a query that is given up is finished there alone.
pub async fn ask(how: &How, server: SocketAddr, timeout: Duration, bots: Bots) -> Result<Answer, String> {
    match how {
        How::Quake(quake) => match tokio::time::timeout(timeout, quake::ask(*quake, server, bots)).await {
            Ok(answer) => answer.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer within {timeout:?}")),
        },
        How::Gamedig(protocol) => {
            let protocol = protocol.clone();
            let asked = tokio::task::spawn_blocking(move || blocking(protocol, server, timeout, bots));
            asked.await.unwrap_or_else(|_| Err("the answer made the query library panic".to_owned()))
        }
    }
}

fn blocking(protocol: Protocol, server: SocketAddr, timeout: Duration, bots: Bots) -> Result<Answer, String> {
    // Whether it is the very game that was named doesn't matter, nor do its rules: less is asked.
    let light = ExtraRequestSettings::default()
        .set_gather_players(GatherToggle::Try)
        .set_gather_rules(GatherToggle::Skip)
        .set_check_app_id(false);
    let game = Game { name: "probe", default_port: server.port(), protocol, request_settings: light.clone() };
    let span = Some(timeout.max(Duration::from_millis(1)));
    let timeouts = TimeoutSettings::new(span, span, span, 0).map_err(|error| error.to_string())?;
    let port = Some(server.port());
    let answer = query_with_timeout_and_extra_settings(&game, &server.ip(), port, Some(timeouts), Some(light));
    answer.map(|answer| read(&*answer, bots)).map_err(|error| format!("{:?}", error.kind))
}

fn read(answer: &dyn CommonResponse, bots: Bots) -> Answer {
    let machines = answer.players_bots().filter(|_| bots == Bots::Ignore).unwrap_or(0);
    let names = answer.players().map(|players| {
        players.iter().map(|player| name(player.name())).filter(|name| !name.is_empty()).collect::<Vec<_>>()
    });
    // A sample of the names, or names of bots among them, is worth less than the number.
    let names = names
        .filter(|names| names.len() == answer.players_online() as usize && names.len() <= MAX_PLAYERS && machines == 0);
    Answer {
        map: answer.map().map(name).filter(|map| !map.is_empty()),
        count: answer.players_online().saturating_sub(machines),
        max: Some(answer.players_maximum()).filter(|max| *max > 0),
        names,
    }
}

fn name(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_name_can_be_asked_and_no_other() {
        let all = protocols();
        assert!(all.len() > 100);
        for (name, what) in &all {
            assert!(find(name).is_some() && !what.is_empty(), "{name}");
        }
        let mut names: Vec<_> = all.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all.len());
        assert_eq!(find("q3a"), Some(How::Quake(Quake::Three)));
        assert_eq!(find("doom"), None);
    }

    #[test]
    fn a_typing_error_gets_a_suggestion() {
        assert_eq!(nearest("quak3"), Some("quake3"));
        assert_eq!(nearest("Minecraft"), Some("minecraft"));
        assert_eq!(nearest("counterstryke2"), Some("counterstrike2"));
        assert_eq!(nearest("completely-else"), None);
    }
}
