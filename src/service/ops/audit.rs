//! Audit: read what happened to a session or a player, and add to it. What callers add is named
//! `customer.…`.

use crate::{
    model::{
        audit::{AuditPage, CreateAuditRequest, Noted},
        errors::codes,
        parameters::AuditQuery,
    },
    service::{
        http::{
            reply::{Outcome, Reply, conflict, not_permitted},
            request::RequestContext,
            route::{Access, Handler, Row},
        },
        rules::authz,
        state::{
            Transaction,
            audit::{CALLERS, Event, Query},
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
    Ok(Reply::json(&AuditPage { events }))
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

/// For members of the session, and its host to the end; about oneself alone, where that is all that a token permits.
fn write_audit(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let new: CreateAuditRequest = request.body()?;
    let session = tx.session(new.session_id.as_str())?;
    let caller = &request.caller;
    let member = authz::role(&session, caller).active || authz::was_host(&session, caller);
    let others = new.players.as_ref().is_some_and(|players| !players.is_empty());
    let about_oneself = new.player_uuid.is_some() && new.player_uuid == caller.player && !others;
    let may = caller.may(&["session-audit:update:all", "session-player-audit:update:all"])
        || (member && caller.may(&["session-audit:update:self"]))
        || (member && about_oneself && caller.may(&["session-player-audit:update:self"]));
    if !may {
        return Err(not_permitted("add to this audit"));
    }
    let event_name = format!("{CALLERS}{}", new.event_name).chars().take(128).collect::<String>();
    let event =
        Event { event_name, session_id: session.id.as_str().to_owned(), ..Event::of(&new, caller.player, tx.now.wall) };
    let bytes = event.bytes();
    if bytes > MOST_BYTES {
        let desc = format!("the event has {bytes} bytes; one may have {MOST_BYTES}");
        return Err(conflict(codes::RECORD_TOO_LARGE, desc));
    }
    tx.record_event(event);
    Ok(Reply::json(&Noted::default()))
}

/// The largest event, as it is stored: a page of 50 stays below 4 MiB.
const MOST_BYTES: usize = 64 << 10;
