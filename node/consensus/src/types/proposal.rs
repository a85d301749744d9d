//! Proposals, and the bytes that a proposal signs.

use super::{BlockId, PublicKey, Signature, Timestamp};
use crate::error::{DecodeError, Invalid, ensure};
use crate::proto::{Message, Reader, Writer};

/// `SignedMsgType` of a proposal.
const PROPOSAL_TYPE: u64 = 32;

/// The proposer's offer of a block for a round. The block itself travels in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Height.
    pub height: u64,
    /// Round.
    pub round: u32,
    /// Round of the polka that makes this a re-proposal; none (-1 on the wire) if it is fresh.
    pub pol_round: Option<u32>,
    /// The block.
    pub block_id: BlockId,
    /// The proposer's time.
    pub timestamp: Timestamp,
    /// None until it is signed.
    pub signature: Option<Signature>,
}

impl Proposal {
    /// The bytes that the proposer signs: `CanonicalProposal` behind its length.
    pub fn sign_bytes(&self, chain_id: &str) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.uint(1, PROPOSAL_TYPE);
        writer.sfixed64(2, self.height.cast_signed());
        writer.sfixed64(3, i64::from(self.round));
        writer.int(4, self.pol_round.map_or(-1, i64::from));
        if !self.block_id.is_nil() {
            writer.message(5, &self.block_id);
        }
        writer.message(6, &self.timestamp);
        writer.string(7, chain_id);
        writer.finish_delimited()
    }

    /// Whether this proposal was signed with this key.
    pub fn verify(&self, chain_id: &str, key: &PublicKey) -> Result<(), Invalid> {
        let signed = self
            .signature
            .ok_or_else(|| Invalid::new("the proposal is not signed"))?;
        ensure(
            key.verify(&self.sign_bytes(chain_id), &signed),
            "the proposal's signature is wrong",
        )
    }

    /// The rules that a signed proposal must keep by itself (`Proposal.ValidateBasic` of
    /// CometBFT v0.38, and what its state machine checks on arrival: the polka is of an earlier
    /// round).
    pub fn validate_basic(&self) -> Result<(), Invalid> {
        ensure(self.height > 0, "a proposal is for height 0")?;
        ensure(self.block_id.is_complete(), "a proposal names no block")?;
        let earlier = self
            .pol_round
            .is_none_or(|pol_round| pol_round < self.round);
        ensure(earlier, "a proposal's polka is not of an earlier round")?;
        ensure(self.signature.is_some(), "a proposal is not signed")
    }
}

impl Message for Proposal {
    fn write(&self, to: &mut Writer) {
        to.uint(1, PROPOSAL_TYPE);
        to.int(2, self.height.cast_signed());
        to.int(3, i64::from(self.round));
        to.int(4, self.pol_round.map_or(-1, i64::from));
        to.message(5, &self.block_id);
        to.message(6, &self.timestamp);
        if let Some(signature) = &self.signature {
            to.bytes(7, &signature.0);
        }
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("Proposal", bytes);
        let (mut height, mut round, mut pol_round) = (0, 0, 0);
        let (mut block_id, mut timestamp, mut signature) = (BlockId::NIL, None, None);
        while let Some((field, value)) = reader.next_field()? {
            match field {
                1 if value.uint()? == PROPOSAL_TYPE => {}
                1 => return Err(DecodeError::OutOfRange("a proposal's type")),
                2 => height = value.natural("a height")?,
                3 => round = value.natural32("a round")?,
                4 => pol_round = value.int()?,
                5 => block_id = value.message()?,
                6 => timestamp = Some(value.message()?),
                7 => signature = Some(Signature(value.array("a signature")?)),
                _ => return Err(reader.unknown(field)),
            }
        }
        let timestamp = timestamp.ok_or(DecodeError::Missing("a timestamp"))?;
        let pol_round = pol_round_from_wire(pol_round)?;
        Ok(Proposal {
            height,
            round,
            pol_round,
            block_id,
            timestamp,
            signature,
        })
    }
}

fn pol_round_from_wire(value: i64) -> Result<Option<u32>, DecodeError> {
    match i32::try_from(value) {
        Ok(-1) => Ok(None),
        Ok(round @ 0..) => Ok(Some(round.cast_unsigned())),
        _ => Err(DecodeError::OutOfRange("a proof-of-lock round")),
    }
}
