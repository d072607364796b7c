//! The friend graph, as `friends.openapi.json` has it. A player reads and writes its own side; others' need
//! `friend:friend_list:read:any` or `friend:friend_list:write:any`.

use super::config::tagged;
use crate::{
    model::{
        errors::codes,
        friends::{FriendRelationship, FriendsList, PageMeta},
        ids::PlayerUuid,
    },
    service::{
        http::{
            asked::Asked,
            read::{self, list as items, text},
            reply::{Outcome, Refused, Reply, conflict, not_permitted},
            route::{Needs, Row, Run},
        },
        world::World,
    },
};
use http::{Method, StatusCode};

const READ: Needs = Needs::AnyOf(&["friend:*", "friend:friend_list:read", "friend:friend_list:read:any"]);
const WRITE: Needs = Needs::AnyOf(&["friend:*", "friend:friend_list:write", "friend:friend_list:write:any"]);

pub static TABLE: &[Row] = &[
    row!(GET "/friends/v2/player/{player_uuid}/friend", "get_friends_list_for_player_v2", READ, list),
    row!(DELETE "/friends/v2/player/{player_uuid}/friend", "delete_friends_v2", WRITE, remove_all),
    row!(GET "/friends/v2/player/{player_uuid}/friend/{other_player_uuid}", "get_friend_relationship_v2", READ, one),
    row!(PUT "/friends/v2/player/{player_uuid}/friend/{other_player_uuid}", "add_friend_v2", WRITE, add),
    row!(DELETE "/friends/v2/player/{player_uuid}/friend/{other_player_uuid}", "delete_friend_v2", WRITE, remove),
];

/// The player of the path, if the caller may do this with its list.
fn owner(world: &World, asked: &Asked, any: &str) -> Outcome<PlayerUuid> {
    if world.settings.friends.elsewhere() {
        let desc = format!("the friend graph is kept by {}", world.settings.friends.url);
        return Err(conflict(codes::FRIENDS_ELSEWHERE, desc));
    }
    let player = asked.player("player_uuid")?;
    if asked.caller.player == Some(player) || asked.caller.may(&["friend:*", any]) {
        return Ok(player);
    }
    Err(not_permitted("use another player's friends list"))
}

fn list(world: &mut World, asked: &Asked) -> Outcome {
    let player = owner(world, asked, "friend:friend_list:read:any")?;
    let page = asked.query_number("page", 0, u32::MAX, 0)?;
    let limit = asked.query_number("limit", 1, 10_000, 50)?;
    let all = world.relationships(player);
    let total = u32::try_from(all.len()).unwrap_or(u32::MAX);
    let skip = (page as usize).saturating_mul(limit as usize);
    let friends = all.into_iter().skip(skip).take(limit as usize).collect();
    let page = PageMeta { page, limit, total };
    Ok(tagged(asked, &FriendsList { player_uuid: player, friends, page }))
}

fn one(world: &mut World, asked: &Asked) -> Outcome {
    let player = owner(world, asked, "friend:friend_list:read:any")?;
    let other = asked.player("other_player_uuid")?;
    Ok(tagged(asked, &world.relationship(player, other)))
}

/// Both players of the path, for a caller who may write and hasn't seen an older relationship.
fn writing(world: &mut World, asked: &Asked) -> Outcome<(PlayerUuid, PlayerUuid)> {
    let player = owner(world, asked, "friend:friend_list:write:any")?;
    let other = asked.player("other_player_uuid")?;
    let is = etag_of(asked, &world.relationship(player, other));
    if asked.wants_other(&is) {
        let desc = "the relationship has changed since; read it again";
        return Err(Refused::new(StatusCode::PRECONDITION_FAILED, codes::ETAG_MISMATCH, desc).into());
    }
    Ok((player, other))
}

fn etag_of(asked: &Asked, side: &FriendRelationship) -> String {
    tagged(asked, side).etag.unwrap_or_default()
}

fn add(world: &mut World, asked: &Asked) -> Outcome {
    let (player, other) = writing(world, asked)?;
    let notes = if asked.body.is_empty() {
        None
    } else {
        asked.body(|object| Some(object.optional("notes", text(1, 4000))))?
    };
    let side = world.befriend(player, other, notes)?;
    Ok(Reply::json(&side).tagged(etag_of(asked, &side)))
}

fn remove(world: &mut World, asked: &Asked) -> Outcome {
    let (player, other) = writing(world, asked)?;
    world.unfriend(player, other);
    let left = world.relationship(player, other);
    Ok(Reply::nothing().tagged(etag_of(asked, &left)))
}

fn remove_all(world: &mut World, asked: &Asked) -> Outcome {
    let player = owner(world, asked, "friend:friend_list:write:any")?;
    let others = asked.body(|object| object.required("friends", items(1, 50, read::player)))?;
    for other in others {
        world.unfriend(player, other);
    }
    Ok(Reply::nothing())
}
