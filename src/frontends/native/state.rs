//! `GET /v1/state` and `/v1/status`: served from bytes that are serialised once a change.
//!
//! Nothing is made in advance: the first reader after a change pays for it, the others get the same
//! bytes. The ETag is a hash of the bytes, so that a change which isn't visible leaves every cache
//! valid.

use super::{
    Api,
    extract::{Anyone, Follow, FollowState, Operator, Parameters},
    stream::{self, StreamPlace},
};
use crate::{
    frontends::{Events, events::Levels, http::Problem},
    model::{
        CustomData,
        ids::{AllocationId, InstanceId, MatchId, RunNumber, SessionId},
        ordered::Ports,
        session::{InstanceHealth, JoinStatus},
        status::{PhaseName, Status},
        time::Timestamp,
    },
};
use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::stream::unfold;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::value::RawValue;
use std::{
    convert::Infallible,
    hash::{DefaultHasher, Hasher},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::watch;

/// What a game may know of its agent.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub(crate) struct GameState<'a> {
    pub name: &'a str,
    pub phase: PhaseName,
    #[cfg_attr(test, schema(value_type = Option<u64>))]
    pub run: Option<RunNumber>,
    /// Readiness was proved for this run.
    pub ready: bool,
    pub join_status: Option<JoinStatus>,
    pub instance_health: InstanceHealth,
    pub health_reasons: &'a [String],
    /// Why it drains or closes.
    pub reason: Option<&'a str>,
    /// When the drain or stop under way is over.
    pub deadline: Option<Timestamp>,
    #[cfg_attr(test, schema(value_type = Option<String>))]
    pub session_id: Option<&'a SessionId>,
    #[cfg_attr(test, schema(value_type = Option<String>))]
    pub instance_id: Option<&'a InstanceId>,
    #[cfg_attr(test, schema(value_type = Option<String>))]
    pub allocation_id: Option<&'a AllocationId>,
    #[cfg_attr(test, schema(value_type = Option<String>))]
    pub match_id: Option<&'a MatchId>,
    pub public_conn_str: Option<&'a str>,
    pub private_conn_str: Option<&'a str>,
    pub map: Option<&'a str>,
    pub mode: Option<&'a str>,
    #[cfg_attr(test, schema(value_type = BTreeMap<String, u16>))]
    pub ports: &'a Ports,
    /// 0 also where nothing is known of them.
    pub players: u32,
    pub max_players: Option<u32>,
    #[cfg_attr(test, schema(value_type = BTreeMap<String, String>))]
    pub custom_data: &'a CustomData,
    /// The events that are in force, as `/v1/events` would send them: allocation, backfilled players, drain, stop.
    #[cfg_attr(test, schema(value_type = Vec<crate::model::game::GameNotice>))]
    pub told: Vec<&'a RawValue>,
    /// `Last-Event-ID` for a stream that goes on from here.
    pub last_event_id: String,
}

impl<'a> GameState<'a> {
    fn new(status: &'a Status, levels: &'a Levels, last_event_id: String) -> Self {
        let current = levels.run.is_some() && levels.run == status.game.run;
        let told = levels.events.iter().filter(|_| current);
        GameState {
            name: &status.name,
            phase: status.phase,
            run: status.game.run,
            ready: status.game.ready,
            join_status: status.join_status,
            instance_health: status.instance_health,
            health_reasons: &status.health_reasons,
            reason: status.reason.as_deref(),
            deadline: status.deadline,
            session_id: status.session_id.as_ref(),
            instance_id: status.instance_id.as_ref(),
            allocation_id: status.allocation_id.as_ref(),
            match_id: status.match_id.as_ref(),
            public_conn_str: status.public_conn_str.as_deref(),
            private_conn_str: status.private_conn_str.as_deref(),
            map: status.map.as_deref(),
            mode: status.mode.as_deref(),
            ports: &status.ports,
            players: status.players.unwrap_or(0),
            max_players: status.max_players,
            custom_data: &status.custom_data,
            told: told.filter_map(|event| serde_json::from_slice(&event.json).ok()).collect(),
            last_event_id,
        }
    }
}

/// Bytes and their ETag.
#[derive(Debug, Clone)]
struct Page {
    body: Bytes,
    etag: HeaderValue,
}

impl Page {
    fn new(value: &impl Serialize) -> Self {
        let body = Bytes::from(serde_json::to_vec(value).expect("plain data always serialises"));
        let mut hash = DefaultHasher::new();
        hash.write(&body);
        let etag = HeaderValue::from_str(&format!("\"{:016x}\"", hash.finish())).expect("hexadecimal digits");
        Page { body, etag }
    }

    fn answer(&self, request: &HeaderMap) -> Response {
        let known = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let known = known.flat_map(|value| value.split(',')).map(|tag| tag.trim().trim_start_matches("W/"));
        if known.into_iter().any(|tag| tag == "*" || tag.as_bytes() == self.etag.as_bytes()) {
            return (StatusCode::NOT_MODIFIED, [(header::ETAG, self.etag.clone())]).into_response();
        }
        let json = HeaderValue::from_static("application/json");
        ([(header::CONTENT_TYPE, json), (header::ETAG, self.etag.clone())], self.body.clone()).into_response()
    }
}

/// Both pages, as of the last change.
#[derive(Debug, Default)]
pub(crate) struct PageCache {
    pages: Mutex<Option<CachedPages>>,
}

#[derive(Debug)]
struct CachedPages {
    status: Arc<Status>,
    event: u64,
    game: Page,
    operator: Option<Page>,
}

impl PageCache {
    fn with<T>(
        &self,
        status: &watch::Receiver<Arc<Status>>,
        events: &Events,
        take: impl FnOnce(&mut CachedPages) -> T,
    ) -> T {
        let status = Arc::clone(&status.borrow());
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fresh) =
            pages.as_mut().filter(|pages| Arc::ptr_eq(&pages.status, &status) && pages.event == events.head())
        {
            return take(fresh);
        }
        let (levels, event) = events.levels();
        let game = Page::new(&GameState::new(&status, &levels, super::stream::event_id(events.log_id(), event)));
        take(pages.insert(CachedPages { status, event, game, operator: None }))
    }
}

/// What the game may know. With `If-None-Match`: 304 while nothing has changed.
#[cfg_attr(test, utoipa::path(get, path = "/v1/state", tag = "game",
    params(("if-none-match" = Option<String>, Header, description = "The ETag of an earlier answer")),
    responses((status = 200, body = GameState<'static>, headers(("etag" = String))), (status = 304), (status = "default", body = crate::frontends::http::ErrorBody<'static>)),
    security(("game" = []), ("operator" = []))))]
pub(crate) async fn state(State(api): State<Api>, _: Anyone, headers: HeaderMap) -> Result<Response, Problem> {
    let page = api.pages.with(&api.status, &api.events, |pages| pages.game.clone());
    Ok(page.answer(&headers))
}

/// The agent, whole. With `If-None-Match`: 304 while nothing has changed. With `?follow`: NDJSON, the status now and again after
/// every change, until the agent ends; a slow reader gets the newest and not what lay between.
#[cfg_attr(test, utoipa::path(get, path = "/v1/status", tag = "operator",
    params(("if-none-match" = Option<String>, Header, description = "The ETag of an earlier answer"),
        ("follow" = Option<String>, Query, description = "Go on with every change: empty, `true` or `1`")),
    responses((status = 200, body = Status, headers(("etag" = String))), (status = 304), (status = "default", body = crate::frontends::http::ErrorBody<'static>)),
    security(("operator" = []))))]
pub(crate) async fn status(
    State(api): State<Api>,
    _: Operator,
    Parameters(query): Parameters<FollowState>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    match query.follow {
        Follow::No => Ok(status_page(&api).answer(&headers)),
        Follow::Yes => {
            let place = StreamPlace::take(&api)?;
            Ok(stream::answer(stream::NDJSON, changes(api, place)))
        }
    }
}

fn status_page(api: &Api) -> Page {
    api.pages.with(&api.status, &api.events, |pages| {
        let status = &pages.status;
        pages.operator.get_or_insert_with(|| Page::new(&**status)).clone()
    })
}

/// The status as a line, now and after every change that shows.
fn changes(api: Api, place: StreamPlace) -> Body {
    let mut changed = api.status.clone();
    changed.mark_changed();
    let start = (api, changed, None, place);
    Body::from_stream(unfold(start, |(api, mut changed, mut shown, place)| async move {
        loop {
            changed.changed().await.ok()?;
            let page = status_page(&api);
            if shown.as_ref() != Some(&page.etag) {
                shown = Some(page.etag);
                let line = [&page.body[..], b"\n"].concat();
                return Some((Ok::<_, Infallible>(line), (api, changed, shown, place)));
            }
        }
    }))
}
