//! Rows of the store that can't be read: written by another version, or damaged. They never keep
//! the service from starting. Each is passed over with a warning, counted for the metrics, and
//! stays in the store as it is, so that a version that can read it finds it again.

use crate::service::store::{Store, StoreError, Table};
use std::collections::BTreeMap;

/// How many rows of each table were passed over at the start.
#[derive(Debug, Default)]
pub(crate) struct SetAside(BTreeMap<Table, u64>);

/// What is wrong with a row.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowError {
    #[error("its key is not one of this table")]
    Key,
    #[error("its value can't be read: {0}")]
    Json(#[from] serde_json::Error),
    #[error("its value can't be read: {0}")]
    Number(#[from] std::num::ParseIntError),
    #[error("its value is no text: {0}")]
    Text(#[from] std::str::Utf8Error),
    #[error("its value is no player's UUID")]
    Player,
    #[error("its value is no session's id")]
    SessionId,
    #[error("a number in it leaves no room for the next")]
    Last,
}

impl From<uuid::Error> for RowError {
    fn from(_: uuid::Error) -> Self {
        RowError::Key
    }
}

impl SetAside {
    /// Reads every row of a table; those that `read` refuses are set aside.
    pub(super) fn rows(
        &mut self,
        store: &mut dyn Store,
        table: Table,
        mut read: impl FnMut(&str, &[u8]) -> Result<(), RowError>,
    ) -> Result<(), StoreError> {
        for (key, bytes) in store.read(table)? {
            if let Err(why) = read(&key, &bytes) {
                let table_name = table.name();
                tracing::warn!(table = table_name, key, %why, "a row of the store is set aside: the service goes on without it");
                *self.0.entry(table).or_default() += 1;
            }
        }
        Ok(())
    }

    /// By the table's name, those without any too.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Table::ALL.into_iter().map(|table| (table.name(), self.count(table)))
    }
    pub(super) fn count(&self, table: Table) -> u64 {
        self.0.get(&table).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::{
        metrics::Metrics,
        settings::ServiceSettings,
        state::{
            journal,
            testing::{Harness, at, player, server},
        },
        store::{Write, writer::Progress},
    };
    use serde_json::json;

    /// Keys that no version has written, and keys that one might have.
    fn bad_rows() -> Vec<(Table, String)> {
        let (one, other) = (uuid::Uuid::from_u128(1), uuid::Uuid::from_u128(2));
        let number = "00000000000000ff".to_owned();
        vec![
            (Table::Sessions, "session".into()),
            (Table::Audit, "no number".into()),
            (Table::Audit, number.clone()),
            (Table::Deserters, "no pair".into()),
            (Table::Deserters, format!("{one}/{other}")),
            (Table::Friends, "nobody/nobody".into()),
            (Table::Friends, format!("{one}/{other}")),
            (Table::Presence, "nobody".into()),
            (Table::Numbers, "no number".into()),
            (Table::Numbers, "00000007".into()),
            (Table::Events, "no number".into()),
            (Table::Events, number),
            (Table::Servers, "server".into()),
            (Table::Owner, "nobody".into()),
        ]
    }

    #[test]
    fn a_row_that_cannot_be_read_keeps_no_service_from_starting() {
        let mut before = Harness::new(ServiceSettings::default());
        let session = before.session(&player("ann"), "default");
        before.state.finish();
        let epoch = before.state.events.epoch();
        let mut rows = before.rows.clone();
        drop(before);
        for damage in [&b"{"[..], b"null", b"\xff\xfe", b"{\"at\":\"+61971-01-01T00:00:00Z\"}"] {
            let writes: Vec<Write> =
                bad_rows().into_iter().map(|(table, key)| Write::put(table, key, damage)).collect();
            rows.commit(&writes).unwrap();
            let mut after = Harness::on(rows.clone(), ServiceSettings::default(), at(9));
            let counts: BTreeMap<_, _> = after.state.set_aside.counts().filter(|(_, count)| *count > 0).collect();
            let expected = [
                ("audit", 2),
                ("deserters", 2),
                ("events", 2),
                ("friends", 2),
                ("numbers", 2),
                ("presence", 1),
                ("servers", 1),
                ("sessions", 1),
            ];
            assert_eq!(counts, BTreeMap::from(expected), "{damage:?}");
            after.json(&player("ann"), "GET", &session, json!(null));
            assert_ne!(after.state.events.epoch(), epoch, "positions of before would skip what can't be read");
            let text = Metrics::default().text(&after.state, &Progress::default());
            assert!(text.contains("gameside_sessions_store_rows_set_aside{table=\"audit\"} 2"), "{text}");
            after.state.finish();
            for (table, key) in bad_rows() {
                assert!(rows.get(table, &key).unwrap().is_some_and(|row| row.value == damage), "{table:?} {key}");
            }
        }
        // Whoever owned the store before is no matter, nor what it says.
        rows.commit(&[Write::put(Table::Owner, "writer", &b"\xff"[..])]).unwrap();
        Harness::on(rows.clone(), ServiceSettings::default(), at(10)).state.finish();
        let epoch_row = Write::put(Table::Events, journal::EPOCH, &b"no number"[..]);
        rows.commit(&[epoch_row]).unwrap();
        Harness::on(rows, ServiceSettings::default(), at(10)).state.finish();
    }

    /// Rows whose numbers are the largest there are: nothing could follow them.
    #[test]
    fn a_row_with_the_last_number_keeps_no_service_from_starting_and_numbering() {
        let ann = player("ann");
        let mut before = Harness::new(ServiceSettings::default());
        let session = before.session(&ann, "default");
        let register = json!({"items": [{"id": "s", "public_host": "h", "public_port": 1}]});
        before.json(&server("a"), "POST", "/instances/sic_registration/v3/register", register.clone());
        before.state.finish();
        let mut rows = before.rows.clone();
        let mut put = Vec::new();
        for (key, member) in [("number", "number"), ("version", "version")] {
            let id = session.rsplit('/').next().unwrap();
            let text = rows.get(Table::Sessions, id).unwrap().unwrap().value;
            let mut record: serde_json::Value = serde_json::from_slice(&text).unwrap();
            record[member] = u64::MAX.into();
            record["id"] = key.into();
            put.push(Write::put(Table::Sessions, key, record.to_string()));
        }
        for (table, key) in [(Table::Audit, "ffffffffffffffff"), (Table::Events, "ffffffffffffffff")] {
            let known = rows.read(table).unwrap().into_iter().find(|(key, _)| key != journal::EPOCH).unwrap();
            put.push(Write::put(table, key, known.1));
        }
        let server_row = rows.get(Table::Servers, "s").unwrap().unwrap().value;
        let mut server_row: serde_json::Value = serde_json::from_slice(&server_row).unwrap();
        server_row["free_since"] = u64::MAX.into();
        server_row["registration"]["id"] = "t".into();
        put.push(Write::put(Table::Servers, "t", server_row.to_string()));
        rows.commit(&put).unwrap();
        drop(before);
        let mut after = Harness::on(rows, ServiceSettings::default(), at(9));
        let counts: BTreeMap<_, _> = after.state.set_aside.counts().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counts, BTreeMap::from([("audit", 1), ("events", 1), ("servers", 1), ("sessions", 2)]));
        after.json(&ann, "PATCH", &session, json!({"custom_data": {"k": "v"}}));
        after.session(&player("bob"), "default");
        after.json(&server("a"), "POST", "/instances/sic_registration/v3/register", register);
    }
}
