//! Power cuts, killed processes and failing disks, against block log, WAL and sign state together.
//!
//! A run is one disk and its life: open everything, compare with what was acknowledged, do some
//! random work, lose the power (or the process), and again. What is acknowledged must be there,
//! what is there must have been written, nothing that contradicts is ever signed, and opening
//! always works.
//!
//! A failing run says its number; `POWER_CUT_RUN=17 cargo test -p welkin-node --test power_cuts`
//! runs only that one.

mod life;
mod oracle;
mod random;

use life::{Life, Plant};

/// Cuts in one run.
const CUTS: u32 = 20;

/// Lives through the runs with these numbers.
fn live_through(runs: std::ops::Range<u64>) {
    let only = std::env::var("POWER_CUT_RUN")
        .ok()
        .and_then(|run| run.parse().ok());
    for run in runs.filter(|run| only.is_none_or(|only: u64| only == *run)) {
        if let Err(broken) = Life::begin(run, Plant::Nothing).live(CUTS) {
            panic!("run {run}: {broken}");
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_in_the_first_500_power_cuts() {
    live_through(0..25);
}

#[test]
fn nothing_acknowledged_is_lost_in_the_second_500_power_cuts() {
    live_through(25..50);
}

#[test]
fn nothing_acknowledged_is_lost_in_the_third_500_power_cuts() {
    live_through(50..75);
}

#[test]
fn nothing_acknowledged_is_lost_in_the_fourth_500_power_cuts() {
    live_through(75..100);
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
