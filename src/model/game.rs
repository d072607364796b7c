//! What a game says to us, through whatever it speaks, and what we tell it.
//!
//! A frontend translates its protocol into [`GameEvent`] and [`GameNotice`] into its protocol; the
//! core knows no protocol.

use super::{
    CustomData,
    allocation::Allocation,
    ids::{InstanceId, MatchId, PlayerUuid, SessionId},
    session::{InstanceHealth, StartupParams},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Through which door a fact came in. Shown in status: which SDK the game really used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum EventSource {
    Native,
    Agones,
    Gsdk,
    Probe,
    Log,
}

/// A statement of the game, or about the game by a probe or its log.
#[derive(Debug, Clone, PartialEq)]
pub enum GameEvent {
    /// It can take players. Proof of readiness where `[game.readiness]` trusts the SDK.
    Ready,
    /// Open to new players, or closed to them, until said otherwise.
    Joinable(Admission),
    Heartbeat,
    /// Its own opinion of its health; stands until replaced.
    Health {
        health: InstanceHealth,
        reason: Option<String>,
    },
    /// Simulation ticks per second, and what it should be, if the game says so.
    TickRate {
        measured: f64,
        target: Option<f64>,
    },
    PlayerJoined(GamePlayer),
    PlayerLeft {
        id: String,
    },
    /// The whole list, from games that only know that.
    Players(Vec<GamePlayer>),
    /// Only a number is known (a query protocol).
    PlayerCount {
        players: u32,
        max: Option<u32>,
    },
    /// What the game plays, as far as it differs from what it was started with.
    Map {
        map: Option<String>,
        mode: Option<String>,
    },
    MatchStarted {
        match_id: Option<MatchId>,
    },
    MatchEnded,
    /// Merged over what the configuration gives, key by key; an empty value removes the key.
    CustomData {
        whose: CustomDataOf,
        data: CustomData,
    },
    Version(semver::Version),
    /// Which SDK it uses, as that names itself: `Unity 0.7`.
    Sdk(String),
    /// It wants to end: an orderly end, also when the process exits in the same instant.
    Shutdown,
    /// As `Shutdown`, but it waits to be ended, as on platforms that end what has said so.
    StopMe,
    /// It speaks at all.
    Hello,
    /// Free to be allocated, or held back by the game itself, until said otherwise.
    Offer(Admission),
    /// What a frontend has to remember for as long as the run lives; replaces what it said before.
    Keep(Kept),
}

/// A frontend's memory of a run: a text that only the frontend reads. It lies in the journal with the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Kept(std::sync::Arc<str>);

impl Kept {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Kept {
    fn from(text: String) -> Self {
        Kept(text.into())
    }
}

impl From<Kept> for String {
    fn from(kept: Kept) -> Self {
        kept.as_str().to_owned()
    }
}

/// Whether new players may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Admission {
    Open,
    Closed,
}

/// Which of the three custom-data maps is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CustomDataOf {
    Instance,
    JoinParams,
    Browser,
}

/// A player as the game knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct GamePlayer {
    /// Whatever the game uses: becomes a session member only if it is, or maps to, a player UUID.
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<u32>,
}

/// What the game is told. Levels (allocation) are also in the state that it can read; these are the changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum GameNotice {
    /// It now plays for this session. Sent to a warm game, and again if the session is recreated.
    Allocated {
        allocation: Allocation,
        #[cfg_attr(test, schema(value_type = String))]
        session_id: SessionId,
        #[cfg_attr(test, schema(value_type = String))]
        instance_id: InstanceId,
        startup_params: StartupParams,
        /// Demanded from players at login, where `join_token` is on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        join_token: Option<String>,
    },
    /// These players were added to the session and will come.
    Backfilled {
        #[cfg_attr(test, schema(value_type = Vec<String>))]
        players: Vec<PlayerUuid>,
    },
    /// A player connected who is no member of the session.
    NotInSession { id: String },
    /// Let players finish; the game should end by `deadline`.
    Drain { reason: String, deadline: Timestamp },
    /// The stop ladder begins: the process ends within this time.
    Stop {
        #[serde(rename = "within_ms", with = "super::process::millis")]
        #[cfg_attr(test, schema(value_type = u64))]
        within: Duration,
    },
    /// The session is gone; what follows is configured.
    SessionLost,
}

impl GameNotice {
    /// The word that names it on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            GameNotice::Allocated { .. } => "allocated",
            GameNotice::Backfilled { .. } => "backfilled",
            GameNotice::NotInSession { .. } => "not_in_session",
            GameNotice::Drain { .. } => "drain",
            GameNotice::Stop { .. } => "stop",
            GameNotice::SessionLost => "session_lost",
        }
    }
}

/// A probe's or log pattern's finding about readiness and life, for the run it watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    Up,
    Down { why: String },
}

/// What becomes of a port that somebody else has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum IfTaken {
    /// The agent doesn't start, and says so.
    Fail,
    /// Another one is used, which the game finds in its environment.
    #[default]
    Move,
}
