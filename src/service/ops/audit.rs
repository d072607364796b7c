//! Audit: read what happened to a session or a player, and add to it. What callers add is named `customer.…`.

use super::bodies::{self, PLATFORMS, word};
use crate::{
    model::ids::PlayerUuid,
    service::{
        http::{
            read::{
                self, JsonCursor, Object, ValidationErrors, any_text, custom_data, flag, id, list, number, one_of,
                text, uuid,
            },
            reply::{Outcome, Reply, not_permitted},
            request::RequestContext,
            route::{Access, Row, Run},
        },
        rules::authz,
        state::{
            Transaction,
            audit::{Event, Query},
        },
    },
};
use ::http::Method;
use serde_json::{Map, Value, json};

pub static TABLE: &[Row] = &[
    row!(
        GET "/session/v1/audit", "get_session_audit",
        Access::AnyOf(&[
            "session-audit:read:all",
            "session-audit:read:self",
            "session-player-audit:read:all",
            "session-player-audit:read:self",
        ]),
        read_audit
    ),
    row!(
        POST "/session/v1/audit", "create_session_audit",
        Access::AnyOf(&[
            "session-audit:update:all",
            "session-audit:update:self",
            "session-player-audit:update:all",
            "session-player-audit:update:self",
        ]),
        write_audit
    ),
];

fn read_audit(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let query = Query {
        session_id: request.query_as("session_id", id)?,
        player: request.query_as("player_uuid", read::player)?,
        from: request.query_as("start_date", when)?,
        to: request.query_as("end_date", when)?,
    };
    may_read(tx, request, &query)?;
    let page = request.query_number("page_num", 0, 1_000_000, 0)? as usize;
    let size = request.query_number("page_size", 1, 50, 50)? as usize;
    let events = tx.audit().page(&query, page, size);
    let events: Vec<&Event> = events.iter().map(|event| &**event).collect();
    Ok(Reply::json(&json!({ "events": events })))
}

/// A date-time of a query: Unix seconds come as text there.
fn when(at: JsonCursor<'_>, faults: &mut ValidationErrors) -> Option<crate::model::time::Timestamp> {
    let seconds = at.value.as_str().and_then(|text| text.parse::<i64>().ok()).map(Value::from);
    match &seconds {
        Some(seconds) => read::timestamp(JsonCursor::query("start_date", seconds), faults),
        None => read::timestamp(at, faults),
    }
}

fn may_read(tx: &mut Transaction<'_>, request: &RequestContext, query: &Query) -> Outcome<()> {
    let caller = &request.caller;
    let own = query.player.is_some() && query.player == caller.player;
    let by_player = query.player.is_some()
        && (caller.may(&["session-player-audit:read:all"]) || (own && caller.may(&["session-player-audit:read:self"])));
    let member =
        |tx: &mut Transaction<'_>, id: &str| tx.session(id).is_ok_and(|session| authz::role(&session, caller).active);
    let by_session = query.session_id.as_deref().is_some_and(|id| {
        caller.may(&["session-audit:read:all"]) || (caller.may(&["session-audit:read:self"]) && member(tx, id))
    });
    let everything = caller.may(&["session-audit:read:all"]);
    if by_player || by_session || everything { Ok(()) } else { Err(not_permitted("read this audit")) }
}

struct New {
    event_name: String,
    session_id: String,
    more: Map<String, Value>,
    player: Option<PlayerUuid>,
    players: Vec<PlayerUuid>,
}

fn new(object: &mut Object<'_, '_>) -> Option<New> {
    let event_name = object.required("event_name", id);
    let session_id = object.required("session_id", id);
    let player = object.optional("player_uuid", read::player);
    let players = object.optional("players", list(0, 1000, read::player)).unwrap_or_default();
    Some(New { more: members(object), event_name: event_name?, session_id: session_id?, player, players })
}

/// The contract's optional members, each checked, kept as they came.
fn members(object: &mut Object<'_, '_>) -> Map<String, Value> {
    let mut kept = Map::new();
    for name in ["reason", "session_type", "version", "map", "mode", "ticket_id"] {
        keep(&mut kept, object, name, any_text);
    }
    for name in IDS {
        keep(&mut kept, object, name, id);
    }
    for name in ["host_player_uuid", "instance_request_template"] {
        keep(&mut kept, object, name, uuid);
    }
    keep(&mut kept, object, "platform_session_id", text(1, 4096));
    keep(&mut kept, object, "custom_data", custom_data);
    keep(&mut kept, object, "joinable", flag);
    keep(&mut kept, object, "joinability", bodies::joinability);
    keep(&mut kept, object, "team_id", read::unsigned(0, u32::MAX));
    keep(&mut kept, object, "ticket_wait_seconds", read::integer(i64::MIN, i64::MAX));
    keep(&mut kept, object, "map_preferences", list(0, 100, any_text));
    keep(&mut kept, object, "source", word(&["BACKFILL", "MATCHMAKING", "PLAYER"]));
    keep(&mut kept, object, "platform", word(PLATFORMS));
    keep(&mut kept, object, "client_settings", bodies::client_settings);
    keep(&mut kept, object, "crossplay_preferences", bodies::crossplay);
    keep(&mut kept, object, "player_status", one_of::<crate::model::player::PlayerStatus>);
    keep(&mut kept, object, "host_type", one_of::<crate::model::session::HostType>);
    keep(&mut kept, object, "join_status", one_of::<crate::model::session::JoinStatus>);
    keep(&mut kept, object, "instance_health", one_of::<crate::model::session::InstanceHealth>);
    keep(&mut kept, object, "join_params", bodies::join_params);
    keep(&mut kept, object, "updated_teams", list(0, 50, updated_team));
    keep(&mut kept, object, "additional_params", additional_params);
    kept
}

const IDS: [&str; 10] = [
    "region_id",
    "invited_session_id",
    "removed_session_id",
    "instance_id",
    "allocation_id",
    "queue_id",
    "queued_session_id",
    "match_id",
    "match_making_profile_id",
    "source_session_id",
];

fn keep<'v, T: serde::Serialize>(
    kept: &mut Map<String, Value>,
    object: &mut Object<'v, '_>,
    name: &'v str,
    parse: impl FnOnce(JsonCursor<'v>, &mut ValidationErrors) -> Option<T>,
) {
    if let Some(value) = object.optional(name, parse) {
        kept.insert(name.to_owned(), serde_json::to_value(value).unwrap_or_default());
    }
}

fn updated_team(at: JsonCursor<'_>, faults: &mut ValidationErrors) -> Option<Value> {
    let change = bodies::team_change(at, faults)?;
    let mut kept = Map::new();
    kept.extend(change.max_size.map(|size| ("max_size".to_owned(), size.into())));
    kept.extend(change.custom_data.map(|data| ("custom_data".to_owned(), json!(data))));
    Some(Value::Object(kept))
}

fn additional_params(at: JsonCursor<'_>, faults: &mut ValidationErrors) -> Option<Value> {
    let mut object = at.object(faults)?;
    let mut kept = Map::new();
    keep(&mut kept, &mut object, "string_args", custom_data);
    keep(&mut kept, &mut object, "extensions", custom_data);
    keep(&mut kept, &mut object, "tags", list(0, 100, text(1, 4096)));
    keep(&mut kept, &mut object, "double_args", numbers);
    Some(Value::Object(kept))
}

fn numbers(at: JsonCursor<'_>, faults: &mut ValidationErrors) -> Option<Value> {
    let value = at.value;
    let members = value.as_object()?;
    let mut object = at.object(faults)?;
    let names: Vec<&String> = members.keys().collect();
    let good = names.iter().all(|name| object.optional(name, number).is_some());
    good.then(|| value.clone())
}

fn write_audit(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let new = request.body(new)?;
    let session = tx.session(&new.session_id)?;
    let caller = &request.caller;
    let member = authz::role(&session, caller).active;
    let own = new.player.is_some() && new.player == caller.player && new.players.is_empty();
    let may = caller.may(&["session-audit:update:all", "session-player-audit:update:all"])
        || (member && caller.may(&["session-audit:update:self"]))
        || (own && caller.may(&["session-player-audit:update:self"]));
    if !may {
        return Err(not_permitted("add to this audit"));
    }
    let mut more = new.more;
    if let Some(player) = caller.player {
        more.insert("requesting_user_uuid".to_owned(), json!(player));
    }
    // Each player named gets an event of its own.
    let about: Vec<Option<PlayerUuid>> =
        if new.players.is_empty() { vec![new.player] } else { new.players.into_iter().map(Some).collect() };
    for player in about {
        tx.record_event(Event {
            event_name: format!("customer.{}", new.event_name).chars().take(128).collect(),
            session_id: session.id.as_str().to_owned(),
            event_datetime: tx.now.wall,
            player_uuid: player,
            more: more.clone(),
        });
    }
    Ok(Reply::json(&json!({})))
}
