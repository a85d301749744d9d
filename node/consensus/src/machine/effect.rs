//! What the machine wants done.

use super::gossip::Gossip;
use crate::types::{Block, BlockId, Commit, PartSet, Proposal, ValidatorAddress, Vote};
use std::sync::Arc;
use std::time::Duration;

/// Something for the shell to do, in the order of the list.
///
/// **Crash rule.** Every [`Effect::Persist`] is appended to the WAL in order. Before a signature
/// asked for by [`Effect::Sign`] leaves the process or is handed back, (1) all records before it
/// in the order of effects and (2) the signer's state with this signature must be durable; both
/// may be synced at once. Nothing else waits for the disk. Then whatever others may know of this
/// node, it knows again after a crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Append this record to the WAL of the current height. [`super::Machine::replay`] reads it.
    Persist(Vec<u8>),
    /// Sign this, if [`crate::files::SignState::decide`] allows; answer with `Signed` or `SignRefused`.
    Sign(SignRequest),
    /// Send this to all peers.
    Broadcast(Gossip),
    /// Answer with `Timeout` after this long. A later request with the same content replaces it.
    Schedule(Timeout, Duration),
    /// Build a block; answer with `Value`.
    RequestValue(ValueRequest),
    /// Judge this block; answer with `Validated`.
    Validate {
        /// Height of the block.
        height: u64,
        /// The block's name.
        block_id: BlockId,
        /// The block.
        block: Arc<Block>,
    },
    /// The block is final: store it durably, execute it, answer with `Applied`.
    Commit(Box<Decided>),
    /// A validator signed two votes where only one is allowed.
    Equivocation(Box<Equivocation>),
    /// For metrics, logs and subscribers; nothing depends on it.
    Notice(Notice),
}

/// A timeout that was asked for. The machine ignores those that are no longer of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timeout {
    /// Height for which it was asked.
    pub height: u64,
    /// Round for which it was asked.
    pub round: u32,
    /// What was waited for.
    pub kind: TimeoutKind,
}

/// What a timeout ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimeoutKind {
    /// The wait for missing precommits of the last height, before this height starts.
    CommitWait,
    /// The wait before the block of round 0 is due.
    BlockInterval,
    /// The wait for a proposal (line 57).
    Propose,
    /// The wait for more prevotes (line 61).
    Prevote,
    /// The wait for more precommits (line 65).
    Precommit,
}

/// What is to be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignRequest {
    /// A proposal.
    Proposal(Proposal),
    /// A vote.
    Vote(Vote),
}

/// What block is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueRequest {
    /// Height of the block.
    pub height: u64,
    /// Round in which it will be proposed.
    pub round: u32,
    /// The precommits for the last block that go into it.
    pub last_commit: Commit,
    /// Its proposer, this node.
    pub proposer: ValidatorAddress,
    /// Whether it may carry transactions.
    pub transactions: Transactions,
}

/// Whether a block may carry transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transactions {
    /// It may.
    Allowed,
    /// It is too early for the next block with transactions, or the block's time lies so far
    /// behind that validators would refuse it.
    LeftOut,
}

/// A block that can never be undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Round in which it was decided.
    pub round: u32,
    /// The block's name.
    pub block_id: BlockId,
    /// The block.
    pub block: Arc<Block>,
    /// The block's bytes in parts.
    pub parts: Arc<PartSet>,
    /// The precommits of that round that have come so far; more than 2/3 are for the block.
    pub commit: Commit,
}

/// Two votes of one validator for one height, round and type, in the order in which evidence has
/// them. Evidence also carries the time of the height's block, which may not be known yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Equivocation {
    /// The vote with the smaller block id.
    pub vote_a: Vote,
    /// The vote with the larger block id.
    pub vote_b: Vote,
    /// The offender's power.
    pub validator_power: u64,
    /// The power of the set.
    pub total_voting_power: u64,
}

/// Where a validator stands within a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The height has not started: precommits of the last one are awaited.
    NewHeight,
    /// Round 0 has started, the next block is not due.
    NewRound,
    /// A proposal is awaited.
    Propose,
    /// It prevoted.
    Prevote,
    /// It precommitted.
    Precommit,
    /// The height is decided, the block is being executed.
    Commit,
}

/// Something to tell people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A step began.
    Step {
        /// Height.
        height: u64,
        /// Round.
        round: u32,
        /// The step.
        step: Step,
    },
    /// A round began.
    NewRound {
        /// Height.
        height: u64,
        /// Round.
        round: u32,
        /// Whose turn it is.
        proposer: ValidatorAddress,
    },
    /// The block of the round's proposal is complete.
    CompleteProposal {
        /// Round of the proposal.
        round: u32,
        /// The block.
        block_id: BlockId,
    },
    /// More than 2/3 prevoted the block, or nil.
    Polka {
        /// Round of the prevotes.
        round: u32,
        /// The block.
        block_id: BlockId,
    },
    /// This node locked the block.
    Lock {
        /// Round of the lock.
        round: u32,
        /// The block.
        block_id: BlockId,
    },
    /// This node locked the same block in a later round.
    Relock {
        /// Round of the lock.
        round: u32,
        /// The block.
        block_id: BlockId,
    },
    /// This block is what the node will propose when it is its turn.
    ValidBlock {
        /// Round of the polka.
        round: u32,
        /// The block.
        block_id: BlockId,
    },
    /// A timeout took effect.
    TimedOut(Timeout),
    /// A proposal with transactions was not voted for, because its time lies far behind.
    StaleProposal {
        /// Round of the proposal.
        round: u32,
        /// The block.
        block_id: BlockId,
    },
    /// More than 2/3 precommitted a block that this node finds invalid: more than 1/3 of the
    /// power is faulty, or this node's state is damaged. It cannot go on; people must look.
    InvalidDecision {
        /// Round of the precommits.
        round: u32,
        /// The block.
        block_id: BlockId,
    },
}
