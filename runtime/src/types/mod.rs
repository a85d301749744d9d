//! The plain values that every crate shares.
//!
//! Each has one text form, which serde, the command line and the JSON schema all use.

mod address;
mod amount;
mod hash;
mod time;

use borsh::{BorshDeserialize, BorshSerialize};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use address::{ADDRESS_PREFIX, Address, AddressError};
pub use amount::{Amount, NumberError};
pub use hash::{Hash, HashError};
pub use time::{NANOS_PER_HOUR, NANOS_PER_SECOND, Time};

/// What tells one network from another.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(Serialize, Deserialize, JsonSchema, BorshSerialize, BorshDeserialize)]
pub struct ChainInfo {
    /// The name of the chain, at most 50 bytes, as in the genesis file.
    pub chain_id: String,
    /// BLAKE3 of the genesis as RFC 8785 JSON.
    pub genesis_hash: Hash,
}

/// serde and JSON schema by `Display` and `FromStr`.
macro_rules! as_text {
    ($type:ident, $schema:literal, $format:literal, $description:literal) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Self, D::Error> {
                deserializer.deserialize_any(crate::types::FromText::<$type>(
                    std::marker::PhantomData,
                    $description,
                ))
            }
        }

        impl schemars::JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                $schema.into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "format": $format,
                    "description": $description,
                })
            }
        }
    };
}
pub(crate) use as_text;

/// Reads a value from its text form; a number is taken as its decimal digits, since that is how
/// people write amounts in JSON.
struct FromText<T>(std::marker::PhantomData<T>, &'static str);

impl<T> serde::de::Visitor<'_> for FromText<T>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    type Value = T;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.1)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<T, E> {
        number.to_string().parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests;
