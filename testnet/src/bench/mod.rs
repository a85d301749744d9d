//! The figures, taken from real networks on this machine.
//!
//! ```text
//!   machine: cores, commit, fdatasync
//!   chain ──> stage (4 validators) ──> transfers, signed in advance ──> load ──> blocks: what was committed, and when
//! ```
//!
//! Figures of rates and times are taken from outside: requests go in over RPC, blocks and answers come out. Nothing here
//! asserts; a figure that is not what it should be is printed with what limits it.

mod blocks;
mod chain;
mod cometbft;
mod figure;
mod load;
mod machine;
mod rpc;
mod settle;
mod stage;
mod transfers;
mod whole;

use base64::Engine;
use figure::{Figure, Missing, Report};
use machine::Machine;
use std::path::{Path, PathBuf};
use structopt::StructOpt;

/// The name of each network that is measured; they are there one after the other.
const STAGE: &str = "bench";
/// Where they lie unless told otherwise.
const DIR: &str = "testnet/.run";

/// Measures this build on this machine, and prints the figures
#[derive(Debug, StructOpt)]
pub struct Bench {
    /// How figures are printed: table or json [default: table]
    // The parser takes a default that it knows where the value was forgotten. So it knows none.
    #[structopt(short, long, possible_values = &["table", "json"])]
    output: Option<String>,
    /// Measures this program in the same run: cometbft (Go is needed)
    #[structopt(long, possible_values = &["cometbft"])]
    peer: Option<String>,
    /// Measures only these parts: load, idle, whole, settle
    #[structopt(long, possible_values = &["load", "idle", "whole", "settle"])]
    only: Vec<String>,
    /// The folder of the networks that are measured; its disk counts [default: testnet/.run]
    #[structopt(long, env = "WELKIN_TESTNET_DIR", parse(from_os_str))]
    dir: Option<PathBuf>,
}

impl Bench {
    /// Measures, and prints.
    ///
    /// # Errors
    /// The machine cannot be looked at. What cannot be measured is printed as missing.
    pub fn run(&self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let report = runtime.block_on(self.measure())?;
        if self.output.as_deref() == Some("json") {
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            print(&report);
        }
        Ok(())
    }

    async fn measure(&self) -> anyhow::Result<Report> {
        let dir = self.dir.as_deref().unwrap_or(Path::new(DIR));
        let mut report = Report {
            machine: Machine::look(dir)?,
            figures: Vec::new(),
            missing: Vec::new(),
        };
        let wants = |part: &str| self.only.is_empty() || self.only.iter().any(|one| one == part);
        if wants("load") {
            let peer = self.peer(dir, &mut report).await;
            let own = chain::measure(dir).await;
            let figures = own.map(|own| chain::figures(&own, peer.as_ref()));
            report.note("load", figures);
        }
        if wants("idle") {
            report.note("idle", chain::idle(dir).await);
        }
        if wants("whole") {
            report.note("whole", whole::figures(dir).await);
        }
        if wants("settle") {
            report.note("settle", settle::figures(dir));
        }
        Ok(report)
    }

    async fn peer(&self, dir: &Path, report: &mut Report) -> Option<chain::ChainFigures> {
        self.peer.as_ref()?;
        match cometbft::measure(dir).await {
            Ok(figures) => Some(figures),
            Err(why) => {
                report.note("peer", Err(why));
                None
            }
        }
    }
}

impl Report {
    fn note(&mut self, part: &'static str, outcome: anyhow::Result<Vec<Figure>>) {
        match outcome {
            Ok(figures) => self.figures.extend(figures),
            Err(why) => self.missing.push(Missing {
                part,
                why: format!("{why:#}"),
            }),
        }
    }
}

fn print(report: &Report) {
    let Machine {
        cores,
        commit,
        fdatasync_p50_ms,
        fdatasync_p90_ms,
    } = &report.machine;
    println!(
        "{cores} cores, commit {commit}, fdatasync {fdatasync_p50_ms:.2} ms p50, \
         {fdatasync_p90_ms:.2} ms p90\n"
    );
    for figure in &report.figures {
        println!("{}", figure.line());
    }
    for missing in &report.missing {
        println!("{:<28} not measured: {}", missing.part, missing.why);
    }
}

fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
