//! Deserters: the rules of the configuration, and the marks that players have under them.

use super::players::{oneself, target};
use crate::{
    model::{CustomData, ids::PlayerUuid, time::Timestamp},
    service::{
        http::{
            asked::Asked,
            read::{Object, custom_data, text, timestamp, unsigned},
            reply::{Outcome, Reply, not_found, not_permitted},
            route::{Needs, Row, Run},
        },
        world::{World, deserters::Mark},
    },
};
use http::Method;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

const CONFIG: Needs = Needs::AnyOf(&["session:read:config"]);
const READ: Needs = Needs::AnyOf(&["session:read-player:any", "session:read-player:self"]);
const WRITE: Needs = Needs::AnyOf(&["session:update-player:any"]);
const CLEAR: Needs = Needs::AnyOf(&["session:deserter:clear"]);

pub static TABLE: &[Row] = &[
    row!(GET "/session/v1/deserter", "get_all_deserter_configs", CONFIG, configs),
    row!(GET "/session/v1/deserter/{deserter_id}", "get_specific_deserter_config", CONFIG, config),
    row!(GET "/session/v1/player/me/deserter/{deserter_id}", "get_player_deserter_self", READ, read_one),
    row!(GET "/session/v1/player/{player_uuid}/deserter/{deserter_id}", "get_player_deserter", READ, read_one),
    row!(PUT "/session/v1/player/{player_uuid}/deserter/{deserter_id}", "put_player_deserter", WRITE, put),
    row!(DELETE "/session/v1/player/{player_uuid}/deserter/{deserter_id}", "delete_player_deserter", WRITE, delete_one),
    row!(GET "/session/v1/player/{player_uuid}/deserter", "get_all_player_deserters", READ, read_all),
    row!(DELETE "/session/v1/player/{player_uuid}/deserter", "delete_all_player_deserter", WRITE, delete_all),
    row!(POST "/session/v1/deserter:clear", "clear_all_deserter", CLEAR, clear_all),
    row!(POST "/session/v1/deserter/{deserter_id}:clear", "clear_specific_deserter", CLEAR, clear_one),
];

/// `DeserterConfig`.
#[derive(Serialize)]
struct Config {
    deserter_id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_cleared_timestamp: Option<Timestamp>,
}

/// `PlayerDeserterStatus`.
#[derive(Serialize, Default)]
#[allow(clippy::struct_field_names, reason = "the contract's names")]
struct Status {
    deserter_id: Uuid,
    deserter_status: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    deserter_expiration: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deserter_reset: Option<Timestamp>,
    deserter_count: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_updated: Option<Timestamp>,
    #[serde(skip_serializing_if = "CustomData::is_empty")]
    custom_data: CustomData,
}

/// The rule of the path.
fn rule(world: &World, asked: &Asked) -> Outcome<Uuid> {
    let id = asked.path_as("deserter_id", text(1, 4096))?;
    let known = id.parse().ok().filter(|id| world.settings.deserters.contains_key(id));
    known.ok_or_else(|| not_found("deserter_not_found", format!("there is no deserter rule {id:?}")))
}

fn rules(world: &World) -> Vec<Uuid> {
    world.settings.deserters.keys().copied().collect()
}

fn shown(world: &mut World, rule: Uuid) -> Config {
    Config { deserter_id: rule, last_cleared_timestamp: world.deserters_cleared(rule) }
}

fn configs(world: &mut World, _: &Asked) -> Outcome {
    let all: Vec<Config> = rules(world).into_iter().map(|rule| shown(world, rule)).collect();
    Ok(Reply::json(&json!({ "deserter_configs": all })))
}

fn config(world: &mut World, asked: &Asked) -> Outcome {
    let rule = rule(world, asked)?;
    Ok(Reply::json(&shown(world, rule)))
}

/// Where a player stands under a rule. After `deserter_reset` the count is 0 again.
fn status(world: &mut World, player: PlayerUuid, rule: Uuid) -> Status {
    let now = world.now.wall;
    let Some(mark) = world.deserter(player, rule) else { return Status { deserter_id: rule, ..Status::default() } };
    let counts = mark.reset.is_none_or(|reset| reset > now);
    Status {
        deserter_id: rule,
        deserter_status: mark.expiration > now,
        deserter_expiration: Some(mark.expiration),
        deserter_reset: mark.reset,
        deserter_count: if counts { mark.count } else { 0 },
        last_updated: Some(mark.updated),
        custom_data: mark.custom_data,
    }
}

/// The player of the path, or the caller; others' marks are for whoever may read every player.
fn whose(world: &World, asked: &Asked) -> Outcome<PlayerUuid> {
    if !asked.path.iter().any(|(name, _)| *name == "player_uuid") {
        return oneself(asked);
    }
    let player = target(world, asked)?;
    if asked.caller.may_for(player, &["session:read-player:any"], &["session:read-player:self"]) {
        return Ok(player);
    }
    Err(not_permitted("read another player's marks"))
}

fn read_one(world: &mut World, asked: &Asked) -> Outcome {
    let player = whose(world, asked)?;
    let rule = rule(world, asked)?;
    Ok(Reply::json(&status(world, player, rule)))
}

fn read_all(world: &mut World, asked: &Asked) -> Outcome {
    let player = whose(world, asked)?;
    let all: Vec<Status> = rules(world).into_iter().map(|rule| status(world, player, rule)).collect();
    Ok(Reply::json(&json!({ "deserter_statuses": all })))
}

/// `DeserterUpdateRequest`.
fn update(object: &mut Object<'_, '_>, now: Timestamp) -> Option<Mark> {
    let expiration = object.required("deserter_expiration", timestamp);
    let count = object.required("deserter_count", unsigned(0, u32::MAX));
    let reset = object.optional("deserter_reset", timestamp);
    let custom_data = object.optional("custom_data", custom_data).unwrap_or_default();
    Some(Mark { expiration: expiration?, reset, count: count?, updated: now, custom_data })
}

fn put(world: &mut World, asked: &Asked) -> Outcome {
    let player = target(world, asked)?;
    let rule = rule(world, asked)?;
    let now = world.now.wall;
    let mark = asked.body(|object| update(object, now))?;
    world.mark_deserter(player, rule, mark);
    Ok(Reply::json(&status(world, player, rule)))
}

fn delete_one(world: &mut World, asked: &Asked) -> Outcome {
    let player = target(world, asked)?;
    let rule = rule(world, asked)?;
    world.unmark_deserter(player, rule);
    Ok(Reply::nothing())
}

fn delete_all(world: &mut World, asked: &Asked) -> Outcome {
    let player = target(world, asked)?;
    for rule in rules(world) {
        world.unmark_deserter(player, rule);
    }
    Ok(Reply::nothing())
}

fn clear_all(world: &mut World, _: &Asked) -> Outcome {
    for rule in rules(world) {
        world.clear_deserters(rule);
    }
    Ok(Reply::nothing())
}

fn clear_one(world: &mut World, asked: &Asked) -> Outcome {
    let rule = rule(world, asked)?;
    world.clear_deserters(rule);
    Ok(Reply::nothing())
}
