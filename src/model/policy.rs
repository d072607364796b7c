//! The decisions that a user makes in the configuration and the core follows. `config` reads these
//! types as they are.
//!
//! Every field has a default; the defaults are the documented ones. A doc comment here is the line
//! that the configuration reference prints.

use super::{
    section::section,
    session::{BackfillStyle, TeamOverflow},
    units::{Size, Span},
};
use serde::{Deserialize, Serialize};

/// How the agent's own log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// The journal where stderr leads there, else text.
    #[default]
    Auto,
    /// Text on stderr, coloured in a terminal.
    Text,
    /// One JSON object a line on stderr.
    Json,
    /// systemd's journal.
    Journal,
}

/// What is spoken on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    #[default]
    Udp,
    Tcp,
    /// The same number on both.
    Both,
}

/// What is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum GameKind {
    /// A match: it ends, and makes room for the next; `[guards]` end it early where nobody plays.
    #[default]
    Match,
    /// A world: it goes on, whoever plays. No guard ends it, and once it has been up it is started again after every end, ever later, for ever.
    World,
}

/// When the game is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// With each allocation.
    #[default]
    OnAllocation,
    /// With the agent; the game waits warm for its allocation.
    AtBoot,
}

/// Which allocations a game that is up already may serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Reuse {
    /// Any, if its command and environment use no startup value (map, mode, misc, custom, startup_file); else as same-launch.
    #[default]
    Auto,
    /// Those for which it would be started just so, GAMESIDE_MAP and the like included.
    SameLaunch,
}

/// What proves that the game can take players.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ReadyBy {
    /// The game says so; one that speaks no SDK is seen: `[probe]` answers, or without one the port that players connect to stays bound.
    #[default]
    Auto,
    /// The game says so, through whatever SDK it speaks. Nothing else counts.
    Sdk,
    /// `[probe]` answers.
    Probe,
    /// The port that players connect to is bound.
    Port,
    /// A line of its output matches `pattern`.
    Log,
    /// `delay` has passed since the start and the process lives. The weakest proof; only where nothing else is to be had.
    Delay,
}

/// `[game.readiness]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Readiness {
    /// What proves that the game can take players.
    pub by: ReadyBy,
    /// A start that takes longer has failed.
    pub timeout: Span,
    /// With `by = "delay"`: how long after the start.
    pub delay: Span,
    /// With `by = "log"`: a regular expression.
    #[cfg_attr(test, schemars(example = &"^Ready for players"))]
    pub pattern: Option<String>,
}

impl Default for Readiness {
    fn default() -> Self {
        Readiness { by: ReadyBy::default(), timeout: Span::from_secs(300), delay: Span::from_secs(5), pattern: None }
    }
}

section!(Readiness {
    applied: timeout;
    needs_restart: by, delay, pattern;
});

/// When a game that ended by itself is started again within the same allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum RestartWhen {
    Never,
    #[default]
    OnFailure,
    Always,
}

/// `[game.restart]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Restart {
    /// When a game that ended by itself is started again within the same allocation.
    pub when: RestartWhen,
    /// Delay before the first restart; doubles with every further one, with jitter.
    pub delay: Span,
    /// The longest delay.
    pub max_delay: Span,
    /// A game that lived this long is stable: the delay starts anew.
    pub stable_after: Span,
    /// This many failures within `window` are a crash loop: the instance is closed.
    pub budget: u32,
    /// The time in which failures are counted.
    pub window: Span,
}

impl Default for Restart {
    fn default() -> Self {
        Restart {
            when: RestartWhen::default(),
            delay: Span::from_millis(500),
            max_delay: Span::from_secs(30),
            stable_after: Span::from_secs(60),
            budget: 3,
            window: Span::from_secs(300),
        }
    }
}

section!(Restart {
    applied: when, delay, max_delay, stable_after, budget, window;
});

/// `[game.recycle]`: when the game isn't used for another match but started anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Recycle {
    /// Matches that one process serves; 0 = no limit. 1 = a fresh process for every match.
    pub after_matches: u32,
    /// Age at which a process isn't given another match; unset = no limit.
    #[cfg_attr(test, schemars(example = &"6h"))]
    pub after: Option<Span>,
    /// Memory at which a process isn't given another match; unset = no limit.
    #[cfg_attr(test, schemars(example = &"4GiB"))]
    pub memory: Option<Size>,
    /// The agent ends after this many allocations; 0 = never.
    pub exit_after: u32,
}

impl Default for Recycle {
    fn default() -> Self {
        Recycle { after_matches: 1, after: None, memory: None, exit_after: 0 }
    }
}

section!(Recycle {
    applied: after_matches, after, memory, exit_after;
});

/// `[guards]`: limits that save money. Each drains and recycles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Guards {
    /// Nobody came since it became joinable; "0" = no limit.
    pub no_show_timeout: Option<Span>,
    /// Everybody has left; "0" = no limit.
    pub empty_timeout: Option<Span>,
    /// A match takes longer; unset = no limit.
    #[cfg_attr(test, schemars(example = &"2h"))]
    pub max_match_time: Option<Span>,
}

impl Default for Guards {
    fn default() -> Self {
        Guards {
            no_show_timeout: Some(Span::from_secs(300)),
            empty_timeout: Some(Span::from_secs(120)),
            max_match_time: None,
        }
    }
}

section!(Guards {
    applied: no_show_timeout, empty_timeout, max_match_time;
});

/// `[drain]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Drain {
    /// How long players may go on. The ladder starts earlier if the host's own deadline asks for it.
    pub deadline: Span,
    /// So long players may go on where nobody knows whether there are any. Only where it is shorter than `deadline`.
    pub unknown_players: Span,
    /// The time the host gives from SIGTERM to SIGKILL, if it does (systemd's TimeoutStopSec, the pod's grace period).
    #[cfg_attr(test, schemars(example = &"15m"))]
    pub host_deadline: Option<Span>,
}

impl Default for Drain {
    fn default() -> Self {
        Drain { deadline: Span::from_secs(600), unknown_players: Span::from_secs(120), host_deadline: None }
    }
}

section!(Drain {
    applied: deadline, unknown_players, host_deadline;
});

/// What the agent does when its session is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum OnSessionLost {
    /// Let the match end by itself; nothing is stopped while players are connected.
    Finish,
    /// Make a new session and tell the game. Only for own sessions, and their default.
    Recreate,
    Drain,
    Stop,
}

/// Who writes the instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ReportBy {
    #[default]
    Agent,
    /// A game that writes its own instance, as RallyHere's Unreal plugin does. The agent only writes `closed`.
    Game,
}

/// Which players become members of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum AdmissionPolicy {
    /// Only who already is; another is reported to the game as `not_in_session`.
    #[default]
    Members,
    /// Everybody with a player UUID, within team size.
    Open,
}

/// `[players]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Players {
    /// Which players become members of the session. Unset: `open` in sessions that the agent itself made at the local session service, where nobody else adds any; else `members`.
    pub admission: Option<AdmissionPolicy>,
    /// How long a disconnected player's place is kept, and not backfilled.
    pub reconnect_grace: Span,
    /// Some sources say that somebody plays, and others that nobody does: so long the server counts as played on. After that whoever says nobody is believed.
    pub count_conflict: Span,
}

impl Default for Players {
    fn default() -> Self {
        Players { admission: None, reconnect_grace: Span::from_secs(120), count_conflict: Span::from_secs(30 * 60) }
    }
}

section!(Players {
    applied: admission, reconnect_grace, count_conflict;
});

/// What follows when the game is unhealthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum WhenUnhealthy {
    #[default]
    Report,
    /// No new players until it is healthy again.
    Unjoinable,
    Restart,
}

/// `[health]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Health {
    /// What follows when the game is unhealthy.
    pub when_unhealthy: WhenUnhealthy,
    /// Silence of the SDK that counts as one failure; "0" = the SDK's silence means nothing. Counts only once the game has sent a heartbeat.
    pub heartbeat: Option<Span>,
    /// Failures in a row until degraded; twice as many until unhealthy.
    pub fall: u32,
    /// Successes in a row until healthy again.
    pub rise: u32,
    /// Share of the memory limit, in percent, from which the game is degraded; 0 = off.
    pub memory_percent: u8,
    /// Share of time lost to memory or CPU pressure (PSI some avg10), in percent, from which it is degraded; 0 = off.
    pub pressure_percent: u8,
    /// Share of the target tick rate, in percent, under which it is degraded; 0 = off.
    pub tick_percent: u8,
    /// Ticks per second that the game should reach, if it doesn't say so itself.
    pub tick_target: Option<f64>,
}

impl Default for Health {
    fn default() -> Self {
        Health {
            when_unhealthy: WhenUnhealthy::default(),
            heartbeat: Some(Span::from_secs(15)),
            fall: 3,
            rise: 2,
            memory_percent: 90,
            pressure_percent: 60,
            tick_percent: 80,
            tick_target: None,
        }
    }
}

section!(Health {
    applied: when_unhealthy, heartbeat, fall, rise, memory_percent, pressure_percent, tick_percent, tick_target;
});

/// An SDK whose games promise a ping of health every so often, and how its silence is judged.
///
/// A ping is a `GameEvent::Heartbeat` from `EventSource::Agones`. A run that uses that SDK and has
/// sent none in `failure_threshold` periods is unhealthy, until it pings again; what follows is the
/// configuration's (`[health] when_unhealthy`). Periods are counted from the start of the game's
/// process, or from its adoption by a new agent, after `initial_delay`. What the agent could not
/// have heard does not count. The verdict is in the status, as `game.pings_stopped`, and it is
/// remembered for as long as the run lives, also by the next agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SdkPings {
    pub period: std::time::Duration,
    pub failure_threshold: u32,
    pub initial_delay: std::time::Duration,
}

/// `[backfill]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Backfill {
    /// Acknowledge the session's backfill while there is one.
    pub enabled: bool,
    /// How backfills look for players.
    pub styles: Vec<BackfillStyle>,
    /// How a team that would grow too large is treated.
    pub overflow_action: TeamOverflow,
    /// Delete the backfill when no place is left.
    pub delete_when_full: bool,
    /// Delete the backfill when the server becomes unjoinable; false keeps it alive.
    pub delete_when_unjoinable: bool,
}

impl Default for Backfill {
    fn default() -> Self {
        Backfill {
            enabled: true,
            styles: Vec::new(),
            overflow_action: TeamOverflow::default(),
            delete_when_full: true,
            delete_when_unjoinable: true,
        }
    }
}

section!(Backfill {
    applied: enabled, styles, overflow_action, delete_when_full, delete_when_unjoinable;
});
