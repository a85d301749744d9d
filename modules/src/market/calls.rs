//! Ordering, bidding, accepting, ending.

use welkin_runtime::{Address, Amount, Coded, Ctx, Result, Time};

use super::Market;
use super::state::{
    BID_EXPIRIES, BIDS, LEASES, OPEN_BIDS, ORDER_EXPIRIES, ORDERS, ORDERS_CLOSED, ORDERS_TO_DRAIN,
    PARAMS, address, existing_bid, open_bids, order,
};
use super::types::{Bid, BidState, Error, Event, Lease, LeaseState, Order, OrderState, Params};
use crate::deployment::{self, Award, Deployment, Group};
use crate::ids::{BidId, LeaseId, OrderId};
use crate::matching::{self, Mismatch};
use crate::moment::{Closed, Moment, Reason, Side};
use crate::spec::UnitOffer;
use crate::{accounts, escrow, provider, seconds};

pub(super) fn genesis(ctx: &mut Ctx, params: &Params) -> Result<()> {
    let counts = [
        params.max_open_bids,
        params.work_per_block,
        params.pruned_per_block,
    ];
    let lifetimes = [params.order_lifetime_seconds, params.bid_lifetime_seconds];
    let windows = params.min_bid_window_seconds..=params.max_bid_window_seconds;
    let positive = !counts.contains(&0) && !lifetimes.contains(&0) && *windows.start() > 0;
    if !positive || windows.is_empty() || params.min_bid_deposit.is_zero() {
        return Err(Error::BadParams.because("each is at least 1, the least at most the most"));
    }
    PARAMS.set(ctx, params)
}

/// What a provider asks and gives.
pub(crate) struct Terms {
    pub(crate) rate: Amount,
    pub(crate) offer: Vec<UnitOffer>,
    pub(crate) deposit: Amount,
}

/// Checks that orders may be awarded like that.
pub fn check_award(ctx: &Ctx, award: Award) -> Result<()> {
    let Award::Best {
        bid_window_seconds: window,
    } = award
    else {
        return Ok(());
    };
    let params = PARAMS.get_or_default(ctx)?;
    let (least, most) = (params.min_bid_window_seconds, params.max_bid_window_seconds);
    if (least..=most).contains(&window) {
        return Ok(());
    }
    let message = format!("{window} s, allowed is {least} to {most} s");
    Err(deployment::Error::BadBidWindow.because(message))
}

/// Opens the newest order of a group.
pub fn open_order(ctx: &mut Ctx, deployment: &Deployment, group: &Group) -> Result<()> {
    let params = PARAMS.get_or_default(ctx)?;
    let lifetime = match deployment.award {
        Award::Tenant => params.order_lifetime_seconds,
        Award::Best { bid_window_seconds } => bid_window_seconds,
    };
    let id = group.newest_order();
    let order = Order {
        id,
        owner: deployment.owner,
        state: OrderState::Open,
        award: deployment.award,
        max_rate_uwlk_per_hour: group.spec.max_rate().ok_or(Error::BadRate)?,
        opened: Moment::now(ctx),
        expires_at: ctx.time().saturating_add(seconds(lifetime)),
        open_bids: 0,
        bids_placed: 0,
        closed: None,
    };
    ORDERS.insert(ctx, &id, &order)?;
    ctx.emit::<Market>(Event::OrderOpened {
        order: id,
        owner: order.owner,
    })
}

pub(crate) fn bid(ctx: &mut Ctx, sender: Address, id: OrderId, terms: Terms) -> Result<()> {
    let params = PARAMS.get_or_default(ctx)?;
    let order = order(ctx, id)?;
    check_bid(ctx, &sender, &order, &terms)?;
    if terms.deposit < params.min_bid_deposit {
        let message = format!(
            "{} uwlk, at least {} uwlk",
            terms.deposit, params.min_bid_deposit
        );
        return Err(Error::DepositTooSmall.because(message));
    }
    let bid_id = id.bid(sender);
    if BIDS
        .get(ctx, &bid_id)?
        .is_some_and(|bid| bid.state == BidState::Open)
    {
        return Err(Error::BidExists.because(bid_id));
    }
    if order.open_bids >= params.max_open_bids {
        outbid(ctx, &order, terms.rate)?;
    }
    accounts::transfer(ctx, &sender, &address(), terms.deposit)?;
    provider::engage(ctx, &sender)?;
    // It may have changed: a bid may have been outbid.
    let mut order = self::order(ctx, id)?;
    order.bids_placed = order.bids_placed.saturating_add(1);
    order.open_bids = order.open_bids.saturating_add(1);
    ORDERS.insert(ctx, &id, &order)?;
    let lifetime = ctx
        .time()
        .saturating_add(seconds(params.bid_lifetime_seconds));
    let expires_at = match order.award {
        // Bids wait for the award, however long the window is.
        Award::Best { .. } => order.expires_at,
        Award::Tenant => order.expires_at.min(lifetime),
    };
    let bid = Bid {
        id: bid_id,
        state: BidState::Open,
        rate_uwlk_per_hour: terms.rate,
        offer: terms.offer,
        deposit: terms.deposit,
        number: order.bids_placed,
        placed: Moment::now(ctx),
        expires_at,
        closed: None,
    };
    BIDS.insert(ctx, &bid_id, &bid)?;
    ctx.emit::<Market>(Event::BidPlaced {
        bid: bid_id,
        rate_uwlk_per_hour: terms.rate,
    })
}

/// Checks all of a bid that is not about money and places.
fn check_bid(ctx: &Ctx, sender: &Address, order: &Order, terms: &Terms) -> Result<()> {
    let provider = provider::active(ctx, sender)?;
    if order.state != OrderState::Open || order.expires_at <= ctx.time() {
        return Err(Error::OrderNotOpen.because(order.id));
    }
    if order.owner == *sender {
        return Err(Error::OwnOrder.because(order.id));
    }
    if terms.rate.is_zero() || terms.rate > order.max_rate_uwlk_per_hour {
        let most = order.max_rate_uwlk_per_hour;
        let message = format!("{} uwlk per hour, allowed is 1 to {most}", terms.rate);
        return Err(Error::BadRate.because(message));
    }
    let spec = deployment::group(ctx, order.id.group_id())?.spec;
    let lacking = matching::offer_mismatches(&spec, &terms.offer);
    if !lacking.is_empty() {
        return Err(Error::BadOffer.because(sentences(&lacking)));
    }
    refuse(&provider::mismatches(ctx, &provider, &spec)?)
}

fn refuse(mismatches: &[Mismatch]) -> Result<()> {
    if mismatches.is_empty() {
        return Ok(());
    }
    Err(Error::NoMatch.because(sentences(mismatches)))
}

fn sentences(mismatches: &[Mismatch]) -> String {
    mismatches
        .iter()
        .map(Mismatch::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

/// Makes room on a full order for a bid of this rate.
fn outbid(ctx: &mut Ctx, order: &Order, rate: Amount) -> Result<()> {
    let bids = open_bids(ctx, order)?;
    let highest = bids
        .into_iter()
        .max_by_key(|bid| (bid.rate_uwlk_per_hour, bid.number));
    match highest {
        Some(highest) if rate < highest.rate_uwlk_per_hour => {
            end_bid(ctx, highest, BidState::Lost, Reason::OUTBID)
        }
        _ => Err(Error::OrderFull.because(format!("{} bids", order.open_bids))),
    }
}

pub(super) fn accept(ctx: &mut Ctx, id: BidId) -> Result<()> {
    let sender = ctx.sender()?;
    let order = order(ctx, id.order)?;
    if order.owner != sender {
        return Err(Error::NotOwner.because(format!("{} is {}'s", order.id, order.owner)));
    }
    if order.award != Award::Tenant {
        return Err(Error::NotTenantsChoice.because(order.id));
    }
    if order.state != OrderState::Open || order.expires_at <= ctx.time() {
        return Err(Error::OrderNotOpen.because(order.id));
    }
    let bid = existing_bid(ctx, id)?;
    if bid.state != BidState::Open || bid.expires_at <= ctx.time() {
        return Err(Error::BidNotOpen.because(id));
    }
    lease(ctx, order, bid)
}

/// The one way in which a lease begins: a bid wins an open order.
pub(super) fn lease(ctx: &mut Ctx, mut order: Order, mut bid: Bid) -> Result<()> {
    let id = order.id;
    let provider = provider::active(ctx, &bid.id.provider)?;
    let spec = deployment::group(ctx, id.group_id())?.spec;
    refuse(&provider::mismatches(ctx, &provider, &spec)?)?;
    escrow::open_payment(ctx, id, &provider.address, bid.rate_uwlk_per_hour)?;
    bid.state = BidState::Won;
    BIDS.insert(ctx, &bid.id, &bid)?;
    order.state = OrderState::Leased;
    order.open_bids = order.open_bids.saturating_sub(1);
    ORDERS.insert(ctx, &id, &order)?;
    let lease = Lease {
        id,
        owner: order.owner,
        provider: provider.address,
        state: LeaseState::Active,
        rate_uwlk_per_hour: bid.rate_uwlk_per_hour,
        created: Moment::now(ctx),
        closed: None,
    };
    LEASES.insert(ctx, &id, &lease)?;
    ctx.emit::<Market>(Event::LeaseCreated {
        lease: id,
        owner: lease.owner,
        provider: lease.provider,
        rate_uwlk_per_hour: lease.rate_uwlk_per_hour,
    })
}

pub(super) fn close_bid(ctx: &mut Ctx, id: OrderId, reason: Reason) -> Result<()> {
    let sender = ctx.sender()?;
    if reason.side() != Some(Side::Provider) {
        return Err(Error::BadReason.because("a provider's are 10000 to 19999"));
    }
    let bid = existing_bid(ctx, id.bid(sender))?;
    if bid.state != BidState::Open {
        return Err(Error::BidNotOpen.because(bid.id));
    }
    end_bid(ctx, bid, BidState::Closed, reason)
}

/// The one way in which a bid ends that has not won.
pub(super) fn end_bid(ctx: &mut Ctx, bid: Bid, state: BidState, reason: Reason) -> Result<()> {
    let mut order = order(ctx, bid.id.order)?;
    order.open_bids = order.open_bids.saturating_sub(1);
    ORDERS.insert(ctx, &order.id, &order)?;
    let id = bid.id;
    release_bid(ctx, bid, state, reason)?;
    ctx.emit::<Market>(Event::BidClosed {
        bid: id,
        state,
        reason,
    })
}

/// The one way in which a bid's deposit returns.
fn release_bid(ctx: &mut Ctx, mut bid: Bid, state: BidState, reason: Reason) -> Result<()> {
    let provider = bid.id.provider;
    let deposit = std::mem::replace(&mut bid.deposit, Amount::ZERO);
    bid.state = state;
    bid.closed = Some(Closed {
        reason,
        at: Moment::now(ctx),
    });
    BIDS.insert(ctx, &bid.id, &bid)?;
    accounts::transfer(ctx, &address(), &provider, deposit)?;
    provider::disengage(ctx, &provider)
}

pub(super) fn close_lease(ctx: &mut Ctx, id: LeaseId, reason: Reason) -> Result<()> {
    let sender = ctx.sender()?;
    let lease = LEASES
        .get(ctx, &id)?
        .ok_or_else(|| Error::UnknownLease.because(id))?;
    let side = match sender {
        owner if owner == lease.owner => Side::Owner,
        provider if provider == lease.provider => Side::Provider,
        _ => return Err(Error::NotParty.because(id)),
    };
    if reason.side() != Some(side) {
        let message = "1 to 9999 are the owner's, 10000 to 19999 the provider's";
        return Err(Error::BadReason.because(message));
    }
    if lease.state != LeaseState::Active {
        return Err(Error::LeaseNotActive.because(id));
    }
    withdraw_order(ctx, id, reason)?;
    deployment::after_order(ctx, id.group_id(), reason)
}

/// Ends an order, or the lease that came of it, while its deployment lives on.
pub fn withdraw_order(ctx: &mut Ctx, id: OrderId, reason: Reason) -> Result<()> {
    if let Some(lease) = end_order(ctx, id, reason)? {
        escrow::close_payment(ctx, lease)?;
    }
    Ok(())
}

/// The one way in which an order ends, with the lease that came of it, if one did. That is
/// returned: its payment is the caller's to end.
pub fn end_order(ctx: &mut Ctx, id: OrderId, reason: Reason) -> Result<Option<LeaseId>> {
    let mut order = order(ctx, id)?;
    let was = std::mem::replace(&mut order.state, OrderState::Closed);
    let closed = Closed {
        reason,
        at: Moment::now(ctx),
    };
    order.closed = Some(closed);
    ORDERS.insert(ctx, &id, &order)?;
    let lease = match was {
        OrderState::Open => None,
        OrderState::Leased => Some(end_lease(ctx, id, closed)?),
        OrderState::Closed => return Err(Error::OrderNotOpen.because(id)),
    };
    ctx.emit::<Market>(Event::OrderClosed { order: id, reason })?;
    Ok(lease)
}

fn end_lease(ctx: &mut Ctx, id: LeaseId, closed: Closed) -> Result<LeaseId> {
    let mut lease = LEASES
        .get(ctx, &id)?
        .ok_or_else(|| Error::UnknownLease.because(id))?;
    lease.state = LeaseState::Closed;
    lease.closed = Some(closed);
    LEASES.insert(ctx, &id, &lease)?;
    let bid = existing_bid(ctx, id.bid(lease.provider))?;
    release_bid(ctx, bid, BidState::Closed, closed.reason)?;
    ctx.emit::<Market>(Event::LeaseClosed {
        lease: id,
        owner: lease.owner,
        provider: lease.provider,
        reason: closed.reason,
    })?;
    Ok(id)
}

/// Awards or ends orders whose time has come, then ends bids whose time has come, as many as there
/// is room for.
pub(super) fn expire(ctx: &mut Ctx) {
    ctx.attempt("expire orders and bids", |ctx| {
        let now = ctx.time();
        let mut room = Room::new(PARAMS.get_or_default(ctx)?.work_per_block);
        for (_, id) in ORDER_EXPIRIES.up_to(ctx, &now, room.rows())? {
            if room.is_used_up() {
                break;
            }
            let work = ctx.attempt("award or expire an order", |ctx| settle_order(ctx, id));
            room.spend(work);
        }
        for (_, id) in BID_EXPIRIES.up_to(ctx, &now, room.rows())? {
            let work = ctx.attempt("expire a bid", |ctx| {
                let bid = existing_bid(ctx, id)?;
                end_bid(ctx, bid, BidState::Expired, Reason::EXPIRED)?;
                Ok(1)
            });
            room.spend(work);
        }
        let left = ORDER_EXPIRIES.up_to(ctx, &now, room.failed + 1)?.len()
            + BID_EXPIRIES.up_to(ctx, &now, room.failed + 1)?.len();
        if left > room.failed {
            ctx.report_due_work();
        }
        Ok(())
    });
}

/// Ends the time of an order: its best bid wins, or it expires. Returns the work that it was.
fn settle_order(ctx: &mut Ctx, id: OrderId) -> Result<u32> {
    let order = order(ctx, id)?;
    let work = order.open_bids.saturating_add(1);
    if let Award::Best { .. } = order.award {
        let mut bids = open_bids(ctx, &order)?;
        bids.sort_by_key(|bid| (bid.rate_uwlk_per_hour, bid.number));
        for bid in bids {
            // A bid that cannot win (its provider has left or changed, or the money does not last)
            // leaves the place to the next.
            if ctx.atomic(|ctx| lease(ctx, order.clone(), bid)).is_ok() {
                return Ok(work);
            }
        }
    }
    end_order(ctx, id, Reason::EXPIRED)?;
    deployment::after_order(ctx, id.group_id(), Reason::EXPIRED)?;
    Ok(work)
}

/// Ends the open bids of orders that are no longer open, as many as there is room for.
pub(super) fn return_lost_deposits(ctx: &mut Ctx) {
    ctx.attempt("return deposits of lost bids", |ctx| {
        let mut room = Room::new(PARAMS.get_or_default(ctx)?.work_per_block);
        for ((), id) in ORDERS_TO_DRAIN.page(ctx, None, room.rows())? {
            let reason = order(ctx, id)?
                .closed
                .map_or(Reason::NOT_CHOSEN, |closed| closed.reason);
            for bid in OPEN_BIDS.page_at(ctx, &id, None, room.rows())? {
                let work = ctx.attempt("return the deposit of a lost bid", |ctx| {
                    let bid = existing_bid(ctx, bid)?;
                    end_bid(ctx, bid, BidState::Lost, reason)?;
                    Ok(1)
                });
                room.spend(work);
            }
            if room.is_used_up() {
                break;
            }
        }
        if ORDERS_TO_DRAIN.page(ctx, None, room.failed + 1)?.len() > room.failed {
            ctx.report_due_work();
        }
        Ok(())
    });
}

/// Ends all open bids. Returns how many. For exports: the work is not bounded.
pub(crate) fn end_all_bids(ctx: &mut Ctx, reason: Reason) -> Result<u64> {
    let (mut ended, mut after) = (0, None);
    loop {
        let page = BIDS.page(ctx, after.as_ref(), crate::EACH_PAGE)?;
        let Some((last, _)) = page.last() else {
            return Ok(ended);
        };
        after = Some(*last);
        for (_, bid) in page {
            if bid.state == BidState::Open {
                end_bid(ctx, bid, BidState::Lost, reason)?;
                ended += 1;
            }
        }
    }
}

/// Removes orders that ended long enough ago, with their bids and leases. Nobody waits for it.
pub(super) fn prune(ctx: &mut Ctx) {
    ctx.attempt("prune orders", |ctx| {
        let mut room = PARAMS.get_or_default(ctx)?.pruned_per_block as usize;
        let delay = deployment::prune_delay_nanos(ctx)?;
        let Some(last) = ctx.time().0.checked_sub(delay) else {
            return Ok(());
        };
        for (_, id) in ORDERS_CLOSED.up_to(ctx, &Time(last), room)? {
            if order(ctx, id)?.open_bids > 0 {
                continue;
            }
            let bids = BIDS.page_of(ctx, &id, None, room)?;
            for (bid, _) in &bids {
                BIDS.remove(ctx, bid)?;
            }
            room -= bids.len();
            if room == 0 {
                break;
            }
            LEASES.remove(ctx, &id)?;
            escrow::prune_payment(ctx, id)?;
            ORDERS.remove(ctx, &id)?;
            ctx.emit::<Market>(Event::Pruned { order: id })?;
            room -= 1;
            if room == 0 {
                break;
            }
        }
        Ok(())
    });
}

/// How much more a hook may do in this block.
struct Room {
    left: u32,
    failed: usize,
}

impl Room {
    fn new(work: u32) -> Room {
        Room {
            left: work,
            failed: 0,
        }
    }

    fn rows(&self) -> usize {
        self.left as usize
    }

    fn is_used_up(&self) -> bool {
        self.left == 0
    }

    /// Takes away what was done. What failed is counted, so that it does not look like due work
    /// for ever.
    fn spend(&mut self, work: Option<u32>) {
        self.left = self.left.saturating_sub(work.unwrap_or(1));
        self.failed += usize::from(work.is_none());
    }
}
