//! What admins and the trusted do with players: invite, promote, move, swap, describe; grants;
//! whole sessions invited or kicked.

use super::players::{answer, chooses_team, updated};
use crate::{
    model::{
        ids::PlayerUuid,
        parameters,
        player::{
            MoveRequest, PlayerDescription, PlayerInviteRequest, PlayerPermissions, PlayerStatus, SessionPermission,
            SwapRequest, UpdatedPlayer, UpdatedPlayers,
        },
    },
    service::{
        http::{
            reply::{Outcome, Reply, invalid, not_permitted},
            request::RequestContext,
            route::{Access, Handler, Row},
        },
        rules::{
            authz,
            join::{self, Inviting},
            leave,
            record::SessionRecord,
            teams::{self, no_player},
            view::Scope,
        },
        state::Transaction,
    },
};
use http::Method;

const UPDATE: Access = Access::AnyOf(&["session:update:any", "session:update:self"]);
const UPDATE_PLAYER: Access = Access::AnyOf(&["session:update-player:any", "session:update-player:self"]);

pub static TABLE: &[Row] = &[
    row!(
        POST "/session/v2/session/{session_id}/player/{player_uuid}:invite",
        "invite_player_by_uuid_v2", UPDATE, invite
    ),
    row!(
        POST "/session/v2/session/{session_id}/player/{player_uuid}:promote",
        "promote_player_by_uuid_v2",
        Access::AnyOf(&["session:promote:any", "session:promote:self"]), promote
    ),
    row!(
        POST "/session/v2/session/{session_id}/player/{player_uuid}:move",
        "move_player_by_uuid_v2", UPDATE_PLAYER, move_player
    ),
    row!(
        POST "/session/v2/session/{session_id}/player/{player_uuid}",
        "update_player_by_uuid_v2", UPDATE_PLAYER, describe
    ),
    row!(POST "/session/v1/session/{session_id}/player:swap", "swap_players_in_session", UPDATE, swap),
    row!(
        GET "/session/v1/session/{session_id}/player/{player_uuid}/permission",
        "get_player_permission_by_uuid", Access::Login, read_grants
    ),
    row!(
        PATCH "/session/v1/session/{session_id}/player/{player_uuid}/permission/{permission}",
        "give_player_permission_by_uuid", Access::Login, give
    ),
    row!(
        DELETE "/session/v1/session/{session_id}/player/{player_uuid}/permission/{permission}",
        "remove_player_permission_by_uuid", Access::Login, take
    ),
    row!(
        POST "/session/v1/session/{session_id}/invited-session/{invited_session_id}:invite",
        "invite_session_to_session", UPDATE_PLAYER, invite_session
    ),
    row!(
        DELETE "/session/v1/session/{session_id}/kicked-session/{kicked_session_id}",
        "kick_session_from_session",
        Access::AnyOf(&["session:update-player:any", "session:update-player:as-leader"]), kick_session
    ),
];

fn inviting<'a>(
    tx: &mut Transaction<'_>,
    request: &RequestContext,
    wanted: &PlayerInviteRequest,
    players: &'a [PlayerUuid],
    source: Option<&SessionRecord>,
) -> Inviting<'a> {
    Inviting {
        players,
        status: PlayerStatus::Invited,
        by: request.caller.player,
        source: source.map(|session| session.id.clone()),
        team: wanted.team_id,
        overflow: wanted.overflow_action.unwrap_or_default(),
        custom_data: wanted.custom_data.clone(),
        now: tx.now.wall,
        invites: tx.new_uuid(),
    }
}

fn invite(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let refresh = request.refresh_ttl()?;
    let session = tx.session(&request.session_id()?)?;
    let player = request.player(&parameters::PLAYER_UUID)?;
    let grant = SessionPermission::Invite;
    authz::granted(&session, &request.caller, &["session:update:any"], grant, "invite players to this session")?;
    let wanted: PlayerInviteRequest = request.body()?;
    authz::overfill(&session, &request.caller, &["session:update:any"], wanted.overflow_action)?;
    let mut players = vec![player];
    players.extend(wanted.player_uuids.iter().copied().filter(|other| *other != player));
    let inviting = inviting(tx, request, &wanted, &players, None);
    tx.update(&session.id, |session| join::invite(session, &inviting))?;
    answer(tx, request, &session.id, player, refresh)
}

fn promote(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let refresh = request.refresh_ttl()?;
    let session = tx.session(&request.session_id()?)?;
    let player = request.player(&parameters::PLAYER_UUID)?;
    authz::admin(&session, &request.caller, &["session:promote:any"], "promote players of this session")?;
    tx.update(&session.id, |session| leave::promote(session, player))?;
    answer(tx, request, &session.id, player, refresh)
}

fn move_player(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let refresh = request.refresh_ttl()?;
    let session = tx.session(&request.session_id()?)?;
    let player = request.player(&parameters::PLAYER_UUID)?;
    let own = request.caller.player == Some(player) && chooses_team(tx, &session);
    if !own {
        let grant = SessionPermission::Move;
        authz::granted(&session, &request.caller, &["session:update-player:any"], grant, "move players")?;
    }
    let MoveRequest { team_id: team } = request.body()?;
    tx.update(&session.id, |session| teams::move_player(session, player, team))?;
    answer(tx, request, &session.id, player, refresh)
}

fn describe(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let refresh = request.refresh_ttl()?;
    let session = tx.session(&request.session_id()?)?;
    let player = request.player(&parameters::PLAYER_UUID)?;
    if request.caller.player != Some(player) {
        authz::admin(&session, &request.caller, &["session:update-player:any"], "describe other players")?;
    }
    let PlayerDescription { custom_data: data } = request.body()?;
    tx.update(&session.id, |session| {
        let known = session.player_mut(player).ok_or_else(|| no_player(player))?;
        if let Some(data) = data {
            known.custom_data = data;
        }
        Ok(())
    })?;
    answer(tx, request, &session.id, player, refresh)
}

fn swap(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let refresh = request.refresh_ttl()?;
    let session = tx.session(&request.session_id()?)?;
    authz::admin(&session, &request.caller, &["session:update:any"], "swap players of this session")?;
    let SwapRequest { players } = request.body()?;
    let [one, other] = players[..] else { return Err(invalid("players", "exactly two players")) };
    tx.update(&session.id, |session| teams::swap(session, one, other))?;
    tx.touch(&session.id, &request.caller, refresh);
    let entry = tx.view_of(&session.id)?;
    let players = vec![updated(&entry.record, one)?, updated(&entry.record, other)?];
    Ok(Reply::json(&UpdatedPlayers { players }).tagged(entry.etag(Scope::Full)))
}

/// The session and the player, for a caller who may see or change grants: an elevated one, an admin, or a member with the permission for
/// sessions of its own.
fn grants(
    tx: &mut Transaction<'_>,
    request: &RequestContext,
    any: &str,
    active: &str,
) -> Outcome<(std::sync::Arc<SessionRecord>, PlayerUuid)> {
    let session = tx.session(&request.session_id()?)?;
    let player = request.player(&parameters::PLAYER_UUID)?;
    let role = authz::role(&session, &request.caller);
    let may = request.caller.may(&[any]) || role.admin || (role.active && request.caller.may(&[active]));
    if !may {
        return Err(not_permitted("see or change what players of this session were given"));
    }
    Ok((session, player))
}

fn shown_grants(
    tx: &mut Transaction<'_>,
    request: &RequestContext,
    session: &SessionRecord,
    player: PlayerUuid,
    refresh: bool,
) -> Outcome {
    tx.touch(&session.id, &request.caller, refresh);
    let entry = tx.view_of(&session.id)?;
    let known = entry.record.player(player).ok_or_else(|| no_player(player))?;
    let view = PlayerPermissions { player_uuid: player, permissions: known.session_permissions.clone() };
    Ok(Reply::json(&view).tagged(entry.etag(Scope::Full)))
}

fn read_grants(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let refresh = request.refresh_ttl()?;
    let (session, player) = grants(tx, request, "session:read:permission:any", "session:read:permission:active")?;
    shown_grants(tx, request, &session, player, refresh)
}

fn give(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let refresh = request.refresh_ttl()?;
    let (session, player) = grants(tx, request, "session:give:permission:any", "session:give:permission:active")?;
    let grant: SessionPermission = request.path(&parameters::PERMISSION)?;
    may_pass_on(&session, request, grant, "session:give:permission:any")?;
    tx.update(&session.id, |session| {
        let known = session.player_mut(player).ok_or_else(|| no_player(player))?;
        if !known.session_permissions.contains(&grant) {
            known.session_permissions.push(grant);
            known.session_permissions.sort_unstable();
        }
        Ok(())
    })?;
    shown_grants(tx, request, &session, player, refresh)
}

/// A member can give and take only what it has.
fn may_pass_on(session: &SessionRecord, request: &RequestContext, grant: SessionPermission, any: &str) -> Outcome<()> {
    authz::granted(session, &request.caller, &[any], grant, "pass on what you were not given")
}

fn take(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let refresh = request.refresh_ttl()?;
    let (session, player) = grants(tx, request, "session:remove:permission:any", "session:remove:permission:active")?;
    let grant: SessionPermission = request.path(&parameters::PERMISSION)?;
    may_pass_on(&session, request, grant, "session:remove:permission:any")?;
    tx.update(&session.id, |session| {
        let known = session.player_mut(player).ok_or_else(|| no_player(player))?;
        known.session_permissions.retain(|given| *given != grant);
        Ok(())
    })?;
    tx.touch(&session.id, &request.caller, refresh);
    let etag = tx.view_of(&session.id)?.etag(Scope::Full);
    Ok(Reply::nothing().tagged(etag))
}

/// Invites everybody active in one session to another.
fn invite_session(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let target = tx.session(&request.session_id()?)?;
    let source = tx.session(&request.path::<String, _>(&parameters::INVITED_SESSION_ID)?)?;
    let part_of = authz::role(&source, &request.caller).active;
    if !request.caller.may(&["session:update-player:any"]) {
        if !part_of {
            return Err(not_permitted("invite a session that you are not in"));
        }
        authz::granted(&target, &request.caller, &[], SessionPermission::Invite, "invite to this session")?;
    }
    let wanted: PlayerInviteRequest = request.body()?;
    authz::overfill(&target, &request.caller, &["session:update-player:any"], wanted.overflow_action)?;
    let players: Vec<PlayerUuid> = source.active().map(|player| player.player_uuid).collect();
    let inviting = inviting(tx, request, &wanted, &players, Some(&source));
    let placed = tx.update(&target.id, |session| join::invite(session, &inviting))?;
    let entry = tx.view_of(&target.id)?;
    let players: Vec<UpdatedPlayer> =
        placed.iter().map(|(player, _)| updated(&entry.record, *player)).collect::<Result<_, _>>()?;
    Ok(Reply::json(&UpdatedPlayers { players }).tagged(entry.etag(Scope::Full)))
}

/// Removes from the session that is named first the players who are active in the other one.
///
/// The contract's words fit both orders. Unreal's plugin names its own session first, so that is the one that loses players
/// and whose rules say who may kick.
fn kick_session(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let session = tx.session(&request.session_id()?)?;
    let kicked = tx.session(&request.path::<String, _>(&parameters::KICKED_SESSION_ID)?)?;
    let grant = SessionPermission::Kick;
    authz::granted(&session, &request.caller, &["session:update-player:any"], grant, "kick players of this session")?;
    let both: Vec<PlayerUuid> =
        kicked.active().map(|player| player.player_uuid).filter(|player| session.player(*player).is_some()).collect();
    for player in both {
        // The session may go with its last player.
        if tx.session(session.id.as_str()).is_ok() {
            tx.leave(&session.id, player)?;
        }
    }
    Ok(Reply::nothing())
}
