//! The planner against a world whose truth the test knows: whatever the planner is shown of it, late, partly or never,
//! it removes only what is over.

use proptest::prelude::*;
use welkin_modules::ids::{DeploymentId, OrderId};

use super::*;
use crate::backend::{Run, SeenReplica, ServiceSpec};
use crate::manifests::{Failure, Versions};

fn lease(number: u64) -> LeaseId {
    OrderId {
        deployment: DeploymentId(number),
        group: 1,
        order: 1,
    }
}

fn key(number: u64, creation_height: u64) -> LeaseKey {
    LeaseKey {
        lease: lease(number),
        creation_height,
    }
}

fn service(name: &str, replicas: u32) -> ServiceSpec {
    ServiceSpec {
        name: name.to_owned(),
        image: "image".to_owned(),
        credentials: None,
        command: Vec::new(),
        args: Vec::new(),
        env: Vec::new(),
        cpu_millis: 1,
        memory_bytes: 1,
        disk_bytes: 1,
        replicas,
        volumes: Vec::new(),
        ports: Vec::new(),
    }
}

fn spec(key: LeaseKey, version: u8) -> LeaseSpec {
    let mut web = service("web", 2);
    web.image = format!("image:{version}");
    LeaseSpec {
        key,
        version: Hash([version; 32]),
        services: vec![web, service("db", 1)],
    }
}

fn running(spec: &LeaseSpec) -> SeenLease {
    let replicas = spec.services.iter().flat_map(|service| {
        (0..service.replicas).map(|replica| SeenReplica {
            service: service.name.clone(),
            replica,
            fingerprint: service.fingerprint(),
            version: spec.version,
            state: ReplicaState::Running,
            address: None,
            is_ready: None,
            run: Run::default(),
        })
    });
    SeenLease {
        key: spec.key,
        replicas: replicas.collect(),
        interface: None,
        public_ports: BTreeMap::new(),
    }
}

fn view(height: u64, leases: &[(u64, Proven)]) -> ChainView {
    ChainView {
        height,
        leases: leases
            .iter()
            .map(|(n, proven)| (lease(*n), *proven))
            .collect(),
    }
}

fn active(creation_height: u64) -> Proven {
    Proven::Active {
        creation_height,
        commitment: Hash([0; 32]),
    }
}

fn accepted(spec: LeaseSpec) -> Record {
    Record {
        accepted: Some(spec),
        is_from_its_beginning: true,
        ..Record::default()
    }
}

fn plan_of(chain: &ChainView, highest: u64, record: Option<Record>, seen: &[SeenLease]) -> Plan {
    let records: BTreeMap<_, _> = record
        .map(|record| (lease(1), record))
        .into_iter()
        .collect();
    plan(Inputs {
        chain,
        highest_height: highest,
        records: &records,
        seen,
        now_ms: 1_000,
    })
}

#[test]
fn an_active_lease_with_a_manifest_is_applied_until_it_runs() {
    let wanted = spec(key(1, 5), 1);
    let chain = view(9, &[(1, active(5))]);
    let record = || Some(accepted(wanted.clone()));
    let apply = vec![Action::Apply(wanted.clone())];
    assert_eq!(plan_of(&chain, 9, record(), &[]).actions, apply);
    assert_eq!(
        plan_of(&chain, 9, record(), &[running(&wanted)]),
        Plan::default()
    );
    let mut half = running(&wanted);
    half.replicas[0].state = ReplicaState::Waiting;
    assert_eq!(plan_of(&chain, 9, record(), &[half]).actions, apply);
    let mut more = running(&wanted);
    more.replicas.push(SeenReplica {
        replica: 7,
        ..more.replicas[0].clone()
    });
    assert_eq!(plan_of(&chain, 9, record(), &[more]).actions, apply);
}

#[test]
fn what_ended_is_started_again_unless_it_rests_and_nothing_else_is_touched() {
    let wanted = spec(key(1, 5), 1);
    let chain = view(9, &[(1, active(5))]);
    let mut seen = running(&wanted);
    for replica in [0, 2] {
        seen.replicas[replica].state = ReplicaState::Exited {
            code: 1,
            out_of_memory: false,
        };
    }
    let (web, db) = (("web".to_owned(), 0), ("db".to_owned(), 0));
    let again = |slots| vec![Action::StartAgain(key(1, 5), slots)];
    let with = |resting: &[&(String, u32)]| Record {
        resting: resting.iter().copied().cloned().collect(),
        ..accepted(wanted.clone())
    };
    let seen = [seen];
    let both = plan_of(&chain, 9, Some(with(&[])), &seen);
    assert_eq!(both.actions, again(vec![db.clone(), web.clone()]));
    let one = plan_of(&chain, 9, Some(with(&[&web])), &seen);
    assert_eq!(one.actions, again(vec![db.clone()]));
    let none = plan_of(&chain, 9, Some(with(&[&web, &db])), &seen);
    assert_eq!(none.actions, []);
    assert_eq!(none.waiting[&lease(1)], Waiting::Pause);
    // What cannot be made just now does not hold it up.
    let mut seen = seen;
    seen[0].replicas.remove(1);
    let record = Record {
        not_before_ms: 1_001,
        ..with(&[&web])
    };
    let part = plan_of(&chain, 9, Some(record), &seen);
    assert_eq!(part.actions, again(vec![db]));
}

#[test]
fn after_a_failure_there_is_a_pause() {
    let wanted = spec(key(1, 5), 1);
    let record = Record {
        not_before_ms: 1_001,
        ..accepted(wanted)
    };
    let plan = plan_of(&view(9, &[(1, active(5))]), 9, Some(record), &[]);
    assert_eq!(plan.actions, []);
    assert_eq!(plan.waiting[&lease(1)], Waiting::Pause);
}

#[test]
fn a_failed_version_gives_way_to_the_last_good_one() {
    let (good, bad) = (spec(key(1, 5), 1), spec(key(1, 5), 2));
    let record = Record {
        last_good: Some(good.clone()),
        failed: Some(bad.version),
        ..accepted(bad.clone())
    };
    let chain = view(9, &[(1, active(5))]);
    let plan = plan_of(&chain, 9, Some(record.clone()), &[running(&bad)]);
    assert_eq!(plan.actions, [Action::Apply(good.clone())]);
    assert_eq!(
        plan_of(&chain, 9, Some(record), &[running(&good)]),
        Plan::default()
    );
}

#[test]
fn status_names_the_version_that_the_planner_runs() {
    let choices = [None, Some(1), Some(2)];
    for (accepted, last_good, failed) in choices.into_iter().flat_map(|accepted| {
        let rest = choices
            .into_iter()
            .flat_map(|good| choices.map(|failed| (good, failed)));
        rest.map(move |(good, failed)| (accepted, good, failed))
    }) {
        let record = Record {
            accepted: accepted.map(|version| spec(key(1, 1), version)),
            last_good: last_good.map(|version| spec(key(1, 1), version)),
            failed: failed.map(|version| Hash([version; 32])),
            ..Record::default()
        };
        let versions = Versions {
            accepted: accepted.map(|version| Hash([version; 32])),
            last_good: last_good.map(|version| Hash([version; 32])),
            failed: failed.map(|version| Failure {
                version: Hash([version; 32]),
                cause: String::new(),
            }),
        };
        assert_eq!(wanted(&record).map(|spec| spec.version), versions.wanted());
    }
}

#[test]
fn a_lease_without_a_manifest_is_closed_only_when_nothing_speaks_against_it() {
    let chain = view(9, &[(1, active(5))]);
    let late = Record {
        waited_ms: MANIFEST_WAIT_MS,
        is_from_its_beginning: true,
        ..Record::default()
    };
    let close = vec![Action::CloseUnused(lease(1))];
    assert_eq!(plan_of(&chain, 9, Some(late.clone()), &[]).actions, close);
    let early = Record {
        waited_ms: MANIFEST_WAIT_MS - 1,
        ..late.clone()
    };
    let older = Record {
        is_from_its_beginning: false,
        ..late.clone()
    };
    for (record, seen) in [
        (Some(early), vec![]),
        (Some(older), vec![]),
        (None, vec![]),
        (Some(late), vec![running(&spec(key(1, 5), 1))]),
    ] {
        let plan = plan_of(&chain, 9, record, &seen);
        assert_eq!(plan.actions, []);
        assert_eq!(plan.waiting[&lease(1)], Waiting::Manifest);
    }
}

#[test]
fn only_proof_removes() {
    let runs = [running(&spec(key(1, 5), 1))];
    let removed = vec![Action::Remove(key(1, 5))];
    for (chain, highest, expected) in [
        (view(9, &[(1, Proven::Closed)]), 9, removed.clone()),
        (view(9, &[(1, Proven::Absent)]), 9, removed),
        // Nothing is known of it.
        (view(9, &[]), 9, vec![]),
        // The node lags behind what was seen before, or the chain is a fresh one.
        (view(8, &[(1, Proven::Absent)]), 9, vec![]),
        (view(5, &[(1, Proven::Absent)]), 0, vec![]),
        (view(0, &[(1, Proven::Absent)]), 0, vec![]),
        // Another lease of that name.
        (view(9, &[(1, active(6))]), 9, vec![]),
    ] {
        assert_eq!(
            plan_of(&chain, highest, None, &runs).actions,
            expected,
            "{chain:?}"
        );
    }
}

/// One lease of the test's world: when it began and, if it did, ended.
#[derive(Clone, Debug)]
struct Life {
    began: u64,
    ended: Option<u64>,
    pruned: Option<u64>,
    runs: bool,
}

fn life() -> impl Strategy<Value = Life> {
    (
        1u64..50,
        proptest::option::of(1u64..50),
        proptest::option::of(1u64..50),
        any::<bool>(),
    )
        .prop_map(|(began, lasted, kept, runs)| {
            let ended = lasted.map(|lasted| began + lasted);
            Life {
                began,
                ended,
                pruned: ended.zip(kept).map(|(end, kept)| end + kept),
                runs,
            }
        })
}

/// What an honest proof at `height` says of a life.
fn proven(life: &Life, height: u64) -> Proven {
    if height < life.began || life.pruned.is_some_and(|at| height >= at) {
        Proven::Absent
    } else if life.ended.is_some_and(|at| height >= at) {
        Proven::Closed
    } else {
        active(life.began)
    }
}

proptest! {
    #[test]
    fn whatever_it_is_shown_it_removes_nothing_that_lives(
        lives in proptest::collection::vec(life(), 1..6),
        shown in proptest::collection::vec(any::<bool>(), 6),
        height in 0u64..150,
        highest in 0u64..150,
    ) {
        let leases = lives.iter().enumerate().filter(|(n, _)| shown[*n]);
        let chain = ChainView {
            height,
            leases: leases.map(|(n, life)| (lease(n as u64), proven(life, height))).collect(),
        };
        let seen: Vec<SeenLease> = lives
            .iter()
            .enumerate()
            .filter(|(_, life)| life.runs)
            .map(|(n, life)| running(&spec(key(n as u64, life.began), 1)))
            .collect();
        let records = BTreeMap::new();
        let plan = plan(Inputs { chain: &chain, highest_height: highest, records: &records, seen: &seen, now_ms: 0 });
        for action in &plan.actions {
            let Action::Remove(removed) = action else {
                return Err(TestCaseError::fail(format!("{action:?} without a manifest")));
            };
            let life = &lives[removed.lease.deployment.0 as usize];
            prop_assert!(life.ended.is_some_and(|at| at <= height), "{removed:?} lives: {life:?} at {height}");
        }
        // And what is shown to be over, at a height that does not lag, goes.
        for (n, life) in lives.iter().enumerate().filter(|(n, life)| shown[*n] && life.runs) {
            if height >= highest && life.ended.is_some_and(|at| at <= height) {
                prop_assert!(plan.actions.contains(&Action::Remove(key(n as u64, life.began))));
            }
        }
    }
}
