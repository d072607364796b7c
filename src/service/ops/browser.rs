//! The browser: sessions that are listed, by type and region.

use super::{config::own_network, sessions::if_match};
use crate::{
    model::{CustomData, session::BrowserInfo},
    service::{
        http::{
            asked::Asked,
            read::{self, custom_data, timestamp},
            reply::{Outcome, Reply, Stop, forbidden, not_found},
            route::{Needs, Row, Run},
        },
        rules::{gate, record::SessionRecord, view::Scope},
        world::World,
    },
};
use http::Method;
use serde_json::{Map, Value, json};
use std::sync::Arc;

const WRITE: Needs = Needs::AnyOf(&["session:update:browser"]);

pub static TABLE: &[Row] = &[
    row!(GET "/session/v1/browser", "get_browser_sessions_by_type", Needs::AnyOf(&["session:read:browser"]), list),
    row!(POST "/session/v1/session/{session_id}/browser", "post_browser_info", WRITE, post),
    row!(PATCH "/session/v1/session/{session_id}/browser", "update_browser_info", WRITE, patch),
    row!(DELETE "/session/v1/session/{session_id}/browser", "delete_browser_info", WRITE, delete),
];

/// The cursor is the number of the session to go on from; 0 means the end.
fn list(world: &mut World, asked: &Asked) -> Outcome {
    let missing = || {
        let mut faults = read::Faults::default();
        faults.add(&["query".into(), "session_type".into()], "value_error.missing", "field required");
        Stop::Invalid(faults.0)
    };
    let kind = asked.raw_query("session_type").ok_or_else(missing)?;
    let region = asked.query_as("region_id", read::id)?;
    let cursor = u64::from(asked.query_number("cursor", 0, u32::MAX, 0)?);
    let size = asked.query_number("page_size", 1, 50, 50)? as usize;
    let ids: Vec<_> = world.index().of_type(kind, cursor).map(|(number, id)| (number, id.clone())).collect();
    let near = own_network(world, asked);
    let (mut found, mut next) = (Vec::new(), 0);
    for (number, id) in ids {
        let entry = world.entry(id.as_str())?;
        let elsewhere = region.is_some() && entry.record.region_id != region;
        if entry.hidden || elsewhere || entry.record.browser.is_none() || (entry.record.lan && !near) {
            continue;
        }
        if found.len() == size {
            next = number;
            break;
        }
        found.push(listed(&entry.record));
    }
    Ok(super::config::tagged(asked, &json!({ "cursor": next, "browser_sessions": found })))
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

fn session_to_list(world: &mut World, asked: &Asked) -> Outcome<Arc<SessionRecord>> {
    let session = world.session(&asked.session_id()?)?;
    gate::admin(&session, &asked.caller, &[], "list this session in the browser")?;
    if_match(world, asked, &session.id)?;
    Ok(session)
}

fn data(asked: &Asked) -> Outcome<Option<CustomData>> {
    asked.body(|object| {
        object.optional("created_timestamp", timestamp);
        Some(object.optional("custom_data", custom_data))
    })
}

fn post(world: &mut World, asked: &Asked) -> Outcome {
    let session = session_to_list(world, asked)?;
    let kind = world.settings.session_types.get(&session.session_type);
    let listable = kind.is_some_and(|kind| kind.can_be_added_to_server_browser || kind.auto_add_to_browser);
    if asked.caller.player.is_some() && !listable && !asked.caller.may(&["session:update:any"]) {
        return Err(forbidden("not_listable", "sessions of this type may not be listed by players"));
    }
    let data = data(asked)?.unwrap_or_default();
    let info = BrowserInfo { custom_data: data, created_timestamp: Some(world.now.wall) };
    write(world, asked, &session, Some(info))
}

fn patch(world: &mut World, asked: &Asked) -> Outcome {
    let session = session_to_list(world, asked)?;
    let mut info =
        session.browser.clone().ok_or_else(|| not_found("browser_not_found", "the session is not listed"))?;
    info.custom_data = data(asked)?.unwrap_or(info.custom_data);
    write(world, asked, &session, Some(info))
}

fn delete(world: &mut World, asked: &Asked) -> Outcome {
    let session = session_to_list(world, asked)?;
    write(world, asked, &session, None)?;
    Ok(Reply::nothing())
}

fn write(world: &mut World, asked: &Asked, session: &SessionRecord, info: Option<BrowserInfo>) -> Outcome {
    world.update(&session.id, |session| {
        session.browser.clone_from(&info);
        Ok(())
    })?;
    world.touch(&session.id, &asked.caller, asked.refresh_ttl()?);
    let etag = world.entry(session.id.as_str())?.etag(Scope::Full);
    Ok(Reply::json(&info.unwrap_or_default()).tagged(etag))
}
