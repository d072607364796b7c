//! Makes each resource from the settings that it shows.

use super::{
    InstanceLaunchTemplate, InstanceRequestTemplate, LaunchSelection, LaunchSelectionList, MapSelection,
    MapSelectionList, MatchMakingProfile, MatchMakingProfileV2, MatchMakingRule, MatchMakingRuleset,
    MatchMakingTemplate, MatchMakingTemplateGroup, MatchMakingTemplateGroupV2, MatchMakingTemplateV2,
    PlatformSessionTemplate, RegionInfo, SessionTemplate,
};
use crate::{
    model::player::platform_number,
    service::{
        profiles::{MatchTemplate, Profile, Ruleset, TemplateGroup},
        settings::ServiceSettings,
        templates::{Region, RequestTemplate, SessionType},
    },
};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

pub(crate) fn session_template(name: &str, kind: &SessionType) -> SessionTemplate {
    let platforms = kind.platform_templates.iter().filter_map(|(name, template)| {
        let shown = PlatformSessionTemplate {
            platform_id: platform_number(name)?,
            platform: name.clone(),
            platform_session_type: template.platform_session_type.clone(),
            max_players: template.max_players,
            custom_data: template.custom_data.clone(),
        };
        Some((name.clone(), shown))
    });
    SessionTemplate {
        session_type: name.to_owned(),
        engine_session_type: kind.engine_session_type.clone(),
        can_join_matchmaking: kind.can_join_matchmaking,
        can_be_created_by_players_directly: kind.can_be_created_by_players_directly,
        joinable: kind.attempt_auto_join,
        attempt_auto_join: kind.attempt_auto_join,
        default_public: kind.default_public,
        auto_add_to_browser: kind.auto_add_to_browser,
        auto_browser_params: kind.auto_browser_params.clone(),
        can_be_added_to_server_browser: kind.can_be_added_to_server_browser,
        keep_alive_on_empty: kind.keep_alive_on_empty,
        platform_templates: platforms.collect(),
        auto_startup_params: kind.auto_startup_params.clone(),
        auto_startup_instance_template_id: kind.auto_startup_instance_template_id,
        custom_data: kind.custom_data.clone(),
        num_teams: kind.num_teams,
        players_per_team: kind.players_per_team,
        can_change_own_team: kind.can_change_own_team,
        leader_adds: kind.leader_adds,
        player_startup: kind.player_startup,
        notify_on_reservation: kind.notify_on_reservation,
        player_culling_timeout: kind.player_culling_timeout,
    }
}

pub(crate) fn session_templates(settings: &ServiceSettings) -> BTreeMap<String, SessionTemplate> {
    settings.session_types.iter().map(|(name, kind)| (name.clone(), session_template(name, kind))).collect()
}

/// Regions in their order.
pub(crate) fn regions(regions: &[Region]) -> Vec<RegionInfo> {
    let shown = |(sort_order, region): (u32, &Region)| RegionInfo {
        region_id: region.region_id.clone(),
        sort_order,
        custom_only: region.custom_only,
        description: region.description.clone(),
    };
    (0..).zip(regions).map(shown).collect()
}

pub(crate) fn request_template(id: Uuid, template: &RequestTemplate) -> InstanceRequestTemplate {
    let maps = template.maps.iter().enumerate().map(|(number, map)| MapSelection {
        map_id: number.to_string(),
        map_name: map.map_name.clone(),
        mode: map.mode.clone(),
        map_weight: map.map_weight,
        misc_params: map.misc_params.clone(),
        custom_data: map.custom_data.clone(),
    });
    InstanceRequestTemplate {
        instance_request_template_id: id,
        map_selection_list: MapSelectionList { map_selection_list_id: id.to_string(), maps: maps.collect() },
        default_host_type: template.default_host_type,
        custom_data: template.custom_data.clone(),
    }
}

/// The same templates as [`request_template`], under the same ids.
pub(crate) fn launch_template(id: Uuid, template: &RequestTemplate) -> InstanceLaunchTemplate {
    let total: f64 = template.maps.iter().map(|map| map.map_weight).sum();
    let maps = (0..).zip(&template.maps).map(|(map_game_id, map)| {
        let chance = if total > 0.0 { map.map_weight / total * 100.0 } else { 0.0 };
        LaunchSelection {
            map_game_id,
            map_name: map.map_name.clone(),
            mode: map.mode.clone(),
            selection_chance: chance.clamp(0.0, 100.0),
            custom_data: map.custom_data.clone(),
        }
    });
    InstanceLaunchTemplate {
        instance_launch_template_id: id,
        map_selection_list: LaunchSelectionList { map_selection_list_id: id.to_string(), maps: maps.collect() },
        default_host_type: template.default_host_type,
        custom_data: template.custom_data.clone(),
    }
}

pub(crate) fn profile(id: &str, profile: &Profile) -> MatchMakingProfileV2 {
    MatchMakingProfileV2 {
        match_making_profile_id: id.to_owned(),
        join_mode: profile.join_mode,
        instance_request_template_id: profile.instance_request_template_id,
        rank_id: profile.rank_id.clone(),
        num_sides: profile.num_sides,
        max_players_per_side: profile.max_players_per_side,
        min_players_per_side: profile.min_players_per_side,
        legacy_config: profile.legacy_config.clone(),
        deserter_id: profile.deserter_id,
        session_template_id: profile.session_template_id,
        custom_data: profile.custom_data.clone(),
    }
}

pub(crate) fn deprecated_profile(id: &str, profile: &Profile) -> MatchMakingProfile {
    MatchMakingProfile {
        profile_id: id.to_owned(),
        join_mode: profile.join_mode,
        instance_launch_template_id: profile.instance_request_template_id,
        rank_id: profile.rank_id.clone(),
        num_sides: profile.num_sides,
        max_players_per_side: profile.max_players_per_side,
        min_players_per_side: profile.min_players_per_side,
        legacy_config: profile.legacy_config.clone(),
        deserter_id: profile.deserter_id,
    }
}

pub(crate) fn template_group(
    settings: &ServiceSettings,
    id: Uuid,
    group: &TemplateGroup,
) -> MatchMakingTemplateGroupV2 {
    let options = group.template_options.iter().map(|option| MatchMakingTemplateV2 {
        match_making_template_id: option.match_making_template_id,
        mmr_grouping_method: option.mmr_grouping_method,
        profiles: profiles_of(settings, option).map(|(name, found)| profile(name, found)).collect(),
        ruleset: option.ruleset.as_ref().map(ruleset),
    });
    MatchMakingTemplateGroupV2 {
        match_making_template_group_id: id,
        template_options: options.collect(),
        required_item_ids: required_items(group),
    }
}

pub(crate) fn deprecated_group(
    settings: &ServiceSettings,
    id: Uuid,
    group: &TemplateGroup,
) -> MatchMakingTemplateGroup {
    let options = group.template_options.iter().map(|option| MatchMakingTemplate {
        match_making_template_id: option.match_making_template_id,
        mmr_grouping_method: option.mmr_grouping_method,
        profiles: profiles_of(settings, option).map(|(name, found)| deprecated_profile(name, found)).collect(),
        ruleset: option.ruleset.as_ref().map(ruleset),
    });
    MatchMakingTemplateGroup {
        template_group_id: id,
        template_options: options.collect(),
        required_item_ids: required_items(group),
    }
}

fn profiles_of<'a>(
    settings: &'a ServiceSettings,
    option: &'a MatchTemplate,
) -> impl Iterator<Item = (&'a String, &'a Profile)> {
    option.profiles.iter().filter_map(|name| Some((name, settings.match_making_profiles.get(name)?)))
}

fn required_items(group: &TemplateGroup) -> Vec<i64> {
    let rules = group.template_options.iter().filter_map(|option| option.ruleset.as_ref());
    let items: BTreeSet<i64> = rules.flat_map(|ruleset| &ruleset.rules).filter_map(|rule| rule.item_id).collect();
    items.into_iter().collect()
}

fn ruleset(ruleset: &Ruleset) -> MatchMakingRuleset {
    let rules = ruleset.rules.iter().map(|rule| MatchMakingRule {
        rule_type: rule.rule_type,
        comparison_operation: rule.comparison_operation,
        comparison_value: rule.comparison_value,
        comparison_value_set: rule.comparison_value_set.iter().cloned().collect(),
        item_id: rule.item_id,
    });
    MatchMakingRuleset {
        determiner: ruleset.determiner,
        players_to_validate: ruleset.players_to_validate,
        rules: rules.collect(),
    }
}
