//! Matchmaking profiles and templates: what a queue will make matches by. Read from the
//! configuration and shown as the contract has them, in its present and its deprecated form.

use crate::model::CustomData;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use uuid::Uuid;

/// A pool of players who may be matched, and what their match is like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Which match requests its tickets appear in.
    #[serde(default)]
    pub join_mode: JoinMode,
    /// What a match starts: the id of one of `[request_templates]`.
    #[cfg_attr(test, schemars(with = "String"))]
    pub instance_request_template_id: Uuid,
    /// Whose ratings are used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank_id: Option<String>,
    /// Sides of a match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_sides: Option<u32>,
    /// The most players a side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_players_per_side: Option<u32>,
    /// The fewest players a side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_players_per_side: Option<u32>,
    /// For clients that are being migrated.
    #[serde(default, skip_serializing_if = "CustomData::is_empty")]
    pub legacy_config: CustomData,
    /// Deserters under this rule are kept out: the id of one of `[deserters]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub deserter_id: Option<Uuid>,
    /// What kind of session a match is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub session_template_id: Option<Uuid>,
    /// Free text for clients.
    #[serde(default, skip_serializing_if = "CustomData::is_empty")]
    pub custom_data: CustomData,
}

/// Which match requests a ticket appears in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum JoinMode {
    #[default]
    Normal,
    Backfill,
    CreatedBefore,
}

/// Templates of which the first that fits is used.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TemplateGroup {
    /// In the order in which they are tried.
    pub template_options: Vec<MatchTemplate>,
}

/// Which profiles a session is put into, if the rules hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MatchTemplate {
    /// The template's own id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub match_making_template_id: Option<Uuid>,
    /// How a group's rating is made of its players'.
    pub mmr_grouping_method: Grouping,
    /// Names in `[match_making_profiles]`.
    pub profiles: Vec<String>,
    /// When the template is used; without, always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ruleset: Option<Ruleset>,
}

/// How a group's rating is made of its players'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Grouping {
    Worst,
    Best,
    AvgWeightedBySigma,
    Avg,
}

/// Rules, and how many of them must hold for whom.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Ruleset {
    /// How many must hold.
    pub determiner: Determiner,
    /// For whom.
    pub players_to_validate: Validated,
    /// The rules.
    pub rules: Vec<Rule>,
}

/// How many rules must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[allow(clippy::enum_variant_names, reason = "the contract's words")]
pub enum Determiner {
    #[default]
    AllOf,
    AnyOf,
    OneOf,
    NoneOf,
}

/// For whom rules must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Validated {
    #[default]
    Leader,
    AllMembers,
    AnyMember,
}

/// One comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What is compared.
    pub rule_type: RuleType,
    /// How.
    pub comparison_operation: Operation,
    /// With which number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison_value: Option<i64>,
    /// With which words.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub comparison_value_set: BTreeSet<String>,
    /// Which item, for rules on inventories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_id: Option<i64>,
}

/// What a rule compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum RuleType {
    Inventory,
    InventoryLevel,
    JoiningSessionSize,
    RegionList,
}

/// How a rule compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    InSet,
    NotInSet,
}
