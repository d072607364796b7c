//! Players who deserted matches: a mark by rule and player, durable. A rule that was cleared voids every older mark under it.
//!
//! Marks are set by whoever runs matches; queues are what will ask for them.

use super::State;
use crate::{
    model::{CustomData, ids::PlayerUuid, time::Timestamp},
    service::store::{Seq, Store, StoreError, Table},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// What is known of one player under one rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub expiration: Timestamp,
    /// From then on the count begins again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset: Option<Timestamp>,
    pub count: u32,
    pub updated: Timestamp,
    #[serde(default, skip_serializing_if = "CustomData::is_empty")]
    pub custom_data: CustomData,
}

#[derive(Debug, Default)]
pub struct Deserters {
    marks: BTreeMap<(PlayerUuid, Uuid), (Mark, Seq)>,
    cleared: BTreeMap<Uuid, (Timestamp, Seq)>,
}

/// Stands for the player in the row that says when a rule was cleared.
const CLEARED: &str = "cleared";

impl Deserters {
    pub fn read(store: &mut dyn Store) -> Result<Deserters, StoreError> {
        let mut deserters = Deserters::default();
        for (key, bytes) in store.read(Table::Deserters)? {
            let bad = || StoreError::new("read the deserters", format!("row {key}"));
            let (rule, player) = key.split_once('/').ok_or_else(bad)?;
            let rule: Uuid = rule.parse().map_err(|_| bad())?;
            if player == CLEARED {
                let at = serde_json::from_slice(&bytes).map_err(|_| bad())?;
                deserters.cleared.insert(rule, (at, Seq::default()));
            } else {
                let player = PlayerUuid(player.parse().map_err(|_| bad())?);
                let mark = serde_json::from_slice(&bytes).map_err(|_| bad())?;
                deserters.marks.insert((player, rule), (mark, Seq::default()));
            }
        }
        Ok(deserters)
    }
}

impl State {
    /// When all marks under a rule were last voided: by a call, or by the configuration.
    pub fn deserters_cleared(&mut self, rule: Uuid) -> Option<Timestamp> {
        let called = self.deserters.cleared.get(&rule).copied();
        self.durability(called.map(|(_, seq)| seq));
        let configured = self.settings.deserters.get(&rule).and_then(|rule| rule.last_cleared);
        called.map(|(at, _)| at).max(configured)
    }

    /// A player's mark under a rule, unless it was voided.
    pub fn deserter(&mut self, player: PlayerUuid, rule: Uuid) -> Option<Mark> {
        let cleared = self.deserters_cleared(rule);
        let (mark, seq) = self.deserters.marks.get(&(player, rule)).cloned()?;
        self.durability([seq]);
        cleared.is_none_or(|cleared| mark.updated > cleared).then_some(mark)
    }

    pub fn mark_deserter(&mut self, player: PlayerUuid, rule: Uuid, mark: Mark) {
        let bytes = serde_json::to_vec(&mark).unwrap_or_default();
        self.write(Table::Deserters, format!("{rule}/{player}"), Some(bytes));
        self.deserters.marks.insert((player, rule), (mark, self.touched));
    }

    pub fn unmark_deserter(&mut self, player: PlayerUuid, rule: Uuid) {
        if self.deserters.marks.remove(&(player, rule)).is_some() {
            self.write(Table::Deserters, format!("{rule}/{player}"), None);
        }
    }

    /// Voids every mark under a rule, and takes them away.
    pub fn clear_deserters(&mut self, rule: Uuid) {
        let marked: Vec<PlayerUuid> =
            self.deserters.marks.keys().filter(|(_, of)| *of == rule).map(|(player, _)| *player).collect();
        for player in marked {
            self.unmark_deserter(player, rule);
        }
        let now = self.now.wall;
        let bytes = serde_json::to_vec(&now).unwrap_or_default();
        self.write(Table::Deserters, format!("{rule}/{CLEARED}"), Some(bytes));
        self.deserters.cleared.insert(rule, (now, self.touched));
    }
}
