//! What a caller sees of a session.
//!
//! | limited results leave out |
//! |---|
//! | `instance.join_params`, `instance.custom_data`; `instance.instance_startup_params.misc_params` is `""` (the schema requires it) and its `custom_data` is gone |
//! | every player's `custom_data` |
//! | `platform_session`: whoever knows a platform session's id may join through it |
//!
//! An entity tag is the record's version and the view, so that the two views never share one.

use super::record::SessionRecord;
use crate::model::{
    player::SessionTeam,
    session::{BackfillInfo, InstanceInfo, MatchInfo, PlatformSession, Session},
};

/// How much a caller sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Full,
    Limited,
}

/// A session as JSON.
pub(crate) fn session(record: &SessionRecord, scope: Scope) -> Vec<u8> {
    let view = Session {
        session_type: record.session_type.clone(),
        session_id: record.id.clone(),
        instance: record.instance.as_ref().map(|instance| instance_info(&instance.info, scope)),
        current_match: current_match(record),
        backfill: record
            .backfill
            .as_ref()
            .map(|backfill| BackfillInfo { backfill_id: backfill.id.clone(), extensions: backfill.extensions.clone() }),
        browser: record.browser.clone(),
        joinable: record.joinability.open && record.allow_new_members,
        joinability: Some(record.joinability),
        teams: teams(record, scope),
        platform_session: platform_sessions(record, scope),
        platform_scouts: record.platform_scouts.clone(),
        custom_data: record.custom_data.clone(),
        created: record.created,
        region_id: record.region_id.clone(),
        created_by_matchmaking: record.created_by_matchmaking,
        short_code: record.short_code.clone(),
        allow_new_members: (!record.allow_new_members).then_some(false),
        lan: record.lan,
        allow_sanctioned_players: record.allow_sanctioned,
    };
    // Plain structs with text keys always serialise.
    serde_json::to_vec(&view).unwrap_or_default()
}

fn current_match(record: &SessionRecord) -> Option<MatchInfo> {
    let instance = record.instance.as_ref()?;
    let match_id = instance.info.match_id.clone()?;
    Some(MatchInfo { match_id, created: instance.match_since.unwrap_or(instance.info.created) })
}

fn platform_sessions(record: &SessionRecord, scope: Scope) -> Vec<PlatformSession> {
    match scope {
        Scope::Full => record.platform_sessions.clone(),
        Scope::Limited => Vec::new(),
    }
}

/// The instance as far as `scope` goes.
pub(crate) fn instance_info(info: &InstanceInfo, scope: Scope) -> InstanceInfo {
    let mut info = info.clone();
    if scope == Scope::Limited {
        info.join_params = None;
        info.custom_data.clear();
        if let Some(startup) = &mut info.instance_startup_params {
            startup.misc_params.clear();
            startup.custom_data.clear();
        }
    }
    info
}

/// The teams as far as `scope` goes.
pub(crate) fn teams(record: &SessionRecord, scope: Scope) -> Vec<SessionTeam> {
    let mut teams = record.teams.clone();
    if scope == Scope::Limited {
        for player in teams.iter_mut().flat_map(|team| &mut team.players) {
            player.custom_data.clear();
        }
    }
    teams
}

/// The full view's entity tag of the version that a session doesn't get any more, since it is gone. A client that compares
/// it with its own asks once more, and hears that.
pub(crate) fn last_etag(record: &SessionRecord) -> String {
    format!("\"{}f\"", record.version + 1)
}

/// The entity tag of a view.
pub(crate) fn etag(record: &SessionRecord, scope: Scope) -> String {
    let view = if scope == Scope::Full { 'f' } else { 'l' };
    format!("\"{}{view}\"", record.version)
}

#[cfg(test)]
mod tests {
    use super::{
        super::record::testing::{self, at},
        *,
    };
    use crate::{
        model::{
            CustomData,
            ids::InstanceId,
            player::PlayerStatus::Leader,
            session::{HostType, JoinParams, StartupParams},
        },
        service::rules::instance::{NewInstance, start},
    };
    use serde_json::{Value, json};

    fn hosted() -> SessionRecord {
        let data = || CustomData::from([("k".to_owned(), "v".to_owned())]);
        let mut record = testing::session(&[(4, &[(1, Leader)])]);
        let new = NewInstance {
            id: InstanceId::new("i").unwrap(),
            host_type: HostType::Preallocated,
            startup: Some(StartupParams {
                map: "m".into(),
                mode: None,
                misc_params: "?secret".into(),
                custom_data: data(),
            }),
            host_player: None,
            custom_data: data(),
            subject: None,
            now: at(1),
        };
        start(&mut record, new).unwrap();
        let info = &mut record.instance.as_mut().unwrap().info;
        info.join_params = Some(JoinParams { public_conn_str: "h:1".into(), ..JoinParams::default() });
        info.match_id = Some("m1".into());
        record.teams[0].players[0].custom_data = data();
        record
    }

    fn json_of(record: &SessionRecord, scope: Scope) -> Value {
        serde_json::from_slice(&super::session(record, scope)).unwrap()
    }

    #[test]
    fn limited_results_hide_field_by_field() {
        let hosted = hosted();
        let (full, limited) = (json_of(&hosted, Scope::Full), json_of(&hosted, Scope::Limited));
        let rows = [
            ("/instance/join_params/public_conn_str", json!("h:1"), Value::Null),
            ("/instance/custom_data/k", json!("v"), Value::Null),
            ("/instance/instance_startup_params/misc_params", json!("?secret"), json!("")),
            ("/instance/instance_startup_params/custom_data/k", json!("v"), Value::Null),
            ("/instance/instance_startup_params/map", json!("m"), json!("m")),
            ("/teams/0/players/0/custom_data/k", json!("v"), Value::Null),
            ("/instance/join_status", json!("allocated"), json!("allocated")),
            ("/match/match_id", json!("m1"), json!("m1")),
        ];
        for (pointer, in_full, in_limited) in rows {
            assert_eq!(full.pointer(pointer).unwrap_or(&Value::Null), &in_full, "full {pointer}");
            assert_eq!(limited.pointer(pointer).unwrap_or(&Value::Null), &in_limited, "limited {pointer}");
        }
        assert_ne!(etag(&hosted, Scope::Full), etag(&hosted, Scope::Limited));
    }
}
