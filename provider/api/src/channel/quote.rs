//! What anybody may ask a provider without any right: what it would bid.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use welkin_modules::spec::GroupSpec;
use welkin_runtime::{Address, Amount, Hash};

/// Groups in one inquiry, at most: as many as a deployment has where its chain says nothing else.
pub const MAX_QUOTED_GROUPS: usize = 20;
/// Reasons why a group would get no bid, at most. The last one says how many more there are.
pub const MAX_REASONS: usize = 32;
/// The longest reason, in bytes.
pub const MAX_REASON_BYTES: usize = 512;
/// All reasons of one group together, in bytes: so an answer about [`MAX_QUOTED_GROUPS`] fits its
/// frame.
pub const MAX_REASONS_BYTES: usize = 3 * 1024;

/// Whom a stranger believes to speak with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Addressee {
    /// The hash of the genesis of the chain that it bids on.
    pub genesis_hash: Hash,
    /// Its account there.
    pub provider: Address,
}

/// Stranger to provider, second and last before the answer: what would be ordered.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Inquiry {
    /// The groups of one deployment, as they would stand on chain: at least one, at most
    /// [`MAX_QUOTED_GROUPS`].
    pub groups: Vec<GroupSpec>,
}

/// What a provider would do about one group if it were ordered now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quote {
    /// Bid: this many micro-tokens an hour for the whole group.
    Rate(Amount),
    /// Not bid, for each of these reasons, written for people.
    Declined(Vec<String>),
}

impl Quote {
    /// A no with these reasons, cut to what an answer may hold.
    pub fn declined(reasons: impl IntoIterator<Item = String>) -> Quote {
        let mut kept: Vec<String> = Vec::new();
        let mut room = MAX_REASONS_BYTES - LAST_WORDS_BYTES;
        let mut left_out = 0_usize;
        for reason in reasons.into_iter().map(shortened) {
            let fits = kept.len() + 1 < MAX_REASONS && reason.len() <= room;
            if fits && left_out == 0 {
                room -= reason.len();
                kept.push(reason);
            } else {
                left_out += 1;
            }
        }
        if left_out > 0 {
            kept.push(format!("and {left_out} more"));
        }
        Quote::Declined(kept)
    }

    /// Whether it keeps to the bounds of an answer.
    pub(super) fn is_bounded(&self) -> bool {
        match self {
            Quote::Rate(_) => true,
            Quote::Declined(reasons) => {
                reasons.len() <= MAX_REASONS
                    && reasons.iter().all(|one| one.len() <= MAX_REASON_BYTES)
                    && reasons.iter().map(String::len).sum::<usize>() <= MAX_REASONS_BYTES
            }
        }
    }
}

/// Room for how many reasons were left out.
const LAST_WORDS_BYTES: usize = 32;

fn shortened(mut reason: String) -> String {
    const END: &str = " ...";
    if reason.len() > MAX_REASON_BYTES {
        let end = (0..=MAX_REASON_BYTES - END.len())
            .rev()
            .find(|end| reason.is_char_boundary(*end))
            .unwrap_or(0);
        reason.truncate(end);
        reason.push_str(END);
    }
    reason
}
