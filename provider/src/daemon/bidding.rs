//! Bids: one round over all open orders.

use std::collections::{BTreeMap, BTreeSet};

use welkin_client::{Chain, ClientError, call};
use welkin_modules::ids::OrderId;
use welkin_modules::market::Market;
use welkin_modules::market::types::{Call as MarketCall, OrderView};
use welkin_modules::spec::GroupSpec;
use welkin_runtime::Amount;
use welkin_runtime::crypto::SigningKey;
use welkin_runtime::tx::RawCall;

use super::LOG;
use super::look::Looker;
use crate::backend::Inventory;
use crate::bid::{Decision, Demand, Ledger, Offering, PriceTable, Reason, Reservation, decide};

/// Bids in one transaction.
const MAX_BIDS_AT_ONCE: usize = 16;

/// What the rounds remember: only what saves work, nothing that is true.
#[derive(Default)]
pub struct Bidder {
    /// Specifications of orders with an open bid or a lease.
    specs: BTreeMap<OrderId, GroupSpec>,
    /// Why there was no bid the last time, so that it is said once.
    passed: BTreeMap<OrderId, Vec<Reason>>,
}

/// What a round needs to know.
pub struct Round<'a> {
    /// Looks at the chain.
    pub looker: &'a Looker,
    /// The account that bids.
    pub key: &'a SigningKey,
    /// What this provider is.
    pub offering: &'a Offering,
    /// What it has, with nothing promised of it.
    pub ledger: Ledger,
    /// What its leases hold.
    pub leases: Vec<(OrderId, Demand)>,
    /// The copies of leases that have their node.
    pub placed: BTreeMap<OrderId, Vec<Inventory>>,
    /// What it asks.
    pub prices: &'a PriceTable,
}

impl Round<'_> {
    fn still_to_place(&self, order: OrderId, demand: Demand) -> Demand {
        demand.without(self.placed.get(&order).map_or(&[], Vec::as_slice))
    }
}

impl Bidder {
    /// Bids on every open order that fits, and says why it does not on the others. Returns the ledger after it.
    ///
    /// # Errors
    /// [`ClientError`] of the first query or of the transaction; the next round starts anew.
    pub async fn round(&mut self, round: Round<'_>) -> Result<Ledger, ClientError> {
        let mut ledger = round.ledger.clone();
        let orders = round.looker.open_orders().await?;
        // First the bids, then the leases: one that is taken meanwhile is in both, and never in neither. The reconcile
        // loop's look is older than either.
        let bids = round.looker.open_bids().await?;
        let leased = round.looker.leased_orders().await?;
        let bids: BTreeSet<OrderId> = bids.iter().map(|bid| bid.id.order).collect();
        self.specs
            .retain(|order, _| bids.contains(order) || leased.contains(order));
        for order in bids {
            let demand = self.demand_of(order, &orders, round.looker).await?;
            ledger.reserve(order, Reservation::Bid, demand);
        }
        for order in leased {
            let demand = self.demand_of(order, &orders, round.looker).await?;
            ledger.reserve(
                order,
                Reservation::Lease,
                round.still_to_place(order, demand),
            );
        }
        for (order, demand) in &round.leases {
            let demand = round.still_to_place(*order, demand.clone());
            ledger.reserve(*order, Reservation::Lease, demand);
        }
        let wanted = self.choose(&orders, &mut ledger, &round);
        if !wanted.is_empty() {
            let deposit = round.looker.market_params().await?.min_bid_deposit;
            for batch in wanted.chunks(MAX_BIDS_AT_ONCE) {
                place(round.looker.chain(), round.key, batch, deposit).await?;
            }
        }
        Ok(ledger)
    }

    fn choose(
        &mut self,
        orders: &[OrderView],
        ledger: &mut Ledger,
        round: &Round<'_>,
    ) -> Vec<(OrderId, Amount)> {
        let mut wanted = Vec::new();
        let mut passed = BTreeMap::new();
        for order in orders
            .iter()
            .filter(|order| order.order.owner != round.key.address())
        {
            let id = order.order.id;
            if ledger.holds(id) {
                continue;
            }
            let maximum = order.order.max_rate_uwlk_per_hour;
            match decide(&order.spec, maximum, round.offering, ledger, round.prices) {
                Decision::Bid(rate) => {
                    ledger.reserve(id, Reservation::Bid, Demand::of(&order.spec));
                    self.specs.insert(id, order.spec.clone());
                    wanted.push((id, rate));
                }
                Decision::Pass(reasons) => {
                    if self.passed.get(&id) != Some(&reasons) {
                        let said: Vec<String> = reasons.iter().map(ToString::to_string).collect();
                        tracing::info!(target: LOG, order = %id, "no bid: {}", said.join("; "));
                    }
                    passed.insert(id, reasons);
                }
            }
        }
        self.passed = passed;
        wanted
    }

    async fn demand_of(
        &mut self,
        order: OrderId,
        orders: &[OrderView],
        looker: &Looker,
    ) -> Result<Demand, ClientError> {
        if let Some(spec) = self.specs.get(&order) {
            return Ok(Demand::of(spec));
        }
        let found = match orders.iter().find(|view| view.order.id == order) {
            Some(view) => Some(view.clone()),
            None => looker.order(order).await?,
        };
        let Some(view) = found else {
            return Ok(Demand::default());
        };
        let demand = Demand::of(&view.spec);
        self.specs.insert(order, view.spec);
        Ok(demand)
    }
}

async fn place(
    chain: &Chain,
    key: &SigningKey,
    bids: &[(OrderId, Amount)],
    deposit: Amount,
) -> Result<(), ClientError> {
    let call = |(order, rate): &(OrderId, Amount)| {
        call::<Market>(&MarketCall::Bid {
            order: *order,
            rate_uwlk_per_hour: *rate,
            offer: Vec::new(),
            deposit,
        })
    };
    let outcomes = submit_each(chain, key, bids.iter().map(call).collect()).await?;
    for ((order, rate), outcome) in bids.iter().zip(outcomes) {
        match outcome {
            Ok(()) => tracing::info!(target: LOG, %order, rate_uwlk_per_hour = rate.0, "bid"),
            Err(error) => tracing::warn!(target: LOG, %order, %error, "the bid was refused"),
        }
    }
    Ok(())
}

/// Submits calls in one transaction; where the chain refuses that, one by one, because calls succeed or fail together and
/// one that came too late must not keep the others waiting. What became of each: `Err` says why it was refused.
///
/// # Errors
/// [`ClientError`], when the chain did not answer.
pub(super) async fn submit_each(
    chain: &Chain,
    key: &SigningKey,
    calls: Vec<RawCall>,
) -> Result<Vec<Result<(), ClientError>>, ClientError> {
    let mut outcomes = Vec::new();
    match chain.submit(key, calls.clone()).await {
        Ok(_) => outcomes.resize_with(calls.len(), || Ok(())),
        Err(error @ ClientError::Refused { .. }) if calls.len() == 1 => outcomes.push(Err(error)),
        Err(ClientError::Refused { .. }) => {
            for call in calls {
                outcomes.push(match chain.submit(key, vec![call]).await {
                    Ok(_) => Ok(()),
                    Err(error @ ClientError::Refused { .. }) => Err(error),
                    Err(error) => return Err(error),
                });
            }
        }
        Err(error) => return Err(error),
    }
    Ok(outcomes)
}
