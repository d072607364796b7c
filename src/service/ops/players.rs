//! Players of a session: join and leave oneself, add and remove others, read. The deprecated routes by UUID and by legacy number do
//! the same.

use super::bodies;
use crate::{
    model::{
        CustomData,
        errors::codes,
        ids::{PlayerUuid, SessionId},
        player::{PlayerStatus, SessionPermission, SessionTeam},
        session::TeamOverflow,
    },
    service::{
        http::{
            asked::Asked,
            read::{self, Object, custom_data, id},
            reply::{Outcome, Reply, forbidden, not_found, not_permitted},
            route::{Needs, Row, Run},
        },
        rules::{
            gate,
            join::{self, Inviting, Joining, Way, newcomer},
            leave,
            record::SessionRecord,
            teams::{self, no_player},
            view::{self, Scope},
        },
        world::World,
    },
};
use http::Method;
use semver::Version;
use serde_json::{Map, Value, json};

const READ: Needs = Needs::AnyOf(&["session:read:any", "session:read:self"]);
const JOIN: Needs = Needs::AnyOf(&["session:update-player:any", "session:update-player:self"]);
const LEAVE: Needs = Needs::AnyOf(&["session:update:self", "session:update-player:self"]);
const CHANGE: Needs = Needs::AnyOf(&[
    "session:promote:any",
    "session:promote:self",
    "session:update-player:any",
    "session:update-player:self",
]);

pub static TABLE: &[Row] = &[
    row!(GET "/session/v1/session/{session_id}/player", "get_players_in_session", READ, list),
    row!(GET "/session/v1/session/{session_id}/player/{player_uuid}", "get_player_in_session", READ, read_one),
    row!(POST "/session/v1/session/{session_id}/player/me", "join_session_by_id_self", JOIN, join_self),
    row!(DELETE "/session/v1/session/{session_id}/player/me", "leave_session_by_id_self", LEAVE, leave_self),
    row!(POST "/session/v1/session/{session_id}/player/{player_uuid}", "update_session_player_by_uuid_v2", CHANGE, add),
    row!(POST "/session/v1/session/{session_id}/player/uuid/{player_uuid}", "update_session_player_by_uuid", CHANGE, add),
    row!(POST "/session/v1/session/{session_id}/player/id/{player_id}", "update_session_player_by_id", CHANGE, add),
    row!(
        DELETE "/session/v1/session/{session_id}/player/{player_uuid}",
        "kick_player_from_session_by_uuid_v2", CHANGE, remove
    ),
    row!(
        DELETE "/session/v1/session/{session_id}/player/uuid/{player_uuid}",
        "kick_player_from_session_by_uuid", CHANGE, remove
    ),
    row!(
        DELETE "/session/v1/session/{session_id}/player/id/{player_id}",
        "kick_player_from_session_by_id", CHANGE, remove
    ),
];

/// The player that a path names, by UUID or legacy number.
pub fn target(world: &World, asked: &Asked) -> Outcome<PlayerUuid> {
    if asked.path.iter().any(|(name, _)| *name == "player_uuid") {
        return asked.player("player_uuid");
    }
    let number = asked.path_number("player_id")?;
    let unknown = || not_found(codes::PLAYER_NOT_FOUND, format!("there is no player {number}"));
    world.index().by_number(number).ok_or_else(unknown)
}

/// The player who asks.
pub fn oneself(asked: &Asked) -> Outcome<PlayerUuid> {
    let nobody = || forbidden("player_required", "this is for players; the token has none");
    asked.caller.player.ok_or_else(nobody)
}

/// `SelfSessionPlayerUpdateRequest`.
#[derive(Debug)]
pub struct SelfUpdate {
    pub version: Version,
    pub client_settings: Value,
    pub team: u32,
    pub crossplay: Option<Value>,
    pub custom_data: CustomData,
    pub password: Option<String>,
    pub friend: Option<PlayerUuid>,
}

pub fn self_update(object: &mut Object<'_, '_>) -> Option<SelfUpdate> {
    let version = object.required("client_version", read::version);
    let client_settings = object.required("client_settings", bodies::client_settings);
    let team = object.required("team_id", read::unsigned(0, u32::MAX));
    bodies::status(object);
    Some(SelfUpdate {
        crossplay: object.optional("crossplay_preferences", bodies::crossplay),
        custom_data: object.optional("custom_data", custom_data).unwrap_or_default(),
        password: object.optional("password", bodies::password),
        friend: object.optional("friend_uuid", read::player),
        version: version?,
        client_settings: client_settings?,
        team: team?,
    })
}

fn join_self(world: &mut World, asked: &Asked) -> Outcome {
    let player = oneself(asked)?;
    let session = world.session(&asked.session_id()?)?;
    let wanted = asked.body(self_update)?;
    let way = world.way_of_friends(asked, &session, player, wanted.friend)?;
    join_as(world, asked, &session, player, wanted, way)?;
    answer(world, asked, &session.id, player)
}

/// Joins a player by the ways that are open to it.
pub fn join_as(
    world: &mut World,
    asked: &Asked,
    session: &SessionRecord,
    player: PlayerUuid,
    wanted: SelfUpdate,
    way: Way,
) -> Outcome<()> {
    let may_move = session.player(player).is_none_or(|known| !known.status.is_active())
        || world.settings.session_types.get(&session.session_type).is_none_or(|kind| kind.can_change_own_team);
    let joining = Joining {
        player,
        team: may_move.then_some(wanted.team),
        version: Some(wanted.version),
        client_settings: Some(platform_of_token(asked, wanted.client_settings)),
        crossplay_preferences: wanted.crossplay,
        custom_data: wanted.custom_data,
        password: wanted.password,
        verified: asked.verified.clone(),
        way,
        sanctioned: world.sanctioned(&asked.caller, player),
        matching: world.settings.versions,
        now: world.now.wall,
    };
    world.update(&session.id, |session| join::join(session, joining))?;
    Ok(())
}

/// The platform comes from the token and overwrites what the client says.
fn platform_of_token(asked: &Asked, mut client_settings: Value) -> Value {
    if let (Some(platform), Value::Object(members)) = (&asked.caller.platform, &mut client_settings) {
        members.insert("platform".into(), platform.clone().into());
        members.remove("platform_id");
    }
    client_settings
}

fn leave_self(world: &mut World, asked: &Asked) -> Outcome {
    let player = oneself(asked)?;
    let session = world.session(&asked.session_id()?)?;
    asked.query_as("reason", id)?;
    world.leave(&session.id, player)?;
    Ok(Reply::nothing())
}

/// `SessionPlayerUpdateRequest`.
struct Update {
    status: PlayerStatus,
    team: Option<u32>,
    custom_data: CustomData,
    overflow: TeamOverflow,
}

fn update(object: &mut Object<'_, '_>) -> Option<Update> {
    Some(Update {
        status: bodies::status(object),
        team: bodies::team_id(object),
        custom_data: object.optional("custom_data", custom_data).unwrap_or_default(),
        overflow: bodies::overflow(object),
    })
}

const ELEVATED: &[&str] = &["session:update-player:any"];

/// Adds, invites, moves or promotes, as the wanted status and what the player is say.
fn add(world: &mut World, asked: &Asked) -> Outcome {
    let session = world.session(&asked.session_id()?)?;
    let player = target(world, asked)?;
    let wanted = asked.body(update)?;
    match wanted.status {
        PlayerStatus::Invited | PlayerStatus::Reserved => invite(world, asked, &session, player, &wanted)?,
        PlayerStatus::Leader | PlayerStatus::Member => activate(world, asked, &session, player, wanted)?,
    }
    answer(world, asked, &session.id, player)
}

fn invite(
    world: &mut World,
    asked: &Asked,
    session: &SessionRecord,
    player: PlayerUuid,
    wanted: &Update,
) -> Outcome<()> {
    gate::granted(session, &asked.caller, ELEVATED, SessionPermission::Invite, "invite players")?;
    let inviting = Inviting {
        players: &[player],
        status: wanted.status,
        by: asked.caller.player,
        source: None,
        team: wanted.team,
        overflow: wanted.overflow,
        custom_data: wanted.custom_data.clone(),
        now: world.now.wall,
    };
    world.update(&session.id, |session| join::invite(session, &inviting))?;
    Ok(())
}

fn activate(
    world: &mut World,
    asked: &Asked,
    session: &SessionRecord,
    player: PlayerUuid,
    wanted: Update,
) -> Outcome<()> {
    let caller = &asked.caller;
    let own = caller.player == Some(player);
    let active = session.is_active(player);
    let elevated = caller.may(ELEVATED) || gate::standing(session, caller).admin;
    if active && wanted.team.is_some() && !own {
        gate::granted(session, caller, ELEVATED, SessionPermission::Move, "move players")?;
    } else if !active && !own && !elevated {
        return Err(not_permitted("add players to this session"));
    }
    if wanted.status == PlayerStatus::Leader && session.leader() != Some(player) {
        gate::admin(session, caller, &["session:promote:any"], "make a player the leader")?;
    }
    let by_host = gate::is_host(session, caller);
    let joining = Joining {
        player,
        team: wanted.team,
        version: None,
        client_settings: None,
        crossplay_preferences: None,
        custom_data: wanted.custom_data,
        password: None,
        verified: None,
        way: if elevated { Way::Elevated } else { world.way_of_friends(asked, session, player, None)? },
        sanctioned: world.sanctioned(caller, player),
        matching: world.settings.versions,
        now: world.now.wall,
    };
    world.update(&session.id, |session| {
        make_room(session, player, &joining, wanted.overflow)?;
        join::join(session, joining)?;
        if by_host {
            session.connected.insert(player);
        }
        if wanted.status == PlayerStatus::Leader { leave::promote(session, player) } else { Ok(()) }
    })
}

/// A newcomer who may overflow is put on a team before joining; joining then finds a place held.
fn make_room(
    session: &mut SessionRecord,
    player: PlayerUuid,
    joining: &Joining,
    overflow: TeamOverflow,
) -> Outcome<()> {
    if session.player(player).is_some() || overflow == TeamOverflow::Fail || joining.way != Way::Elevated {
        return Ok(());
    }
    let full = || forbidden(codes::TEAM_FULL, "there is no room for the player");
    let team = teams::place(&session.teams, joining.team, 1, overflow)?[0].ok_or_else(full)?;
    session.teams[team].players.push(newcomer(player, PlayerStatus::Reserved));
    Ok(())
}

fn remove(world: &mut World, asked: &Asked) -> Outcome {
    let session = world.session(&asked.session_id()?)?;
    let player = target(world, asked)?;
    asked.query_as("reason", id)?;
    if asked.caller.player != Some(player) {
        gate::granted(&session, &asked.caller, ELEVATED, SessionPermission::Kick, "remove players")?;
    }
    world.leave(&session.id, player)?;
    world.touch(&session.id, &asked.caller, asked.refresh_ttl()?);
    // The session may have gone with its last player.
    let etag = world.entry(session.id.as_str()).map(|entry| entry.etag(Scope::Full)).ok();
    Ok(Reply { etag, ..Reply::nothing() })
}

/// `SessionPlayerUpdateResponse`.
pub fn updated(session: &SessionRecord, player: PlayerUuid) -> Outcome<Value> {
    let team = session.team_of(player).ok_or_else(|| no_player(player))?;
    let known = session.player(player).ok_or_else(|| no_player(player))?;
    let mut answer = Map::from_iter([
        ("player_uuid".to_owned(), json!(player)),
        ("status".to_owned(), json!(known.status)),
        ("team_id".to_owned(), team.into()),
    ]);
    if !known.custom_data.is_empty() {
        answer.insert("custom_data".to_owned(), json!(known.custom_data));
    }
    Ok(Value::Object(answer))
}

/// Answers with what a player has become, and keeps the session alive.
pub fn answer(world: &mut World, asked: &Asked, id: &SessionId, player: PlayerUuid) -> Outcome {
    world.touch(id, &asked.caller, asked.refresh_ttl()?);
    let entry = world.entry(id.as_str())?;
    let etag = entry.etag(scope(&entry.record, asked));
    Ok(Reply::json(&updated(&entry.record, player)?).tagged(etag))
}

fn scope(session: &SessionRecord, asked: &Asked) -> Scope {
    if gate::sees_all(session, &asked.caller) { Scope::Full } else { Scope::Limited }
}

fn read_one(world: &mut World, asked: &Asked) -> Outcome {
    let session = world.session(&asked.session_id()?)?;
    let player = asked.player("player_uuid")?;
    world.touch(&session.id, &asked.caller, asked.refresh_ttl()?);
    let scope = scope(&session, asked);
    let etag = view::etag(&session, scope);
    if asked.has(&etag) {
        return Ok(Reply::not_modified(etag));
    }
    let teams = view::teams(&session, scope);
    let mut players = teams.iter().flat_map(|team| &team.players);
    let found = players.find(|known| known.player_uuid == player).ok_or_else(|| no_player(player))?;
    Ok(Reply::json(found).tagged(etag))
}

fn list(world: &mut World, asked: &Asked) -> Outcome {
    let session = world.session(&asked.session_id()?)?;
    let cursor = asked.query_number("cursor", 0, u32::MAX, 0)? as usize;
    let size = asked.query_number("page_size", 1, 50, 50)? as usize;
    world.touch(&session.id, &asked.caller, asked.refresh_ttl()?);
    let scope = scope(&session, asked);
    let etag = view::etag(&session, scope);
    if asked.has(&etag) {
        return Ok(Reply::not_modified(etag));
    }
    let (teams, next) = page_of_players(view::teams(&session, scope), cursor, size);
    Ok(Reply::json(&json!({ "teams": teams, "cursor": next })).tagged(etag))
}

/// The players from number `cursor` on, team by team; the cursor of the next page, or 0.
fn page_of_players(mut teams: Vec<SessionTeam>, cursor: usize, size: usize) -> (Vec<SessionTeam>, usize) {
    let total: usize = teams.iter().map(|team| team.players.len()).sum();
    let end = cursor.saturating_add(size);
    let mut number = 0;
    for team in &mut teams {
        team.players.retain(|_| {
            number += 1;
            (cursor..end).contains(&(number - 1))
        });
    }
    (teams, if end < total { end } else { 0 })
}
