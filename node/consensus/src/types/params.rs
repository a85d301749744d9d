//! Consensus parameters.

use super::Digest;
use super::part_set::MAX_BLOCK_BYTES;
use crate::error::{DecodeError, Invalid, ensure};
use crate::json;
use crate::proto::{Message, Reader, Writer};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The name of Ed25519 in [`ValidatorParams`].
pub const ED25519_KEY_TYPE: &str = "ed25519";

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// Limits of a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockParams {
    /// Largest block in bytes; -1 means as many as there can be.
    #[serde(with = "json::decimal")]
    pub max_bytes: i64,
    /// Largest sum of gas limits; -1 means no limit.
    #[serde(with = "json::decimal")]
    pub max_gas: i64,
}

/// How long evidence counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceParams {
    /// Evidence older than this many blocks and than the duration is refused.
    #[serde(with = "json::decimal")]
    pub max_age_num_blocks: i64,
    /// Nanoseconds.
    #[serde(rename = "max_age_duration", with = "json::decimal")]
    pub max_age_duration_ns: i64,
    /// Largest amount of evidence in a block, in bytes.
    #[serde(with = "json::decimal")]
    pub max_bytes: i64,
}

/// What keys validators may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidatorParams {
    /// Only `ed25519` here.
    pub pub_key_types: Vec<String>,
}

/// The application's version, as headers carry it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionParams {
    /// Version of the application.
    #[serde(with = "json::decimal", default)]
    pub app: u64,
}

/// Parameters of the application interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbciParams {
    /// First height with vote extensions; 0 means never, and is the only value here.
    #[serde(with = "json::decimal", default)]
    pub vote_extensions_enable_height: i64,
}

/// Consensus parameters. The default is that of CometBFT v0.38.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsensusParams {
    /// Limits of a block.
    pub block: BlockParams,
    /// How long evidence counts.
    pub evidence: EvidenceParams,
    /// What keys validators may have.
    pub validator: ValidatorParams,
    /// The application's version.
    #[serde(default)]
    pub version: VersionParams,
    /// Parameters of the application interface.
    #[serde(default)]
    pub abci: AbciParams,
}

impl Default for ConsensusParams {
    fn default() -> Self {
        ConsensusParams {
            block: BlockParams {
                max_bytes: 22_020_096,
                max_gas: -1,
            },
            evidence: EvidenceParams {
                max_age_num_blocks: 100_000,
                max_age_duration_ns: 48 * 3600 * NANOS_PER_SECOND,
                max_bytes: 1_048_576,
            },
            validator: ValidatorParams {
                pub_key_types: vec![ED25519_KEY_TYPE.to_owned()],
            },
            version: VersionParams::default(),
            abci: AbciParams::default(),
        }
    }
}

impl ConsensusParams {
    /// SHA-256 over the two parameters that headers commit to.
    pub fn hash(&self) -> Digest {
        let mut writer = Writer::new();
        writer.int(1, self.block.max_bytes);
        writer.int(2, self.block.max_gas);
        Digest::new(Sha256::digest(writer.finish()).into())
    }

    /// Largest block in bytes, with -1 resolved.
    pub fn max_block_bytes(&self) -> usize {
        usize::try_from(self.block.max_bytes).unwrap_or(MAX_BLOCK_BYTES)
    }

    /// The rules that parameters must keep (`ConsensusParams.ValidateBasic` of CometBFT v0.38,
    /// narrowed to what this chain can do).
    pub fn validate_basic(&self) -> Result<(), Invalid> {
        let max_bytes = self.block.max_bytes;
        let limit = MAX_BLOCK_BYTES as i64;
        let sensible = max_bytes == -1 || (1..=limit).contains(&max_bytes);
        ensure(
            sensible,
            "block.max_bytes must be -1 or between 1 and 104857600",
        )?;
        ensure(self.block.max_gas >= -1, "block.max_gas must be -1 or more")?;
        ensure(
            self.evidence.max_age_num_blocks > 0,
            "evidence.max_age_num_blocks must be above 0",
        )?;
        ensure(
            self.evidence.max_age_duration_ns > 0,
            "evidence.max_age_duration must be above 0",
        )?;
        let fits = (0..=self.max_block_bytes() as i64).contains(&self.evidence.max_bytes);
        ensure(
            fits,
            "evidence.max_bytes must be between 0 and block.max_bytes",
        )?;
        let only_ed25519 = self.validator.pub_key_types == [ED25519_KEY_TYPE];
        ensure(
            only_ed25519,
            "validator.pub_key_types must be [\"ed25519\"]",
        )?;
        let never = self.abci.vote_extensions_enable_height == 0;
        ensure(
            never,
            "abci.vote_extensions_enable_height must be 0: there are no vote extensions",
        )
    }
}

impl Message for ConsensusParams {
    fn write(&self, to: &mut Writer) {
        to.message(1, &self.block);
        to.message(2, &self.evidence);
        to.message(3, &self.validator);
        to.message(4, &self.version);
        to.message(5, &self.abci);
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("ConsensusParams", bytes);
        let (mut block, mut evidence, mut validator) = (None, None, None);
        let (mut version, mut abci) = (None, None);
        while let Some((field, value)) = reader.next_field()? {
            match field {
                1 => block = Some(value.message()?),
                2 => evidence = Some(value.message()?),
                3 => validator = Some(value.message()?),
                4 => version = Some(value.message()?),
                5 => abci = Some(value.message()?),
                _ => return Err(reader.unknown(field)),
            }
        }
        let missing = DecodeError::Missing("a group of parameters");
        Ok(ConsensusParams {
            block: block.ok_or(missing.clone())?,
            evidence: evidence.ok_or(missing.clone())?,
            validator: validator.ok_or(missing.clone())?,
            version: version.ok_or(missing.clone())?,
            abci: abci.ok_or(missing)?,
        })
    }
}

impl Message for BlockParams {
    fn write(&self, to: &mut Writer) {
        to.int(1, self.max_bytes);
        to.int(2, self.max_gas);
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("BlockParams", bytes);
        let mut params = BlockParams {
            max_bytes: 0,
            max_gas: 0,
        };
        while let Some((field, value)) = reader.next_field()? {
            match field {
                1 => params.max_bytes = value.int()?,
                2 => params.max_gas = value.int()?,
                _ => return Err(reader.unknown(field)),
            }
        }
        Ok(params)
    }
}

/// `google.protobuf.Duration`, of which only durations that are not negative occur.
struct Duration(i64);

impl Message for Duration {
    fn write(&self, to: &mut Writer) {
        to.int(1, self.0 / NANOS_PER_SECOND);
        to.int(2, self.0 % NANOS_PER_SECOND);
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("Duration", bytes);
        let (mut seconds, mut nanos) = (0i64, 0i64);
        while let Some((field, value)) = reader.next_field()? {
            match field {
                1 => seconds = value.int()?,
                2 => nanos = value.int()?,
                _ => return Err(reader.unknown(field)),
            }
        }
        let sum = seconds
            .checked_mul(NANOS_PER_SECOND)
            .and_then(|whole| whole.checked_add(nanos));
        sum.map(Duration)
            .ok_or(DecodeError::OutOfRange("a duration"))
    }
}

impl Message for EvidenceParams {
    fn write(&self, to: &mut Writer) {
        to.int(1, self.max_age_num_blocks);
        to.message(2, &Duration(self.max_age_duration_ns));
        to.int(3, self.max_bytes);
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("EvidenceParams", bytes);
        let mut params = EvidenceParams {
            max_age_num_blocks: 0,
            max_age_duration_ns: 0,
            max_bytes: 0,
        };
        while let Some((field, value)) = reader.next_field()? {
            match field {
                1 => params.max_age_num_blocks = value.int()?,
                2 => params.max_age_duration_ns = value.message::<Duration>()?.0,
                3 => params.max_bytes = value.int()?,
                _ => return Err(reader.unknown(field)),
            }
        }
        Ok(params)
    }
}

impl Message for ValidatorParams {
    fn write(&self, to: &mut Writer) {
        for name in &self.pub_key_types {
            to.repeated_bytes(1, name.as_bytes());
        }
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("ValidatorParams", bytes);
        let mut params = ValidatorParams {
            pub_key_types: Vec::new(),
        };
        while let Some((field, value)) = reader.next_field()? {
            match field {
                1 if params.pub_key_types.len() == 16 => {
                    return Err(DecodeError::TooMany("key types"));
                }
                1 => params.pub_key_types.push(value.string("a key type", 64)?),
                _ => return Err(reader.unknown(field)),
            }
        }
        Ok(params)
    }
}

impl Message for VersionParams {
    fn write(&self, to: &mut Writer) {
        to.uint(1, self.app);
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("VersionParams", bytes);
        let mut params = VersionParams::default();
        while let Some((field, value)) = reader.next_field()? {
            match field {
                1 => params.app = value.uint()?,
                _ => return Err(reader.unknown(field)),
            }
        }
        Ok(params)
    }
}

impl Message for AbciParams {
    fn write(&self, to: &mut Writer) {
        to.int(1, self.vote_extensions_enable_height);
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("ABCIParams", bytes);
        let mut params = AbciParams::default();
        while let Some((field, value)) = reader.next_field()? {
            match field {
                1 => params.vote_extensions_enable_height = value.int()?,
                _ => return Err(reader.unknown(field)),
            }
        }
        Ok(params)
    }
}
