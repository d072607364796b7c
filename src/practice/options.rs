//! What the practice game can be told.
//!
//! On the command line, and by the session's `misc_params` in the same words:
//! `?crash-after=5s?crash-how=segv` or `crash-after=5s crash-how=segv`. What isn't said there comes
//! from the environment that the agent gives (`GAMESIDE_MAP`, `GAMESIDE_PORT_GAME`, …), then from
//! the defaults.

use crate::{
    model::units::{Size, Span},
    net::Client,
};
use std::{net::IpAddr, net::SocketAddr, time::Duration};

pub(crate) const DEFAULT_MAP: &str = "harbour";
pub(crate) const DEFAULT_MODE: &str = "duel";
pub(crate) const DEFAULT_PORT: u16 = 7777;

/// A server.
#[derive(Debug, Clone)]
pub(crate) struct ServeOptions {
    pub bind: IpAddr,
    pub port: u16,
    pub map: String,
    pub mode: String,
    pub misc: String,
    pub places: usize,
    /// Ticks per second.
    pub tick_rate: u32,
    pub player_timeout: Duration,
    /// A match ends by itself after this long; none = never.
    pub match_time: Option<Duration>,
    pub join_token: Option<String>,
    pub admin_password: Option<String>,
    pub version: Option<semver::Version>,
    /// It is allocated from the start, and doesn't wait for an `allocated` event.
    pub allocation: Option<String>,
    pub api: Option<Client>,
    pub faults: Faults,
}

/// An option that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OptionError {
    #[error("expected panic, abort, segv or an exit code, found {found:?}")]
    CrashHow { found: String },
    #[error("{key}: {why}")]
    Value { key: String, why: String },
}

/// The faults that are injected.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Faults {
    /// Stops doing anything, after this long; it doesn't even notice SIGTERM.
    pub hang_after: Option<Duration>,
    pub crash_after: Option<Duration>,
    pub crash_how: CrashHow,
    /// It goes to the background: the first process ends with 0, and another goes on.
    pub daemonise: Daemon,
    /// Bytes a second that are never given back.
    pub leak: Option<u64>,
    pub refuse_sigterm: Sigterm,
    /// Sleeping processes in sessions of their own.
    pub fork_helpers: u32,
    /// Lines a second.
    pub spam: Option<u32>,
    pub start_delay: Option<Duration>,
    pub never_ready: Readiness,
    /// Ends with this code before it is ready.
    pub exit_during_start: Option<i32>,
    /// Share of the tick rate that it reaches, in percent.
    pub slow_ticks: Option<u32>,
}

/// How it crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum CrashHow {
    Panic,
    #[default]
    Abort,
    Segv,
    Exit(i32),
}

/// Whether it goes to the background.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Daemon {
    #[default]
    No,
    Yes,
}

/// Whether it obeys SIGTERM and `stop`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Sigterm {
    #[default]
    Obeyed,
    Ignored,
}

/// Whether it ever says that it is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Readiness {
    #[default]
    Normal,
    Never,
}

/// A player, or a few bots.
#[derive(Debug, Clone)]
pub struct JoinOptions {
    pub server: SocketAddr,
    pub name: String,
    pub uuid: Option<uuid::Uuid>,
    pub token: Option<String>,
    /// Leaves after this long; none = stays until interrupted.
    pub stay: Option<Duration>,
    /// How many; more than one are bots with numbered names.
    pub count: u32,
    /// Said once after the welcome.
    pub say: Option<String>,
}

impl std::str::FromStr for CrashHow {
    type Err = OptionError;
    fn from_str(text: &str) -> Result<Self, OptionError> {
        match text {
            "panic" => Ok(CrashHow::Panic),
            "abort" => Ok(CrashHow::Abort),
            "segv" => Ok(CrashHow::Segv),
            code => code.parse().map(CrashHow::Exit).map_err(|_| OptionError::CrashHow { found: text.to_owned() }),
        }
    }
}

impl Faults {
    /// Takes one `key` or `key=value`, as on the command line; `Ok(false)` if the key is none of these.
    pub(crate) fn set(&mut self, key: &str, value: &str) -> Result<bool, OptionError> {
        fn parsed<T: std::str::FromStr>(key: &str, value: &str) -> Result<T, OptionError>
        where
            T::Err: std::fmt::Display,
        {
            value.parse().map_err(|error: T::Err| OptionError::Value { key: key.to_owned(), why: error.to_string() })
        }
        let span = |value: &str| parsed::<Span>(key, value).map(|span| Some(span.get()));
        match key {
            "hang-after" => self.hang_after = span(value)?,
            "crash-after" => self.crash_after = span(value)?,
            "crash-how" => self.crash_how = parsed(key, value)?,
            "daemonise" => self.daemonise = Daemon::Yes,
            "leak" => self.leak = Some(parsed::<Size>(key, value)?.0),
            "refuse-sigterm" => self.refuse_sigterm = Sigterm::Ignored,
            "fork-helpers" => self.fork_helpers = parsed(key, value)?,
            "spam" => self.spam = Some(parsed(key, value)?),
            "start-delay" => self.start_delay = span(value)?,
            "never-ready" => self.never_ready = Readiness::Never,
            "exit-during-start" => {
                self.exit_during_start = Some(if value.is_empty() { 1 } else { parsed(key, value)? });
            }
            "slow-ticks" => self.slow_ticks = Some(parsed(key, value)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Takes everything from a `misc` text; returns the words that it doesn't know or can't read.
    pub(crate) fn apply_misc(&mut self, misc: &str) -> Vec<String> {
        let words = misc.split(['?', ' ']).map(|word| word.trim_start_matches("--")).filter(|word| !word.is_empty());
        let mut strange = Vec::new();
        for word in words {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            match self.set(key, value) {
                Ok(true) => {}
                Ok(false) => strange.push(word.to_owned()),
                Err(why) => strange.push(why.to_string()),
            }
        }
        strange
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misc_says_what_the_command_line_says() {
        let mut faults = Faults::default();
        let strange = faults.apply_misc("?crash-after=5s?crash-how=segv --leak=10MiB never-ready?NumBots=3?spam=x");
        assert_eq!(faults.crash_after, Some(Duration::from_secs(5)));
        assert_eq!((faults.crash_how, faults.leak), (CrashHow::Segv, Some(10 << 20)));
        assert_eq!(faults.never_ready, Readiness::Never);
        assert_eq!(strange, ["NumBots=3", "spam: invalid digit found in string"]);
        assert_eq!("7".parse(), Ok(CrashHow::Exit(7)));
        assert!("loudly".parse::<CrashHow>().is_err());
    }
}
