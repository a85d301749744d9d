//! The simulator can see: each bug that is planted in the machine is found.
//!
//! cargo test -p welkin-testnet --features planted-bugs --test planted_bugs -- --nocapture

#![cfg(feature = "planted-bugs")]

use welkin_consensus::machine::Bug;
use welkin_testnet::simulate::{Settings, first_failure};

/// Within so many seeds.
const SEEDS: u64 = 1_000;

fn settings(bug: Option<Bug>) -> impl Iterator<Item = Settings> {
    (0..SEEDS).map(move |seed| Settings {
        seed,
        validators: if seed.is_multiple_of(2) { 4 } else { 7 },
        bug,
    })
}

#[test]
fn every_planted_bug_is_found_within_a_thousand_seeds() {
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        match first_failure(settings(Some(bug))) {
            Some((found, why)) => println!("{bug:?}: seed {}: {why}", found.seed),
            None => missed.push(bug),
        }
    }
    assert!(
        missed.is_empty(),
        "not found within {SEEDS} seeds: {missed:?}"
    );
}

#[test]
fn nothing_is_found_where_no_bug_is_planted() {
    let found = first_failure(settings(None).take(40));
    assert_eq!(found, None);
}
