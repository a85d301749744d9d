//! sled 0.34, with the care that it needs.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use welkin_runtime::store::{Batch, MAX_KEY_BYTES, Store, StoreError, Visit};

use super::folder::{failed, mark_closed, sync_folder};
use super::{Failure, StoreConfig};

/// Under `h` stands the height, under `k` and a key its value: all in one tree, because sled's
/// batches are atomic only within one.
const HEIGHT: &[u8] = b"h";
const KEY: u8 = b'k';

/// For how long a store that was closed may still be held by sled's threads.
const RELEASE: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_millis(10);

/// A store in sled.
pub struct SledStore {
    folder: PathBuf,
    open: RwLock<Option<Files>>,
    /// Kept beside sled, so that asking for it costs nothing.
    height: RwLock<Option<u64>>,
    failure: Failure,
}

struct Files {
    db: sled::Db,
    /// sled's `flush` hands bytes to the kernel and goes on. This second handle is what they are
    /// synced through.
    file: File,
}

impl SledStore {
    /// Opens the store in an existing folder.
    pub fn open(folder: &Path, config: &StoreConfig) -> Result<SledStore, StoreError> {
        let db = open_when_released(folder, config)?;
        // Without its settings file, which sled does not sync, it refuses to open.
        for name in ["conf", "db"] {
            let path = folder.join(name);
            let synced = File::open(&path).and_then(|file| file.sync_all());
            synced.map_err(|why| failed("sync", &path, &why))?;
        }
        sync_folder(folder)?;
        let path = folder.join("db");
        let file = File::options().read(true).write(true).open(&path);
        let file = file.map_err(|why| failed("open", &path, &why))?;
        let height = db.get(HEIGHT).map_err(|why| said(folder, &why))?;
        let height = height.map(|bytes| <[u8; 8]>::try_from(&*bytes)).transpose();
        let height = height.map_err(|_| StoreError::Damaged("the height is no number".into()))?;
        Ok(SledStore {
            folder: folder.to_owned(),
            open: RwLock::new(Some(Files { db, file })),
            height: RwLock::new(height.map(u64::from_be_bytes)),
            failure: Failure::default(),
        })
    }

    fn with<T>(&self, call: impl FnOnce(&Files) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.failure.check()?;
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        call(open.as_ref().ok_or(StoreError::Closed)?)
    }

    fn note(&self, why: &sled::Error) -> StoreError {
        self.failure.note(said(&self.folder, why))
    }

    fn flush(&self, files: &Files) -> Result<(), StoreError> {
        files.db.flush().map_err(|why| self.note(&why))?;
        files
            .file
            .sync_data()
            .map_err(|why| self.failure.note(super::io_error(&why)))
    }
}

/// Threads of sled's own may hold the files for a moment after the store was closed or dropped.
fn open_when_released(folder: &Path, config: &StoreConfig) -> Result<sled::Db, StoreError> {
    let began = Instant::now();
    loop {
        let opened = sled::Config::new()
            .path(folder)
            .cache_capacity(config.cache_bytes)
            // We say when.
            .flush_every_ms(None)
            .open()
            .map_err(|why| opening(folder, &why));
        match opened {
            Err(StoreError::InUse(_)) if began.elapsed() < RELEASE => std::thread::sleep(LOOK),
            other => return other,
        }
    }
}

/// sled has no kind of error for a store that is in use; its text has to do.
fn opening(folder: &Path, why: &sled::Error) -> StoreError {
    if why.to_string().contains("could not acquire lock") {
        return StoreError::InUse(folder.to_owned());
    }
    said(folder, why)
}

/// sled puts the system's answer into words for programmers; its kind is what an operator can use.
fn said(folder: &Path, why: &sled::Error) -> StoreError {
    match why {
        sled::Error::Io(why) => match super::io_error(why) {
            StoreError::Failed(_) => failed("use the store in", folder, &why.kind().into()),
            damaged => damaged,
        },
        other => StoreError::Damaged(other.to_string()),
    }
}

/// The key as sled has it, without an allocation: gets are frequent.
struct Key {
    bytes: [u8; 1 + MAX_KEY_BYTES],
    length: usize,
}

impl Key {
    /// `None` for a key that no store takes.
    fn of(key: &[u8]) -> Option<Key> {
        let mut bytes = [0; 1 + MAX_KEY_BYTES];
        bytes[0] = KEY;
        bytes.get_mut(1..1 + key.len())?.copy_from_slice(key);
        Some(Key {
            bytes,
            length: 1 + key.len(),
        })
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Store for SledStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.with(|files| {
            let Some(key) = Key::of(key) else {
                return Ok(None);
            };
            let value = files
                .db
                .get(key.as_slice())
                .map_err(|why| self.note(&why))?;
            Ok(value.map(|value| value.to_vec()))
        })
    }

    fn range(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.with(|files| {
            let start = [&[KEY], from].concat();
            let end = if to.is_empty() {
                vec![KEY + 1]
            } else {
                [&[KEY], to].concat()
            };
            if start >= end {
                return Ok(());
            }
            for pair in files.db.range(start..end) {
                let (key, value) = pair.map_err(|why| self.note(&why))?;
                if let ControlFlow::Break(()) = visit(&key[1..], &value) {
                    break;
                }
            }
            Ok(())
        })
    }

    fn commit(&self, batch: Batch, height: u64) -> Result<(), StoreError> {
        self.with(|files| {
            let mut current = self.height.write().unwrap_or_else(PoisonError::into_inner);
            batch.check(height, *current)?;
            let mut changes = sled::Batch::default();
            for (key, value) in batch.iter() {
                let key = [&[KEY], key].concat();
                match value {
                    Some(value) => changes.insert(key, value),
                    None => changes.remove(key),
                }
            }
            changes.insert(HEIGHT, &height.to_be_bytes());
            files
                .db
                .apply_batch(changes)
                .map_err(|why| self.note(&why))?;
            *current = Some(height);
            Ok(())
        })
    }

    fn height(&self) -> Option<u64> {
        *self.height.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.with(|files| self.flush(files))
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        self.with(|files| files.db.size_on_disk().map_err(|why| self.note(&why)))
    }

    fn close(&self) -> Result<(), StoreError> {
        self.with(|files| self.flush(files))?;
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = None;
        mark_closed(&self.folder)
    }
}
