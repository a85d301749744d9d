//! A disk in memory that forgets what was not synced.
//!
//! Each file has the bytes that a reader sees, the bytes that are safe, and the writes between the
//! two. A power cut keeps each of those writes whole, in part or not at all, without regard to
//! their order, and does the same with names; a failed sync drops writes from the way to the disk
//! while readers go on seeing them, as Linux does.

mod file;
mod random;

use super::{Disk, DiskFile, Open};
use file::Inode;
use random::Random;
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Room of a model unless told otherwise, in bytes.
const DEFAULT_CAPACITY_BYTES: u64 = 64 << 20;

/// A failure to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A write, or the creation of a file, finds the disk full after a part of it.
    Full,
    /// A write or a change of a name fails; a part of the write may have happened.
    Write,
    /// A sync fails; an unknown part of what it should have saved is lost for good, and later
    /// syncs of the file do not say so.
    Sync,
}

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct ModelDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    capacity_bytes: u64,
    seen: Names,
    safe: Names,
    waiting: Vec<NameChange>,
    locked: BTreeSet<PathBuf>,
    fault: Option<(Fault, u32)>,
    random: Random,
    syncs: u64,
    forgets_syncs: bool,
    exchanges: bool,
}

type Names = BTreeMap<PathBuf, Arc<Mutex<Inode>>>;

/// A change of a folder that is not synced.
#[derive(Debug)]
enum NameChange {
    Create(PathBuf, Arc<Mutex<Inode>>),
    Rename(PathBuf, PathBuf, Arc<Mutex<Inode>>),
    Exchange([(PathBuf, Arc<Mutex<Inode>>); 2]),
    Remove(PathBuf, Arc<Mutex<Inode>>),
}

impl Default for ModelDisk {
    fn default() -> Self {
        ModelDisk::new(DEFAULT_CAPACITY_BYTES)
    }
}

impl ModelDisk {
    /// An empty disk with room for so many bytes, writes that wait for a sync included.
    pub fn new(capacity_bytes: u64) -> Self {
        ModelDisk(Arc::new(Mutex::new(State {
            capacity_bytes,
            seen: Names::new(),
            safe: Names::new(),
            waiting: Vec::new(),
            locked: BTreeSet::new(),
            fault: None,
            random: Random::new(0),
            syncs: 0,
            forgets_syncs: false,
            exchanges: true,
        })))
    }

    /// The disk that is found after the power was cut now. The seed decides what became of each
    /// change that was not synced. Files that are open on this disk stay on this disk.
    pub fn power_cut(&self, seed: u64) -> ModelDisk {
        let state = self.state();
        let mut random = Random::new(seed);
        let mut names = state.safe.clone();
        for change in &state.waiting {
            if random.one_in(2) {
                change.apply(&mut names);
            }
        }
        let names: Names = names
            .into_iter()
            .map(|(path, inode)| {
                (
                    path,
                    Arc::new(Mutex::new(lock(&inode).after_power_cut(&mut random))),
                )
            })
            .collect();
        let after = ModelDisk::new(state.capacity_bytes);
        let mut fresh = after.state();
        fresh.seen = names.clone();
        fresh.safe = names;
        fresh.random = random;
        fresh.forgets_syncs = state.forgets_syncs;
        fresh.exchanges = state.exchanges;
        drop(fresh);
        after
    }

    /// Makes the change number `after` from now on (0 is the next) that can fail this way fail.
    pub fn fail(&self, fault: Fault, after: u32) {
        self.state().fault = Some((fault, after));
    }

    /// No failure is to come.
    pub fn heal(&self) {
        self.state().fault = None;
    }

    /// From now on syncs return without doing anything: to show that a test would notice.
    pub fn forget_syncs(&self) {
        self.state().forgets_syncs = true;
    }

    /// From now on this is a file system on which files cannot change names with each other.
    pub fn forbid_exchange(&self) {
        self.state().exchanges = false;
    }

    /// Syncs of files and folders so far.
    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// Changes the bytes of a file on the medium itself, as decay does.
    pub fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let inode = self.state().seen.get(path).cloned();
        if let Some(inode) = inode {
            lock(&inode).damage(change);
        }
    }

    /// A file's bytes as a reader sees them.
    pub fn bytes(&self, path: &Path) -> Option<Vec<u8>> {
        let inode = self.state().seen.get(path).cloned()?;
        let bytes = lock(&inode).seen().to_vec();
        Some(bytes)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

impl State {
    /// Counts down to the failure to come, and says whether this is it.
    fn fails(&mut self, kinds: &[Fault]) -> Option<Fault> {
        let (fault, after) = self.fault?;
        if !kinds.contains(&fault) {
            return None;
        }
        self.fault = after.checked_sub(1).map(|after| (fault, after));
        self.fault.is_none().then_some(fault)
    }

    fn change_of_names_fails(&mut self) -> io::Result<()> {
        match self.fails(&[Fault::Write]) {
            Some(_) => Err(broken()),
            None => Ok(()),
        }
    }

    fn used_bytes(&self) -> u64 {
        self.seen
            .values()
            .map(|inode| lock(inode).used_bytes())
            .sum()
    }

    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.seen);
        self.waiting.push(change);
    }
}

impl NameChange {
    fn apply(&self, names: &mut Names) {
        match self {
            NameChange::Create(path, inode) => {
                names.insert(path.clone(), inode.clone());
            }
            NameChange::Rename(from, to, inode) => {
                remove_if(names, from, inode);
                names.insert(to.clone(), inode.clone());
            }
            NameChange::Exchange([(one, was_one), (other, was_other)]) => {
                names.insert(one.clone(), was_other.clone());
                names.insert(other.clone(), was_one.clone());
            }
            NameChange::Remove(path, inode) => remove_if(names, path, inode),
        }
    }

    fn folder(&self) -> Option<&Path> {
        match self {
            NameChange::Create(path, _)
            | NameChange::Rename(path, _, _)
            | NameChange::Exchange([(path, _), _])
            | NameChange::Remove(path, _) => path.parent(),
        }
    }
}

fn remove_if(names: &mut Names, path: &Path, inode: &Arc<Mutex<Inode>>) {
    if names.get(path).is_some_and(|now| Arc::ptr_eq(now, inode)) {
        names.remove(path);
    }
}

impl Disk for ModelDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        let inode = match (state.seen.get(path).cloned(), how) {
            (Some(inode), Open::Read | Open::Write) => inode,
            (None, Open::Read | Open::Write) => return Err(io::ErrorKind::NotFound.into()),
            (Some(inode), Open::Create(_)) => {
                state.change_of_names_fails()?;
                lock(&inode).set_len(0);
                inode
            }
            (None, Open::Create(_)) => {
                match state.fails(&[Fault::Full, Fault::Write]) {
                    Some(Fault::Full) => return Err(io::ErrorKind::StorageFull.into()),
                    Some(_) => return Err(broken()),
                    None => {}
                }
                let inode = Arc::new(Mutex::new(Inode::default()));
                state.change(NameChange::Create(path.to_owned(), inode.clone()));
                inode
            }
        };
        Ok(Box::new(ModelFile {
            disk: self.clone(),
            inode,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        if from.parent() != to.parent() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "another folder",
            ));
        }
        let inode = state
            .seen
            .get(from)
            .cloned()
            .ok_or(io::ErrorKind::NotFound)?;
        state.change_of_names_fails()?;
        state.change(NameChange::Rename(from.to_owned(), to.to_owned(), inode));
        Ok(())
    }

    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        let mut state = self.state();
        if !state.exchanges {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let inode = |path| state.seen.get(path).cloned().ok_or(io::ErrorKind::NotFound);
        let both = [
            (one.to_owned(), inode(one)?),
            (other.to_owned(), inode(other)?),
        ];
        state.change_of_names_fails()?;
        state.change(NameChange::Exchange(both));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        let inode = state
            .seen
            .get(path)
            .cloned()
            .ok_or(io::ErrorKind::NotFound)?;
        state.change_of_names_fails()?;
        state.change(NameChange::Remove(path.to_owned(), inode));
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        let inside = state.seen.keys().filter(|path| path.parent() == Some(dir));
        let names = inside.filter_map(|path| path.file_name()?.to_str().map(str::to_owned));
        Ok(names.collect())
    }

    /// Folders are not modelled: each exists as soon as a file lies in it.
    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.syncs += 1;
        if state.forgets_syncs {
            return Ok(());
        }
        let failed = state.fails(&[Fault::Sync]).is_some();
        let waiting = std::mem::take(&mut state.waiting);
        let (now, later) = waiting
            .into_iter()
            .partition(|change| change.folder() == Some(dir));
        state.waiting = later;
        let now: Vec<NameChange> = now;
        for change in now {
            if failed && state.random.one_in(2) {
                // Journalled file systems keep the change and stop; it may still get there.
                state.waiting.push(change);
            } else {
                change.apply(&mut state.safe);
            }
        }
        if failed { Err(broken()) } else { Ok(()) }
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        if !self.state().locked.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(ModelLock {
            disk: self.clone(),
            path: path.to_owned(),
        }))
    }
}

struct ModelLock {
    disk: ModelDisk,
    path: PathBuf,
}

impl Drop for ModelLock {
    fn drop(&mut self) {
        self.disk.state().locked.remove(&self.path);
    }
}

struct ModelFile {
    disk: ModelDisk,
    inode: Arc<Mutex<Inode>>,
}

impl DiskFile for ModelFile {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let inode = lock(&self.inode);
        let from = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(inode.seen().len());
        let read = into.len().min(inode.seen().len() - from);
        into[..read].copy_from_slice(&inode.seen()[from..from + read]);
        Ok(read)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        let mut fault = state.fails(&[Fault::Full, Fault::Write]);
        if state.used_bytes() + bytes.len() as u64 > state.capacity_bytes {
            fault = Some(Fault::Full);
        }
        let Some(fault) = fault else {
            lock(&self.inode).write(offset, bytes);
            return Ok(());
        };
        let part = state.random.below(bytes.len() as u64 + 1) as usize;
        lock(&self.inode).write(offset, &bytes[..part]);
        Err(if fault == Fault::Full {
            io::ErrorKind::StorageFull.into()
        } else {
            broken()
        })
    }

    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.inode).seen().len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.state().change_of_names_fails()?;
        lock(&self.inode).set_len(len);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.syncs += 1;
        if state.forgets_syncs {
            return Ok(());
        }
        let mut inode = lock(&self.inode);
        if state.fails(&[Fault::Sync]).is_some() {
            inode.fail_to_sync(&mut state.random);
            return Err(broken());
        }
        inode.sync();
        Ok(())
    }
}

fn broken() -> io::Error {
    // What Linux calls EIO.
    io::Error::from_raw_os_error(5)
}

/// A panic elsewhere leaves nothing half done here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
