//! Typed handles on state, declared as constants.
//!
//! ```text
//!   raw key:   module number | item number | typed key (fixed width, order-preserving)
//! ```
//!
//! Every key of a handle has one width, so keys are prefix-free and sort as their typed keys do.
//! A handle is private to its module's file: Rust's privacy is what isolates modules.

mod index;
mod item;
mod key;
mod map;

use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::ctx::Ctx;
use crate::error::{Coded, Result, RuntimeError};
use crate::state::StateError;

pub use index::{Index, IndexRow, IndexedMap};
pub use item::Item;
pub use key::{KeyCodec, KeyPrefix, TextKey};
pub use map::Map;

/// The number of the module and the number of the item in it: the first bytes of each key.
pub type Prefix = [u8; 2];

/// What a stored value must be.
pub trait Value: borsh::BorshSerialize + borsh::BorshDeserialize + JsonSchema {}
impl<T: borsh::BorshSerialize + borsh::BorshDeserialize + JsonSchema> Value for T {}

/// A storage item as a module lists it: the description of a handle.
#[derive(Clone, Copy, Debug)]
pub struct StorageItem {
    /// `module/item`, as people and tools call it.
    pub name: &'static str,
    /// The first bytes of all its keys.
    pub prefix: Prefix,
    /// What it holds, in a sentence.
    pub doc: &'static str,
    /// What kind of handle it is.
    pub kind: StorageKind,
    /// The form of its typed keys.
    pub(crate) key: fn() -> String,
    /// The schema of its values.
    pub(crate) value: fn(&mut SchemaGenerator) -> Schema,
}

/// The kinds of handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StorageKind {
    /// One value.
    Item,
    /// A value for each key.
    Map,
    /// Keys of a map in another order; the values are empty.
    Index,
}

/// The schema of `T`, for a description.
fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

fn encode<V: Value>(info: &StorageItem, value: &V) -> Result<Vec<u8>> {
    borsh::to_vec(value)
        .map_err(|error| RuntimeError::ValueTooLarge.because(format!("{}: {error}", info.name)))
}

/// What does not decode is damaged: that stops the node, and never decides a transaction.
fn decode<V: Value>(ctx: &Ctx, info: &StorageItem, bytes: &[u8]) -> Result<V> {
    let value = borsh::from_slice(bytes);
    ctx.note(value.map_err(|error| StateError::Broken(format!("{}: {error}", info.name))))
}

fn decode_key<K: KeyCodec>(ctx: &Ctx, info: &StorageItem, mut bytes: &[u8]) -> Result<K> {
    let key = K::decode(&mut bytes).filter(|_| bytes.is_empty());
    ctx.note(key.ok_or_else(|| StateError::Broken(format!("{}: a malformed key", info.name))))
}

/// A raw key: the prefix and the typed parts after it.
fn raw_key<K: KeyCodec>(prefix: Prefix, key: &K) -> Vec<u8> {
    let mut raw = Vec::with_capacity(prefix.len() + K::WIDTH);
    raw.extend_from_slice(&prefix);
    key.encode(&mut raw);
    debug_assert_eq!(raw.len(), prefix.len() + K::WIDTH);
    raw
}

/// Stops the build if keys of this width do not fit.
const fn assert_width(width: usize) {
    assert!(
        width + 2 <= crate::state::MAX_KEY_BYTES,
        "a key is at most 128 bytes"
    );
}

#[cfg(test)]
mod tests;
