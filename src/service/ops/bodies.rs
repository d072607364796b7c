//! Parts of bodies that several operations share, with the contract's bounds.

use crate::{
    model::{
        player::PlayerStatus,
        session::{JoinParams, Joinability, StartupParams, TeamOverflow},
    },
    service::{
        http::read::{
            self, JsonCursor, Object, ValidationErrors, any_text, custom_data, flag, id, list, one_of, text, unsigned,
        },
        rules::teams::TeamChange,
    },
};
use serde_json::{Map, Value};

/// `ClientSettings`, checked and kept as it came.
pub fn client_settings(at: JsonCursor<'_>, faults: &mut ValidationErrors) -> Option<Value> {
    let mut object = at.object(faults)?;
    let input = object.required("input", word(&["keyboardandmouse", "gamepad", "touch"]))?;
    let platform = object.optional("platform", word(PLATFORMS));
    let platform_id = object.optional("platform_id", read::integer(0, 1000));
    let device = object.optional("device_type", word(&["pc", "xbox_series", "xbox_one", "web"]));
    let mut kept = Map::from_iter([("input".to_owned(), input.into())]);
    kept.extend(platform.map(|platform| ("platform".to_owned(), platform.into())));
    kept.extend(platform_id.filter(|id| PLATFORM_IDS.contains(id)).map(|id| ("platform_id".to_owned(), id.into())));
    kept.extend(device.map(|device| ("device_type".to_owned(), device.into())));
    Some(Value::Object(kept))
}

/// `CrossplayPreferences`.
pub fn crossplay(at: JsonCursor<'_>, faults: &mut ValidationErrors) -> Option<Value> {
    let mut object = at.object(faults)?;
    let platforms = &["desired_platforms_any", "desired_platforms_xboxlike", "desired_platforms_playstationlike"];
    let inputs =
        &["desired_inputs_any", "desired_inputs_keyboardandmouse", "desired_inputs_gamepad", "desired_inputs_touch"];
    let platform = object.required("permitted_platform", word(platforms));
    let input = object.required("permitted_input", word(inputs));
    Some(serde_json::json!({ "permitted_platform": platform?, "permitted_input": input? }))
}

/// The contract's platforms.
pub const PLATFORMS: &[&str] = &[
    "Anon",
    "Basic",
    "XboxLive",
    "PSN",
    "NintendoNAID",
    "NintendoSwitch",
    "NintendoPPID",
    "Google",
    "GooglePlay",
    "Apple",
    "Epic",
    "Steam",
    "Amazon",
    "Twitch",
    "RallyHere",
    "LegacyName",
    "AndroidDevice",
    "iosDevice",
    "Discord",
];
const PLATFORM_IDS: &[i64] = &[2, 4, 5, 9, 10, 11, 13, 16, 22, 24, 26, 28, 25];

/// One of these words.
pub fn word(words: &'static [&'static str]) -> impl Fn(JsonCursor<'_>, &mut ValidationErrors) -> Option<String> {
    move |at, faults| match at.value.as_str().filter(|found| words.contains(found)) {
        Some(found) => Some(found.to_owned()),
        None => at.fault(faults, "type_error.enum", format!("expected one of: {}", words.join(", "))),
    }
}

pub fn joinability(at: JsonCursor<'_>, faults: &mut ValidationErrors) -> Option<Joinability> {
    let mut object = at.object(faults)?;
    let default = Joinability::default();
    Some(Joinability {
        open: object.optional("open", flag).unwrap_or(default.open),
        friends: object.optional("friends", flag).unwrap_or(default.friends),
        platform: object.optional("platform", flag).unwrap_or(default.platform),
    })
}

pub fn team_change(at: JsonCursor<'_>, faults: &mut ValidationErrors) -> Option<TeamChange> {
    Some(team_change_of(&mut at.object(faults)?))
}

pub fn team_change_of(object: &mut Object<'_, '_>) -> TeamChange {
    TeamChange {
        max_size: object.optional("max_size", unsigned(1, 100)),
        custom_data: object.optional("custom_data", custom_data),
    }
}

pub fn team_changes(at: JsonCursor<'_>, faults: &mut ValidationErrors) -> Option<Vec<TeamChange>> {
    list(0, 50, team_change)(at, faults)
}

pub fn startup_params(at: JsonCursor<'_>, faults: &mut ValidationErrors) -> Option<StartupParams> {
    let mut object = at.object(faults)?;
    let map = object.required("map", any_text);
    let misc_params = object.required("misc_params", any_text);
    let mode = object.optional("mode", any_text);
    let custom_data = object.optional("custom_data", custom_data).unwrap_or_default();
    Some(StartupParams { map: map?, mode, misc_params: misc_params?, custom_data })
}

pub fn join_params(at: JsonCursor<'_>, faults: &mut ValidationErrors) -> Option<JoinParams> {
    let mut object = at.object(faults)?;
    let public = object.required("public_conn_str", any_text);
    let private = object.required("private_conn_str", any_text);
    let custom_data = object.optional("custom_data", custom_data).unwrap_or_default();
    Some(JoinParams { public_conn_str: public?, private_conn_str: private?, custom_data })
}

pub fn status(object: &mut Object<'_, '_>) -> PlayerStatus {
    object.optional("status", one_of).unwrap_or(PlayerStatus::Member)
}

pub fn overflow(object: &mut Object<'_, '_>) -> TeamOverflow {
    object.optional("overflow_action", one_of).unwrap_or_default()
}

/// Teams are numbered from 0; there are at most 50.
pub fn team_id(object: &mut Object<'_, '_>) -> Option<u32> {
    object.optional("team_id", unsigned(0, u32::MAX))
}

pub fn password(at: JsonCursor<'_>, faults: &mut ValidationErrors) -> Option<String> {
    text(1, 128)(at, faults)
}

pub fn region(at: JsonCursor<'_>, faults: &mut ValidationErrors) -> Option<String> {
    id(at, faults)
}
