//! The header of a block, and its hash.

use super::{BlockId, Digest, Timestamp, ValidatorAddress};
use crate::error::{DecodeError, Invalid, ensure};
use crate::json;
use crate::merkle;
use crate::proto::{Message, Reader, Writer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// The block protocol of CometBFT v0.38; every verifier refuses another.
pub const BLOCK_PROTOCOL: u64 = 11;

/// Longest name of a chain, in bytes.
pub const MAX_CHAIN_ID_BYTES: usize = 50;

/// Longest hash that an application may have here. (Tendermint has no limit; its size
/// computations assume 32 bytes.)
pub const MAX_APP_HASH_BYTES: usize = 64;

/// The block protocol and the application's own version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Block protocol; 11 in CometBFT v0.38.
    #[serde(with = "json::decimal")]
    pub block: u64,
    /// Version of the application.
    #[serde(with = "json::decimal", default)]
    pub app: u64,
}

/// The application's hash; Welkin's own is 32 bytes of BLAKE3. Text is upper hex.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppHash(pub Vec<u8>);

/// The header of a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Protocol versions.
    pub version: Version,
    /// The chain's name.
    pub chain_id: String,
    /// Height of this block.
    #[serde(with = "json::natural")]
    pub height: u64,
    /// BFT time: the power-weighted median of the last commit's timestamps.
    pub time: Timestamp,
    /// The block before; nil in the first.
    #[serde(deserialize_with = "json::or_null::deserialize")]
    pub last_block_id: BlockId,
    /// Merkle root over the signatures of the commit for the block before.
    pub last_commit_hash: Digest,
    /// Merkle root over the hashes of the transactions.
    pub data_hash: Digest,
    /// Hash of the validators of this height.
    pub validators_hash: Digest,
    /// Hash of the validators of the next height.
    pub next_validators_hash: Digest,
    /// Hash of the consensus parameters of this height.
    pub consensus_hash: Digest,
    /// State root after the block before.
    pub app_hash: AppHash,
    /// Merkle root over the results of the block before.
    pub last_results_hash: Digest,
    /// Merkle root over the evidence in this block.
    pub evidence_hash: Digest,
    /// Proposer of the round in which the block was first made.
    pub proposer_address: ValidatorAddress,
}

impl Header {
    /// The header's hash: a Merkle root over its fields. Empty if `validators_hash` is, as in
    /// CometBFT (such a header is no header yet).
    pub fn hash(&self) -> Digest {
        if self.validators_hash.is_empty() {
            return Digest::EMPTY;
        }
        let leaves = [
            self.version.encode(),
            wrapped_bytes(self.chain_id.as_bytes()),
            wrapped_int(self.height.cast_signed()),
            self.time.encode(),
            self.last_block_id.encode(),
            wrapped_bytes(self.last_commit_hash.as_bytes()),
            wrapped_bytes(self.data_hash.as_bytes()),
            wrapped_bytes(self.validators_hash.as_bytes()),
            wrapped_bytes(self.next_validators_hash.as_bytes()),
            wrapped_bytes(self.consensus_hash.as_bytes()),
            wrapped_bytes(&self.app_hash.0),
            wrapped_bytes(self.last_results_hash.as_bytes()),
            wrapped_bytes(self.evidence_hash.as_bytes()),
            wrapped_bytes(&self.proposer_address.0),
        ];
        Digest::new(merkle::root(&leaves))
    }

    /// The rules that a header must keep by itself (`Header.ValidateBasic` of CometBFT v0.38).
    pub fn validate_basic(&self) -> Result<(), Invalid> {
        ensure(
            self.version.block == BLOCK_PROTOCOL,
            "the block protocol is not 11",
        )?;
        ensure(
            self.chain_id.len() <= MAX_CHAIN_ID_BYTES,
            "the chain id is longer than 50 bytes",
        )?;
        ensure(self.height > 0, "a header has height 0")?;
        ensure(
            self.app_hash.0.len() <= MAX_APP_HASH_BYTES,
            "the app hash is too long",
        )?;
        Ok(())
    }
}

/// The `BytesValue` and `StringValue` wrappers; empty for an empty value.
fn wrapped_bytes(value: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.bytes(1, value);
    writer.finish()
}

/// The `Int64Value` wrapper.
fn wrapped_int(value: i64) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.int(1, value);
    writer.finish()
}

impl Message for Version {
    fn write(&self, to: &mut Writer) {
        to.uint(1, self.block);
        to.uint(2, self.app);
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("Consensus", bytes);
        let mut version = Version::default();
        while let Some((field, value)) = reader.next_field()? {
            match field {
                1 => version.block = value.uint()?,
                2 => version.app = value.uint()?,
                _ => return Err(reader.unknown(field)),
            }
        }
        Ok(version)
    }
}

impl Message for Header {
    fn write(&self, to: &mut Writer) {
        to.message(1, &self.version);
        to.string(2, &self.chain_id);
        to.int(3, self.height.cast_signed());
        to.message(4, &self.time);
        to.message(5, &self.last_block_id);
        to.bytes(6, self.last_commit_hash.as_bytes());
        to.bytes(7, self.data_hash.as_bytes());
        to.bytes(8, self.validators_hash.as_bytes());
        to.bytes(9, self.next_validators_hash.as_bytes());
        to.bytes(10, self.consensus_hash.as_bytes());
        to.bytes(11, &self.app_hash.0);
        to.bytes(12, self.last_results_hash.as_bytes());
        to.bytes(13, self.evidence_hash.as_bytes());
        to.bytes(14, &self.proposer_address.0);
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("Header", bytes);
        let mut header = Header::empty();
        let mut proposer = None;
        while let Some((field, value)) = reader.next_field()? {
            match field {
                1 => header.version = value.message()?,
                2 => header.chain_id = value.string("a chain id", MAX_CHAIN_ID_BYTES)?,
                3 => header.height = value.natural("a height")?,
                4 => header.time = value.message()?,
                5 => header.last_block_id = value.message()?,
                6 => header.last_commit_hash = Digest::from_slice(value.bytes()?)?,
                7 => header.data_hash = Digest::from_slice(value.bytes()?)?,
                8 => header.validators_hash = Digest::from_slice(value.bytes()?)?,
                9 => header.next_validators_hash = Digest::from_slice(value.bytes()?)?,
                10 => header.consensus_hash = Digest::from_slice(value.bytes()?)?,
                11 => header.app_hash = AppHash::from_slice(value.bytes()?)?,
                12 => header.last_results_hash = Digest::from_slice(value.bytes()?)?,
                13 => header.evidence_hash = Digest::from_slice(value.bytes()?)?,
                14 => proposer = Some(ValidatorAddress(value.array("an address")?)),
                _ => return Err(reader.unknown(field)),
            }
        }
        header.proposer_address = proposer.ok_or(DecodeError::Missing("a proposer's address"))?;
        Ok(header)
    }
}

impl Header {
    /// What protobuf's defaults stand for, to be filled by the decoder.
    fn empty() -> Self {
        Header {
            version: Version::default(),
            chain_id: String::new(),
            height: 0,
            time: Timestamp::default(),
            last_block_id: BlockId::NIL,
            last_commit_hash: Digest::EMPTY,
            data_hash: Digest::EMPTY,
            validators_hash: Digest::EMPTY,
            next_validators_hash: Digest::EMPTY,
            consensus_hash: Digest::EMPTY,
            app_hash: AppHash::default(),
            last_results_hash: Digest::EMPTY,
            evidence_hash: Digest::EMPTY,
            proposer_address: ValidatorAddress::default(),
        }
    }
}

impl AppHash {
    fn from_slice(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_APP_HASH_BYTES {
            return Err(DecodeError::Length {
                what: "an app hash",
                got: bytes.len(),
            });
        }
        Ok(AppHash(bytes.to_vec()))
    }
}

impl fmt::Display for AppHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode_upper(&self.0))
    }
}

impl fmt::Debug for AppHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AppHash({self})")
    }
}

impl Serialize for AppHash {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AppHash {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let bytes = hex::decode(String::deserialize(from)?).map_err(D::Error::custom)?;
        AppHash::from_slice(&bytes).map_err(D::Error::custom)
    }
}
