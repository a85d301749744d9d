//! Answers about deployments.

use welkin_runtime::{Ctx, Result};

use super::state::{BY_OWNER, DEPLOYMENTS, GROUPS, NONCES, PARAMS, all_groups, deployment};
use super::types::{Answer, NonceKey, Query};
use crate::page;

pub(super) fn answer(ctx: &Ctx, query: Query) -> Result<Answer> {
    Ok(match query {
        Query::Deployment { deployment } => Answer::Deployment(DEPLOYMENTS.get(ctx, &deployment)?),
        Query::ByNonce { owner, nonce } => {
            let id = NONCES.get(
                ctx,
                &NonceKey {
                    owner,
                    nonce: nonce.0,
                },
            )?;
            Answer::ByNonce(id.map(|id| deployment(ctx, id)).transpose()?)
        }
        Query::ByOwner {
            owner,
            start,
            limit,
        } => {
            let ids = BY_OWNER.page_at(ctx, &owner, start.as_ref(), page::rows_to_read(limit))?;
            let (ids, next) = page::cut(ids, limit, |id| *id);
            let deployments = ids.into_iter().map(|id| deployment(ctx, id));
            Answer::ByOwner {
                deployments: deployments.collect::<Result<_>>()?,
                next,
            }
        }
        Query::Groups { deployment } => {
            Answer::Groups(match DEPLOYMENTS.get(ctx, &deployment)? {
                Some(deployment) => all_groups(ctx, &deployment)?,
                None => Vec::new(),
            })
        }
        Query::Group { group } => Answer::Group(GROUPS.get(ctx, &group)?),
        Query::Params {} => Answer::Params(PARAMS.get_or_default(ctx)?),
    })
}
