//! What the node keeps in the store beside the state tree, in the same batches: the consensus state
//! after the block, where each transaction stands, and which evidence was used.

use crate::api::TxPlace;
use std::ops::ControlFlow;
use welkin_consensus::state::ChainState;
use welkin_runtime::Hash;
use welkin_runtime::store::{Batch, MAX_VALUE_BYTES, Store, StoreError, owner};

/// Owner of the consensus state's records.
const CHAIN: u8 = b'c';
/// Kinds of index records.
const TX: u8 = b't';
const EVIDENCE: u8 = b'e';

fn chain_key(part: u32) -> Vec<u8> {
    [&[CHAIN][..], &part.to_be_bytes()].concat()
}

fn index_key(kind: u8, id: &[u8; 32]) -> Vec<u8> {
    [&[owner::INDEX, kind][..], id].concat()
}

/// Puts the consensus state in place of the last one.
pub(super) fn put_chain(batch: &mut Batch, chain: &ChainState) {
    let bytes = serde_json::to_vec(chain).expect("a chain state has only string keys");
    let mut parts = 0;
    for (part, chunk) in (0..).zip(bytes.chunks(MAX_VALUE_BYTES)) {
        batch.put(chain_key(part), chunk);
        parts = part + 1;
    }
    // The one before may have been longer.
    batch.delete(chain_key(parts));
}

/// The consensus state, if there is one that can be read.
pub(super) fn read_chain(store: &dyn Store) -> Result<Option<ChainState>, StoreError> {
    let mut bytes = Vec::new();
    for part in 0.. {
        match store.get(&chain_key(part))? {
            Some(chunk) => bytes.extend_from_slice(&chunk),
            None => break,
        }
    }
    Ok(serde_json::from_slice(&bytes).ok())
}

/// Notes where a transaction stands.
pub(super) fn put_tx(batch: &mut Batch, id: &Hash, place: TxPlace) {
    let value = borsh::to_vec(&place).expect("writing to memory does not fail");
    batch.put(index_key(TX, &id.0), value);
}

/// Where a transaction stands, as far as the store knows.
pub(super) fn read_tx(store: &dyn Store, id: &Hash) -> Result<Option<TxPlace>, StoreError> {
    let Some(value) = store.get(&index_key(TX, &id.0))? else {
        return Ok(None);
    };
    borsh::from_slice(&value)
        .map(Some)
        .map_err(|why| StoreError::Failed(format!("an index record is not readable: {why}")))
}

/// Notes that evidence was used at this height.
pub(super) fn put_evidence(batch: &mut Batch, hash: &[u8; 32], height: u64) {
    batch.put(index_key(EVIDENCE, hash), height.to_be_bytes());
}

/// Whether evidence was used.
pub(super) fn has_evidence(store: &dyn Store, hash: &[u8; 32]) -> Result<bool, StoreError> {
    Ok(store.get(&index_key(EVIDENCE, hash))?.is_some())
}

/// Whether the store holds nothing at all.
pub(super) fn is_empty(store: &dyn Store) -> Result<bool, StoreError> {
    let mut empty = store.height().is_none();
    store.range(&[], &[], &mut |_, _| {
        empty = false;
        ControlFlow::Break(())
    })?;
    Ok(empty)
}
