//! The configuration's resources as the API shows them: session types, regions, request templates,
//! matchmaking.
//!
//! Invariant: what is shown of a resource is enough to configure it anew
//! ([`super::config_import`]).

mod from_settings;

pub(crate) use from_settings::{
    deprecated_group, deprecated_profile, launch_template, profile, regions, request_template, session_template,
    session_templates, template_group,
};

use super::profiles::{Determiner, Grouping, JoinMode, Operation, RuleType, Validated};
use crate::model::{
    CustomData,
    player::{PLATFORMS, PlatformNumber},
    session::{HostType, StartupParams},
    wire::{
        rules::{Listed, Own, any_text, between, count, ident, listed, map_of, one_of, text, whole},
        wire, words,
    },
};
use std::collections::BTreeMap;
use uuid::Uuid;

words!(JoinMode, Grouping, Determiner, Validated, RuleType, Operation);

wire! {
    /// All session types.
    pub(crate) struct SessionTemplates [] {
        required templates: BTreeMap<String, SessionTemplate> = map_of(usize::MAX, Own);
    }
}

wire! {
    /// A session type.
    pub(crate) struct SessionTemplate [] {
        required session_type: String = any_text();
        always engine_session_type: String = any_text();
        always can_join_matchmaking: bool;
        always can_be_created_by_players_directly: bool;
        /// The deprecated twin of `attempt_auto_join`.
        always joinable: bool;
        always attempt_auto_join: bool;
        always default_public: bool;
        always auto_add_to_browser: bool;
        always auto_browser_params: CustomData;
        always can_be_added_to_server_browser: bool;
        always keep_alive_on_empty: bool;
        always platform_templates: BTreeMap<String, PlatformSessionTemplate> = map_of(usize::MAX, Own);
        optional auto_startup_params: StartupParams;
        optional auto_startup_instance_template_id: Uuid;
        always custom_data: CustomData;
        always num_teams: u32 = whole(1, 50);
        always players_per_team: u32 = whole(1, 100);
        always can_change_own_team: bool;
        /// Extension: a leader may put in anybody; left out while false.
        sparse leader_adds: bool;
        /// Extension: players may give a dedicated server raw startup parameters; left out while false.
        sparse player_startup: bool;
        always notify_on_reservation: bool;
        always player_culling_timeout: u32 = count();
    }
}

wire! {
    /// What a session's platform session is like on one platform.
    pub(crate) struct PlatformSessionTemplate [] {
        /// The platform's deprecated number.
        required platform_id: i64 = PlatformNumber;
        required platform: String = one_of(PLATFORMS);
        required platform_session_type: String = text(1, 128);
        optional max_players: u32 = whole(1, 100);
        sparse custom_data: CustomData;
    }
}

wire! {
    /// A page of regions. `cursor` leads to the next page; 0 is the end.
    pub(crate) struct RegionsPage [] {
        required regions: Vec<RegionInfo> = listed();
        required cursor: u32 = count();
    }
}

wire! {
    /// A region.
    pub(crate) struct RegionInfo [] {
        required region_id: String = ident();
        required sort_order: u32 = count();
        required custom_only: bool;
        sparse description: String = text(1, 256);
    }
}

wire! {
    /// What an instance may be requested with.
    pub(crate) struct InstanceRequestTemplate [] {
        required instance_request_template_id: Uuid;
        required map_selection_list: MapSelectionList;
        required default_host_type: HostType;
        always custom_data: CustomData;
    }
}

wire! {
    /// Maps of which one is picked by weight.
    pub(crate) struct MapSelectionList [] {
        required map_selection_list_id: String = any_text();
        required maps: Vec<MapSelection> = listed();
    }
}

wire! {
    /// One map of a list.
    pub(crate) struct MapSelection [] {
        required map_id: String = any_text();
        required map_name: String = any_text();
        optional mode: String = any_text();
        required map_weight: f64 = between(0.0, 100.0);
        always misc_params: String = any_text();
        always custom_data: CustomData;
    }
}

wire! {
    /// The deprecated form of a request template.
    pub(crate) struct InstanceLaunchTemplate [] {
        required instance_launch_template_id: Uuid;
        required map_selection_list: LaunchSelectionList;
        required default_host_type: HostType;
        always custom_data: CustomData;
    }
}

wire! {
    /// The deprecated form of a list of maps.
    pub(crate) struct LaunchSelectionList [] {
        required map_selection_list_id: String = any_text();
        required maps: Vec<LaunchSelection> = listed();
    }
}

wire! {
    /// The deprecated form of a map.
    pub(crate) struct LaunchSelection [] {
        always map_game_id: u32 = count();
        required map_name: String = any_text();
        optional mode: String = any_text();
        always selection_chance: f64 = between(0.0, 100.0);
        always custom_data: CustomData;
    }
}

wire! {
    /// A pool of players who may be matched, and what their match is like.
    pub(crate) struct MatchMakingProfileV2 [] {
        required match_making_profile_id: String = ident();
        always join_mode: JoinMode;
        required instance_request_template_id: Uuid;
        optional rank_id: String = any_text();
        optional num_sides: u32 = count();
        optional max_players_per_side: u32 = count();
        optional min_players_per_side: u32 = count();
        sparse legacy_config: CustomData;
        optional deserter_id: Uuid;
        optional session_template_id: Uuid;
        sparse custom_data: CustomData;
    }
}

wire! {
    /// The deprecated form of a matchmaking profile.
    pub(crate) struct MatchMakingProfile [] {
        required profile_id: String = ident();
        always join_mode: JoinMode;
        required instance_launch_template_id: Uuid;
        optional rank_id: String = any_text();
        optional num_sides: u32 = count();
        optional max_players_per_side: u32 = count();
        optional min_players_per_side: u32 = count();
        sparse legacy_config: CustomData;
        optional deserter_id: Uuid;
    }
}

wire! {
    /// Templates of which the first that fits is used.
    pub(crate) struct MatchMakingTemplateGroupV2 [] {
        required match_making_template_group_id: Uuid;
        required template_options: Vec<MatchMakingTemplateV2> = listed();
        /// The items that its rules ask about.
        always required_item_ids: Vec<i64> = Listed(whole(i64::MIN, i64::MAX));
    }
}

wire! {
    /// Which profiles a session is put into, if the rules hold.
    pub(crate) struct MatchMakingTemplateV2 [] {
        optional match_making_template_id: Uuid;
        required mmr_grouping_method: Grouping;
        required profiles: Vec<MatchMakingProfileV2> = listed();
        optional ruleset: MatchMakingRuleset;
    }
}

wire! {
    /// The deprecated form of a group of templates.
    pub(crate) struct MatchMakingTemplateGroup [] {
        required template_group_id: Uuid;
        required template_options: Vec<MatchMakingTemplate> = listed();
        /// The items that its rules ask about.
        always required_item_ids: Vec<i64> = Listed(whole(i64::MIN, i64::MAX));
    }
}

wire! {
    /// The deprecated form of a template.
    pub(crate) struct MatchMakingTemplate [] {
        optional match_making_template_id: Uuid;
        required mmr_grouping_method: Grouping;
        required profiles: Vec<MatchMakingProfile> = listed();
        optional ruleset: MatchMakingRuleset;
    }
}

wire! {
    /// Rules, and how many of them must hold for whom.
    pub(crate) struct MatchMakingRuleset [] {
        always determiner: Determiner;
        always players_to_validate: Validated;
        always rules: Vec<MatchMakingRule> = listed();
    }
}

wire! {
    /// One comparison.
    pub(crate) struct MatchMakingRule [] {
        required rule_type: RuleType;
        required comparison_operation: Operation;
        optional comparison_value: i64 = whole(i64::MIN, i64::MAX);
        sparse comparison_value_set: Vec<String> = Listed(any_text());
        optional item_id: i64 = whole(i64::MIN, i64::MAX);
    }
}
