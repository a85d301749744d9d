//! One version's changes, made in one ordered pass.
//!
//! The pass goes down only where something changes, and comes back with the new hashes. It reads
//! the state before through a [`View`] and gathers records; nothing is written here.

use std::collections::BTreeMap;

use crate::crypto::blake3_hash;
use crate::state::{MAX_KEY_BYTES, MAX_VALUE_BYTES, Writes};

use super::bucket::{Bucket, Change, LeafRef};
use super::cache::LeafCache;
use super::error::TreeError;
use super::hash::leaf_hash;
use super::layout;
use super::page::{Page, Slot};
use super::path::{Path, nibble};
use super::records::{View, Written, long_length, pieces, value_records};
use super::undo::Replaced;

/// A bucket with more keys becomes a page. Fewer, larger buckets mean fewer records to write, and
/// more hashes to work out again for each change.
pub const SPLIT_ABOVE: usize = 32;

/// A page with no more keys becomes a bucket: well below [`SPLIT_ABOVE`], so that a key that comes
/// and goes does not turn one into the other each time.
pub const JOIN_UP_TO: u64 = 16;

/// The gathering of one version.
pub struct Update<'a> {
    before: &'a View<'a>,
    cache: &'a mut LeafCache,
    /// The new records.
    pub written: Written,
    /// The old ones.
    pub replaced: Replaced,
    /// The buckets that changed.
    buckets: BTreeMap<Path, Bucket>,
}

impl<'a> Update<'a> {
    /// Nothing gathered yet.
    pub fn new(before: &'a View<'a>, cache: &'a mut LeafCache) -> Update<'a> {
        let (written, replaced) = (Written::new(), Replaced::new());
        Update {
            before,
            cache,
            written,
            replaced,
            buckets: BTreeMap::new(),
        }
    }

    /// Makes the changes; returns what is below the root afterwards.
    pub fn run(&mut self, writes: &Writes) -> Result<Option<Slot>, TreeError> {
        let mut changes = Vec::with_capacity(writes.len());
        for (key, value) in writes {
            if self.put_value(key, value.as_deref())? {
                let leaf = |value: &Vec<u8>| leaf_hash(key, &blake3_hash(value));
                changes.push((key.as_slice(), value.as_ref().map(leaf)));
            }
        }
        let root = self.slot(&Path::root(), self.before.root_slot().cloned(), &changes)?;
        for (at, bucket) in std::mem::take(&mut self.buckets) {
            let bytes = bucket.size_bytes();
            self.cache.put(at.as_bytes(), bucket, bytes);
        }
        Ok(root)
    }

    /// Writes a value; says whether that changes anything.
    fn put_value(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<bool, TreeError> {
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            return Err(TreeError::KeyLength(key.len()));
        }
        let length = value.map_or(0, <[u8]>::len);
        if length > MAX_VALUE_BYTES {
            return Err(TreeError::ValueLength(length));
        }
        let (record, new_pieces) = match value.map(value_records) {
            Some((record, pieces)) => (Some(record), pieces),
            None => (None, Vec::new()),
        };
        let at = layout::value(key);
        let old = self.before.record(&at)?;
        let old_length = old.as_deref().map(long_length).transpose()?.flatten();
        let old_pieces = old_length.map_or(0, pieces);
        if old == record && old_pieces == 0 {
            return Ok(false);
        }
        let mut changed = old != record;
        for index in 0..old_pieces.max(new_pieces.len() as u8) {
            let at = layout::piece(key, index);
            let new = new_pieces
                .get(usize::from(index))
                .map(|piece| piece.to_vec());
            let old = self.before.record(&at)?;
            changed |= old != new;
            self.put(at, old, new);
        }
        self.put(at, old, record);
        Ok(changed)
    }

    fn put(&mut self, key: Vec<u8>, old: Option<Vec<u8>>, new: Option<Vec<u8>>) {
        if old != new {
            self.replaced.insert(key.clone(), old);
            self.written.insert(key, new);
        }
    }

    /// Makes changes below `at`.
    fn slot(
        &mut self,
        at: &Path,
        slot: Option<Slot>,
        changes: &[Change<'_>],
    ) -> Result<Option<Slot>, TreeError> {
        let (Some((first, _)), Some((last, _))) = (changes.first(), changes.last()) else {
            return Ok(slot);
        };
        let Some(slot) = slot else {
            return self.build(at, &merge([].into_iter(), 0, changes)?);
        };
        let Some(path) = slot.page.clone() else {
            let mut bucket = self.take_bucket(at, slot.count)?;
            if bucket.update(changes) {
                return Ok(Some(self.keep_bucket(at, bucket)));
            }
            return self.build(at, &merge(bucket.iter(), bucket.len(), changes)?);
        };
        let nibbles = path.common_nibbles(first).min(path.common_nibbles(last));
        if nibbles == path.nibbles() {
            let page = self.before.page(&path)?;
            return self.page(at, path, Some(page), changes);
        }
        // Some keys part from those of the page before it: a page above it takes both.
        let mut above = Page::default();
        let towards = nibble(path.packed(), nibbles).expect("the page is longer");
        above.slots[towards] = Some(slot);
        let path = Path::of(path.packed(), nibbles);
        let page = self.children(&path, above, changes)?;
        self.settle(at, path, None, page)
    }

    /// Makes changes below the page at `path`, which hangs below `at`.
    fn page(
        &mut self,
        at: &Path,
        path: Path,
        before: Option<Page>,
        changes: &[Change<'_>],
    ) -> Result<Option<Slot>, TreeError> {
        let page = self.children(&path, before.clone().unwrap_or_default(), changes)?;
        self.settle(at, path, before, page)
    }

    fn children(
        &mut self,
        path: &Path,
        mut page: Page,
        mut changes: &[Change<'_>],
    ) -> Result<Page, TreeError> {
        while let Some((key, _)) = changes.first() {
            let branch = nibble(key, path.nibbles());
            let branch = branch.ok_or_else(|| TreeError::NotPrefixFree(key.to_vec()))?;
            let of_branch = |(key, _): &Change<'_>| nibble(key, path.nibbles()) == Some(branch);
            let (own, rest) = changes.split_at(changes.partition_point(of_branch));
            let child = page.slots[branch].take();
            page.slots[branch] = self.slot(&path.child(branch), child, own)?;
            changes = rest;
        }
        Ok(page)
    }

    /// Decides what the page at `path` is now: a page, a bucket, its only child, or nothing.
    fn settle(
        &mut self,
        at: &Path,
        path: Path,
        before: Option<Page>,
        page: Page,
    ) -> Result<Option<Slot>, TreeError> {
        let only = match page.occupied() {
            1 => page.slots.iter().flatten().next().cloned(),
            _ => None,
        };
        if page.count() <= JOIN_UP_TO || only.as_ref().is_some_and(|only| only.page.is_none()) {
            self.put_page(&path, before, None);
            let mut parts = Vec::new();
            for (nibble, slot) in page.slots.iter().enumerate() {
                if let Some(slot) = slot {
                    parts.push(self.take_bucket(&path.child(nibble), slot.count)?);
                }
            }
            let mut leaves = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
            parts.iter().for_each(|part| leaves.extend(part.iter()));
            return Ok(self.bucket(at, &leaves));
        }
        if only.is_some() {
            self.put_page(&path, before, None);
            return Ok(only);
        }
        let hash = page.hash(&path).expect("a page with keys has a hash");
        let slot = Slot {
            count: page.count(),
            hash,
            page: Some(path.clone()),
        };
        self.put_page(&path, before, Some(page));
        Ok(Some(slot))
    }

    /// What stands for these leaves below `at`, where nothing is kept yet but perhaps a bucket.
    fn build(&mut self, at: &Path, leaves: &[LeafRef<'_>]) -> Result<Option<Slot>, TreeError> {
        if leaves.len() <= SPLIT_ABOVE {
            return Ok(self.bucket(at, leaves));
        }
        let path = Path::of(leaves[0].0, shared_nibbles(leaves));
        let mut page = Page::default();
        let mut rest = leaves;
        while let Some((key, _)) = rest.first() {
            let branch = nibble(key, path.nibbles());
            let branch = branch.ok_or_else(|| TreeError::NotPrefixFree(key.to_vec()))?;
            let of_branch = |(key, _): &LeafRef<'_>| nibble(key, path.nibbles()) == Some(branch);
            let (own, others) = rest.split_at(rest.partition_point(of_branch));
            page.slots[branch] = self.build(&path.child(branch), own)?;
            rest = others;
        }
        let hash = page.hash(&path).expect("there are leaves");
        let slot = Slot {
            count: page.count(),
            hash,
            page: Some(path.clone()),
        };
        self.put_page(&path, None, Some(page));
        Ok(Some(slot))
    }

    fn bucket(&mut self, at: &Path, leaves: &[LeafRef<'_>]) -> Option<Slot> {
        (!leaves.is_empty()).then(|| self.keep_bucket(at, Bucket::of(leaves)))
    }

    fn keep_bucket(&mut self, at: &Path, bucket: Bucket) -> Slot {
        let slot = Slot {
            count: bucket.len() as u64,
            hash: bucket.hash(),
            page: None,
        };
        self.buckets.insert(at.clone(), bucket);
        slot
    }

    /// The bucket at `at`, which must have `count` leaves, from wherever it is known.
    fn take_bucket(&mut self, at: &Path, count: u64) -> Result<Bucket, TreeError> {
        let known = self
            .buckets
            .remove(at)
            .or_else(|| self.cache.take(at.as_bytes()));
        if let Some(bucket) = known.filter(|bucket| bucket.len() as u64 == count) {
            return Ok(bucket);
        }
        let (from, to) = at.bounds();
        let pairs = self.before.pairs(&from, &to, usize::MAX)?;
        if pairs.len() as u64 != count || count == 0 {
            return Err(TreeError::Damaged(format!(
                "{} keys begin with {}, {count} should",
                pairs.len(),
                hex::encode(at.packed())
            )));
        }
        let leaf = |(key, value): &(Vec<u8>, Vec<u8>)| leaf_hash(key, &blake3_hash(value));
        let leaves: Vec<LeafRef<'_>> = pairs
            .iter()
            .map(|pair| (pair.0.as_slice(), leaf(pair)))
            .collect();
        Ok(Bucket::of(&leaves))
    }

    fn put_page(&mut self, path: &Path, before: Option<Page>, after: Option<Page>) {
        if before.is_none() && after.is_none() {
            return;
        }
        self.written.insert(
            layout::page(path),
            after.as_ref().map(|page| page.encode(path)),
        );
        let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
        for (nibble, (old, new)) in before.slots.iter().zip(&after.slots).enumerate() {
            if old != new {
                let old = old.as_ref().map(|slot| slot.to_record(&path.child(nibble)));
                self.replaced.insert(layout::slot(path, nibble), old);
            }
        }
    }
}

/// How many nibbles all these leaves share; they are in order.
fn shared_nibbles(leaves: &[LeafRef<'_>]) -> usize {
    super::hash::common_bits(leaves[0].0, leaves[leaves.len() - 1].0) / 4
}

/// So many leaves with changes made, both in order; no key may begin with another.
fn merge<'a>(
    leaves: impl Iterator<Item = LeafRef<'a>>,
    count: usize,
    changes: &[Change<'a>],
) -> Result<Vec<LeafRef<'a>>, TreeError> {
    let mut merged: Vec<LeafRef<'a>> = Vec::with_capacity(count + changes.len());
    let mut leaves = leaves.peekable();
    for (key, change) in changes {
        while let Some(leaf) = leaves.next_if(|(other, _)| other < key) {
            merged.push(leaf);
        }
        leaves.next_if(|(other, _)| other == key);
        merged.extend(change.map(|hash| (*key, hash)));
    }
    merged.extend(leaves);
    for pair in merged.windows(2) {
        if pair[1].0.starts_with(pair[0].0) {
            return Err(TreeError::NotPrefixFree(pair[0].0.to_vec()));
        }
    }
    Ok(merged)
}
