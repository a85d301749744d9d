//! How much voting power is enough.

use super::planted::{Bug, Bugs};
use crate::verify::two_thirds;

/// The thresholds of a validator set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quorum {
    total: u64,
    bugs: Bugs,
}

impl Quorum {
    pub(super) fn new(total: u64, bugs: Bugs) -> Self {
        Quorum { total, bugs }
    }

    /// More than 2/3 of the power: any two such groups share a correct validator.
    pub(super) fn is_two_thirds(&self, power: u64) -> bool {
        if self.bugs.has(Bug::QuorumOffByOne) {
            return power >= two_thirds(self.total);
        }
        power > two_thirds(self.total)
    }

    /// More than 1/3 of the power: one of them is correct.
    pub(super) fn is_one_third(&self, power: u64) -> bool {
        power > self.total / 3
    }
}
