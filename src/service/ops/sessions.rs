//! Sessions: read, update, delete, find by allocation.

use super::{
    bodies,
    create::{apply, change, hashed, unchangeable},
};
use crate::{
    model::{
        errors::codes,
        ids::{AllocationId, SessionId},
    },
    service::{
        http::{
            asked::Asked,
            reply::{Outcome, Refused, Reply, not_found, not_permitted},
            route::{Needs, Row, Run},
        },
        rules::{gate, teams, view::Scope},
        world::World,
    },
};
use http::{Method, StatusCode};

pub static TABLE: &[Row] = &[
    row!(
        GET "/session/v1/session/{session_id}",
        "get_session_by_id", Needs::AnyOf(&["session:read:any", "session:read:self"]), read_session
    ),
    row!(
        PATCH "/session/v1/session/{session_id}",
        "update_session_by_id", Needs::AnyOf(&["session:update:any", "session:update:self"]), update_session
    ),
    row!(DELETE "/session/v1/session/{session_id}", "delete_session", Needs::Login, delete_session),
    row!(
        PATCH "/session/v1/session/{session_id}/team/{team_id}",
        "update_team_by_id", Needs::AnyOf(&["session:update:any", "session:update:self"]), update_team
    ),
    row!(
        GET "/session/v1/session/allocation/{allocation_id}",
        "get_session_by_allocation_id", Needs::AnyOf(&["session:read:allocation"]), read_by_allocation
    ),
];

fn read_session(world: &mut World, asked: &Asked) -> Outcome {
    let id = world.session(&asked.session_id()?)?.id.clone();
    let refresh = asked.refresh_ttl()?;
    show(world, asked, &id, refresh)
}

fn read_by_allocation(world: &mut World, asked: &Asked) -> Outcome {
    let wanted = asked.id("allocation_id")?;
    let found = AllocationId::new(wanted.as_str()).ok().and_then(|id| world.index().by_allocation(&id));
    let id = found.ok_or_else(|| not_found("allocation_not_found", format!("there is no allocation {wanted:?}")))?;
    show(world, asked, &id, true)
}

/// Answers with the session as the caller may see it, and keeps it alive.
pub fn show(world: &mut World, asked: &Asked, id: &SessionId, refresh: bool) -> Outcome {
    world.touch(id, &asked.caller, refresh);
    let entry = world.entry(id.as_str())?;
    let scope = if gate::sees_all(&entry.record, &asked.caller) { Scope::Full } else { Scope::Limited };
    let etag = entry.etag(scope);
    if asked.has(&etag) {
        return Ok(Reply::not_modified(etag));
    }
    Ok(Reply::raw(entry.json(scope)).tagged(etag))
}

/// `If-Match`: somebody else was faster.
pub fn if_match(world: &mut World, asked: &Asked, id: &SessionId) -> Outcome<()> {
    let entry = world.entry(id.as_str())?;
    let (full, limited) = (entry.etag(Scope::Full), entry.etag(Scope::Limited));
    if asked.wants_other(&full) && asked.wants_other(&limited) {
        let desc = "the session has changed since; read it again";
        return Err(Refused::new(StatusCode::PRECONDITION_FAILED, codes::ETAG_MISMATCH, desc).into());
    }
    Ok(())
}

fn update_session(world: &mut World, asked: &Asked) -> Outcome {
    let session = world.session(&asked.session_id()?)?;
    gate::admin(&session, &asked.caller, &["session:update:any"], "update this session")?;
    let wanted = asked.body(|object| Some(change(object)))?;
    if_match(world, asked, &session.id)?;
    unchangeable(&session, &wanted)?;
    let hash = hashed(wanted.password.as_ref(), asked)?;
    let settings = world.settings.clone();
    let kind = settings.session_types.get(&session.session_type).cloned().unwrap_or_default();
    let mut changed = (*session).clone();
    apply(&mut changed, &wanted, &kind, hash, world)?;
    world.update(&session.id, |session| {
        *session = changed;
        Ok(())
    })?;
    show(world, asked, &session.id, asked.refresh_ttl()?)
}

fn update_team(world: &mut World, asked: &Asked) -> Outcome {
    let session = world.session(&asked.session_id()?)?;
    gate::admin(&session, &asked.caller, &["session:update:any"], "update this session's teams")?;
    let number = asked.path_number("team_id")?;
    let number = u32::try_from(number).map_err(|_| not_found(codes::NOT_FOUND, "there is no such team"))?;
    let change = asked.body(|object| Some(bodies::team_change_of(object)))?;
    if_match(world, asked, &session.id)?;
    world.update(&session.id, |session| teams::change_team(session, number, &change))?;
    world.touch(&session.id, &asked.caller, asked.refresh_ttl()?);
    let entry = world.entry(session.id.as_str())?;
    let team = entry.record.teams.get(number as usize);
    Ok(Reply::json(&team).tagged(entry.etag(Scope::Full)))
}

fn delete_session(world: &mut World, asked: &Asked) -> Outcome {
    let session = world.session(&asked.session_id()?)?;
    let caller = &asked.caller;
    if !caller.may(&["session:delete:any"]) && !gate::standing(&session, caller).admin {
        return Err(not_permitted("delete this session"));
    }
    world.remove(&session.id)?;
    Ok(Reply::nothing())
}
