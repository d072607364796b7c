//! The browser: sessions that are listed, by type and region.

use super::{config::own_network, discovery::MOST_CANDIDATES, sessions::if_match};
use crate::{
    model::{CustomData, session::BrowserInfo},
    service::{
        http::{
            read::{self, custom_data, timestamp},
            reply::{Interrupt, Outcome, Reply, forbidden, not_found},
            request::RequestContext,
            route::{Access, Row, Run},
        },
        rules::{authz, record::SessionRecord, view::Scope},
        state::Transaction,
    },
};
use http::Method;
use serde_json::{Map, Value, json};
use std::sync::Arc;

const WRITE: Access = Access::AnyOf(&["session:update:browser"]);

pub static TABLE: &[Row] = &[
    row!(GET "/session/v1/browser", "get_browser_sessions_by_type", Access::AnyOf(&["session:read:browser"]), list),
    row!(POST "/session/v1/session/{session_id}/browser", "post_browser_info", WRITE, post),
    row!(PATCH "/session/v1/session/{session_id}/browser", "update_browser_info", WRITE, patch),
    row!(DELETE "/session/v1/session/{session_id}/browser", "delete_browser_info", WRITE, delete),
];

/// The cursor is the number of the session to go on from; 0 means the end. A page may be short where many sessions don't fit.
fn list(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let missing = || {
        let mut faults = read::ValidationErrors::default();
        faults.add(&["query".into(), "session_type".into()], "value_error.missing", "field required");
        Interrupt::Invalid(faults.0)
    };
    let kind = request.raw_query("session_type").ok_or_else(missing)?;
    let region = request.query_as("region_id", read::id)?;
    let cursor = u64::from(request.query_number("cursor", 0, u32::MAX, 0)?);
    let size = request.query_number("page_size", 1, 50, 50)? as usize;
    let near = own_network(tx, request);
    let (mut found, mut next) = (Vec::new(), 0);
    for (looked, (number, id)) in tx.index().listed_from(kind, cursor).enumerate() {
        let Some(entry) = tx.stored(id) else { continue };
        let record = entry.record();
        let elsewhere = region.is_some() && record.region_id != region;
        let shown = !(entry.hidden || elsewhere || (record.lan && !near));
        if looked == MOST_CANDIDATES || (shown && found.len() == size) {
            next = number;
            break;
        }
        if shown {
            tx.durability([entry.seq]);
            found.push(listed(record));
        }
    }
    Ok(super::config::tagged(request, &json!({ "cursor": next, "browser_sessions": found })))
}

/// `BrowserSessionInfo`.
pub fn listed(session: &SessionRecord) -> Value {
    let mut view = Map::new();
    view.insert("session_id".into(), session.id.as_str().into());
    if let Some(health) = session.instance.as_ref().and_then(|instance| instance.info.instance_health) {
        view.insert("instance_health".into(), json!(health));
    }
    view.insert("player_count".into(), session.active().count().into());
    view.insert("max_player_count".into(), session.max_players().clamp(1, 100).into());
    if let Some(browser) = session.browser.as_ref().filter(|browser| !browser.custom_data.is_empty()) {
        view.insert("custom_data".into(), json!(browser.custom_data));
    }
    Value::Object(view)
}

fn session_to_list(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome<Arc<SessionRecord>> {
    let session = tx.session(&request.session_id()?)?;
    authz::admin(&session, &request.caller, &[], "list this session in the browser")?;
    if_match(tx, request, &session.id)?;
    Ok(session)
}

fn data(request: &RequestContext) -> Outcome<Option<CustomData>> {
    request.body(|object| {
        object.optional("created_timestamp", timestamp);
        Some(object.optional("custom_data", custom_data))
    })
}

fn post(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let refresh = request.refresh_ttl()?;
    let session = session_to_list(tx, request)?;
    let kind = tx.settings.session_types.get(&session.session_type);
    let listable = kind.is_some_and(|kind| kind.can_be_added_to_server_browser || kind.auto_add_to_browser);
    if request.caller.player.is_some() && !listable && !request.caller.may(&["session:update:any"]) {
        return Err(forbidden("not_listable", "sessions of this type may not be listed by players"));
    }
    let data = data(request)?.unwrap_or_default();
    let info = BrowserInfo { custom_data: data, created_timestamp: Some(tx.now.wall) };
    write(tx, request, &session, Some(info), refresh)
}

fn patch(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let refresh = request.refresh_ttl()?;
    let session = session_to_list(tx, request)?;
    let mut info =
        session.browser.clone().ok_or_else(|| not_found("browser_not_found", "the session is not listed"))?;
    info.custom_data = data(request)?.unwrap_or(info.custom_data);
    write(tx, request, &session, Some(info), refresh)
}

fn delete(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let refresh = request.refresh_ttl()?;
    let session = session_to_list(tx, request)?;
    write(tx, request, &session, None, refresh)?;
    Ok(Reply::nothing())
}

fn write(
    tx: &mut Transaction<'_>,
    request: &RequestContext,
    session: &SessionRecord,
    info: Option<BrowserInfo>,
    refresh: bool,
) -> Outcome {
    tx.update(&session.id, |session| {
        session.browser.clone_from(&info);
        Ok(())
    })?;
    tx.touch(&session.id, &request.caller, refresh);
    let etag = tx.view_of(&session.id)?.etag(Scope::Full);
    Ok(Reply::json(&info.unwrap_or_default()).tagged(etag))
}
