//! Patterns for the lines that a game prints.
//!
//! | pattern | groups | a match means |
//! |---|---|---|
//! | `ready` (and `readiness.pattern`) | | it is up |
//! | `player_joined` | `id` or `name`, or both; `team` | a player came |
//! | `player_left` | `id` or `name` | a player went |
//! | `map_changed` | `map`, `mode` | what is played now |
//! | `match_started` | `match` | a match begins |
//! | `match_ended` | | it is over |
//!
//! Games often name a player in one line and only number it in another. So players who came are
//! remembered: a player who leaves is found by its id, else by its name. Their number is bounded,
//! as is the part of a line that is matched. A line is matched as a terminal would show it: without
//! ANSI sequences, and without what was written over after a carriage return.

use super::Observation;
use crate::model::{
    game::{Evidence, GameEvent, GamePlayer},
    ids::MatchId,
    policy::{Readiness, ReadyBy},
    probe::LogPatterns,
    text::printable,
};
use regex::{Captures, Regex, RegexBuilder};
use std::{borrow::Cow, str::Chars};

/// The part of a line that is matched, in bytes.
const MAX_LINE: usize = 4096;
/// Players remembered; players beyond can't leave by name.
const MAX_PLAYERS: usize = 1024;
const MAX_TEXT: usize = 128;
/// Bounds what a pattern may cost.
const MAX_PROGRAM: usize = 1 << 20;

/// A pattern that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {why}")]
pub struct BadPattern {
    /// The key in the configuration, e.g. `log_patterns.player_joined`.
    pub key: &'static str,
    pub why: String,
}

/// The patterns, compiled, and who has come by them in one run. The source of their findings is `Log`.
#[derive(Debug, Clone)]
pub struct Log {
    ready: Vec<Regex>,
    joined: Option<Regex>,
    left: Option<Regex>,
    map: Option<Regex>,
    started: Option<Regex>,
    ended: Option<Regex>,
    present: Vec<GamePlayer>,
}

/// A line as a terminal would show it in the end: without ANSI sequences, and without what a carriage return has it write over.
fn shown(line: &str) -> Cow<'_, str> {
    let line = line.trim_end_matches('\r');
    if !line.contains(['\u{1b}', '\u{9b}', '\r']) {
        return Cow::Borrowed(line);
    }
    let (mut shown, mut rest) = (String::with_capacity(line.len()), line.chars());
    while let Some(character) = rest.next() {
        match character {
            '\u{1b}' => skip_sequence(&mut rest),
            '\u{9b}' => skip_control(&mut rest),
            other => shown.push(other),
        }
    }
    let end = shown.trim_end_matches('\r').len();
    shown.truncate(end);
    if let Some(at) = shown.rfind('\r') {
        shown.drain(..=at);
    }
    Cow::Owned(shown)
}

/// What follows an escape character.
fn skip_sequence(rest: &mut Chars<'_>) {
    match rest.next() {
        Some('[') => skip_control(rest),
        // A string, such as the window's title: up to BEL or ESC \.
        Some(']' | 'P' | 'X' | '^' | '_') => {
            while let Some(character) = rest.next() {
                if character == '\u{7}' || character == '\u{1b}' && rest.next() == Some('\\') {
                    break;
                }
            }
        }
        Some(' '..='/') => while rest.next().is_some_and(|character| (' '..='/').contains(&character)) {},
        Some(_) | None => {}
    }
}

/// Parameters, up to the letter that ends them.
fn skip_control(rest: &mut Chars<'_>) {
    while rest.next().is_some_and(|character| !('@'..='~').contains(&character)) {}
}

/// The part of a line that is matched.
fn beginning(line: &str) -> &str {
    let end = (0..=line.len().min(MAX_LINE)).rev().find(|end| line.is_char_boundary(*end)).unwrap_or(0);
    &line[..end]
}

/// What a pattern's groups must hold.
enum RequiredGroups {
    Nothing,
    /// One of these groups.
    OneOf(&'static [&'static str]),
}

struct Compiler(Vec<BadPattern>);

impl Compiler {
    fn pattern(&mut self, key: &'static str, text: Option<&String>, needs: &RequiredGroups) -> Option<Regex> {
        let text = text?;
        let compiled = RegexBuilder::new(text).size_limit(MAX_PROGRAM).build();
        let bad = match &compiled {
            Ok(regex) if regex.is_match("") => {
                Some("it matches an empty line, so it would match every line".to_owned())
            }
            Ok(regex) => match needs {
                RequiredGroups::OneOf(names) if !regex.capture_names().flatten().any(|name| names.contains(&name)) => {
                    let names: Vec<_> = names.iter().map(|name| format!("(?P<{name}>…)")).collect();
                    Some(format!("it needs a named group: {}", names.join(" or ")))
                }
                RequiredGroups::Nothing | RequiredGroups::OneOf(_) => None,
            },
            Err(error) => Some(format!("is no regular expression: {error}")),
        };
        match bad {
            Some(why) => {
                self.0.push(BadPattern { key, why });
                None
            }
            None => compiled.ok(),
        }
    }
}

impl Log {
    /// Every fault, not only the first. `readiness.pattern` counts where readiness is proved by the log.
    pub fn compile(patterns: &LogPatterns, readiness: &Readiness) -> Result<Log, Vec<BadPattern>> {
        const PLAYER: RequiredGroups = RequiredGroups::OneOf(&["id", "name"]);
        let LogPatterns { ready, player_joined, player_left, map_changed, match_started, match_ended } = patterns;
        // How long is waited is the core's.
        let Readiness { by, pattern, timeout: _, delay: _ } = readiness;
        let mut compiler = Compiler(Vec::new());
        let proof = pattern.as_ref().filter(|_| *by == ReadyBy::Log);
        let proofs = [
            compiler.pattern("game.readiness.pattern", proof, &RequiredGroups::Nothing),
            compiler.pattern("log_patterns.ready", ready.as_ref(), &RequiredGroups::Nothing),
        ];
        if *by == ReadyBy::Log && proof.is_none() && ready.is_none() {
            let why = "readiness is proved by the log, so a pattern is needed".to_owned();
            compiler.0.push(BadPattern { key: "game.readiness.pattern", why });
        }
        let log = Log {
            ready: proofs.into_iter().flatten().collect(),
            joined: compiler.pattern("log_patterns.player_joined", player_joined.as_ref(), &PLAYER),
            left: compiler.pattern("log_patterns.player_left", player_left.as_ref(), &PLAYER),
            map: compiler.pattern("log_patterns.map_changed", map_changed.as_ref(), &RequiredGroups::OneOf(&["map"])),
            started: compiler.pattern("log_patterns.match_started", match_started.as_ref(), &RequiredGroups::Nothing),
            ended: compiler.pattern("log_patterns.match_ended", match_ended.as_ref(), &RequiredGroups::Nothing),
            present: Vec::new(),
        };
        if compiler.0.is_empty() { Ok(log) } else { Err(compiler.0) }
    }

    /// Without a pattern: nobody needs to read the game's output.
    pub fn is_empty(&self) -> bool {
        let others = [&self.joined, &self.left, &self.map, &self.started, &self.ended];
        self.ready.is_empty() && others.into_iter().all(Option::is_none)
    }

    /// What this line means.
    pub fn line(&mut self, line: &str) -> Vec<Observation> {
        let line = shown(line);
        let line = beginning(&line);
        let mut found = Vec::new();
        if self.ready.iter().any(|pattern| pattern.is_match(line)) {
            found.push(Observation::Evidence(Evidence::Up));
        }
        let captures = |pattern: &Option<Regex>| pattern.as_ref().and_then(|pattern| pattern.captures(line));
        let (joined, left) = (captures(&self.joined), captures(&self.left));
        let said = [
            joined.and_then(|captures| self.player_joined(&captures)),
            left.and_then(|captures| self.player_left(&captures)),
            captures(&self.map).and_then(|captures| {
                Some(GameEvent::Map { map: Some(group(&captures, "map")?), mode: group(&captures, "mode") })
            }),
            captures(&self.started).map(|captures| GameEvent::MatchStarted {
                match_id: group(&captures, "match").and_then(|id| MatchId::new(id).ok()),
            }),
            captures(&self.ended).map(|_| GameEvent::MatchEnded { allocation: None }),
        ];
        found.extend(said.into_iter().flatten().map(Observation::GameEvent));
        found
    }

    fn player_joined(&mut self, captures: &Captures<'_>) -> Option<GameEvent> {
        let name = group(captures, "name");
        let id = group(captures, "id").or_else(|| name.clone())?;
        let team = group(captures, "team").and_then(|team| team.parse().ok());
        let player = GamePlayer { id, name, team };
        if self.present.contains(&player) {
            // Some games print the same line again whenever anything about a player changes.
            return None;
        }
        self.present.retain(|other| other.id != player.id);
        if self.present.len() < MAX_PLAYERS {
            self.present.push(player.clone());
        }
        Some(GameEvent::PlayerJoined(player))
    }

    fn player_left(&mut self, captures: &Captures<'_>) -> Option<GameEvent> {
        let (id, name) = (group(captures, "id"), group(captures, "name"));
        let at = self.present.iter().position(|player| Some(&player.id) == id.as_ref());
        let at = at.or_else(|| self.present.iter().position(|player| name.is_some() && player.name == name));
        let known = at.map(|at| self.present.remove(at).id);
        Some(GameEvent::PlayerLeft { id: known.or(id).or(name)? })
    }
}

/// A group's text, without control characters; none if it is empty.
fn group(captures: &Captures<'_>, name: &str) -> Option<String> {
    let text = printable(captures.name(name)?.as_str(), MAX_TEXT);
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(patterns: &LogPatterns) -> Log {
        Log::compile(patterns, &Readiness::default()).unwrap()
    }
    fn player(id: &str, name: Option<&str>) -> GamePlayer {
        GamePlayer { id: id.to_owned(), name: name.map(str::to_owned), team: None }
    }

    #[test]
    fn lines_say_what_the_patterns_make_of_them() {
        let mut log = log(&LogPatterns {
            ready: Some("^ready".to_owned()),
            player_joined: Some(r"^join (?P<name>\w+) as (?P<id>\d+)(?: team (?P<team>\d+))?".to_owned()),
            player_left: Some(r"^left (?P<id>\d+)".to_owned()),
            map_changed: Some(r"^map (?P<map>\S+)(?: (?P<mode>\S+))?".to_owned()),
            match_started: Some(r"^match(?: (?P<match>\S+))?$".to_owned()),
            match_ended: Some("^over".to_owned()),
        });
        assert!(!log.is_empty());
        let rows: [(&str, &[Observation]); 8] = [
            ("ready: map harbour", &[Observation::Evidence(Evidence::Up)]),
            (
                "join Pia as 7 team 2",
                &[Observation::GameEvent(GameEvent::PlayerJoined(GamePlayer {
                    team: Some(2),
                    ..player("7", Some("Pia"))
                }))],
            ),
            ("left 7", &[Observation::GameEvent(GameEvent::PlayerLeft { id: "7".to_owned() })]),
            (
                "map a b",
                &[Observation::GameEvent(GameEvent::Map { map: Some("a".to_owned()), mode: Some("b".to_owned()) })],
            ),
            ("match", &[Observation::GameEvent(GameEvent::MatchStarted { match_id: None })]),
            ("match m", &[Observation::GameEvent(GameEvent::MatchStarted { match_id: Some("m".parse().unwrap()) })]),
            ("over and out", &[Observation::GameEvent(GameEvent::MatchEnded { allocation: None })]),
            ("nothing of interest", &[]),
        ];
        for (line, expected) in rows {
            assert_eq!(log.line(line), expected, "{line}");
        }
    }

    #[test]
    fn a_line_is_matched_as_a_terminal_shows_it() {
        let rows = [
            ("\u{1b}[32m[INFO]\u{1b}[0m Done", "[INFO] Done"),
            ("loading 10%\rloading 99%\r\u{1b}[2KDone\r", "Done"),
            ("\u{1b}]0;my server\u{7}> \u{1b}(BDone", "> Done"),
            ("\u{1b}]0;my server\u{1b}\\Done", "Done"),
            ("\u{9b}1;31mD\u{1b}[morné \u{1b}", "Dorné "),
            ("plain", "plain"),
            ("\u{1b}[", ""),
            ("\r\r", ""),
        ];
        for (line, expected) in rows {
            assert_eq!(shown(line), expected, "{line:?}");
        }
        let patterns = LogPatterns { ready: Some("^Done$".to_owned()), ..LogPatterns::default() };
        assert_eq!(log(&patterns).line("1%\r\u{1b}[1mDone\u{1b}[0m"), [Observation::Evidence(Evidence::Up)]);
    }

    #[test]
    fn who_came_with_a_number_may_leave_by_name() {
        let mut log = log(&LogPatterns {
            player_joined: Some(r"^(?P<id>\d+) is (?P<name>\w+)".to_owned()),
            player_left: Some(r"^(?:slot (?P<id>\d+)|(?P<name>\w+)) gone".to_owned()),
            ..LogPatterns::default()
        });
        log.line("7 is Pia");
        assert_eq!(log.line("Pia gone"), [Observation::GameEvent(GameEvent::PlayerLeft { id: "7".to_owned() })]);
        log.line("8 is Olu");
        assert_eq!(log.line("8 is Olu"), [], "once is enough");
        assert_eq!(log.line("slot 8 gone"), [Observation::GameEvent(GameEvent::PlayerLeft { id: "8".to_owned() })]);
        assert_eq!(
            log.line("Nobody gone"),
            [Observation::GameEvent(GameEvent::PlayerLeft { id: "Nobody".to_owned() })]
        );
    }

    #[test]
    fn every_bad_pattern_is_named() {
        let patterns = LogPatterns {
            ready: Some("(".to_owned()),
            player_joined: Some("joined".to_owned()),
            player_left: Some("(?P<id>.*)".to_owned()),
            map_changed: Some(r"(?P<mode>\w+)!".to_owned()),
            ..LogPatterns::default()
        };
        let by_log = Readiness { by: ReadyBy::Log, ..Readiness::default() };
        let faults = Log::compile(&patterns, &by_log).unwrap_err();
        let keys: Vec<_> = faults.iter().map(|fault| fault.key).collect();
        assert_eq!(
            keys,
            [
                "log_patterns.ready",
                "log_patterns.player_joined",
                "log_patterns.player_left",
                "log_patterns.map_changed"
            ]
        );
        let faults = Log::compile(&LogPatterns::default(), &by_log).unwrap_err();
        assert_eq!(faults[0].key, "game.readiness.pattern");
        assert!(Log::compile(&LogPatterns::default(), &Readiness::default()).unwrap().is_empty());
    }

    /// The example's patterns, and those in its comments.
    fn shipped(name: &str) -> LogPatterns {
        let path = format!("{}/config/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let lines = text.lines().map(|line| line.trim_start_matches(['#', ' ']));
        let value =
            |line: &str| line.split_once(" = '").and_then(|(_, rest)| rest.strip_suffix('\'').map(str::to_owned));
        let mut patterns = LogPatterns::default();
        for line in lines {
            let place = match line.split(' ').next().unwrap_or_default() {
                "pattern" | "ready" => &mut patterns.ready,
                "player_joined" => &mut patterns.player_joined,
                "player_left" => &mut patterns.player_left,
                "map_changed" => &mut patterns.map_changed,
                "match_ended" => &mut patterns.match_ended,
                _ => continue,
            };
            *place = value(line).or(place.take());
        }
        patterns
    }

    #[test]
    fn no_chat_and_no_name_is_taken_for_the_servers_own_line_in_any_example() {
        let minecraft = [
            "[12:00:00] [Server thread/INFO]: ",
            "[12:00:00 INFO]: ",
            "[12:00:00] [Server thread/INFO] [minecraft/DedicatedServer]: ",
        ];
        let of_minecraft = |text: &str| minecraft.map(|prefix| format!("{prefix}{text}")).to_vec();
        let own = |name: &str| match name {
            "minecraft" => ["Ann joined the game", "Ann left the game", "Done (3.1s)!"]
                .into_iter()
                .flat_map(of_minecraft)
                .collect(),
            "openarena" => [
                r"ClientUserinfoChanged: 0 n\Ann\t\0",
                "ClientDisconnect: 0",
                r"InitGame: \mapname\oa_dm1",
                "Exit: Timelimit hit.",
                "AAS initialized.",
            ]
            .map(str::to_owned)
            .to_vec(),
            _ => Vec::new(),
        };
        let said = |text: &str| {
            [
                format!("[12:00:00] [Server thread/INFO]: <Eve> {text}"),
                format!("[12:00:00] [Async Chat Thread - #0/INFO]: <Eve> {text}"),
                format!("[12:00:00 INFO]: [Not Secure] <Eve> {text}"),
                format!("[12:00:00] [Server thread/INFO]: * Eve {text}"),
                format!("[12:00:00] [Server thread/INFO]: [Eve] {text}"),
                format!("say: Eve: {text}"),
                format!("sayteam: Eve: {text}"),
                format!("broadcast: print \"{text} connected\""),
                format!("Eve: {text}"),
                format!("<Eve> {text}"),
                format!(" {text}"),
            ]
        };
        let mut with_patterns = 0;
        for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/config")).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            if path.extension().is_none_or(|extension| extension != "toml") || name == "agent" || name == "sessions" {
                continue;
            }
            let patterns = shipped(&name);
            let compile = || log(&patterns);
            let lines: Vec<String> = own(&name);
            with_patterns += usize::from(!compile().is_empty());
            assert_eq!(compile().is_empty(), lines.is_empty(), "{name} has patterns that no line here is for");
            for line in &lines {
                assert_ne!(compile().line(line), [], "{name}: {line}");
                let tails = [line.clone(), line.split("]: ").last().unwrap().to_owned(), format!("INFO]: {line}")];
                for hostile in tails.iter().flat_map(|tail| said(tail)) {
                    assert_eq!(compile().line(&hostile), [], "{name}: {hostile}");
                }
            }
        }
        assert_eq!(with_patterns, 2);
    }

    #[test]
    fn strange_lines_do_no_harm() {
        let mut log =
            log(&LogPatterns { player_joined: Some(r"join (?P<name>.+)$".to_owned()), ..LogPatterns::default() });
        let long = format!("join {}", "ä".repeat(10_000));
        assert!(log.line(&long).len() <= 1);
        assert_eq!(log.line("join \u{1b}\u{7}"), []);
    }
}
