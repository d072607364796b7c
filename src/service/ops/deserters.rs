//! Deserters: the rules of the configuration, and the marks that players have under them. A host
//! without an elevated permission marks only players who have joined the session that it hosts, or
//! hosted last; whom it put in by itself it can't mark.

use super::players::{oneself, target};
use crate::{
    model::{
        deserters::{DeserterConfig, DeserterConfigs, DeserterStatus, DeserterStatuses, DeserterUpdate},
        errors::codes,
        ids::PlayerUuid,
        parameters,
    },
    service::{
        http::{
            reply::{Outcome, Reply, conflict, not_found, not_permitted},
            request::RequestContext,
            route::{Access, Handler, Row},
        },
        state::{Transaction, deserters::Mark},
    },
};
use http::Method;
use uuid::Uuid;

const CONFIG: Access = Access::AnyOf(&["session:read:config"]);
const READ: Access = Access::AnyOf(&["session:read-player:any", "session:read-player:self"]);
const WRITE: Access = Access::AnyOf(&["session:update-player:any"]);
/// A host marks those who were in its session.
const MARK: Access = Access::AnyOf(&["session:update-player:any", "session:deserter:write:hosted"]);
const CLEAR: Access = Access::AnyOf(&["session:deserter:clear"]);

pub static TABLE: &[Row] = &[
    row!(GET "/session/v1/deserter", "get_all_deserter_configs", CONFIG, configs),
    row!(GET "/session/v1/deserter/{deserter_id}", "get_specific_deserter_config", CONFIG, config),
    row!(GET "/session/v1/player/me/deserter/{deserter_id}", "get_player_deserter_self", READ, read_one),
    row!(GET "/session/v1/player/{player_uuid}/deserter/{deserter_id}", "get_player_deserter", READ, read_one),
    row!(PUT "/session/v1/player/{player_uuid}/deserter/{deserter_id}", "put_player_deserter", MARK, put),
    row!(DELETE "/session/v1/player/{player_uuid}/deserter/{deserter_id}", "delete_player_deserter", WRITE, delete_one),
    row!(GET "/session/v1/player/{player_uuid}/deserter", "get_all_player_deserters", READ, read_all),
    row!(DELETE "/session/v1/player/{player_uuid}/deserter", "delete_all_player_deserter", WRITE, delete_all),
    row!(POST "/session/v1/deserter:clear", "clear_all_deserter", CLEAR, clear_all),
    row!(POST "/session/v1/deserter/{deserter_id}:clear", "clear_specific_deserter", CLEAR, clear_one),
];

/// The most that is kept with a mark.
const MOST_BYTES: usize = 16 << 10;

/// The rule of the path.
fn rule(tx: &Transaction<'_>, request: &RequestContext) -> Outcome<Uuid> {
    let id: String = request.path(&parameters::DESERTER_ID)?;
    let known = id.parse().ok().filter(|id| tx.settings.deserters.contains_key(id));
    known.ok_or_else(|| not_found("deserter_not_found", format!("there is no deserter rule {id:?}")))
}

fn rules(tx: &Transaction<'_>) -> Vec<Uuid> {
    tx.settings.deserters.keys().copied().collect()
}

fn shown(tx: &mut Transaction<'_>, rule: Uuid) -> DeserterConfig {
    DeserterConfig { deserter_id: rule, last_cleared_timestamp: tx.deserters_cleared(rule) }
}

fn configs(tx: &mut Transaction<'_>, _: &RequestContext) -> Outcome {
    let all: Vec<DeserterConfig> = rules(tx).into_iter().map(|rule| shown(tx, rule)).collect();
    Ok(Reply::json(&DeserterConfigs { deserter_configs: all }))
}

fn config(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let rule = rule(tx, request)?;
    Ok(Reply::json(&shown(tx, rule)))
}

/// Where a player stands under a rule. After `deserter_reset` the count is 0 again.
fn status(tx: &mut Transaction<'_>, player: PlayerUuid, rule: Uuid) -> DeserterStatus {
    let now = tx.now.wall;
    let Some(mark) = tx.deserter(player, rule) else {
        return DeserterStatus { deserter_id: rule, ..DeserterStatus::default() };
    };
    let counts = mark.reset.is_none_or(|reset| reset > now);
    DeserterStatus {
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
fn whose(tx: &Transaction<'_>, request: &RequestContext) -> Outcome<PlayerUuid> {
    if !request.path.iter().any(|(name, _)| *name == "player_uuid") {
        return oneself(request);
    }
    let player = target(tx, request)?;
    if request.caller.may_for(player, &["session:read-player:any"], &["session:read-player:self"]) {
        return Ok(player);
    }
    Err(not_permitted("read another player's marks"))
}

fn read_one(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let player = whose(tx, request)?;
    let rule = rule(tx, request)?;
    Ok(Reply::json(&status(tx, player, rule)))
}

fn read_all(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let player = whose(tx, request)?;
    let all: Vec<DeserterStatus> = rules(tx).into_iter().map(|rule| status(tx, player, rule)).collect();
    Ok(Reply::json(&DeserterStatuses { deserter_statuses: all }))
}

fn put(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let player = target(tx, request)?;
    if !request.caller.may(&["session:update-player:any"]) && !tx.played_with(&request.caller, player) {
        return Err(not_permitted("mark a player who wasn't in a session of yours"));
    }
    let rule = rule(tx, request)?;
    let now = tx.now.wall;
    let update: DeserterUpdate = request.body()?;
    let bytes: usize = update.custom_data.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > MOST_BYTES {
        let desc = format!("a mark may have {MOST_BYTES} bytes of custom_data; this has {bytes}");
        return Err(conflict(codes::RECORD_TOO_LARGE, desc));
    }
    let mark = Mark {
        expiration: update.deserter_expiration,
        reset: update.deserter_reset,
        count: update.deserter_count,
        updated: now,
        custom_data: update.custom_data,
    };
    tx.mark_deserter(player, rule, mark);
    Ok(Reply::json(&status(tx, player, rule)))
}

fn delete_one(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let player = target(tx, request)?;
    let rule = rule(tx, request)?;
    tx.unmark_deserter(player, rule);
    Ok(Reply::nothing())
}

fn delete_all(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let player = target(tx, request)?;
    for rule in rules(tx) {
        tx.unmark_deserter(player, rule);
    }
    Ok(Reply::nothing())
}

fn clear_all(tx: &mut Transaction<'_>, _: &RequestContext) -> Outcome {
    for rule in rules(tx) {
        tx.clear_deserters(rule);
    }
    Ok(Reply::nothing())
}

fn clear_one(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let rule = rule(tx, request)?;
    tx.clear_deserters(rule);
    Ok(Reply::nothing())
}
