//! What admins and the trusted do with players: invite, promote, move, swap, describe; grants; whole sessions invited or kicked.

use super::{
    bodies,
    players::{answer, updated},
};
use crate::{
    model::{
        CustomData,
        ids::PlayerUuid,
        player::{PlayerStatus, SessionPermission},
        session::TeamOverflow,
    },
    service::{
        http::{
            asked::Asked,
            read::{self, Object, custom_data, one_of},
            reply::{Outcome, Reply, invalid, not_permitted},
            route::{Needs, Row, Run},
        },
        rules::{
            gate,
            join::{self, Inviting},
            leave,
            record::SessionRecord,
            teams::{self, no_player},
            view::Scope,
        },
        world::World,
    },
};
use http::Method;
use serde_json::{Value, json};

const UPDATE: Needs = Needs::AnyOf(&["session:update:any", "session:update:self"]);
const UPDATE_PLAYER: Needs = Needs::AnyOf(&["session:update-player:any", "session:update-player:self"]);

pub static TABLE: &[Row] = &[
    row!(
        POST "/session/v2/session/{session_id}/player/{player_uuid}:invite",
        "invite_player_by_uuid_v2", UPDATE, invite
    ),
    row!(
        POST "/session/v2/session/{session_id}/player/{player_uuid}:promote",
        "promote_player_by_uuid_v2",
        Needs::AnyOf(&["session:promote:any", "session:promote:self"]), promote
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
        "get_player_permission_by_uuid", Needs::Login, read_grants
    ),
    row!(
        PATCH "/session/v1/session/{session_id}/player/{player_uuid}/permission/{permission}",
        "give_player_permission_by_uuid", Needs::Login, give
    ),
    row!(
        DELETE "/session/v1/session/{session_id}/player/{player_uuid}/permission/{permission}",
        "remove_player_permission_by_uuid", Needs::Login, take
    ),
    row!(
        POST "/session/v1/session/{session_id}/invited-session/{invited_session_id}:invite",
        "invite_session_to_session", UPDATE_PLAYER, invite_session
    ),
    row!(
        DELETE "/session/v1/session/{session_id}/kicked-session/{kicked_session_id}",
        "kick_session_from_session",
        Needs::AnyOf(&["session:update-player:any", "session:update-player:as-leader"]), kick_session
    ),
];

/// `PlayerInviteRequest`.
struct Invite {
    team: Option<u32>,
    overflow: TeamOverflow,
    custom_data: CustomData,
    /// Extension: more players, invited together or not at all.
    players: Vec<PlayerUuid>,
}

fn invitation(object: &mut Object<'_, '_>) -> Option<Invite> {
    Some(Invite {
        team: bodies::team_id(object),
        overflow: bodies::overflow(object),
        custom_data: object.optional("custom_data", custom_data).unwrap_or_default(),
        players: object.optional("player_uuids", read::list(0, 100, read::player)).unwrap_or_default(),
    })
}

fn inviting<'a>(
    world: &World,
    asked: &Asked,
    wanted: &Invite,
    players: &'a [PlayerUuid],
    source: Option<&SessionRecord>,
) -> Inviting<'a> {
    Inviting {
        players,
        status: PlayerStatus::Invited,
        by: asked.caller.player,
        source: source.map(|session| session.id.clone()),
        team: wanted.team,
        overflow: wanted.overflow,
        custom_data: wanted.custom_data.clone(),
        now: world.now.wall,
    }
}

fn invite(world: &mut World, asked: &Asked) -> Outcome {
    let session = world.session(&asked.session_id()?)?;
    let player = asked.player("player_uuid")?;
    let grant = SessionPermission::Invite;
    gate::granted(&session, &asked.caller, &["session:update:any"], grant, "invite players to this session")?;
    let wanted = asked.body(invitation)?;
    let mut players = vec![player];
    players.extend(wanted.players.iter().copied().filter(|other| *other != player));
    let inviting = inviting(world, asked, &wanted, &players, None);
    world.update(&session.id, |session| join::invite(session, &inviting))?;
    answer(world, asked, &session.id, player)
}

fn promote(world: &mut World, asked: &Asked) -> Outcome {
    let session = world.session(&asked.session_id()?)?;
    let player = asked.player("player_uuid")?;
    gate::admin(&session, &asked.caller, &["session:promote:any"], "promote players of this session")?;
    world.update(&session.id, |session| leave::promote(session, player))?;
    answer(world, asked, &session.id, player)
}

fn move_player(world: &mut World, asked: &Asked) -> Outcome {
    let session = world.session(&asked.session_id()?)?;
    let player = asked.player("player_uuid")?;
    let own = asked.caller.player == Some(player)
        && world.settings.session_types.get(&session.session_type).is_none_or(|kind| kind.can_change_own_team);
    if !own {
        let grant = SessionPermission::Move;
        gate::granted(&session, &asked.caller, &["session:update-player:any"], grant, "move players")?;
    }
    let team = asked.body(|object| Some(bodies::team_id(object)))?;
    world.update(&session.id, |session| teams::move_player(session, player, team))?;
    answer(world, asked, &session.id, player)
}

fn describe(world: &mut World, asked: &Asked) -> Outcome {
    let session = world.session(&asked.session_id()?)?;
    let player = asked.player("player_uuid")?;
    if asked.caller.player != Some(player) {
        gate::admin(&session, &asked.caller, &["session:update-player:any"], "describe other players")?;
    }
    let data = asked.body(|object| Some(object.optional("custom_data", custom_data)))?;
    world.update(&session.id, |session| {
        let known = session.player_mut(player).ok_or_else(|| no_player(player))?;
        if let Some(data) = data {
            known.custom_data = data;
        }
        Ok(())
    })?;
    answer(world, asked, &session.id, player)
}

fn swap(world: &mut World, asked: &Asked) -> Outcome {
    let session = world.session(&asked.session_id()?)?;
    gate::admin(&session, &asked.caller, &["session:update:any"], "swap players of this session")?;
    let players = asked.body(|object| object.required("players", read::list(2, 2, read::player)))?;
    let [one, other] = players[..] else { return Err(invalid("players", "exactly two players")) };
    world.update(&session.id, |session| teams::swap(session, one, other))?;
    world.touch(&session.id, &asked.caller, asked.refresh_ttl()?);
    let entry = world.entry(session.id.as_str())?;
    let players = [updated(&entry.record, one)?, updated(&entry.record, other)?];
    Ok(Reply::json(&json!({ "players": players })).tagged(entry.etag(Scope::Full)))
}

/// The session and the player, for a caller who may see or change grants: an elevated one, an admin, or a member with the permission for
/// sessions of its own.
fn grants(
    world: &mut World,
    asked: &Asked,
    any: &str,
    active: &str,
) -> Outcome<(std::sync::Arc<SessionRecord>, PlayerUuid)> {
    let session = world.session(&asked.session_id()?)?;
    let player = asked.player("player_uuid")?;
    let standing = gate::standing(&session, &asked.caller);
    let may = asked.caller.may(&[any]) || standing.admin || (standing.active && asked.caller.may(&[active]));
    if !may {
        return Err(not_permitted("see or change what players of this session were given"));
    }
    Ok((session, player))
}

fn shown_grants(world: &mut World, asked: &Asked, session: &SessionRecord, player: PlayerUuid) -> Outcome {
    world.touch(&session.id, &asked.caller, asked.refresh_ttl()?);
    let entry = world.entry(session.id.as_str())?;
    let known = entry.record.player(player).ok_or_else(|| no_player(player))?;
    let view = json!({ "player_uuid": player, "permissions": known.session_permissions });
    Ok(Reply::json(&view).tagged(entry.etag(Scope::Full)))
}

fn read_grants(world: &mut World, asked: &Asked) -> Outcome {
    let (session, player) = grants(world, asked, "session:read:permission:any", "session:read:permission:active")?;
    shown_grants(world, asked, &session, player)
}

fn give(world: &mut World, asked: &Asked) -> Outcome {
    let (session, player) = grants(world, asked, "session:give:permission:any", "session:give:permission:active")?;
    let grant: SessionPermission = asked.path_as("permission", one_of)?;
    may_pass_on(&session, asked, grant, "session:give:permission:any")?;
    world.update(&session.id, |session| {
        let known = session.player_mut(player).ok_or_else(|| no_player(player))?;
        if !known.session_permissions.contains(&grant) {
            known.session_permissions.push(grant);
            known.session_permissions.sort_unstable();
        }
        Ok(())
    })?;
    shown_grants(world, asked, &session, player)
}

/// A member can give and take only what it has.
fn may_pass_on(session: &SessionRecord, asked: &Asked, grant: SessionPermission, any: &str) -> Outcome<()> {
    gate::granted(session, &asked.caller, &[any], grant, "pass on what you were not given")
}

fn take(world: &mut World, asked: &Asked) -> Outcome {
    let (session, player) = grants(world, asked, "session:remove:permission:any", "session:remove:permission:active")?;
    let grant: SessionPermission = asked.path_as("permission", one_of)?;
    may_pass_on(&session, asked, grant, "session:remove:permission:any")?;
    world.update(&session.id, |session| {
        let known = session.player_mut(player).ok_or_else(|| no_player(player))?;
        known.session_permissions.retain(|given| *given != grant);
        Ok(())
    })?;
    world.touch(&session.id, &asked.caller, asked.refresh_ttl()?);
    let etag = world.entry(session.id.as_str())?.etag(Scope::Full);
    Ok(Reply::nothing().tagged(etag))
}

/// Invites everybody active in one session to another.
fn invite_session(world: &mut World, asked: &Asked) -> Outcome {
    let target = world.session(&asked.session_id()?)?;
    let source = world.session(&asked.id("invited_session_id")?)?;
    let part_of = gate::standing(&source, &asked.caller).active;
    if !asked.caller.may(&["session:update-player:any"]) {
        if !part_of {
            return Err(not_permitted("invite a session that you are not in"));
        }
        gate::granted(&target, &asked.caller, &[], SessionPermission::Invite, "invite to this session")?;
    }
    let wanted = asked.body(invitation)?;
    let players: Vec<PlayerUuid> = source.active().map(|player| player.player_uuid).collect();
    let inviting = inviting(world, asked, &wanted, &players, Some(&source));
    let placed = world.update(&target.id, |session| join::invite(session, &inviting))?;
    let entry = world.entry(target.id.as_str())?;
    let players: Vec<Value> =
        placed.iter().map(|(player, _)| updated(&entry.record, *player)).collect::<Result<_, _>>()?;
    Ok(Reply::json(&json!({ "players": players })).tagged(entry.etag(Scope::Full)))
}

/// Removes from one session everybody who is also in another.
fn kick_session(world: &mut World, asked: &Asked) -> Outcome {
    let kept = world.session(&asked.session_id()?)?;
    let kicked = world.session(&asked.id("kicked_session_id")?)?;
    gate::admin(&kept, &asked.caller, &["session:update-player:any"], "kick a session")?;
    let both: Vec<PlayerUuid> =
        kicked.players().map(|player| player.player_uuid).filter(|player| kept.player(*player).is_some()).collect();
    for player in both {
        // The session may go with its last player.
        if world.session(kicked.id.as_str()).is_ok() {
            world.leave(&kicked.id, player)?;
        }
    }
    Ok(Reply::nothing())
}
