//! Bugs to plant on purpose, so that the simulator can prove that it would see them.
//!
//! The machine asks [`Bugs::has`] at the places where such a bug would be made. Without the
//! feature `planted-bugs` the answer is a constant, and there is no way to plant one.

/// A bug that somebody could make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bug {
    /// Prevotes whatever is proposed, although it is locked on another block.
    NoLock,
    /// Believes a proposal's proof-of-lock round without having seen the polka.
    NoPolkaCheck,
    /// Writes nothing to the WAL.
    WalSkipped,
    /// Signs without looking at what was signed before.
    SignStateForgotten,
    /// Takes one vote too few for more than 2/3.
    QuorumOffByOne,
    /// Commits the block of the round's proposal, not the one that was precommitted.
    CommitsOtherBlock,
    /// Counts a vote in its current round, whatever round the vote is for.
    VotesOfAnyRound,
    /// Counts a vote again when it comes again.
    DoubleCount,
    /// Prevotes a block without asking whether it is valid.
    PrevotesInvalid,
    /// Acts on a timeout of a round that is over.
    StaleTimeouts,
    /// Proposes a new block although it knows a valid one.
    ForgetsValidBlock,
    /// Stamps its votes with its own clock alone.
    ClockOnlyVoteTime,
    /// Drops what its peers say about equivocation.
    NoEvidence,
}

impl Bug {
    /// All of them.
    pub const ALL: [Bug; 13] = [
        Bug::NoLock,
        Bug::NoPolkaCheck,
        Bug::WalSkipped,
        Bug::SignStateForgotten,
        Bug::QuorumOffByOne,
        Bug::CommitsOtherBlock,
        Bug::VotesOfAnyRound,
        Bug::DoubleCount,
        Bug::PrevotesInvalid,
        Bug::StaleTimeouts,
        Bug::ForgetsValidBlock,
        Bug::ClockOnlyVoteTime,
        Bug::NoEvidence,
    ];
}

/// The bugs that are planted: none, except in a build with the feature `planted-bugs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bugs {
    #[cfg(feature = "planted-bugs")]
    pub(super) planted: Option<Bug>,
}

impl Bugs {
    /// Whether this bug is planted.
    #[cfg(feature = "planted-bugs")]
    pub(crate) fn has(self, bug: Bug) -> bool {
        self.planted == Some(bug)
    }

    /// Whether this bug is planted: never in this build.
    #[cfg(not(feature = "planted-bugs"))]
    pub(crate) const fn has(self, _bug: Bug) -> bool {
        false
    }
}
