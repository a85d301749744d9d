//! The planner: from what is proven on chain, what tenants sent and what runs, to what must happen. Pure.
//!
//! ```text
//!   ChainView (proven)  ─┐
//!   Record (kept)       ─┼──> plan() ──> Action for each lease, or why it waits
//!   SeenLease (observed)─┘
//! ```
//!
//! It is driven by level: it looks at the whole and remembers nothing, so a lost event costs time and never a lease.
//!
//! **It removes only on proof**: a lease that is proven closed, or proven absent at a height above its creation and not
//! below the highest height that this provider ever saw proven. A view that lags, a chain that is fresh, an answer that
//! did not come: none of them removes anything.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use welkin_modules::ids::LeaseId;
use welkin_runtime::Hash;

use crate::backend::{LeaseKey, LeaseSpec, ReplicaState, SeenLease, SeenReplica, ServiceSpec};

/// How long a lease may wait for its manifest before the provider closes it, in milliseconds of time in which the
/// provider could be reached.
pub const MANIFEST_WAIT_MS: u64 = 5 * 60 * 1000;

/// What was proven about leases, at one height. A lease that is not in it is unknown: nothing follows from that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainView {
    /// The height of the state that all of this was proven at.
    pub height: u64,
    /// What was proven.
    pub leases: BTreeMap<LeaseId, Proven>,
}

/// What was proven about one lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proven {
    /// It is active, and this provider's.
    Active {
        /// The height at which it was made.
        creation_height: u64,
        /// The commitment of the manifest that its deployment has now.
        commitment: Hash,
    },
    /// It is closed.
    Closed,
    /// There is no such lease.
    Absent,
}

/// What the provider keeps for one lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The newest manifest that was accepted.
    pub accepted: Option<LeaseSpec>,
    /// The newest one that ran well.
    pub last_good: Option<LeaseSpec>,
    /// Which version failed.
    pub failed: Option<Hash>,
    /// For how long the lease was seen active without a manifest while the provider could be reached.
    pub waited_ms: u64,
    /// Whether this provider saw the lease begin. It closes no lease that is older than what it kept.
    pub is_from_its_beginning: bool,
    /// Nothing is applied before this time, after a failure (milliseconds on the provider's own monotonic clock).
    pub not_before_ms: u64,
    /// Replicas (service, number) that ended and are not to be started again yet.
    pub resting: BTreeSet<(String, u32)>,
}

/// What must happen to a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make it equal to this.
    Apply(LeaseSpec),
    /// Start these replicas (service, number) again, which ended.
    StartAgain(LeaseKey, Vec<(String, u32)>),
    /// Remove all of it.
    Remove(LeaseKey),
    /// Close it on chain: nobody sent a manifest.
    CloseUnused(LeaseId),
}

/// Why nothing happens to a lease that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Waiting {
    /// For the tenant to send a manifest.
    Manifest,
    /// For the chain to prove what became of it.
    Proof,
    /// For a pause after a failure to pass.
    Pause,
    /// It carries another creation height than the lease of that name; an operator must look.
    AnotherHistory,
}

/// What to do, and what is waited for. Each lease is in one of them at most; one that is as it should be is in neither.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In the order in which they should be done: what frees resources first.
    pub actions: Vec<Action>,
    /// By lease.
    pub waiting: BTreeMap<LeaseId, Waiting>,
}

/// What [`plan`] looks at.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// What was proven this time.
    pub chain: &'a ChainView,
    /// The highest height that was ever proven to this provider on this chain; kept on disk.
    pub highest_height: u64,
    /// What is kept.
    pub records: &'a BTreeMap<LeaseId, Record>,
    /// What runs: everything that carries this provider's labels.
    pub seen: &'a [SeenLease],
    /// The provider's monotonic clock, in milliseconds.
    pub now_ms: u64,
}

/// What must happen for what runs to become what the chain and the tenants want.
pub fn plan(inputs: Inputs<'_>) -> Plan {
    let mut plan = Plan::default();
    for seen in inputs.seen {
        match ending(seen.key, &inputs) {
            Ending::Proven => plan.actions.push(Action::Remove(seen.key)),
            Ending::Unproven(why) => {
                plan.waiting.insert(seen.key.lease, why);
            }
            Ending::None => {}
        }
    }
    let seen: BTreeMap<LeaseKey, &SeenLease> =
        inputs.seen.iter().map(|seen| (seen.key, seen)).collect();
    let seen_leases: BTreeSet<LeaseId> = inputs.seen.iter().map(|seen| seen.key.lease).collect();
    for (lease, proven) in &inputs.chain.leases {
        let Proven::Active {
            creation_height, ..
        } = proven
        else {
            continue;
        };
        let key = LeaseKey {
            lease: *lease,
            creation_height: *creation_height,
        };
        let others = seen_leases.contains(lease) && !seen.contains_key(&key);
        if others {
            continue;
        }
        active(key, seen.get(&key).copied(), &inputs, &mut plan);
    }
    plan
}

enum Ending {
    /// It is over.
    Proven,
    /// It may be.
    Unproven(Waiting),
    /// It is not.
    None,
}

fn ending(key: LeaseKey, inputs: &Inputs<'_>) -> Ending {
    let is_current = inputs.chain.height >= inputs.highest_height;
    match inputs.chain.leases.get(&key.lease) {
        Some(Proven::Active {
            creation_height, ..
        }) if *creation_height == key.creation_height => Ending::None,
        Some(Proven::Active { .. }) => Ending::Unproven(Waiting::AnotherHistory),
        Some(Proven::Closed) if inputs.chain.height > key.creation_height => Ending::Proven,
        Some(Proven::Absent) if is_current && inputs.chain.height > key.creation_height => {
            Ending::Proven
        }
        _ => Ending::Unproven(Waiting::Proof),
    }
}

fn active(key: LeaseKey, seen: Option<&SeenLease>, inputs: &Inputs<'_>, plan: &mut Plan) {
    let nothing = Record::default();
    let record = inputs.records.get(&key.lease).unwrap_or(&nothing);
    let runs = seen.is_some_and(|seen| !seen.replicas.is_empty());
    let Some(wanted) = wanted(record).filter(|spec| spec.key == key) else {
        let is_over = record.waited_ms >= MANIFEST_WAIT_MS;
        if is_over && record.is_from_its_beginning && !runs && record.accepted.is_none() {
            plan.actions.push(Action::CloseUnused(key.lease));
        } else {
            plan.waiting.insert(key.lease, Waiting::Manifest);
        }
        return;
    };
    if seen.is_some_and(|seen| is_as_wanted(wanted, seen)) {
        return;
    }
    let is_complete = seen.is_some_and(|seen| is_complete(wanted, seen));
    if !is_complete && inputs.now_ms >= record.not_before_ms {
        plan.actions.push(Action::Apply(wanted.clone()));
        return;
    }
    // What ended does not wait for what cannot be made.
    let mut ended = seen.map_or_else(Vec::new, |seen| ended(wanted, seen));
    ended.retain(|slot| !record.resting.contains(slot));
    if ended.is_empty() {
        plan.waiting.insert(key.lease, Waiting::Pause);
    } else {
        plan.actions.push(Action::StartAgain(key, ended));
    }
}

/// The wanted replicas that ended and of which no other runs.
fn ended(wanted: &LeaseSpec, seen: &SeenLease) -> Vec<(String, u32)> {
    let slots = slots(wanted);
    let slot_of = |replica: &SeenReplica| {
        let SeenReplica {
            service,
            fingerprint,
            ..
        } = replica;
        (service.clone(), replica.replica, fingerprint.clone())
    };
    let runs: BTreeSet<_> = seen
        .replicas
        .iter()
        .filter(|replica| replica.state == ReplicaState::Running)
        .map(slot_of)
        .collect();
    let ended = seen
        .replicas
        .iter()
        .filter(|replica| matches!(replica.state, ReplicaState::Exited { .. }))
        .map(slot_of)
        .filter(|slot| slots.contains(slot) && !runs.contains(slot));
    let ended: BTreeSet<_> = ended
        .map(|(service, replica, _)| (service, replica))
        .collect();
    ended.into_iter().collect()
}

/// The version that should run: the newest accepted one, unless it failed and there is one that ran well. With none
/// that ever ran, the failed one is tried again after a pause: its cause may be a registry that is down.
pub fn wanted(record: &Record) -> Option<&LeaseSpec> {
    match &record.accepted {
        Some(accepted) if record.failed == Some(accepted.version) => {
            record.last_good.as_ref().or(Some(accepted))
        }
        Some(accepted) => Some(accepted),
        None => record.last_good.as_ref(),
    }
}

/// Whether exactly the wanted replicas are there and run.
pub fn is_as_wanted(wanted: &LeaseSpec, seen: &SeenLease) -> bool {
    let run = |replica: &SeenReplica| replica.state == ReplicaState::Running;
    is_complete(wanted, seen) && seen.replicas.iter().all(run)
}

/// Whether exactly the wanted replicas are there and were started, whatever became of them.
fn is_complete(wanted: &LeaseSpec, seen: &SeenLease) -> bool {
    let mut slots = slots(wanted);
    seen.replicas.iter().all(|replica| {
        replica.state != ReplicaState::Waiting
            && slots.remove(&(
                replica.service.clone(),
                replica.replica,
                replica.fingerprint.clone(),
            ))
    }) && slots.is_empty()
}

/// The wanted replicas: service, number, fingerprint.
fn slots(wanted: &LeaseSpec) -> BTreeSet<(String, u32, String)> {
    let of_service = |service: &ServiceSpec| {
        let (name, fingerprint) = (service.name.clone(), service.fingerprint());
        (0..service.replicas).map(move |n| (name.clone(), n, fingerprint.clone()))
    };
    wanted.services.iter().flat_map(of_service).collect()
}

#[cfg(test)]
mod tests;
