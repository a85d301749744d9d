//! What the machine is told.

use super::effect::{SignRequest, Timeout};
use super::gossip::Gossip;
use crate::state::ChainState;
use crate::types::{Block, BlockId, Commit, Proposal, Timestamp, ValidatorSet, Vote};

/// Something that happened. Inputs may come late, twice, out of order or from an enemy; those for
/// another height or round are ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A message from a peer.
    Message {
        /// Who handed it over; limits for messages that cannot be judged yet are kept by peer.
        from: Peer,
        /// The message, as decoded.
        message: Gossip,
    },
    /// A block and the precommits that decided it, from a peer that is ahead.
    Committed {
        /// The block.
        block: Box<Block>,
        /// More than 2/3 of the precommits of one round.
        commit: Commit,
    },
    /// A timeout that was asked for has passed.
    Timeout(Timeout),
    /// The block that [`super::Effect::RequestValue`] asked for. The shell built it itself, so it
    /// is taken to be valid.
    Value {
        /// Height that it was asked for.
        height: u64,
        /// Round that it was asked for.
        round: u32,
        /// The block.
        block: Box<Block>,
    },
    /// The answer to [`super::Effect::Validate`].
    Validated {
        /// Height of the block.
        height: u64,
        /// The block.
        block_id: BlockId,
        /// Whether it may follow the last block: by [`ChainState::validate_block`], evidence and
        /// transactions included.
        valid: bool,
    },
    /// The answer to [`super::Effect::Sign`]. It may carry the time of an earlier signature.
    Signed(Signed),
    /// The signer refused, because it signed something else before. The machine stays silent.
    SignRefused(SignRequest),
    /// Transactions or evidence are waiting for a block.
    WorkWaiting,
    /// The decided block was executed: here is what the next height starts from.
    Applied(Box<Start>),
}

/// A peer, as a number that the shell gives out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer(pub u64);

/// Something with this node's own signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signed {
    /// A proposal.
    Proposal(Proposal),
    /// A vote.
    Vote(Vote),
}

/// What a height starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The height to decide.
    pub height: u64,
    /// Its validators, at the turn of round 0.
    pub validators: ValidatorSet,
    /// The validators of the last height; none at the first.
    pub last_validators: Option<ValidatorSet>,
    /// Time of the last block; genesis time at the first height, whose block carries it.
    pub last_block_time: Timestamp,
    /// Precommits that decided the last block, as many as are known; empty at the first height.
    pub last_commit: Commit,
    /// Largest block in bytes.
    pub max_block_bytes: usize,
    /// Whether the last block did something, so that one more block follows early and makes the
    /// state after it provable: see [`super::wants_proof`].
    pub proof_wanted: bool,
    /// Whether transactions or evidence are waiting for a block.
    pub work_waiting: bool,
}

impl Start {
    /// The height after `chain`, whose last block was decided by `last_commit` (empty if there is
    /// no block yet).
    pub fn after(chain: &ChainState, last_commit: Commit) -> Self {
        let max_bytes = usize::try_from(chain.consensus_params.block.max_bytes);
        Start {
            height: chain.next_height(),
            validators: chain.validators.clone(),
            last_validators: chain
                .last_validators
                .clone()
                .filter(|_| !chain.is_initial()),
            last_block_time: chain.last_block_time,
            last_commit,
            max_block_bytes: max_bytes.unwrap_or(usize::MAX),
            proof_wanted: false,
            work_waiting: false,
        }
    }
}

/// What became of an input. For gossip: accepted is forwarded, ignored is not, refused is not and
/// counts against the sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was new and of use.
    Accepted,
    /// It changed nothing.
    Ignored(Ignored),
    /// No correct node sends this.
    Refused(Refused),
}

/// Why an input changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignored {
    /// It was known before.
    Known,
    /// It is for a height or round that is over.
    Past,
    /// It is for a height or round that has not begun. What fits is kept until then.
    Future,
    /// Nobody asked for it, or the answer does not matter any more.
    Unwanted,
}

/// What is wrong with an input that no correct node sends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It breaks a rule of its type.
    #[error(transparent)]
    Invalid(#[from] crate::error::Invalid),
    /// It names a validator that is not there, or not at that place.
    #[error("there is no such validator")]
    UnknownValidator,
    /// Its signature is wrong.
    #[error("a signature is wrong")]
    Signature,
    /// The block is larger than allowed.
    #[error("the block is larger than allowed")]
    Oversized,
    /// A commit that decides nothing, or with something in it that its signer did not sign.
    #[error(transparent)]
    Commit(crate::error::VerifyError),
    /// A certificate without more than 2/3 of the power.
    #[error("a certificate holds too little voting power")]
    TooLittlePower,
    /// A block that is not the one that its commit names.
    #[error("the block is not the one that its commit names")]
    OtherBlock,
}
