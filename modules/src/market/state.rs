//! Storage of the market.

use std::collections::BTreeMap;

use welkin_runtime::{
    Address, Amount, Coded, Ctx, Index, IndexedMap, Invariant, Item, Result, StorageItem, Time,
};

use super::types::{Bid, BidState, Error, Lease, LeaseState, Order, OrderState, Params};
use crate::ids::{BidId, DeploymentId, LeaseId, OrderId};
use crate::{accounts, escrow, provider};

pub(super) const ORDERS: IndexedMap<OrderId, Order> = IndexedMap::new(
    "market/order",
    [4, 1],
    "Each order.",
    &[
        &ORDERS_BY_STATE,
        &ORDER_EXPIRIES,
        &ORDERS_TO_DRAIN,
        &ORDERS_CLOSED,
    ],
);
pub(super) const ORDERS_BY_STATE: Index<OrderId, Order, OrderState> = Index::new(
    "market/order_by_state",
    [4, 2],
    "Orders by state.",
    |_, order| Some(order.state),
);
pub(super) const ORDER_EXPIRIES: Index<OrderId, Order, Time> = Index::new(
    "market/order_expiry",
    [4, 3],
    "Open orders by the time at which they are awarded or expire.",
    |_, order| (order.state == OrderState::Open).then_some(order.expires_at),
);
pub(super) const ORDERS_TO_DRAIN: Index<OrderId, Order, ()> = Index::new(
    "market/order_to_drain",
    [4, 4],
    "Orders that are no longer open and have open bids, whose deposits are to be returned.",
    |_, order| (order.state != OrderState::Open && order.open_bids > 0).then_some(()),
);
pub(super) const ORDERS_CLOSED: Index<OrderId, Order, Time> = Index::new(
    "market/order_closed",
    [4, 5],
    "Closed orders by the time of their end, until they are removed.",
    |_, order| order.closed.map(|closed| closed.at.time),
);
pub(super) const BIDS: IndexedMap<BidId, Bid> = IndexedMap::new(
    "market/bid",
    [4, 6],
    "Each provider's newest bid on an order.",
    &[&BIDS_BY_PROVIDER, &OPEN_BIDS, &BID_EXPIRIES],
);
pub(super) const BIDS_BY_PROVIDER: Index<BidId, Bid, (Address, BidState)> = Index::new(
    "market/bid_by_provider",
    [4, 7],
    "Bids by provider and state.",
    |id, bid| Some((id.provider, bid.state)),
);
pub(super) const OPEN_BIDS: Index<BidId, Bid, OrderId> = Index::new(
    "market/open_bid",
    [4, 8],
    "Open bids by order.",
    |id, bid| (bid.state == BidState::Open).then_some(id.order),
);
pub(super) const BID_EXPIRIES: Index<BidId, Bid, Time> = Index::new(
    "market/bid_expiry",
    [4, 9],
    "Open bids by the time at which they expire.",
    |_, bid| (bid.state == BidState::Open).then_some(bid.expires_at),
);
pub(super) const LEASES: IndexedMap<LeaseId, Lease> = IndexedMap::new(
    "market/lease",
    [4, 10],
    "Each lease.",
    &[&LEASES_BY_OWNER, &LEASES_BY_PROVIDER],
);
pub(super) const LEASES_BY_OWNER: Index<LeaseId, Lease, (Address, LeaseState)> = Index::new(
    "market/lease_by_owner",
    [4, 11],
    "Leases by owner and state.",
    |_, lease| Some((lease.owner, lease.state)),
);
pub(super) const LEASES_BY_PROVIDER: Index<LeaseId, Lease, (Address, LeaseState)> = Index::new(
    "market/lease_by_provider",
    [4, 12],
    "Leases by provider and state.",
    |_, lease| Some((lease.provider, lease.state)),
);
pub(super) const PARAMS: Item<Params> =
    Item::new("market/params", [4, 13], "The rules, fixed at genesis.");

pub(super) const STORAGE: &[StorageItem] = &[
    ORDERS.info(),
    ORDERS_BY_STATE.info(),
    ORDER_EXPIRIES.info(),
    ORDERS_TO_DRAIN.info(),
    ORDERS_CLOSED.info(),
    BIDS.info(),
    BIDS_BY_PROVIDER.info(),
    OPEN_BIDS.info(),
    BID_EXPIRIES.info(),
    LEASES.info(),
    LEASES_BY_OWNER.info(),
    LEASES_BY_PROVIDER.info(),
    PARAMS.info(),
];

pub(super) const INVARIANTS: &[Invariant] = &[
    (
        "the module holds the deposits of bids that are not over",
        bids_add_up,
    ),
    ("every open order expires, none is overfull", orders_expire),
    (
        "a lease is active if and only if order, bid and payment are",
        leases_agree,
    ),
];

/// The address under which the module holds bid deposits.
pub(super) fn address() -> Address {
    accounts::module_address("market")
}

/// An order that exists.
pub(super) fn order(ctx: &Ctx, id: OrderId) -> Result<Order> {
    ORDERS
        .get(ctx, &id)?
        .ok_or_else(|| Error::UnknownOrder.because(id))
}

/// A bid that exists.
pub(super) fn existing_bid(ctx: &Ctx, id: BidId) -> Result<Bid> {
    BIDS.get(ctx, &id)?
        .ok_or_else(|| Error::UnknownBid.because(id))
}

/// The open bids on an order.
pub(super) fn open_bids(ctx: &Ctx, order: &Order) -> Result<Vec<Bid>> {
    let ids = OPEN_BIDS.page_at(ctx, &order.id, None, order.open_bids as usize)?;
    ids.into_iter().map(|id| existing_bid(ctx, id)).collect()
}

/// What has become of an order, if it is still on record.
pub(crate) fn state_of(ctx: &Ctx, order: &OrderId) -> Result<Option<OrderState>> {
    Ok(ORDERS.get(ctx, order)?.map(|order| order.state))
}

/// Whether orders of a deployment are still on record.
pub(crate) fn has_orders(ctx: &Ctx, deployment: DeploymentId) -> Result<bool> {
    Ok(!ORDERS.page_of(ctx, &deployment, None, 1)?.is_empty())
}

fn bids_add_up(ctx: &Ctx) -> Result<(), String> {
    let mut locked = Amount::ZERO;
    let mut engaged: BTreeMap<Address, u32> = BTreeMap::new();
    crate::each(
        |after| BIDS.page(ctx, after, crate::EACH_PAGE),
        |id, bid| {
            let lives = matches!(bid.state, BidState::Open | BidState::Won);
            if lives == bid.deposit.is_zero() || lives == bid.closed.is_some() {
                return Err(format!(
                    "bid {id} is {:?} with {:?}",
                    bid.state, bid.deposit
                ));
            }
            locked = locked.checked_add(bid.deposit).ok_or("deposits overflow")?;
            if lives {
                *engaged.entry(id.provider).or_default() += 1;
            }
            Ok(())
        },
    )?;
    if provider::all_engagements(ctx)? != engaged {
        return Err("bids and leases are counted otherwise at their providers".to_owned());
    }
    crate::expect_balance(ctx, &address(), locked)
}

fn orders_expire(ctx: &Ctx) -> Result<(), String> {
    let params = PARAMS
        .get_or_default(ctx)
        .map_err(|error| error.to_string())?;
    let mut open = Vec::new();
    crate::each(
        |after| ORDERS.page(ctx, after, crate::EACH_PAGE),
        |id, order| {
            let bids = OPEN_BIDS.page_at(ctx, id, None, usize::MAX);
            let bids = bids.map_err(|error| error.to_string())?.len();
            if bids != order.open_bids as usize || order.open_bids > params.max_open_bids {
                return Err(format!(
                    "order {id} has {bids} open bids, {} said",
                    order.open_bids
                ));
            }
            if (order.state == OrderState::Closed) != order.closed.is_some() {
                return Err(format!("order {id} is {:?} with an end", order.state));
            }
            if order.state == OrderState::Open {
                open.push((order.expires_at, *id));
            }
            Ok(())
        },
    )?;
    open.sort_unstable();
    let found = ORDER_EXPIRIES
        .page(ctx, None, usize::MAX)
        .map_err(|error| error.to_string())?;
    if found == open {
        Ok(())
    } else {
        Err("the index of expiries differs".to_owned())
    }
}

fn leases_agree(ctx: &Ctx) -> Result<(), String> {
    let mut active = 0;
    crate::each(
        |after| LEASES.page(ctx, after, crate::EACH_PAGE),
        |id, lease| {
            let agree = || -> Result<[bool; 3]> {
                let order = ORDERS.get(ctx, id)?;
                let bid = BIDS.get(ctx, &id.bid(lease.provider))?;
                Ok([
                    order.is_some_and(|order| order.state == OrderState::Leased),
                    bid.is_some_and(|bid| bid.state == BidState::Won),
                    escrow::payment_is_open(ctx, id)?,
                ])
            };
            let lives = lease.state == LeaseState::Active;
            active += usize::from(lives);
            match agree() {
                Ok(found) if found == [lives; 3] && lives == lease.closed.is_none() => Ok(()),
                Ok(found) => Err(format!(
                    "lease {id} is {:?}, the others {found:?}",
                    lease.state
                )),
                Err(error) => Err(error.to_string()),
            }
        },
    )?;
    let leased = ORDERS_BY_STATE
        .page_at(ctx, &OrderState::Leased, None, usize::MAX)
        .map_err(|error| error.to_string())?;
    let paid = escrow::count_open_payments(ctx)?;
    if leased.len() == active && paid == active {
        return Ok(());
    }
    let leased = leased.len();
    Err(format!(
        "{active} leases are active, {leased} orders are leased, {paid} payments are open"
    ))
}
