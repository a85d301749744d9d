//! Ends commands whose tenant is gone.
//!
//! Docker's API starts commands and cannot end them: closing the connection leaves the command where it is, terminal or
//! not. It only tells the number of the command's process on the host. So the signal comes from here, to the process that
//! has this number, and to no other:
//!
//! ```text
//!   the engine: it runs as N ──> handle of N ──> the engine: it still runs as N ──> N is in the container's control group
//! ```
//!
//! A number that the engine confirms after the handle was opened is the command's own, and the control group's name holds
//! the container's id, so that numbers of an engine on another machine name nothing here. Every command leads a session of
//! its own (`runc exec` and `crun exec` see to that), and what it started ends with it.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::engine::{Engine, error};
use crate::backend::BackendError;

/// How long a session has to end after each signal: first SIGHUP, as when a terminal goes, then SIGKILL.
const GRACE: Duration = Duration::from_secs(2);
/// Signals that are sent before it is given up: processes may be started while they are looked for.
const ROUNDS: usize = 5;

/// Why a command still runs.
#[derive(Debug, thiserror::Error)]
pub(super) enum EndError {
    /// The engine did not say which process it is.
    #[error(transparent)]
    Engine(#[from] BackendError),
    /// The number that the engine tells is not one of this machine's.
    #[error(
        "its process is not among those that this program sees; run the provider on the engine's machine, in its process namespace"
    )]
    Unseen,
    /// The system does not allow the signal.
    #[error("it may not be ended: {0}; run the provider as root, or as the engine's user")]
    Forbidden(Errno),
    /// It survives SIGKILL.
    #[error("it does not end")]
    Stubborn,
}

/// Ends the command and what it started. That it ended by itself is no error.
pub(super) async fn end(engine: &Engine, container: &str, exec: &str) -> Result<(), EndError> {
    let Some(leader) = running_as(engine, exec).await? else {
        return Ok(());
    };
    let handle = pidfd_open(leader, PidfdFlags::empty());
    if running_as(engine, exec).await? != Some(leader) {
        return Ok(());
    }
    if handle.is_err() || !is_in(leader, container) {
        return Err(EndError::Unseen);
    }
    let container = container.to_owned();
    let ended = tokio::task::spawn_blocking(move || end_session(leader, &container));
    ended.await.unwrap_or(Err(EndError::Stubborn))
}

/// Whether the processes of this container, whose first one the engine says is `first`, could be ended from here.
pub(super) fn check(first: i64, container: &str) -> Result<(), EndError> {
    let first = number(first).ok_or(EndError::Unseen)?;
    if !is_in(first, container) {
        return Err(EndError::Unseen);
    }
    rustix::process::test_kill_process(first).map_err(EndError::Forbidden)
}

/// The number of the command's process, while it runs.
async fn running_as(engine: &Engine, exec: &str) -> Result<Option<Pid>, EndError> {
    let seen = match engine.api.inspect_exec(exec).await.map_err(error) {
        // Its container is gone, and it with it.
        Err(BackendError::Missing(_)) => return Ok(None),
        seen => seen?,
    };
    let is_running = seen.running == Some(true);
    Ok(seen.pid.filter(|_| is_running).and_then(number))
}

fn number(pid: i64) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

/// Whether the process is one of the container's. Engines put the container's id into the name of its control group.
fn is_in(process: Pid, container: &str) -> bool {
    let path = format!("/proc/{}/cgroup", process.as_raw_pid());
    let groups = std::fs::read_to_string(path).unwrap_or_default();
    !container.is_empty() && groups.lines().any(|line| line.contains(container))
}

fn end_session(leader: Pid, container: &str) -> Result<(), EndError> {
    for round in 0..ROUNDS {
        let members = session(leader, container);
        if members.is_empty() {
            return Ok(());
        }
        let signal = if round == 0 {
            Signal::HUP
        } else {
            Signal::KILL
        };
        for member in &members {
            match pidfd_send_signal(member, signal) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(cause) => return Err(EndError::Forbidden(cause)),
            }
        }
        wait(members.iter().collect(), Instant::now() + GRACE);
    }
    Err(EndError::Stubborn)
}

/// Handles of what lives of the session, all in the container.
fn session(leader: Pid, container: &str) -> Vec<OwnedFd> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let numbers = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let processes = numbers.filter_map(number);
    processes
        .filter_map(|process| {
            if !lives_in_session(process, leader) {
                return None;
            }
            let handle = pidfd_open(process, PidfdFlags::empty()).ok()?;
            // Once more: between the look and the handle the number may have gone to another process.
            let is_meant = lives_in_session(process, leader) && is_in(process, container);
            is_meant.then_some(handle)
        })
        .collect()
}

fn lives_in_session(process: Pid, leader: Pid) -> bool {
    let path = format!("/proc/{}/stat", process.as_raw_pid());
    let about = std::fs::read_to_string(path).unwrap_or_default();
    state_and_session(&about).is_some_and(|(state, session)| {
        !matches!(state, "Z" | "X") && (session == leader.as_raw_pid() || process == leader)
    })
}

/// Of a line of `/proc/PID/stat`: number, name in parentheses (which may hold anything), state, parent, group, session.
fn state_and_session(about: &str) -> Option<(&str, i32)> {
    let mut fields = about.rsplit_once(')')?.1.split_ascii_whitespace();
    Some((fields.next()?, fields.nth(2)?.parse().ok()?))
}

/// Waits until they have ended, or the time is over. A handle can be read when its process has ended.
fn wait(mut processes: Vec<&OwnedFd>, deadline: Instant) {
    while !processes.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(timeout) = Timespec::try_from(left) else {
            return;
        };
        let mut asked: Vec<PollFd> = processes
            .iter()
            .map(|process| PollFd::new(process, PollFlags::IN))
            .collect();
        match poll(&mut asked, Some(&timeout)) {
            Ok(0) => return,
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(_) => return,
        }
        let has_ended: Vec<bool> = asked.iter().map(|one| !one.revents().is_empty()).collect();
        let mut has_ended = has_ended.into_iter();
        processes.retain(|_| has_ended.next() == Some(false));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_is_read_behind_whatever_name_a_process_has() {
        let line = "29135 (a) Z 1 2 (b) S 29125 29135 29130 34816 29135 4194560 1";
        assert_eq!(state_and_session(line), Some(("S", 29130)));
        assert_eq!(state_and_session("29135 (sh"), None);
        assert_eq!(state_and_session("1 (sh) S 1 1 x"), None);
    }

    #[test]
    fn processes_outside_the_container_are_never_meant() {
        let own = rustix::process::getpid();
        assert!(lives_in_session(own, own));
        assert!(!is_in(own, ""));
        assert!(!is_in(own, &"a".repeat(64)));
        assert!(session(own, &"a".repeat(64)).is_empty());
        let refused = check(own.as_raw_pid().into(), &"a".repeat(64));
        assert!(matches!(refused, Err(EndError::Unseen)));
    }
}
