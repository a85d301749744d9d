//! When and why things happened.

use std::fmt;

use borsh::{BorshDeserialize, BorshSerialize};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use welkin_runtime::{Ctx, Time};

/// A block: its height and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
pub struct Moment {
    /// Its height.
    pub height: u64,
    /// Its time.
    pub time: Time,
}

impl Moment {
    /// The block that runs.
    pub fn now(ctx: &Ctx) -> Moment {
        Moment {
            height: ctx.height(),
            time: ctx.time(),
        }
    }
}

/// That something is over, when and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
pub struct Closed {
    /// Why.
    pub reason: Reason,
    /// The block in which it ended.
    pub at: Moment,
}

/// Why something ended, as a number: 1 to 9999 by its owner, 10000 to 19999 by the provider, 20000
/// to 29999 by the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Reason(pub u32);

/// Who ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The owner of the deployment.
    Owner,
    /// The provider.
    Provider,
    /// The chain.
    Network,
}

impl Reason {
    /// The owner closed the lease.
    pub const OWNER: Reason = Reason(1);
    /// The owner paused the group.
    pub const GROUP_PAUSED: Reason = Reason(2);
    /// The owner closed the group.
    pub const GROUP_CLOSED: Reason = Reason(3);
    /// The owner closed the deployment.
    pub const DEPLOYMENT_CLOSED: Reason = Reason(4);
    /// The owner chose another bid.
    pub const NOT_CHOSEN: Reason = Reason(5);

    /// The provider finds the workload unstable.
    pub const UNSTABLE: Reason = Reason(10_000);
    /// The provider goes out of service.
    pub const DECOMMISSIONED: Reason = Reason(10_001);
    /// The provider gives no reason.
    pub const UNSPECIFIED: Reason = Reason(10_002);
    /// The provider got no manifest in time.
    pub const NO_MANIFEST: Reason = Reason(10_003);

    /// The money and the grace were used up.
    pub const INSUFFICIENT_FUNDS: Reason = Reason(20_000);
    /// Its time was over.
    pub const EXPIRED: Reason = Reason(20_001);
    /// The order was full and a lower bid came.
    pub const OUTBID: Reason = Reason(20_002);

    /// Who may give this reason; `None` for numbers that mean nothing.
    pub fn side(self) -> Option<Side> {
        match self.0 {
            1..=9_999 => Some(Side::Owner),
            10_000..=19_999 => Some(Side::Provider),
            20_000..=29_999 => Some(Side::Network),
            _ => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match *self {
            Reason::OWNER => "closed by its owner",
            Reason::GROUP_PAUSED => "its group was paused",
            Reason::GROUP_CLOSED => "its group was closed",
            Reason::DEPLOYMENT_CLOSED => "its deployment was closed",
            Reason::NOT_CHOSEN => "another bid was chosen",
            Reason::UNSTABLE => "the provider found it unstable",
            Reason::DECOMMISSIONED => "the provider goes out of service",
            Reason::UNSPECIFIED => "the provider gave no reason",
            Reason::NO_MANIFEST => "no manifest came in time",
            Reason::INSUFFICIENT_FUNDS => "its funds ran out",
            Reason::EXPIRED => "it expired",
            Reason::OUTBID => "outbid",
            other => match other.side() {
                Some(Side::Owner) => "by its owner",
                Some(Side::Provider) => "by the provider",
                Some(Side::Network) => "by the chain",
                None => "unknown",
            },
        };
        write!(f, "{words} ({})", self.0)
    }
}
