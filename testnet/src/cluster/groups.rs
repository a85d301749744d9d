//! Control groups, of version 1, 2 or both: a cluster's programs and its pods are in groups of their own, so that all of
//! them can be found, counted and ended.

use crate::network::process::Process;
use crate::network::waiting::Wait;
use anyhow::Context;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often a group that goes is looked at.
const LOOK: Duration = Duration::from_millis(10);
/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A hierarchy of groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// Where it is mounted.
    pub root: PathBuf,
    /// Whether it is of version 2.
    pub is_unified: bool,
}

/// The hierarchies of this machine that count: with those of version 1, a unified one beside them controls nothing.
pub fn hierarchies() -> Vec<Hierarchy> {
    let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let all = parse(&text);
    let has_old = all.iter().any(|one| !one.is_unified);
    let counts = |one: &Hierarchy| !(has_old && one.is_unified);
    all.into_iter().filter(counts).collect()
}

fn parse(mountinfo: &str) -> Vec<Hierarchy> {
    let hierarchy = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let kind = right.split(' ').next()?;
        let root = left.split(' ').nth(4)?;
        ["cgroup", "cgroup2"].contains(&kind).then(|| Hierarchy {
            root: root.into(),
            is_unified: kind == "cgroup2",
        })
    };
    mountinfo.lines().filter_map(hierarchy).collect()
}

/// Makes a group below the root of every hierarchy, with all that it controls. What is there stays.
///
/// # Errors
/// The system refuses.
pub fn create(group: &Path) -> anyhow::Result<()> {
    for hierarchy in hierarchies() {
        let mut folder = hierarchy.root.clone();
        for step in group {
            if hierarchy.is_unified {
                pass_controllers_on(&folder)?;
            }
            let parent = folder.clone();
            folder.push(step);
            if folder.is_dir() {
                continue;
            }
            std::fs::create_dir(&folder)
                .with_context(|| format!("cannot make the control group {}", folder.display()))?;
            copy_sets(&parent, &folder)?;
        }
    }
    Ok(())
}

/// Lets the groups of a unified hierarchy that lie in a folder be limited.
fn pass_controllers_on(folder: &Path) -> anyhow::Result<()> {
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap_or_default();
    let passed = read("cgroup.subtree_control");
    for controller in read("cgroup.controllers").split_whitespace() {
        if passed.split_whitespace().any(|word| word == controller) {
            continue;
        }
        let path = folder.join("cgroup.subtree_control");
        std::fs::write(&path, format!("+{controller}"))
            .with_context(|| format!("cannot pass {controller} on in {}", folder.display()))?;
    }
    Ok(())
}

/// A new group of version 1 has no processors, and takes no process until it has some.
fn copy_sets(parent: &Path, folder: &Path) -> anyhow::Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let path = folder.join(file);
        if parent.join(file).exists() && path.exists() {
            let set = std::fs::read_to_string(parent.join(file))?;
            std::fs::write(&path, set)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(())
}

/// The folders of a group, one in each hierarchy.
pub fn folders(group: &Path) -> Vec<PathBuf> {
    let hierarchies = hierarchies().into_iter();
    hierarchies.map(|one| one.root.join(group)).collect()
}

/// All processes in a group and in those below it.
pub fn processes(group: &Path) -> Vec<Process> {
    let mut pids = Vec::new();
    for folder in folders(group) {
        collect(&folder, &mut pids);
    }
    pids.sort_unstable();
    pids.dedup();
    pids.into_iter().filter_map(Process::of_pid).collect()
}

fn collect(folder: &Path, pids: &mut Vec<i32>) {
    let text = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
    for below in below(folder) {
        collect(&below, pids);
    }
}

fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.map(|entry| entry.path()).collect()
}

/// Removes a group with all below it, in every hierarchy, also one that controls nothing.
///
/// # Errors
/// A process is still in it.
pub fn remove(group: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for hierarchy in parse(&text) {
        let folder = hierarchy.root.join(group);
        if folder.exists() {
            remove_folder(&folder)?;
        }
    }
    Ok(())
}

fn remove_folder(folder: &Path) -> anyhow::Result<()> {
    for below in below(folder) {
        remove_folder(&below)?;
    }
    let mut wait = Wait::new(format!("the control group {} to go", folder.display()));
    loop {
        match std::fs::remove_dir(folder) {
            Ok(()) => return Ok(()),
            Err(why) if why.kind() == ErrorKind::NotFound => return Ok(()),
            // Threads of a process that ended may still be about to.
            Err(why) if why.kind() == ErrorKind::ResourceBusy && wait.elapsed() < PATIENCE => {}
            Err(why) => {
                return Err(why)
                    .with_context(|| format!("the control group {} stays", folder.display()));
            }
        }
        wait.tell();
        std::thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_of_both_versions_are_told_apart() {
        let text = "30 25 0:26 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
                    31 25 0:27 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw\n\
                    32 25 0:28 / /tmp rw - tmpfs tmpfs rw\n";
        let found = parse(text);
        let seen: Vec<(&str, bool)> = found
            .iter()
            .map(|one| (one.root.to_str().unwrap(), one.is_unified))
            .collect();
        let wanted = [
            ("/sys/fs/cgroup/cpu", false),
            ("/sys/fs/cgroup/unified", true),
        ];
        assert_eq!(seen, wanted);
    }
}
