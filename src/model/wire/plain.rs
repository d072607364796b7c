//! How types that aren't declared with [`super::wire!`] are read and described: flags, identifiers,
//! addresses, versions, times, `custom_data`.

use super::{JsonCursor, Rule, ValidationErrors, Wire, rules::custom_data};
use crate::model::{CustomData, ids::PlayerUuid, time::Timestamp};
use semver::Version;
use serde_json::Value;
use std::net::IpAddr;
use uuid::Uuid;
#[cfg(test)]
use {super::schema::Schemas, serde_json::json};

impl Wire for CustomData {
    fn read(at: JsonCursor<'_>, errors: &mut ValidationErrors) -> Option<Self> {
        custom_data().read(at, errors)
    }
    #[cfg(test)]
    fn schema(schemas: &mut Schemas) -> Value {
        schemas.named("CustomData", |schemas| Rule::<CustomData>::schema(&custom_data(), schemas))
    }
}

impl Wire for bool {
    fn read(at: JsonCursor<'_>, errors: &mut ValidationErrors) -> Option<Self> {
        match at.value {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) if matches!(text.as_str(), "true" | "1" | "yes" | "on") => Some(true),
            Value::String(text) if matches!(text.as_str(), "false" | "0" | "no" | "off") => Some(false),
            _ => at.fault(errors, "type_error.bool", "value could not be parsed to a boolean"),
        }
    }
    #[cfg(test)]
    fn schema(_: &mut Schemas) -> Value {
        json!({ "type": "boolean" })
    }
}

impl Wire for Uuid {
    fn read(at: JsonCursor<'_>, errors: &mut ValidationErrors) -> Option<Self> {
        match at.value.as_str().and_then(|text| text.parse().ok()) {
            Some(id) => Some(id),
            None => at.fault(errors, "type_error.uuid", "value is not a valid uuid"),
        }
    }
    #[cfg(test)]
    fn schema(_: &mut Schemas) -> Value {
        json!({ "type": "string", "format": "uuid" })
    }
}

impl Wire for IpAddr {
    fn read(at: JsonCursor<'_>, errors: &mut ValidationErrors) -> Option<Self> {
        match at.value.as_str().and_then(|text| text.parse().ok()) {
            Some(address) => Some(address),
            None => at.fault(errors, "value_error.ipvanyaddress", "value is not a valid IPv4 or IPv6 address"),
        }
    }
    #[cfg(test)]
    fn schema(_: &mut Schemas) -> Value {
        json!({ "type": "string" })
    }
}

impl Wire for PlayerUuid {
    fn read(at: JsonCursor<'_>, errors: &mut ValidationErrors) -> Option<Self> {
        Uuid::read(at, errors).map(PlayerUuid)
    }
    #[cfg(test)]
    fn schema(schemas: &mut Schemas) -> Value {
        Uuid::schema(schemas)
    }
}

impl Wire for Version {
    fn read(at: JsonCursor<'_>, errors: &mut ValidationErrors) -> Option<Self> {
        match at.value.as_str().map(Version::parse) {
            Some(Ok(version)) => Some(version),
            _ => at.fault(errors, "value_error.semver", "value is not a semantic version such as 1.2.3"),
        }
    }
    #[cfg(test)]
    fn schema(schemas: &mut Schemas) -> Value {
        schemas.named("SemanticVersion", |_| json!({ "type": "string", "pattern": super::schema::SEMANTIC_VERSION }))
    }
}

impl Wire for Timestamp {
    fn read(at: JsonCursor<'_>, errors: &mut ValidationErrors) -> Option<Self> {
        // Unix seconds come as text in a query, and from some clients in a body.
        let seconds = at.value.as_str().and_then(|text| text.parse::<i64>().ok());
        let read = match seconds {
            Some(seconds) => serde_json::from_value(seconds.into()),
            None => serde_json::from_value(at.value.clone()),
        };
        match read {
            Ok(time) => Some(time),
            Err(_) => at.fault(
                errors,
                "value_error.datetime",
                "expected an RFC 3339 date-time with an offset, or Unix seconds",
            ),
        }
    }
    #[cfg(test)]
    fn schema(schemas: &mut Schemas) -> Value {
        schemas.named("Timestamp", |_| json!({ "type": "string", "format": "date-time" }))
    }
}
