//! `deploy` interrupted: whatever was cut off, and whichever answers were lost, the next run ends where an undisturbed
//! one ends, and nothing is there twice.

use std::collections::BTreeMap;

use proptest::prelude::*;
use welkin_modules::deployment::types::{GroupState, Nonce};
use welkin_modules::ids::{DeploymentId, OrderId};
use welkin_runtime::{Address, Amount, Hash};

use super::steps::{
    Facts, Goal, GroupSeen, Intent, Leased, Obstacle, Ordered, Reaction, Seen, Setback, Step,
};

const FILE: Hash = Hash([1; 32]);
const CHANGED_FILE: Hash = Hash([2; 32]);
/// More steps than any run needs.
const MANY: usize = 100;

/// A tenant's disk, a chain and providers, as far as `deploy` sees them.
#[derive(Clone, Debug, Default, PartialEq)]
struct World {
    disk: Option<Intent>,
    nonces: u8,
    /// As where the owner has too little money.
    refuses_orders: bool,
    deployments: BTreeMap<[u8; 16], Placed>,
}

/// A deployment on the chain.
#[derive(Clone, Debug, PartialEq)]
struct Placed {
    id: DeploymentId,
    lives: bool,
    content: Hash,
    groups: Vec<Group>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Group {
    orders: u32,
    is_paused: bool,
    is_leased: bool,
    has_manifest: bool,
    leases_ever: u32,
    manifests_ever: u32,
}

/// What disturbs a step.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// The request does not arrive.
    NotSent,
    /// It arrives; its answer does not.
    AnswerLost,
    /// The process ends before the step.
    KilledBefore,
    /// The process ends after it, before it has learnt anything.
    KilledAfter,
}

/// Why a run ended.
#[derive(Clone, Debug, PartialEq)]
enum End {
    Done(DeploymentId),
    Stopped(Obstacle),
    Killed,
    /// The chain refuses, and it is not because it was done before.
    Refused,
}

impl World {
    fn now(&mut self, intent: &Intent) -> Option<&mut Placed> {
        self.deployments.get_mut(&intent.nonce.0)
    }

    /// Does a step; `None` is a refusal.
    fn take(&mut self, step: Step, content: Hash, groups: usize) -> Option<Seen> {
        if step == Step::Remember {
            self.nonces += 1;
            let intent = Intent {
                file: "app.yaml".into(),
                content,
                nonce: Nonce([self.nonces; 16]),
            };
            self.disk = Some(intent.clone());
            return Some(Seen::Remembered(intent));
        }
        let intent = self.disk.clone().expect("asks only after it remembered");
        if let Step::Create(nonce) = step {
            assert_eq!(nonce, intent.nonce);
            if self.refuses_orders || self.deployments.contains_key(&nonce.0) {
                return None;
            }
            let id = DeploymentId(self.deployments.len() as u64 + 1);
            let group = Group {
                orders: 1,
                ..Group::default()
            };
            let placed = Placed {
                id,
                lives: true,
                content,
                groups: vec![group; groups],
            };
            self.deployments.insert(nonce.0, placed);
            return Some(Seen::MayHaveChanged);
        }
        let found = self.now(&intent);
        if let Step::FindDeployment(_) = step {
            return Some(Seen::Deployment(found.map(|one| Ordered {
                id: one.id,
                lives: one.lives,
                is_this_version: one.content == content,
            })));
        }
        found.expect("is there").of_group(step)
    }
}

impl Placed {
    fn of_group(&mut self, step: Step) -> Option<Seen> {
        let deployment = self.id;
        let order_of = |index: usize, group: &Group| OrderId {
            deployment,
            group: index as u32 + 1,
            order: group.orders,
        };
        let leased_of = |order| Leased {
            lease: order,
            provider: Address([9; 20]),
            rate_uwlk_per_hour: Amount(5),
        };
        Some(match step {
            Step::FindGroup(_, index) => {
                let group = &self.groups[index];
                let state = match group.is_paused {
                    true => GroupState::Paused,
                    false => GroupState::Open,
                };
                let order = order_of(index, group);
                Seen::Group(index, GroupSeen { order, state })
            }
            Step::FindLease(order, index) => {
                let group = &self.groups[index];
                let is_there = group.is_leased && order == order_of(index, group);
                Seen::Lease(index, is_there.then(|| leased_of(order)))
            }
            Step::TakeBid(order, index) => {
                if self.groups[index].is_leased || order != order_of(index, &self.groups[index]) {
                    return None;
                }
                self.groups[index].is_leased = true;
                self.groups[index].leases_ever += 1;
                Seen::MayHaveChanged
            }
            Step::AskProvider(_, index) => Seen::Manifest(index, self.groups[index].has_manifest),
            Step::SendManifest(_, index) => {
                self.groups[index].has_manifest = true;
                self.groups[index].manifests_ever += 1;
                Seen::Manifest(index, true)
            }
            Step::AwaitReady(_, index) => {
                assert!(self.groups[index].has_manifest, "waits for what can come");
                Seen::Ready(index)
            }
            other => panic!("{other:?} is no step of a group"),
        })
    }
}

/// One run; `faults` disturb its steps one after the other. What follows from each is decided by the facts.
fn run(
    world: &mut World,
    content: Hash,
    groups: usize,
    faults: &mut impl Iterator<Item = Fault>,
) -> End {
    run_for(Goal::Deploy, world, content, groups, faults)
}

fn run_for(
    goal: Goal,
    world: &mut World,
    content: Hash,
    groups: usize,
    faults: &mut impl Iterator<Item = Fault>,
) -> End {
    let mut facts = Facts::new(goal, content, groups, world.disk.clone());
    for _ in 0..MANY {
        let step = facts.next();
        match step {
            Step::Done => return End::Done(facts.deployment().expect("is known")),
            Step::Stop(obstacle) => return End::Stopped(obstacle),
            Step::GiveUp => return End::Refused,
            _ => {}
        }
        let fault = faults.next().unwrap_or(Fault::None);
        let answer = match fault {
            Fault::KilledBefore => return End::Killed,
            Fault::NotSent => None,
            _ => Some(world.take(step, content, groups)),
        };
        let setback = match (fault, answer) {
            (Fault::KilledAfter, _) => return End::Killed,
            (Fault::None, Some(Some(seen))) => {
                facts.learn(seen);
                continue;
            }
            (Fault::None, Some(None)) => Setback::Refused,
            // The disk answers always; a write that failed ends the run.
            _ if step == Step::Remember => Setback::Final,
            _ => Setback::MayPass,
        };
        if facts.failed(step, setback) == Reaction::GiveUp {
            return End::Killed;
        }
    }
    panic!("goes in circles at {:?}: {facts:?}", facts.next());
}

fn undisturbed() -> std::iter::Empty<Fault> {
    std::iter::empty()
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        4 => Just(Fault::None),
        1 => Just(Fault::NotSent),
        2 => Just(Fault::AnswerLost),
        1 => Just(Fault::KilledBefore),
        2 => Just(Fault::KilledAfter),
    ]
}

fn only_one_of_each(world: &World) {
    assert_eq!(world.deployments.len(), 1);
    for group in world.deployments.values().flat_map(|one| &one.groups) {
        assert_eq!((group.leases_ever, group.orders), (1, 1));
        assert!(group.has_manifest);
    }
}

proptest! {
    #[test]
    fn whatever_is_interrupted_or_lost_the_next_runs_come_to_the_same_end_and_nothing_is_there_twice(
        faults in proptest::collection::vec(fault(), 0..40),
        groups in 1usize..4,
    ) {
        let mut world = World::default();
        let mut faults = faults.into_iter();
        let mut end = End::Killed;
        while end == End::Killed {
            end = run(&mut world, FILE, groups, &mut faults);
        }
        prop_assert_eq!(end, End::Done(DeploymentId(1)));
        only_one_of_each(&world);

        let mut once = World::default();
        run(&mut once, FILE, groups, &mut undisturbed());
        let shape = |world: &World| -> Vec<Vec<(bool, bool)>> {
            let groups = |one: &Placed| one.groups.iter().map(|g| (g.is_leased, g.has_manifest)).collect();
            world.deployments.values().map(groups).collect()
        };
        prop_assert_eq!(shape(&world), shape(&once));
    }

    #[test]
    fn a_run_after_a_finished_one_sends_nothing(groups in 1usize..4) {
        let mut world = World::default();
        run(&mut world, FILE, groups, &mut undisturbed());
        let before = world.clone();
        prop_assert_eq!(run(&mut world, FILE, groups, &mut undisturbed()), End::Done(DeploymentId(1)));
        prop_assert_eq!(world, before);
    }
}

#[test]
fn every_single_interruption_of_a_deployment_of_two_groups_is_continued() {
    for at in 0..MANY {
        for fault in [Fault::KilledBefore, Fault::KilledAfter] {
            let mut world = World::default();
            let mut faults = std::iter::repeat_n(Fault::None, at).chain([fault]);
            let first = run(&mut world, FILE, 2, &mut faults);
            if first != End::Killed {
                assert!(at > 10, "the run has more steps than that");
                return;
            }
            let end = run(&mut world, FILE, 2, &mut undisturbed());
            assert_eq!(end, End::Done(DeploymentId(1)), "killed at step {at}");
            only_one_of_each(&world);
        }
    }
}

#[test]
fn a_closed_deployment_is_not_continued_but_made_anew() {
    let mut world = World::default();
    run(&mut world, FILE, 1, &mut undisturbed());
    world
        .deployments
        .values_mut()
        .for_each(|one| one.lives = false);
    let end = run(&mut world, FILE, 1, &mut undisturbed());
    assert_eq!(end, End::Done(DeploymentId(2)));
}

#[test]
fn a_file_that_changed_replaces_nothing_by_itself() {
    let mut world = World::default();
    run(&mut world, FILE, 1, &mut undisturbed());
    let before = world.clone();
    let end = run(&mut world, CHANGED_FILE, 1, &mut undisturbed());
    assert_eq!(end, End::Stopped(Obstacle::FileChanged(DeploymentId(1))));
    assert_eq!(world, before);
}

#[test]
fn a_file_that_changed_before_anything_was_created_gets_a_nonce_of_its_own() {
    let mut world = World::default();
    let mut faults = [Fault::None, Fault::None, Fault::KilledBefore].into_iter();
    assert_eq!(run(&mut world, FILE, 1, &mut faults), End::Killed);
    let end = run(&mut world, CHANGED_FILE, 1, &mut undisturbed());
    assert_eq!(end, End::Done(DeploymentId(1)));
    assert_eq!(world.nonces, 2);
}

#[test]
fn a_paused_group_without_a_lease_is_said_instead_of_waited_for() {
    let mut world = World::default();
    run(&mut world, FILE, 1, &mut undisturbed());
    for group in world
        .deployments
        .values_mut()
        .flat_map(|one| &mut one.groups)
    {
        (group.is_leased, group.is_paused) = (false, true);
    }
    let end = run(&mut world, FILE, 1, &mut undisturbed());
    assert!(
        matches!(
            end,
            End::Stopped(Obstacle::GroupEnded(_, GroupState::Paused))
        ),
        "{end:?}"
    );
}

#[test]
fn a_refusal_that_has_another_cause_ends_the_run() {
    let mut world = World {
        refuses_orders: true,
        ..World::default()
    };
    let end = run(&mut world, FILE, 1, &mut undisturbed());
    assert_eq!(end, End::Refused);
    assert!(world.deployments.is_empty());
    world.refuses_orders = false;
    let end = run(&mut world, FILE, 1, &mut undisturbed());
    assert_eq!(end, End::Done(DeploymentId(1)));
    only_one_of_each(&world);
}

#[test]
fn an_update_makes_no_deployment_in_the_place_of_one_that_ended() {
    let mut world = World::default();
    run(&mut world, FILE, 1, &mut undisturbed());
    world
        .deployments
        .values_mut()
        .for_each(|one| one.lives = false);
    let before = world.clone();
    let end = run_for(Goal::Update, &mut world, FILE, 1, &mut undisturbed());
    assert_eq!(end, End::Stopped(Obstacle::Ended));
    assert_eq!(world, before);
}

#[test]
fn an_update_lets_a_paused_group_be_and_brings_the_others_to_the_new_version() {
    let mut world = World::default();
    run(&mut world, FILE, 2, &mut undisturbed());
    let placed = world.deployments.values_mut().next().expect("was made");
    let (paused, running) = placed.groups.split_at_mut(1);
    (paused[0].is_leased, paused[0].is_paused) = (false, true);
    // What the provider has is not what the chain commits to any more.
    (paused[0].has_manifest, running[0].has_manifest) = (false, false);
    let end = run_for(Goal::Update, &mut world, FILE, 2, &mut undisturbed());
    assert_eq!(end, End::Done(DeploymentId(1)));
    let groups = &world.deployments.values().next().expect("is there").groups;
    let have: Vec<bool> = groups.iter().map(|group| group.has_manifest).collect();
    assert_eq!(have, [false, true]);
}
