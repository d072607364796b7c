//! The table: which request a [`Call`] is, and what its answer says.
//!
//! | call | request |
//! |---|---|
//! | `CreateSession` | `POST /session/v1/session`, with our extensions `force_create` and `settings` |
//! | `ReadSession` | `GET …/session/{id}`, If-None-Match |
//! | `FindAllocation` | `GET …/session/allocation/{id}` |
//! | `DeleteSession` | `DELETE …/session/{id}` |
//! | `PostInstance`, `PatchInstance` | `POST`, `PATCH …/session/{id}/instance` |
//! | `PostHealth` | `POST …/session/{id}/instance/health` |
//! | `HealthConfig`, `BackfillConfig` | `GET …/instance/health/config`, `GET …/backfill/config` |
//! | `AckBackfill`, `UpdateBackfill`, `DeleteBackfill` | `POST`, `PATCH`, `DELETE …/backfill/session/{id}` |
//! | `AddPlayer`, `RemovePlayer` | `POST`, `DELETE …/session/{id}/player/{uuid}` |
//! | `UpdateBrowser` | `POST …/session/{id}/browser`; `PATCH` where it is listed already |
//! | `Audit` | `POST …/audit` |

use crate::model::{
    CustomData,
    calls::{Answer, Call, NewSession, Refusal},
    ids::{InstanceId, SessionId},
    player::{PlayerStatus, SessionPlayer},
    session::{BrowserInfo, HealthUpdate, InstanceHealth, Joinability},
    time::Timestamp,
};
use crate::session_api::{
    response::bounded,
    segment,
    transport::{Request, Response},
};
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::net::IpAddr;

/// The version of a host whose game has none: the contract requires one.
const NO_VERSION: &str = "0.0.0";

/// The request that `call` is. Its ETag is up to the caller.
pub fn request(call: &Call) -> Result<Request, Refusal> {
    let of =
        |session: &SessionId, rest: &str| Ok::<_, Refusal>(format!("/session/{}{rest}", segment(session.as_str())?));
    let backfill = |session: &SessionId| Ok::<_, Refusal>(format!("/backfill/session/{}", segment(session.as_str())?));
    match call {
        Call::CreateSession(new) => with_body(Method::POST, "/session", &CreateBody::of(new)),
        Call::ReadSession { session } => Ok(bare(Method::GET, &of(session, "")?)),
        Call::FindAllocation { allocation } => {
            Ok(bare(Method::GET, &format!("/session/allocation/{}", segment(allocation.as_str())?)))
        }
        Call::DeleteSession { session } => Ok(bare(Method::DELETE, &of(session, "")?)),
        Call::PostInstance { session, body } => with_body(Method::POST, &of(session, "/instance")?, body),
        Call::PatchInstance { session, body } => with_body(Method::PATCH, &of(session, "/instance")?, body),
        Call::PostHealth { session, instance, health } => {
            let body = HealthUpdate { instance_health: *health, instance_id: instance.clone() };
            with_body(Method::POST, &of(session, "/instance/health")?, &body)
        }
        Call::HealthConfig => Ok(bare(Method::GET, "/instance/health/config")),
        Call::BackfillConfig => Ok(bare(Method::GET, "/backfill/config")),
        Call::AckBackfill { session, body } => with_body(Method::POST, &backfill(session)?, body),
        Call::UpdateBackfill { session, body } => with_body(Method::PATCH, &backfill(session)?, body),
        Call::DeleteBackfill { session, instance } => {
            with_body(Method::DELETE, &backfill(session)?, &BackfillOf { instance_id: instance })
        }
        Call::AddPlayer { session, player, team } => {
            let body = PlayerBody { status: PlayerStatus::Member, team_id: *team };
            with_body(Method::POST, &of(session, &format!("/player/{player}"))?, &body)
        }
        Call::RemovePlayer { session, player } => Ok(bare(Method::DELETE, &of(session, &format!("/player/{player}"))?)),
        Call::UpdateBrowser { session, data } => browser(Method::POST, session, data),
        Call::Audit { session, instance, name, reason, at } => with_body(
            Method::POST,
            "/audit",
            &AuditBody {
                event_name: name,
                session_id: session,
                instance_id: instance,
                reason: reason.as_deref(),
                custom_data: AuditData { at: *at },
            },
        ),
    }
}

/// The browser entry, by `POST` when it isn't listed yet and by `PATCH` when it is.
pub fn browser(method: Method, session: &SessionId, data: &CustomData) -> Result<Request, Refusal> {
    let body = BrowserInfo { custom_data: data.clone(), created_timestamp: None };
    with_body(method, &format!("/session/{}/browser", segment(session.as_str())?), &body)
}

/// `GET /v1/connection-info`.
pub fn connection_info() -> Request {
    bare(Method::GET, "/connection-info")
}

/// The address in its answer.
pub fn seen_address(response: &Response) -> Result<IpAddr, Refusal> {
    Ok(parse::<ConnectionInfo>(response)?.ip)
}

/// What a success says.
pub fn answer(call: &Call, response: &Response) -> Result<Answer, Refusal> {
    if response.status == StatusCode::NOT_MODIFIED {
        return Ok(Answer::NotModified);
    }
    Ok(match call {
        Call::CreateSession(_) => Answer::Created(parse::<Created>(response)?.session_id),
        Call::ReadSession { .. } | Call::FindAllocation { .. } => Answer::Session(Box::new(parse(response)?)),
        Call::PostInstance { .. } | Call::PatchInstance { .. } => Answer::Instance(Box::new(parse(response)?)),
        Call::PostHealth { .. } => Answer::Health(parse::<HealthNow>(response)?.updated_instance_health),
        Call::HealthConfig => Answer::HealthConfig(parse(response)?),
        Call::BackfillConfig => Answer::BackfillConfig(parse(response)?),
        Call::AckBackfill { .. } => Answer::Backfilled(parse::<Backfilled>(response)?.backfilled_players),
        Call::DeleteSession { .. }
        | Call::UpdateBackfill { .. }
        | Call::DeleteBackfill { .. }
        | Call::AddPlayer { .. }
        | Call::RemovePlayer { .. }
        | Call::UpdateBrowser { .. }
        | Call::Audit { .. } => Answer::Done,
    })
}

#[derive(Serialize)]
struct CreateBody<'a> {
    client_version: String,
    client_settings: ClientSettings,
    session_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    region_id: Option<&'a str>,
    force_create: bool,
    settings: Settings<'a>,
}

/// Required of every caller, also of one that is no player.
#[derive(Serialize)]
struct ClientSettings {
    platform: &'static str,
    input: &'static str,
}

#[derive(Serialize)]
struct Settings<'a> {
    joinability: Joinability,
    #[serde(skip_serializing_if = "CustomData::is_empty")]
    custom_data: &'a CustomData,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    teams: Vec<TeamSize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    browser: Option<BrowserInfo>,
}

#[derive(Serialize)]
struct TeamSize {
    max_size: u32,
}

impl<'a> CreateBody<'a> {
    fn of(new: &'a NewSession) -> Self {
        let browser = BrowserInfo { custom_data: new.browser.clone(), created_timestamp: None };
        CreateBody {
            client_version: new.version.as_ref().map_or_else(|| NO_VERSION.to_owned(), ToString::to_string),
            client_settings: ClientSettings { platform: "Anon", input: "keyboardandmouse" },
            session_type: &new.session_type,
            region_id: new.region.as_deref(),
            force_create: true,
            settings: Settings {
                joinability: Joinability { open: new.joinable, ..Joinability::default() },
                custom_data: &new.custom_data,
                teams: new.teams.iter().map(|max_size| TeamSize { max_size: *max_size }).collect(),
                browser: (!new.browser.is_empty()).then_some(browser),
            },
        }
    }
}

#[derive(Serialize)]
struct BackfillOf<'a> {
    instance_id: &'a InstanceId,
}

#[derive(Serialize)]
struct PlayerBody {
    status: PlayerStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    team_id: Option<u32>,
}

#[derive(Serialize)]
struct AuditBody<'a> {
    event_name: &'static str,
    session_id: &'a SessionId,
    instance_id: &'a InstanceId,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    custom_data: AuditData,
}

/// When it happened, which may be long before it could be told.
#[derive(Serialize)]
struct AuditData {
    at: Timestamp,
}

#[derive(Deserialize)]
struct Created {
    session_id: SessionId,
}

#[derive(Deserialize)]
struct HealthNow {
    updated_instance_health: InstanceHealth,
}

#[derive(Deserialize)]
struct Backfilled {
    #[serde(default)]
    backfilled_players: Vec<SessionPlayer>,
}

#[derive(Deserialize)]
struct ConnectionInfo {
    ip: IpAddr,
}

fn bare(method: Method, path: &str) -> Request {
    Request::bare(method, format!("/session/v1{path}"))
}

fn with_body(method: Method, path: &str, body: &impl Serialize) -> Result<Request, Refusal> {
    let body = serde_json::to_vec(body)
        .map_err(|error| Refusal::Invalid { desc: format!("the request can't be written as JSON: {error}") })?;
    Ok(Request { body: Some(body), ..bare(method, path) })
}

/// A body that can't be read leaves open what was done.
fn parse<T: DeserializeOwned>(response: &Response) -> Result<T, Refusal> {
    serde_json::from_slice(&response.body).map_err(|error| Refusal::Ambiguous {
        why: bounded(&format!("the answer ({}) can't be read: {error}", response.status.as_u16())),
    })
}
