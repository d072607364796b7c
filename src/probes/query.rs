//! Game queries, by the name of a protocol or a game; most of them through `gamedig`.

use super::{
    ProbeError,
    quake::{self, Quake},
};
pub use crate::model::probe::Bots;
use crate::model::{spelling, text::printable};
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

/// A server's answer about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    pub map: Option<String>,
    pub count: u32,
    pub max: Option<u32>,
    /// The names that it lists; none if it doesn't list players. They may be fewer than it counts: a sample, or those who have
    /// a name already.
    pub names: Option<Vec<String>>,
}

/// How a protocol or game is queried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueryMethod {
    Quake(Quake),
    Gamedig(Protocol),
}

/// Protocols by their own names: what they are, and how they are queried. Games come from `gamedig`'s list.
fn generic() -> Vec<(&'static str, &'static str, QueryMethod)> {
    vec![
        (
            "valve",
            "Source and other games with A2S queries",
            QueryMethod::Gamedig(Protocol::Valve(Engine::Source(None))),
        ),
        ("goldsrc", "Half-Life and its relatives", QueryMethod::Gamedig(Protocol::Valve(Engine::GoldSrc(false)))),
        ("quake1", "Quake and QuakeWorld", QueryMethod::Quake(Quake::One)),
        ("quake2", "Quake II and its relatives", QueryMethod::Quake(Quake::Two)),
        ("quake3", "Quake III Arena and its relatives", QueryMethod::Quake(Quake::Three)),
        ("openarena", "OpenArena (quake3)", QueryMethod::Quake(Quake::Three)),
        ("gamespy1", "GameSpy 1", QueryMethod::Gamedig(Protocol::Gamespy(GameSpyVersion::One))),
        ("gamespy2", "GameSpy 2", QueryMethod::Gamedig(Protocol::Gamespy(GameSpyVersion::Two))),
        ("gamespy3", "GameSpy 3", QueryMethod::Gamedig(Protocol::Gamespy(GameSpyVersion::Three))),
        ("unreal2", "Unreal 2", QueryMethod::Gamedig(Protocol::Unreal2)),
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

/// How that protocol or game is queried.
pub fn find(name: &str) -> Option<QueryMethod> {
    if let Some((_, _, how)) = generic().into_iter().find(|(other, _, _)| *other == name) {
        return Some(how);
    }
    Some(match &GAMES.get(name)?.protocol {
        Protocol::Quake(QuakeVersion::One) => QueryMethod::Quake(Quake::One),
        Protocol::Quake(QuakeVersion::Two) => QueryMethod::Quake(Quake::Two),
        Protocol::Quake(QuakeVersion::Three) => QueryMethod::Quake(Quake::Three),
        protocol => QueryMethod::Gamedig(protocol.clone()),
    })
}

/// The known name that is most like this one, if one is like it.
pub fn nearest(name: &str) -> Option<String> {
    spelling::nearest(name, protocols().into_iter().map(|(known, _)| known))
}

/// Sends one query. Blocking protocols run on threads beside the runtime; a query that is given up ends there by itself.
pub async fn ask(how: &QueryMethod, server: SocketAddr, timeout: Duration, bots: Bots) -> Result<Answer, ProbeError> {
    match how {
        QueryMethod::Quake(quake) => match tokio::time::timeout(timeout, quake::ask(*quake, server, bots)).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(ProbeError::TimedOut(timeout)),
        },
        QueryMethod::Gamedig(protocol) => {
            let protocol = protocol.clone();
            let asked = tokio::task::spawn_blocking(move || blocking(protocol, server, timeout, bots));
            asked.await.unwrap_or(Err(ProbeError::QueryPanicked))
        }
    }
}

fn blocking(protocol: Protocol, server: SocketAddr, timeout: Duration, bots: Bots) -> Result<Answer, ProbeError> {
    // Neither the identity of the game nor its rules matter here, so neither is asked for.
    let light = ExtraRequestSettings::default()
        .set_gather_players(GatherToggle::Try)
        .set_gather_rules(GatherToggle::Skip)
        .set_check_app_id(false);
    let game = Game { name: "probe", default_port: server.port(), protocol, request_settings: light.clone() };
    let span = Some(timeout.max(Duration::from_millis(1)));
    let timeouts = TimeoutSettings::new(span, span, span, 0).map_err(ProbeError::QuerySettings)?;
    let port = Some(server.port());
    let answer = query_with_timeout_and_extra_settings(&game, &server.ip(), port, Some(timeouts), Some(light));
    answer.map(|answer| read(&*answer, bots)).map_err(|error| ProbeError::Query(error.kind))
}

fn read(answer: &dyn CommonResponse, bots: Bots) -> Answer {
    let machines = answer.players_bots().filter(|_| bots == Bots::Ignore).unwrap_or(0);
    let names = answer.players().map(|players| {
        players.iter().map(|player| name(player.name())).filter(|name| !name.is_empty()).collect::<Vec<_>>()
    });
    // Names of bots among them are worth less than the number.
    let names = names.filter(|names| names.len() <= MAX_PLAYERS && machines == 0);
    Answer {
        map: answer.map().map(name).filter(|map| !map.is_empty()),
        count: answer.players_online().saturating_sub(machines),
        max: Some(answer.players_maximum()).filter(|max| *max > 0),
        names,
    }
}

fn name(text: &str) -> String {
    printable(text, MAX_NAME)
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
        assert_eq!(find("q3a"), Some(QueryMethod::Quake(Quake::Three)));
        assert_eq!(find("doom"), None);
    }

    #[test]
    fn a_typing_error_gets_a_suggestion() {
        assert_eq!(nearest("quak3"), Some("quake3".to_owned()));
        assert_eq!(nearest("Minecraft"), Some("minecraft".to_owned()));
        assert_eq!(nearest("counterstryke2"), Some("counterstrike2".to_owned()));
        assert_eq!(nearest("completely-else"), None);
    }
}
