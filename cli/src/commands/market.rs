//! `welkin market`.

use welkin_client::Chain;
use welkin_modules::ids::OrderId;
use welkin_modules::market::Market as MarketModule;
use welkin_modules::market::types::{Answer, Bid, Lease, LeaseState, OrderState, OrderView, Query};

use crate::args::Market;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::table;

const PAGE: u32 = 100;

/// Shows the market.
pub async fn run(context: &Context, command: Market) -> Outcome {
    let chain = context.chain().await?;
    match command {
        Market::Orders { deployment } => {
            let mut orders = orders(&chain).await?;
            orders.retain(|view| deployment.is_none_or(|id| view.order.id.deployment == id));
            context.format.print(&orders, |orders| {
                table(
                    &["ORDER", "OWNER", "MAX UWLK/H", "BIDS", "GROUP"],
                    orders.iter().map(|view| {
                        vec![
                            view.order.id.to_string(),
                            view.order.owner.to_string(),
                            view.order.max_rate_uwlk_per_hour.to_string(),
                            view.order.open_bids.to_string(),
                            view.spec.name.clone(),
                        ]
                    }),
                )
            })
        }
        Market::Bids { order } => {
            let bids = bids(&chain, order).await?;
            context.format.print(&bids, |bids| {
                table(
                    &["PROVIDER", "STATE", "UWLK/H"],
                    bids.iter().map(|bid| {
                        vec![
                            bid.id.provider.to_string(),
                            format!("{:?}", bid.state).to_lowercase(),
                            bid.rate_uwlk_per_hour.to_string(),
                        ]
                    }),
                )
            })
        }
        Market::Leases { owner, provider } => {
            let leases = match provider {
                Some(provider) => {
                    leases(&chain, |start| Query::LeasesBy {
                        provider,
                        state: LeaseState::Active,
                        start,
                        limit: PAGE,
                    })
                    .await?
                }
                None => {
                    let owner = match owner {
                        Some(owner) => owner,
                        None => context.keyring().show(context.key_name())?.address,
                    };
                    leases(&chain, |start| Query::LeasesOf {
                        owner,
                        state: LeaseState::Active,
                        start,
                        limit: PAGE,
                    })
                    .await?
                }
            };
            context.format.print(&leases, |leases| {
                table(
                    &["LEASE", "PROVIDER", "UWLK/H", "OWNER"],
                    leases.iter().map(|lease| {
                        vec![
                            lease.id.to_string(),
                            lease.provider.to_string(),
                            lease.rate_uwlk_per_hour.to_string(),
                            lease.owner.to_string(),
                        ]
                    }),
                )
            })
        }
    }
}

/// All open orders, complete.
///
/// # Errors
/// As the client's.
pub async fn orders(chain: &Chain) -> Outcome<Vec<OrderView>> {
    let mut all = Vec::new();
    let mut start = None;
    loop {
        let query = Query::Orders {
            state: OrderState::Open,
            start,
            limit: PAGE,
        };
        let Answer::Orders(page) = chain.query::<MarketModule>(&query).await?.answer else {
            return Err(other_kind());
        };
        all.extend(page.orders);
        start = page.next;
        if start.is_none() {
            return Ok(all);
        }
    }
}

/// All bids on an order, complete.
///
/// # Errors
/// As the client's.
pub async fn bids(chain: &Chain, order: OrderId) -> Outcome<Vec<Bid>> {
    let mut all = Vec::new();
    let mut start = None;
    loop {
        let query = Query::BidsOn {
            order,
            start,
            limit: PAGE,
        };
        let Answer::BidsOn { bids, next } = chain.query::<MarketModule>(&query).await?.answer
        else {
            return Err(other_kind());
        };
        all.extend(bids);
        start = next;
        if start.is_none() {
            return Ok(all);
        }
    }
}

async fn leases(chain: &Chain, query: impl Fn(Option<OrderId>) -> Query) -> Outcome<Vec<Lease>> {
    let mut all = Vec::new();
    let mut start = None;
    loop {
        match chain.query::<MarketModule>(&query(start)).await?.answer {
            Answer::LeasesBy(page) | Answer::LeasesOf(page) => {
                all.extend(page.leases);
                start = page.next;
            }
            _ => return Err(other_kind()),
        }
        if start.is_none() {
            return Ok(all);
        }
    }
}

fn other_kind() -> Failure {
    Failure::new(
        1,
        "the answer is of another kind than was asked for; this program and its runtime do not fit",
    )
}
