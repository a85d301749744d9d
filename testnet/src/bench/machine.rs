//! What figures depend on beside the program: the machine, its disk, and which source was built.

use crate::network::sources;
use anyhow::Context;
use serde::Serialize;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Syncs that are measured.
const SYNCS: usize = 200;
/// In what Linux counts processor time for programs, on every machine that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;
/// What each appends, in bytes: about a record of the log.
const RECORD_BYTES: usize = 300;

/// Where and of what figures were taken.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Machine {
    /// Processors that this process may use.
    pub cores: usize,
    /// The commit of the source, with `+` behind it if the source was changed since.
    pub commit: String,
    /// Median of `fdatasync` after an append of 300 bytes.
    pub fdatasync_p50_ms: f64,
    /// The time that 9 of 10 syncs keep.
    pub fdatasync_p90_ms: f64,
}

impl Machine {
    /// Looks, and measures the disk under `dir`.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn look(dir: &Path) -> anyhow::Result<Machine> {
        let syncs = syncs(dir)?;
        Ok(Machine {
            cores: cores(),
            commit: commit(),
            fdatasync_p50_ms: super::figure::quantile(&syncs, 0.5),
            fdatasync_p90_ms: super::figure::quantile(&syncs, 0.9),
        })
    }
}

/// Processors that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Milliseconds of each sync.
fn syncs(dir: &Path) -> anyhow::Result<Vec<f64>> {
    std::fs::create_dir_all(dir)?;
    let path = dir.join("fdatasync.probe");
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    let mut times = Vec::new();
    for _ in 0..SYNCS {
        let began = Instant::now();
        file.write_all(&[7; RECORD_BYTES])?;
        file.sync_data()?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    std::fs::remove_file(&path)?;
    Ok(times)
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .arg("-C")
            .arg(sources())
            .args(arguments)
            .output();
        let output = output.ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        return "unknown".to_owned();
    };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])
        .is_some_and(|files| !files.is_empty());
    if changed { commit + "+" } else { commit }
}

/// Processor time that was used while something was measured, in cores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cores {
    /// By the processes that are measured.
    pub measured: f64,
    /// By this process, which sends the load.
    pub loader: f64,
    /// By everybody else: figures of a machine that is not quiet are too low.
    pub others: f64,
}

/// A stretch of time in which processor time is counted.
pub struct Work {
    pids: Vec<i32>,
    began: Instant,
    measured: Duration,
    loader: Duration,
    all: Duration,
}

impl Work {
    /// Counts from now on.
    pub fn begin(pids: &[i32]) -> Work {
        Work {
            pids: pids.to_vec(),
            began: Instant::now(),
            measured: pids.iter().map(|pid| processor_time(*pid)).sum(),
            loader: processor_time(own_pid()),
            all: busy_time(),
        }
    }

    /// What was used since.
    pub fn end(&self) -> Cores {
        let seconds = self.began.elapsed().as_secs_f64();
        let cores =
            |now: Duration, then: Duration| now.saturating_sub(then).as_secs_f64() / seconds;
        let measured = self.pids.iter().map(|pid| processor_time(*pid)).sum();
        let measured = cores(measured, self.measured);
        let loader = cores(processor_time(own_pid()), self.loader);
        let others = (cores(busy_time(), self.all) - measured - loader).max(0.0);
        Cores {
            measured,
            loader,
            others,
        }
    }
}

/// Processor time that a process has used; zero if it is gone.
fn processor_time(pid: i32) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name, in parentheses, may hold anything; what follows does not.
    let rest = text.rfind(')').map_or("", |end| &text[end + 1..]);
    ticks(rest.split_ascii_whitespace().skip(11).take(2))
}

/// Processor time that the machine has used for anybody: user, nice, system, interrupts.
fn busy_time() -> Duration {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let words: Vec<&str> = text
        .lines()
        .next()
        .unwrap_or("")
        .split_ascii_whitespace()
        .collect();
    ticks(
        [1, 2, 3, 6, 7]
            .iter()
            .filter_map(|index| words.get(*index).copied()),
    )
}

fn ticks<'a>(words: impl Iterator<Item = &'a str>) -> Duration {
    let ticks: u64 = words.filter_map(|word| word.parse::<u64>().ok()).sum();
    Duration::from_secs_f64(ticks as f64 / TICKS_PER_SECOND)
}

fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

/// Memory of a process that lies in RAM, in bytes, with what it shares with others; zero if it is gone.
pub fn resident_bytes(pid: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
