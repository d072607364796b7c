//! Routes about the agent itself, without a token: liveness, readiness, metrics, the API's
//! description.

use super::{Api, openapi};
use crate::frontends::http::Problem;
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use std::time::Duration;
use tokio::sync::oneshot;

/// A driver that doesn't answer within this time is stuck.
const LIVENESS_TIMEOUT: Duration = Duration::from_secs(2);

/// 200 while the deciding loop makes progress.
#[cfg_attr(test, utoipa::path(get, path = "/livez", tag = "meta",
    responses((status = 200, body = String, content_type = "text/plain"), (status = 503, body = crate::frontends::http::ErrorBody<'static>))))]
pub(crate) async fn livez(State(api): State<Api>) -> Result<&'static str, Problem> {
    let (ask, answer) = oneshot::channel();
    let liveness = &api.operators()?.liveness;
    let asked = async {
        liveness.send(ask).await.ok()?;
        answer.await.ok()
    };
    match tokio::time::timeout(LIVENESS_TIMEOUT, asked).await {
        Ok(Some(())) => Ok("ok\n"),
        Ok(None) => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "ending", "the agent is ending")),
        Err(_) => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stuck", "the deciding loop makes no progress")),
    }
}

/// 200 once the journal was replayed and the keeper is connected.
#[cfg_attr(test, utoipa::path(get, path = "/readyz", tag = "meta",
    responses((status = 200, body = String, content_type = "text/plain"), (status = 503, body = crate::frontends::http::ErrorBody<'static>))))]
pub(crate) async fn readyz(State(api): State<Api>) -> Result<&'static str, Problem> {
    if api.status.borrow().keeper.connected {
        return Ok("ok\n");
    }
    Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no_keeper", "the keeper is not connected"))
}

/// Figures in the text format of Prometheus (OpenMetrics).
#[cfg_attr(test, utoipa::path(get, path = "/metrics", tag = "meta",
    responses((status = 200, body = String, content_type = "application/openmetrics-text"))))]
pub(crate) async fn metrics(State(api): State<Api>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], super::metrics::text(&api)).into_response()
}

/// This description.
#[cfg_attr(test, utoipa::path(get, path = "/openapi.json", tag = "meta", responses((status = 200, body = Object))))]
pub(crate) async fn description() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], openapi::TEXT.text()).into_response()
}
