//! What agent and gateway say to each other: one JSON object a line, over a unix stream socket.
//!
//! ```text
//!   agent ──► gateway   {"say":"hello","versions":[1],"build":"0.4.0","settings":{…},"heard":{"gateway":"g","batch":7}}
//!   gateway ──► agent   {"say":"hello","version":1,"gateway":"g","pid":42,"build":"0.4.0","run":3,"owes":8}
//!                       {"say":"batch","number":8,"run":3,"said":[…]}        until it is acknowledged, also by the next agent
//!   agent ──► gateway   {"say":"run",…} {"say":"notice",…} {"say":"state",…}  levels: the newest counts
//!                       {"say":"acknowledge","batch":8}
//!                       {"say":"count","question":5}
//!   gateway ──► agent   {"say":"counted","question":5,"run":3,"counted":[…]}
//! ```
//!
//! Invariants:
//! - The first line is `hello`, either way; a gateway that speaks none of the agent's versions says
//!   `refused` and hangs up.
//! - Additive: a released member or word never changes its meaning. A reader passes over members,
//!   messages and statements of a game that it doesn't know. The lines of every release stay in
//!   `fixtures/`, and a test reads them.
//! - What a `state` says holds for everything that follows it on the link: it comes before the
//!   acknowledgement of the batch that led to it.

use crate::{
    frontends::Settings,
    model::{
        game::{BatchId, Counted, EventSource, GameEvent, GameNotice, Kept},
        ids::{GatewayId, RunNumber},
        status::Status,
    },
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

/// The versions that this code speaks, newest first.
pub(crate) const VERSIONS: &[u32] = &[1];
/// The longest line, in bytes.
pub(crate) const MAX_LINE: usize = 8 << 20;

/// What the agent says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "kebab-case")]
pub(crate) enum AgentSays {
    Hello {
        versions: Vec<u32>,
        build: String,
        settings: Box<Settings>,
        /// The last batch that lies in its journal.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        heard: Option<BatchId>,
    },
    /// The run that the game is, with its token, and what the frontends of an earlier gateway remembered of it.
    Run {
        run: RunNumber,
        token: Token,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        kept: BTreeMap<EventSource, Kept>,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        kept_aside: BTreeMap<EventSource, Kept>,
    },
    State {
        status: Box<Status>,
        /// See [`crate::model::status::GameStatus::pings_stopped`].
        #[serde(default)]
        pings_stopped: bool,
    },
    Notice {
        run: RunNumber,
        notice: Box<GameNotice>,
    },
    Acknowledge {
        batch: u64,
    },
    /// Asks for the heartbeats since the last time.
    Count {
        question: u64,
    },
    /// Whether each heartbeat is to be told at once.
    Urgent {
        on: bool,
    },
    #[serde(other)]
    Unknown,
}

/// What the gateway says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "kebab-case")]
pub(crate) enum GatewaySays {
    Hello {
        version: u32,
        gateway: GatewayId,
        pid: i32,
        build: String,
        /// The run that it serves already.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        run: Option<RunNumber>,
        /// The batch that it has sent before and that nobody has acknowledged.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owes: Option<u64>,
    },
    Batch {
        number: u64,
        run: RunNumber,
        #[serde(deserialize_with = "those_known")]
        said: Vec<(EventSource, GameEvent)>,
    },
    Counted {
        /// None: news that nobody has asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        question: Option<u64>,
        run: RunNumber,
        counted: Vec<Counted>,
    },
    /// The agent can't be worked with; the gateway hangs up.
    Refused { why: String },
    /// The run is over, and so is this gateway.
    Ending,
    #[serde(other)]
    Unknown,
}

/// The game's token of this run.
#[derive(Debug, Clone)]
pub(crate) struct Token(pub SecretString);

impl Serialize for Token {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose_secret())
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|token| Token(token.into()))
    }
}

/// Statements that a newer gateway knows and this agent doesn't are passed over: the others count.
fn those_known<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(EventSource, GameEvent)>, D::Error> {
    let said = Vec::<serde_json::Value>::deserialize(deserializer)?;
    let known = said.into_iter().filter_map(|one| {
        serde_json::from_value(one)
            .inspect_err(|error| tracing::warn!(%error, "a statement of the game isn't known here"))
            .ok()
    });
    Ok(known.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of each release, oldest first.
    const RELEASED: &[(&str, &str, &str)] =
        &[("1", include_str!("fixtures/v1-agent.jsonl"), include_str!("fixtures/v1-gateway.jsonl"))];

    #[test]
    fn released_lines_stay_readable() {
        for (version, agent, gateway) in RELEASED {
            for line in agent.lines() {
                let said: AgentSays =
                    serde_json::from_str(line).unwrap_or_else(|error| panic!("{version}: {error}: {line}"));
                assert!(!matches!(said, AgentSays::Unknown), "{version}: {line}");
            }
            for line in gateway.lines() {
                let said: GatewaySays =
                    serde_json::from_str(line).unwrap_or_else(|error| panic!("{version}: {error}: {line}"));
                assert!(!matches!(said, GatewaySays::Unknown), "{version}: {line}");
                let (again, before): (serde_json::Value, serde_json::Value) =
                    (serde_json::to_value(&said).unwrap(), serde_json::from_str(line).unwrap());
                assert_eq!(again, before, "{version}: what is written today is what was read then");
            }
        }
    }

    #[test]
    fn what_a_newer_peer_says_is_passed_over() {
        assert!(matches!(serde_json::from_str(r#"{"say":"levitate","high":1}"#), Ok(AgentSays::Unknown)));
        assert!(matches!(serde_json::from_str(r#"{"say":"levitate","high":1}"#), Ok(GatewaySays::Unknown)));
        let line = r#"{"say":"batch","number":1,"run":3,"said":[["native",{"event":"levitate"}],["native",{"event":"ready"}]]}"#;
        let GatewaySays::Batch { said, .. } = serde_json::from_str(line).unwrap() else { panic!() };
        assert_eq!(said, [(EventSource::Native, GameEvent::Ready)]);
    }

    #[test]
    fn a_token_is_written_and_never_shown() {
        let (kept, kept_aside) = (BTreeMap::new(), BTreeMap::new());
        let said = AgentSays::Run { run: RunNumber(1), token: Token("secret".into()), kept, kept_aside };
        assert_eq!(serde_json::to_string(&said).unwrap(), r#"{"say":"run","run":1,"token":"secret"}"#);
        assert!(!format!("{said:?}").contains("secret"), "{said:?}");
    }
}
