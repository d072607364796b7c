//! Finding sessions by something else than their id: by player, short code or platform session.

use super::{
    players::{join_as, oneself, target},
    sessions::show,
};
use crate::{
    model::{
        discovery::ShortCode,
        errors::codes,
        ids::PlayerUuid,
        parameters,
        player::{PendingInvite, PlayerSessions, PlayerSessionsOfType, PlayerStatus, SelfSessionPlayerUpdateRequest},
        session::{PlatformScout, PlatformSession},
    },
    service::{
        http::{
            reply::{Interrupt, Outcome, Refused, Reply, conflict, forbidden, not_found, not_permitted, unavailable},
            request::RequestContext,
            route::{Access, Handler, Row},
        },
        rules::{authz, join::JoinBasis, record::SessionRecord, view::Scope},
        state::Transaction,
    },
};
use http::{Method, StatusCode};
use rand::{RngExt, rngs::StdRng};
use std::collections::BTreeMap;

const READ_PLAYER: Access = Access::AnyOf(&["session:read-player:any", "session:read-player:self"]);
const UPDATE_PLAYER: Access = Access::AnyOf(&["session:update-player:any", "session:update-player:self"]);
const UPDATE_PLATFORM: Access = Access::AnyOf(&["session:update:platform"]);

pub static TABLE: &[Row] = &[
    row!(GET "/session/v1/player/me/session", "get_player_sessions_self", READ_PLAYER, own_sessions),
    row!(GET "/session/v1/player/{player_uuid}/session", "get_player_sessions_by_uuid_v2", READ_PLAYER, sessions_of),
    row!(GET "/session/v1/player/uuid/{player_uuid}/session", "get_player_sessions_by_uuid", READ_PLAYER, sessions_of),
    row!(GET "/session/v1/player/id/{player_id}/session", "get_player_sessions", READ_PLAYER, sessions_of),
    row!(
        POST "/session/v1/session/{session_id}:generate-short-code",
        "generate_session_short_code",
        Access::AnyOf(&["session:shortcode:any", "session:shortcode:active"]), short_code
    ),
    row!(
        POST "/session/v1/platform/{platform}/platform-session/{platform_session_id_base64}/session/{session_id}",
        "add_platform_session_to_rally_here_session", UPDATE_PLATFORM, link
    ),
    row!(
        DELETE "/session/v1/platform/{platform}/platform-session/{platform_session_id_base64}/session/{session_id}",
        "delete_platform_session_from_rally_here_session", UPDATE_PLATFORM, unlink
    ),
    row!(
        GET "/session/v1/platform/{platform}/platform-session/{platform_session_id_base64}",
        "get_platform_session_info",
        Access::AnyOf(&["session:read:platform"]), read_platform
    ),
    row!(
        POST "/session/v1/platform/{platform}/platform-session/{platform_session_id_base64}/player/me",
        "join_session_by_platform_session_id_self", UPDATE_PLAYER, join_platform
    ),
    row!(
        DELETE "/session/v1/platform/{platform}/platform-session/{platform_session_id_base64}/player/me",
        "leave_session_by_platform_session_self", UPDATE_PLAYER, leave_platform
    ),
    row!(
        POST "/session/v1/platform/{platform}/platform-session/{platform_session_id_base64}/player/{player_uuid}",
        "join_session_by_platform_session_by_uuid", UPDATE_PLAYER, join_platform
    ),
    row!(
        DELETE "/session/v1/platform/{platform}/platform-session/{platform_session_id_base64}/player/{player_uuid}",
        "leave_session_by_platform_session_by_uuid", UPDATE_PLAYER, leave_platform
    ),
];

fn own_sessions(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let player = oneself(request)?;
    player_sessions(tx, request, player)
}

fn sessions_of(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let player = target(tx, request)?;
    if !request.caller.may_for(player, &["session:read-player:any"], &["session:read-player:self"]) {
        return Err(not_permitted("read another player's sessions"));
    }
    player_sessions(tx, request, player)
}

/// `PlayerSessions`: by type; invites keyed by session, each with its own id besides.
fn player_sessions(tx: &mut Transaction<'_>, request: &RequestContext, player: PlayerUuid) -> Outcome {
    let mut types: BTreeMap<String, PlayerSessionsOfType> = BTreeMap::new();
    for id in tx.index().of_player(player).cloned() {
        let session = tx.session(id.as_str())?;
        let Some(known) = session.player(player) else { continue };
        let kind = &session.session_type;
        let told = tx.settings.session_types.get(kind).is_none_or(|kind| kind.notify_on_reservation);
        let entry = types.entry(kind.clone()).or_insert_with(|| PlayerSessionsOfType {
            session_type: kind.clone(),
            session_ids: Vec::new(),
            pending_invites: BTreeMap::new(),
            reserved_sessions: Vec::new(),
        });
        match known.status {
            PlayerStatus::Leader | PlayerStatus::Member => entry.session_ids.push(id),
            PlayerStatus::Reserved if told => entry.reserved_sessions.push(id),
            PlayerStatus::Reserved => {}
            PlayerStatus::Invited => {
                let invite = invite(&session, player, known.inviting_player_uuid);
                entry.pending_invites.insert(id.as_str().to_owned(), invite);
            }
        }
    }
    Ok(super::config::tagged(request, &PlayerSessions { sessions: types }))
}

fn invite(session: &SessionRecord, player: PlayerUuid, by: Option<PlayerUuid>) -> PendingInvite {
    PendingInvite {
        session_id: session.id.clone(),
        inviting_player_uuid: by,
        invite_id: session.invites.get(&player).copied(),
    }
}

/// Letters and digits that nobody confuses.
const CODE: &[u8] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";

fn short_code(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let refresh = request.refresh_ttl()?;
    let session = tx.session(&request.session_id()?)?;
    authz::active(&session, &request.caller, &["session:shortcode:any"], "make a short code for this session")?;
    if let Some(code) = &session.short_code {
        return Err(conflict("short_code_exists", format!("the session has the short code {code} already")));
    }
    let (index, rng) = (tx.index(), tx.rng());
    let fresh = (0..16).map(|_| random_code(rng)).find(|code| index.by_code(code).is_none());
    let exhausted = || Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "no_short_code", "no unused code was found");
    let code = fresh.ok_or_else(|| Interrupt::from(exhausted()))?;
    tx.update(&session.id, |session| {
        session.short_code = Some(code.clone());
        Ok(())
    })?;
    tx.touch(&session.id, &request.caller, refresh);
    Ok(Reply::json(&ShortCode { short_code: code }))
}

fn random_code(rng: &mut StdRng) -> String {
    (0..6).map(|_| char::from(CODE[rng.random_range(0..CODE.len())])).collect()
}

/// A platform's session, as the path names it.
fn platform_key(request: &RequestContext) -> Outcome<(String, String)> {
    Ok((request.path(&parameters::PLATFORM)?, request.path(&parameters::PLATFORM_SESSION_ID)?))
}

fn linked(tx: &mut Transaction<'_>, key: &(String, String)) -> Outcome<std::sync::Arc<SessionRecord>> {
    let missing = || not_found("platform_session_not_found", "no session has that platform session");
    let id = tx.index().by_platform(key).ok_or_else(missing)?;
    tx.session(id.as_str())
}

fn shown(session: &SessionRecord, key: &(String, String)) -> Outcome<PlatformSession> {
    let own = |known: &&PlatformSession| known.platform == key.0 && known.platform_session_id_base64 == key.1;
    let found = session.platform_sessions.iter().find(own);
    found.cloned().ok_or_else(|| not_found("platform_session_not_found", "it was just taken away"))
}

fn link(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let refresh = request.refresh_ttl()?;
    let key = platform_key(request)?;
    let session = tx.session(&request.session_id()?)?;
    authz::active(&session, &request.caller, &["session:update:any"], "link a platform session to this session")?;
    if tx.index().by_platform(&key).is_some_and(|other| other != session.id) {
        return Err(unavailable("the platform session belongs to another session for now", 5));
    }
    let kind = tx.settings.session_types.get(&session.session_type);
    let template = kind.and_then(|kind| kind.platform_templates.get(&key.0));
    let platform_session = PlatformSession {
        platform: key.0.clone(),
        platform_session_type: template.map_or_else(|| "default".to_owned(), |t| t.platform_session_type.clone()),
        platform_session_id_base64: key.1.clone(),
        players: Vec::new(),
        custom_data: template.map(|template| template.custom_data.clone()).unwrap_or_default(),
    };
    let scout = request.caller.player;
    tx.update(&session.id, |session| {
        let there = session.platform_sessions.iter().any(|known| {
            known.platform == platform_session.platform
                && known.platform_session_id_base64 == platform_session.platform_session_id_base64
        });
        if !there {
            session.platform_sessions.push(platform_session);
        }
        if let Some(player_uuid) = scout {
            let scout = PlatformScout { player_uuid, platform: key.0.clone() };
            session.platform_scouts.entry(key.0.clone()).or_insert(scout);
        }
        Ok(())
    })?;
    tx.touch(&session.id, &request.caller, refresh);
    let entry = tx.view_of(&session.id)?;
    Ok(Reply::json(&shown(&entry.record, &key)?).tagged(entry.etag(Scope::Full)))
}

fn unlink(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let refresh = request.refresh_ttl()?;
    let key = platform_key(request)?;
    let session = tx.session(&request.session_id()?)?;
    authz::active(&session, &request.caller, &["session:update:any"], "unlink a platform session of this session")?;
    shown(&session, &key)?;
    tx.update(&session.id, |session| {
        session.platform_sessions.retain(|known| known.platform != key.0 || known.platform_session_id_base64 != key.1);
        session.platform_scouts.retain(|platform, _| *platform != key.0);
        Ok(())
    })?;
    tx.touch(&session.id, &request.caller, refresh);
    Ok(Reply::nothing())
}

fn read_platform(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let key = platform_key(request)?;
    let session = linked(tx, &key)?;
    authz::active(&session, &request.caller, &["session:read:any"], "read this platform session")?;
    Ok(super::config::tagged(request, &shown(&session, &key)?))
}

/// The player of the path, or the caller.
fn who(tx: &Transaction<'_>, request: &RequestContext) -> Outcome<PlayerUuid> {
    if request.row.path.ends_with("/me") {
        return oneself(request);
    }
    let player = target(tx, request)?;
    if request.caller.may_for(player, &["session:update-player:any"], &["session:update-player:self"]) {
        return Ok(player);
    }
    Err(not_permitted("do this for another player"))
}

/// Players join only the platform of their login; a login without one serves in `--dev` alone.
fn on_platform(tx: &Transaction<'_>, request: &RequestContext, player: PlayerUuid, platform: &str) -> Outcome<()> {
    let own = request.caller.platform.as_deref();
    let fits = own.map_or(tx.settings.auth.dev, |own| own == platform);
    if fits || request.caller.player != Some(player) {
        return Ok(());
    }
    Err(forbidden("wrong_platform", format!("you are not on {platform}")))
}

/// Joining a child joins the parent.
fn join_platform(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let key = platform_key(request)?;
    let player = who(tx, request)?;
    let wanted: SelfSessionPlayerUpdateRequest = request.body()?;
    let session = linked(tx, &key)?;
    on_platform(tx, request, player, &key.0)?;
    join_as(tx, request, &session, player, wanted, JoinBasis::Platform)?;
    let joined = tx.session(session.id.as_str())?;
    tx.tell_joined_by_platform(player, &joined);
    show(tx, request, &session.id, true)
}

fn leave_platform(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let key = platform_key(request)?;
    let player = who(tx, request)?;
    let session = linked(tx, &key)?;
    if session.player(player).is_none() {
        return Err(not_found(codes::PLAYER_NOT_FOUND, "the player is not in the session"));
    }
    tx.leave(&session.id, player)?;
    Ok(Reply::nothing())
}
