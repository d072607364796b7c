//! Answers that every flavour can read: keys in camel case but for two, enums as texts, members
//! left out rather than null or empty.

use super::{Terminate, heartbeat::GameState};
use crate::model::{
    allocation::Allocation,
    game::GameNotice,
    ids::{InstanceId, SessionId},
    session::StartupParams,
    time::Timestamp,
};
use serde::Serialize;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Milliseconds until the next heartbeat; no flavour takes less.
pub(crate) const INTERVAL: u64 = 1000;
/// The value of the startup parameters' custom data that is the session's cookie; without it the cookie is their raw text.
pub(crate) const COOKIE_KEY: &str = "sessionCookie";

/// What the game is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Operation {
    Continue,
    Active,
    Terminate,
}

/// The answer to a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HeartbeatResponse {
    pub operation: Operation,
    pub next_heartbeat_interval_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_config: Option<SessionConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_scheduled_maintenance_utc: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maintenance_schedule: Option<Schedule>,
}

/// The session that the game plays for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SessionConfig {
    /// A GUID: the session's own id, or one made of it.
    pub session_id: Uuid,
    pub session_cookie: String,
    pub initial_players: Vec<String>,
    pub metadata: BTreeMap<String, String>,
}

/// Until when players may finish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Schedule {
    pub document_incarnation: String,
    #[serde(rename = "Events")]
    pub events: Vec<Maintenance>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Maintenance {
    pub event_id: String,
    pub event_type: &'static str,
    pub resource_type: &'static str,
    #[serde(rename = "Resources")]
    pub resources: Vec<String>,
    pub event_status: &'static str,
    pub not_before: Timestamp,
    pub description: String,
    pub event_source: &'static str,
    pub duration_in_seconds: i64,
}

impl HeartbeatResponse {
    /// To a game in this state, with the notices in force. `number`: of the newest notice.
    pub(crate) fn to<'a>(
        state: GameState,
        notices: impl Iterator<Item = &'a GameNotice>,
        terminate: Terminate,
        number: u64,
    ) -> HeartbeatResponse {
        let (mut session, mut drain, mut stop) = (None, None, false);
        for notice in notices {
            match notice {
                GameNotice::Allocated { allocation, session_id, instance_id, startup_params, join_token } => {
                    let token = join_token.as_deref();
                    session = Some(SessionConfig::of(allocation, session_id, instance_id, startup_params, token));
                }
                GameNotice::Drain { reason, deadline } => drain = Some((reason, *deadline)),
                GameNotice::Stop { .. } => stop = true,
                GameNotice::Backfilled { .. } | GameNotice::NotInSession { .. } | GameNotice::SessionLost => {}
            }
        }
        let ends = stop || drain.is_some() && terminate == Terminate::AtDrain;
        let operation = match state {
            _ if ends => Operation::Terminate,
            GameState::StandingBy if session.is_some() => Operation::Active,
            GameState::Invalid
            | GameState::Initializing
            | GameState::StandingBy
            | GameState::Active
            | GameState::Terminating
            | GameState::Terminated
            | GameState::Quarantined => Operation::Continue,
        };
        HeartbeatResponse {
            operation,
            next_heartbeat_interval_ms: INTERVAL,
            session_config: session,
            next_scheduled_maintenance_utc: drain.map(|(_, deadline)| deadline),
            maintenance_schedule: drain.map(|(reason, deadline)| Schedule::of(reason, deadline, number)),
        }
    }
}

impl SessionConfig {
    fn of(
        allocation: &Allocation,
        session: &SessionId,
        instance: &InstanceId,
        params: &StartupParams,
        join_token: Option<&str>,
    ) -> Self {
        let guid =
            |text: &str| Uuid::parse_str(text).unwrap_or_else(|_| Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes()));
        let mut metadata = params.custom_data.clone();
        let cookie = metadata.remove(COOKIE_KEY).unwrap_or_else(|| params.misc_params.clone());
        let ours = [
            ("map", Some(params.map.as_str())),
            ("mode", params.mode.as_deref()),
            ("session_id", Some(session.as_str())),
            ("instance_id", Some(instance.as_str())),
            ("allocation_id", Some(allocation.allocation_id.as_str())),
            ("join_token", join_token),
        ];
        metadata.extend(ours.into_iter().filter_map(|(key, text)| Some((key.to_owned(), text?.to_owned()))));
        SessionConfig {
            session_id: guid(session.as_str()),
            session_cookie: cookie,
            initial_players: allocation.players.iter().map(ToString::to_string).collect(),
            metadata: metadata.into_iter().collect(),
        }
    }
}

impl Schedule {
    fn of(reason: &str, deadline: Timestamp, number: u64) -> Self {
        let event = Maintenance {
            event_id: Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{number} {deadline}").as_bytes()).to_string(),
            event_type: "Terminate",
            resource_type: "VirtualMachine",
            resources: Vec::new(),
            event_status: "Scheduled",
            not_before: deadline,
            description: reason.to_owned(),
            event_source: "Platform",
            duration_in_seconds: -1,
        };
        Schedule { document_incarnation: number.to_string(), events: vec![event] }
    }
}
