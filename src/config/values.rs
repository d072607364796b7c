//! Values with a syntax of their own.

use crate::model::units::text_value;
use serde::{Deserialize, Serialize};
use std::{fmt, num::NonZeroU16, ops::RangeInclusive, str::FromStr};

/// One port (`"27960"`) or a range to pick a free one from (`"27960-27999"`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortRange {
    first: NonZeroU16,
    last: NonZeroU16,
}

/// A text that is no port and no range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPortRange {
    #[error("expected a port such as \"27960\" or a range such as \"27960-27999\", each from 1 to 65535, found {0:?}")]
    Syntax(String),
    #[error("expected a range whose first port isn't above its last, found {0:?}")]
    Reversed(String),
}

impl PortRange {
    /// From `first` to `last`, both included; `None` if that is empty or holds port 0.
    pub fn new(first: u16, last: u16) -> Option<Self> {
        let range = PortRange { first: NonZeroU16::new(first)?, last: NonZeroU16::new(last)? };
        (range.first <= range.last).then_some(range)
    }
    pub fn ports(self) -> RangeInclusive<u16> {
        self.first.get()..=self.last.get()
    }
    /// One port only: it must be free, nothing else will do.
    pub fn is_fixed(self) -> bool {
        self.first == self.last
    }
}

impl FromStr for PortRange {
    type Err = BadPortRange;
    fn from_str(text: &str) -> Result<Self, BadPortRange> {
        let port = |part: &str| part.trim().parse::<NonZeroU16>().map_err(|_| BadPortRange::Syntax(text.to_owned()));
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (port(first)?, port(last)?),
            None => (port(text)?, port(text)?),
        };
        if first > last {
            return Err(BadPortRange::Reversed(text.to_owned()));
        }
        Ok(PortRange { first, last })
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_fixed() { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

/// A signal by its name, with or without `SIG`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Signal(i32);

/// A text that is no signal that may be sent to a game.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a signal such as \"SIGTERM\", \"SIGINT\", \"SIGQUIT\", \"SIGHUP\", \"SIGUSR1\" or \"SIGUSR2\", found {0:?}"
)]
pub struct BadSignal(String);

const SIGNALS: [(&str, i32); 7] = [
    ("SIGHUP", libc::SIGHUP),
    ("SIGINT", libc::SIGINT),
    ("SIGQUIT", libc::SIGQUIT),
    ("SIGKILL", libc::SIGKILL),
    ("SIGUSR1", libc::SIGUSR1),
    ("SIGUSR2", libc::SIGUSR2),
    ("SIGTERM", libc::SIGTERM),
];

impl Signal {
    pub const TERM: Signal = Signal(libc::SIGTERM);

    /// What it is called, of those that may be sent to a game.
    pub fn name(number: i32) -> Option<&'static str> {
        SIGNALS.iter().find(|(_, known)| *known == number).map(|(name, _)| *name)
    }

    pub fn number(self) -> i32 {
        self.0
    }
}

impl FromStr for Signal {
    type Err = BadSignal;
    fn from_str(text: &str) -> Result<Self, BadSignal> {
        SIGNALS
            .iter()
            .find(|(name, _)| text == *name || name.strip_prefix("SIG") == Some(text))
            .map(|(_, number)| Signal(*number))
            .ok_or_else(|| BadSignal(text.to_owned()))
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Signal::name(self.0).unwrap_or("SIGTERM"))
    }
}

text_value!(PortRange, BadPortRange, "a port, or a range of ports: \"27960\", \"27960-27999\"");
text_value!(Signal, BadSignal, "a signal by name: \"SIGTERM\"");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_ranges_survive_a_round_trip() {
        for text in ["27960", "27960-27999", "1-65535"] {
            assert_eq!(text.parse::<PortRange>().unwrap().to_string(), text);
        }
        assert!("27960".parse::<PortRange>().unwrap().is_fixed());
    }

    #[test]
    fn bad_port_ranges_are_refused() {
        for text in ["", "0", "-", "70000", "1-", "x", "1-2-3"] {
            assert!(matches!(text.parse::<PortRange>(), Err(BadPortRange::Syntax(_))), "{text}");
        }
        assert!(matches!("9-1".parse::<PortRange>(), Err(BadPortRange::Reversed(_))));
    }

    #[test]
    fn signals_go_by_name() {
        for text in ["SIGINT", "INT"] {
            assert_eq!(text.parse::<Signal>().unwrap().number(), libc::SIGINT);
        }
        assert_eq!(Signal::TERM.to_string(), "SIGTERM");
        assert!("SIGSTOP".parse::<Signal>().is_err());
    }
}
