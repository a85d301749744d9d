//! What nodes tell each other, and its bytes. (CometBFT's peers speak another protocol; only what
//! is signed has to be the same.)

use crate::error::{DecodeError, Invalid, ensure};
use crate::proto::{Message, Reader, Writer};
use crate::types::{
    BlockId, Commit, CommitSig, Part, PartSetHeader, Proposal, Signature, Timestamp, ValidatorSet,
    Vote, VoteType,
};

/// Most entries of a certificate: the most validators that a chain may have.
const MAX_ENTRIES: usize = 10_000;

/// A message between nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gossip {
    /// A proposal, without its block.
    Proposal(Proposal),
    /// A part of a block.
    Part(BlockPart),
    /// A vote.
    Vote(Vote),
    /// The votes of more than 2/3 for one block.
    Certificate(Certificate),
}

/// A part of a block, with the name of the set to which it belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockPart {
    /// Height of the block.
    pub height: u64,
    /// The part set.
    pub header: PartSetHeader,
    /// The part.
    pub part: Part,
}

/// The votes of more than 2/3 of the power, all of one type, for one block in one round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Prevotes (a polka) or precommits (a decision).
    pub vote_type: VoteType,
    /// Height.
    pub height: u64,
    /// Round.
    pub round: u32,
    /// What they voted for; nil is possible.
    pub block_id: BlockId,
    /// The votes, by ascending place of the voter.
    pub entries: Vec<Entry>,
}

/// One vote of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The voter's place in the validator set.
    pub validator_index: u32,
    /// The voter's time.
    pub timestamp: Timestamp,
    /// The voter's signature.
    pub signature: Signature,
}

impl Gossip {
    /// Height that the message is about.
    pub fn height(&self) -> u64 {
        match self {
            Gossip::Proposal(proposal) => proposal.height,
            Gossip::Part(part) => part.height,
            Gossip::Vote(vote) => vote.height,
            Gossip::Certificate(certificate) => certificate.height,
        }
    }

    /// The rules that a message must keep by itself. A peer that sends one that does not is faulty
    /// whatever the height.
    pub fn validate_basic(&self) -> Result<(), Invalid> {
        match self {
            Gossip::Proposal(proposal) => proposal.validate_basic(),
            Gossip::Part(part) => part.part.validate_basic(),
            Gossip::Vote(vote) => vote.validate_basic(),
            Gossip::Certificate(certificate) => certificate.validate_basic(),
        }
    }

    /// Roughly how many bytes it takes in memory.
    pub fn size(&self) -> usize {
        const FIXED: usize = 256;
        FIXED
            + match self {
                Gossip::Proposal(_) | Gossip::Vote(_) => 0,
                Gossip::Part(part) => part.part.bytes.len() + 32 * part.part.proof.aunts.len(),
                Gossip::Certificate(certificate) => {
                    certificate.entries.len() * std::mem::size_of::<Entry>()
                }
            }
    }
}

impl Certificate {
    /// Precommits of a commit that are for its block.
    pub fn of_commit(commit: &Commit) -> Self {
        let entries = (0..)
            .zip(&commit.signatures)
            .filter_map(|(validator_index, entry)| {
                let CommitSig::Commit(cast) = entry else {
                    return None;
                };
                let (timestamp, signature) = (cast.timestamp, cast.signature);
                Some(Entry {
                    validator_index,
                    timestamp,
                    signature,
                })
            });
        Certificate {
            vote_type: VoteType::Precommit,
            height: commit.height,
            round: commit.round,
            block_id: commit.block_id,
            entries: entries.collect(),
        }
    }

    /// The rules that a certificate must keep by itself.
    pub fn validate_basic(&self) -> Result<(), Invalid> {
        ensure(self.height > 0, "a certificate is for height 0")?;
        self.block_id.validate_nil_or_complete()?;
        let ascending = self
            .entries
            .windows(2)
            .all(|w| w[0].validator_index < w[1].validator_index);
        ensure(ascending, "a certificate's votes are not in order")
    }

    /// The votes, if every entry is a member of the set.
    pub fn votes(&self, validators: &ValidatorSet) -> Option<Vec<Vote>> {
        let votes = self.entries.iter().map(|entry| {
            Some(Vote {
                vote_type: self.vote_type,
                height: self.height,
                round: self.round,
                block_id: self.block_id,
                timestamp: entry.timestamp,
                validator_address: validators.get(entry.validator_index)?.address,
                validator_index: entry.validator_index,
                signature: Some(entry.signature),
            })
        });
        votes.collect()
    }
}

impl Message for Gossip {
    fn write(&self, to: &mut Writer) {
        match self {
            Gossip::Proposal(proposal) => to.message(1, proposal),
            Gossip::Part(part) => to.message(2, part),
            Gossip::Vote(vote) => to.message(3, vote),
            Gossip::Certificate(certificate) => to.message(4, certificate),
        }
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("Gossip", bytes);
        let (field, value) = reader
            .next_field()?
            .ok_or(DecodeError::Missing("a message"))?;
        Ok(match field {
            1 => Gossip::Proposal(value.message()?),
            2 => Gossip::Part(value.message()?),
            3 => Gossip::Vote(value.message()?),
            4 => Gossip::Certificate(value.message()?),
            _ => return Err(reader.unknown(field)),
        })
    }
}

impl Message for BlockPart {
    fn write(&self, to: &mut Writer) {
        to.uint(1, self.height);
        to.message(2, &self.header);
        to.message(3, &self.part);
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("BlockPart", bytes);
        let (mut height, mut header, mut part) = (0, None, None);
        while let Some((field, value)) = reader.next_field()? {
            match field {
                1 => height = value.natural("a height")?,
                2 => header = Some(value.message()?),
                3 => part = Some(value.message()?),
                _ => return Err(reader.unknown(field)),
            }
        }
        Ok(BlockPart {
            height,
            header: header.ok_or(DecodeError::Missing("a part set header"))?,
            part: part.ok_or(DecodeError::Missing("a part"))?,
        })
    }
}

impl Message for Certificate {
    fn write(&self, to: &mut Writer) {
        to.uint(1, u64::from(u8::from(self.vote_type)));
        to.uint(2, self.height);
        to.uint(3, u64::from(self.round));
        to.message(4, &self.block_id);
        for entry in &self.entries {
            to.message(5, entry);
        }
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("Certificate", bytes);
        let (mut vote_type, mut height, mut round) = (None, 0, 0);
        let (mut block_id, mut entries) = (BlockId::NIL, Vec::new());
        while let Some((field, value)) = reader.next_field()? {
            match field {
                1 => {
                    let number = u8::try_from(value.uint()?);
                    let number = number.map_err(|_| DecodeError::OutOfRange("a vote's type"))?;
                    vote_type = Some(VoteType::try_from(number)?);
                }
                2 => height = value.natural("a height")?,
                3 => round = value.natural32("a round")?,
                4 => block_id = value.message()?,
                5 if entries.len() == MAX_ENTRIES => {
                    return Err(DecodeError::TooMany("votes in a certificate"));
                }
                5 => entries.push(value.message()?),
                _ => return Err(reader.unknown(field)),
            }
        }
        let vote_type = vote_type.ok_or(DecodeError::Missing("a vote's type"))?;
        Ok(Certificate {
            vote_type,
            height,
            round,
            block_id,
            entries,
        })
    }
}

impl Message for Entry {
    fn write(&self, to: &mut Writer) {
        to.uint(1, u64::from(self.validator_index));
        to.message(2, &self.timestamp);
        to.bytes(3, &self.signature.0);
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("Entry", bytes);
        let (mut validator_index, mut timestamp, mut signature) = (0, None, None);
        while let Some((field, value)) = reader.next_field()? {
            match field {
                1 => validator_index = value.natural32("a validator's index")?,
                2 => timestamp = Some(value.message()?),
                3 => signature = Some(Signature(value.array("a signature")?)),
                _ => return Err(reader.unknown(field)),
            }
        }
        let timestamp = timestamp.ok_or(DecodeError::Missing("a timestamp"))?;
        let signature = signature.ok_or(DecodeError::Missing("a signature"))?;
        Ok(Entry {
            validator_index,
            timestamp,
            signature,
        })
    }
}
