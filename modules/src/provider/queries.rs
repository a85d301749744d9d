//! Answers about providers.

use welkin_runtime::{Ctx, Result};

use super::state::{ATTESTATIONS, PARAMS, PROVIDERS, engagements};
use super::types::{Answer, Provider, ProviderView, Query};
use crate::page;

pub(super) fn answer(ctx: &Ctx, query: Query) -> Result<Answer> {
    Ok(match query {
        Query::Provider { address } => {
            let provider = PROVIDERS.get(ctx, &address)?;
            Answer::Provider(provider.map(|provider| view(ctx, provider)).transpose()?)
        }
        Query::Providers { start, limit } => {
            let rows = PROVIDERS.page(ctx, start.as_ref(), page::rows_to_read(limit))?;
            let (rows, next) = page::cut(rows, limit, |(address, _)| *address);
            let providers = rows.into_iter().map(|(_, provider)| view(ctx, provider));
            Answer::Providers {
                providers: providers.collect::<Result<_>>()?,
                next,
            }
        }
        Query::Attestation { provider, auditor } => {
            Answer::Attestation(ATTESTATIONS.get(ctx, &(provider, auditor))?)
        }
        Query::Attestations {
            provider,
            start,
            limit,
        } => {
            let after = start.map(|auditor| (provider, auditor));
            let rows = page::rows_to_read(limit);
            let rows = ATTESTATIONS.page_of(ctx, &provider, after.as_ref(), rows)?;
            let (rows, next) = page::cut(rows, limit, |((_, auditor), _)| *auditor);
            let attestations = rows
                .into_iter()
                .map(|(_, attestation)| attestation)
                .collect();
            Answer::Attestations { attestations, next }
        }
        Query::Params {} => Answer::Params(PARAMS.get_or_default(ctx)?),
    })
}

fn view(ctx: &Ctx, provider: Provider) -> Result<ProviderView> {
    let engagements = engagements(ctx, &provider.address)?;
    Ok(ProviderView {
        provider,
        engagements,
    })
}
