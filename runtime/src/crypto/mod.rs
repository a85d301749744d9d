//! Hashes and signatures.
//!
//! Ed25519 has one rule everywhere, for votes and for accounts: ZIP-215, whose single and batch
//! answers agree (`ed25519-zebra`). Keys and signing are `ed25519-dalek`'s.

mod batch;
mod signing;

use ed25519_zebra::{Signature, VerificationKey, VerificationKeyBytes};
use sha2::Digest;

use crate::types::Hash;

pub use batch::BatchVerifier;
pub use signing::SigningKey;

/// SHA-256: transaction ids, addresses and everything that is Tendermint's.
pub fn sha256(bytes: &[u8]) -> Hash {
    Hash(sha2::Sha256::digest(bytes).into())
}

/// BLAKE3: the state tree, the genesis and everything that is ours.
pub fn blake3_hash(bytes: &[u8]) -> Hash {
    Hash(*blake3::hash(bytes).as_bytes())
}

/// BLAKE3 with a key.
pub fn blake3_keyed(key: &[u8; 32], bytes: &[u8]) -> Hash {
    Hash(*blake3::keyed_hash(key, bytes).as_bytes())
}

/// BLAKE3's key derivation; `context` is a fixed text, used for one purpose only.
pub fn blake3_derive(context: &str, material: &[u8]) -> [u8; 32] {
    blake3::derive_key(context, material)
}

/// Whether `signature` over `message` is valid under ZIP-215.
pub fn verify(public_key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    VerificationKey::try_from(*public_key)
        .and_then(|key| key.verify(&Signature::from_bytes(signature), message))
        .is_ok()
}

/// Whether an account may have this public key: it is a point, and not of small order.
///
/// Under ZIP-215 a key of small order has a signature that is valid for every message, so an
/// account with it would be everybody's.
pub fn is_account_key(public_key: &[u8; 32]) -> bool {
    ed25519_dalek::VerifyingKey::from_bytes(public_key).is_ok_and(|key| !key.is_weak())
}

/// Key and signature in the form that the verifier takes.
fn zebra(public_key: &[u8; 32], signature: &[u8; 64]) -> (VerificationKeyBytes, Signature) {
    (
        VerificationKeyBytes::from(*public_key),
        Signature::from_bytes(signature),
    )
}

#[cfg(test)]
mod tests;
