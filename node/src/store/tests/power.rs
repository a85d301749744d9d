//! Cuts of power.
//!
//! For sled the folder is copied whenever a sync returns; that copy is what is safe. At a cut each
//! sector of what was written since is there or not, by chance: writes that were not synced are
//! lost, torn and reordered. redb runs on the model disk of this crate, which does the same
//! write by write.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use ::redb::StorageBackend;
use tempfile::TempDir;
use welkin_runtime::store::conformance::{Dice, Subject, run};
use welkin_runtime::store::{Batch, Store, StoreError, Visit};

use super::super::{Engine, RedbStore, SledStore};
use super::config;
use crate::disk::{Disk as _, DiskFile, Mode, ModelDisk, Open};

/// What a disk writes whole.
const SECTOR: usize = 512;

/// The files of a folder.
#[derive(Clone, Default)]
pub struct Image(BTreeMap<PathBuf, Vec<u8>>);

impl Image {
    /// The files as a reader sees them.
    pub fn of(folder: &Path) -> Image {
        let mut image = Image::default();
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let bytes = fs::read(&path).unwrap();
                    image
                        .0
                        .insert(path.strip_prefix(folder).unwrap().to_owned(), bytes);
                }
            }
        }
        image
    }

    /// Puts these files in the place of those that are there.
    pub fn write(&self, folder: &Path) {
        fs::remove_dir_all(folder).unwrap();
        for (name, bytes) in &self.0 {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }

    /// What a cut leaves when `self` is safe and `seen` is not.
    fn cut(&self, seen: &Image, dice: &mut Dice) -> Image {
        let mut left = BTreeMap::new();
        let names = self.0.keys().chain(seen.0.keys());
        for name in names {
            let bytes = match (self.0.get(name), seen.0.get(name)) {
                (Some(safe), Some(seen)) => Some(mixed(safe, seen, dice)),
                // Made or removed since, and the folder not synced: sled syncs such files itself.
                (Some(one), None) | (None, Some(one)) if dice.below(2) == 0 => Some(one.clone()),
                _ => None,
            };
            left.extend(bytes.map(|bytes| (name.clone(), bytes)));
        }
        Image(left)
    }
}

fn mixed(safe: &[u8], seen: &[u8], dice: &mut Dice) -> Vec<u8> {
    let length = if dice.below(2) == 0 {
        safe.len()
    } else {
        seen.len()
    };
    // Some cuts lose nearly everything, some nearly nothing.
    let odds = 1 + dice.below(8);
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        let sector = bytes.len()..length.min(bytes.len() + SECTOR);
        let from = if dice.below(9) < odds { seen } else { safe };
        let mut part = from
            .get(sector.start..sector.end.min(from.len()))
            .unwrap_or(&[])
            .to_vec();
        part.resize(sector.len(), 0);
        bytes.append(&mut part);
    }
    bytes
}

/// sled, with a copy of its folder made at each sync.
struct Watched {
    store: SledStore,
    folder: PathBuf,
    safe: Arc<Mutex<Image>>,
    forgets: bool,
}

impl Store for Watched {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(key)
    }

    fn range(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.store.range(from, to, visit)
    }

    fn commit(&self, batch: Batch, height: u64) -> Result<(), StoreError> {
        self.store.commit(batch, height)
    }

    fn height(&self) -> Option<u64> {
        self.store.height()
    }

    fn sync(&self) -> Result<(), StoreError> {
        if !self.forgets {
            self.store.sync()?;
            *self.safe.lock().unwrap() = Image::of(&self.folder);
        }
        Ok(())
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        self.store.size_bytes()
    }

    fn close(&self) -> Result<(), StoreError> {
        self.store.close()
    }
}

struct SledUnderPower {
    folder: TempDir,
    safe: Arc<Mutex<Image>>,
    forgets: bool,
}

impl SledUnderPower {
    fn new(forgets: bool) -> SledUnderPower {
        SledUnderPower {
            folder: TempDir::new().unwrap(),
            safe: Arc::default(),
            forgets,
        }
    }
}

impl Subject for SledUnderPower {
    fn open(&mut self) -> Arc<dyn Store> {
        let folder = self.folder.path().to_owned();
        let store = SledStore::open(&folder, &config(Engine::Sled)).unwrap();
        // Opening syncs what it makes.
        *self.safe.lock().unwrap() = Image::of(&folder);
        Arc::new(Watched {
            store,
            folder,
            safe: Arc::clone(&self.safe),
            forgets: self.forgets,
        })
    }

    fn cut_power(&mut self, store: Arc<dyn Store>, seed: u64) {
        let seen = Image::of(self.folder.path());
        drop(store);
        let left = self.safe.lock().unwrap().cut(&seen, &mut Dice(seed));
        left.write(self.folder.path());
    }
}

struct OnModelDisk(Box<dyn DiskFile>);

impl std::fmt::Debug for OnModelDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OnModelDisk")
    }
}

impl StorageBackend for OnModelDisk {
    fn len(&self) -> Result<u64, io::Error> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        match self.0.read_at(offset, out)? {
            all if all == out.len() => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.0.write_at(offset, data)
    }
}

struct RedbUnderPower {
    disk: ModelDisk,
    forgets: bool,
}

impl RedbUnderPower {
    fn new(forgets: bool) -> RedbUnderPower {
        let disk = ModelDisk::default();
        let folder = Path::new("/state");
        disk.create_dir(folder).unwrap();
        disk.open(&folder.join("redb"), Open::Create(Mode::Public))
            .unwrap();
        disk.sync_dir(folder).unwrap();
        RedbUnderPower { disk, forgets }
    }
}

impl Subject for RedbUnderPower {
    fn open(&mut self) -> Arc<dyn Store> {
        let file = self
            .disk
            .open(Path::new("/state/redb"), Open::Write)
            .unwrap();
        let store = RedbStore::on_backend(OnModelDisk(file), &config(Engine::Redb)).unwrap();
        if self.forgets {
            self.disk.forget_syncs();
        }
        Arc::new(store)
    }

    fn cut_power(&mut self, store: Arc<dyn Store>, seed: u64) {
        let left = self.disk.power_cut(seed);
        drop(store);
        self.disk = left;
    }
}

#[test]
fn sled_loses_nothing_that_was_synced_when_power_is_cut() {
    run(|| SledUnderPower::new(false));
}

#[test]
fn redb_loses_nothing_that_was_synced_when_power_is_cut() {
    run(|| RedbUnderPower::new(false));
}

/// A test that cannot fail shows nothing.
#[test]
fn a_store_that_forgets_to_sync_is_found() {
    let sled = catch_unwind(AssertUnwindSafe(|| run(|| SledUnderPower::new(true))));
    assert!(sled.is_err(), "sled");
    let redb = catch_unwind(AssertUnwindSafe(|| run(|| RedbUnderPower::new(true))));
    assert!(redb.is_err(), "redb");
}
