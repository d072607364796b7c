//! Players of a session: join and leave oneself, add and remove others, read. The deprecated routes
//! by UUID and by legacy number do the same.

use crate::{
    model::{
        errors::codes,
        ids::{PlayerUuid, SessionId},
        parameters::{self, Leaving, PlayersQuery},
        player::{
            ClientSettings, PlayerStatus, PlayersPage, SelfSessionPlayerUpdateRequest, SessionPermission,
            SessionPlayerUpdateRequest, SessionTeam, UpdatedPlayer,
        },
        session::TeamOverflow,
    },
    service::{
        http::{
            reply::{Outcome, Reply, forbidden, not_found, not_permitted},
            request::RequestContext,
            route::{Access, Handler, Row},
        },
        rules::{
            authz,
            join::{self, Inviting, JoinBasis, Joining, newcomer},
            leave,
            record::SessionRecord,
            teams::{self, no_player},
            view::{self, Scope},
        },
        state::Transaction,
    },
};
use http::Method;

const READ: Access = Access::AnyOf(&["session:read:any", "session:read:self"]);
const JOIN: Access = Access::AnyOf(&["session:update-player:any", "session:update-player:self"]);
const LEAVE: Access = Access::AnyOf(&["session:update:self", "session:update-player:self"]);
const CHANGE: Access = Access::AnyOf(&[
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
pub fn target(tx: &Transaction<'_>, request: &RequestContext) -> Outcome<PlayerUuid> {
    if request.path.iter().any(|(name, _)| *name == "player_uuid") {
        return request.player(&parameters::PLAYER_UUID);
    }
    let number: i64 = request.path(&parameters::PLAYER_ID)?;
    let unknown = || not_found(codes::PLAYER_NOT_FOUND, format!("there is no player {number}"));
    tx.player_of_number(number).ok_or_else(unknown)
}

/// The player who asks.
pub fn oneself(request: &RequestContext) -> Outcome<PlayerUuid> {
    let nobody = || forbidden("player_required", "this is for players; the token has none");
    request.caller.player.ok_or_else(nobody)
}

fn join_self(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let refresh = request.refresh_ttl()?;
    let player = oneself(request)?;
    let session = tx.session(&request.session_id()?)?;
    let wanted: SelfSessionPlayerUpdateRequest = request.body()?;
    let basis = tx.basis_of_friends(request, &session, player, wanted.friend_uuid)?;
    join_as(tx, request, &session, player, wanted, basis)?;
    answer(tx, request, &session.id, player, refresh)
}

/// Joins a player by the ways that are open to it.
pub fn join_as(
    tx: &mut Transaction<'_>,
    request: &RequestContext,
    session: &SessionRecord,
    player: PlayerUuid,
    wanted: SelfSessionPlayerUpdateRequest,
    basis: JoinBasis,
) -> Outcome<()> {
    let may_move = !session.is_active(player) || chooses_team(tx, session);
    let joining = Joining {
        player,
        team: may_move.then_some(wanted.team_id),
        version: Some(wanted.client_version),
        client_settings: Some(platform_of_token(request, wanted.client_settings)),
        crossplay_preferences: wanted.crossplay_preferences,
        custom_data: wanted.custom_data,
        password: wanted.password,
        verified: request.supplied.verified.clone(),
        basis,
        sanctioned: tx.sanctioned(&request.caller, player),
        matching: tx.settings.versions,
        now: tx.now.wall,
    };
    let own = request.caller.player == Some(player);
    if own {
        tx.know_player(player)?;
        if !session.has_joined(player) {
            tx.may_join_another(player)?;
        }
    }
    tx.update(&session.id, |session| {
        join::join(session, joining)?;
        if own {
            session.added.remove(&player);
        }
        Ok(())
    })
}

/// The platform comes from the token and overwrites what the client says.
fn platform_of_token(request: &RequestContext, client_settings: ClientSettings) -> ClientSettings {
    match &request.caller.platform {
        Some(platform) => ClientSettings { platform: Some(platform.clone()), platform_id: None, ..client_settings },
        None => client_settings,
    }
}

fn leave_self(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let player = oneself(request)?;
    let session = tx.session(&request.session_id()?)?;
    request.query::<Leaving>()?;
    tx.leave(&session.id, player)?;
    Ok(Reply::nothing())
}

const ELEVATED: &[&str] = &["session:update-player:any"];

/// Adds, invites, moves or promotes, as the wanted status and what the player is say.
fn add(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let refresh = request.refresh_ttl()?;
    let session = tx.session(&request.session_id()?)?;
    let player = target(tx, request)?;
    let wanted: SessionPlayerUpdateRequest = request.body()?;
    let known = session.player(player).map(|known| known.status);
    match (wanted.status, known) {
        (None, Some(PlayerStatus::Invited | PlayerStatus::Reserved)) => restate(tx, request, &session, player, wanted)?,
        (Some(status @ (PlayerStatus::Invited | PlayerStatus::Reserved)), _) => {
            invite(tx, request, &session, player, status, &wanted)?;
        }
        (Some(status), _) => activate(tx, request, &session, player, status, wanted)?,
        (None, known) => activate(tx, request, &session, player, known.unwrap_or_default(), wanted)?,
    }
    answer(tx, request, &session.id, player, refresh)
}

fn invite(
    tx: &mut Transaction<'_>,
    request: &RequestContext,
    session: &SessionRecord,
    player: PlayerUuid,
    status: PlayerStatus,
    wanted: &SessionPlayerUpdateRequest,
) -> Outcome<()> {
    authz::granted(session, &request.caller, ELEVATED, SessionPermission::Invite, "invite players")?;
    authz::overfill(session, &request.caller, ELEVATED, wanted.overflow_action)?;
    let inviting = Inviting {
        players: &[player],
        status,
        by: request.caller.player,
        source: None,
        team: wanted.team_id,
        overflow: wanted.overflow_action.unwrap_or_default(),
        custom_data: wanted.custom_data.clone(),
        now: tx.now.wall,
        invites: tx.new_uuid(),
    };
    tx.update(&session.id, |session| join::invite(session, &inviting))?;
    Ok(())
}

/// Moves and describes a player who stays what it is.
fn restate(
    tx: &mut Transaction<'_>,
    request: &RequestContext,
    session: &SessionRecord,
    player: PlayerUuid,
    wanted: SessionPlayerUpdateRequest,
) -> Outcome<()> {
    may_restate(tx, request, session, player, &wanted)?;
    tx.update(&session.id, |session| {
        if wanted.team_id.is_some() {
            teams::move_player(session, player, wanted.team_id)?;
        }
        if let Some(known) = session.player_mut(player).filter(|_| !wanted.custom_data.is_empty()) {
            known.custom_data = wanted.custom_data;
        }
        Ok(())
    })
}

/// Oneself, as far as the session's type lets members choose their team; others with the grant to move them, and only
/// admins say what describes them.
fn may_restate(
    tx: &Transaction<'_>,
    request: &RequestContext,
    session: &SessionRecord,
    player: PlayerUuid,
    wanted: &SessionPlayerUpdateRequest,
) -> Outcome<()> {
    let caller = &request.caller;
    let own = caller.player == Some(player);
    if !own && !wanted.custom_data.is_empty() {
        return authz::admin(session, caller, ELEVATED, "describe other players");
    }
    if own && (wanted.team_id.is_none() || chooses_team(tx, session)) {
        return Ok(());
    }
    authz::granted(session, caller, ELEVATED, SessionPermission::Move, "move players")
}

/// Whether the session's type lets its members change their own team.
pub fn chooses_team(tx: &Transaction<'_>, session: &SessionRecord) -> bool {
    tx.settings.session_types.get(&session.session_type).is_none_or(|kind| kind.can_change_own_team)
}

fn activate(
    tx: &mut Transaction<'_>,
    request: &RequestContext,
    session: &SessionRecord,
    player: PlayerUuid,
    status: PlayerStatus,
    wanted: SessionPlayerUpdateRequest,
) -> Outcome<()> {
    let caller = &request.caller;
    let promotes = status == PlayerStatus::Leader && session.leader() != Some(player);
    if promotes {
        authz::admin(session, caller, &["session:promote:any"], "make a player the leader")?;
    }
    let basis = if session.is_active(player) {
        if !promotes || wanted.team_id.is_some() || !wanted.custom_data.is_empty() {
            may_restate(tx, request, session, player, &wanted)?;
        }
        JoinBasis::Plain
    } else {
        way_in(tx, request, session, player)?
    };
    let (by_host, put_in) = (authz::is_host(session, caller), caller.player != Some(player));
    let joining = Joining {
        player,
        team: wanted.team_id,
        version: None,
        client_settings: None,
        crossplay_preferences: None,
        custom_data: wanted.custom_data,
        password: None,
        verified: None,
        basis,
        sanctioned: tx.sanctioned(caller, player),
        matching: tx.settings.versions,
        now: tx.now.wall,
    };
    tx.update(&session.id, |session| {
        let new = !session.is_active(player);
        make_room(session, player, &joining, wanted.overflow_action.unwrap_or_default())?;
        join::join(session, joining)?;
        if by_host {
            session.connected.insert(player);
        }
        if new && put_in {
            session.added.insert(player);
        }
        if status == PlayerStatus::Leader { leave::promote(session, player) } else { Ok(()) }
    })
}

/// How a player who isn't active comes in: by itself as everybody, put in by an elevated caller or by the server that runs
/// the session, or by its leader if the player has agreed to that.
fn way_in(
    tx: &mut Transaction<'_>,
    request: &RequestContext,
    session: &SessionRecord,
    player: PlayerUuid,
) -> Outcome<JoinBasis> {
    let caller = &request.caller;
    if caller.may(ELEVATED) || authz::runs(session, caller) {
        return Ok(JoinBasis::Elevated);
    }
    if caller.player == Some(player) {
        return tx.basis_of_friends(request, session, player, None);
    }
    if !authz::role(session, caller).admin {
        return Err(not_permitted("add players to this session"));
    }
    if agreed(tx, request, session, player)? {
        return Ok(JoinBasis::Leader);
    }
    Err(forbidden(
        codes::NOT_AGREED,
        "invite the player; a leader adds only friends and those who came with their party",
    ))
}

/// Whether a player has agreed to be put in: it comes with its own party, the leader is its friend, matchmaking made the
/// session, or the session's type says that leaders add players.
fn agreed(
    tx: &mut Transaction<'_>,
    request: &RequestContext,
    session: &SessionRecord,
    player: PlayerUuid,
) -> Outcome<bool> {
    let by_type = tx.settings.session_types.get(&session.session_type).is_some_and(|kind| kind.leader_adds);
    let party = session.player(player).and_then(|known| known.source_session_id.clone());
    let with_party = party.is_some_and(|id| tx.session(id.as_str()).is_ok_and(|party| party.is_active(player)));
    if by_type || with_party || session.created_by_matchmaking {
        return Ok(true);
    }
    Ok(tx.has_friend(request, player, request.caller.player.into_iter())? == Some(true))
}

/// A newcomer who may overflow is put on a team before joining; joining then finds a place held.
fn make_room(
    session: &mut SessionRecord,
    player: PlayerUuid,
    joining: &Joining,
    overflow: TeamOverflow,
) -> Outcome<()> {
    if session.player(player).is_some() || overflow == TeamOverflow::Fail || !joining.basis.is_put_in() {
        return Ok(());
    }
    let full = || forbidden(codes::TEAM_FULL, "there is no room for the player");
    let team = teams::place(&session.teams, joining.team, 1, overflow)?[0].ok_or_else(full)?;
    session.teams[team].players.push(newcomer(player, PlayerStatus::Reserved));
    Ok(())
}

fn remove(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let refresh = request.refresh_ttl()?;
    let session = tx.session(&request.session_id()?)?;
    let player = target(tx, request)?;
    request.query::<Leaving>()?;
    if request.caller.player != Some(player) {
        authz::granted(&session, &request.caller, ELEVATED, SessionPermission::Kick, "remove players")?;
    }
    tx.leave(&session.id, player)?;
    tx.touch(&session.id, &request.caller, refresh);
    // The session may have gone with its last player.
    let etag = tx.view_of(&session.id).map(|view| view.etag(Scope::Full)).ok();
    Ok(Reply { etag, ..Reply::nothing() })
}

/// What a player has become.
pub fn updated(session: &SessionRecord, player: PlayerUuid) -> Outcome<UpdatedPlayer> {
    let team = session.team_of(player).ok_or_else(|| no_player(player))?;
    let known = session.player(player).ok_or_else(|| no_player(player))?;
    Ok(UpdatedPlayer {
        player_uuid: player,
        status: known.status,
        team_id: team as u32,
        custom_data: known.custom_data.clone(),
    })
}

/// Answers with what a player has become, and keeps the session alive.
pub fn answer(
    tx: &mut Transaction<'_>,
    request: &RequestContext,
    id: &SessionId,
    player: PlayerUuid,
    refresh: bool,
) -> Outcome {
    tx.touch(id, &request.caller, refresh);
    let entry = tx.view_of(id)?;
    let etag = entry.etag(scope(&entry.record, request));
    Ok(Reply::json(&updated(&entry.record, player)?).tagged(etag))
}

fn scope(session: &SessionRecord, request: &RequestContext) -> Scope {
    if authz::sees_all(session, &request.caller) { Scope::Full } else { Scope::Limited }
}

fn read_one(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let refresh = request.refresh_ttl()?;
    let session = tx.session(&request.session_id()?)?;
    let player = request.player(&parameters::PLAYER_UUID)?;
    tx.touch(&session.id, &request.caller, refresh);
    let scope = scope(&session, request);
    let etag = view::etag(&session, scope);
    if request.has(&etag) {
        return Ok(Reply::not_modified(etag));
    }
    let teams = view::teams(&session, scope);
    let mut players = teams.iter().flat_map(|team| &team.players);
    let found = players.find(|known| known.player_uuid == player).ok_or_else(|| no_player(player))?;
    Ok(Reply::json(found).tagged(etag))
}

fn list(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let refresh = request.refresh_ttl()?;
    let session = tx.session(&request.session_id()?)?;
    let PlayersQuery { cursor, page_size, .. } = request.query()?;
    tx.touch(&session.id, &request.caller, refresh);
    let scope = scope(&session, request);
    let etag = view::etag(&session, scope);
    if request.has(&etag) {
        return Ok(Reply::not_modified(etag));
    }
    let (teams, next) = page_of_players(view::teams(&session, scope), cursor as usize, page_size as usize);
    Ok(Reply::json(&PlayersPage { teams, cursor: next as u32 }).tagged(etag))
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
