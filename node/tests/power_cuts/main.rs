//! Power cuts, killed processes and failing disks, against block log, WAL and sign state together.
//!
//! A run is one disk and its life: open everything, compare with what was acknowledged, do some
//! random work, lose the power (or the process), and again. What is acknowledged must be there,
//! what is there must have been written, nothing that contradicts is ever signed, and opening
//! always works.
//!
//! A failing run says its number; `POWER_CUT_RUN=17 cargo test -p welkin-node --test power_cuts`
//! runs only that one, and `POWER_CUT_RUNS=5000` lives through more runs than the 100 of 20 cuts.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod life;
mod oracle;
mod random;

use life::{Life, Plant};

/// Cuts in one run.
const CUTS: u32 = 20;

/// Runs unless the environment says otherwise.
const RUNS: u64 = 100;

/// Lives through every fourth run, so that four tests share the work.
fn live_through_quarter(quarter: u64) {
    let number = |name| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    let only = number("POWER_CUT_RUN");
    let runs = match only {
        Some(run) => run..run + 1,
        None => 0..number("POWER_CUT_RUNS").unwrap_or(RUNS),
    };
    for run in runs.filter(|run| run % 4 == quarter) {
        if let Err(broken) = Life::begin(run, Plant::Nothing).live(CUTS) {
            panic!("run {run}: {broken}");
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_in_the_first_500_power_cuts() {
    live_through_quarter(0);
}

#[test]
fn nothing_acknowledged_is_lost_in_the_second_500_power_cuts() {
    live_through_quarter(1);
}

#[test]
fn nothing_acknowledged_is_lost_in_the_third_500_power_cuts() {
    live_through_quarter(2);
}

#[test]
fn nothing_acknowledged_is_lost_in_the_fourth_500_power_cuts() {
    live_through_quarter(3);
}

/// The test can see: each planted fault breaks a run soon.
#[test]
fn planted_faults_are_found() {
    for (plant, told) in [
        (Plant::DiskForgetsSyncs, ""),
        (Plant::AcknowledgesBeforeSyncing, "acknowledged"),
        (Plant::LosesTheSignState, "signed twice"),
    ] {
        let broken = (0..25).find_map(|run| Life::begin(run, plant).live(CUTS).err());
        let broken = broken.unwrap_or_else(|| panic!("{plant:?} was not noticed"));
        assert!(broken.contains(told), "{plant:?}: {broken}");
    }
}
