//! A value for each key.

use std::marker::PhantomData;

use super::{
    KeyCodec, KeyPrefix, Prefix, StorageItem, StorageKind, Value, assert_width, decode, decode_key,
    encode, raw_key, schema_of,
};
use crate::ctx::Ctx;
use crate::error::Result;
use crate::state::{key_after, prefix_end};

/// A handle on a stored map, ordered by key.
///
/// `const BALANCES: Map<Address, Amount> = Map::new("accounts/balance", [1, 1], "...");`
pub struct Map<K, V> {
    pub(super) info: StorageItem,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K: KeyCodec, V: Value> Map<K, V> {
    /// A handle. `prefix` is the module's number and the item's number in it, never to be changed
    /// or given to another.
    pub const fn new(name: &'static str, prefix: Prefix, doc: &'static str) -> Map<K, V> {
        assert_width(K::WIDTH);
        let info = StorageItem {
            name,
            prefix,
            doc,
            kind: StorageKind::Map,
            key: K::form,
            value: schema_of::<V>,
        };
        Map {
            info,
            types: PhantomData,
        }
    }

    /// The description for the module's `STORAGE` list.
    pub const fn info(&self) -> StorageItem {
        self.info
    }

    /// The value under `key`.
    pub fn get(&self, ctx: &Ctx, key: &K) -> Result<Option<V>> {
        match ctx.get(&raw_key(self.info.prefix, key))? {
            Some(bytes) => decode(ctx, &self.info, &bytes).map(Some),
            None => Ok(None),
        }
    }

    /// The value under `key`, or its type's default.
    pub fn get_or_default(&self, ctx: &Ctx, key: &K) -> Result<V>
    where
        V: Default,
    {
        Ok(self.get(ctx, key)?.unwrap_or_default())
    }

    /// Whether there is a value under `key`.
    pub fn contains(&self, ctx: &Ctx, key: &K) -> Result<bool> {
        Ok(ctx.get(&raw_key(self.info.prefix, key))?.is_some())
    }

    /// Sets the value under `key`.
    pub fn insert(&self, ctx: &mut Ctx, key: &K, value: &V) -> Result<()> {
        let bytes = encode(&self.info, value)?;
        ctx.put(&self.info, raw_key(self.info.prefix, key), Some(bytes))
    }

    /// Removes the value under `key`, if there is one.
    pub fn remove(&self, ctx: &mut Ctx, key: &K) -> Result<()> {
        ctx.put(&self.info, raw_key(self.info.prefix, key), None)
    }

    /// The first `limit` pairs, in the order of their keys, after the key `after` if it is given.
    pub fn page(&self, ctx: &Ctx, after: Option<&K>, limit: usize) -> Result<Vec<(K, V)>> {
        self.page_under(ctx, self.info.prefix.to_vec(), after, limit)
    }

    /// [`Map::page`] of only those keys that begin with `first`.
    pub fn page_of<P: KeyPrefix<K>>(
        &self,
        ctx: &Ctx,
        first: &P,
        after: Option<&K>,
        limit: usize,
    ) -> Result<Vec<(K, V)>> {
        self.page_under(ctx, raw_key(self.info.prefix, first), after, limit)
    }

    fn page_under(
        &self,
        ctx: &Ctx,
        prefix: Vec<u8>,
        after: Option<&K>,
        limit: usize,
    ) -> Result<Vec<(K, V)>> {
        let to = prefix_end(&prefix);
        // A key before the range (of another prefix) starts the page at the range's beginning.
        let from = match after {
            Some(key) => prefix.max(key_after(&raw_key(self.info.prefix, key))),
            None => prefix,
        };
        let rows = ctx.range(&from, &to, limit)?;
        let pairs = rows.iter().map(|(key, value)| {
            let key = decode_key(ctx, &self.info, &key[self.info.prefix.len()..])?;
            Ok((key, decode(ctx, &self.info, value)?))
        });
        pairs.collect()
    }
}
