//! `welkin market`.

use welkin_modules::market::types::LeaseState;

use crate::args::Market;
use crate::context::Context;
use crate::failure::Outcome;
use crate::output::table;

/// Shows the market.
pub async fn run(context: &Context, command: Market) -> Outcome {
    let chain = context.chain().await?;
    match command {
        Market::Orders { deployment } => {
            let mut orders = chain.open_orders().await?;
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
            let bids = chain.bids_on(order).await?;
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
                Some(provider) => chain.leases_by(provider, LeaseState::Active).await?,
                None => {
                    let owner = match owner {
                        Some(owner) => owner,
                        None => context.keyring().show(context.key_name())?.address,
                    };
                    chain.leases_of(owner, LeaseState::Active).await?
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
