//! Commits: the precommits that decided a block.

use super::keys::optional_signature;
use super::{BlockId, Digest, Signature, Timestamp, ValidatorAddress, Vote, VoteType};
use crate::error::{DecodeError, Invalid, ensure};
use crate::json;
use crate::merkle;
use crate::proto::{Message, Reader, Writer};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// Most validators of a chain (`MaxVotesCount` of CometBFT v0.38).
pub const MAX_VOTES: usize = 10_000;

/// The precommits for one block, one entry for each validator in the order of the set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Height of the block that was decided; 0 in the empty commit of the first block.
    #[serde(with = "json::natural")]
    pub height: u64,
    /// Round in which it was decided.
    pub round: u32,
    /// The block that was decided.
    pub block_id: BlockId,
    /// One entry for each validator, in the order of the set.
    #[serde(deserialize_with = "json::or_null::deserialize")]
    pub signatures: Vec<CommitSig>,
}

/// What one validator did in the deciding round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitSig {
    /// Nothing was seen of it.
    Absent,
    /// It voted for the block.
    Commit(CommitVote),
    /// It voted for nil.
    Nil(CommitVote),
}

/// The part of a precommit that a commit keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitVote {
    /// The validator who signed.
    pub validator_address: ValidatorAddress,
    /// The time that it signed.
    pub timestamp: Timestamp,
    /// Its signature.
    pub signature: Signature,
}

impl Commit {
    /// Merkle root over the entries: the `last_commit_hash` of the next block.
    pub fn hash(&self) -> Digest {
        let leaves: Vec<_> = self.signatures.iter().map(Message::encode).collect();
        Digest::new(merkle::root(&leaves))
    }

    /// The rules that a commit must keep by itself (`Commit.ValidateBasic` of CometBFT v0.38).
    /// The empty commit of height 0 keeps them.
    pub fn validate_basic(&self) -> Result<(), Invalid> {
        ensure(
            self.signatures.len() <= MAX_VOTES,
            "a commit has more than 10,000 entries",
        )?;
        if self.height > 0 {
            ensure(!self.block_id.is_nil(), "a commit is for no block")?;
            ensure(!self.signatures.is_empty(), "a commit has no signatures")?;
        }
        self.block_id.validate_nil_or_complete()
    }

    /// The precommit of the validator at `index`; none if it was absent or there is no such entry.
    pub fn vote(&self, index: u32) -> Option<Vote> {
        let entry = self.signatures.get(usize::try_from(index).ok()?)?;
        let (block_id, cast) = match entry {
            CommitSig::Absent => return None,
            CommitSig::Commit(cast) => (self.block_id, cast),
            CommitSig::Nil(cast) => (BlockId::NIL, cast),
        };
        Some(Vote {
            vote_type: VoteType::Precommit,
            height: self.height,
            round: self.round,
            block_id,
            timestamp: cast.timestamp,
            validator_address: cast.validator_address,
            validator_index: index,
            signature: Some(cast.signature),
        })
    }
}

impl CommitSig {
    /// The entry for a precommit of the round in which `decided` won. A signed vote for another
    /// block counts as absent: a commit has no place for it.
    pub fn of_vote(vote: &Vote, decided: &BlockId) -> CommitSig {
        let Some(signature) = vote.signature else {
            return CommitSig::Absent;
        };
        let cast = CommitVote {
            validator_address: vote.validator_address,
            timestamp: vote.timestamp,
            signature,
        };
        if vote.block_id == *decided {
            CommitSig::Commit(cast)
        } else if vote.block_id.is_nil() {
            CommitSig::Nil(cast)
        } else {
            CommitSig::Absent
        }
    }

    /// The vote, whether for the block or for nil.
    pub fn cast(&self) -> Option<&CommitVote> {
        match self {
            CommitSig::Absent => None,
            CommitSig::Commit(cast) | CommitSig::Nil(cast) => Some(cast),
        }
    }

    /// `BlockIDFlag` on the wire.
    fn flag(&self) -> u8 {
        match self {
            CommitSig::Absent => 1,
            CommitSig::Commit(_) => 2,
            CommitSig::Nil(_) => 3,
        }
    }

    fn from_flag(flag: u64, cast: Option<CommitVote>) -> Result<Self, DecodeError> {
        match (flag, cast) {
            (1, None) => Ok(CommitSig::Absent),
            (2, Some(cast)) => Ok(CommitSig::Commit(cast)),
            (3, Some(cast)) => Ok(CommitSig::Nil(cast)),
            (1, Some(_)) => Err(DecodeError::OutOfRange("an absent signature")),
            (2 | 3, None) => Err(DecodeError::Missing("a signature")),
            _ => Err(DecodeError::OutOfRange("a block id flag")),
        }
    }
}

impl Message for CommitSig {
    fn write(&self, to: &mut Writer) {
        to.uint(1, u64::from(self.flag()));
        match self.cast() {
            None => to.message(3, &Timestamp::ZERO),
            Some(cast) => {
                to.bytes(2, &cast.validator_address.0);
                to.message(3, &cast.timestamp);
                to.bytes(4, &cast.signature.0);
            }
        }
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("CommitSig", bytes);
        let (mut flag, mut address, mut timestamp, mut signature) = (0, None, None, None);
        while let Some((field, value)) = reader.next_field()? {
            match field {
                1 => flag = value.uint()?,
                2 => address = Some(ValidatorAddress(value.array("an address")?)),
                3 => timestamp = Some(value.message()?),
                4 => signature = Some(Signature(value.array("a signature")?)),
                _ => return Err(reader.unknown(field)),
            }
        }
        let timestamp = timestamp.ok_or(DecodeError::Missing("a timestamp"))?;
        let cast = match (address, signature) {
            (None, None) => None,
            (Some(validator_address), Some(signature)) => Some(CommitVote {
                validator_address,
                timestamp,
                signature,
            }),
            _ => return Err(DecodeError::Missing("an address or a signature")),
        };
        CommitSig::from_flag(flag, cast)
    }
}

impl Message for Commit {
    fn write(&self, to: &mut Writer) {
        to.int(1, self.height.cast_signed());
        to.int(2, i64::from(self.round));
        to.message(3, &self.block_id);
        for entry in &self.signatures {
            to.message(4, entry);
        }
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("Commit", bytes);
        let mut commit = Commit::default();
        while let Some((field, value)) = reader.next_field()? {
            match field {
                1 => commit.height = value.natural("a height")?,
                2 => commit.round = value.natural32("a round")?,
                3 => commit.block_id = value.message()?,
                4 if commit.signatures.len() == MAX_VOTES => {
                    return Err(DecodeError::TooMany("signatures in a commit"));
                }
                4 => commit.signatures.push(value.message()?),
                _ => return Err(reader.unknown(field)),
            }
        }
        Ok(commit)
    }
}

/// A commit's entry as JSON has it.
#[derive(Serialize, Deserialize)]
struct JsonCommitSig {
    block_id_flag: u8,
    validator_address: String,
    timestamp: Timestamp,
    #[serde(deserialize_with = "optional_signature")]
    signature: Option<Signature>,
}

impl Serialize for CommitSig {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let cast = self.cast();
        JsonCommitSig {
            block_id_flag: self.flag(),
            validator_address: cast.map_or(String::new(), |c| c.validator_address.to_string()),
            timestamp: cast.map_or(Timestamp::ZERO, |c| c.timestamp),
            signature: cast.map(|c| c.signature),
        }
        .serialize(to)
    }
}

impl<'de> Deserialize<'de> for CommitSig {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let JsonCommitSig {
            block_id_flag,
            validator_address,
            timestamp,
            signature,
        } = JsonCommitSig::deserialize(from)?;
        let cast = match signature {
            None if validator_address.is_empty() => None,
            None => return Err(D::Error::custom("a signature is missing")),
            Some(signature) => {
                let validator_address = validator_address.parse().map_err(D::Error::custom)?;
                Some(CommitVote {
                    validator_address,
                    timestamp,
                    signature,
                })
            }
        };
        CommitSig::from_flag(u64::from(block_id_flag), cast).map_err(D::Error::custom)
    }
}
