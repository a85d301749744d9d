//! Processes that outlive the command that started them.
//!
//! Each has a session of its own and a log file. It is known by its number and its start time: a number that the system
//! gave to somebody else meanwhile is not taken for it.

use super::waiting::Wait;
use anyhow::{Context, bail};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How often an end is looked for.
const LOOK: Duration = Duration::from_millis(20);
/// How long a process may take to end when asked, before it is killed.
const PATIENCE: Duration = Duration::from_secs(25);

/// A process that was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// When it started, in the kernel's clock ticks since the machine did.
    pub started: u64,
}

/// What to start.
#[derive(Clone, Debug)]
pub struct Start {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Variables beside this process's own.
    pub variables: Vec<(String, String)>,
    /// Where its output goes, at the end.
    pub log: PathBuf,
}

impl Start {
    /// Starts it.
    ///
    /// # Errors
    /// The program or the log cannot be opened.
    pub fn start(&self) -> anyhow::Result<Process> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .with_context(|| format!("cannot open {}", self.log.display()))?;
        // `setsid` replaces itself by the program: the number is the program's.
        let child = Command::new("setsid")
            .arg(&self.program)
            .args(&self.arguments)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        let pid = i32::try_from(child.id()).context("a process number")?;
        match stat(pid) {
            Some((started, _)) => Ok(Process { pid, started }),
            None => bail!(
                "{} ended at once; see {}",
                self.program.display(),
                self.log.display()
            ),
        }
    }
}

impl Process {
    /// The process that has this number now, if there is one.
    pub fn of_pid(pid: i32) -> Option<Process> {
        let (started, _) = stat(pid)?;
        Some(Process { pid, started })
    }

    /// Whether it runs.
    pub fn is_alive(self) -> bool {
        stat(self.pid)
            .is_some_and(|(started, state)| started == self.started && !matches!(state, 'Z' | 'X'))
    }

    /// Sends a signal, if it runs.
    ///
    /// # Errors
    /// The system forbids it.
    pub fn signal(self, signal: Signal) -> anyhow::Result<()> {
        let Some(pid) = Pid::from_raw(self.pid) else {
            return Ok(());
        };
        let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else {
            return Ok(());
        };
        // The handle is of whoever has the number now; checked after it was opened, it stays the same process.
        if !self.is_alive() {
            return Ok(());
        }
        match pidfd_send_signal(&process, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(why) => Err(why).with_context(|| format!("process {} cannot be ended", self.pid)),
        }
    }

    /// Kills it, and waits until it is gone.
    ///
    /// # Errors
    /// It stays.
    pub fn kill(self) -> anyhow::Result<()> {
        kill_all(&format!("process {} to end", self.pid), &[self])
    }

    /// Asks it to end, waits, and kills it if it does not.
    ///
    /// # Errors
    /// It stays all the same.
    pub fn stop(self) -> anyhow::Result<()> {
        stop_all(&format!("process {} to end", self.pid), &[self])
    }

    /// Whether it ended within this time.
    pub fn wait(self, patience: Duration) -> bool {
        let began = Instant::now();
        while self.is_alive() {
            if began.elapsed() > patience {
                return false;
            }
            std::thread::sleep(LOOK);
        }
        true
    }
}

/// Asks processes to end, waits for all of them together, and kills those that do not. `what` is told while that takes
/// long.
///
/// # Errors
/// One stays all the same.
pub fn stop_all(what: &str, processes: &[Process]) -> anyhow::Result<()> {
    let left = signal_all(what, processes, Signal::TERM)?;
    kill_all(what, &left)
}

/// Kills processes, and waits until all of them are gone.
///
/// # Errors
/// One stays.
pub fn kill_all(what: &str, processes: &[Process]) -> anyhow::Result<()> {
    match signal_all(what, processes, Signal::KILL)?.first() {
        None => Ok(()),
        Some(stays) => bail!("process {} does not go", stays.pid),
    }
}

/// Those that have not ended within the time that they all have together.
fn signal_all(what: &str, processes: &[Process], signal: Signal) -> anyhow::Result<Vec<Process>> {
    for process in processes {
        process.signal(signal)?;
    }
    let mut wait = Wait::new(what);
    let mut left = processes.to_vec();
    loop {
        left.retain(|process| process.is_alive());
        if left.is_empty() || wait.elapsed() > PATIENCE {
            return Ok(left);
        }
        wait.tell();
        std::thread::sleep(LOOK);
    }
}

/// Processes of our own programs that have `folder` or something in it as an argument, whoever started them.
pub fn strays(folder: &Path) -> Vec<Process> {
    let of_ours = |pid: &i32| {
        let Ok(line) = std::fs::read(format!("/proc/{pid}/cmdline")) else {
            return false;
        };
        let mut words = line
            .split(|byte| *byte == 0)
            .map(|word| Path::new(std::str::from_utf8(word).unwrap_or("")));
        let program = words
            .next()
            .and_then(Path::file_name)
            .and_then(|name| name.to_str());
        let is_ours = matches!(
            program,
            Some("welkind" | "welkin-provider" | "welkin-testnet")
        );
        is_ours && words.any(|word| word.starts_with(folder))
    };
    pids().filter(of_ours).filter_map(Process::of_pid).collect()
}

/// The numbers of all processes.
pub fn pids() -> impl Iterator<Item = i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The last lines of a log, for a message.
pub fn tail(log: &Path, lines: usize) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Start time and state of a process.
fn stat(pid: i32) -> Option<(u64, char)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything; what follows does not.
    let rest = &text[text.rfind(')')? + 1..];
    let mut words = rest.split_ascii_whitespace();
    let state = words.next()?.chars().next()?;
    let started = words.nth(18)?.parse().ok()?;
    Some((started, state))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(dir: &Path) -> Process {
        let start = Start {
            program: "sleep".into(),
            arguments: vec!["600".into()],
            variables: Vec::new(),
            log: dir.join("log"),
        };
        start.start().unwrap()
    }

    #[test]
    fn a_process_that_was_started_is_seen_and_ended() {
        let dir = tempfile::tempdir().unwrap();
        let process = sleeper(dir.path());
        assert!(process.is_alive());
        process.stop().unwrap();
        assert!(!process.is_alive());
    }

    #[test]
    fn a_number_that_was_given_to_somebody_else_is_not_killed() {
        let dir = tempfile::tempdir().unwrap();
        let somebody = sleeper(dir.path());
        let ours = Process {
            started: somebody.started - 1,
            ..somebody
        };
        assert!(!ours.is_alive());
        ours.kill().unwrap();
        assert!(somebody.is_alive());
        somebody.kill().unwrap();
    }
}
