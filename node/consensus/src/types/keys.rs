//! Public keys, addresses and signatures of validators. Only Ed25519 keys vote on this chain.

use crate::error::DecodeError;
use crate::json::{self, Tagged};
use crate::proto::{Message, Reader, Writer};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;

/// An Ed25519 public key of a validator.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);

/// The first 20 bytes of the SHA-256 of a validator's public key. Text is upper hex.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValidatorAddress(pub [u8; 20]);

/// An Ed25519 signature.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signature(pub [u8; 64]);

/// How JSON names an Ed25519 public key.
pub(crate) const PUBLIC_KEY_TAG: &str = "tendermint/PubKeyEd25519";

impl PublicKey {
    /// The validator's address.
    pub fn address(&self) -> ValidatorAddress {
        let hash: [u8; 32] = Sha256::digest(self.0).into();
        ValidatorAddress(*hash.first_chunk().expect("20 of 32 bytes"))
    }

    /// Whether `signature` over `message` is by this key (ZIP-215).
    pub fn verify(&self, message: &[u8], signature: &Signature) -> bool {
        welkin_runtime::crypto::verify(&self.0, message, &signature.0)
    }
}

/// The `PublicKey` message: a choice of which only `ed25519` (field 1) is known here.
impl Message for PublicKey {
    fn write(&self, to: &mut Writer) {
        to.repeated_bytes(1, &self.0);
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("PublicKey", bytes);
        let mut key = None;
        while let Some((field, value)) = reader.next_field()? {
            match field {
                1 => key = Some(PublicKey(value.array("an Ed25519 key")?)),
                _ => return Err(reader.unknown(field)),
            }
        }
        key.ok_or(DecodeError::Missing("an Ed25519 key"))
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        Tagged {
            tag: PUBLIC_KEY_TAG.to_owned(),
            value: json::to_base64(&self.0),
        }
        .serialize(to)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Tagged { tag, value } = Tagged::<String>::deserialize(from)?;
        if tag != PUBLIC_KEY_TAG {
            return Err(D::Error::custom(format!(
                "`{tag}` is not a key type of this chain"
            )));
        }
        json::array_from_base64(&value)
            .map(PublicKey)
            .map_err(D::Error::custom)
    }
}

impl Serialize for Signature {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&json::to_base64(&self.0))
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        json::array_from_base64(&text)
            .map(Signature)
            .map_err(D::Error::custom)
    }
}

/// A signature that is not there may be null or, as other programs print it, empty.
pub(super) fn optional_signature<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Signature>, D::Error> {
    let text = Option::<String>::deserialize(from)?.unwrap_or_default();
    if text.is_empty() {
        return Ok(None);
    }
    json::array_from_base64(&text)
        .map(|bytes| Some(Signature(bytes)))
        .map_err(D::Error::custom)
}

impl Serialize for ValidatorAddress {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ValidatorAddress {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

impl FromStr for ValidatorAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        json::array_from_hex(text).map(ValidatorAddress)
    }
}

impl fmt::Display for ValidatorAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode_upper(self.0))
    }
}

impl fmt::Debug for ValidatorAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ValidatorAddress({self})")
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", hex::encode_upper(self.0))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({})", hex::encode_upper(self.0))
    }
}
