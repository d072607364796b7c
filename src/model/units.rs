//! Durations and sizes as people write them in a configuration: `"30s"`, `"1h30m"`, `"512MiB"`.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, time::Duration};

/// A duration written with its unit: `ms`, `s`, `m`, `h`, `d`, and sums of them (`1h30m`). `0` alone is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(pub Duration);

/// A size written with its unit: `B`, `KiB`, `MiB`, `GiB` (1024) or `kB`, `MB`, `GB` (1000).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Size(pub u64);

/// A text that is no duration or no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadUnit {
    #[error("expected a duration such as \"30s\", \"500ms\" or \"1h30m\", found {0:?}")]
    Span(String),
    #[error("expected a size such as \"512MiB\" or \"64kB\", found {0:?}")]
    Size(String),
}

const SPAN_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
const SIZE_UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
    ("B", 1),
];

impl Span {
    pub const fn from_secs(seconds: u64) -> Self {
        Span(Duration::from_secs(seconds))
    }
    pub const fn from_millis(millis: u64) -> Self {
        Span(Duration::from_millis(millis))
    }
    pub const fn get(self) -> Duration {
        self.0
    }
}

/// Splits off a leading run of digits and the run of letters behind it.
fn number_and_unit(text: &str) -> Option<(u64, &str, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let rest = &text[digits..];
    let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    Some((text[..digits].parse().ok()?, &rest[..letters], &rest[letters..]))
}

fn unit_factor(units: &[(&str, u64)], unit: &str) -> Option<u64> {
    units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor)
}

impl FromStr for Span {
    type Err = BadUnit;
    fn from_str(text: &str) -> Result<Self, BadUnit> {
        let bad = || BadUnit::Span(text.to_owned());
        if text == "0" {
            return Ok(Span(Duration::ZERO));
        }
        let (mut rest, mut millis) = (text, 0u64);
        while !rest.is_empty() {
            let (number, unit, behind) = number_and_unit(rest).ok_or_else(bad)?;
            let factor = unit_factor(&SPAN_UNITS, unit).ok_or_else(bad)?;
            millis = number.checked_mul(factor).and_then(|n| millis.checked_add(n)).ok_or_else(bad)?;
            rest = behind;
        }
        if text.is_empty() { Err(bad()) } else { Ok(Span(Duration::from_millis(millis))) }
    }
}

impl FromStr for Size {
    type Err = BadUnit;
    fn from_str(text: &str) -> Result<Self, BadUnit> {
        let bad = || BadUnit::Size(text.to_owned());
        match number_and_unit(text) {
            Some((number, unit, "")) => {
                let factor = unit_factor(&SIZE_UNITS, unit).ok_or_else(bad)?;
                number.checked_mul(factor).map(Size).ok_or_else(bad)
            }
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if millis == 0 {
            return f.write_str("0s");
        }
        for (unit, factor) in SPAN_UNITS {
            let count = millis / factor;
            if count > 0 {
                write!(f, "{count}{unit}")?;
                millis %= factor;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = SIZE_UNITS
            .into_iter()
            .find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor))
            .unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

/// Makes a type with `FromStr` and `Display` a text on the wire and in the configuration's schema.
macro_rules! text_value {
    ($name:ident, $error:ident, $description:literal) => {
        impl TryFrom<String> for $name {
            type Error = $error;
            fn try_from(text: String) -> Result<Self, $error> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.to_string()
            }
        }
        #[cfg(test)]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": "string", "description": $description})
            }
        }
    };
}
pub(crate) use text_value;
text_value!(Span, BadUnit, "a duration with its unit: 500ms, 30s, 1h30m");
text_value!(Size, BadUnit, "a size with its unit: 64kB, 512MiB");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_sizes_survive_a_round_trip() {
        for text in ["500ms", "30s", "1h30m", "2d", "1m1s"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        for text in ["512MiB", "1GiB", "64kB", "3B"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_has_no_unit_or_overflows_is_refused() {
        for text in ["", "30", "s", "1x", "1.5h", "99999999999999999999s", "-1s", "1h 30m"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
        for text in ["", "512", "MiB", "1TiB", "1MiB2B", "99999999999999999999B"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }
}
