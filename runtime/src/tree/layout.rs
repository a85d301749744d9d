//! What the tree keeps in the store, and under which keys.
//!
//! ```text
//!   t v KEY                the newest value: 00 and the value, or 01 and its length (u32), cut up
//!   t w KEY INDEX          a piece of a value that was cut up
//!   t p PATH               a page of the newest version
//!   t r VERSION            a kept version: what is below its root; empty for an empty tree
//!   t u VERSION INDEX      what this version replaced, in order, some records in one
//! ```
//!
//! Versions are big-endian `u64`, indexes `u8` for pieces and big-endian `u32` for what was
//! replaced; a path is its number of nibbles (big-endian `u16`) and the nibbles.

use crate::state::prefix_end;
use crate::store::owner::TREE;

use super::path::Path;

/// The newest values.
pub const VALUE: [u8; 2] = [TREE, b'v'];
/// Pieces of long values.
pub const PIECE: [u8; 2] = [TREE, b'w'];
/// Pages.
pub const PAGE: [u8; 2] = [TREE, b'p'];
/// Kept versions.
pub const ROOT: [u8; 2] = [TREE, b'r'];
/// What versions replaced.
pub const UNDO: [u8; 2] = [TREE, b'u'];

/// The longest record of a value or a piece. With its key it fits a record of [`UNDO`].
pub const MAX_RECORD_BYTES: usize = 3_900;

/// The key of a value.
pub fn value(key: &[u8]) -> Vec<u8> {
    [&VALUE, key].concat()
}

/// The key of a piece of a value.
pub fn piece(key: &[u8], index: u8) -> Vec<u8> {
    [&PIECE, key, &[index]].concat()
}

/// The key of a page.
pub fn page(path: &Path) -> Vec<u8> {
    [&PAGE, path.as_bytes()].concat()
}

/// The name of a slot among what a version replaced.
pub fn slot(path: &Path, nibble: usize) -> Vec<u8> {
    let nibble = u8::try_from(nibble).expect("a page has 16 slots");
    [&PAGE, path.as_bytes(), &[nibble]].concat()
}

/// The key of a kept version.
pub fn root(version: u64) -> Vec<u8> {
    [&ROOT[..], &version.to_be_bytes()].concat()
}

/// The key of a part of what a version replaced.
pub fn undo(version: u64, index: u32) -> Vec<u8> {
    [&UNDO[..], &version.to_be_bytes(), &index.to_be_bytes()].concat()
}

/// The first key after all of one kind.
pub fn end(kind: [u8; 2]) -> Vec<u8> {
    prefix_end(&kind)
}

/// The version in the key of a kept version or of what it replaced.
pub fn version_of(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(2..10)?.try_into().ok()?))
}
