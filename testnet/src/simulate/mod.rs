//! The consensus machine in a world that a seed determines.
//!
//! ```text
//!   seed ─► plan: who is faulty, what goes wrong when, how messages travel
//!             │
//!             ▼
//!   world: queue of events in virtual time ──► nodes: machine + shell with disk and clock
//!             ▲                                   │
//!             └── messages (lost, late, twice) ◄──┘ effects, until a crash in the middle
//!                                                 │
//!                                      oracle: agreement, validity, locks, signatures
//! ```
//!
//! The machine is the one that the node runs; keys and signatures are real. Nothing else is:
//! disk, clock, network, mempool and application are small twins, so that a run takes a fraction
//! of a second and can be repeated bit by bit. After the faults have stopped, every honest node
//! has to commit again within bounded virtual time.

mod app;
mod byzantine;
mod network;
mod node;
mod oracle;
mod peers;
mod plan;
mod rng;
mod shell;
#[cfg(test)]
mod tests;
mod verifier;
mod watch;
mod world;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use structopt::StructOpt;
use welkin_consensus::machine::Bug;
use world::World;

/// What to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Determines everything, together with the number of validators.
    pub seed: u64,
    /// 4 or 7.
    pub validators: usize,
    /// A bug to plant in every honest validator; has no effect on the machine without the feature
    /// `planted-bugs`.
    pub bug: Option<Bug>,
}

/// What happened in a run, or in many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Heights that every honest node committed.
    pub heights: u64,
    /// Faults that were applied.
    pub faults: u64,
    /// Crashes among them, each node of a power cut counted.
    pub crashes: u64,
    /// Highest round in which a block was decided.
    pub rounds: u32,
    /// Equivocations that nodes noticed.
    pub offences: u64,
    /// Pieces of evidence that nodes found in committed blocks.
    pub evidence: u64,
    /// Events.
    pub events: u64,
}

/// Runs one seed. The error says which rule was broken.
pub fn run(settings: &Settings) -> Result<Report, String> {
    World::new(settings).run()
}

/// Simulate many networks of validators with faults, each determined by its seed.
#[derive(Clone, Debug, StructOpt)]
pub struct Simulate {
    /// How many seeds to run; without it one if --seed is given, else 100
    #[structopt(long)]
    pub seeds: Option<u64>,
    /// The first seed
    #[structopt(long)]
    pub seed: Option<u64>,
    /// 4 or 7; without it, even seeds have 4 and odd ones 7
    #[structopt(long, possible_values = &["4", "7"])]
    pub validators: Option<usize>,
}

/// Stop after so many failing seeds: one is enough to work on.
const MOST_FAILURES: usize = 5;

/// What failed, and why.
pub type Failure = (Settings, String);

impl Simulate {
    /// Runs the seeds on all cores and prints what came of it; whether all passed.
    pub fn run(&self) -> bool {
        let began = Instant::now();
        let first = self.seed.unwrap_or(0);
        let count = self
            .seeds
            .unwrap_or(if self.seed.is_some() { 1 } else { 100 });
        let settings = |seed: u64| Settings {
            seed,
            validators: self
                .validators
                .unwrap_or(if seed.is_multiple_of(2) { 4 } else { 7 }),
            bug: None,
        };
        let (total, failures) = run_all(
            (first..first.saturating_add(count)).map(settings),
            MOST_FAILURES,
        );
        for (failed, why) in &failures {
            let Settings {
                seed, validators, ..
            } = failed;
            println!("seed {seed} with {validators} validators: {why}");
            println!(
                "  again: cargo run -p welkin-testnet -- simulate --seed {seed} --validators \
                 {validators}"
            );
        }
        let Report {
            heights,
            faults,
            crashes,
            rounds,
            offences,
            evidence,
            events,
        } = total;
        println!(
            "{count} seeds: {heights} heights, {faults} faults, {crashes} crashes, rounds up to \
             {rounds}, {offences} equivocations noticed, {evidence} in blocks, {events} events, \
             {} failed, {:.1} s",
            failures.len(),
            began.elapsed().as_secs_f64(),
        );
        failures.is_empty()
    }
}

/// The earliest of `settings` that fails, and why.
pub fn first_failure(settings: impl Iterator<Item = Settings>) -> Option<Failure> {
    run_all(settings, 1).1.into_iter().next()
}

/// Runs all settings in order, on all cores, until there are `most` failures.
fn run_all(settings: impl Iterator<Item = Settings>, most: usize) -> (Report, Vec<Failure>) {
    let settings: Vec<Settings> = settings.collect();
    let next = AtomicUsize::new(0);
    let found = Mutex::new((Report::default(), Vec::new()));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(settings) = settings.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = run(settings);
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    match result {
                        Ok(report) => found.0.add(&report),
                        Err(why) => found.1.push((*settings, why)),
                    }
                    if found.1.len() >= most {
                        return;
                    }
                }
            });
        }
    });
    let (report, mut failures) = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    failures.sort_by_key(|(settings, _)| settings.seed);
    (report, failures)
}

impl Report {
    fn add(&mut self, other: &Report) {
        self.heights += other.heights;
        self.faults += other.faults;
        self.crashes += other.crashes;
        self.rounds = self.rounds.max(other.rounds);
        self.offences += other.offences;
        self.evidence += other.evidence;
        self.events += other.events;
    }
}
