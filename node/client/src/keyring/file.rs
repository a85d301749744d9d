//! One key in one file: its bytes, and how they are sealed.
//!
//! The secret is sealed with XChaCha20-Poly1305 under a key that Argon2id makes of the password. Everything else in the
//! file (version, name, address, parameters) is the associated data: changing any of it makes the file unreadable.

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::KeyringError;

/// The only version of the file format so far.
const FORMAT: u32 = 1;
/// Longest key file that is read, in bytes.
pub(super) const MAX_FILE_BYTES: u64 = 4096;

/// Argon2id's cost. The defaults are the second profile of RFC 9106: 64 MiB, 3 passes (about 0.14 s).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KdfCost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for KdfCost {
    fn default() -> Self {
        KdfCost {
            memory_kib: 64 * 1024,
            passes: 3,
            lanes: 1,
        }
    }
}

impl KdfCost {
    /// Whether a file may ask for this: neither so little that guessing is cheap, nor so much that reading is an attack.
    fn is_sane(self) -> bool {
        (19 * 1024..=1024 * 1024).contains(&self.memory_kib)
            && (1..=16).contains(&self.passes)
            && (1..=8).contains(&self.lanes)
    }
}

/// What stands in a key file beside the sealed secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: u32,
    name: String,
    address: String,
    kdf: KdfCost,
    salt: String,
    nonce: String,
}

/// A key file as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyFile {
    header: Header,
    sealed: String,
}

/// Randomness that sealing needs: both parts fresh for each file.
pub(super) struct SealRandomness {
    pub salt: [u8; 16],
    pub nonce: [u8; 24],
}

impl KeyFile {
    pub(super) fn seal(
        name: &str,
        address: &str,
        secret: &[u8; 32],
        password: &str,
        cost: KdfCost,
        randomness: SealRandomness,
    ) -> Result<KeyFile, KeyringError> {
        let header = Header {
            format: FORMAT,
            name: name.to_owned(),
            address: address.to_owned(),
            kdf: cost,
            salt: hex::encode(randomness.salt),
            nonce: hex::encode(randomness.nonce),
        };
        let cipher = cipher(password, cost, &randomness.salt)?;
        let payload = Payload {
            msg: secret,
            aad: &associated_data(&header),
        };
        let sealed = cipher
            .encrypt(&XNonce::from(randomness.nonce), payload)
            .map_err(|_| KeyringError::Seal)?;
        Ok(KeyFile {
            header,
            sealed: hex::encode(sealed),
        })
    }

    pub(super) fn parse(name: &str, text: &str) -> Result<KeyFile, KeyringError> {
        let damaged = |reason: String| KeyringError::Damaged {
            name: name.to_owned(),
            reason,
        };
        let file: KeyFile =
            serde_json::from_str(text).map_err(|error| damaged(error.to_string()))?;
        if file.header.format != FORMAT {
            return Err(damaged(format!(
                "format {} is not known",
                file.header.format
            )));
        }
        if file.header.name != name {
            return Err(damaged(format!(
                "it belongs to the key {:?}",
                file.header.name
            )));
        }
        if !file.header.kdf.is_sane() {
            return Err(damaged("its Argon2 cost is out of bounds".to_owned()));
        }
        Ok(file)
    }

    pub(super) fn address(&self) -> &str {
        &self.header.address
    }

    pub(super) fn open(&self, password: &str) -> Result<Zeroizing<[u8; 32]>, KeyringError> {
        let name = &self.header.name;
        let damaged = |reason: &str| KeyringError::Damaged {
            name: name.clone(),
            reason: reason.to_owned(),
        };
        let salt: [u8; 16] = fixed(&self.header.salt).ok_or_else(|| damaged("bad salt"))?;
        let nonce: [u8; 24] = fixed(&self.header.nonce).ok_or_else(|| damaged("bad nonce"))?;
        let sealed = hex::decode(&self.sealed).map_err(|_| damaged("bad sealed bytes"))?;
        let payload = Payload {
            msg: &sealed,
            aad: &associated_data(&self.header),
        };
        let opened = cipher(password, self.header.kdf, &salt)?
            .decrypt(&XNonce::from(nonce), payload)
            .map(Zeroizing::new)
            .map_err(|_| KeyringError::Password { name: name.clone() })?;
        let secret: [u8; 32] = opened
            .as_slice()
            .try_into()
            .map_err(|_| damaged("the secret is not 32 bytes"))?;
        Ok(Zeroizing::new(secret))
    }
}

fn associated_data(header: &Header) -> Vec<u8> {
    let mut data = b"welkin key file\n".to_vec();
    data.extend(serde_json::to_vec(header).expect("strings and numbers are always JSON"));
    data
}

fn cipher(password: &str, cost: KdfCost, salt: &[u8]) -> Result<XChaCha20Poly1305, KeyringError> {
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32))
        .map_err(|_| KeyringError::Seal)?;
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password.as_bytes(), salt, key.as_mut())
        .map_err(|_| KeyringError::Seal)?;
    Ok(XChaCha20Poly1305::new((&*key).into()))
}

fn fixed<const N: usize>(text: &str) -> Option<[u8; N]> {
    hex::decode(text).ok()?.try_into().ok()
}
