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
//! the container's id, so that numbers of an engine on another machine name nothing here. The command itself is looked
//! at and signalled through that handle only. It leads a session of its own (`runc exec` and `crun exec` see to that), and
//! what lives in the session ends with it. While anything does, the system gives the session's number to nobody else.
//!
//! What the command put into another session (`setsid`, a daemon) is not ended: in the container it is like any other
//! process, and nothing tells whose it is. It ends with the container.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::engine::{Engine, error};
use crate::backend::BackendError;

/// Where the system tells of processes.
const PROC: &str = "/proc";
/// How long a session has to end after each signal: first SIGHUP, as when a terminal goes, then SIGKILL.
const GRACE: Duration = Duration::from_secs(2);
/// Signals that are sent before it is given up: processes may be started while they are looked for.
const ROUNDS: usize = 5;
/// Processes that are waited for at once, of however many there are: each costs this program a file descriptor.
const HELD: usize = 16;

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
    /// It cannot be told what lives of it.
    #[error("its processes cannot be looked at: {0}")]
    Unread(#[from] io::Error),
    /// It survives SIGKILL.
    #[error("it does not end")]
    Stubborn,
}

/// Ends the command and what it started. That it ended by itself is no error.
pub(super) async fn end(engine: &Engine, container: &str, exec: &str) -> Result<(), EndError> {
    let Some(leader) = running_as(engine, exec).await? else {
        return Ok(());
    };
    let handle = open(leader)?;
    if running_as(engine, exec).await? != Some(leader) {
        return Ok(());
    }
    let Some(handle) = handle else {
        return Err(EndError::Unseen);
    };
    if !is_in(Path::new(PROC), leader, container)? {
        return Err(EndError::Unseen);
    }
    let session = Session {
        proc: PROC.into(),
        number: leader,
        leader: handle,
        container: container.to_owned(),
    };
    let ended = tokio::task::spawn_blocking(move || session.end());
    ended.await.unwrap_or(Err(EndError::Stubborn))
}

/// Whether the processes of this container, whose first one the engine says is `first`, could be ended from here.
pub(super) fn check(first: i64, container: &str) -> Result<(), EndError> {
    let first = number(first).ok_or(EndError::Unseen)?;
    if !is_in(Path::new(PROC), first, container)? {
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
fn is_in(proc: &Path, process: Pid, container: &str) -> io::Result<bool> {
    let groups = about(proc, process, "cgroup")?.unwrap_or_default();
    Ok(!container.is_empty() && groups.lines().any(|line| line.contains(container)))
}

/// What the system says of a process; none where it is gone.
fn about(proc: &Path, process: Pid, what: &str) -> io::Result<Option<String>> {
    let path = proc.join(process.as_raw_pid().to_string()).join(what);
    match std::fs::read(path) {
        // A process may choose its name, of any bytes.
        Ok(text) => Ok(Some(String::from_utf8_lossy(&text).into_owned())),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A process that ends while its file is open says so with the second.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(Errno::SRCH.raw_os_error())
}

/// A handle of the process; none where it is gone.
fn open(process: Pid) -> io::Result<Option<OwnedFd>> {
    match pidfd_open(process, PidfdFlags::empty()) {
        Ok(handle) => Ok(Some(handle)),
        Err(Errno::SRCH) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A command's session.
struct Session {
    /// Where the system tells of processes.
    proc: PathBuf,
    number: Pid,
    /// The command itself.
    leader: OwnedFd,
    container: String,
}

impl Session {
    fn end(&self) -> Result<(), EndError> {
        for round in 0..ROUNDS {
            let signal = if round == 0 {
                Signal::HUP
            } else {
                Signal::KILL
            };
            if self.for_each_member(|member| send(member, signal))? == 0 {
                return Ok(());
            }
            if self.has_ended_by(Instant::now() + GRACE)? {
                return Ok(());
            }
        }
        Err(EndError::Stubborn)
    }

    /// Waits until nothing lives of it; false when the time is over.
    fn has_ended_by(&self, deadline: Instant) -> Result<bool, EndError> {
        loop {
            let members = self.members(HELD)?;
            if members.is_empty() {
                return Ok(true);
            }
            if !wait(members.iter().collect(), deadline) {
                return Ok(false);
            }
        }
    }

    /// Handles of what lives of it, or of so many.
    fn members(&self, most: usize) -> Result<Vec<OwnedFd>, EndError> {
        let mut members = Vec::new();
        self.look(|member| {
            members.push(member);
            Ok(members.len() < most)
        })?;
        Ok(members)
    }

    /// Does it with all that lives of it, one at a time; how many there were.
    fn for_each_member(
        &self,
        mut with: impl FnMut(&OwnedFd) -> Result<(), EndError>,
    ) -> Result<usize, EndError> {
        let mut count = 0;
        self.look(|member| {
            count += 1;
            with(&member).map(|()| true)
        })?;
        Ok(count)
    }

    /// Shows all that lives of it, until there was enough. What cannot be looked at is no reason to spare the others, and
    /// none to say that nothing lives.
    fn look(
        &self,
        mut show: impl FnMut(OwnedFd) -> Result<bool, EndError>,
    ) -> Result<(), EndError> {
        let mut failure = None;
        let mut was_any = false;
        for entry in std::fs::read_dir(&self.proc)? {
            let name = entry?.file_name();
            let Some(process) = name.to_str().and_then(|name| number(name.parse().ok()?)) else {
                continue;
            };
            match self.member(process) {
                Ok(None) => {}
                Ok(Some(member)) => {
                    was_any = true;
                    if !show(member)? {
                        return Ok(());
                    }
                }
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(error) if !was_any => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// A handle of the process, if it lives in the session.
    fn member(&self, process: Pid) -> io::Result<Option<OwnedFd>> {
        if process == self.number {
            return match has_ended(&self.leader)? {
                true => Ok(None),
                false => self.leader.try_clone().map(Some),
            };
        }
        if !self.has(process)? {
            return Ok(None);
        }
        let Some(handle) = open(process)? else {
            return Ok(None);
        };
        // Once more: between the look and the handle the number may have gone to another process.
        let is_meant = self.has(process)? && is_in(&self.proc, process, &self.container)?;
        Ok(is_meant.then_some(handle))
    }

    fn has(&self, process: Pid) -> io::Result<bool> {
        let about = about(&self.proc, process, "stat")?.unwrap_or_default();
        let session = self.number.as_raw_pid();
        Ok(state_and_session(&about)
            .is_some_and(|(state, of)| !matches!(state, "Z" | "X") && of == session))
    }
}

fn send(process: &OwnedFd, signal: Signal) -> Result<(), EndError> {
    match pidfd_send_signal(process, signal) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(cause) => Err(EndError::Forbidden(cause)),
    }
}

/// A handle can be read when its process has ended.
fn has_ended(process: &OwnedFd) -> io::Result<bool> {
    let mut asked = [PollFd::new(process, PollFlags::IN)];
    Ok(poll(&mut asked, Some(&Timespec::default()))? > 0)
}

/// Of a line of `/proc/PID/stat`: number, name in parentheses (which may hold anything), state, parent, group, session.
fn state_and_session(about: &str) -> Option<(&str, i32)> {
    let mut fields = about.rsplit_once(')')?.1.split_ascii_whitespace();
    Some((fields.next()?, fields.nth(2)?.parse().ok()?))
}

/// Waits until they have ended; false when the time is over.
fn wait(mut processes: Vec<&OwnedFd>, deadline: Instant) -> bool {
    while !processes.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(timeout) = Timespec::try_from(left) else {
            return false;
        };
        let mut asked: Vec<PollFd> = processes
            .iter()
            .map(|process| PollFd::new(process, PollFlags::IN))
            .collect();
        match poll(&mut asked, Some(&timeout)) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(_) => return false,
        }
        let has_ended: Vec<bool> = asked.iter().map(|one| !one.revents().is_empty()).collect();
        let mut has_ended = has_ended.into_iter();
        processes.retain(|_| has_ended.next() == Some(false));
    }
    true
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

    /// The session that `leader` leads, in what is told of processes in `proc`.
    fn session(leader: u32, container: &str, proc: &Path) -> Session {
        let number = number(leader.into()).unwrap();
        Session {
            proc: proc.to_owned(),
            number,
            leader: open(number).unwrap().unwrap(),
            container: container.to_owned(),
        }
    }

    /// A session with `count` processes besides its leader.
    fn crowd(count: usize) -> std::process::Child {
        let line = format!("for n in $(seq {count}); do sleep 4000 & done; echo started; wait");
        let mut child = std::process::Command::new("setsid")
            .args(["sh", "-c", &line])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = [0; 8];
        let out = child.stdout.as_mut().unwrap();
        io::Read::read_exact(out, &mut said).unwrap();
        assert_eq!(&said, b"started\n");
        child
    }

    /// What is in the name of the control group of every process here.
    const HERE: &str = ":";

    #[test]
    fn a_crowded_session_ends_whole_with_few_handles_of_it_at_a_time() {
        let mut child = crowd(HELD * 2);
        let session = session(child.id(), HERE, Path::new(PROC));
        assert_eq!(session.for_each_member(|_| Ok(())).unwrap(), HELD * 2 + 1);
        assert_eq!(session.members(HELD).unwrap().len(), HELD);
        session.end().unwrap();
        assert_eq!(session.members(HELD).unwrap().len(), 0);
        child.wait().unwrap();
        session.end().unwrap();
    }

    #[test]
    fn what_cannot_be_looked_at_has_not_ended_and_spares_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let own = std::process::id();
        let session = session(own, HERE, folder.path());
        assert_eq!(session.members(HELD).unwrap().len(), 0);
        // Neither a process that is gone nor what is none.
        for name in ["1", "self"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        assert_eq!(session.members(HELD).unwrap().len(), 0);
        std::fs::create_dir_all(folder.path().join("2/stat")).unwrap();
        assert!(matches!(session.members(HELD), Err(EndError::Unread(_))));
        assert!(matches!(session.end(), Err(EndError::Unread(_))));
        let stat = format!("{own} (a) S 1 {own} {own} 0");
        std::fs::create_dir(folder.path().join(own.to_string())).unwrap();
        std::fs::write(folder.path().join(format!("{own}/stat")), stat).unwrap();
        assert_eq!(session.members(HELD).unwrap().len(), 1);
        let nowhere = Session {
            proc: folder.path().join("none"),
            ..session
        };
        assert!(matches!(nowhere.members(HELD), Err(EndError::Unread(_))));
    }

    #[test]
    fn a_number_that_went_to_another_process_is_not_the_leader_any_more() {
        let mut child = crowd(0);
        let session = session(child.id(), HERE, Path::new(PROC));
        child.kill().unwrap();
        child.wait().unwrap();
        let own = rustix::process::getpid();
        let reused = Session {
            number: own,
            ..session
        };
        assert!(reused.member(own).unwrap().is_none());
    }

    #[test]
    fn processes_outside_the_container_are_never_meant() {
        let (own, proc) = (rustix::process::getpid(), Path::new(PROC));
        assert!(!is_in(proc, own, "").unwrap());
        assert!(!is_in(proc, own, &"a".repeat(64)).unwrap());
        let mut child = crowd(1);
        let session = session(child.id(), &"a".repeat(64), proc);
        // The leader is known by its handle, of which `end` made sure.
        assert_eq!(session.members(HELD).unwrap().len(), 1);
        let here = Session {
            container: HERE.to_owned(),
            ..session
        };
        assert_eq!(here.members(HELD).unwrap().len(), 2);
        here.end().unwrap();
        child.wait().unwrap();
        let refused = check(own.as_raw_pid().into(), &"a".repeat(64));
        assert!(matches!(refused, Err(EndError::Unseen)));
    }
}
