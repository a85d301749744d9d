//! The genesis document, in CometBFT's format.

use super::header::MAX_CHAIN_ID_BYTES;
use super::{
    AppHash, ConsensusParams, PublicKey, Timestamp, ValidatorAddress, ValidatorSet, ValidatorUpdate,
};
use crate::canonical_json::to_canonical_json;
use crate::error::{Invalid, ensure};
use crate::json;
use serde::{Deserialize, Deserializer, Serialize};
use welkin_runtime::Hash;

/// Everything that the nodes of a chain agree on before its first block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Genesis {
    /// Time of the first block.
    pub genesis_time: Timestamp,
    /// The chain's name.
    pub chain_id: String,
    /// Height of the first block; 1 if it is left out or 0.
    #[serde(with = "json::natural", default)]
    pub initial_height: u64,
    /// Parameters of the first block.
    #[serde(default)]
    pub consensus_params: ConsensusParams,
    /// Validators of the first block.
    #[serde(deserialize_with = "json::or_null::deserialize", default)]
    pub validators: Vec<GenesisValidator>,
    /// Root of the genesis state; may be left empty.
    #[serde(default)]
    pub app_hash: AppHash,
    /// What the modules start with.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub app_state: serde_json::Value,
}

/// A validator of the first block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "JsonGenesisValidator")]
pub struct GenesisValidator {
    /// Address of the key; computed if it is left out.
    pub address: ValidatorAddress,
    /// The key that it votes with.
    #[serde(rename = "pub_key")]
    pub public_key: PublicKey,
    /// Voting power.
    #[serde(with = "json::natural")]
    pub power: u64,
    /// A name for people.
    pub name: String,
}

impl Genesis {
    /// Reads and checks a genesis file, and fills in what it may leave out.
    pub fn from_json(text: &str) -> Result<Self, Invalid> {
        let parsed: Result<Genesis, _> = serde_json::from_str(text);
        let mut genesis = parsed.map_err(|why| Invalid::new(format!("genesis.json: {why}")))?;
        genesis.initial_height = genesis.initial_height.max(1);
        genesis
            .validate()
            .map_err(|Invalid(why)| Invalid(format!("genesis.json: {why}")))?;
        Ok(genesis)
    }

    /// The file's text.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a genesis has only string keys")
    }

    /// The name by which networks are kept apart: BLAKE3 of the document, with what was left out
    /// filled in, as RFC 8785 JSON. Layout and order of the file do not change it.
    pub fn hash(&self) -> Result<Hash, Invalid> {
        let value = serde_json::to_value(self).expect("a genesis has only string keys");
        Ok(welkin_runtime::crypto::blake3_hash(
            to_canonical_json(&value)?.as_bytes(),
        ))
    }

    /// The validators of the first block, at the first proposer's turn.
    pub fn validator_set(&self) -> Result<ValidatorSet, Invalid> {
        let members = self.validators.iter();
        let members = members.map(|v| ValidatorUpdate {
            public_key: v.public_key,
            power: v.power,
        });
        ValidatorSet::new(&members.collect::<Vec<_>>())
    }

    /// The rules of CometBFT's `ValidateAndComplete`; and since the runtime counts from 1970 and
    /// no clock may be read here, the genesis time must be given and lie after that.
    pub fn validate(&self) -> Result<(), Invalid> {
        ensure(!self.chain_id.is_empty(), "chain_id is empty")?;
        let short = self.chain_id.len() <= MAX_CHAIN_ID_BYTES;
        ensure(short, "chain_id is longer than 50 bytes")?;
        ensure(self.initial_height > 0, "initial_height is 0")?;
        ensure(
            self.genesis_time.to_runtime().is_some(),
            "genesis_time is before 1970",
        )?;
        self.consensus_params.validate_basic()?;
        self.validator_set()?;
        self.hash()?;
        Ok(())
    }
}

/// A validator as the file has it.
#[derive(Deserialize)]
struct JsonGenesisValidator {
    #[serde(default, deserialize_with = "optional_address")]
    address: Option<ValidatorAddress>,
    pub_key: PublicKey,
    #[serde(with = "json::natural")]
    power: u64,
    #[serde(default)]
    name: String,
}

impl TryFrom<JsonGenesisValidator> for GenesisValidator {
    type Error = Invalid;

    fn try_from(json: JsonGenesisValidator) -> Result<Self, Invalid> {
        let JsonGenesisValidator {
            address,
            pub_key,
            power,
            name,
        } = json;
        let own = pub_key.address();
        if address.is_some_and(|given| given != own) {
            return Err(Invalid(format!(
                "the address of validator `{name}` should be {own}"
            )));
        }
        Ok(GenesisValidator {
            address: own,
            public_key: pub_key,
            power,
            name,
        })
    }
}

fn optional_address<'de, D>(from: D) -> Result<Option<ValidatorAddress>, D::Error>
where
    D: Deserializer<'de>,
{
    let text = Option::<String>::deserialize(from)?.unwrap_or_default();
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(serde::de::Error::custom)
}

#[cfg(test)]
#[path = "genesis_tests.rs"]
mod tests;
