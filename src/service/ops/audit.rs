//! Audit: read what happened to a session or a player, and add to it. What callers add is named
//! `customer.…`.

use crate::{
    model::{
        audit::{AuditPage, CreateAuditRequest, Noted},
        ids::PlayerUuid,
        parameters::AuditQuery,
    },
    service::{
        http::{
            reply::{Outcome, Reply, not_permitted},
            request::RequestContext,
            route::{Access, Handler, Row},
        },
        rules::authz,
        state::{
            Transaction,
            audit::{Event, Query},
        },
    },
};
use ::http::Method;

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
    let asked: AuditQuery = request.query()?;
    let query =
        Query { session_id: asked.session_id, player: asked.player_uuid, from: asked.start_date, to: asked.end_date };
    may_read(tx, request, &query)?;
    let events = tx.audit().page(&query, asked.page_num as usize, asked.page_size as usize);
    Ok(Reply::json(&AuditPage { events: events.iter().filter_map(|event| event.shown()).collect() }))
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

fn write_audit(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let new: CreateAuditRequest = request.body()?;
    let session = tx.session(new.session_id.as_str())?;
    let caller = &request.caller;
    let member = authz::role(&session, caller).active;
    let players = new.players.clone().unwrap_or_default();
    let own = new.player_uuid.is_some() && new.player_uuid == caller.player && players.is_empty();
    let may = caller.may(&["session-audit:update:all", "session-player-audit:update:all"])
        || (member && caller.may(&["session-audit:update:self"]))
        || (own && caller.may(&["session-player-audit:update:self"]));
    if !may {
        return Err(not_permitted("add to this audit"));
    }
    // Each player named gets an event of its own.
    let about: Vec<Option<PlayerUuid>> =
        if players.is_empty() { vec![new.player_uuid] } else { players.into_iter().map(Some).collect() };
    let event_name = format!("customer.{}", new.event_name).chars().take(128).collect::<String>();
    for player_uuid in about {
        let event = Event {
            event_name: event_name.clone(),
            session_id: session.id.as_str().to_owned(),
            player_uuid,
            ..Event::of(&new, caller.player, tx.now.wall)
        };
        tx.record_event(event);
    }
    Ok(Reply::json(&Noted::default()))
}
