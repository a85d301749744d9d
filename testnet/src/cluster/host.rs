//! What a cluster has on the host outside its folder: bridge, links, namespaces, control groups, a mount.

use super::layout::{CLUSTERS, Layout, Member, PODS};
use super::programs::{MOUNTS, Paths};
use super::record::Cluster;
use super::{claim, groups};
use crate::network::lock::FolderLock;
use crate::network::process::{Process, kill_all, pids};
use anyhow::{Context, ensure};
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Folders that containerd, the kubelet and Calico write to, whatever they are told. Every node sees its own in their
/// place.
const FIXED: [&str; 5] = [
    "/run/containerd",
    "/var/lib/calico",
    "/var/lib/cni",
    "/var/lib/kubelet",
    "/var/log/containers",
];

/// Where a node's file of resolvers lies in its folder, and where programs look for it.
pub const RESOLVER: &str = "resolv.conf";
const HOST_RESOLVER: &str = "/etc/resolv.conf";
/// Where systemd keeps the servers that its own resolver asks.
const BEHIND_LOOPBACK: &str = "/run/systemd/resolve/resolv.conf";

/// Makes the network namespace in which it runs pass packets on.
const FORWARD: &str =
    "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding";

/// The group of the cluster's own programs.
pub fn group_of_programs(layout: Layout) -> PathBuf {
    Path::new(&layout.name()).join("programs")
}

/// Makes everything, after what was left of it was removed.
///
/// # Errors
/// What the system refuses.
pub fn create(cluster: &Cluster) -> anyhow::Result<()> {
    remove(cluster)?;
    let (layout, members) = (cluster.layout(), cluster.members());
    groups::create(&group_of_programs(layout))?;
    for member in &members {
        if let Member::Node(_) = member {
            groups::create(&Path::new(&layout.name()).join(member.name()))?;
        }
        run("ip", &["netns", "add", &layout.namespace(*member)], "")?;
    }
    run("ip", &["-batch", "-"], &layout.host_commands(&members))?;
    run("sh", &["-ec", FORWARD], "")?;
    run("nft", &["-f", "-"], &host_masquerade(layout))?;
    for member in &members {
        let namespace = layout.namespace(*member);
        // The kernel shows the settings of the namespace of whoever asks.
        let file = layout.namespace_file(*member);
        let net = format!("--net={}", file.display());
        run("nsenter", &[&net, "--", "sh", "-ec", FORWARD], "")?;
        let commands = layout.member_commands(*member, &members);
        run("ip", &["-n", &namespace, "-batch", "-"], &commands)?;
        if let Member::Node(_) = member {
            run(
                "nsenter",
                &[&net, "--", "nft", "-f", "-"],
                &masquerade(layout),
            )?;
        }
    }
    let mounted = layout.mounted();
    std::fs::create_dir_all(&mounted)?;
    let (from, to) = (
        cluster.folder.display().to_string(),
        mounted.display().to_string(),
    );
    run("mount", &["--bind", &from, &to], "")?;
    // Else what kubelets mount in it would be in the folder too.
    run("mount", &["--make-private", &to], "")?;
    create_mount_namespaces(cluster)
}

/// What a node mounts goes with its mount namespace.
fn create_mount_namespaces(cluster: &Cluster) -> anyhow::Result<()> {
    // Another cluster that goes takes the folders along, unless this one is seen.
    let _lock = FolderLock::acquire(&claim::folder())?;
    let layout = cluster.layout();
    for member in cluster.members() {
        if member == Member::Control {
            continue;
        }
        let paths = Paths::new(layout, member);
        let file = paths.own(MOUNTS);
        std::fs::write(&file, "").with_context(|| format!("cannot write {file}"))?;
        let mut script = String::new();
        for fixed in FIXED {
            let own = paths.own(&format!("fixed{fixed}"));
            for folder in [fixed, &own] {
                std::fs::create_dir_all(folder).with_context(|| format!("cannot make {folder}"))?;
            }
            script.push_str(&format!("mount --bind {own} {fixed}\n"));
        }
        let resolver = paths.own(RESOLVER);
        std::fs::write(&resolver, resolver_config(layout))
            .with_context(|| format!("cannot write {resolver}"))?;
        if Path::new(HOST_RESOLVER).exists() {
            script.push_str(&format!("mount --bind {resolver} {HOST_RESOLVER}\n"));
        }
        let namespace = format!("--mount={file}");
        run("unshare", &[&namespace, "sh", "-e"], &script)?;
    }
    Ok(())
}

/// Whom nodes ask for names: whom this machine asks, but for a resolver on its own loopback address, which is out of
/// their reach. Where that leaves none, one that refuses at once: the cluster's resolver does not start without any.
fn resolver_config(layout: Layout) -> String {
    let text = [BEHIND_LOOPBACK, HOST_RESOLVER].iter().find_map(|file| {
        let text = std::fs::read_to_string(file).ok()?;
        let servers = text.lines().filter(|line| {
            let address = line.strip_prefix("nameserver ").map(str::trim);
            let address = address.and_then(|address| address.parse::<IpAddr>().ok());
            address.is_some_and(|address| !address.is_loopback())
        });
        let servers: Vec<String> = servers.map(|line| format!("{line}\n")).collect();
        (!servers.is_empty()).then(|| servers.concat())
    });
    let servers = text.unwrap_or_else(|| format!("nameserver {}\n", layout.gateway().0));
    format!("{servers}options timeout:1 attempts:2\n")
}

/// Pods' addresses mean nothing outside their cluster: there, a pod has its node's.
fn masquerade(layout: Layout) -> String {
    let [pods4, pods6] = [0, 1].map(|family| PODS.split(',').nth(family).unwrap_or_default());
    let (gateway4, gateway6) = layout.gateway();
    format!(
        "table inet welkin {{\n chain out {{\n  type nat hook postrouting priority srcnat + 10;\n  \
         ip saddr {pods4} ip daddr != {{ {pods4}, {gateway4}/24 }} masquerade\n  \
         ip6 saddr {pods6} ip6 daddr != {{ {pods6}, {gateway6}/64 }} masquerade\n }}\n}}\n"
    )
}

/// Nodes' addresses mean nothing beyond this machine: there, a node has this machine's. So it can pull images.
fn host_masquerade(layout: Layout) -> String {
    let [own4, own6] = layout.ranges();
    let (table, bridge) = (layout.table(), layout.bridge());
    format!(
        "{}table inet {table} {{\n chain out {{\n  type nat hook postrouting priority srcnat + 10;\n  \
         ip saddr {own4} oifname != {bridge} masquerade\n  ip6 saddr {own6} oifname != {bridge} masquerade\n }}\n}}\n",
        without_table(layout)
    )
}

/// What `nft` removes the cluster's table with, if there is one.
fn without_table(layout: Layout) -> String {
    let table = layout.table();
    format!("table inet {table} {{ }}\ndelete table inet {table}\n")
}

/// Ends whatever still runs in the cluster, and removes everything that it has outside its folder.
///
/// # Errors
/// What stays.
pub fn remove(cluster: &Cluster) -> anyhow::Result<()> {
    let layout = cluster.layout();
    // Also members that the record does not know.
    let members = Member::all(u8::MAX - 3);
    let group = PathBuf::from(layout.name());
    // What is killed may have started others meanwhile.
    loop {
        let mut left = groups::processes(&group);
        left.extend(
            members
                .iter()
                .flat_map(|one| in_namespace(&layout.namespace_file(*one))),
        );
        left.retain(|process| process.is_alive());
        if left.is_empty() {
            break;
        }
        kill_all("the cluster's processes to end", &left)?;
    }
    let mounted = layout.mounted();
    unmount_below(&mounted)?;
    // A namespace goes some time after its last process: until then its link is there.
    let links = members.iter().map(|member| layout.link(*member));
    for link in links.chain([layout.bridge()]) {
        if Path::new("/sys/class/net").join(&link).exists() {
            run("ip", &["link", "delete", &link], "")?;
        }
    }
    for member in members {
        if layout.namespace_file(member).exists() {
            run("ip", &["netns", "delete", &layout.namespace(member)], "")?;
        }
    }
    groups::remove(&group)?;
    run("nft", &["-f", "-"], &without_table(layout))?;
    if mounted.exists() {
        std::fs::remove_dir(&mounted)
            .with_context(|| format!("cannot remove {}", mounted.display()))?;
    }
    remove_fixed()
}

/// Removes the folders under which nodes saw their own, if nobody has anything there.
fn remove_fixed() -> anyhow::Result<()> {
    let _lock = FolderLock::acquire(&claim::folder())?;
    let mut clusters = (0..CLUSTERS).map(|number| Layout { number });
    // The folder of a mount that only another namespace sees can be removed, and the mount goes with it.
    if !clusters.any(|other| other.mounted().exists()) {
        for fixed in FIXED {
            let _ = std::fs::remove_dir(fixed);
        }
    }
    Ok(())
}

/// Processes whose network namespace this is.
fn in_namespace(file: &Path) -> Vec<Process> {
    let Ok(namespace) = std::fs::metadata(file) else {
        return Vec::new();
    };
    let is_in = |pid: &i32| {
        let own = std::fs::metadata(format!("/proc/{pid}/ns/net"));
        own.is_ok_and(|own| own.ino() == namespace.ino() && own.dev() == namespace.dev())
    };
    pids().filter(is_in).filter_map(Process::of_pid).collect()
}

/// Unmounts a folder and all below it, the deepest first.
fn unmount_below(folder: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string("/proc/self/mountinfo")?;
    let mut mounts: Vec<PathBuf> = text
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(PathBuf::from)
        .filter(|mount| mount.starts_with(folder))
        .collect();
    // What was mounted later lies above.
    mounts.reverse();
    mounts.sort_by_key(|mount| std::cmp::Reverse(mount.components().count()));
    for mount in mounts {
        run("umount", &["--lazy", &mount.display().to_string()], "")?;
    }
    Ok(())
}

/// Runs a command with this input.
///
/// # Errors
/// It cannot be run, or failed: what it said.
pub fn run(program: &str, arguments: &[&str], input: &str) -> anyhow::Result<()> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{program} cannot be run"))?;
    if let Some(mut pipe) = child.stdin.take() {
        // One that ends before it has read all says why itself.
        let _ = pipe.write_all(input.as_bytes());
    }
    let output = child.wait_with_output()?;
    ensure!(
        output.status.success(),
        "{program} {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
