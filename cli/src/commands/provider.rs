//! `welkin provider`.

use welkin_modules::spec::Attributes;

use crate::args::Provider;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::{pairs, table};

/// Shows providers.
pub async fn run(context: &Context, command: Provider) -> Outcome {
    let chain = context.chain().await?;
    match command {
        Provider::List => context.format.print(&chain.providers().await?, |views| {
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
            let view = chain.provider(address).await?;
            let view =
                view.ok_or_else(|| Failure::not_found(format!("there is no provider {address}")))?;
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
