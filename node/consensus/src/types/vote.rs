//! Votes, and the bytes that a vote signs.

use super::keys::optional_signature;
use super::{BlockId, PublicKey, Signature, Timestamp, ValidatorAddress};
use crate::error::{DecodeError, Invalid, ensure};
use crate::json;
use crate::proto::{Message, Reader, Writer};
use serde::{Deserialize, Serialize};

/// The two kinds of votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[derive(Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub enum VoteType {
    /// First vote of a round.
    Prevote,
    /// Second vote of a round; more than 2/3 for a block decide.
    Precommit,
}

/// A vote of one validator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "JsonVote", try_from = "JsonVote")]
pub struct Vote {
    /// Prevote or precommit.
    pub vote_type: VoteType,
    /// Height.
    pub height: u64,
    /// Round.
    pub round: u32,
    /// The block voted for, or [`BlockId::NIL`].
    pub block_id: BlockId,
    /// The voter's time.
    pub timestamp: Timestamp,
    /// Who votes.
    pub validator_address: ValidatorAddress,
    /// The voter's place in the validator set.
    pub validator_index: u32,
    /// None until it is signed.
    pub signature: Option<Signature>,
}

impl Vote {
    /// The bytes that the voter signs: `CanonicalVote` behind its length. They cover neither
    /// address nor index, so a vote must be tied to its signer by the key.
    pub fn sign_bytes(&self, chain_id: &str) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.uint(1, u64::from(u8::from(self.vote_type)));
        writer.sfixed64(2, self.height.cast_signed());
        writer.sfixed64(3, i64::from(self.round));
        if !self.block_id.is_nil() {
            writer.message(4, &self.block_id);
        }
        writer.message(5, &self.timestamp);
        writer.string(6, chain_id);
        writer.finish_delimited()
    }

    /// Whether this vote was signed with this key by the validator that it names.
    pub fn verify(&self, chain_id: &str, key: &PublicKey) -> Result<(), Invalid> {
        ensure(
            key.address() == self.validator_address,
            "the vote names another validator",
        )?;
        let signed = self
            .signature
            .ok_or_else(|| Invalid::new("the vote is not signed"))?;
        ensure(
            key.verify(&self.sign_bytes(chain_id), &signed),
            "the vote's signature is wrong",
        )
    }

    /// The rules that a signed vote must keep by itself (`Vote.ValidateBasic` of CometBFT v0.38).
    pub fn validate_basic(&self) -> Result<(), Invalid> {
        ensure(self.height > 0, "a vote is for height 0")?;
        self.block_id.validate_nil_or_complete()?;
        ensure(self.signature.is_some(), "a vote is not signed")
    }
}

impl Message for Vote {
    fn write(&self, to: &mut Writer) {
        to.uint(1, u64::from(u8::from(self.vote_type)));
        to.int(2, self.height.cast_signed());
        to.int(3, i64::from(self.round));
        to.message(4, &self.block_id);
        to.message(5, &self.timestamp);
        to.bytes(6, &self.validator_address.0);
        to.int(7, i64::from(self.validator_index));
        if let Some(signature) = &self.signature {
            to.bytes(8, &signature.0);
        }
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("Vote", bytes);
        let (mut vote_type, mut timestamp, mut address) = (None, None, None);
        let (mut height, mut round, mut validator_index) = (0, 0, 0);
        let (mut block_id, mut signature) = (BlockId::NIL, None);
        while let Some((field, value)) = reader.next_field()? {
            match field {
                1 => vote_type = Some(VoteType::from_wire(value.uint()?)?),
                2 => height = value.natural("a height")?,
                3 => round = value.natural32("a round")?,
                4 => block_id = value.message()?,
                5 => timestamp = Some(value.message()?),
                6 => address = Some(ValidatorAddress(value.array("an address")?)),
                7 => validator_index = value.natural32("a validator's index")?,
                8 => signature = Some(Signature(value.array("a signature")?)),
                _ => return Err(reader.unknown(field)),
            }
        }
        Ok(Vote {
            vote_type: vote_type.ok_or(DecodeError::Missing("a vote's type"))?,
            height,
            round,
            block_id,
            timestamp: timestamp.ok_or(DecodeError::Missing("a timestamp"))?,
            validator_address: address.ok_or(DecodeError::Missing("an address"))?,
            validator_index,
            signature,
        })
    }
}

impl VoteType {
    fn from_wire(number: u64) -> Result<Self, DecodeError> {
        match number {
            1 => Ok(VoteType::Prevote),
            2 => Ok(VoteType::Precommit),
            _ => Err(DecodeError::OutOfRange("a vote's type")),
        }
    }
}

/// `SignedMsgType` on the wire and in JSON.
impl From<VoteType> for u8 {
    fn from(vote_type: VoteType) -> u8 {
        match vote_type {
            VoteType::Prevote => 1,
            VoteType::Precommit => 2,
        }
    }
}

impl TryFrom<u8> for VoteType {
    type Error = DecodeError;

    fn try_from(number: u8) -> Result<Self, DecodeError> {
        VoteType::from_wire(u64::from(number))
    }
}

/// A vote as JSON has it.
#[derive(Serialize, Deserialize)]
struct JsonVote {
    #[serde(rename = "type")]
    vote_type: VoteType,
    #[serde(with = "json::natural")]
    height: u64,
    round: u32,
    block_id: BlockId,
    timestamp: Timestamp,
    validator_address: ValidatorAddress,
    validator_index: u32,
    #[serde(deserialize_with = "optional_signature")]
    signature: Option<Signature>,
    /// Vote extensions are never enabled on this chain, so both are always null.
    #[serde(default)]
    extension: Option<String>,
    #[serde(default)]
    extension_signature: Option<String>,
}

impl From<Vote> for JsonVote {
    fn from(vote: Vote) -> Self {
        JsonVote {
            vote_type: vote.vote_type,
            height: vote.height,
            round: vote.round,
            block_id: vote.block_id,
            timestamp: vote.timestamp,
            validator_address: vote.validator_address,
            validator_index: vote.validator_index,
            signature: vote.signature,
            extension: None,
            extension_signature: None,
        }
    }
}

impl TryFrom<JsonVote> for Vote {
    type Error = Invalid;

    fn try_from(json: JsonVote) -> Result<Self, Invalid> {
        let extended = [json.extension, json.extension_signature]
            .into_iter()
            .flatten();
        ensure(
            extended.into_iter().all(|text| text.is_empty()),
            "a vote has an extension",
        )?;
        Ok(Vote {
            vote_type: json.vote_type,
            height: json.height,
            round: json.round,
            block_id: json.block_id,
            timestamp: json.timestamp,
            validator_address: json.validator_address,
            validator_index: json.validator_index,
            signature: json.signature,
        })
    }
}
