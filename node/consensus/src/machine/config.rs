//! What an operator sets, and what follows from it.

use crate::types::Timestamp;
use std::time::Duration;

/// Settings of the machine. Validators should agree on them roughly; safety does not need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The chain's name; in the bytes that votes sign.
    pub chain_id: String,
    /// How long a validator waits for a round's proposal before it prevotes nil.
    pub propose_timeout_ms: u64,
    /// How much longer in each further round.
    pub propose_timeout_delta_ms: u64,
    /// How long it waits for more prevotes once 2/3 of the power have prevoted anything.
    pub prevote_timeout_ms: u64,
    /// How much longer in each further round.
    pub prevote_timeout_delta_ms: u64,
    /// How long it waits for more precommits once 2/3 of the power have precommitted anything.
    pub precommit_timeout_ms: u64,
    /// How much longer in each further round.
    pub precommit_timeout_delta_ms: u64,
    /// How long a height waits for the precommits of the last one that are still missing.
    pub commit_wait_ms: u64,
    /// Transactions are taken into a block no sooner than this after the last block with any.
    pub min_block_interval_ms: u64,
    /// How long an idle chain waits before it makes an empty block.
    pub empty_block_interval_ms: u64,
}

impl Config {
    /// The defaults of a testnet, for a chain of this name.
    pub fn new(chain_id: impl Into<String>) -> Self {
        Config {
            chain_id: chain_id.into(),
            propose_timeout_ms: 500,
            propose_timeout_delta_ms: 250,
            prevote_timeout_ms: 250,
            prevote_timeout_delta_ms: 250,
            precommit_timeout_ms: 250,
            precommit_timeout_delta_ms: 250,
            commit_wait_ms: 20,
            min_block_interval_ms: 100,
            empty_block_interval_ms: 1_000,
        }
    }

    /// Longest wait for the proposal of `round`.
    pub fn propose_timeout(&self, round: u32) -> Duration {
        growing(
            self.propose_timeout_ms,
            self.propose_timeout_delta_ms,
            round,
        )
    }

    /// Longest wait for more prevotes of `round`.
    pub fn prevote_timeout(&self, round: u32) -> Duration {
        growing(
            self.prevote_timeout_ms,
            self.prevote_timeout_delta_ms,
            round,
        )
    }

    /// Longest wait for more precommits of `round`.
    pub fn precommit_timeout(&self, round: u32) -> Duration {
        growing(
            self.precommit_timeout_ms,
            self.precommit_timeout_delta_ms,
            round,
        )
    }

    /// Longest wait for the last height's missing precommits.
    pub fn commit_wait(&self) -> Duration {
        Duration::from_millis(self.commit_wait_ms)
    }

    /// Least time between two blocks with transactions.
    pub fn min_block_interval(&self) -> Duration {
        Duration::from_millis(self.min_block_interval_ms)
    }

    /// Time between two blocks of an idle chain.
    pub fn empty_block_interval(&self) -> Duration {
        Duration::from_millis(self.empty_block_interval_ms)
    }

    /// Whether a fresh proposal with transactions is refused because its time lies so far behind.
    ///
    /// BFT time stamps a block with the moment its predecessor was committed. After a halt that
    /// is long ago, and nothing may take effect at such a time.
    pub fn is_stale(&self, block_time: Timestamp, now: Timestamp) -> bool {
        behind_ns(block_time, now) > self.stale_after_ns()
    }

    /// Whether a proposer leaves transactions out because the block's time lies behind: at half
    /// the distance that validators refuse, so that clocks that differ a little cost no round.
    pub fn is_nearly_stale(&self, block_time: Timestamp, now: Timestamp) -> bool {
        behind_ns(block_time, now) > self.stale_after_ns() / 2
    }

    fn stale_after_ns(&self) -> i128 {
        (2 * i128::from(self.empty_block_interval_ms) + 10_000) * 1_000_000
    }
}

fn behind_ns(block_time: Timestamp, now: Timestamp) -> i128 {
    now.unix_nanos() - block_time.unix_nanos()
}

fn growing(base_ms: u64, delta_ms: u64, round: u32) -> Duration {
    Duration::from_millis(base_ms.saturating_add(delta_ms.saturating_mul(u64::from(round))))
}
