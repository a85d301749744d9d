//! The names of things on the chain. Numbers come from counters of the chain and are never used
//! again.
//!
//! ```text
//!   deployment 12   group 12/1   order 12/1/3, and the lease it may become   bid 12/1/3/welkin1...
//! ```

use std::fmt;
use std::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};
use welkin_runtime::{Address, KeyPrefix, struct_key};

use crate::text::{as_text, whole_number};

/// A deployment, by its number on the chain, from 1. Text form: `12`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[derive(BorshSerialize, BorshDeserialize)]
pub struct DeploymentId(pub u64);

/// A group of a deployment, numbered from 1 in the order of its creation. Text form: `12/1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[derive(BorshSerialize, BorshDeserialize)]
pub struct GroupId {
    /// The deployment.
    pub deployment: DeploymentId,
    /// The number of the group in it, from 1.
    pub group: u32,
}

/// An order for a group, numbered from 1. Text form: `12/1/3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[derive(BorshSerialize, BorshDeserialize)]
pub struct OrderId {
    /// The deployment.
    pub deployment: DeploymentId,
    /// The number of the group in it, from 1.
    pub group: u32,
    /// The number of the order for that group, from 1.
    pub order: u32,
}

/// A lease is named by its order: there is never more than one for an order.
pub type LeaseId = OrderId;

/// A provider's bid on an order. Text form: `12/1/3/welkin1...`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[derive(BorshSerialize, BorshDeserialize)]
pub struct BidId {
    /// The order.
    pub order: OrderId,
    /// The provider.
    pub provider: Address,
}

struct_key!(GroupId {
    deployment: DeploymentId,
    group: u32
});
struct_key!(OrderId {
    deployment: DeploymentId,
    group: u32,
    order: u32
});
struct_key!(BidId {
    order: OrderId,
    provider: Address
});

impl welkin_runtime::KeyCodec for DeploymentId {
    const WIDTH: usize = u64::WIDTH;

    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }

    fn decode(input: &mut &[u8]) -> Option<Self> {
        u64::decode(input).map(DeploymentId)
    }

    fn form() -> String {
        "DeploymentId".to_owned()
    }
}

impl KeyPrefix<GroupId> for DeploymentId {}
impl KeyPrefix<OrderId> for DeploymentId {}
impl KeyPrefix<OrderId> for GroupId {}
impl KeyPrefix<BidId> for OrderId {}

impl GroupId {
    /// The order of this group with that number.
    pub fn order(self, order: u32) -> OrderId {
        OrderId {
            deployment: self.deployment,
            group: self.group,
            order,
        }
    }
}

impl OrderId {
    /// The group that the order is for.
    pub fn group_id(self) -> GroupId {
        GroupId {
            deployment: self.deployment,
            group: self.group,
        }
    }

    /// The bid of that provider on this order.
    pub fn bid(self, provider: Address) -> BidId {
        BidId {
            order: self,
            provider,
        }
    }
}

impl fmt::Display for DeploymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.deployment, self.group)
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.deployment, self.group, self.order)
    }
}

impl fmt::Display for BidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.order, self.provider)
    }
}

/// A text is no such name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct IdError {
    text: String,
    expected: &'static str,
}

impl IdError {
    fn new(text: &str, expected: &'static str) -> IdError {
        IdError {
            text: text.chars().take(100).collect(),
            expected,
        }
    }
}

impl FromStr for DeploymentId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let number = whole_number(text).map(DeploymentId);
        number.ok_or_else(|| IdError::new(text, "the number of a deployment, as in 12"))
    }
}

impl FromStr for GroupId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let parse = || {
            let (deployment, group) = text.split_once('/')?;
            Some(GroupId {
                deployment: deployment.parse().ok()?,
                group: whole_number(group)?,
            })
        };
        parse().ok_or_else(|| IdError::new(text, "a group, deployment/group as in 12/1"))
    }
}

impl FromStr for OrderId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let parse = || {
            let (group, order) = text.rsplit_once('/')?;
            Some(group.parse::<GroupId>().ok()?.order(whole_number(order)?))
        };
        parse().ok_or_else(|| {
            IdError::new(
                text,
                "an order or lease, deployment/group/order as in 12/1/3",
            )
        })
    }
}

impl FromStr for BidId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let parse = || {
            let (order, provider) = text.rsplit_once('/')?;
            Some(order.parse::<OrderId>().ok()?.bid(provider.parse().ok()?))
        };
        parse().ok_or_else(|| {
            IdError::new(
                text,
                "a bid, deployment/group/order/provider as in 12/1/3/welkin1...",
            )
        })
    }
}

as_text!(
    DeploymentId,
    "deployment-id",
    "The number of a deployment, `12`."
);
as_text!(GroupId, "group-id", "A group of a deployment, `12/1`.");
as_text!(
    OrderId,
    "order-id",
    "An order, and the lease it may become, `12/1/3`."
);
as_text!(
    BidId,
    "bid-id",
    "A provider's bid on an order, `12/1/3/welkin1...`."
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_its_own_text() {
        let order = OrderId {
            deployment: DeploymentId(12),
            group: 1,
            order: 3,
        };
        let bid = order.bid(Address([7; 20]));
        assert_eq!(order.to_string(), "12/1/3");
        assert_eq!("12/1/3".parse(), Ok(order));
        assert_eq!("12/1".parse(), Ok(order.group_id()));
        assert_eq!("12".parse(), Ok(DeploymentId(12)));
        assert_eq!(bid.to_string().parse(), Ok(bid));
        assert_eq!(serde_json::to_value(order).unwrap(), "12/1/3");
        assert_eq!(
            serde_json::from_str::<DeploymentId>("12").unwrap(),
            DeploymentId(12)
        );
    }

    #[test]
    fn other_texts_are_refused_with_an_example() {
        for text in [
            "",
            "12/",
            "/1/3",
            "12/1/03",
            "12/1/3/4",
            "+12/1/3",
            "12/1/4294967296",
        ] {
            let error = text.parse::<OrderId>().unwrap_err().to_string();
            assert!(error.contains("12/1/3"), "{error}");
        }
        assert!("18446744073709551616".parse::<DeploymentId>().is_err());
        assert!("12/1/3/nobody".parse::<BidId>().is_err());
    }
}
