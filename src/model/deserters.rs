//! Deserters: the rules of the configuration, and where players stand under them.

use super::{
    CustomData,
    time::Timestamp,
    wire::{
        rules::{count, listed},
        wire,
    },
};
use uuid::Uuid;

wire! {
    /// A rule for players who desert.
    pub struct DeserterConfig [derive(Eq)] {
        required deserter_id: Uuid;
        /// When all marks under it were last wiped.
        optional last_cleared_timestamp: Timestamp;
    }
}

wire! {
    /// All rules.
    pub struct DeserterConfigs [derive(Eq)] {
        required deserter_configs: Vec<DeserterConfig> = listed();
    }
}

wire! {
    /// A mark that a player gets under a rule.
    pub struct DeserterUpdate [derive(Eq)] {
        required deserter_expiration: Timestamp;
        required deserter_count: u32 = count();
        /// From then on the count begins again.
        optional deserter_reset: Timestamp;
        sparse custom_data: CustomData;
    }
}

wire! {
    /// Where a player stands under a rule.
    pub struct DeserterStatus [derive(Eq, Default)] {
        required deserter_id: Uuid;
        required deserter_status: bool;
        optional deserter_expiration: Timestamp;
        optional deserter_reset: Timestamp;
        always deserter_count: u32 = count();
        optional last_updated: Timestamp;
        sparse custom_data: CustomData;
    }
}

wire! {
    /// Where a player stands under all rules.
    pub struct DeserterStatuses [derive(Eq)] {
        required deserter_statuses: Vec<DeserterStatus> = listed();
    }
}
