//! JSON as a gRPC gateway writes and reads it.
//!
//! Names are the protocol's; 64-bit numbers are written as strings and read as either; no member is
//! left out. Unknown members of a body are ignored, except in the update of a list.

use super::{counters_lists::ListParts, error::RpcError, proto};
use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value, json};

pub(crate) fn game_server(server: &proto::GameServer) -> Value {
    json!({
        "object_meta": server.object_meta.as_ref().map(meta),
        "spec": server.spec.as_ref().map(|spec| json!({ "health": spec.health.as_ref().map(health) })),
        "status": server.status.as_ref().map(status),
    })
}

fn meta(meta: &proto::ObjectMeta) -> Value {
    json!({
        "name": meta.name,
        "namespace": meta.namespace,
        "uid": meta.uid,
        "resource_version": meta.resource_version,
        "generation": long(meta.generation),
        "creation_timestamp": long(meta.creation_timestamp),
        "deletion_timestamp": long(meta.deletion_timestamp),
        "annotations": meta.annotations,
        "labels": meta.labels,
    })
}

fn health(health: &proto::Health) -> Value {
    json!({
        "disabled": health.disabled,
        "period_seconds": health.period_seconds,
        "failure_threshold": health.failure_threshold,
        "initial_delay_seconds": health.initial_delay_seconds,
    })
}

fn status(status: &proto::Status) -> Value {
    let addresses = status.addresses.iter().map(|a| json!({ "type": a.r#type, "address": a.address }));
    let ports = status.ports.iter().map(|port| json!({ "name": port.name, "port": port.port }));
    let counters = status.counters.iter().map(|(name, counter)| {
        (name.clone(), json!({ "count": long(counter.count), "capacity": long(counter.capacity) }))
    });
    let lists = status
        .lists
        .iter()
        .map(|(name, list)| (name.clone(), json!({ "capacity": long(list.capacity), "values": list.values })));
    let players = status
        .players
        .as_ref()
        .map(|players| json!({ "count": long(players.count), "capacity": long(players.capacity), "ids": players.ids }));
    json!({
        "state": status.state,
        "address": status.address,
        "addresses": addresses.collect::<Vec<_>>(),
        "ports": ports.collect::<Vec<_>>(),
        "players": players,
        "counters": counters.collect::<Map<_, _>>(),
        "lists": lists.collect::<Map<_, _>>(),
    })
}

pub(crate) fn count(count: i64) -> Value {
    json!({ "count": long(count) })
}

pub(crate) fn counter(counter: &proto::Counter) -> Value {
    json!({ "name": counter.name, "count": long(counter.count), "capacity": long(counter.capacity) })
}

pub(crate) fn list(list: &proto::List) -> Value {
    json!({ "name": list.name, "capacity": long(list.capacity), "values": list.values })
}

fn long(number: i64) -> String {
    number.to_string()
}

/// A 64-bit number, as number or string; null is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Long(pub i64);

impl<'de> Deserialize<'de> for Long {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Long;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a whole number, or one in a string")
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Long, E> {
                Ok(Long(number))
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Long, E> {
                i64::try_from(number).map(Long).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(number), &self))
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Long, E> {
                // As far as a double is exact.
                if number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0 {
                    return Ok(Long(number as i64));
                }
                Err(E::invalid_value(de::Unexpected::Float(number), &self))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Long, E> {
                text.parse().map(Long).map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        from.deserialize_any(Visitor)
    }
}

/// A text; null is the empty one, as everywhere in protobuf's JSON.
fn or_empty<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Option::<String>::deserialize(from).map(Option::unwrap_or_default)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct KeyValue {
    #[serde(deserialize_with = "or_empty")]
    pub key: String,
    #[serde(deserialize_with = "or_empty")]
    pub value: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Seconds {
    pub seconds: Option<Long>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Count {
    pub count: Option<Long>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PlayerId {
    #[serde(rename = "playerID", deserialize_with = "or_empty")]
    pub player_id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ListValue {
    #[serde(deserialize_with = "or_empty")]
    pub value: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct CounterUpdate {
    count: Option<Long>,
    capacity: Option<Long>,
    #[serde(rename = "countDiff")]
    count_diff: Option<Long>,
}

impl CounterUpdate {
    pub(crate) fn named(self, name: String) -> proto::CounterUpdate {
        let wrap = |value: Option<Long>| value.map(|value| proto::Int64Value { value: value.0 });
        proto::CounterUpdate {
            name,
            count: wrap(self.count),
            capacity: wrap(self.capacity),
            count_diff: self.count_diff.map_or(0, |diff| diff.0),
        }
    }
}

/// The only body in which an unknown field is an error: its fields are the mask of the update.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ListUpdate {
    name: Option<String>,
    capacity: Option<Long>,
    values: Option<Vec<String>>,
}

impl ListUpdate {
    /// `mask`: the paths of the query's `updateMask`; where there is none, the members of the body count.
    pub(crate) fn named(self, name: String, mask: &[String]) -> Result<(proto::List, ListParts), RpcError> {
        if self.name.as_ref().is_some_and(|other| *other != name) {
            return Err(RpcError::invalid(format!("the path names list {name:?}, the body {:?}", self.name)));
        }
        let parts = if mask.is_empty() {
            ListParts { capacity: self.capacity.is_some(), values: self.values.is_some() }
        } else {
            ListParts::from_mask(mask)?
        };
        let capacity = self.capacity.map_or(0, |capacity| capacity.0);
        Ok((proto::List { name, capacity, values: self.values.unwrap_or_default() }, parts))
    }
}

/// A body; an empty one counts as `{}`.
pub(crate) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, RpcError> {
    let text: &[u8] = if body.trim_ascii().is_empty() { b"{}" } else { body };
    serde_json::from_slice(text).map_err(|error| RpcError::invalid(format!("the body can't be read: {error}")))
}
