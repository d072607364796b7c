//! Backfill: the host keeps it alive, says how many players each team needs, and ends it.
//!
//! A session gets a backfill from matchmaking: ours, or one of your own that uses `PUT`
//! (extension). It starts a backfill or goes on with the one there is, holds places for the players
//! that it brings, and they are handed out with the host's next acknowledgement. Every other
//! operation without a backfill is a 404: it is gone.

use super::instances::{heard, instance_is};
use crate::{
    model::{
        CustomData,
        errors::codes,
        ids::BackfillId,
        player::PlayerStatus,
        session::{
            AcknowledgeBackfillResponse, BackfillAck, BackfillAttach, BackfillInfo, BackfillUpdate, BaseBackfillRequest,
        },
    },
    service::{
        http::{
            reply::{Interrupt, Outcome, Reply, not_found},
            request::RequestContext,
            route::{Access, Handler, Row},
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
    let ack: BackfillAck = request.body()?;
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
    Ok(Reply::json(&AcknowledgeBackfillResponse { backfilled_players: arrived }))
}

fn put(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let session = tx.session(&request.session_id()?)?;
    authz::admin(&session, &request.caller, &["session:create:matchmade", "session:update:any"], "attach a backfill")?;
    let brought: BackfillAttach = request.body()?;
    request.refresh_ttl()?;
    if session.live_instance().is_none() {
        return Err(no_instance());
    }
    let (now, invites) = (tx.now.wall, tx.new_uuid());
    let fresh = BackfillId::from_uuid(tx.new_uuid());
    let info = tx.update(&session.id, |session| {
        for player in &brought.players {
            let inviting = Inviting {
                players: &[player.player_uuid],
                status: PlayerStatus::Reserved,
                by: None,
                source: None,
                team: player.team_id,
                overflow: brought.overflow_action,
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
        backfill.needs = brought.teams.unwrap_or_else(|| backfill.needs.clone());
        backfill.extensions.extend(brought.extensions);
        backfill.arrived.extend(brought.players.iter().map(|player| player.player_uuid));
        Ok(BackfillInfo { backfill_id: backfill.id.clone(), extensions: backfill.extensions.clone() })
    })?;
    Ok(Reply::json(&info))
}

fn update(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let refresh = request.refresh_ttl()?;
    let session = hosted(tx, request)?;
    let change: BackfillUpdate = request.body()?;
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
    let ended: BaseBackfillRequest = request.body()?;
    instance_is(&session, &ended.instance_id)?;
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
