//! The instance's level: what is wanted, what is shown, and what lies between.

use crate::model::session::{InstanceInfo, InstanceUpdate};

pub(super) fn level_of(info: &InstanceInfo) -> InstanceUpdate {
    InstanceUpdate {
        allocation_id: None,
        join_status: Some(info.join_status),
        join_params: info.join_params.clone(),
        version: info.version.clone(),
        custom_data: Some(info.custom_data.clone()),
        match_id: info.match_id.clone(),
    }
}

/// The members of `want` that aren't shown.
pub(super) fn difference(want: &InstanceUpdate, shown: &InstanceUpdate) -> InstanceUpdate {
    fn unless_equal<T: Clone + PartialEq>(want: Option<&T>, shown: Option<&T>) -> Option<T> {
        want.filter(|want| shown != Some(want)).cloned()
    }
    let nothing_yet = shown.custom_data.is_none();
    InstanceUpdate {
        allocation_id: None,
        join_status: unless_equal(want.join_status.as_ref(), shown.join_status.as_ref()),
        join_params: unless_equal(want.join_params.as_ref(), shown.join_params.as_ref()),
        version: unless_equal(want.version.as_ref(), shown.version.as_ref()),
        custom_data: unless_equal(want.custom_data.as_ref(), shown.custom_data.as_ref())
            .filter(|data| !(nothing_yet && data.is_empty())),
        match_id: unless_equal(want.match_id.as_ref(), shown.match_id.as_ref()),
    }
}

pub(super) fn merge(shown: &mut InstanceUpdate, update: InstanceUpdate) {
    shown.join_status = update.join_status.or(shown.join_status);
    shown.join_params = update.join_params.or(shown.join_params.take());
    shown.version = update.version.or(shown.version.take());
    shown.custom_data = update.custom_data.or(shown.custom_data.take());
    shown.match_id = update.match_id.or(shown.match_id.take());
}

/// The names of notes are few; a journal may hold one that this version doesn't know.
pub(super) fn note_name(name: &str) -> &'static str {
    const NAMES: [&str; 4] = ["unhealthy", "drain", "failed", "note"];
    NAMES.into_iter().find(|known| *known == name).unwrap_or("note")
}
