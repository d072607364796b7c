//! Sessions: read, update, delete, find by allocation.

use super::create::{apply, hashed, unchangeable};
use crate::{
    model::{
        discovery::{SessionSettings, TeamSettings},
        errors::codes,
        ids::{AllocationId, SessionId},
        parameters,
    },
    service::{
        http::{
            reply::{Outcome, Refused, Reply, not_found, not_permitted},
            request::RequestContext,
            route::{Access, Handler, Row},
        },
        rules::{authz, teams, view::Scope},
        state::Transaction,
        templates::SessionType,
    },
};
use http::{Method, StatusCode};

pub static TABLE: &[Row] = &[
    row!(
        GET "/session/v1/session/{session_id}",
        "get_session_by_id", Access::AnyOf(&["session:read:any", "session:read:self"]), read_session
    ),
    row!(
        PATCH "/session/v1/session/{session_id}",
        "update_session_by_id", Access::AnyOf(&["session:update:any", "session:update:self"]), update_session
    ),
    row!(DELETE "/session/v1/session/{session_id}", "delete_session", Access::Login, delete_session),
    row!(
        PATCH "/session/v1/session/{session_id}/team/{team_id}",
        "update_team_by_id", Access::AnyOf(&["session:update:any", "session:update:self"]), update_team
    ),
    row!(
        GET "/session/v1/session/allocation/{allocation_id}",
        "get_session_by_allocation_id", Access::AnyOf(&["session:read:allocation"]), read_by_allocation
    ),
];

fn read_session(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let refresh = request.refresh_ttl()?;
    let id = tx.session(&request.session_id()?)?.id.clone();
    show(tx, request, &id, refresh)
}

fn read_by_allocation(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let wanted: String = request.path(&parameters::ALLOCATION_ID)?;
    let found = AllocationId::new(wanted.as_str()).ok().and_then(|id| tx.index().by_allocation(&id));
    let id = found.ok_or_else(|| not_found("allocation_not_found", format!("there is no allocation {wanted:?}")))?;
    show(tx, request, &id, true)
}

/// Answers with the session as the caller may see it, and keeps it alive.
pub fn show(tx: &mut Transaction<'_>, request: &RequestContext, id: &SessionId, refresh: bool) -> Outcome {
    tx.touch(id, &request.caller, refresh);
    let entry = tx.view_of(id)?;
    let scope = if authz::sees_all(&entry.record, &request.caller) { Scope::Full } else { Scope::Limited };
    let etag = entry.etag(scope);
    if request.has(&etag) {
        return Ok(Reply::not_modified(etag));
    }
    Ok(Reply::raw(entry.json(scope)).tagged(etag))
}

/// `If-Match`: somebody else was faster.
pub fn if_match(tx: &mut Transaction<'_>, request: &RequestContext, id: &SessionId) -> Outcome<()> {
    let entry = tx.view_of(id)?;
    let (full, limited) = (entry.etag(Scope::Full), entry.etag(Scope::Limited));
    if request.wants_other(&full) && request.wants_other(&limited) {
        let desc = "the session has changed since; read it again";
        return Err(Refused::new(StatusCode::PRECONDITION_FAILED, codes::ETAG_MISMATCH, desc).into());
    }
    Ok(())
}

fn update_session(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let refresh = request.refresh_ttl()?;
    let session = tx.session(&request.session_id()?)?;
    authz::admin(&session, &request.caller, &["session:update:any"], "update this session")?;
    let wanted: SessionSettings = request.body()?;
    if_match(tx, request, &session.id)?;
    unchangeable(&session, &wanted)?;
    let hash = hashed(wanted.password.as_ref(), request)?;
    let (settings, now) = (tx.settings.clone(), tx.now.wall);
    let team_size = settings.session_types.get(&session.session_type).map(|kind| kind.players_per_team);
    let team_size = team_size.unwrap_or_else(|| SessionType::default().players_per_team);
    tx.update(&session.id, |session| apply(session, &wanted, team_size, hash, now))?;
    show(tx, request, &session.id, refresh)
}

fn update_team(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let refresh = request.refresh_ttl()?;
    let session = tx.session(&request.session_id()?)?;
    authz::admin(&session, &request.caller, &["session:update:any"], "update this session's teams")?;
    let number: i64 = request.path(&parameters::TEAM_ID)?;
    let number = u32::try_from(number).map_err(|_| not_found(codes::NOT_FOUND, "there is no such team"))?;
    let change: TeamSettings = request.body()?;
    if_match(tx, request, &session.id)?;
    tx.update(&session.id, |session| teams::change_team(session, number, &change))?;
    tx.touch(&session.id, &request.caller, refresh);
    let entry = tx.view_of(&session.id)?;
    let team = entry.record.teams.get(number as usize);
    Ok(Reply::json(&team).tagged(entry.etag(Scope::Full)))
}

fn delete_session(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let session = tx.session(&request.session_id()?)?;
    let caller = &request.caller;
    if !caller.may(&["session:delete:any"]) && !authz::role(&session, caller).admin {
        return Err(not_permitted("delete this session"));
    }
    request.refresh_ttl()?;
    tx.remove(&session.id)?;
    Ok(Reply::nothing())
}
