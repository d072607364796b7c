//! What the agent asks of the session service, and what comes back.
//!
//! One [`Call`] is one HTTP exchange, carried out once by `session_api`. Retrying, ordering and
//! reading back are decided in `core`; logging in and finding out whether the service is reachable
//! happen below this line, in `session_api`.

use super::{
    CustomData,
    ids::{AllocationId, InstanceId, PlayerUuid, SessionId},
    player::SessionPlayer,
    session::{
        BackfillAck, BackfillSettings, BackfillUpdate, HealthSettings, InstanceHealth, InstanceInfo, InstanceRequest,
        InstanceUpdate, Session, StartupParams,
    },
    time::Timestamp,
};
use std::time::Duration;

/// Matches an answer to its call. Never reused within a life of the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub u64);

/// One exchange with the session service.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    /// `POST /v1/session` with `force_create` and the settings: an own session.
    CreateSession(Box<NewSession>),
    /// `GET /v1/session/{id}`; conditional on the ETag of the last answer for that session.
    ReadSession {
        session: SessionId,
    },
    /// `GET /v1/session/allocation/{id}`.
    FindAllocation {
        allocation: AllocationId,
    },
    DeleteSession {
        session: SessionId,
    },
    PostInstance {
        session: SessionId,
        body: Box<InstanceRequest>,
    },
    PatchInstance {
        session: SessionId,
        body: Box<InstanceUpdate>,
    },
    PostHealth {
        session: SessionId,
        instance: InstanceId,
        health: InstanceHealth,
    },
    HealthConfig,
    BackfillConfig,
    AckBackfill {
        session: SessionId,
        body: Box<BackfillAck>,
    },
    UpdateBackfill {
        session: SessionId,
        body: BackfillUpdate,
    },
    DeleteBackfill {
        session: SessionId,
        instance: InstanceId,
    },
    /// `POST …/player/uuid`-style add by the host: recorded as connected.
    AddPlayer {
        session: SessionId,
        player: PlayerUuid,
        team: Option<u32>,
    },
    RemovePlayer {
        session: SessionId,
        player: PlayerUuid,
    },
    /// `PATCH /v1/session/{id}` with the extension `browser`.
    UpdateBrowser {
        session: SessionId,
        data: CustomData,
    },
    /// `POST /v1/audit`; the service prefixes the name with `customer.`.
    Audit {
        session: SessionId,
        instance: InstanceId,
        name: &'static str,
        reason: Option<String>,
        at: Timestamp,
    },
}

/// What an own session is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct NewSession {
    /// The same request again makes no second session.
    pub request: String,
    pub session_type: String,
    pub region: Option<String>,
    pub version: Option<semver::Version>,
    pub startup_params: StartupParams,
    pub joinable: bool,
    pub browser: CustomData,
    pub custom_data: CustomData,
    /// Team sizes, one a team; empty = as the template says.
    pub teams: Vec<u32>,
}

/// A call that was answered as hoped.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    Session(Box<Session>),
    /// 304: nothing changed since the last [`Answer::Session`].
    NotModified,
    Created(SessionId),
    Instance(Box<InstanceInfo>),
    Health(InstanceHealth),
    HealthConfig(HealthSettings),
    BackfillConfig(BackfillSettings),
    Backfilled(Vec<SessionPlayer>),
    Done,
}

/// A call that was not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 404 with `session_not_found`: the only sign that a session is gone.
    #[error("the session is not known there")]
    SessionNotFound,
    /// 404 with another code: the thing named, not the session.
    #[error("not found: {code}")]
    NotFound { code: String },
    /// 404 without one of the contract's error bodies: that API isn't there.
    #[error("there is no Session API at that URL")]
    NoSuchApi,
    /// 409, 412, or 403 with a reason other than permission (`allocation_mismatch`, `instance_closed`).
    #[error("refused: {code}: {desc}")]
    Conflict { code: String, desc: String },
    /// Our credentials were refused or lack a permission. Never a reason to touch the game.
    #[error("credentials refused: {desc}")]
    Credentials { desc: String },
    /// 400 or 422: what we sent is wrong.
    #[error("the request was refused: {desc}")]
    Invalid { desc: String },
    /// 429, or 503 with Retry-After.
    #[error("the service is busy")]
    Busy { retry_after: Option<Duration> },
    /// Nothing was sent: no connection.
    #[error("not reachable: {why}")]
    Unreachable { why: String },
    /// Sent, but the outcome isn't known: timed out, cut off, 5xx, or an answer that can't be read.
    #[error("no clear answer: {why}")]
    Ambiguous { why: String },
    /// 503 that ends it, then 404: what a backfill that expired answers.
    #[error("the service has given it up")]
    Gone,
}

/// Whether the service can be worked with.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Backend {
    /// Nothing was asked yet.
    Untried,
    Up,
    Away {
        since: Timestamp,
        why: String,
    },
    /// Reachable, but it refuses our login.
    Refused {
        since: Timestamp,
        why: String,
    },
}
