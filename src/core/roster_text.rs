//! The players in the durable text. Additive changes only.

use super::{headcount::Account, steady_time::SteadyTime};
use crate::model::{
    game::{EventSource, GamePlayer},
    ids::PlayerUuid,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Players of a run, as they are remembered. The nearest source's account lies in the text itself, where it was before others
/// had one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RosterText {
    pub known: BTreeMap<String, GamePlayer>,
    #[serde(default)]
    pub source: Option<EventSource>,
    pub count: Option<u32>,
    pub max: Option<u32>,
    pub countable: bool,
    pub named: bool,
    pub ever: bool,
    pub empty_since: Option<SteadyTime>,
    pub grace: BTreeMap<PlayerUuid, SteadyTime>,
    pub unjudged: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub told: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub from_start: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub others: BTreeMap<EventSource, Account>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disputed_since: Option<SteadyTime>,
}
