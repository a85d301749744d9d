//! Deployments as others see them.

use std::fmt;
use std::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use welkin_runtime::{Address, Amount, Coded, Hash};

use crate::ids::{DeploymentId, GroupId, OrderId};
use crate::moment::{Closed, Moment, Reason};
use crate::page::default_limit;
use crate::spec::GroupSpec;
use crate::text::as_text;

/// 16 random bytes that a tenant writes to disk before it sends a deployment or an update, so that
/// a repeated attempt finds what the first one did. Text form: 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[derive(BorshSerialize, BorshDeserialize)]
pub struct Nonce(pub [u8; 16]);

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A text is no nonce.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a nonce: 32 hexadecimal digits are expected")]
pub struct NonceError;

impl FromStr for Nonce {
    type Err = NonceError;

    fn from_str(text: &str) -> Result<Nonce, NonceError> {
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NonceError);
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| NonceError)?;
        Ok(Nonce(number.to_be_bytes()))
    }
}

as_text!(Nonce, "hex-16", "16 bytes as 32 hexadecimal digits.");

welkin_runtime::struct_key!(NonceKey {
    owner: Address,
    nonce: [u8; 16]
});

/// The key under which a nonce is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NonceKey {
    pub(super) owner: Address,
    pub(super) nonce: [u8; 16],
}

/// How orders of a deployment are awarded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Award {
    /// The tenant accepts the bid of its choice.
    #[default]
    Tenant = 1,
    /// The lowest bid wins when the bid window ends; of equal ones the earliest.
    Best {
        /// How long bids are taken.
        bid_window_seconds: u64,
    } = 2,
}

/// Whether a deployment lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum DeploymentState {
    /// It lives.
    Active = 1,
    /// It is over; what was left of its money went back to its owner.
    Closed = 2,
}

/// A deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
pub struct Deployment {
    /// Its number.
    pub id: DeploymentId,
    /// Whose it is.
    pub owner: Address,
    /// Whether it lives.
    pub state: DeploymentState,
    /// How many groups it has, numbered from 1.
    pub groups: u32,
    /// How its orders are awarded.
    pub award: Award,
    /// The nonce with which it was created.
    pub nonce: Nonce,
    /// 1 at first, one more with each update.
    pub version: u32,
    /// The commitment to the manifest of that version.
    pub commitment: Hash,
    /// The nonce with which that version was sent.
    pub version_nonce: Nonce,
    /// When it was created.
    pub created: Moment,
    /// When that version was sent.
    pub updated: Moment,
    /// When and why it ended.
    pub closed: Option<Closed>,
}

/// What becomes of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum GroupState {
    /// Its newest order is open or leased.
    Open = 1,
    /// It has neither; its owner may start it.
    Paused = 2,
    /// It is over.
    Closed = 3,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
pub struct Group {
    /// Its name on the chain.
    pub id: GroupId,
    /// What becomes of it.
    pub state: GroupState,
    /// Why it is paused or closed.
    pub reason: Option<Reason>,
    /// The number of its newest order.
    pub orders: u32,
    /// What it needs.
    pub spec: GroupSpec,
}

impl Group {
    /// Its newest order.
    pub fn newest_order(&self) -> OrderId {
        self.id.order(self.orders)
    }
}

/// The rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Params {
    /// Groups of a deployment, at most.
    pub max_groups: u32,
    /// Resource units (services) of a group, at most.
    pub max_units: u32,
    /// Copies of a unit, at most.
    pub max_count: u32,
    /// Volumes of a unit, at most.
    pub max_volumes: u32,
    /// Endpoints of a unit, at most.
    pub max_endpoints: u32,
    /// Attributes in a set, at most.
    pub max_attributes: u32,
    /// Auditors in a list, at most.
    pub max_auditors: u32,
    /// How long closed deployments, orders, bids and leases can be queried.
    pub prune_delay_seconds: u64,
    /// Closed deployments removed in a block, at most.
    pub pruned_per_block: u32,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            max_groups: 20,
            max_units: 20,
            max_count: 50,
            max_volumes: 4,
            max_endpoints: 32,
            max_attributes: 32,
            max_auditors: 8,
            prune_delay_seconds: 7 * 24 * 3_600,
            pruned_per_block: 32,
        }
    }
}

/// The beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Genesis {
    /// The rules.
    pub params: Params,
}

/// What accounts can do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Call {
    /// Creates a deployment, opens its escrow account and an order for each group.
    Create {
        /// What is wanted; at least one group.
        groups: Vec<GroupSpec>,
        /// The commitment to the manifest.
        commitment: Hash,
        /// A nonce that no living deployment of the sender carries.
        nonce: Nonce,
        /// What goes into the escrow account, beside the prepaid closing work.
        deposit: Amount,
        /// How orders are awarded.
        #[serde(default)]
        award: Award,
    } = 1,
    /// Commits to a new manifest. What was ordered cannot be changed.
    Update {
        /// Which deployment.
        deployment: DeploymentId,
        /// The commitment to the new manifest.
        commitment: Hash,
        /// A new nonce.
        nonce: Nonce,
    } = 2,
    /// Ends a deployment: leases are paid and closed, what is left goes back to the owner.
    Close {
        /// Which deployment.
        deployment: DeploymentId,
    } = 3,
    /// Ends the order or lease of a group; it can be started again.
    PauseGroup {
        /// Which group.
        group: GroupId,
    } = 4,
    /// Opens a new order for a paused group.
    StartGroup {
        /// Which group.
        group: GroupId,
    } = 5,
    /// Ends a group for good; with the last one the deployment ends.
    CloseGroup {
        /// Which group.
        group: GroupId,
    } = 6,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Query {
    /// A deployment.
    Deployment {
        /// Its number.
        deployment: DeploymentId,
    } = 1,
    /// The deployment that was created, or last updated, with a nonce.
    ByNonce {
        /// Whose.
        owner: Address,
        /// The nonce.
        nonce: Nonce,
    } = 2,
    /// The deployments of an owner, in the order of their numbers.
    ByOwner {
        /// Whose.
        owner: Address,
        /// The page begins after this one.
        #[serde(default)]
        start: Option<DeploymentId>,
        /// At most so many, up to 100.
        #[serde(default = "default_limit")]
        limit: u32,
    } = 3,
    /// All groups of a deployment.
    Groups {
        /// Which deployment.
        deployment: DeploymentId,
    } = 4,
    /// A group.
    Group {
        /// Which group.
        group: GroupId,
    } = 5,
    /// The rules.
    Params {} = 6,
}

/// The answers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Answer {
    /// The deployment, if there is one.
    Deployment(Option<Deployment>) = 1,
    /// The deployment, if there is one.
    ByNonce(Option<Deployment>) = 2,
    /// A page of deployments.
    ByOwner {
        /// The deployments.
        deployments: Vec<Deployment>,
        /// Where the next page begins; nothing if this is the last.
        next: Option<DeploymentId>,
    } = 3,
    /// The groups; none if there is no such deployment.
    Groups(Vec<Group>) = 4,
    /// The group, if there is one.
    Group(Option<Group>) = 5,
    /// The rules.
    Params(Params) = 6,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Event {
    /// A deployment was created.
    Created {
        /// Its number.
        deployment: DeploymentId,
        /// Whose.
        owner: Address,
        /// The nonce with which it was created.
        nonce: Nonce,
    } = 1,
    /// A deployment committed to a new manifest.
    Updated {
        /// Which.
        deployment: DeploymentId,
        /// The new version.
        version: u32,
        /// The new commitment.
        commitment: Hash,
    } = 2,
    /// A deployment ended.
    Closed {
        /// Which.
        deployment: DeploymentId,
        /// Whose.
        owner: Address,
        /// Why.
        reason: Reason,
    } = 3,
    /// A group has no order and no lease any more.
    GroupPaused {
        /// Which.
        group: GroupId,
        /// Why.
        reason: Reason,
    } = 4,
    /// A group has a new order.
    GroupStarted {
        /// Which.
        group: GroupId,
        /// The order.
        order: OrderId,
    } = 5,
    /// A group ended.
    GroupClosed {
        /// Which.
        group: GroupId,
        /// Why.
        reason: Reason,
    } = 6,
    /// The record of a closed deployment was removed.
    Pruned {
        /// Which.
        deployment: DeploymentId,
    } = 7,
}

/// What is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[repr(u32)]
pub enum Error {
    /// There is no such deployment.
    UnknownDeployment = 1,
    /// There is no such group.
    UnknownGroup = 2,
    /// It belongs to another account.
    NotOwner = 3,
    /// The deployment is closed.
    DeploymentClosed = 4,
    /// The group is closed.
    GroupClosed = 5,
    /// The group is paused already.
    GroupPaused = 6,
    /// The group has an order or a lease already.
    GroupOpen = 7,
    /// A living deployment of this account carries that nonce.
    NonceUsed = 8,
    /// The groups break a limit or do not make sense.
    BadGroups = 9,
    /// The bid window is shorter or longer than the rules allow.
    BadBidWindow = 10,
    /// The commitment is the one that stands already.
    SameCommitment = 11,
    /// A counter of the chain is used up; never happens.
    Overflow = 12,
    /// The rules of the genesis make no sense.
    BadParams = 13,
}

impl Coded for Error {
    const MODULE: &'static str = "deployment";

    fn code(self) -> u32 {
        self as u32
    }
}
