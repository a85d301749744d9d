//! One value.

use std::marker::PhantomData;

use super::{Prefix, StorageItem, StorageKind, Value, decode, encode, schema_of};
use crate::ctx::Ctx;
use crate::error::Result;

/// A handle on one stored value.
///
/// `const PARAMS: Item<Params> = Item::new("market/params", [4, 1], "Rules set at genesis.");`
pub struct Item<V> {
    info: StorageItem,
    value: PhantomData<fn() -> V>,
}

impl<V: Value> Item<V> {
    /// A handle. `prefix` is the module's number and the item's number in it, never to be changed
    /// or given to another.
    pub const fn new(name: &'static str, prefix: Prefix, doc: &'static str) -> Item<V> {
        let info = StorageItem {
            name,
            prefix,
            doc,
            kind: StorageKind::Item,
            key: <() as super::KeyCodec>::form,
            value: schema_of::<V>,
        };
        Item {
            info,
            value: PhantomData,
        }
    }

    /// The description for the module's `STORAGE` list.
    pub const fn info(&self) -> StorageItem {
        self.info
    }

    /// The value, if it was ever set.
    pub fn get(&self, ctx: &Ctx) -> Result<Option<V>> {
        match ctx.get(&self.info.prefix)? {
            Some(bytes) => decode(ctx, &self.info, &bytes).map(Some),
            None => Ok(None),
        }
    }

    /// The value, or its type's default where it was never set.
    pub fn get_or_default(&self, ctx: &Ctx) -> Result<V>
    where
        V: Default,
    {
        Ok(self.get(ctx)?.unwrap_or_default())
    }

    /// Sets the value.
    pub fn set(&self, ctx: &mut Ctx, value: &V) -> Result<()> {
        let bytes = encode(&self.info, value)?;
        ctx.put(&self.info, self.info.prefix.to_vec(), Some(bytes))
    }

    /// Removes the value.
    pub fn remove(&self, ctx: &mut Ctx) -> Result<()> {
        ctx.put(&self.info, self.info.prefix.to_vec(), None)
    }
}
