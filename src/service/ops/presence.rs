//! The presence session: the one that a player shows to friends. An extension.

use super::players::oneself;
use crate::{
    model::{discovery::PresenceSession, errors::codes, ids::PlayerUuid, parameters},
    service::{
        http::{
            reply::{Outcome, Reply, forbidden, not_found},
            request::RequestContext,
            route::{Access, Handler, Row},
        },
        state::Transaction,
    },
};
use http::Method;

const READ: Access = Access::AnyOf(&["session:read-player:any", "session:read-player:self"]);
const WRITE: Access = Access::AnyOf(&["session:update-player:any", "session:update-player:self"]);

pub static TABLE: &[Row] = &[
    row!(GET "/session/v1/player/me/presence-session", "get_presence_session_self", READ, read_own),
    row!(PUT "/session/v1/player/me/presence-session", "set_presence_session", WRITE, set),
    row!(DELETE "/session/v1/player/me/presence-session", "clear_presence_session", WRITE, clear),
    row!(GET "/session/v1/player/{player_uuid}/presence-session", "get_presence_session", READ, read_other),
];

fn shown(tx: &mut Transaction<'_>, player: PlayerUuid) -> Outcome {
    let none = || not_found(codes::NO_PRESENCE, "the player shows no session");
    let session_id = tx.presence_of(player).ok_or_else(none)?;
    Ok(Reply::json(&PresenceSession { session_id }))
}

fn read_own(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let player = oneself(request)?;
    shown(tx, player)
}

/// For friends, and those who may read every player.
fn read_other(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let player = request.player(&parameters::PLAYER_UUID)?;
    if !request.caller.may(&["session:read-player:any"]) {
        let friend = match request.caller.player {
            Some(own) if own == player => Some(true),
            Some(own) => tx.has_friend(request, own, std::iter::once(player))?,
            None => Some(false),
        };
        let unknown = || forbidden(codes::FRIENDS_UNAVAILABLE, "who your friends are can't be found out at the moment");
        if !friend.ok_or_else(unknown)? {
            return Err(forbidden(codes::NOT_FRIENDS, "only friends see a player's presence session"));
        }
    }
    shown(tx, player)
}

fn set(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let player = oneself(request)?;
    let PresenceSession { session_id: id } = request.body()?;
    let session = tx.session(id.as_str())?;
    if !session.is_active(player) {
        return Err(forbidden("not_in_session", "join the session first"));
    }
    tx.set_presence(player, session.id.clone());
    shown(tx, player)
}

fn clear(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let player = oneself(request)?;
    tx.clear_presence(player);
    Ok(Reply::nothing())
}
