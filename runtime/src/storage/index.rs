//! Maps that can be asked in another order.

use super::{
    KeyCodec, KeyPrefix, Map, Prefix, StorageItem, StorageKind, Value, assert_width, decode_key,
    encode, raw_key, schema_of,
};
use crate::ctx::Ctx;
use crate::error::Result;
use crate::state::{key_after, prefix_end};

/// A handle on a second order of the map from `K` to `V`: by `I`, and by `K` where `I` is equal.
///
/// The map keeps it in step ([`IndexedMap`]); modules only read it.
pub struct Index<K, V, I> {
    info: StorageItem,
    by: fn(&K, &V) -> Option<I>,
}

impl<K: KeyCodec, V: Value, I: KeyCodec> Index<K, V, I> {
    /// A handle. `by` says where in the index an entry stands, `None` to leave it out.
    pub const fn new(
        name: &'static str,
        prefix: Prefix,
        doc: &'static str,
        by: fn(&K, &V) -> Option<I>,
    ) -> Index<K, V, I> {
        assert_width(I::WIDTH + K::WIDTH);
        let info = StorageItem {
            name,
            prefix,
            doc,
            kind: StorageKind::Index,
            key: <(I, K)>::form,
            value: schema_of::<()>,
        };
        Index { info, by }
    }

    /// The description for the module's `STORAGE` list.
    pub const fn info(&self) -> StorageItem {
        self.info
    }

    /// The first `limit` keys of the map that stand at `at`, after the key `after` if given.
    pub fn page_at(&self, ctx: &Ctx, at: &I, after: Option<&K>, limit: usize) -> Result<Vec<K>> {
        let prefix = raw_key(self.info.prefix, at);
        let after = after.map(|key| (at.clone(), key.clone()));
        let rows = self.rows(ctx, prefix, after.as_ref(), None, limit)?;
        Ok(rows.into_iter().map(|(_, key)| key).collect())
    }

    /// The first `limit` entries whose place begins with `first`, after the entry `after`.
    pub fn page_of<P: KeyPrefix<I>>(
        &self,
        ctx: &Ctx,
        first: &P,
        after: Option<&(I, K)>,
        limit: usize,
    ) -> Result<Vec<(I, K)>> {
        self.rows(ctx, raw_key(self.info.prefix, first), after, None, limit)
    }

    /// The first `limit` entries in order, after the entry `after`.
    pub fn page(&self, ctx: &Ctx, after: Option<&(I, K)>, limit: usize) -> Result<Vec<(I, K)>> {
        self.rows(ctx, self.info.prefix.to_vec(), after, None, limit)
    }

    /// The first `limit` entries that stand at `last` or before: what is due by then.
    pub fn up_to(&self, ctx: &Ctx, last: &I, limit: usize) -> Result<Vec<(I, K)>> {
        self.rows(ctx, self.info.prefix.to_vec(), None, Some(last), limit)
    }

    fn rows(
        &self,
        ctx: &Ctx,
        prefix: Vec<u8>,
        after: Option<&(I, K)>,
        last: Option<&I>,
        limit: usize,
    ) -> Result<Vec<(I, K)>> {
        let end = match last {
            Some(last) => prefix_end(&raw_key(self.info.prefix, last)),
            None => prefix_end(&prefix),
        };
        let from = match after {
            Some(entry) => prefix.max(key_after(&raw_key(self.info.prefix, entry))),
            None => prefix,
        };
        let rows = ctx.range(&from, &end, limit)?;
        let keys = rows.iter().map(|(key, _)| &key[self.info.prefix.len()..]);
        keys.map(|key| decode_key(ctx, &self.info, key)).collect()
    }
}

/// An [`Index`] of a map from `K` to `V`, whatever it is ordered by.
pub trait IndexRow<K, V>: Sync {
    /// The raw key under which the entry stands, if it does.
    fn place(&self, key: &K, value: &V) -> Option<Vec<u8>>;

    /// The description of the index.
    fn describe(&self) -> &StorageItem;
}

impl<K: KeyCodec, V: Value, I: KeyCodec> IndexRow<K, V> for Index<K, V, I> {
    fn place(&self, key: &K, value: &V) -> Option<Vec<u8>> {
        let at = (self.by)(key, value)?;
        Some(raw_key(self.info.prefix, &(at, key.clone())))
    }

    fn describe(&self) -> &StorageItem {
        &self.info
    }
}

/// A map with indexes that follow every change of it.
///
/// ```
/// use welkin_runtime::{Address, Index, IndexedMap};
///
/// const BY_OWNER: Index<u64, Address, Address> =
///     Index::new("demo/thing_by_owner", [9, 2], "Things by owner.", |_id, owner| Some(*owner));
/// const THINGS: IndexedMap<u64, Address> =
///     IndexedMap::new("demo/thing", [9, 1], "Who owns a thing.", &[&BY_OWNER]);
/// ```
pub struct IndexedMap<K: 'static, V: 'static> {
    map: Map<K, V>,
    indexes: &'static [&'static dyn IndexRow<K, V>],
}

impl<K: KeyCodec, V: Value> IndexedMap<K, V> {
    /// A handle on the map with these indexes.
    pub const fn new(
        name: &'static str,
        prefix: Prefix,
        doc: &'static str,
        indexes: &'static [&'static dyn IndexRow<K, V>],
    ) -> IndexedMap<K, V> {
        IndexedMap {
            map: Map::new(name, prefix, doc),
            indexes,
        }
    }

    /// The description for the module's `STORAGE` list, in which each index stands, too.
    pub const fn info(&self) -> StorageItem {
        self.map.info
    }

    /// The value under `key`.
    pub fn get(&self, ctx: &Ctx, key: &K) -> Result<Option<V>> {
        self.map.get(ctx, key)
    }

    /// Whether there is a value under `key`.
    pub fn contains(&self, ctx: &Ctx, key: &K) -> Result<bool> {
        self.map.contains(ctx, key)
    }

    /// Sets the value under `key`, and its places in the indexes.
    pub fn insert(&self, ctx: &mut Ctx, key: &K, value: &V) -> Result<()> {
        let old = self.map.get(ctx, key)?;
        self.move_entries(ctx, key, old.as_ref(), Some(value))?;
        self.map.insert(ctx, key, value)
    }

    /// [`IndexedMap::insert`] by who has just read the value that stands there, which is not read
    /// again.
    pub fn replace(&self, ctx: &mut Ctx, key: &K, old: &V, new: &V) -> Result<()> {
        debug_assert!(
            ctx.holds(
                &raw_key(self.map.info.prefix, key),
                &encode(&self.map.info, old)?
            ),
            "{} is replaced by who does not know what stands there",
            self.map.info.name,
        );
        self.move_entries(ctx, key, Some(old), Some(new))?;
        self.map.insert(ctx, key, new)
    }

    /// Removes the value under `key`, if there is one, and its places in the indexes.
    pub fn remove(&self, ctx: &mut Ctx, key: &K) -> Result<()> {
        let Some(old) = self.map.get(ctx, key)? else {
            return Ok(());
        };
        self.move_entries(ctx, key, Some(&old), None)?;
        self.map.remove(ctx, key)
    }

    /// See [`Map::page`].
    pub fn page(&self, ctx: &Ctx, after: Option<&K>, limit: usize) -> Result<Vec<(K, V)>> {
        self.map.page(ctx, after, limit)
    }

    /// See [`Map::page_of`].
    pub fn page_of<P: KeyPrefix<K>>(
        &self,
        ctx: &Ctx,
        first: &P,
        after: Option<&K>,
        limit: usize,
    ) -> Result<Vec<(K, V)>> {
        self.map.page_of(ctx, first, after, limit)
    }

    fn move_entries(&self, ctx: &mut Ctx, key: &K, old: Option<&V>, new: Option<&V>) -> Result<()> {
        for index in self.indexes {
            let old_place = old.and_then(|value| index.place(key, value));
            let new_place = new.and_then(|value| index.place(key, value));
            if old_place == new_place {
                continue;
            }
            if let Some(place) = old_place {
                ctx.put(index.describe(), place, None)?;
            }
            if let Some(place) = new_place {
                ctx.put(index.describe(), place, Some(Vec::new()))?;
            }
        }
        Ok(())
    }
}
