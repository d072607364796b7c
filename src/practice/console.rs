//! Commands on stdin, and of admins over UDP.

use super::options::{Faults, OptionError};

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    Say(String),
    Map(String, Option<String>),
    Start,
    End,
    Kick(String),
    Open,
    Close,
    Status,
    Quit,
    Help,
    /// From now on, as on the command line.
    Misbehave(Faults),
}

pub(crate) const HELP: &str = "commands: say TEXT | map NAME [MODE] | start | end | kick NAME | open | close | status | quit | help\n\
misbehave: hang | crash [panic|abort|segv|CODE] | leak SIZE | spam LINES | refuse-sigterm | slow-ticks PERCENT";

/// A line that is no command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CommandError {
    #[error("{command} wants {what}; try help")]
    Lacks { command: String, what: &'static str },
    #[error("no command {0:?}; try help")]
    Unknown(String),
    #[error(transparent)]
    Option(#[from] OptionError),
}

impl std::str::FromStr for Command {
    type Err = CommandError;

    fn from_str(line: &str) -> Result<Self, CommandError> {
        let (word, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        let rest = rest.trim();
        let lacks = |what| CommandError::Lacks { command: word.to_owned(), what };
        Ok(match word {
            "say" if rest.is_empty() => return Err(lacks("a text")),
            "say" => Command::Say(rest.to_owned()),
            "map" | "kick" if rest.is_empty() => return Err(lacks("a name")),
            "map" => match rest.split_once(' ') {
                Some((map, mode)) => Command::Map(map.to_owned(), Some(mode.trim().to_owned())),
                None => Command::Map(rest.to_owned(), None),
            },
            "kick" => Command::Kick(rest.to_owned()),
            "start" => Command::Start,
            "end" => Command::End,
            "open" => Command::Open,
            "close" => Command::Close,
            "status" => Command::Status,
            "quit" | "exit" => Command::Quit,
            "help" | "?" => Command::Help,
            _ => return misbehave(word, rest),
        })
    }
}

fn misbehave(word: &str, rest: &str) -> Result<Command, CommandError> {
    let mut faults = Faults::default();
    let known = match word {
        "hang" => faults.set("hang-after", "0")?,
        "crash" => {
            let how = if rest.is_empty() { "abort" } else { rest };
            faults.set("crash-how", how)? && faults.set("crash-after", "0")?
        }
        "leak" | "spam" | "refuse-sigterm" | "slow-ticks" => faults.set(word, rest)?,
        _ => false,
    };
    if known { Ok(Command::Misbehave(faults)) } else { Err(CommandError::Unknown(word.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::practice::options::CrashHow;
    use std::time::Duration;

    #[test]
    fn commands_are_understood_or_explained() {
        assert_eq!(" say  hello there ".parse(), Ok(Command::Say("hello there".to_owned())));
        assert_eq!("map foundry".parse(), Ok(Command::Map("foundry".to_owned(), None)));
        assert_eq!("map foundry  siege".parse(), Ok(Command::Map("foundry".to_owned(), Some("siege".to_owned()))));
        let Ok(Command::Misbehave(faults)) = "crash 3".parse() else { panic!() };
        assert_eq!((faults.crash_how, faults.crash_after), (CrashHow::Exit(3), Some(Duration::ZERO)));
        for (line, why) in [("say", "wants a text"), ("dance", "no command"), ("", "no command"), ("leak much", "leak")]
        {
            let error = line.parse::<Command>().unwrap_err().to_string();
            assert!(error.contains(why), "{line}: {error}");
        }
    }
}
