//! Players who deserted matches: a mark by rule and player, durable. A rule that was cleared voids
//! every older mark under it.
//!
//! Marks are set by whoever runs matches; queues are what will ask for them.

use super::{
    Transaction,
    commit::Commit,
    set_aside::{RowError, SetAside},
};
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
pub(crate) struct Deserters {
    marks: BTreeMap<(PlayerUuid, Uuid), (Mark, Seq)>,
    cleared: BTreeMap<Uuid, (Timestamp, Seq)>,
}

/// Stands for the player in the row that says when a rule was cleared.
const CLEARED: &str = "cleared";

impl Deserters {
    pub(crate) fn read(store: &mut dyn Store, set_aside: &mut SetAside) -> Result<Deserters, StoreError> {
        let mut deserters = Deserters::default();
        set_aside.rows(store, Table::Deserters, |key, bytes| {
            let (rule, player) = key.split_once('/').ok_or(RowError::Key)?;
            let rule: Uuid = rule.parse()?;
            if player == CLEARED {
                deserters.cleared.insert(rule, (serde_json::from_slice(bytes)?, Seq::default()));
            } else {
                let player = PlayerUuid(player.parse::<Uuid>()?);
                deserters.marks.insert((player, rule), (serde_json::from_slice(bytes)?, Seq::default()));
            }
            Ok(())
        })?;
        Ok(deserters)
    }
}

impl Deserters {
    /// Takes marks as an operation leaves them (none: it goes), and rules that it cleared.
    pub(super) fn commit(
        &mut self,
        marks: BTreeMap<(PlayerUuid, Uuid), Option<Mark>>,
        cleared: BTreeMap<Uuid, Timestamp>,
        commit: &mut Commit,
    ) {
        for ((player, rule), mark) in marks {
            let key = format!("{rule}/{player}");
            match mark {
                Some(mark) => {
                    commit.row(Table::Deserters, key, Some(serde_json::to_vec(&mark).unwrap_or_default()));
                    self.marks.insert((player, rule), (mark, commit.seq));
                }
                None => {
                    if self.marks.remove(&(player, rule)).is_some() {
                        commit.row(Table::Deserters, key, None);
                    }
                }
            }
        }
        for (rule, at) in cleared {
            let bytes = serde_json::to_vec(&at).unwrap_or_default();
            commit.row(Table::Deserters, format!("{rule}/{CLEARED}"), Some(bytes));
            self.cleared.insert(rule, (at, commit.seq));
        }
    }
}

impl Transaction<'_> {
    /// When all marks under a rule were last voided: by a call, or by the configuration.
    pub fn deserters_cleared(&mut self, rule: Uuid) -> Option<Timestamp> {
        let stored = self.state.deserters.cleared.get(&rule).copied();
        self.durability(stored.map(|(_, seq)| seq));
        let called = self.changes.cleared.get(&rule).copied().or(stored.map(|(at, _)| at));
        let configured = self.settings.deserters.get(&rule).and_then(|rule| rule.last_cleared);
        called.max(configured)
    }

    /// A player's mark under a rule, unless it was voided.
    pub fn deserter(&mut self, player: PlayerUuid, rule: Uuid) -> Option<Mark> {
        let cleared = self.deserters_cleared(rule);
        let mark = if let Some(changed) = self.changes.marks.get(&(player, rule)) {
            changed.clone()?
        } else {
            let (mark, seq) = self.state.deserters.marks.get(&(player, rule))?;
            self.durability([*seq]);
            mark.clone()
        };
        cleared.is_none_or(|cleared| mark.updated > cleared).then_some(mark)
    }

    pub fn mark_deserter(&mut self, player: PlayerUuid, rule: Uuid, mark: Mark) {
        self.changes.marks.insert((player, rule), Some(mark));
    }

    pub fn unmark_deserter(&mut self, player: PlayerUuid, rule: Uuid) {
        self.changes.marks.insert((player, rule), None);
    }

    /// Voids every mark under a rule, and takes them away.
    pub fn clear_deserters(&mut self, rule: Uuid) {
        let marked = self.state.deserters.marks.keys().filter(|(_, of)| *of == rule);
        self.changes.marks.extend(marked.map(|key| (*key, None)));
        self.changes.cleared.insert(rule, self.now.wall);
    }
}
