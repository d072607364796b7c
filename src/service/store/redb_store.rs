//! The embedded engine: one redb file. A commit is one transaction with one fsync.
//!
//! | table | row |
//! |---|---|
//! | one for each [`Table`] | key → (version, when it expires in Unix milliseconds or 0, value) |
//! | `expiry` | (when, table, key), for rows that expire |
//! | `meta` | `version` → the last version that was given |
//!
//! redb refuses everything after one I/O error until the file is opened again (a disk that was full
//! for a moment), so that is what happens here: the call that failed closes the file, the next one
//! opens and repairs it.

use super::{CommitError, Page, Row, RowUpdate, Store, StoreError, Table, Version, Write};
use crate::model::time::Timestamp;
use redb::{AccessGuard, Database, ReadableDatabase, ReadableTable, TableDefinition, TableError, WriteTransaction};
use std::{
    fs,
    ops::Bound,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

type Stored = (u64, i64, &'static [u8]);
type Expiry = (i64, &'static str, &'static str);

const EXPIRY: TableDefinition<'static, Expiry, ()> = TableDefinition::new("expiry");
const META: TableDefinition<'static, &'static str, u64> = TableDefinition::new("meta");
const LAST: &str = "version";
/// In place of a time, for rows that don't expire.
const NEVER: i64 = 0;

type Opener = Box<dyn Fn() -> Result<Database, StoreError> + Send>;

/// Holds the file locked: a second service on it fails to open. A clone is another handle on the same file.
#[derive(Clone)]
pub(crate) struct RedbStore(Arc<Mutex<File>>);

struct File {
    open: Opener,
    db: Option<Database>,
}

impl std::fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedbStore")
    }
}

fn definition(table: Table) -> TableDefinition<'static, &'static str, Stored> {
    TableDefinition::new(table.name())
}

impl RedbStore {
    /// Opens the file, or makes it; repairs what a crash left.
    pub(crate) fn open(path: &Path) -> Result<RedbStore, StoreError> {
        let path = path.to_owned();
        RedbStore::opened_by(Box::new(move || {
            let db = Database::create(&path).map_err(|why| StoreError::new("open the store", why))?;
            let mode = fs::Permissions::from_mode(0o600);
            fs::set_permissions(&path, mode).map_err(|why| StoreError::new("open the store", why))?;
            Ok(db)
        }))
    }

    fn opened_by(open: Opener) -> Result<RedbStore, StoreError> {
        let db = Some(open()?);
        Ok(RedbStore(Arc::new(Mutex::new(File { open, db }))))
    }

    fn with<T, E: From<StoreError>>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Database) -> Result<Result<T, E>, redb::Error>,
    ) -> Result<T, E> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let db = match file.db.take() {
            Some(db) => db,
            None => (file.open)()?,
        };
        match work(&db) {
            Ok(answer) => {
                file.db = Some(db);
                answer
            }
            Err(why) => Err(StoreError::new(doing, why).into()),
        }
    }
}

impl Store for RedbStore {
    fn get(&mut self, table: Table, key: &str) -> Result<Option<Row>, StoreError> {
        self.with("read the store", |db| {
            let reading = db.begin_read()?;
            let rows = match reading.open_table(definition(table)) {
                Err(TableError::TableDoesNotExist(_)) => return Ok(Ok(None)),
                open => open?,
            };
            Ok(Ok(rows.get(key)?.map(|stored| row(key, stored.value()))))
        })
    }

    fn scan(&mut self, table: Table, page: Page<'_>) -> Result<Vec<Row>, StoreError> {
        self.with("read the store", |db| {
            let reading = db.begin_read()?;
            let rows = match reading.open_table(definition(table)) {
                Err(TableError::TableDoesNotExist(_)) => return Ok(Ok(Vec::new())),
                open => open?,
            };
            let from = match page.after {
                Some(after) if after >= page.prefix => Bound::Excluded(after),
                Some(_) | None => Bound::Included(page.prefix),
            };
            let mut found = Vec::new();
            for next in rows.range::<&str>((from, Bound::Unbounded))?.take(page.limit) {
                let (key, stored) = next?;
                if !key.value().starts_with(page.prefix) {
                    break;
                }
                found.push(row(key.value(), stored.value()));
            }
            Ok(Ok(found))
        })
    }

    fn commit(&mut self, batch: &[Write]) -> Result<Version, CommitError> {
        self.with("write the store", |db| {
            let writing = db.begin_write()?;
            let version = next_version(&writing)?;
            if let Err(conflict) = write_all(&writing, batch, version)? {
                writing.abort()?;
                return Ok(Err(conflict));
            }
            writing.commit()?;
            Ok(Ok(version))
        })
    }

    fn expire(&mut self, now: Timestamp) -> Result<Vec<(Table, String)>, StoreError> {
        self.with("remove what has expired", |db| {
            let writing = db.begin_write()?;
            let gone = expired(&writing, now.unix_millis())?;
            writing.commit()?;
            Ok(Ok(gone))
        })
    }
}

fn row(key: &str, (version, expires, value): (u64, i64, &[u8])) -> Row {
    let expires = Some(expires).filter(|at| *at != NEVER).and_then(Timestamp::from_unix_millis);
    Row { key: key.to_owned(), value: value.to_vec(), version: Version(version), expires }
}

fn next_version(writing: &WriteTransaction) -> Result<Version, redb::Error> {
    let mut meta = writing.open_table(META)?;
    let last = meta.get(LAST)?.map_or(0, |last| last.value());
    meta.insert(LAST, last + 1)?;
    Ok(Version(last + 1))
}

/// Carries out a batch, as far as the conditions allow.
fn write_all(
    writing: &WriteTransaction,
    batch: &[Write],
    version: Version,
) -> Result<Result<(), CommitError>, redb::Error> {
    let mut expiry = writing.open_table(EXPIRY)?;
    for group in batch.chunk_by(|one, next| one.table == next.table) {
        let Some(first) = group.first() else { continue };
        let mut rows = writing.open_table(definition(first.table))?;
        for Write { table, key, to, only } in group {
            let (before, until) = match to {
                RowUpdate::Value { bytes, expires } => {
                    // A row that expires at the epoch has expired all the same.
                    let until = expires.map_or(NEVER, |at| at.unix_millis().max(NEVER + 1));
                    (
                        rows.insert(key.as_str(), (version.0, until, bytes.as_slice()))?.map(|stored| head(&stored)),
                        until,
                    )
                }
                RowUpdate::Nothing => (rows.remove(key.as_str())?.map(|stored| head(&stored)), NEVER),
                RowUpdate::Same => (rows.get(key.as_str())?.map(|stored| head(&stored)), NEVER),
            };
            let found = before.map(|(version, _)| Version(version));
            if !only.allows(found) {
                return Ok(Err(CommitError::Conflict { table: *table, key: key.clone(), found }));
            }
            if *to == RowUpdate::Same {
                continue;
            }
            if let Some((_, old)) = before.filter(|(_, old)| *old != NEVER) {
                expiry.remove((old, table.name(), key.as_str()))?;
            }
            if until != NEVER {
                expiry.insert((until, table.name(), key.as_str()), ())?;
            }
        }
    }
    Ok(Ok(()))
}

fn head(stored: &AccessGuard<'_, Stored>) -> (u64, i64) {
    let (version, expires, _) = stored.value();
    (version, expires)
}

fn expired(writing: &WriteTransaction, now: i64) -> Result<Vec<(Table, String)>, redb::Error> {
    let mut expiry = writing.open_table(EXPIRY)?;
    let mut gone = Vec::new();
    let due = expiry.extract_from_if(..(now.saturating_add(1), "", ""), |_, ()| true)?;
    for next in due {
        let (key, _) = next?;
        let (_, table, key) = key.value();
        if let Some(table) = Table::ALL.into_iter().find(|known| known.name() == table) {
            gone.push((table, key.to_owned()));
        }
    }
    for (table, key) in &gone {
        writing.open_table(definition(*table))?.remove(key.as_str())?;
    }
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use super::{super::conformance, *};
    use redb::StorageBackend;
    use std::{
        io,
        sync::atomic::{AtomicBool, Ordering},
    };

    /// A file in memory on a disk that may be full.
    #[derive(Debug, Clone, Default)]
    struct Disk {
        bytes: Arc<Mutex<Vec<u8>>>,
        full: Arc<AtomicBool>,
    }

    impl Disk {
        fn room(&self) -> io::Result<()> {
            if self.full.load(Ordering::SeqCst) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        }
    }

    impl StorageBackend for Disk {
        fn len(&self) -> io::Result<u64> {
            Ok(self.bytes.lock().unwrap().len() as u64)
        }
        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            out.copy_from_slice(&self.bytes.lock().unwrap()[offset as usize..][..out.len()]);
            Ok(())
        }
        fn set_len(&self, len: u64) -> io::Result<()> {
            self.room()?;
            self.bytes.lock().unwrap().resize(len as usize, 0);
            Ok(())
        }
        fn sync_data(&self) -> io::Result<()> {
            self.room()
        }
        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.room()?;
            self.bytes.lock().unwrap()[offset as usize..][..data.len()].copy_from_slice(data);
            Ok(())
        }
    }

    struct OnDisk {
        disk: Disk,
        store: Option<RedbStore>,
    }

    impl OnDisk {
        fn new() -> OnDisk {
            let disk = Disk::default();
            OnDisk { store: Some(OnDisk::store(&disk)), disk }
        }
        fn store(disk: &Disk) -> RedbStore {
            let disk = disk.clone();
            let open = move || {
                let opened = Database::builder().create_with_backend(disk.clone());
                opened.map_err(|why| StoreError::new("open the store", why))
            };
            RedbStore::opened_by(Box::new(open)).unwrap()
        }
    }

    impl conformance::Engine for OnDisk {
        fn handle(&self) -> Box<dyn Store> {
            Box::new(self.store.clone().unwrap())
        }
        fn restart(&mut self) {
            self.store = None;
            self.store = Some(OnDisk::store(&self.disk));
        }
        fn refuse_writes(&self, refuse: bool) {
            self.disk.full.store(refuse, Ordering::SeqCst);
        }
    }

    conformance::suite!(OnDisk::new());

    #[test]
    fn one_service_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.redb");
        let mut store = RedbStore::open(&path).unwrap();
        store.commit(&[Write::put(Table::Sessions, "a", "1")]).unwrap();
        assert!(RedbStore::open(&path).is_err());
        drop(store);
        assert_eq!(RedbStore::open(&path).unwrap().get(Table::Sessions, "a").unwrap().unwrap().value, b"1");
    }
}
