//! Orders, bids and leases as others see them.

use borsh::{BorshDeserialize, BorshSerialize};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use welkin_runtime::{Address, Amount, Coded, KeyCodec, Time};

use crate::deployment::types::Award;
use crate::ids::{BidId, DeploymentId, LeaseId, OrderId};
use crate::moment::{Closed, Moment, Reason};
use crate::page::default_limit;
use crate::spec::{GroupSpec, UnitOffer};

/// What becomes of an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum OrderState {
    /// It takes bids.
    #[default]
    Open = 1,
    /// A bid won; its lease is active.
    Leased = 2,
    /// It is over: withdrawn, expired, or its lease ended.
    Closed = 3,
}

/// An order: what a group wants, open to bids. Its content is the group's spec.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
pub struct Order {
    /// Its name.
    pub id: OrderId,
    /// Whose deployment it is for.
    pub owner: Address,
    /// What becomes of it.
    pub state: OrderState,
    /// How it is awarded.
    pub award: Award,
    /// The most that a bid may ask in an hour.
    pub max_rate_uwlk_per_hour: Amount,
    /// When it was opened.
    pub opened: Moment,
    /// From when on it takes no bid: it is awarded then, or it expires.
    pub expires_at: Time,
    /// Bids that are open now.
    pub open_bids: u32,
    /// Bids that were ever placed.
    pub bids_placed: u32,
    /// When and why it ended.
    pub closed: Option<Closed>,
}

/// An order with all that a provider needs for a bid.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
pub struct OrderView {
    /// The order.
    pub order: Order,
    /// What is wanted.
    pub spec: GroupSpec,
}

/// What becomes of a bid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum BidState {
    /// It can be accepted while its order is open. When that is not, it has lost, and its deposit
    /// returns within the next blocks.
    #[default]
    Open = 1,
    /// It won; its lease is active.
    Won = 2,
    /// Its order ended without it, or a lower bid took its place.
    Lost = 3,
    /// Its provider closed it, or its lease ended.
    Closed = 4,
    /// Nobody accepted it in time.
    Expired = 5,
}

/// A provider's bid.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
pub struct Bid {
    /// Its name.
    pub id: BidId,
    /// What becomes of it.
    pub state: BidState,
    /// What the provider asks for the whole group.
    pub rate_uwlk_per_hour: Amount,
    /// What it gives where that differs from what was asked; empty if nowhere.
    pub offer: Vec<UnitOffer>,
    /// What is locked for it: nothing once it is over.
    pub deposit: Amount,
    /// Its place among the bids on the order, from 1.
    pub number: u32,
    /// When it was placed.
    pub placed: Moment,
    /// From when on it cannot be accepted.
    pub expires_at: Time,
    /// When and why it ended.
    pub closed: Option<Closed>,
}

/// Whether a lease lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum LeaseState {
    /// It lives and is paid for, or its account is in grace.
    #[default]
    Active = 1,
    /// It is over.
    Closed = 2,
}

/// That a provider runs a group, and what it gets for it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
pub struct Lease {
    /// Its name: its order's.
    pub id: LeaseId,
    /// Whose deployment it is.
    pub owner: Address,
    /// Who runs it.
    pub provider: Address,
    /// Whether it lives.
    pub state: LeaseState,
    /// What it costs.
    pub rate_uwlk_per_hour: Amount,
    /// When it began.
    pub created: Moment,
    /// When and why it ended.
    pub closed: Option<Closed>,
}

macro_rules! state_keys {
    ($($type:ident { $($variant:ident),* })*) => {$(
        impl KeyCodec for $type {
            const WIDTH: usize = 1;

            fn encode(&self, out: &mut Vec<u8>) {
                out.push(*self as u8);
            }

            fn decode(input: &mut &[u8]) -> Option<Self> {
                let number = u8::decode(input)?;
                [$($type::$variant),*].into_iter().find(|state| *state as u8 == number)
            }

            fn form() -> String {
                stringify!($type).to_owned()
            }
        }
    )*};
}
state_keys! {
    OrderState { Open, Leased, Closed }
    BidState { Open, Won, Lost, Closed, Expired }
    LeaseState { Active, Closed }
}

/// The rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Params {
    /// What a provider locks for a bid, at least.
    pub min_bid_deposit: Amount,
    /// Open bids on an order, at most. When it is full, a lower bid takes the highest one's place.
    pub max_open_bids: u32,
    /// How long an order waits for the tenant's choice.
    pub order_lifetime_seconds: u64,
    /// How long a bid waits for the tenant's choice.
    pub bid_lifetime_seconds: u64,
    /// The shortest bid window of orders that the best bid wins.
    pub min_bid_window_seconds: u64,
    /// The longest.
    pub max_bid_window_seconds: u64,
    /// Expiries, awards and returned deposits in a block, at most; the rest is carried over.
    pub work_per_block: u32,
    /// Records of closed orders, bids and leases removed in a block, at most.
    pub pruned_per_block: u32,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            min_bid_deposit: Amount(500_000),
            max_open_bids: 32,
            order_lifetime_seconds: 24 * 3_600,
            bid_lifetime_seconds: 600,
            min_bid_window_seconds: 1,
            max_bid_window_seconds: 24 * 3_600,
            work_per_block: 256,
            pruned_per_block: 128,
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
    /// Bids on an open order, as an active provider.
    Bid {
        /// Which order.
        order: OrderId,
        /// What is asked for the whole group; at least 1, at most the order's maximum.
        rate_uwlk_per_hour: Amount,
        /// What is given where that differs from what was asked; never less.
        #[serde(default)]
        offer: Vec<UnitOffer>,
        /// What is locked until the bid, or the lease that comes of it, ends.
        deposit: Amount,
    } = 1,
    /// Accepts an open bid on an order of the sender's whose award is the tenant's choice.
    Accept {
        /// Which bid.
        bid: BidId,
    } = 2,
    /// Closes the sender's open bid. Its deposit returns.
    CloseBid {
        /// The order of the bid.
        order: OrderId,
        /// Why, from 10000 to 19999.
        reason: Reason,
    } = 3,
    /// Closes a lease, as its owner (a new order is opened) or its provider (the group is paused).
    /// What was earned is paid out.
    CloseLease {
        /// Which lease.
        lease: LeaseId,
        /// Why: 1 to 9999 by the owner, 10000 to 19999 by the provider.
        reason: Reason,
    } = 4,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Query {
    /// An order with its spec.
    Order {
        /// Which order.
        order: OrderId,
    } = 1,
    /// The orders in a state, in the order of their names.
    Orders {
        /// Which state; open ones if none is named.
        #[serde(default)]
        state: OrderState,
        /// The page begins after this one.
        #[serde(default)]
        start: Option<OrderId>,
        /// At most so many, up to 100.
        #[serde(default = "default_limit")]
        limit: u32,
    } = 2,
    /// The orders of a deployment, in the order of their names.
    OrdersOf {
        /// Which deployment.
        deployment: DeploymentId,
        /// The page begins after this one.
        #[serde(default)]
        start: Option<OrderId>,
        /// At most so many, up to 100.
        #[serde(default = "default_limit")]
        limit: u32,
    } = 3,
    /// A bid.
    Bid {
        /// Which bid.
        bid: BidId,
    } = 4,
    /// The bids on an order, in the order of the providers' addresses.
    BidsOn {
        /// Which order.
        order: OrderId,
        /// The page begins after this provider's.
        #[serde(default)]
        start: Option<Address>,
        /// At most so many, up to 100.
        #[serde(default = "default_limit")]
        limit: u32,
    } = 5,
    /// The bids of a provider in a state, in the order of their orders.
    BidsBy {
        /// Whose.
        provider: Address,
        /// Which state; open ones if none is named.
        #[serde(default)]
        state: BidState,
        /// The page begins after the bid on this order.
        #[serde(default)]
        start: Option<OrderId>,
        /// At most so many, up to 100.
        #[serde(default = "default_limit")]
        limit: u32,
    } = 6,
    /// A lease.
    Lease {
        /// Which lease.
        lease: LeaseId,
    } = 7,
    /// The leases of an owner in a state, in the order of their names.
    LeasesOf {
        /// Whose.
        owner: Address,
        /// Which state; active ones if none is named.
        #[serde(default)]
        state: LeaseState,
        /// The page begins after this one.
        #[serde(default)]
        start: Option<LeaseId>,
        /// At most so many, up to 100.
        #[serde(default = "default_limit")]
        limit: u32,
    } = 8,
    /// The leases of a provider in a state, in the order of their names.
    LeasesBy {
        /// Whose.
        provider: Address,
        /// Which state; active ones if none is named.
        #[serde(default)]
        state: LeaseState,
        /// The page begins after this one.
        #[serde(default)]
        start: Option<LeaseId>,
        /// At most so many, up to 100.
        #[serde(default = "default_limit")]
        limit: u32,
    } = 9,
    /// The rules.
    Params {} = 10,
}

/// A page of orders.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
pub struct OrderPage {
    /// The orders.
    pub orders: Vec<OrderView>,
    /// Where the next page begins; nothing if this is the last.
    pub next: Option<OrderId>,
}

/// A page of leases.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
pub struct LeasePage {
    /// The leases.
    pub leases: Vec<Lease>,
    /// Where the next page begins; nothing if this is the last.
    pub next: Option<LeaseId>,
}

/// The answers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Answer {
    /// The order, if there is one.
    Order(Option<OrderView>) = 1,
    /// A page of orders.
    Orders(OrderPage) = 2,
    /// A page of orders.
    OrdersOf(OrderPage) = 3,
    /// The bid, if there is one.
    Bid(Option<Bid>) = 4,
    /// A page of bids.
    BidsOn {
        /// The bids.
        bids: Vec<Bid>,
        /// Where the next page begins; nothing if this is the last.
        next: Option<Address>,
    } = 5,
    /// A page of bids.
    BidsBy {
        /// The bids.
        bids: Vec<Bid>,
        /// Where the next page begins; nothing if this is the last.
        next: Option<OrderId>,
    } = 6,
    /// The lease, if there is one.
    Lease(Option<Lease>) = 7,
    /// A page of leases.
    LeasesOf(LeasePage) = 8,
    /// A page of leases.
    LeasesBy(LeasePage) = 9,
    /// The rules.
    Params(Params) = 10,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Event {
    /// An order takes bids.
    OrderOpened {
        /// Which.
        order: OrderId,
        /// Whose.
        owner: Address,
    } = 1,
    /// An order is over.
    OrderClosed {
        /// Which.
        order: OrderId,
        /// Why.
        reason: Reason,
    } = 2,
    /// A bid was placed.
    BidPlaced {
        /// Which.
        bid: BidId,
        /// What it asks.
        rate_uwlk_per_hour: Amount,
    } = 3,
    /// A bid is over without a lease; its deposit went back.
    BidClosed {
        /// Which.
        bid: BidId,
        /// What became of it.
        state: BidState,
        /// Why.
        reason: Reason,
    } = 4,
    /// A lease began.
    LeaseCreated {
        /// Which.
        lease: LeaseId,
        /// Whose deployment.
        owner: Address,
        /// Who runs it.
        provider: Address,
        /// What it costs.
        rate_uwlk_per_hour: Amount,
    } = 5,
    /// A lease ended; the bid's deposit went back.
    LeaseClosed {
        /// Which.
        lease: LeaseId,
        /// Whose deployment.
        owner: Address,
        /// Who ran it.
        provider: Address,
        /// Why.
        reason: Reason,
    } = 6,
    /// The records of a closed order, its bids and its lease were removed.
    Pruned {
        /// Which.
        order: OrderId,
    } = 7,
}

/// What is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[repr(u32)]
pub enum Error {
    /// There is no such order.
    UnknownOrder = 1,
    /// There is no such bid.
    UnknownBid = 2,
    /// There is no such lease.
    UnknownLease = 3,
    /// The order takes no bids any more.
    OrderNotOpen = 4,
    /// The bid is over, or it won: then close its lease instead.
    BidNotOpen = 5,
    /// The lease is over.
    LeaseNotActive = 6,
    /// The order belongs to another account.
    NotOwner = 7,
    /// Only the owner and the provider of a lease may close it.
    NotParty = 8,
    /// The provider has an open bid on this order.
    BidExists = 9,
    /// The rate is zero or above the order's maximum.
    BadRate = 10,
    /// The deposit is too small.
    DepositTooSmall = 11,
    /// The provider owns the order.
    OwnOrder = 12,
    /// The provider does not have what the order requires.
    NoMatch = 13,
    /// The offer is less than what was asked.
    BadOffer = 14,
    /// The order is full, and this bid is not lower than all that are open.
    OrderFull = 15,
    /// The best bid wins this order when its bid window ends.
    NotTenantsChoice = 16,
    /// That reason is not the sender's to give.
    BadReason = 17,
    /// The rules of the genesis make no sense.
    BadParams = 18,
}

impl Coded for Error {
    const MODULE: &'static str = "market";

    fn code(self) -> u32 {
        self as u32
    }
}
