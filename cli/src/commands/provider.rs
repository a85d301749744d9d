//! `welkin provider`.

use std::collections::BTreeMap;

use welkin_client::Chain;
use welkin_modules::provider::Providers;
use welkin_modules::provider::types::{Answer, ProviderView, Query};
use welkin_modules::spec::Attributes;
use welkin_runtime::Address;

use crate::args::Provider;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::{pairs, table};

const PAGE: u32 = 100;

/// Shows providers.
pub async fn run(context: &Context, command: Provider) -> Outcome {
    let chain = context.chain().await?;
    match command {
        Provider::List => context.format.print(&all(&chain).await?, |views| {
            table(
                &["PROVIDER", "STATUS", "ENGAGEMENTS", "ATTRIBUTES"],
                views.iter().map(|view| {
                    vec![
                        view.provider.address.to_string(),
                        format!("{:?}", view.provider.status).to_lowercase(),
                        view.engagements.to_string(),
                        attributes(&view.provider.profile.attributes),
                    ]
                }),
            )
        }),
        Provider::Show { address } => {
            let Answer::Provider(Some(view)) = chain
                .query::<Providers>(&Query::Provider { address })
                .await?
                .answer
            else {
                return Err(Failure::not_found(format!(
                    "there is no provider {address}"
                )));
            };
            context.format.print(&view, |view| {
                let provider = &view.provider;
                pairs(&[
                    ("provider", provider.address.to_string()),
                    ("status", format!("{:?}", provider.status).to_lowercase()),
                    ("bond", format!("{} uwlk", provider.bond)),
                    ("engagements", view.engagements.to_string()),
                    ("peer", provider.profile.peer_id.clone()),
                    ("addresses", provider.profile.addresses.join(" ")),
                    ("attributes", attributes(&provider.profile.attributes)),
                    ("website", provider.profile.website.clone()),
                    ("contact", provider.profile.contact.clone()),
                ])
            })
        }
    }
}

fn attributes(attributes: &Attributes) -> String {
    attributes
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect::<Vec<_>>()
        .join(" ")
}

/// All providers, complete.
///
/// # Errors
/// As the client's.
pub async fn all(chain: &Chain) -> Outcome<Vec<ProviderView>> {
    let mut views = Vec::new();
    let mut start = None;
    loop {
        let query = Query::Providers { start, limit: PAGE };
        let Answer::Providers { providers, next } = chain.query::<Providers>(&query).await?.answer
        else {
            return Err(Failure::new(
                1,
                "the answer is of another kind than was asked for",
            ));
        };
        views.extend(providers);
        start = next;
        if start.is_none() {
            return Ok(views);
        }
    }
}

/// What auditors vouch for of a provider.
///
/// # Errors
/// As the client's.
pub async fn attestations(
    chain: &Chain,
    provider: Address,
) -> Outcome<BTreeMap<Address, Attributes>> {
    let mut found = BTreeMap::new();
    let mut start = None;
    loop {
        let query = Query::Attestations {
            provider,
            start,
            limit: PAGE,
        };
        let Answer::Attestations { attestations, next } =
            chain.query::<Providers>(&query).await?.answer
        else {
            return Err(Failure::new(
                1,
                "the answer is of another kind than was asked for",
            ));
        };
        found.extend(
            attestations
                .into_iter()
                .map(|one| (one.auditor, one.attributes)),
        );
        start = next;
        if start.is_none() {
            return Ok(found);
        }
    }
}
