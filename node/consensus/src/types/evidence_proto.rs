//! The protobuf form of evidence.

use super::commit::MAX_VOTES;
use super::{DuplicateVoteEvidence, Evidence, EvidenceList, LightClientAttackEvidence, Timestamp};
use crate::error::DecodeError;
use crate::proto::{Message, Reader, Writer};

/// `Evidence`: a choice of one.
impl Message for Evidence {
    fn write(&self, to: &mut Writer) {
        match self {
            Evidence::DuplicateVote(evidence) => to.message(1, evidence.as_ref()),
            Evidence::LightClientAttack(evidence) => to.message(2, evidence.as_ref()),
        }
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("Evidence", bytes);
        let mut evidence = None;
        while let Some((field, value)) = reader.next_field()? {
            evidence = match field {
                1 => Some(Evidence::DuplicateVote(Box::new(value.message()?))),
                2 => Some(Evidence::LightClientAttack(Box::new(value.message()?))),
                _ => return Err(reader.unknown(field)),
            };
        }
        evidence.ok_or(DecodeError::Missing("evidence"))
    }
}

impl Message for EvidenceList {
    fn write(&self, to: &mut Writer) {
        for evidence in &self.0 {
            to.message(1, evidence);
        }
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("EvidenceList", bytes);
        let mut list = EvidenceList::default();
        while let Some((field, value)) = reader.next_field()? {
            match field {
                1 => list.0.push(value.message()?),
                _ => return Err(reader.unknown(field)),
            }
        }
        Ok(list)
    }
}

impl Message for DuplicateVoteEvidence {
    fn write(&self, to: &mut Writer) {
        to.message(1, &self.vote_a);
        to.message(2, &self.vote_b);
        to.int(3, self.total_voting_power.cast_signed());
        to.int(4, self.validator_power.cast_signed());
        to.message(5, &self.timestamp);
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("DuplicateVoteEvidence", bytes);
        let (mut vote_a, mut vote_b, mut timestamp) = (None, None, None);
        let (mut total_voting_power, mut validator_power) = (0, 0);
        while let Some((field, value)) = reader.next_field()? {
            match field {
                1 => vote_a = Some(value.message()?),
                2 => vote_b = Some(value.message()?),
                3 => total_voting_power = value.natural("a voting power")?,
                4 => validator_power = value.natural("a voting power")?,
                5 => timestamp = Some(value.message()?),
                _ => return Err(reader.unknown(field)),
            }
        }
        Ok(DuplicateVoteEvidence {
            vote_a: vote_a.ok_or(DecodeError::Missing("the first vote"))?,
            vote_b: vote_b.ok_or(DecodeError::Missing("the second vote"))?,
            total_voting_power,
            validator_power,
            timestamp: timestamp.ok_or(DecodeError::Missing("a timestamp"))?,
        })
    }
}

impl Message for LightClientAttackEvidence {
    fn write(&self, to: &mut Writer) {
        to.message(1, &self.conflicting_block);
        to.int(2, self.common_height.cast_signed());
        for validator in &self.byzantine_validators {
            to.message(3, validator);
        }
        to.int(4, self.total_voting_power.cast_signed());
        to.message(5, &self.timestamp);
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("LightClientAttackEvidence", bytes);
        let (mut conflicting_block, mut timestamp) = (None, None::<Timestamp>);
        let (mut common_height, mut total_voting_power) = (0, 0);
        let mut byzantine_validators = Vec::new();
        while let Some((field, value)) = reader.next_field()? {
            match field {
                1 => conflicting_block = Some(value.message()?),
                2 => common_height = value.natural("a height")?,
                3 if byzantine_validators.len() == MAX_VOTES => {
                    return Err(DecodeError::TooMany("validators in evidence"));
                }
                3 => byzantine_validators.push(value.message()?),
                4 => total_voting_power = value.natural("a voting power")?,
                5 => timestamp = Some(value.message()?),
                _ => return Err(reader.unknown(field)),
            }
        }
        Ok(LightClientAttackEvidence {
            conflicting_block: conflicting_block.ok_or(DecodeError::Missing("the false block"))?,
            common_height,
            byzantine_validators,
            total_voting_power,
            timestamp: timestamp.ok_or(DecodeError::Missing("a timestamp"))?,
        })
    }
}
