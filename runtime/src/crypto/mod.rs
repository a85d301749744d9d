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

/// Whether an account may have this public key: it is not of small order.
///
/// Under ZIP-215 a key of small order has a signature that is valid for every message, so an
/// account with it would be everybody's. A key that is no point at all has no valid signature.
pub fn is_account_key(public_key: &[u8; 32]) -> bool {
    let mut y = *public_key;
    y[31] &= 0x7f;
    !SMALL_ORDER_Y.contains(&y)
}

/// The y-coordinates of all points of small order, in every encoding that ZIP-215 accepts. With
/// either sign of x these are the 14 encodings that there are, so no curve arithmetic is needed.
const SMALL_ORDER_Y: [[u8; 32]; 7] = [
    from_hex("0000000000000000000000000000000000000000000000000000000000000000"),
    from_hex("0100000000000000000000000000000000000000000000000000000000000000"),
    from_hex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    from_hex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    from_hex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    from_hex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    from_hex("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
];

/// 32 bytes from 64 lower-case digits, when the program is built.
const fn from_hex(digits: &str) -> [u8; 32] {
    let digits = digits.as_bytes();
    assert!(digits.len() == 64);
    let mut bytes = [0; 32];
    let mut position = 0;
    while position < 64 {
        let digit = digits[position];
        let value = if digit < b'a' {
            digit - b'0'
        } else {
            digit - b'a' + 10
        };
        bytes[position / 2] = bytes[position / 2] << 4 | value;
        position += 1;
    }
    bytes
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
