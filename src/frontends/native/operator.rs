//! Orders of an operator. A refusal is a status with its code; see [`Refused`].

use super::{
    Api, OperatorRequest,
    extract::{Json, Operator, invalid, text},
};
use crate::{
    frontends::http::Problem,
    model::{
        allocation::Allocation,
        game::Admission,
        orders::{Accepted, After, Order, Refused},
        session::StartupParams,
    },
};
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use std::time::Duration;
use tokio::sync::oneshot;

/// An order that isn't decided within this time is answered with 504; it may still be carried out.
const ORDER_TIMEOUT: Duration = Duration::from_secs(120);
const MAX_REASON: usize = 512;

type Answer = Result<axum::Json<Accepted>, Problem>;

/// Why, and what follows.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Drain {
    #[serde(default)]
    #[cfg_attr(test, schema(max_length = 512))]
    pub reason: Option<String>,
    /// What follows; the agent's end if nothing is said.
    #[serde(default = "end")]
    pub then: After,
}

fn end() -> After {
    After::End
}

/// The reason, and whether it is urgent.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Stop {
    #[serde(default)]
    #[cfg_attr(test, schema(max_length = 512))]
    pub reason: Option<String>,
    /// A stop that is under way already takes its next step at once.
    #[serde(default)]
    pub now: bool,
}

/// Whether the supervisor shall start a new agent.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Detach {
    #[serde(default)]
    pub restart: bool,
}

/// Whether new players may come.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SetGate {
    pub joinable: bool,
}

async fn submit(api: &Api, order: Order) -> Answer {
    let ending = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "ending", "the agent is ending and takes no orders");
    let (reply, answer) = oneshot::channel();
    api.operators()?.requests.send(OperatorRequest { order, reply }).await.map_err(|_| ending())?;
    match tokio::time::timeout(ORDER_TIMEOUT, answer).await {
        Ok(Ok(Ok(accepted))) => Ok(axum::Json(accepted)),
        Ok(Ok(Err(refused))) => Err(Problem::from(&refused)),
        Ok(Err(_)) => Err(ending()),
        Err(_) => Err(Problem::new(StatusCode::GATEWAY_TIMEOUT, "no_answer", "not decided yet; look at /v1/status")),
    }
}

impl From<&Refused> for Problem {
    fn from(refused: &Refused) -> Self {
        let status = StatusCode::from_u16(refused.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Problem::new(status, refused.code(), refused.to_string())
    }
}

fn check_reason(reason: Option<&String>) -> Result<(), Problem> {
    reason.map_or(Ok(()), |reason| text("reason", reason, 0..=MAX_REASON))
}

/// Allocates this server. The same id again gives the same answer; another while busy 409. Without a map, that of the session
/// or of the configuration is played.
#[cfg_attr(test, utoipa::path(post, path = "/v1/allocation", tag = "operator", request_body = Allocation,
    responses((status = 200, body = Accepted), (status = "default", body = crate::frontends::http::ErrorBody<'static>)), security(("operator" = []))))]
pub(crate) async fn allocation(State(api): State<Api>, _: Operator, Json(allocation): Json<Allocation>) -> Answer {
    if allocation.startup_params.as_ref() == Some(&StartupParams::default()) {
        return Err(invalid("startup_params say nothing: name a map, or leave them out"));
    }
    submit(&api, Order::Allocate(Box::new(allocation))).await
}

/// Players may finish; then the server ends, or waits for the next allocation.
#[cfg_attr(test, utoipa::path(post, path = "/v1/drain", tag = "operator", request_body = Drain,
    responses((status = 200, body = Accepted), (status = "default", body = crate::frontends::http::ErrorBody<'static>)), security(("operator" = []))))]
pub(crate) async fn drain(State(api): State<Api>, _: Operator, Json(body): Json<Drain>) -> Answer {
    check_reason(body.reason.as_ref())?;
    submit(&api, Order::Drain { reason: body.reason, then: body.then }).await
}

/// The stop sequence at once, then the agent ends.
#[cfg_attr(test, utoipa::path(post, path = "/v1/stop", tag = "operator", request_body = Stop,
    responses((status = 200, body = Accepted), (status = "default", body = crate::frontends::http::ErrorBody<'static>)), security(("operator" = []))))]
pub(crate) async fn stop(State(api): State<Api>, _: Operator, Json(body): Json<Stop>) -> Answer {
    check_reason(body.reason.as_ref())?;
    submit(&api, Order::Stop { reason: body.reason, now: body.now }).await
}

/// The agent ends and the match goes on under the keeper.
#[cfg_attr(test, utoipa::path(post, path = "/v1/detach", tag = "operator", request_body = Detach,
    responses((status = 200, body = Accepted), (status = "default", body = crate::frontends::http::ErrorBody<'static>)), security(("operator" = []))))]
pub(crate) async fn detach(State(api): State<Api>, _: Operator, Json(body): Json<Detach>) -> Answer {
    submit(&api, Order::Detach { restart: body.restart }).await
}

/// Opens or closes the server to new players, whatever the game says.
#[cfg_attr(test, utoipa::path(post, path = "/v1/gate", tag = "operator", request_body = SetGate,
    responses((status = 200, body = Accepted), (status = "default", body = crate::frontends::http::ErrorBody<'static>)), security(("operator" = []))))]
pub(crate) async fn gate(State(api): State<Api>, _: Operator, Json(body): Json<SetGate>) -> Answer {
    submit(&api, Order::Admission(if body.joinable { Admission::Open } else { Admission::Closed })).await
}
