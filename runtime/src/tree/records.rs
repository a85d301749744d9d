//! Records at every kept version, while newer ones are being written.
//!
//! The store holds the newest version *in place*, and beside it, for each kept version, what that
//! version replaced. A version that was committed but whose batch may not have reached the store
//! stays in memory, both what it wrote and what it replaced, until the node says that its batch
//! was applied. A record at version `v` is therefore, in this order:
//!
//! 1. what the first version after `v` that touched it replaced;
//! 2. else what the newest unapplied version up to `v` wrote;
//! 3. else what the store holds.
//!
//! Nothing is locked while somebody reads. That is sound because of the order in which a reader
//! looks: the unapplied versions are taken *before* the store is read, the replaced records
//! *after*. A batch can reach the store only after its version stands in `undo`; so whatever
//! version the store showed in between, the way back from it is known by then.

use std::cell::{Ref, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::ops::{ControlFlow, RangeInclusive};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::state::{StateError, StateRead, key_after};
use crate::store::Store;
use crate::types::Hash;

use super::cache::Clock;
use super::error::TreeError;
use super::hash::empty_root;
use super::layout::{self, MAX_RECORD_BYTES};
use super::page::{Page, Slot};
use super::path::Path;
use super::undo::Undo;

/// New records by key, `None` where one is removed.
pub type Written = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

/// What an unapplied version wrote.
#[derive(Debug)]
pub struct Delta {
    /// The version.
    pub version: u64,
    /// Its records.
    pub written: Written,
}

/// What is known beside the store.
#[derive(Debug)]
pub struct Memory {
    /// What is below the root, by kept version.
    pub roots: BTreeMap<u64, Option<Slot>>,
    /// The versions whose batches may not have reached the store, the newest last.
    pub unapplied: VecDeque<Arc<Delta>>,
    /// What the kept versions replaced, without the oldest: nobody goes back behind it.
    pub undo: BTreeMap<u64, Arc<Undo>>,
    /// What was written last, by key, with the version that did.
    pub recent: Clock<(u64, Option<Vec<u8>>)>,
}

impl Memory {
    /// Nothing known yet; of what is written last so many bytes are remembered.
    pub fn new(recent_bytes: usize) -> Memory {
        Memory {
            roots: BTreeMap::new(),
            unapplied: VecDeque::new(),
            undo: BTreeMap::new(),
            recent: Clock::new(recent_bytes),
        }
    }
}

/// The store and what is known beside it.
pub struct Records {
    /// The store.
    pub store: Arc<dyn Store>,
    memory: RwLock<Memory>,
}

impl Records {
    /// The store, and what its records say.
    pub fn new(store: Arc<dyn Store>, memory: Memory) -> Records {
        Records {
            store,
            memory: RwLock::new(memory),
        }
    }

    /// A look at the memory. No change of it can fail half-way, so a poisoned lock is sound.
    pub fn memory(&self) -> RwLockReadGuard<'_, Memory> {
        self.memory.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The memory, to change it.
    pub fn memory_mut(&self) -> RwLockWriteGuard<'_, Memory> {
        self.memory.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The kept versions.
    pub fn kept(&self) -> Option<RangeInclusive<u64>> {
        let memory = self.memory();
        let (first, last) = (
            memory.roots.keys().next()?,
            memory.roots.keys().next_back()?,
        );
        Some(*first..=*last)
    }

    /// The state at `version`.
    pub fn view(&self, version: u64) -> Result<View<'_>, TreeError> {
        let memory = self.memory();
        let root = memory
            .roots
            .get(&version)
            .ok_or(TreeError::UnknownVersion(version))?
            .clone();
        let unapplied = memory.unapplied.iter().rev();
        let unapplied = unapplied
            .filter(|delta| delta.version <= version)
            .cloned()
            .collect();
        Ok(View {
            records: self,
            version: Some(version),
            root,
            unapplied,
            later: RefCell::default(),
        })
    }

    /// The store as it is, under `root`: while it is filled for the first time.
    pub fn unversioned(&self, root: Option<Slot>) -> View<'_> {
        let (unapplied, later) = (Vec::new(), RefCell::default());
        View {
            records: self,
            version: None,
            root,
            unapplied,
            later,
        }
    }
}

/// The state at one version.
///
/// It stays readable as long as its version is kept; then every read fails with
/// [`StateError::UnknownVersion`].
pub struct View<'t> {
    records: &'t Records,
    /// `None` only while the store is filled for the first time.
    version: Option<u64>,
    root: Option<Slot>,
    /// The unapplied versions up to this one, the newest first.
    unapplied: Vec<Arc<Delta>>,
    /// What the versions after this one replaced, the oldest first; and which is the newest.
    later: RefCell<(Option<u64>, Vec<Arc<Undo>>)>,
}

impl View<'_> {
    /// What is below the root.
    pub(super) fn root_slot(&self) -> Option<&Slot> {
        self.root.as_ref()
    }

    /// The root of the state.
    pub fn root(&self) -> Hash {
        self.root.as_ref().map_or_else(empty_root, |slot| slot.hash)
    }

    /// How many keys there are.
    pub fn count(&self) -> u64 {
        self.root.as_ref().map_or(0, |slot| slot.count)
    }

    /// What later versions replaced, as known now: to be asked after the store was read.
    fn later(&self) -> Result<Ref<'_, Vec<Arc<Undo>>>, TreeError> {
        if let Some(version) = self.version {
            let memory = self.records.memory();
            let newest = memory.roots.keys().next_back().copied();
            if !memory.roots.contains_key(&version) {
                return Err(TreeError::UnknownVersion(version));
            }
            if self.later.borrow().0 != newest {
                let undo = memory
                    .undo
                    .range(version + 1..)
                    .map(|(_, undo)| Arc::clone(undo));
                *self.later.borrow_mut() = (newest, undo.collect());
            }
        }
        Ok(Ref::map(self.later.borrow(), |later| &later.1))
    }

    /// What was replaced is removed once the version is not kept: that is then the reason.
    fn or_unknown<T>(&self, result: Result<T, TreeError>) -> Result<T, TreeError> {
        match (result, self.version) {
            (Err(TreeError::Damaged(what)), Some(version)) => {
                let kept = self.records.memory().roots.contains_key(&version);
                Err(if kept {
                    TreeError::Damaged(what)
                } else {
                    TreeError::UnknownVersion(version)
                })
            }
            (result, _) => result,
        }
    }

    /// What is remembered under `key`: the newest record there is. It is this version's, too, if it
    /// was written no later.
    fn recent(&self, key: &[u8]) -> Result<Option<Option<Vec<u8>>>, TreeError> {
        let Some(version) = self.version else {
            return Ok(None);
        };
        let memory = self.records.memory();
        if !memory.roots.contains_key(&version) {
            return Err(TreeError::UnknownVersion(version));
        }
        let known = memory
            .recent
            .get(key)
            .filter(|(since, _)| *since <= version);
        Ok(known.map(|(_, record)| record.clone()))
    }

    fn before_later(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TreeError> {
        match self
            .unapplied
            .iter()
            .find_map(|delta| delta.written.get(key))
        {
            Some(written) => Ok(written.clone()),
            None => Ok(self.records.store.get(key)?),
        }
    }

    /// The record under a storage key; not for pages.
    pub(super) fn record(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TreeError> {
        if let Some(record) = self.recent(key)? {
            return Ok(record);
        }
        let record = self.before_later(key)?;
        for undo in self.later()?.iter() {
            if let Some(old) = self.or_unknown(undo.get(&*self.records.store, key))? {
                return Ok(old);
            }
        }
        Ok(record)
    }

    /// The page at `path`.
    pub(super) fn page(&self, path: &Path) -> Result<Page, TreeError> {
        let key = layout::page(path);
        let recent = self.recent(&key)?;
        let settled = recent.is_some();
        let record = recent.map_or_else(|| self.before_later(&key), Ok)?;
        let decode = |record: Vec<u8>| Page::decode(path, &record);
        let mut page = record.map(decode).transpose()?.unwrap_or_default();
        if !settled {
            self.go_back(path, &mut page)?;
        }
        if page.occupied() < 2 {
            return Err(TreeError::Damaged("a page is missing".into()));
        }
        Ok(page)
    }

    /// Puts back the slots that later versions changed.
    fn go_back(&self, path: &Path, page: &mut Page) -> Result<(), TreeError> {
        let later = self.later()?;
        if later.is_empty() {
            return Ok(());
        }
        let (from, to) = (layout::slot(path, 0), key_after(&layout::slot(path, 15)));
        let mut slots: BTreeMap<usize, Option<Vec<u8>>> = BTreeMap::new();
        // The oldest change after this version comes last and stays.
        for undo in later.iter().rev() {
            self.or_unknown(
                undo.range(&*self.records.store, &from, &to, &mut |key, old| {
                    slots.insert(usize::from(key[key.len() - 1]), old.map(<[u8]>::to_vec));
                }),
            )?;
        }
        for (nibble, old) in slots {
            let slot = old.map(|old| Slot::from_record(&path.child(nibble), &old));
            page.slots[nibble] = slot.transpose()?;
        }
        Ok(())
    }

    /// The first `limit` records with `from <= storage key < to`; not for pages.
    fn rows(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Rows, TreeError> {
        let mut found = Rows::new();
        let mut from = from.to_vec();
        let mut wanted = limit;
        while found.len() < limit {
            let mut rows = Rows::new();
            let mut more = false;
            self.records.store.range(&from, to, &mut |key, value| {
                if rows.len() == wanted {
                    more = true;
                    return ControlFlow::Break(());
                }
                rows.push((key.to_vec(), value.to_vec()));
                ControlFlow::Continue(())
            })?;
            let seen_to = match rows.last() {
                Some((last, _)) if more => key_after(last),
                _ => to.to_vec(),
            };
            let changed = self.changed(&from, &seen_to)?;
            found.extend(overlay(rows, changed).take(limit - found.len()));
            if !more {
                break;
            }
            from = seen_to;
            // What versions since have removed often stands together: each look is twice as far.
            wanted = wanted.saturating_mul(2);
        }
        Ok(found)
    }

    /// Where this version differs from the store, with `from <= storage key < to`.
    fn changed(&self, from: &[u8], to: &[u8]) -> Result<Written, TreeError> {
        let mut changed = Written::new();
        for delta in self.unapplied.iter().rev() {
            let written = delta.written.range(from.to_vec()..to.to_vec());
            changed.extend(written.map(|(key, value)| (key.clone(), value.clone())));
        }
        for undo in self.later()?.iter().rev() {
            self.or_unknown(undo.range(&*self.records.store, from, to, &mut |key, old| {
                changed.insert(key.to_vec(), old.map(<[u8]>::to_vec));
            }))?;
        }
        Ok(changed)
    }

    /// The value that a record stands for.
    fn value(&self, key: &[u8], record: Vec<u8>) -> Result<Vec<u8>, TreeError> {
        let Some(length) = long_length(&record)? else {
            return Ok(record[1..].to_vec());
        };
        let mut value = Vec::with_capacity(length);
        for index in 0..pieces(length) {
            let piece = self.record(&layout::piece(key, index))?;
            value.extend(piece.ok_or_else(|| damaged_value(key))?);
        }
        if value.len() == length {
            Ok(value)
        } else {
            Err(damaged_value(key))
        }
    }

    /// The value under `key`.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TreeError> {
        let record = self.record(&layout::value(key))?;
        record.map(|record| self.value(key, record)).transpose()
    }

    /// The first `limit` pairs with `from <= key < to`; with an empty `to`, up to the last key.
    pub fn pairs(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Rows, TreeError> {
        let end = if to.is_empty() {
            layout::end(layout::VALUE)
        } else {
            layout::value(to)
        };
        let from = layout::value(from);
        if from >= end {
            return Ok(Vec::new());
        }
        let pair = |(at, record): (Vec<u8>, Vec<u8>)| {
            let key = at[layout::VALUE.len()..].to_vec();
            let value = self.value(&key, record)?;
            Ok((key, value))
        };
        self.rows(&from, &end, limit)?
            .into_iter()
            .map(pair)
            .collect()
    }
}

impl StateRead for View<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        Ok(View::get(self, key)?)
    }

    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Rows, StateError> {
        if from >= to {
            return Ok(Vec::new());
        }
        Ok(self.pairs(from, to, limit)?)
    }
}

/// Rows with the changes made, in order.
fn overlay(rows: Rows, changed: Written) -> Box<dyn Iterator<Item = (Vec<u8>, Vec<u8>)>> {
    if changed.is_empty() {
        return Box::new(rows.into_iter());
    }
    let mut merged: Written = rows
        .into_iter()
        .map(|(key, value)| (key, Some(value)))
        .collect();
    merged.extend(changed);
    Box::new(
        merged
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?))),
    )
}

fn damaged_value(key: &[u8]) -> TreeError {
    TreeError::Damaged(format!("the value of {} cannot be read", hex::encode(key)))
}

/// How many pieces a long value is cut into.
pub fn pieces(length: usize) -> u8 {
    u8::try_from(length.div_ceil(MAX_RECORD_BYTES)).expect("values have at most 64 KiB")
}

/// The length of the value that a record announces, if that is cut up.
pub fn long_length(record: &[u8]) -> Result<Option<usize>, TreeError> {
    match *record {
        [0, ..] => Ok(None),
        [1, a, b, c, d] => {
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            let sound = length <= crate::state::MAX_VALUE_BYTES;
            let damaged = || TreeError::Damaged("a value is announced as too long".into());
            sound.then_some(Some(length)).ok_or_else(damaged)
        }
        _ => Err(TreeError::Damaged(
            "the record of a value cannot be read".into(),
        )),
    }
}

/// The record of a value, and its pieces if it is cut up.
pub fn value_records(value: &[u8]) -> (Vec<u8>, Vec<&[u8]>) {
    if value.len() < MAX_RECORD_BYTES {
        return ([&[0], value].concat(), Vec::new());
    }
    let length = u32::try_from(value.len()).expect("values have at most 64 KiB");
    let record = [&[1][..], &length.to_be_bytes()].concat();
    (record, value.chunks(MAX_RECORD_BYTES).collect())
}
