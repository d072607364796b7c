//! An engine for tests: rows in memory. A clone is another handle on the same rows.

use super::{CommitError, Page, Row, RowUpdate, Store, StoreError, Table, Version, Write};
use crate::model::time::Timestamp;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

#[derive(Debug, Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    rows: BTreeMap<(Table, String), Row>,
    last: u64,
    full: bool,
}

impl Memory {
    /// From now on nothing can be stored, or everything again.
    pub(crate) fn refuse_writes(&self, refuse: bool) {
        self.0.lock().unwrap().full = refuse;
    }
}

impl State {
    fn room(&self) -> Result<(), StoreError> {
        if self.full { Err(StoreError::new("write the store", "disk full")) } else { Ok(()) }
    }
}

impl Store for Memory {
    fn get(&mut self, table: Table, key: &str) -> Result<Option<Row>, StoreError> {
        Ok(self.0.lock().unwrap().rows.get(&(table, key.to_owned())).cloned())
    }

    fn scan(&mut self, table: Table, page: Page<'_>) -> Result<Vec<Row>, StoreError> {
        let state = self.0.lock().unwrap();
        let wanted = state.rows.iter().filter(|((of, key), _)| {
            *of == table && key.starts_with(page.prefix) && page.after.is_none_or(|after| key.as_str() > after)
        });
        Ok(wanted.take(page.limit).map(|(_, row)| row.clone()).collect())
    }

    fn commit(&mut self, batch: &[Write]) -> Result<Version, CommitError> {
        let mut state = self.0.lock().unwrap();
        state.room()?;
        for Write { table, key, only, .. } in batch {
            let found = state.rows.get(&(*table, key.clone())).map(|row| row.version);
            if !only.allows(found) {
                return Err(CommitError::Conflict { table: *table, key: key.clone(), found });
            }
        }
        state.last += 1;
        let version = Version(state.last);
        for Write { table, key, to, .. } in batch {
            let at = (*table, key.clone());
            match to {
                RowUpdate::Value { bytes, expires } => {
                    let row = Row { key: key.clone(), value: bytes.clone(), version, expires: *expires };
                    state.rows.insert(at, row);
                }
                RowUpdate::Nothing => drop(state.rows.remove(&at)),
                RowUpdate::Same => {}
            }
        }
        Ok(version)
    }

    fn expire(&mut self, now: Timestamp) -> Result<Vec<(Table, String)>, StoreError> {
        let mut state = self.0.lock().unwrap();
        state.room()?;
        let due = |row: &Row| row.expires.is_some_and(|at| at <= now);
        let gone: Vec<_> = state.rows.iter().filter(|(_, row)| due(row)).map(|(at, _)| at.clone()).collect();
        state.rows.retain(|_, row| !due(row));
        Ok(gone)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::conformance, *};

    impl conformance::Engine for Memory {
        fn handle(&self) -> Box<dyn Store> {
            Box::new(self.clone())
        }
        fn restart(&mut self) {}
        fn refuse_writes(&self, refuse: bool) {
            Memory::refuse_writes(self, refuse);
        }
    }

    conformance::suite!(Memory::default());
}
