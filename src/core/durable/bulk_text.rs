//! What of a run is large and seldom changes: it lies in a text of its own, which isn't written
//! again for every change of the rest.

use super::Memory;
use crate::model::{
    CustomData,
    game::{CustomDataOf, EventSource, GamePlayer, Kept},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(in crate::core) struct BulkText {
    /// The players of the roster.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) known: BTreeMap<String, GamePlayer>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) custom: BTreeMap<CustomDataOf, CustomData>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) kept_aside: BTreeMap<EventSource, Kept>,
}

impl BulkText {
    /// Only a run has any.
    pub(in crate::core) fn of(memory: &Memory) -> Self {
        if memory.process.process.run().is_none() {
            return BulkText::default();
        }
        BulkText {
            known: memory.roster.nearest.known.clone(),
            custom: memory.words.custom.clone(),
            kept_aside: memory.words.kept_aside.clone(),
        }
    }

    /// Whether it is what that memory has.
    pub(in crate::core) fn is_of(&self, memory: &Memory) -> bool {
        if memory.process.process.run().is_none() {
            return *self == BulkText::default();
        }
        self.known == memory.roster.nearest.known
            && self.custom == memory.words.custom
            && self.kept_aside == memory.words.kept_aside
    }

    pub(in crate::core) fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    pub(in crate::core) fn text(&self) -> String {
        serde_json::to_string(self).expect("plain data with text keys always serialises")
    }
}
