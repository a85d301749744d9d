//! redb: the store to change to if sled disappoints, and the check that nothing here leans on
//! what only sled does.

use std::ops::{Bound, ControlFlow};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use redb::{
    Builder, Database, DatabaseError, Durability, ReadableDatabase as _, ReadableTable as _,
    StorageBackend, TableDefinition,
};
use welkin_runtime::store::{Batch, Store, StoreError, Visit};

use super::folder::mark_closed;
use super::{Failure, StoreConfig};

const FILE: &str = "state.redb";
const PAIRS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("pairs");
const HEIGHT: TableDefinition<'_, (), u64> = TableDefinition::new("height");

/// A store in redb.
pub struct RedbStore {
    /// `None` for one without a folder.
    folder: Option<PathBuf>,
    open: RwLock<Option<Database>>,
    height: RwLock<Option<u64>>,
    failure: Failure,
}

impl RedbStore {
    /// Opens the store in an existing folder.
    pub fn open(folder: &Path, config: &StoreConfig) -> Result<RedbStore, StoreError> {
        let opened = builder(config).create(folder.join(FILE));
        let mut store = RedbStore::of(opened.map_err(|why| opening(folder, why))?)?;
        store.folder = Some(folder.to_owned());
        Ok(store)
    }

    /// Opens a store on something else than a file.
    pub fn on_backend(
        backend: impl StorageBackend,
        config: &StoreConfig,
    ) -> Result<RedbStore, StoreError> {
        let opened = builder(config).create_with_backend(backend);
        RedbStore::of(opened.map_err(|why| said(why.into()))?)
    }

    fn of(database: Database) -> Result<RedbStore, StoreError> {
        let height = start(&database).map_err(said)?;
        Ok(RedbStore {
            folder: None,
            open: RwLock::new(Some(database)),
            height: RwLock::new(height),
            failure: Failure::default(),
        })
    }

    fn with<T>(
        &self,
        call: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        self.failure.check()?;
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        call(open.as_ref().ok_or(StoreError::Closed)?).map_err(|why| self.failure.note(said(why)))
    }
}

fn builder(config: &StoreConfig) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(usize::try_from(config.cache_bytes).unwrap_or(usize::MAX));
    builder
}

fn opening(folder: &Path, why: DatabaseError) -> StoreError {
    match why {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            StoreError::InUse(folder.to_owned())
        }
        other => said(other.into()),
    }
}

fn said(why: redb::Error) -> StoreError {
    match why {
        redb::Error::Io(why) => super::io_error(&why),
        other => StoreError::Damaged(other.to_string()),
    }
}

/// Makes the tables, so that readers find them, and reads the height.
fn start(database: &Database) -> Result<Option<u64>, redb::Error> {
    let transaction = database.begin_write()?;
    let height = {
        transaction.open_table(PAIRS)?;
        let height = transaction.open_table(HEIGHT)?;
        height.get(())?.map(|height| height.value())
    };
    transaction.commit()?;
    Ok(height)
}

fn write(database: &Database, batch: &Batch, height: u64) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::None)?;
    {
        let mut pairs = transaction.open_table(PAIRS)?;
        for (key, value) in batch.iter() {
            match value {
                Some(value) => drop(pairs.insert(key, value)?),
                None => drop(pairs.remove(key)?),
            }
        }
        transaction.open_table(HEIGHT)?.insert((), height)?;
    }
    Ok(transaction.commit()?)
}

/// A durable commit of nothing makes those before it durable.
fn make_durable(database: &Database) -> Result<(), redb::Error> {
    Ok(database.begin_write()?.commit()?)
}

impl Store for RedbStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.with(|database| {
            let pairs = database.begin_read()?.open_table(PAIRS)?;
            Ok(pairs.get(key)?.map(|value| value.value().to_vec()))
        })
    }

    fn range(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.with(|database| {
            let end = if to.is_empty() {
                Bound::Unbounded
            } else {
                Bound::Excluded(to)
            };
            if !to.is_empty() && from >= to {
                return Ok(());
            }
            let pairs = database.begin_read()?.open_table(PAIRS)?;
            for pair in pairs.range::<&[u8]>((Bound::Included(from), end))? {
                let (key, value) = pair?;
                if let ControlFlow::Break(()) = visit(key.value(), value.value()) {
                    break;
                }
            }
            Ok(())
        })
    }

    fn commit(&self, batch: Batch, height: u64) -> Result<(), StoreError> {
        let mut current = self.height.write().unwrap_or_else(PoisonError::into_inner);
        self.with(|_| Ok(()))?;
        batch.check(height, *current)?;
        self.with(|database| write(database, &batch, height))?;
        *current = Some(height);
        Ok(())
    }

    fn height(&self) -> Option<u64> {
        *self.height.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.with(make_durable)
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        self.with(|_| Ok(()))?;
        let Some(folder) = &self.folder else {
            return Ok(0);
        };
        let path = folder.join(FILE);
        let about = std::fs::metadata(&path);
        about
            .map(|about| about.len())
            .map_err(|why| super::folder::failed("look at", &path, &why))
    }

    fn close(&self) -> Result<(), StoreError> {
        self.with(make_durable)?;
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = None;
        self.folder.as_deref().map_or(Ok(()), mark_closed)
    }
}
