//! Instants. The core gets [`Now`] with every input and reads no clock of its own.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, ops::Add, time::Duration};

/// The three clocks at one moment.
///
/// `mono` (CLOCK_MONOTONIC) stops while the machine is suspended and drives every deadline within a life of the
/// process; `boot` (CLOCK_BOOTTIME) goes on, so their difference shows a suspend; `wall` goes into reports and the
/// journal, and is never used to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    pub boot: Duration,
    pub mono: Instant,
    pub wall: Timestamp,
    /// Of which `boot` and `mono` are.
    pub boot_id: BootId,
}

/// A boot of the machine: what its clocks say means nothing in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootId(pub uuid::Uuid);

/// A point on the monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub Duration);

impl Instant {
    /// How long after `earlier` this is; zero if it isn't.
    pub fn since(self, earlier: Instant) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;
    fn add(self, span: Duration) -> Instant {
        Instant(self.0.saturating_add(span))
    }
}

/// A wall-clock time as the Session API writes it: RFC 3339, milliseconds, `Z`. Reads an offset or Unix seconds;
/// without either it is an error. It lies in the years 0 to 9999, which are all that RFC 3339 can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, schema(value_type = String, format = DateTime))]
pub struct Timestamp(pub DateTime<Utc>);

impl Timestamp {
    pub const EPOCH: Timestamp = Timestamp(DateTime::UNIX_EPOCH);
    /// `0000-01-01T00:00:00.000Z`
    pub const MIN: Timestamp = Timestamp(DateTime::from_timestamp_millis(-62_167_219_200_000).expect("a constant"));
    /// `9999-12-31T23:59:59.999Z`
    pub const MAX: Timestamp = Timestamp(DateTime::from_timestamp_millis(253_402_300_799_999).expect("a constant"));

    /// None: not in the years 0 to 9999.
    pub fn from_unix_millis(millis: i64) -> Option<Self> {
        DateTime::from_timestamp_millis(millis).and_then(Self::within)
    }
    fn within(at: DateTime<Utc>) -> Option<Self> {
        (Self::MIN.0..=Self::MAX.0).contains(&at).then_some(Timestamp(at))
    }
    pub fn unix_millis(self) -> i64 {
        self.0.timestamp_millis()
    }
    /// How long after `earlier` this is; zero if it isn't.
    pub fn since(self, earlier: Timestamp) -> Duration {
        (self.0 - earlier.0).to_std().unwrap_or_default()
    }
    /// `span` later, at most [`Self::MAX`].
    pub fn plus(self, span: Duration) -> Timestamp {
        let span = chrono::TimeDelta::from_std(span).unwrap_or(chrono::TimeDelta::MAX);
        self.0.checked_add_signed(span).and_then(Self::within).unwrap_or(Self::MAX)
    }
    /// `span` earlier, at least [`Self::MIN`].
    pub fn minus(self, span: Duration) -> Timestamp {
        let span = chrono::TimeDelta::from_std(span).unwrap_or(chrono::TimeDelta::MAX);
        self.0.checked_sub_signed(span).and_then(Self::within).unwrap_or(Self::MIN)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Timestamp;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an RFC 3339 date-time with an offset, or Unix seconds, in the years 0 to 9999")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Timestamp, E> {
                let at = DateTime::parse_from_rfc3339(text).ok();
                at.and_then(|at| Timestamp::within(at.with_timezone(&Utc)))
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
            fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Timestamp, E> {
                DateTime::from_timestamp(seconds, 0)
                    .and_then(Timestamp::within)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Signed(seconds), &self))
            }
            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Timestamp, E> {
                i64::try_from(seconds)
                    .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(seconds), &self))
                    .and_then(|seconds| self.visit_i64(seconds))
            }
            fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Timestamp, E> {
                Timestamp::from_unix_millis((seconds * 1000.0) as i64)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Float(seconds), &self))
            }
        }
        from.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, from_value, json};

    #[test]
    fn every_time_can_be_written_and_read_again() {
        let day = Duration::from_secs(86_400);
        let far = [
            Timestamp::MIN,
            Timestamp::MAX,
            Timestamp::EPOCH.plus(Duration::MAX),
            Timestamp::EPOCH.minus(Duration::MAX),
        ];
        for at in far.into_iter().chain([Timestamp::MAX.plus(day), Timestamp::MIN.minus(day)]) {
            let text = serde_json::to_value(at).unwrap();
            assert_eq!(from_value::<Timestamp>(text.clone()).unwrap(), at, "{text}");
        }
        assert_eq!(Timestamp::MAX.to_string(), "9999-12-31T23:59:59.999Z");
        assert_eq!(Timestamp::MIN.to_string(), "0000-01-01T00:00:00.000Z");
    }

    #[test]
    fn what_lies_outside_the_years_0_to_9999_is_no_time() {
        let outside: [Value; 8] = [
            json!(253_402_300_800_i64),
            json!(1_893_456_000_000_i64),
            json!(i64::MAX),
            json!(u64::MAX),
            json!(-62_167_219_201_i64),
            json!(1e300),
            json!("9999-12-31T23:59:59-14:00"),
            json!("0000-01-01T00:00:00+14:00"),
        ];
        for value in outside {
            let error = from_value::<Timestamp>(value.clone()).unwrap_err().to_string();
            assert!(error.contains("in the years 0 to 9999"), "{value}: {error}");
        }
        assert_eq!(Timestamp::from_unix_millis(253_402_300_800_000), None);
    }
}
