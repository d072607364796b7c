//! What a game says to us, through whatever it speaks, and what we tell it.
//!
//! A frontend translates its protocol into [`GameEvent`] and [`GameNotice`] into its protocol; the
//! core knows no protocol.

use super::{
    CustomData,
    allocation::Allocation,
    ids::{AllocationId, GatewayId, InstanceId, MatchId, PlayerUuid, RunNumber, SessionId},
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

/// A statement of the game, or about the game by a probe or its log. It is on the wire between the SDK gateway and the
/// agent: additive changes only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event", content = "value")]
pub enum GameEvent {
    /// It can take players. Proof of readiness where `[game.readiness]` trusts the SDK.
    Ready,
    /// Open to new players, or closed to them, until said otherwise.
    Joinable(Admission),
    Heartbeat,
    /// Its own opinion of its health; stands until replaced.
    Health {
        health: InstanceHealth,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Simulation ticks per second, and what it should be, if the game says so.
    TickRate {
        measured: f64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
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
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<u32>,
    },
    /// What the game plays, as far as it differs from what it was started with.
    Map {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        map: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mode: Option<String>,
    },
    MatchStarted {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        match_id: Option<MatchId>,
    },
    MatchEnded {
        /// The allocation whose match has ended; none: the present one. Of another allocation it means nothing any more.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        allocation: Option<AllocationId>,
    },
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
    /// The state that the game has set for itself, by its SDK's own name: `Reserved`.
    SdkState(String),
    /// What a frontend has to remember for as long as the run lives; replaces what it said before.
    Keep(Kept),
    /// The part of it that may be large and seldom changes.
    KeepAside(Kept),
}

/// What the game said through its SDK gateway, in its order. A gateway numbers its batches upwards, and sends one again
/// until it is acknowledged; the core applies each once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GameBatch {
    pub gateway: GatewayId,
    pub number: u64,
    /// The run that said it.
    pub run: RunNumber,
    pub said: Vec<(EventSource, GameEvent)>,
}

impl GameBatch {
    pub fn id(&self) -> BatchId {
        BatchId { gateway: self.gateway.clone(), batch: self.number }
    }
}

/// A batch, by its gateway and number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchId {
    pub gateway: GatewayId,
    pub batch: u64,
}

/// Heartbeats of one source, counted since they were asked for last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    pub source: EventSource,
    pub count: u64,
    /// How long ago the newest was.
    #[serde(rename = "age_ms", with = "super::process::millis")]
    pub age: Duration,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Every statement as it was written first: what one version of the gateway says, every later agent understands.
    fn events() -> Vec<(&'static str, GameEvent)> {
        vec![
            (r#"{"event":"ready"}"#, GameEvent::Ready),
            (r#"{"event":"joinable","value":"closed"}"#, GameEvent::Joinable(Admission::Closed)),
            (r#"{"event":"heartbeat"}"#, GameEvent::Heartbeat),
            (
                r#"{"event":"health","value":{"health":"degraded"}}"#,
                GameEvent::Health { health: InstanceHealth::Degraded, reason: None },
            ),
            (
                r#"{"event":"health","value":{"health":"degraded","reason":"hot"}}"#,
                GameEvent::Health { health: InstanceHealth::Degraded, reason: Some("hot".to_owned()) },
            ),
            (
                r#"{"event":"tick_rate","value":{"measured":29.5,"target":30.0}}"#,
                GameEvent::TickRate { measured: 29.5, target: Some(30.0) },
            ),
            (
                r#"{"event":"player_joined","value":{"id":"7","name":"Pia"}}"#,
                GameEvent::PlayerJoined(GamePlayer { id: "7".to_owned(), name: Some("Pia".to_owned()), team: None }),
            ),
            (r#"{"event":"player_left","value":{"id":"7"}}"#, GameEvent::PlayerLeft { id: "7".to_owned() }),
            (
                r#"{"event":"players","value":[{"id":"7","team":1}]}"#,
                GameEvent::Players(vec![GamePlayer { id: "7".to_owned(), name: None, team: Some(1) }]),
            ),
            (
                r#"{"event":"player_count","value":{"players":3,"max":8}}"#,
                GameEvent::PlayerCount { players: 3, max: Some(8) },
            ),
            (
                r#"{"event":"map","value":{"map":"harbour"}}"#,
                GameEvent::Map { map: Some("harbour".to_owned()), mode: None },
            ),
            (
                r#"{"event":"match_started","value":{"match_id":"m"}}"#,
                GameEvent::MatchStarted { match_id: Some("m".parse().unwrap()) },
            ),
            (
                r#"{"event":"match_ended","value":{"allocation":"a"}}"#,
                GameEvent::MatchEnded { allocation: Some("a".parse().unwrap()) },
            ),
            (r#"{"event":"match_ended","value":{}}"#, GameEvent::MatchEnded { allocation: None }),
            (
                r#"{"event":"custom_data","value":{"whose":"join_params","data":{"k":"v"}}}"#,
                GameEvent::CustomData {
                    whose: CustomDataOf::JoinParams,
                    data: CustomData::from([("k".to_owned(), "v".to_owned())]),
                },
            ),
            (r#"{"event":"version","value":"1.2.3-rc.1"}"#, GameEvent::Version("1.2.3-rc.1".parse().unwrap())),
            (r#"{"event":"sdk","value":"Unity 0.7"}"#, GameEvent::Sdk("Unity 0.7".to_owned())),
            (r#"{"event":"shutdown"}"#, GameEvent::Shutdown),
            (r#"{"event":"stop_me"}"#, GameEvent::StopMe),
            (r#"{"event":"hello"}"#, GameEvent::Hello),
            (r#"{"event":"offer","value":"open"}"#, GameEvent::Offer(Admission::Open)),
            (r#"{"event":"sdk_state","value":"Reserved"}"#, GameEvent::SdkState("Reserved".to_owned())),
            (r#"{"event":"keep","value":"a book"}"#, GameEvent::Keep(Kept::from("a book".to_owned()))),
            (r#"{"event":"keep_aside","value":"a shelf"}"#, GameEvent::KeepAside(Kept::from("a shelf".to_owned()))),
        ]
    }

    /// A new statement gets a row above, and is counted here.
    fn statements() -> usize {
        let listed = |event: &GameEvent| match event {
            GameEvent::Ready
            | GameEvent::Joinable(_)
            | GameEvent::Heartbeat
            | GameEvent::Health { .. }
            | GameEvent::TickRate { .. }
            | GameEvent::PlayerJoined(_)
            | GameEvent::PlayerLeft { .. }
            | GameEvent::Players(_)
            | GameEvent::PlayerCount { .. }
            | GameEvent::Map { .. }
            | GameEvent::MatchStarted { .. }
            | GameEvent::MatchEnded { .. }
            | GameEvent::CustomData { .. }
            | GameEvent::Version(_)
            | GameEvent::Sdk(_)
            | GameEvent::Shutdown
            | GameEvent::StopMe
            | GameEvent::Hello
            | GameEvent::Offer(_)
            | GameEvent::SdkState(_)
            | GameEvent::Keep(_)
            | GameEvent::KeepAside(_) => std::mem::discriminant(event),
        };
        events().iter().map(|(_, event)| listed(event)).collect::<std::collections::HashSet<_>>().len()
    }

    #[test]
    fn every_statement_stays_readable_on_the_wire() {
        for (text, event) in events() {
            assert_eq!(serde_json::from_str::<GameEvent>(text).unwrap(), event, "{text}");
            assert_eq!(serde_json::to_string(&event).unwrap(), text);
        }
        assert_eq!(statements(), 22);
        let newer = r#"{"event":"map","value":{"map":"harbour","weather":"fog"}}"#;
        assert!(serde_json::from_str::<GameEvent>(newer).is_ok(), "a newer gateway may say more");
    }

    #[test]
    fn batches_and_counts_stay_readable_on_the_wire() {
        let text =
            r#"{"gateway":"g","number":4,"run":2,"said":[["native",{"event":"ready"}],["agones",{"event":"hello"}]]}"#;
        let batch = GameBatch {
            gateway: "g".parse().unwrap(),
            number: 4,
            run: RunNumber(2),
            said: vec![(EventSource::Native, GameEvent::Ready), (EventSource::Agones, GameEvent::Hello)],
        };
        assert_eq!(serde_json::from_str::<GameBatch>(text).unwrap(), batch);
        assert_eq!(serde_json::to_string(&batch).unwrap(), text);
        let text = r#"{"source":"gsdk","count":3,"age_ms":1500}"#;
        let counted = Counted { source: EventSource::Gsdk, count: 3, age: Duration::from_millis(1500) };
        assert_eq!(serde_json::from_str::<Counted>(text).unwrap(), counted);
        assert_eq!(serde_json::to_string(&counted).unwrap(), text);
    }
}
