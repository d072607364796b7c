//! Backfill: the host keeps it alive, says how many players each team needs, and ends it.
//!
//! A session gets a backfill from matchmaking: ours, or one of your own that uses `PUT` (extension). It starts a backfill or
//! goes on with the one there is, holds places for the players that it brings, and they are handed out with the host's next
//! acknowledgement. Every other operation without a backfill is a 404: it is gone.

use super::instances::{heard, instance_is};
use crate::{
    model::{
        CustomData,
        errors::codes,
        ids::{BackfillId, InstanceId, PlayerUuid},
        player::PlayerStatus,
        session::{BackfillAck, BackfillInfo, BackfillNeed, BackfillUpdate, TeamOverflow},
    },
    service::{
        http::{
            read::{self, JsonCursor, Object, ValidationErrors, custom_data, id, list, one_of, unsigned},
            reply::{Interrupt, Outcome, Reply, not_found},
            request::RequestContext,
            route::{Access, Row, Run},
        },
        rules::{
            authz,
            instance::no_instance,
            join::{self, Inviting},
            record::{BackfillRecord, SessionRecord},
        },
        state::Transaction,
    },
};
use http::Method;
use serde_json::json;
use std::sync::Arc;

pub static TABLE: &[Row] = &[
    row!(
        PUT "/session/v1/backfill/session/{session_id}",
        "put_backfill", Access::AnyOf(&["session:create:matchmade", "session:update:any", "session:update:self"]), put
    ),
    row!(POST "/session/v1/backfill/session/{session_id}", "acknowledge_backfill_request", Access::Login, acknowledge),
    row!(PATCH "/session/v1/backfill/session/{session_id}", "update_backfill_request", Access::Login, update),
    row!(DELETE "/session/v1/backfill/session/{session_id}", "delete_backfill_request", Access::Login, delete),
];

fn instance_id(object: &mut Object<'_, '_>) -> Option<InstanceId> {
    object.required("instance_id", id).and_then(|id| InstanceId::new(id).ok())
}

fn ack(object: &mut Object<'_, '_>) -> Option<BackfillAck> {
    let instance_id = instance_id(object);
    Some(BackfillAck {
        extensions: object.optional("extensions", custom_data).unwrap_or_default(),
        overflow_action: super::bodies::overflow(object),
        styles: object.optional("styles", list(0, 16, one_of)).unwrap_or_default(),
        instance_id: instance_id?,
    })
}

fn need(at: JsonCursor<'_>, faults: &mut ValidationErrors) -> Option<BackfillNeed> {
    let mut need = at.object(faults)?;
    let players = need.required("players_required", unsigned(0, 100));
    let team = need.required("team_id", unsigned(0, 49));
    Some(BackfillNeed { team_id: team?, players_required: players? })
}

fn change(object: &mut Object<'_, '_>) -> Option<BackfillUpdate> {
    let instance_id = instance_id(object);
    object.optional("additional_join_params", |at, faults| at.object(faults).map(|_| ()));
    let teams = object.optional("teams", list(0, 50, need)).unwrap_or_default();
    Some(BackfillUpdate { instance_id: instance_id?, teams })
}

/// The session, for its host.
fn hosted(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome<Arc<SessionRecord>> {
    let session = tx.session(&request.session_id()?)?;
    authz::host(&session, &request.caller, &["session:update:any"], "look after this session's backfill")?;
    Ok(session)
}

fn gone() -> Interrupt {
    not_found(codes::BACKFILL_NOT_FOUND, "the session has no backfill")
}

fn acknowledge(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let refresh = request.refresh_ttl()?;
    let session = hosted(tx, request)?;
    let ack = request.body(ack)?;
    instance_is(&session, &ack.instance_id)?;
    if session.backfill.is_none() {
        return Err(gone());
    }
    tx.backfill_spoke(&session.id);
    let arrived = tx.update(&session.id, |session| {
        let Some(backfill) = &mut session.backfill else { return Ok(Vec::new()) };
        backfill.extensions.extend(ack.extensions);
        backfill.styles = ack.styles;
        let arrived = std::mem::take(&mut backfill.arrived);
        Ok(session.players().filter(|player| arrived.contains(&player.player_uuid)).cloned().collect())
    })?;
    heard(tx, request, &session.id, refresh);
    Ok(Reply::json(&json!({ "backfilled_players": arrived })))
}

/// What a matchmaker brings.
struct Brought {
    needs: Option<Vec<BackfillNeed>>,
    extensions: CustomData,
    players: Vec<(PlayerUuid, Option<u32>)>,
    overflow: TeamOverflow,
}

fn brought(object: &mut Object<'_, '_>) -> Option<Brought> {
    let player = |at: JsonCursor<'_>, faults: &mut ValidationErrors| {
        let mut player = at.object(faults)?;
        let team = super::bodies::team_id(&mut player);
        Some((player.required("player_uuid", read::player)?, team))
    };
    Some(Brought {
        needs: object.optional("teams", list(0, 50, need)),
        extensions: object.optional("extensions", custom_data).unwrap_or_default(),
        players: object.optional("players", list(0, 100, player)).unwrap_or_default(),
        overflow: super::bodies::overflow(object),
    })
}

fn put(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let session = tx.session(&request.session_id()?)?;
    authz::admin(&session, &request.caller, &["session:create:matchmade", "session:update:any"], "attach a backfill")?;
    let brought = request.body(brought)?;
    if session.live_instance().is_none() {
        return Err(no_instance());
    }
    let (now, invites) = (tx.now.wall, tx.new_uuid());
    let fresh = BackfillId::from_uuid(tx.new_uuid());
    let info = tx.update(&session.id, |session| {
        for (player, team) in &brought.players {
            let inviting = Inviting {
                players: &[*player],
                status: PlayerStatus::Reserved,
                by: None,
                source: None,
                team: *team,
                overflow: brought.overflow,
                custom_data: CustomData::new(),
                now,
                invites,
            };
            join::invite(session, &inviting)?;
        }
        let backfill = session.backfill.get_or_insert_with(|| BackfillRecord {
            id: fresh,
            extensions: CustomData::new(),
            styles: Vec::new(),
            needs: Vec::new(),
            arrived: Vec::new(),
        });
        backfill.needs = brought.needs.unwrap_or_else(|| backfill.needs.clone());
        backfill.extensions.extend(brought.extensions);
        backfill.arrived.extend(brought.players.iter().map(|(player, _)| *player));
        Ok(BackfillInfo { backfill_id: backfill.id.clone(), extensions: backfill.extensions.clone() })
    })?;
    Ok(Reply::json(&info))
}

fn update(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let refresh = request.refresh_ttl()?;
    let session = hosted(tx, request)?;
    let change = request.body(change)?;
    instance_is(&session, &change.instance_id)?;
    tx.backfill_spoke(&session.id);
    tx.update(&session.id, |session| {
        let backfill = session.backfill.as_mut().ok_or_else(gone)?;
        backfill.needs = change.teams;
        Ok(())
    })?;
    heard(tx, request, &session.id, refresh);
    Ok(Reply::nothing())
}

fn delete(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let refresh = request.refresh_ttl()?;
    let session = hosted(tx, request)?;
    let instance = request.body(instance_id)?;
    instance_is(&session, &instance)?;
    if session.backfill.is_none() {
        return Err(gone());
    }
    tx.update(&session.id, |session| {
        session.backfill = None;
        Ok(())
    })?;
    heard(tx, request, &session.id, refresh);
    Ok(Reply::nothing())
}
