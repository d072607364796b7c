//! The friend graph. A player reads and writes its own side; others' need
//! `friend:friend_list:read:any` or `friend:friend_list:write:any`.

use super::config::tagged;
use crate::{
    model::{
        errors::codes,
        friends::{FriendNotes, FriendRelationship, FriendsList, FriendsToRemove, PageMeta},
        ids::PlayerUuid,
        parameters::{self, FriendsQuery},
    },
    service::{
        http::{
            reply::{Outcome, Refused, Reply, conflict, not_permitted},
            request::RequestContext,
            route::{Access, Handler, Row},
        },
        state::Transaction,
    },
};
use http::{Method, StatusCode};

const READ: Access = Access::AnyOf(&["friend:*", "friend:friend_list:read", "friend:friend_list:read:any"]);
const WRITE: Access = Access::AnyOf(&["friend:*", "friend:friend_list:write", "friend:friend_list:write:any"]);

pub static TABLE: &[Row] = &[
    row!(GET "/friends/v2/player/{player_uuid}/friend", "get_friends_list_for_player_v2", READ, list),
    row!(DELETE "/friends/v2/player/{player_uuid}/friend", "delete_friends_v2", WRITE, remove_all),
    row!(GET "/friends/v2/player/{player_uuid}/friend/{other_player_uuid}", "get_friend_relationship_v2", READ, one),
    row!(PUT "/friends/v2/player/{player_uuid}/friend/{other_player_uuid}", "add_friend_v2", WRITE, add),
    row!(DELETE "/friends/v2/player/{player_uuid}/friend/{other_player_uuid}", "delete_friend_v2", WRITE, remove),
];

/// The player of the path, if the caller may do this with its list.
fn owner(tx: &Transaction<'_>, request: &RequestContext, any: &str) -> Outcome<PlayerUuid> {
    if tx.settings.friends.elsewhere() {
        let desc = format!("the friend graph is kept by {}", tx.settings.friends.url);
        return Err(conflict(codes::FRIENDS_ELSEWHERE, desc));
    }
    let player = request.player(&parameters::PLAYER_UUID)?;
    if request.caller.player == Some(player) || request.caller.may(&["friend:*", any]) {
        return Ok(player);
    }
    Err(not_permitted("use another player's friends list"))
}

fn list(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let player = owner(tx, request, "friend:friend_list:read:any")?;
    let FriendsQuery { page, limit } = request.query()?;
    let all = tx.relationships(player);
    let total = u32::try_from(all.len()).unwrap_or(u32::MAX);
    let skip = (page as usize).saturating_mul(limit as usize);
    let friends = all.into_iter().skip(skip).take(limit as usize).collect();
    let page = PageMeta { page, limit, total };
    Ok(tagged(request, &FriendsList { player_uuid: player, friends, page }))
}

fn one(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let player = owner(tx, request, "friend:friend_list:read:any")?;
    let other = request.player(&parameters::OTHER_PLAYER_UUID)?;
    Ok(tagged(request, &tx.relationship(player, other)))
}

/// Both players of the path, for a caller who may write and hasn't seen an older relationship.
fn writing(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome<(PlayerUuid, PlayerUuid)> {
    let player = owner(tx, request, "friend:friend_list:write:any")?;
    let other = request.player(&parameters::OTHER_PLAYER_UUID)?;
    let is = etag_of(request, &tx.relationship(player, other));
    if request.wants_other(&is) {
        let desc = "the relationship has changed since; read it again";
        return Err(Refused::new(StatusCode::PRECONDITION_FAILED, codes::ETAG_MISMATCH, desc).into());
    }
    Ok((player, other))
}

fn etag_of(request: &RequestContext, side: &FriendRelationship) -> String {
    tagged(request, side).etag.unwrap_or_default()
}

fn add(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let (player, other) = writing(tx, request)?;
    let notes = request.optional_body::<FriendNotes>()?.and_then(|body| body.notes);
    let side = tx.befriend(player, other, notes)?;
    Ok(Reply::json(&side).tagged(etag_of(request, &side)))
}

fn remove(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let (player, other) = writing(tx, request)?;
    tx.unfriend(player, other);
    let left = tx.relationship(player, other);
    Ok(Reply::nothing().tagged(etag_of(request, &left)))
}

fn remove_all(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let player = owner(tx, request, "friend:friend_list:write:any")?;
    let FriendsToRemove { friends: others } = request.body()?;
    for other in others {
        tx.unfriend(player, other);
    }
    Ok(Reply::nothing())
}
