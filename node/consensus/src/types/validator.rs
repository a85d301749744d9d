//! Validators.

use super::{PublicKey, ValidatorAddress};
use crate::error::DecodeError;
use crate::json;
use crate::proto::{Message, Reader, Writer};
use serde::{Deserialize, Serialize};

/// One member of a validator set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validator {
    /// Address of the key.
    pub address: ValidatorAddress,
    /// The key that it votes with.
    #[serde(rename = "pub_key")]
    pub public_key: PublicKey,
    /// Voting power.
    #[serde(with = "json::natural", alias = "power")]
    pub voting_power: u64,
    /// State of the proposer selection; in no hash.
    #[serde(with = "json::decimal", default)]
    pub proposer_priority: i64,
}

/// A change of the validator set; power 0 removes the validator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ValidatorUpdate {
    /// The validator's key.
    pub public_key: PublicKey,
    /// The new power; 0 removes it.
    pub power: u64,
}

impl Validator {
    /// A validator that has not taken part in any proposer selection.
    pub fn new(public_key: PublicKey, voting_power: u64) -> Self {
        let address = public_key.address();
        Validator {
            address,
            public_key,
            voting_power,
            proposer_priority: 0,
        }
    }

    /// The leaf of the validator set's hash: `SimpleValidator`, key and power only.
    pub(crate) fn hash_leaf(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.message(1, &self.public_key);
        writer.int(2, self.voting_power.cast_signed());
        writer.finish()
    }
}

impl Message for Validator {
    fn write(&self, to: &mut Writer) {
        to.bytes(1, &self.address.0);
        to.message(2, &self.public_key);
        to.int(3, self.voting_power.cast_signed());
        to.int(4, self.proposer_priority);
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("Validator", bytes);
        let (mut address, mut public_key) = (None, None);
        let (mut voting_power, mut proposer_priority) = (0, 0);
        while let Some((field, value)) = reader.next_field()? {
            match field {
                1 => address = Some(ValidatorAddress(value.array("an address")?)),
                2 => public_key = Some(value.message()?),
                3 => voting_power = value.natural("a voting power")?,
                4 => proposer_priority = value.int()?,
                _ => return Err(reader.unknown(field)),
            }
        }
        let address = address.ok_or(DecodeError::Missing("an address"))?;
        let public_key = public_key.ok_or(DecodeError::Missing("a public key"))?;
        Ok(Validator {
            address,
            public_key,
            voting_power,
            proposer_priority,
        })
    }
}
