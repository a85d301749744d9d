//! Storage of deployments.

use welkin_runtime::{
    Address, Coded, Ctx, Index, IndexedMap, Invariant, Item, Map, Result, StorageItem, Time,
};

use super::types::{Deployment, DeploymentState, Error, Group, GroupState, NonceKey, Params};
use crate::ids::{DeploymentId, GroupId};
use crate::{escrow, market, seconds};

pub(super) const DEPLOYMENTS: IndexedMap<DeploymentId, Deployment> = IndexedMap::new(
    "deployment/deployment",
    [3, 1],
    "Each deployment, by its number.",
    &[&BY_OWNER, &CLOSED],
);
pub(super) const BY_OWNER: Index<DeploymentId, Deployment, Address> = Index::new(
    "deployment/by_owner",
    [3, 2],
    "Deployments by their owner.",
    |_, deployment| Some(deployment.owner),
);
pub(super) const CLOSED: Index<DeploymentId, Deployment, Time> = Index::new(
    "deployment/closed",
    [3, 3],
    "Closed deployments by the time of their end, until they are removed.",
    |_, deployment| deployment.closed.map(|closed| closed.at.time),
);
pub(super) const GROUPS: Map<GroupId, Group> =
    Map::new("deployment/group", [3, 4], "Each group of a deployment.");
pub(super) const NONCES: Map<NonceKey, DeploymentId> = Map::new(
    "deployment/nonce",
    [3, 5],
    "Deployments by owner and the nonce of their creation or current version.",
);
pub(super) const LAST_ID: Item<u64> = Item::new(
    "deployment/last_id",
    [3, 6],
    "The number of the newest deployment.",
);
pub(super) const PARAMS: Item<Params> =
    Item::new("deployment/params", [3, 7], "The rules, fixed at genesis.");

pub(super) const STORAGE: &[StorageItem] = &[
    DEPLOYMENTS.info(),
    BY_OWNER.info(),
    CLOSED.info(),
    GROUPS.info(),
    NONCES.info(),
    LAST_ID.info(),
    PARAMS.info(),
];

pub(super) const INVARIANTS: &[Invariant] = &[
    (
        "a group is open if and only if its newest order is",
        groups_and_orders_agree,
    ),
    (
        "a deployment lives exactly as long as its account",
        deployments_and_accounts_agree,
    ),
    (
        "every nonce leads to a deployment that carries it",
        nonces_are_carried,
    ),
];

/// A deployment that exists.
pub fn deployment(ctx: &Ctx, id: DeploymentId) -> Result<Deployment> {
    DEPLOYMENTS
        .get(ctx, &id)?
        .ok_or_else(|| Error::UnknownDeployment.because(id))
}

/// A group that exists.
pub fn group(ctx: &Ctx, id: GroupId) -> Result<Group> {
    GROUPS
        .get(ctx, &id)?
        .ok_or_else(|| Error::UnknownGroup.because(id))
}

/// All groups of a deployment.
pub(crate) fn all_groups(ctx: &Ctx, deployment: &Deployment) -> Result<Vec<Group>> {
    let rows = GROUPS.page_of(ctx, &deployment.id, None, deployment.groups as usize)?;
    Ok(rows.into_iter().map(|(_, group)| group).collect())
}

/// How long closed things stay.
pub(crate) fn prune_delay_nanos(ctx: &Ctx) -> Result<u64> {
    Ok(seconds(PARAMS.get_or_default(ctx)?.prune_delay_seconds))
}

fn groups_and_orders_agree(ctx: &Ctx) -> Result<(), String> {
    crate::each(
        |after| GROUPS.page(ctx, after, crate::EACH_PAGE),
        |id, group| {
            let order = market::state_of(ctx, &group.newest_order());
            let order = order.map_err(|error| error.to_string())?;
            let lives = matches!(
                order,
                Some(market::OrderState::Open | market::OrderState::Leased)
            );
            if lives != (group.state == GroupState::Open) {
                return Err(format!(
                    "group {id} is {:?}, its order {order:?}",
                    group.state
                ));
            }
            Ok(())
        },
    )
}

fn deployments_and_accounts_agree(ctx: &Ctx) -> Result<(), String> {
    crate::each(
        |after| DEPLOYMENTS.page(ctx, after, crate::EACH_PAGE),
        |id, deployment| {
            let closed = deployment.state == DeploymentState::Closed;
            let account = escrow::is_closed(ctx, *id).map_err(|error| error.to_string())?;
            if account != Some(closed) || closed != deployment.closed.is_some() {
                return Err(format!("deployment {id} and its account differ"));
            }
            let groups = all_groups(ctx, deployment).map_err(|error| error.to_string())?;
            let all_closed = groups.iter().all(|group| group.state == GroupState::Closed);
            if groups.len() != deployment.groups as usize || all_closed != closed {
                return Err(format!("deployment {id} and its groups differ"));
            }
            Ok(())
        },
    )
}

fn nonces_are_carried(ctx: &Ctx) -> Result<(), String> {
    crate::each(
        |after| NONCES.page(ctx, after, crate::EACH_PAGE),
        |key, id| {
            let deployment = deployment(ctx, *id).map_err(|error| error.to_string())?;
            let carries = [deployment.nonce.0, deployment.version_nonce.0].contains(&key.nonce);
            if !carries || deployment.owner != key.owner {
                return Err(format!(
                    "deployment {id} does not carry a nonce that leads to it"
                ));
            }
            Ok(())
        },
    )
}
