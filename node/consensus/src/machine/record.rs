//! What the WAL holds: the inputs that changed the machine's state, with the clock at which they
//! were handled. Fed to a machine at the start of the same height, they lead to the same state.

use super::effect::{Timeout, TimeoutKind};
use super::gossip::{BlockPart, Certificate, Gossip};
use super::input::{Input, Peer, Signed};
use crate::error::DecodeError;
use crate::proto::{Message, Reader, Writer};
use crate::types::{Block, BlockId, Proposal, Timestamp, Vote};

/// One record of the WAL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Height at which the machine stood.
    pub height: u64,
    /// The clock.
    pub now: Timestamp,
    /// What was handled.
    pub(super) logged: Logged,
}

/// What was handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Logged {
    /// Round 0 began.
    Begin,
    /// The block of round 0 became due.
    BlockDue,
    /// An input that was accepted.
    Input(Box<Input>),
}

/// The same, borrowed, for writing.
#[derive(Clone, Copy, Debug)]
pub(super) enum Entry<'a> {
    Begin,
    BlockDue,
    Proposal(&'a Proposal),
    Part(&'a BlockPart),
    Vote(&'a Vote),
    Certificate(&'a Certificate),
    Timeout(Timeout),
    Value(u32, &'a Block),
    Validated(&'a BlockId, bool),
    SignedProposal(&'a Proposal),
    SignedVote(&'a Vote),
}

/// The bytes of a record.
pub(super) fn encode(height: u64, now: Timestamp, entry: Entry<'_>) -> Vec<u8> {
    let mut to = Writer::new();
    to.uint(1, height);
    to.message(2, &now);
    match entry {
        Entry::Begin => to.uint(3, 1),
        Entry::BlockDue => to.uint(3, 2),
        Entry::Proposal(proposal) => to.message(4, proposal),
        Entry::Part(part) => to.message(5, part),
        Entry::Vote(vote) => to.message(6, vote),
        Entry::Certificate(certificate) => to.message(7, certificate),
        Entry::Timeout(timeout) => to.message(8, &timeout),
        Entry::Value(round, block) => {
            to.uint(9, u64::from(round) + 1);
            to.message(10, block);
        }
        Entry::Validated(block_id, valid) => {
            to.uint(11, u64::from(valid) + 1);
            to.message(12, block_id);
        }
        Entry::SignedProposal(proposal) => to.message(13, proposal),
        Entry::SignedVote(vote) => to.message(14, vote),
    }
    to.finish()
}

impl Record {
    /// Reads a record. The WAL's own checksum tells damage; this fails only for another format.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("Record", bytes);
        let (mut height, mut now, mut logged) = (0, None, None);
        let (mut round, mut valid) = (None, None);
        while let Some((field, value)) = reader.next_field()? {
            let input = match field {
                1 => {
                    height = value.natural("a height")?;
                    continue;
                }
                2 => {
                    now = Some(value.message()?);
                    continue;
                }
                3 => {
                    logged = Some(if value.uint()? == 1 {
                        Logged::Begin
                    } else {
                        Logged::BlockDue
                    });
                    continue;
                }
                9 => {
                    round = Some(value.uint32("a round")?.saturating_sub(1));
                    continue;
                }
                11 => {
                    valid = Some(value.uint()? == 2);
                    continue;
                }
                4 => from_peer(Gossip::Proposal(value.message()?)),
                5 => from_peer(Gossip::Part(value.message()?)),
                6 => from_peer(Gossip::Vote(value.message()?)),
                7 => from_peer(Gossip::Certificate(value.message()?)),
                8 => Input::Timeout(value.message()?),
                10 => {
                    let round = round.ok_or(DecodeError::Missing("a round"))?;
                    Input::Value {
                        height,
                        round,
                        block: Box::new(value.message()?),
                    }
                }
                12 => {
                    let valid = valid.ok_or(DecodeError::Missing("an answer"))?;
                    Input::Validated {
                        height,
                        block_id: value.message()?,
                        valid,
                    }
                }
                13 => Input::Signed(Signed::Proposal(value.message()?)),
                14 => Input::Signed(Signed::Vote(value.message()?)),
                _ => return Err(reader.unknown(field)),
            };
            logged = Some(Logged::Input(Box::new(input)));
        }
        let now = now.ok_or(DecodeError::Missing("a time"))?;
        let logged = logged.ok_or(DecodeError::Missing("an input"))?;
        Ok(Record {
            height,
            now,
            logged,
        })
    }
}

/// Who sent a message does not matter any more.
fn from_peer(message: Gossip) -> Input {
    Input::Message {
        from: Peer(0),
        message,
    }
}

impl Message for Timeout {
    fn write(&self, to: &mut Writer) {
        to.uint(1, self.height);
        to.uint(2, u64::from(self.round));
        to.uint(3, self.kind as u64);
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("Timeout", bytes);
        let (mut height, mut round, mut kind) = (0, 0, 0);
        while let Some((field, value)) = reader.next_field()? {
            match field {
                1 => height = value.natural("a height")?,
                2 => round = value.natural32("a round")?,
                3 => kind = value.uint()?,
                _ => return Err(reader.unknown(field)),
            }
        }
        let kind = TimeoutKind::ALL.into_iter().find(|k| *k as u64 == kind);
        let kind = kind.ok_or(DecodeError::OutOfRange("a kind of timeout"))?;
        Ok(Timeout {
            height,
            round,
            kind,
        })
    }
}

impl TimeoutKind {
    /// All kinds.
    pub const ALL: [TimeoutKind; 5] = [
        TimeoutKind::CommitWait,
        TimeoutKind::BlockInterval,
        TimeoutKind::Propose,
        TimeoutKind::Prevote,
        TimeoutKind::Precommit,
    ];
}
