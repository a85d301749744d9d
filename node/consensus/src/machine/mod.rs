//! The consensus state machine: Tendermint as in arXiv:1807.04938, inputs in, effects out.
//!
//! ```text
//!             gossip, timeouts, blocks, verdicts, signatures
//!                              │ Input, clock
//!                              ▼
//!   WAL ◄── Persist ── Machine::handle ──► Broadcast, Schedule, Validate, Sign, Commit ...
//!    │                         ▲                              Effect, in order
//!    └──── Machine::replay ────┘ after a crash, then Machine::resume
//! ```
//!
//! The same machine runs in the node, in the simulator and under the fuzzer. Comments `line n`
//! name the line of Algorithm 1 of the paper that a rule comes from. There is no unlocking: a lock
//! changes only by a newer polka.
//!
//! - An input is checked, logged, applied; then rules fire until none does (`advance`). A rule
//!   looks only at what is stored, so the order of inputs does not matter to it.
//! - The machine is a function of its start and of the records it wrote. [`Machine::replay`]
//!   feeds them back; see [`Effect`] for what has to be durable when.
//! - A block decides by its name: proposal, parts and votes meet in `candidates`, so a block is
//!   also collected when only votes tell of it.
//! - **Bounds.** Every place from outside is looked up, never indexed. Of a validator count: its
//!   first vote for each type and round up to the current one, its votes of two later rounds, its
//!   proposal for the current or the next round. Messages for the next height are kept within
//!   bounds for each peer; for other heights not at all. Rounds long past are forgotten.
//!
//! Beyond the paper, and why it is still right:
//! - A valid block is also learned from a polka of an earlier round (the paper: of the current
//!   one). Line 28 asks proposers for no more than that the polka exists.
//! - A round is skipped to if more than 1/3 have voted in it *or a later one* (line 55: in it).
//!   One of them is correct and left it; safety does not depend on when a round starts.
//! - A polka or a decision counts as soon as its block is here, without the proposal that first
//!   carried it.
//! - A decision needs more than 2/3 of precommits stamped after their block, and only those are in
//!   its commit. Every correct validator stamps so; without this rule one faulty validator can
//!   make the next block's time, the median of the commit, impossible.
//!
//! Deliberately not here: the disk, the signer, the mempool, the execution of blocks, the pool of
//! evidence, and which peer is asked for what is missing (`pull` says what).

mod ahead;
mod bits;
mod candidates;
mod commit;
mod config;
mod effect;
mod gossip;
mod input;
mod planted;
mod precommit;
mod prevote;
mod proposal;
mod pull;
mod quorum;
mod record;
mod recovery;
mod request;
mod round;
mod rounds;
mod signing;
mod timing;
mod vote;
mod vote_set;

#[cfg(test)]
mod tests;

pub use bits::BitSet;
pub use config::Config;
pub use effect::{
    Decided, Effect, Equivocation, Notice, SignRequest, Step, Timeout, TimeoutKind, Transactions,
    ValueRequest,
};
pub use gossip::{BlockPart, Certificate, Entry, Gossip};
pub use input::{Ignored, Input, Peer, Refused, Signed, Start, Verdict};
pub use planted::Bug;
pub use pull::{PartsSummary, RoundSummary, Summary};
pub use record::Record;
pub use timing::wants_proof;

use crate::types::{BlockId, Commit, PublicKey, Signature, Timestamp, ValidatorAddress};
use ahead::Ahead;
use candidates::Candidates;
use commit::LastCommit;
use planted::Bugs;
use quorum::Quorum;
use rounds::Rounds;
use std::fmt;
use std::sync::Arc;
use timing::Timing;

/// Checks a signature by ZIP-215. The node may answer from a cache of what it has checked before;
/// the answer must be that of [`PublicKey::verify`].
pub trait VerifySignature: Send + Sync {
    /// Whether `signature` over `message` is by `key`.
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool;
}

/// Checks each signature when it is asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Zip215;

impl VerifySignature for Zip215 {
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
        key.verify(message, signature)
    }
}

/// One node's consensus.
pub struct Machine {
    config: Config,
    own: Option<ValidatorAddress>,
    verifier: Arc<dyn VerifySignature>,
    bugs: Bugs,
    /// What the height started from.
    start: Start,
    quorum: Quorum,
    round: u32,
    step: Step,
    locked: Option<Held>,
    valid: Option<Held>,
    rounds: Rounds,
    candidates: Candidates,
    last_commit: Option<LastCommit>,
    /// Signatures that were asked for and have not come.
    signing: Vec<SignRequest>,
    /// Whether a block to propose was asked for and has not come.
    value_wanted: bool,
    decided: Option<Held>,
    /// A commit came from a peer: nothing is voted for any more at this height, which is over.
    overtaken: Option<Commit>,
    commit_wait_over: bool,
    timing: Timing,
    ahead: Ahead,
    replaying: bool,
}

/// A block with the round that made it matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    round: u32,
    block_id: BlockId,
}

/// One call of the machine: the clock, and what it wants done.
struct Turn<'a> {
    now: Timestamp,
    effects: &'a mut Vec<Effect>,
}

impl Turn<'_> {
    fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    fn notice(&mut self, notice: Notice) {
        self.effects.push(Effect::Notice(notice));
    }
}

impl Machine {
    /// A machine before its height. `own` is this node's address if it holds a validator's key;
    /// it votes while that validator is in the set. Replay the WAL's records, if there are any,
    /// then [`Machine::resume`].
    pub fn new(config: Config, own: Option<ValidatorAddress>, start: Start) -> Self {
        Machine::with_verifier(config, own, start, Arc::new(Zip215))
    }

    /// The same, with a verifier of one's own.
    pub fn with_verifier(
        config: Config,
        own: Option<ValidatorAddress>,
        start: Start,
        verifier: Arc<dyn VerifySignature>,
    ) -> Self {
        let bugs = Bugs::default();
        let quorum = Quorum::new(start.validators.total_voting_power(), bugs);
        Machine {
            config,
            own,
            verifier,
            bugs,
            quorum,
            round: 0,
            step: Step::NewHeight,
            locked: None,
            valid: None,
            rounds: Rounds::new(start.height, quorum, bugs),
            candidates: Candidates::default(),
            last_commit: LastCommit::of_start(&start, bugs),
            signing: Vec::new(),
            value_wanted: false,
            decided: None,
            overtaken: None,
            commit_wait_over: false,
            timing: Timing::default(),
            ahead: Ahead::default(),
            replaying: false,
            start,
        }
    }

    /// Plants a bug. Only in builds for the simulator's own tests.
    #[cfg(feature = "planted-bugs")]
    pub fn plant(&mut self, bug: Bug) {
        self.bugs.planted = Some(bug);
        self.quorum = Quorum::new(self.start.validators.total_voting_power(), self.bugs);
        self.rounds = Rounds::new(self.start.height, self.quorum, self.bugs);
    }

    /// Handles one input at the clock `now`. What is to be done is appended to `effects`.
    pub fn handle(&mut self, input: Input, now: Timestamp, effects: &mut Vec<Effect>) -> Verdict {
        let turn = &mut Turn { now, effects };
        let result = match input {
            Input::Message { from, message } => self.on_message(from, message, turn),
            Input::Committed { block, commit } => self.on_committed(*block, &commit, turn),
            Input::Timeout(timeout) => self.on_timeout(timeout, turn),
            Input::Value {
                height,
                round,
                block,
            } => self.on_value(height, round, *block, turn),
            Input::Validated {
                height,
                block_id,
                valid,
            } => self.on_validated(height, block_id, valid, turn),
            Input::Signed(Signed::Proposal(proposal)) => self.on_signed_proposal(proposal, turn),
            Input::Signed(Signed::Vote(vote)) => self.on_signed_vote(vote, turn),
            Input::SignRefused(request) => self.on_refused(&request),
            Input::WorkWaiting => self.on_work_waiting(turn),
            Input::Applied(start) => self.on_applied(*start, turn),
        };
        match result {
            Ok(()) => Verdict::Accepted,
            Err(Rejection::Ignored(why)) => Verdict::Ignored(why),
            Err(Rejection::Refused(why)) => Verdict::Refused(why),
        }
    }

    /// The height that is being decided, or was just decided.
    pub fn height(&self) -> u64 {
        self.start.height
    }

    /// The round.
    pub fn round(&self) -> u32 {
        self.round
    }

    /// The step within the round.
    pub fn step(&self) -> Step {
        self.step
    }

    /// The validator whose turn it is.
    pub fn proposer(&self) -> ValidatorAddress {
        let round = self.rounds.get(self.round);
        round.map_or(self.start.validators.proposer().address, |round| {
            round.proposer.address
        })
    }

    /// The block that this node is locked on, and the round of the lock.
    pub fn locked(&self) -> Option<(u32, BlockId)> {
        self.locked.map(|held| (held.round, held.block_id))
    }

    /// The block that this node would propose, and the round of its polka.
    pub fn valid(&self) -> Option<(u32, BlockId)> {
        self.valid.map(|held| (held.round, held.block_id))
    }

    /// What this height started from.
    pub fn start(&self) -> &Start {
        &self.start
    }

    fn on_message(&mut self, from: Peer, message: Gossip, turn: &mut Turn<'_>) -> Outcome {
        message.validate_basic().map_err(Refused::Invalid)?;
        let height = message.height();
        if height > self.start.height {
            if height == self.start.height.saturating_add(1) && !self.replaying {
                self.ahead.push(from, message);
            }
            return Err(Ignored::Future.into());
        }
        match message {
            Gossip::Vote(vote) if height.saturating_add(1) == self.start.height => {
                self.on_late_vote(vote, turn)
            }
            _ if height < self.start.height => Err(Ignored::Past.into()),
            Gossip::Proposal(proposal) => self.on_proposal(proposal, turn),
            Gossip::Part(part) => self.on_part(&part, turn),
            Gossip::Vote(vote) => self.on_vote(vote, turn),
            Gossip::Certificate(certificate) => self.on_certificate(&certificate, turn),
        }
    }

    fn on_work_waiting(&mut self, turn: &mut Turn<'_>) -> Outcome {
        if std::mem::replace(&mut self.start.work_waiting, true) {
            return Err(Ignored::Known.into());
        }
        self.consider_block(turn);
        Ok(())
    }

    /// Lets rules fire until none does.
    fn advance(&mut self, turn: &mut Turn<'_>) {
        for (block_id, block) in self.candidates.unasked() {
            turn.push(Effect::Validate {
                height: self.start.height,
                block_id,
                block,
            });
        }
        self.tell_complete(turn);
        while self.fire(turn) {}
    }

    /// Fires the first rule that applies; whether there was one.
    fn fire(&mut self, turn: &mut Turn<'_>) -> bool {
        if self.step == Step::Commit {
            return false;
        }
        if self.overtaken.is_some() {
            return self.decide(turn);
        }
        if self.step == Step::NewHeight {
            return false;
        }
        self.decide(turn)
            || self.skip_round(turn)
            || self.follow_others(turn)
            || self.prevote(turn)
            || self.wait_for_prevotes(turn)
            || self.take_polka(turn)
            || self.learn_valid_block(turn)
            || self.precommit_nil(turn)
            || self.wait_for_precommits(turn)
    }
}

/// Why an input was not applied.
enum Rejection {
    Ignored(Ignored),
    Refused(Refused),
}

type Outcome = Result<(), Rejection>;

impl From<Ignored> for Rejection {
    fn from(why: Ignored) -> Self {
        Rejection::Ignored(why)
    }
}

impl From<Refused> for Rejection {
    fn from(why: Refused) -> Self {
        Rejection::Refused(why)
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine")
            .field("height", &self.start.height)
            .field("round", &self.round)
            .field("step", &self.step)
            .field("locked", &self.locked)
            .field("valid", &self.valid)
            .finish_non_exhaustive()
    }
}
