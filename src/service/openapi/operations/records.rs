//! Operations on records and the configuration: audit, deserters, resources.

use super::ACTIVE;
use crate::{
    model::{
        audit::{AuditPage, CreateAuditRequest, Noted},
        deserters::{DeserterConfig, DeserterConfigs, DeserterStatus, DeserterStatuses, DeserterUpdate},
        errors::codes,
        parameters::{AuditQuery, Page},
        session::ConnectionInfo,
    },
    service::openapi::operation::{Operation, operation},
    service::resources::{
        InstanceLaunchTemplate, InstanceRequestTemplate, MatchMakingProfile, MatchMakingProfileV2,
        MatchMakingTemplateGroup, MatchMakingTemplateGroupV2, RegionsPage, SessionTemplate, SessionTemplates,
    },
};

pub(super) fn audit() -> Vec<Operation> {
    vec![
        operation("get_session_audit", "Reads a page of what happened to a session or a player")
            .places(ACTIVE)
            .query::<AuditQuery>()
            .answers::<AuditPage>(),
        operation("create_session_audit", "Adds to the audit of a session")
            .places(ACTIVE)
            .body::<CreateAuditRequest>()
            .keeps()
            .answers::<Noted>()
            .refuses(404, &[codes::SESSION_NOT_FOUND]),
    ]
}

pub(super) fn deserters() -> Vec<Operation> {
    let of_rule = |id, summary| operation(id, summary).refuses(404, &["deserter_not_found"]);
    vec![
        operation("get_all_deserter_configs", "Reads all rules").answers::<DeserterConfigs>(),
        of_rule("get_specific_deserter_config", "Reads a rule").answers::<DeserterConfig>(),
        of_rule("get_player_deserter_self", "Reads where the caller stands under a rule")
            .for_players()
            .answers::<DeserterStatus>(),
        of_rule("get_player_deserter", "Reads where a player stands under a rule").answers::<DeserterStatus>(),
        of_rule("put_player_deserter", "Marks a player under a rule")
            .body::<DeserterUpdate>()
            .keeps()
            .answers::<DeserterStatus>(),
        of_rule("delete_player_deserter", "Takes a player's mark under a rule away").answers_nothing(),
        operation("get_all_player_deserters", "Reads where a player stands under all rules")
            .answers::<DeserterStatuses>(),
        operation("delete_all_player_deserter", "Takes all marks of a player away").answers_nothing(),
        operation("clear_all_deserter", "Takes all marks away").answers_nothing(),
        of_rule("clear_specific_deserter", "Takes all marks under a rule away").answers_nothing(),
    ]
}

pub(super) fn config() -> Vec<Operation> {
    let resource = |id, summary| operation(id, summary).conditional().refuses(404, &[codes::TEMPLATE_NOT_FOUND]);
    vec![
        operation("get_all_session_templates", "Reads all session types").answers::<SessionTemplates>().conditional(),
        resource("get_session_template_by_type", "Reads a session type").answers::<SessionTemplate>(),
        operation("get_all_regions", "Reads a page of regions").query::<Page>().answers::<RegionsPage>(),
        resource("get_instance_request_template", "Reads what an instance may be requested with")
            .answers::<InstanceRequestTemplate>(),
        resource("get_all_map_game_info", "Reads the deprecated form of a request template")
            .answers::<InstanceLaunchTemplate>(),
        resource("get_match_making_profile", "Reads the deprecated form of a matchmaking profile")
            .answers::<MatchMakingProfile>(),
        resource("get_match_making_profile_v2", "Reads a matchmaking profile").answers::<MatchMakingProfileV2>(),
        resource("get_match_making_templates", "Reads the deprecated form of a group of matchmaking templates")
            .answers::<MatchMakingTemplateGroup>(),
        resource("get_match_making_templates_v2", "Reads a group of matchmaking templates")
            .answers::<MatchMakingTemplateGroupV2>(),
        operation("get_connection_info_self", "Reads where the caller comes from")
            .header("x-forwarded-for", "Counts only from a proxy that the configuration trusts.")
            .answers::<ConnectionInfo>(),
    ]
}
