//! Answers about orders, bids and leases.

use welkin_runtime::{Ctx, Result};

use super::state::{
    BIDS, BIDS_BY_PROVIDER, LEASES, LEASES_BY_OWNER, LEASES_BY_PROVIDER, ORDERS, ORDERS_BY_STATE,
    PARAMS, existing_bid, order,
};
use super::types::{Answer, Error, Lease, LeasePage, Order, OrderPage, OrderView, Query};
use crate::deployment;
use crate::ids::{LeaseId, OrderId};
use crate::page::{cut, rows_to_read};

#[expect(clippy::too_many_lines, reason = "one arm for each question")]
pub(super) fn answer(ctx: &Ctx, query: Query) -> Result<Answer> {
    Ok(match query {
        Query::Order { order } => {
            let order = ORDERS.get(ctx, &order)?;
            Answer::Order(order.map(|order| view(ctx, order)).transpose()?)
        }
        Query::Orders {
            state,
            start,
            limit,
        } => {
            let rows = rows_to_read(limit);
            let ids = ORDERS_BY_STATE.page_at(ctx, &state, start.as_ref(), rows)?;
            Answer::Orders(order_page(ctx, ids, limit)?)
        }
        Query::OrdersOf {
            deployment,
            start,
            limit,
        } => {
            let rows = ORDERS.page_of(ctx, &deployment, start.as_ref(), rows_to_read(limit))?;
            let ids = rows.into_iter().map(|(id, _)| id).collect();
            Answer::OrdersOf(order_page(ctx, ids, limit)?)
        }
        Query::Bid { bid } => Answer::Bid(BIDS.get(ctx, &bid)?),
        Query::BidsOn {
            order,
            start,
            limit,
        } => {
            let after = start.map(|provider| order.bid(provider));
            let rows = BIDS.page_of(ctx, &order, after.as_ref(), rows_to_read(limit))?;
            let (rows, next) = cut(rows, limit, |(id, _)| id.provider);
            Answer::BidsOn {
                bids: rows.into_iter().map(|(_, bid)| bid).collect(),
                next,
            }
        }
        Query::BidsBy {
            provider,
            state,
            start,
            limit,
        } => {
            let after = start.map(|order| order.bid(provider));
            let at = (provider, state);
            let ids = BIDS_BY_PROVIDER.page_at(ctx, &at, after.as_ref(), rows_to_read(limit))?;
            let (ids, next) = cut(ids, limit, |id| id.order);
            let bids = ids.into_iter().map(|id| existing_bid(ctx, id));
            Answer::BidsBy {
                bids: bids.collect::<Result<_>>()?,
                next,
            }
        }
        Query::Lease { lease } => Answer::Lease(LEASES.get(ctx, &lease)?),
        Query::LeasesOf {
            owner,
            state,
            start,
            limit,
        } => {
            let at = (owner, state);
            let rows = rows_to_read(limit);
            let ids = LEASES_BY_OWNER.page_at(ctx, &at, start.as_ref(), rows)?;
            Answer::LeasesOf(lease_page(ctx, ids, limit)?)
        }
        Query::LeasesBy {
            provider,
            state,
            start,
            limit,
        } => {
            let at = (provider, state);
            let rows = rows_to_read(limit);
            let ids = LEASES_BY_PROVIDER.page_at(ctx, &at, start.as_ref(), rows)?;
            Answer::LeasesBy(lease_page(ctx, ids, limit)?)
        }
        Query::Params {} => Answer::Params(PARAMS.get_or_default(ctx)?),
    })
}

fn view(ctx: &Ctx, order: Order) -> Result<OrderView> {
    let spec = deployment::group(ctx, order.id.group_id())?.spec;
    Ok(OrderView { order, spec })
}

fn order_page(ctx: &Ctx, ids: Vec<OrderId>, limit: u32) -> Result<OrderPage> {
    let (ids, next) = cut(ids, limit, |id| *id);
    let orders = ids.into_iter().map(|id| view(ctx, order(ctx, id)?));
    Ok(OrderPage {
        orders: orders.collect::<Result<_>>()?,
        next,
    })
}

fn lease_page(ctx: &Ctx, ids: Vec<LeaseId>, limit: u32) -> Result<LeasePage> {
    let (ids, next) = cut(ids, limit, |id| *id);
    let leases = ids
        .into_iter()
        .map(|id| -> Result<Lease> { Ok(LEASES.get(ctx, &id)?.ok_or(Error::UnknownLease)?) });
    Ok(LeasePage {
        leases: leases.collect::<Result<_>>()?,
        next,
    })
}
