//! JSON as CometBFT prints it: 64-bit integers as strings, bytes as base64, hashes as upper hex.
//!
//! Each module here is for `#[serde(with = "...")]`.

use serde::de::{DeserializeOwned, Deserializer, Error};
use serde::{Deserialize, Serialize, Serializer};

/// 64-bit integers as decimal strings.
pub(crate) mod decimal {
    use super::*;
    use std::fmt::Display;
    use std::str::FromStr;

    pub(crate) fn serialize<T: Display, S: Serializer>(
        value: &T,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(crate) fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let text = String::deserialize(from)?;
        text.parse()
            .map_err(|why| D::Error::custom(format!("`{text}` is not an integer: {why}")))
    }
}

/// Heights and powers: 64-bit integers that must not be negative, as decimal strings.
pub(crate) mod natural {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(value: &u64, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        let value: i64 = decimal::deserialize(from)?;
        u64::try_from(value).map_err(|_| D::Error::custom(format!("{value} is negative")))
    }
}

/// Lists that Go prints as null when they are empty slices, and that are empty when they are null.
pub(crate) mod or_null {
    use super::*;

    pub(crate) fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: DeserializeOwned + Default,
        D: Deserializer<'de>,
    {
        Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
    }
}

/// Lists of raw bytes, each as base64.
pub(crate) mod base64_list {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(list: &[Vec<u8>], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(list.iter().map(|bytes| to_base64(bytes)))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<Vec<u8>>, D::Error> {
        let list = Option::<Vec<String>>::deserialize(from)?.unwrap_or_default();
        list.iter()
            .map(|text| from_base64(text).map_err(D::Error::custom))
            .collect()
    }
}

/// Bytes as upper hex.
pub(crate) mod upper_hex {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex::encode_upper(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        hex::decode(String::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// Interface values: `{"type": ..., "value": ...}`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Tagged<T> {
    #[serde(rename = "type")]
    pub(crate) tag: String,
    pub(crate) value: T,
}

/// Standard base64 with padding.
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Reads standard base64 with padding.
pub(crate) fn from_base64(text: &str) -> Result<Vec<u8>, String> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .map_err(|why| format!("not base64: {why}"))
}

/// Reads base64 of exactly `N` bytes.
pub(crate) fn array_from_base64<const N: usize>(text: &str) -> Result<[u8; N], String> {
    let bytes = from_base64(text)?;
    <[u8; N]>::try_from(bytes.as_slice()).map_err(|_| format!("{} bytes, not {N}", bytes.len()))
}

/// Reads hex, of either case, of exactly `N` bytes.
pub(crate) fn array_from_hex<const N: usize>(text: &str) -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).map_err(|why| format!("`{text}`: {why}"))?;
    Ok(bytes)
}
