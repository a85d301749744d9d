//! Tests of the simulator itself, and the seeds that once found something.

use super::*;

fn settings(seed: u64, validators: usize) -> Settings {
    Settings {
        seed,
        validators,
        bug: None,
    }
}

#[test]
fn a_seed_determines_everything() {
    for (seed, validators) in [(1, 4), (2, 7)] {
        let settings = settings(seed, validators);
        let first = run(&settings);
        assert_eq!(first, run(&settings));
        assert!(first.is_ok());
    }
}

#[test]
fn a_run_has_at_least_twenty_heights_and_five_faults() {
    for seed in 0..10 {
        let report = run(&settings(seed, 4)).expect("a run without a broken rule");
        assert!(report.heights >= 20 && report.faults >= 5, "{report:?}");
    }
}

#[test]
fn every_kind_of_fault_and_of_faulty_validator_is_drawn() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let plan = plan::Plan::new(&mut rng::Rng::new(seed), 7);
        let faulty = plan
            .roles
            .iter()
            .filter(|role| **role != plan::Role::Correct);
        assert!(faulty.clone().count() <= 2, "seed {seed}");
        seen.extend(faulty.map(|role| format!("{role:?}")));
        for (_, fault) in &plan.faults {
            let text = format!("{fault:?}");
            seen.extend(text.split(' ').next().map(str::to_owned));
        }
        let both = [plan::Role::Equivocator, plan::Role::Silent];
        if both.iter().all(|role| plan.roles.contains(role)) {
            seen.insert("one of each".to_owned());
        }
    }
    assert_eq!(seen.len(), 3 + 8 + 1, "{seen:?}");
}

/// What each found is in the commit that added it.
#[test]
fn seeds_that_once_failed_pass() {
    let seeds = [
        // The first block took transactions although genesis was long ago.
        (77, 7),
        (94, 4),
        (608, 4),
        // Votes stamped before their block made the next block impossible.
        (624, 4),
        (13, 7),
        (317, 7),
        // An equivocation across the end of a height.
        (387, 7),
        (611, 7),
        // A vote stamped after the locked block instead of the one it is for.
        (994, 4),
    ];
    for (seed, validators) in seeds {
        let result = run(&settings(seed, validators));
        assert!(result.is_ok(), "seed {seed}: {result:?}");
    }
}
