//! The agent's own log: for people on stderr, as JSON lines, or straight into the journal under
//! systemd.
//!
//! Levels: WARN is for what should wake somebody; INFO for what happens once a match; DEBUG for the
//! rest. In a terminal the timeline already tells the story, so only WARN and above is shown there.

use crate::model::policy::LogFormat as Format;
use std::{fmt, io::IsTerminal, os::unix::fs::MetadataExt};
use tracing_subscriber::{
    EnvFilter, Registry, filter::LevelFilter, layer::SubscriberExt, reload, util::SubscriberInitExt,
};

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoLog {
    #[error(
        "{filter:?} is no log filter: use a level (error, warn, info, debug, trace) or directives such as \"warn,gameside::session_api=debug\""
    )]
    Filter { filter: String },
    #[error("could not reach systemd's journal: {0}; choose another log format")]
    Journal(std::io::Error),
    #[error("a log was already set up in this process")]
    Twice,
}

/// Changes the level later (a reload).
#[derive(Clone)]
pub(crate) struct Telemetry {
    filter: reload::Handle<EnvFilter, Registry>,
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Telemetry")
    }
}

impl Telemetry {
    /// Puts another filter in force; none: the default.
    pub(crate) fn set_filter(&self, filter: Option<&str>) -> Result<(), NoLog> {
        let filter = parse(filter.unwrap_or(default_filter()))?;
        self.filter.reload(filter).map_err(|_| NoLog::Twice)
    }
}

/// Sets the log of this process up. `filter`: a level or tracing directives; without one, INFO into the journal or a
/// file, WARN in a terminal.
pub(crate) fn start(format: Format, filter: Option<&str>) -> Result<Telemetry, NoLog> {
    let terminal = std::io::stderr().is_terminal();
    let filter = parse(filter.unwrap_or(default_filter()))?;
    let (filter, handle) = reload::Layer::new(filter);
    let registry = tracing_subscriber::registry().with(filter);
    // What can't be written is lost: this process lives on.
    let text = || {
        let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).log_internal_errors(false);
        layer.with_target(false).with_ansi(terminal)
    };
    let done = match resolve(format) {
        Format::Journal => {
            let layer = tracing_journald::layer().map_err(NoLog::Journal)?.with_field_prefix(Some("GAMESIDE".into()));
            registry.with(layer).try_init()
        }
        Format::Json => registry.with(text().json().with_target(true)).try_init(),
        Format::Text | Format::Auto => registry.with(text()).try_init(),
    };
    done.map_err(|_| NoLog::Twice)?;
    Ok(Telemetry { filter: handle })
}

fn default_filter() -> &'static str {
    if std::io::stderr().is_terminal() { "warn" } else { "info" }
}

/// Whether stderr leads into systemd's journal: `$JOURNAL_STREAM` names the device and inode of that stream.
pub(crate) fn under_journal() -> bool {
    let Some((device, inode)) = std::env::var("JOURNAL_STREAM").ok().and_then(|stream| parse_stream(&stream)) else {
        return false;
    };
    std::fs::metadata("/proc/self/fd/2").is_ok_and(|found| (found.dev(), found.ino()) == (device, inode))
}

fn parse_stream(stream: &str) -> Option<(u64, u64)> {
    let (device, inode) = stream.split_once(':')?;
    Some((device.parse().ok()?, inode.parse().ok()?))
}

fn resolve(format: Format) -> Format {
    match format {
        Format::Auto if under_journal() => Format::Journal,
        Format::Auto | Format::Text => Format::Text,
        Format::Json => Format::Json,
        Format::Journal => Format::Journal,
    }
}

fn parse(filter: &str) -> Result<EnvFilter, NoLog> {
    check_filter(filter)?;
    Ok(EnvFilter::new(filter))
}

/// Whether a text is a level or a list of directives.
pub(crate) fn check_filter(filter: &str) -> Result<(), NoLog> {
    // A bare word that is no level would be taken for the name of a target.
    let bare = filter.split(',').map(str::trim).filter(|word| !word.contains(['=', '[', ':']));
    for word in bare {
        word.parse::<LevelFilter>().map_err(|_| NoLog::Filter { filter: filter.to_owned() })?;
    }
    EnvFilter::builder().parse(filter).map(drop).map_err(|_| NoLog::Filter { filter: filter.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_checked_before_they_are_used() {
        for good in ["warn", "info,gameside::session_api=debug", "off"] {
            check_filter(good).unwrap();
        }
        for bad in ["gameside=loud", "loud"] {
            assert!(check_filter(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_journal_stream_is_two_numbers() {
        assert_eq!(parse_stream("8:1234"), Some((8, 1234)));
        assert_eq!(parse_stream("8"), None);
    }
}
