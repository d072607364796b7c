//! The embedded engine: one redb file. A commit is one transaction with one fsync.

use super::{Store, StoreError, Table, Write};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableError};
use std::{fs, os::unix::fs::PermissionsExt, path::Path};

type Definition = TableDefinition<'static, &'static str, &'static [u8]>;

/// Holds the file locked: a second service on it fails to open.
pub struct RedbStore {
    db: Database,
}

impl std::fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedbStore")
    }
}

fn definition(table: Table) -> Definition {
    TableDefinition::new(table.name())
}

impl RedbStore {
    /// Opens the file, or makes it; repairs what a crash left.
    pub fn open(path: &Path) -> Result<RedbStore, StoreError> {
        let failed = |why: &dyn std::fmt::Display| StoreError::new("open the store", why);
        let db = Database::create(path).map_err(|why| failed(&why))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(|why| failed(&why))?;
        Ok(RedbStore { db })
    }
}

impl Store for RedbStore {
    fn read(&mut self, table: Table) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let failed = |why: &dyn std::fmt::Display| StoreError::new("read the store", why);
        let reading = self.db.begin_read().map_err(|why| failed(&why))?;
        let open = match reading.open_table(definition(table)) {
            Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            open => open.map_err(|why| failed(&why))?,
        };
        let rows = open.iter().map_err(|why| failed(&why))?;
        rows.map(|row| {
            let (key, value) = row.map_err(|why| failed(&why))?;
            Ok((key.value().to_owned(), value.value().to_vec()))
        })
        .collect()
    }

    fn commit(&mut self, batch: &[Write]) -> Result<(), StoreError> {
        let failed = |why: &dyn std::fmt::Display| StoreError::new("write the store", why);
        let writing = self.db.begin_write().map_err(|why| failed(&why))?;
        for table in Table::ALL {
            let mut changes = batch.iter().filter(|write| write.table == table).peekable();
            if changes.peek().is_none() {
                continue;
            }
            let mut open = writing.open_table(definition(table)).map_err(|why| failed(&why))?;
            for Write { key, value, .. } in changes {
                match value {
                    Some(value) => open.insert(key.as_str(), value.as_slice()).map_err(|why| failed(&why))?,
                    None => open.remove(key.as_str()).map_err(|why| failed(&why))?,
                };
            }
        }
        writing.commit().map_err(|why| failed(&why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_committed_is_there_after_a_reopening_and_removals_hold() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.redb");
        let write = |key: &str, value: Option<&str>| Write {
            table: Table::Sessions,
            key: key.into(),
            value: value.map(|v| v.as_bytes().to_vec()),
        };
        {
            let mut store = RedbStore::open(&path).unwrap();
            assert!(store.read(Table::Sessions).unwrap().is_empty());
            store.commit(&[write("b", Some("2")), write("a", Some("1"))]).unwrap();
            store.commit(&[write("a", None), write("c", Some("3"))]).unwrap();
            assert!(RedbStore::open(&path).is_err(), "one service a store");
        }
        let rows = RedbStore::open(&path).unwrap().read(Table::Sessions).unwrap();
        assert_eq!(rows, [("b".to_owned(), b"2".to_vec()), ("c".to_owned(), b"3".to_vec())]);
    }
}
