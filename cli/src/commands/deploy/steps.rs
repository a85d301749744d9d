//! What exists already, and what is next: the part of `deploy` that decides. Nothing in here asks, sends or waits.
//!
//! ```text
//!   remember ─> find the deployment ─> create ─┐
//!        ▲            │ closed                 │ look again
//!        └────────────┘ <─────────────────────-┘
//!   for each group:   find the group ─> find its lease ─> take a bid ─> look again
//!   for each lease:   ask its provider ─> send the manifest;     then: wait until it runs;     then: done
//! ```
//!
//! Invariants: an action is decided on only after a look that found nothing; after an action, whatever its answer, comes
//! a look. So it does not matter where an earlier run ended, nor whether its last answer was lost.

use serde::{Deserialize, Serialize};
use welkin_modules::deployment::types::{GroupState, Nonce};
use welkin_modules::ids::{DeploymentId, LeaseId, OrderId};
use welkin_runtime::{Address, Amount, Hash};

/// What a run leaves on the disk before it sends anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intent {
    /// The file, as it was typed.
    pub file: std::path::PathBuf,
    /// The hash of the file's bytes.
    pub content: Hash,
    /// By what the deployment is found on the chain.
    pub nonce: Nonce,
}

/// What a look found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Look<T> {
    /// Nobody looked since the last change.
    #[default]
    Due,
    /// It is not there.
    Nothing,
    /// It is there.
    Found(T),
}

/// A deployment with the intent's nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// Its number.
    pub id: DeploymentId,
    /// Whether it lives.
    pub lives: bool,
    /// Whether it commits to what the file says.
    pub is_this_version: bool,
}

/// A group as it stands on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupSeen {
    /// Its newest order, by which a lease would be named.
    pub order: OrderId,
    /// Whether it takes part in the market.
    pub state: GroupState,
}

/// An active lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Leased {
    /// Its name.
    pub lease: LeaseId,
    /// Who runs it.
    pub provider: Address,
    /// What it costs.
    pub rate_uwlk_per_hour: Amount,
}

/// What is next. Groups are counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write a new nonce to the disk.
    Remember,
    /// Look for the deployment with this nonce.
    FindDeployment(Nonce),
    /// Create it.
    Create(Nonce),
    /// Look at a group.
    FindGroup(DeploymentId, usize),
    /// Look for the lease of a group.
    FindLease(OrderId, usize),
    /// Take a bid on the group's order.
    TakeBid(OrderId, usize),
    /// Ask a provider which manifest it has.
    AskProvider(LeaseId, usize),
    /// Send it the group's manifest.
    SendManifest(LeaseId, usize),
    /// Wait until it runs.
    AwaitReady(LeaseId, usize),
    /// Nothing: it runs.
    Done,
    /// Nothing: something is in the way.
    Stop(Obstacle),
    /// Nothing: the chain refused what would be next, and a look showed that no earlier attempt had done it.
    GiveUp,
}

/// How a step failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setback {
    /// It may succeed a moment later, or has succeeded and the answer was lost.
    MayPass,
    /// What was sent to the chain was refused; perhaps because an earlier attempt had succeeded.
    Refused,
    /// It will not succeed, and nothing was sent.
    Final,
}

/// What to do about a setback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Let a moment pass, then take what is next.
    TryOn,
    /// Take what is next: a look.
    LookAgain,
    /// End with this failure.
    GiveUp,
}

/// What a run is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// The file runs: whatever is missing for that is made, a deployment too.
    Deploy,
    /// A deployment that is there runs what it commits to. Its ended groups are let be.
    Update,
}

/// Why a run cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The deployment that was to be updated has ended.
    Ended,
    /// The file was changed since it became this deployment.
    FileChanged(DeploymentId),
    /// The deployment was updated since, to something else.
    OtherVersion(DeploymentId),
    /// A group was paused or closed.
    GroupEnded(OrderId, GroupState),
}

impl Step {
    /// Whether it changes something outside, so that a refusal may come from an earlier attempt that succeeded.
    pub fn is_sent_to_the_chain(&self) -> bool {
        matches!(self, Step::Create(_) | Step::TakeBid(..))
    }
}

/// What a step showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// This intent is on the disk now.
    Remembered(Intent),
    /// The deployment, or that there is none.
    Deployment(Option<Ordered>),
    /// A group.
    Group(usize, GroupSeen),
    /// A group's active lease, or that there is none.
    Lease(usize, Option<Leased>),
    /// Whether a provider has the manifest that the chain commits to.
    Manifest(usize, bool),
    /// A lease runs it.
    Ready(usize),
    /// A call was sent, or time has passed: whatever was known may be old.
    MayHaveChanged,
}

/// What is known of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct GroupFacts {
    group: Look<GroupSeen>,
    lease: Look<Leased>,
    manifest: Look<()>,
    is_ready: bool,
}

/// What is known so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    goal: Goal,
    content: Hash,
    intent: Option<Intent>,
    deployment: Look<Ordered>,
    groups: Vec<GroupFacts>,
    refused: Option<Step>,
}

impl Facts {
    /// What a run knows when it starts: the file, and what an earlier run left on the disk.
    pub fn new(goal: Goal, content: Hash, groups: usize, intent: Option<Intent>) -> Facts {
        Facts {
            goal,
            content,
            intent,
            deployment: Look::Due,
            groups: vec![GroupFacts::default(); groups],
            refused: None,
        }
    }

    /// By what the deployment of this file is found.
    pub fn nonce(&self) -> Option<Nonce> {
        self.intent.as_ref().map(|intent| intent.nonce)
    }

    /// Whether it was looked for, and is not there.
    pub fn has_nothing(&self) -> bool {
        match &self.deployment {
            Look::Due => self.intent.is_none() && self.goal == Goal::Deploy,
            Look::Nothing => true,
            Look::Found(ordered) => !ordered.lives,
        }
    }

    /// The deployment, where it is known to be there.
    pub fn deployment(&self) -> Option<DeploymentId> {
        match &self.deployment {
            Look::Found(ordered) if ordered.lives => Some(ordered.id),
            _ => None,
        }
    }

    /// The leases that are known to be there.
    pub fn leases(&self) -> Vec<Leased> {
        self.groups
            .iter()
            .filter_map(|group| match group.lease {
                Look::Found(leased) => Some(leased),
                _ => None,
            })
            .collect()
    }

    /// What is next.
    pub fn next(&self) -> Step {
        let due = self.due();
        match self.refused == Some(due) {
            true => Step::GiveUp,
            false => due,
        }
    }

    /// Takes in that a step failed.
    pub fn failed(&mut self, step: Step, setback: Setback) -> Reaction {
        if step.is_sent_to_the_chain() && setback != Setback::Final {
            self.learn(Seen::MayHaveChanged);
        }
        match (setback, step) {
            (Setback::MayPass, _) => Reaction::TryOn,
            (Setback::Final, _) => Reaction::GiveUp,
            // There may be another bid to take.
            (Setback::Refused, Step::TakeBid(..)) => Reaction::LookAgain,
            (Setback::Refused, _) => {
                self.refused = Some(step);
                Reaction::LookAgain
            }
        }
    }

    fn due(&self) -> Step {
        let Some(intent) = &self.intent else {
            return Step::Remember;
        };
        let is_this_file = intent.content == self.content;
        let ended = |found: &Ordered| !found.lives;
        match &self.deployment {
            Look::Due => Step::FindDeployment(intent.nonce),
            Look::Nothing if self.goal == Goal::Update => Step::Stop(Obstacle::Ended),
            Look::Found(found) if ended(found) && self.goal == Goal::Update => {
                Step::Stop(Obstacle::Ended)
            }
            Look::Nothing if is_this_file => Step::Create(intent.nonce),
            Look::Nothing => Step::Remember,
            Look::Found(found) if ended(found) => Step::Remember,
            Look::Found(found) if !is_this_file => Step::Stop(Obstacle::FileChanged(found.id)),
            Look::Found(found) if !found.is_this_version => {
                Step::Stop(Obstacle::OtherVersion(found.id))
            }
            Look::Found(found) => self.next_of_groups(found.id),
        }
    }

    fn next_of_groups(&self, deployment: DeploymentId) -> Step {
        let groups = || self.groups.iter().enumerate();
        let lease =
            groups().find_map(|(index, facts)| facts.next_of_lease(self.goal, deployment, index));
        let manifest = || groups().find_map(|(index, facts)| facts.next_of_manifest(index));
        let ready = || {
            groups().find_map(|(index, facts)| match facts.lease {
                Look::Found(leased) if !facts.is_ready => {
                    Some(Step::AwaitReady(leased.lease, index))
                }
                _ => None,
            })
        };
        lease.or_else(manifest).or_else(ready).unwrap_or(Step::Done)
    }

    /// Takes in what a step showed.
    pub fn learn(&mut self, seen: Seen) {
        match seen {
            Seen::Remembered(intent) => {
                *self = Facts::new(self.goal, self.content, self.groups.len(), Some(intent));
            }
            Seen::Deployment(found) => self.deployment = Look::of(found),
            Seen::Group(index, group) => self.group(index).group = Look::Found(group),
            Seen::Lease(index, found) => self.group(index).lease = Look::of(found),
            Seen::Manifest(index, has_it) => {
                self.group(index).manifest = Look::of(has_it.then_some(()));
            }
            Seen::Ready(index) => self.group(index).is_ready = true,
            Seen::MayHaveChanged => self.look_again(),
        }
    }

    /// Forgets what a call may have changed. What is leased stays known: only its provider's failures show that it ended.
    fn look_again(&mut self) {
        if self.deployment().is_none() {
            self.deployment = Look::Due;
        }
        for group in &mut self.groups {
            if !matches!(group.lease, Look::Found(_)) {
                *group = GroupFacts::default();
            }
        }
    }

    fn group(&mut self, index: usize) -> &mut GroupFacts {
        &mut self.groups[index]
    }
}

impl GroupFacts {
    fn next_of_lease(&self, goal: Goal, deployment: DeploymentId, index: usize) -> Option<Step> {
        let Look::Found(group) = self.group else {
            return Some(Step::FindGroup(deployment, index));
        };
        match self.lease {
            Look::Due => Some(Step::FindLease(group.order, index)),
            Look::Nothing if group.state == GroupState::Open => {
                Some(Step::TakeBid(group.order, index))
            }
            Look::Nothing if goal == Goal::Update => None,
            Look::Nothing => Some(Step::Stop(Obstacle::GroupEnded(group.order, group.state))),
            Look::Found(_) => None,
        }
    }

    fn next_of_manifest(&self, index: usize) -> Option<Step> {
        let Look::Found(leased) = self.lease else {
            return None;
        };
        match self.manifest {
            Look::Due => Some(Step::AskProvider(leased.lease, index)),
            Look::Nothing => Some(Step::SendManifest(leased.lease, index)),
            Look::Found(()) => None,
        }
    }
}

impl<T> Look<T> {
    fn of(found: Option<T>) -> Look<T> {
        found.map_or(Look::Nothing, Look::Found)
    }
}
