//! Real signatures, checked once for all nodes.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use welkin_consensus::machine::VerifySignature;
use welkin_consensus::types::{PublicKey, Signature};

/// Remembers what ZIP-215 said about a signature: seven nodes check the same votes.
#[derive(Default)]
pub(crate) struct Memo {
    known: Mutex<BTreeMap<[u8; 32], bool>>,
}

impl VerifySignature for Memo {
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
        let mut question = blake3::Hasher::new();
        question.update(&key.0).update(&signature.0).update(message);
        let name = *question.finalize().as_bytes();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *known
            .entry(name)
            .or_insert_with(|| key.verify(message, signature))
    }
}
