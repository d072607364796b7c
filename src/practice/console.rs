//! Commands on stdin, and of admins over UDP.

use super::options::Trouble;

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
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
    Misbehave(Trouble),
}

pub const HELP: &str = "commands: say TEXT | map NAME [MODE] | start | end | kick NAME | open | close | status | quit | help\n\
misbehave: hang | crash [panic|abort|segv|CODE] | leak SIZE | spam LINES | refuse-sigterm | slow-ticks PERCENT";

impl std::str::FromStr for Command {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let (word, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        let rest = rest.trim();
        let wanted = |what: &str| format!("{word} wants {what}; try help");
        Ok(match word {
            "say" if rest.is_empty() => return Err(wanted("a text")),
            "say" => Command::Say(rest.to_owned()),
            "map" | "kick" if rest.is_empty() => return Err(wanted("a name")),
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

fn misbehave(word: &str, rest: &str) -> Result<Command, String> {
    let mut trouble = Trouble::default();
    let known = match word {
        "hang" => trouble.set("hang-after", "0")?,
        "crash" => {
            let how = if rest.is_empty() { "abort" } else { rest };
            trouble.set("crash-how", how)? && trouble.set("crash-after", "0")?
        }
        "leak" | "spam" | "refuse-sigterm" | "slow-ticks" => trouble.set(word, rest)?,
        _ => false,
    };
    if known { Ok(Command::Misbehave(trouble)) } else { Err(format!("no command {word:?}; try help")) }
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
        let Ok(Command::Misbehave(trouble)) = "crash 3".parse() else { panic!() };
        assert_eq!((trouble.crash_how, trouble.crash_after), (CrashHow::Exit(3), Some(Duration::ZERO)));
        for (line, why) in [("say", "wants a text"), ("dance", "no command"), ("", "no command"), ("leak much", "leak")]
        {
            let error = line.parse::<Command>().unwrap_err();
            assert!(error.contains(why), "{line}: {error}");
        }
    }
}
