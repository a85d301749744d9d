//! When the block of round 0 is due.

use super::config::Config;
use super::effect::{Timeout, TimeoutKind, Transactions};
use super::record::Entry;
use super::{Effect, Machine, Step, Turn};
use crate::types::{Block, Timestamp};
use crate::verify::bft_time;
use std::time::Duration;

/// Whether a block did something, so that one more block follows early and makes the state after
/// it provable (as CometBFT's proof block). Bookkeeping on an empty block triggers nothing.
/// `due_work` is the runtime's word for what the block did besides its transactions.
pub fn wants_proof(block: &Block, due_work: bool) -> bool {
    due_work || !block.data.txs.is_empty() || !block.evidence.0.is_empty()
}

/// When things happened here, by this node's clock; unknown after a start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Timing {
    last_block: Option<Timestamp>,
    last_transactions: Option<Timestamp>,
}

impl Timing {
    /// Notes that a block was decided.
    pub(super) fn decided(&mut self, block: &Block, now: Timestamp) {
        self.last_block = Some(now);
        if !block.data.txs.is_empty() {
            self.last_transactions = Some(now);
        }
    }

    fn until_empty_block(&self, config: &Config, now: Timestamp) -> Duration {
        remaining(self.last_block, config.empty_block_interval(), now)
    }

    fn until_transactions(&self, config: &Config, now: Timestamp) -> Duration {
        remaining(self.last_transactions, config.min_block_interval(), now)
    }
}

impl Machine {
    /// Enters the propose step of round 0 if its block is due, else asks to be woken when it is.
    pub(super) fn consider_block(&mut self, turn: &mut Turn<'_>) {
        if self.step != Step::NewRound || self.replaying {
            return;
        }
        let wait = self.until_block(turn.now);
        if wait.is_zero() {
            self.log(Entry::BlockDue, turn);
            self.enter_propose(turn);
            self.advance(turn);
        } else {
            let (height, round) = (self.start.height, self.round);
            let timeout = Timeout {
                height,
                round,
                kind: TimeoutKind::BlockInterval,
            };
            turn.push(Effect::Schedule(timeout, wait));
        }
    }

    fn until_block(&self, now: Timestamp) -> Duration {
        if self.start.proof_wanted {
            return Duration::ZERO;
        }
        let empty = self.timing.until_empty_block(&self.config, now);
        if self.start.work_waiting {
            empty.min(self.timing.until_transactions(&self.config, now))
        } else {
            empty
        }
    }

    /// Whether a block proposed now may carry transactions.
    pub(super) fn transactions(&self, now: Timestamp) -> Transactions {
        let stale = self.config.is_nearly_stale(self.next_block_time(), now);
        if stale || !self.timing.until_transactions(&self.config, now).is_zero() {
            Transactions::LeftOut
        } else {
            Transactions::Allowed
        }
    }

    /// Time of the block that would be proposed now.
    fn next_block_time(&self) -> Timestamp {
        match &self.last_commit {
            Some(last) => bft_time(&last.commit(), &last.validators),
            None => self.start.last_block_time,
        }
    }
}

/// What is left of `interval` since `last`; never more than all of it, whatever the clock does.
fn remaining(last: Option<Timestamp>, interval: Duration, now: Timestamp) -> Duration {
    let Some(last) = last else {
        return Duration::ZERO;
    };
    let elapsed_ns = now.unix_nanos() - last.unix_nanos();
    let elapsed = Duration::from_nanos(u64::try_from(elapsed_ns.max(0)).unwrap_or(u64::MAX));
    interval.saturating_sub(elapsed)
}
