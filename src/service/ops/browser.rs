//! The browser: sessions that are listed, by type and region.

use super::{config::own_network, discovery::MOST_CANDIDATES, sessions::if_match};
use crate::{
    model::{
        discovery::{BrowserPage, BrowserUpdate, ListedSession},
        parameters::BrowserQuery,
        session::BrowserInfo,
    },
    service::{
        http::{
            reply::{Outcome, Reply, forbidden, not_found},
            request::RequestContext,
            route::{Access, Handler, Row},
        },
        rules::{authz, record::SessionRecord, view::Scope},
        state::Transaction,
    },
};
use http::Method;
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
    let BrowserQuery { session_type: kind, region_id: region, cursor, page_size } = request.query()?;
    let size = page_size as usize;
    let near = own_network(tx, request);
    let (mut found, mut next) = (Vec::new(), 0);
    for (looked, (number, id)) in tx.index().listed_from(&kind, cursor.into()).enumerate() {
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
    Ok(super::config::tagged(request, &BrowserPage { cursor: next, browser_sessions: found }))
}

/// A session as the browser shows it.
pub fn listed(session: &SessionRecord) -> ListedSession {
    let custom_data = session.browser.as_ref().map(|browser| browser.custom_data.clone());
    ListedSession {
        session_id: session.id.clone(),
        instance_health: session.instance.as_ref().and_then(|instance| instance.info.instance_health),
        player_count: session.active().count() as u32,
        max_player_count: session.max_players().clamp(1, 100),
        custom_data: custom_data.unwrap_or_default(),
    }
}

fn session_to_list(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome<Arc<SessionRecord>> {
    let session = tx.session(&request.session_id()?)?;
    authz::admin(&session, &request.caller, &[], "list this session in the browser")?;
    if_match(tx, request, &session.id)?;
    Ok(session)
}

fn post(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let refresh = request.refresh_ttl()?;
    let session = session_to_list(tx, request)?;
    let kind = tx.settings.session_types.get(&session.session_type);
    let listable = kind.is_some_and(|kind| kind.can_be_added_to_server_browser || kind.auto_add_to_browser);
    if request.caller.player.is_some() && !listable && !request.caller.may(&["session:update:any"]) {
        return Err(forbidden("not_listable", "sessions of this type may not be listed by players"));
    }
    let BrowserUpdate { custom_data, .. } = request.body()?;
    let info = BrowserInfo { custom_data: custom_data.unwrap_or_default(), created_timestamp: Some(tx.now.wall) };
    write(tx, request, &session, Some(info), refresh)
}

fn patch(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let refresh = request.refresh_ttl()?;
    let session = session_to_list(tx, request)?;
    let mut info =
        session.browser.clone().ok_or_else(|| not_found("browser_not_found", "the session is not listed"))?;
    let BrowserUpdate { custom_data, .. } = request.body()?;
    info.custom_data = custom_data.unwrap_or(info.custom_data);
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
