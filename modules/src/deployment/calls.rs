//! Creating, changing and ending deployments and their groups.

use welkin_runtime::{Address, Amount, Coded, Ctx, Hash, Result, Time};

use super::Deployments;
use super::state::{
    CLOSED, DEPLOYMENTS, GROUPS, LAST_ID, NONCES, PARAMS, all_groups, deployment, group,
    prune_delay_nanos,
};
use super::types::{
    Award, Deployment, DeploymentState, Error, Event, Group, GroupState, Nonce, NonceKey, Params,
};
use crate::ids::{DeploymentId, GroupId};
use crate::matching::limits::check_groups;
use crate::moment::{Closed, Moment, Reason, Side};
use crate::spec::GroupSpec;
use crate::{escrow, market};

pub(super) fn genesis(ctx: &mut Ctx, params: &Params) -> Result<()> {
    if params.pruned_per_block == 0 || !(1..=100).contains(&params.max_groups) {
        let message = "pruned_per_block is at least 1, max_groups 1 to 100";
        return Err(Error::BadParams.because(message));
    }
    PARAMS.set(ctx, params)
}

/// What a tenant chooses besides the groups.
pub(super) struct NewDeployment {
    pub(super) commitment: Hash,
    pub(super) nonce: Nonce,
    pub(super) deposit: Amount,
    pub(super) award: Award,
}

pub(super) fn create(ctx: &mut Ctx, specs: Vec<GroupSpec>, new: NewDeployment) -> Result<()> {
    let owner = ctx.sender()?;
    let params = PARAMS.get_or_default(ctx)?;
    check_groups(&specs, &params).map_err(|error| Error::BadGroups.because(error))?;
    market::check_award(ctx, new.award)?;
    let number = LAST_ID
        .get_or_default(ctx)?
        .checked_add(1)
        .ok_or(Error::Overflow)?;
    LAST_ID.set(ctx, &number)?;
    let id = DeploymentId(number);
    take_nonce(ctx, &owner, new.nonce, id)?;
    let now = Moment::now(ctx);
    let deployment = Deployment {
        id,
        owner,
        state: DeploymentState::Active,
        groups: specs.len() as u32,
        award: new.award,
        nonce: new.nonce,
        version: 1,
        commitment: new.commitment,
        version_nonce: new.nonce,
        created: now,
        updated: now,
        closed: None,
    };
    DEPLOYMENTS.insert(ctx, &id, &deployment)?;
    ctx.emit::<Deployments>(Event::Created {
        deployment: id,
        owner,
        nonce: new.nonce,
    })?;
    escrow::open(ctx, id, &owner, new.deposit)?;
    for (number, spec) in (1..).zip(specs) {
        let id = GroupId {
            deployment: id,
            group: number,
        };
        let mut group = Group {
            id,
            state: GroupState::Paused,
            reason: None,
            orders: 0,
            spec,
        };
        open_order(ctx, &deployment, &mut group)?;
    }
    Ok(())
}

pub(super) fn update(
    ctx: &mut Ctx,
    id: DeploymentId,
    commitment: Hash,
    nonce: Nonce,
) -> Result<()> {
    let mut deployment = own_living(ctx, id)?;
    if deployment.commitment == commitment {
        return Err(Error::SameCommitment.because(id));
    }
    take_nonce(ctx, &deployment.owner, nonce, id)?;
    if deployment.version_nonce != deployment.nonce {
        NONCES.remove(ctx, &nonce_key(&deployment.owner, deployment.version_nonce))?;
    }
    deployment.version = deployment.version.checked_add(1).ok_or(Error::Overflow)?;
    deployment.commitment = commitment;
    deployment.version_nonce = nonce;
    deployment.updated = Moment::now(ctx);
    DEPLOYMENTS.insert(ctx, &id, &deployment)?;
    let version = deployment.version;
    ctx.emit::<Deployments>(Event::Updated {
        deployment: id,
        version,
        commitment,
    })
}

fn nonce_key(owner: &Address, nonce: Nonce) -> NonceKey {
    NonceKey {
        owner: *owner,
        nonce: nonce.0,
    }
}

fn take_nonce(ctx: &mut Ctx, owner: &Address, nonce: Nonce, id: DeploymentId) -> Result<()> {
    let key = nonce_key(owner, nonce);
    if let Some(other) = NONCES.get(ctx, &key)? {
        return Err(Error::NonceUsed.because(format!("by deployment {other}")));
    }
    NONCES.insert(ctx, &key, &id)
}

pub(super) fn close(ctx: &mut Ctx, id: DeploymentId) -> Result<()> {
    own_living(ctx, id)?;
    escrow::touch(ctx, id)?;
    end(ctx, id, Reason::DEPLOYMENT_CLOSED).map(drop)
}

pub(super) fn pause_group(ctx: &mut Ctx, id: GroupId) -> Result<()> {
    let (_, mut group) = own_group(ctx, id)?;
    if group.state == GroupState::Paused {
        return Err(Error::GroupPaused.because(id));
    }
    escrow::touch(ctx, id.deployment)?;
    market::withdraw_order(ctx, group.newest_order(), Reason::GROUP_PAUSED)?;
    pause(ctx, &mut group, Reason::GROUP_PAUSED)
}

pub(super) fn start_group(ctx: &mut Ctx, id: GroupId) -> Result<()> {
    let (deployment, mut group) = own_group(ctx, id)?;
    if group.state == GroupState::Open {
        return Err(Error::GroupOpen.because(id));
    }
    if escrow::touch(ctx, id.deployment)?.state == escrow::AccountState::Exhausted {
        return Err(escrow::Error::Exhausted.because(format!("deployment {}", id.deployment)));
    }
    open_order(ctx, &deployment, &mut group)?;
    let order = group.newest_order();
    ctx.emit::<Deployments>(Event::GroupStarted { group: id, order })
}

pub(super) fn close_group(ctx: &mut Ctx, id: GroupId) -> Result<()> {
    let (deployment, mut group) = own_group(ctx, id)?;
    escrow::touch(ctx, id.deployment)?;
    let groups = all_groups(ctx, &deployment)?;
    let others = groups.iter().filter(|other| other.id != id);
    if others
        .clone()
        .all(|other| other.state == GroupState::Closed)
    {
        // Without groups a deployment is nothing but locked money.
        return end(ctx, id.deployment, Reason::GROUP_CLOSED).map(drop);
    }
    if group.state == GroupState::Open {
        market::withdraw_order(ctx, group.newest_order(), Reason::GROUP_CLOSED)?;
    }
    mark_closed(ctx, &mut group, Reason::GROUP_CLOSED)
}

/// The one way in which a deployment ends, with its orders, leases and account. Returns how many
/// groups ended with it.
pub fn end(ctx: &mut Ctx, id: DeploymentId, reason: Reason) -> Result<u32> {
    let mut deployment = deployment(ctx, id)?;
    let mut leases = Vec::new();
    let mut ended = 0;
    for mut group in all_groups(ctx, &deployment)? {
        if group.state == GroupState::Open {
            leases.extend(market::end_order(ctx, group.newest_order(), reason)?);
        }
        if group.state != GroupState::Closed {
            mark_closed(ctx, &mut group, reason)?;
            ended += 1;
        }
    }
    escrow::close(ctx, id, &leases)?;
    deployment.state = DeploymentState::Closed;
    deployment.closed = Some(Closed {
        reason,
        at: Moment::now(ctx),
    });
    DEPLOYMENTS.insert(ctx, &id, &deployment)?;
    let owner = deployment.owner;
    ctx.emit::<Deployments>(Event::Closed {
        deployment: id,
        owner,
        reason,
    })?;
    Ok(ended)
}

/// Ends all that live. Returns how many. For exports: the work is not bounded.
pub(crate) fn end_all(ctx: &mut Ctx, reason: Reason) -> Result<u64> {
    let (mut ended, mut after) = (0, None);
    loop {
        let page = DEPLOYMENTS.page(ctx, after.as_ref(), crate::EACH_PAGE)?;
        let Some((last, _)) = page.last() else {
            return Ok(ended);
        };
        after = Some(*last);
        for (id, deployment) in page {
            if deployment.state == DeploymentState::Active {
                end(ctx, id, reason)?;
                ended += 1;
            }
        }
    }
}

/// What becomes of a group whose order or lease ended by itself: a new order where its owner closed
/// the lease and the account can pay for another, else a pause.
pub fn after_order(ctx: &mut Ctx, id: GroupId, reason: Reason) -> Result<()> {
    let mut group = group(ctx, id)?;
    let by_owner = reason.side() == Some(Side::Owner);
    if by_owner && escrow::is_open(ctx, id.deployment)? {
        let deployment = deployment(ctx, id.deployment)?;
        return open_order(ctx, &deployment, &mut group);
    }
    pause(ctx, &mut group, reason)
}

fn open_order(ctx: &mut Ctx, deployment: &Deployment, group: &mut Group) -> Result<()> {
    group.orders = group.orders.checked_add(1).ok_or(Error::Overflow)?;
    group.state = GroupState::Open;
    group.reason = None;
    GROUPS.insert(ctx, &group.id, group)?;
    market::open_order(ctx, deployment, group)
}

fn pause(ctx: &mut Ctx, group: &mut Group, reason: Reason) -> Result<()> {
    group.state = GroupState::Paused;
    group.reason = Some(reason);
    GROUPS.insert(ctx, &group.id, group)?;
    ctx.emit::<Deployments>(Event::GroupPaused {
        group: group.id,
        reason,
    })
}

fn mark_closed(ctx: &mut Ctx, group: &mut Group, reason: Reason) -> Result<()> {
    group.state = GroupState::Closed;
    group.reason = Some(reason);
    GROUPS.insert(ctx, &group.id, group)?;
    ctx.emit::<Deployments>(Event::GroupClosed {
        group: group.id,
        reason,
    })
}

fn own_living(ctx: &Ctx, id: DeploymentId) -> Result<Deployment> {
    let deployment = deployment(ctx, id)?;
    if deployment.owner != ctx.sender()? {
        return Err(Error::NotOwner.because(format!("{id} is {}'s", deployment.owner)));
    }
    match deployment.state {
        DeploymentState::Active => Ok(deployment),
        DeploymentState::Closed => Err(Error::DeploymentClosed.because(id)),
    }
}

fn own_group(ctx: &Ctx, id: GroupId) -> Result<(Deployment, Group)> {
    let deployment = own_living(ctx, id.deployment)?;
    let group = group(ctx, id)?;
    match group.state {
        GroupState::Open | GroupState::Paused => Ok((deployment, group)),
        GroupState::Closed => Err(Error::GroupClosed.because(id)),
    }
}

/// Removes deployments that were closed long enough ago and have no orders left.
pub(super) fn prune(ctx: &mut Ctx) {
    ctx.attempt("prune deployments", |ctx| {
        let params = PARAMS.get_or_default(ctx)?;
        let Some(last) = ctx.time().0.checked_sub(prune_delay_nanos(ctx)?) else {
            return Ok(());
        };
        for (_, id) in CLOSED.up_to(ctx, &Time(last), params.pruned_per_block as usize)? {
            if market::has_orders(ctx, id)? {
                continue;
            }
            let deployment = deployment(ctx, id)?;
            for number in 1..=deployment.groups {
                GROUPS.remove(
                    ctx,
                    &GroupId {
                        deployment: id,
                        group: number,
                    },
                )?;
            }
            for nonce in [deployment.nonce, deployment.version_nonce] {
                NONCES.remove(ctx, &nonce_key(&deployment.owner, nonce))?;
            }
            escrow::prune(ctx, id)?;
            DEPLOYMENTS.remove(ctx, &id)?;
            ctx.emit::<Deployments>(Event::Pruned { deployment: id })?;
        }
        Ok(())
    });
}
