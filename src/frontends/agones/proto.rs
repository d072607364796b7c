//! The messages of the Agones SDK on the gRPC wire: field numbers and names are the protocol's.

use prost::Message;
use std::collections::BTreeMap;

/// The same in all three packages.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Empty {}

// ---- agones.dev.sdk

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct KeyValue {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Duration {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct GameServer {
    #[prost(message, optional, tag = "1")]
    pub object_meta: Option<ObjectMeta>,
    #[prost(message, optional, tag = "2")]
    pub spec: Option<Spec>,
    #[prost(message, optional, tag = "3")]
    pub status: Option<Status>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct ObjectMeta {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub namespace: String,
    #[prost(string, tag = "3")]
    pub uid: String,
    #[prost(string, tag = "4")]
    pub resource_version: String,
    #[prost(int64, tag = "5")]
    pub generation: i64,
    /// Unix seconds.
    #[prost(int64, tag = "6")]
    pub creation_timestamp: i64,
    #[prost(int64, tag = "7")]
    pub deletion_timestamp: i64,
    #[prost(btree_map = "string, string", tag = "8")]
    pub annotations: BTreeMap<String, String>,
    #[prost(btree_map = "string, string", tag = "9")]
    pub labels: BTreeMap<String, String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Spec {
    #[prost(message, optional, tag = "1")]
    pub health: Option<Health>,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Health {
    #[prost(bool, tag = "1")]
    pub disabled: bool,
    #[prost(int32, tag = "2")]
    pub period_seconds: i32,
    #[prost(int32, tag = "3")]
    pub failure_threshold: i32,
    #[prost(int32, tag = "4")]
    pub initial_delay_seconds: i32,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Status {
    #[prost(string, tag = "1")]
    pub state: String,
    #[prost(string, tag = "2")]
    pub address: String,
    #[prost(message, repeated, tag = "7")]
    pub addresses: Vec<Address>,
    #[prost(message, repeated, tag = "3")]
    pub ports: Vec<Port>,
    #[prost(message, optional, tag = "4")]
    pub players: Option<PlayerStatus>,
    #[prost(btree_map = "string, message", tag = "5")]
    pub counters: BTreeMap<String, CounterStatus>,
    #[prost(btree_map = "string, message", tag = "6")]
    pub lists: BTreeMap<String, ListStatus>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Address {
    #[prost(string, tag = "1")]
    pub r#type: String,
    #[prost(string, tag = "2")]
    pub address: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Port {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(int32, tag = "2")]
    pub port: i32,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct PlayerStatus {
    #[prost(int64, tag = "1")]
    pub count: i64,
    #[prost(int64, tag = "2")]
    pub capacity: i64,
    #[prost(string, repeated, tag = "3")]
    pub ids: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct CounterStatus {
    #[prost(int64, tag = "1")]
    pub count: i64,
    #[prost(int64, tag = "2")]
    pub capacity: i64,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct ListStatus {
    #[prost(int64, tag = "1")]
    pub capacity: i64,
    #[prost(string, repeated, tag = "2")]
    pub values: Vec<String>,
}

// ---- agones.dev.sdk.alpha

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Count {
    #[prost(int64, tag = "1")]
    pub count: i64,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Bool {
    #[prost(bool, tag = "1")]
    pub bool: bool,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct PlayerId {
    #[prost(string, tag = "1")]
    pub player_id: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct PlayerIdList {
    #[prost(string, repeated, tag = "1")]
    pub list: Vec<String>,
}

// ---- agones.dev.sdk.beta

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Name {
    #[prost(string, tag = "1")]
    pub name: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Counter {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(int64, tag = "2")]
    pub count: i64,
    #[prost(int64, tag = "3")]
    pub capacity: i64,
}

/// `google.protobuf.Int64Value`
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Int64Value {
    #[prost(int64, tag = "1")]
    pub value: i64,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct CounterUpdate {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub count: Option<Int64Value>,
    #[prost(message, optional, tag = "3")]
    pub capacity: Option<Int64Value>,
    #[prost(int64, tag = "4")]
    pub count_diff: i64,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct UpdateCounter {
    #[prost(message, optional, tag = "1")]
    pub update: Option<CounterUpdate>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct List {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(int64, tag = "2")]
    pub capacity: i64,
    #[prost(string, repeated, tag = "3")]
    pub values: Vec<String>,
}

/// `google.protobuf.FieldMask`
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct FieldMask {
    #[prost(string, repeated, tag = "1")]
    pub paths: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct UpdateList {
    #[prost(message, optional, tag = "1")]
    pub list: Option<List>,
    #[prost(message, optional, tag = "2")]
    pub update_mask: Option<FieldMask>,
}

/// For adding and removing.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct ListValue {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub value: String,
}
