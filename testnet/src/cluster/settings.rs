//! The files that a cluster's programs read: certificates, kubeconfigs, and the settings that no flag takes.

use super::certificates::{Authority, Identity, signing_keys};
use super::host;
use super::layout::{API_SERVICES, DNS, Layout, Member};
use super::programs::{HEALTH_KUBELET, LOCAL_PATH_CONFIG, LOCAL_PATH_POD, POD_PIDS, Paths};
use super::record::Cluster;
use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::fs::Permissions;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// Those who speak to the API server: the name of their file, their own, and their group.
const CLIENTS: [(&str, &str, &[&str]); 7] = [
    ("admin", "admin", &["system:masters"]),
    ("controllers", "system:kube-controller-manager", &[]),
    ("scheduler", "system:kube-scheduler", &[]),
    ("proxy", "system:kube-proxy", &[]),
    ("felix", "welkin:felix", &[]),
    ("contour", "welkin:contour", &[]),
    ("local-path", "welkin:local-path", &[]),
];

/// Writes all files of a new cluster.
///
/// # Errors
/// The disk refuses, or the system gives no random numbers.
pub fn write(cluster: &Cluster) -> anyhow::Result<()> {
    let pki = cluster.folder.join("pki");
    std::fs::create_dir_all(&pki)?;
    std::fs::create_dir_all(cluster.folder.join("logs"))?;
    let authority = Authority::new(&cluster.name)?;
    put(&pki.join("ca.crt"), &authority.certificate())?;
    // Nobody asks on behalf of others, so nobody has a certificate of this one; Kubernetes' programs look for it.
    let nobody = Authority::new("nobody")?;
    put(&pki.join("front-proxy-ca.crt"), &nobody.certificate())?;
    let layout = cluster.layout();
    let kubeconfig =
        |identity: &Identity| kubeconfig(&layout.api(), &authority.certificate(), identity);
    for (file, name, groups) in CLIENTS {
        let identity = authority.client(name, groups)?;
        put(
            &pki.join(format!("{file}.kubeconfig")),
            &kubeconfig(&identity),
        )?;
        if file == "admin" {
            put(&cluster.kubeconfig(), &kubeconfig(&identity))?;
        }
    }
    write_api_server(&authority, layout, &pki)?;
    put(&cluster.folder.join("kubectl"), &kubectl(cluster))?;
    make_executable(&cluster.folder.join("kubectl"))?;
    for member in cluster.members() {
        let own = cluster.folder.join(member.name());
        std::fs::create_dir_all(&own)?;
        if member == Member::Control {
            let config = local_path(cluster).to_string();
            put(&own.join(LOCAL_PATH_CONFIG), &config)?;
            put(&own.join(LOCAL_PATH_POD), &local_path_pod().to_string())?;
            continue;
        }
        let name = member.name();
        let client = authority.client(&format!("system:node:{name}"), &["system:nodes"])?;
        put(
            &pki.join(format!("{name}.kubeconfig")),
            &kubeconfig(&client),
        )?;
        let (own4, own6) = layout.addresses(member);
        let server = authority.server(&name, &[&name], &[own4.into(), own6.into()])?;
        put_identity(&pki, &name, &server)?;
        let paths = Paths::new(layout, member);
        std::fs::create_dir_all(own.join("cni"))?;
        // containerd would let nobody in; root of a user namespace has to come through.
        std::fs::create_dir_all(own.join("containerd"))?;
        std::fs::set_permissions(own.join("containerd"), Permissions::from_mode(0o711))?;
        put(
            &own.join("kubelet.json"),
            &kubelet(layout, member, &paths).to_string(),
        )?;
        put(&own.join("containerd.toml"), &containerd(cluster, &paths))?;
        put(&own.join("runsc.toml"), RUNSC)?;
        put(
            &own.join("cni/10-welkin.conflist"),
            &cni(member, &paths).to_string(),
        )?;
    }
    Ok(())
}

fn write_api_server(authority: &Authority, layout: Layout, pki: &Path) -> anyhow::Result<()> {
    let names = [
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ];
    let (own4, own6) = layout.addresses(Member::Control);
    let mut addresses: Vec<IpAddr> = vec![
        own4.into(),
        own6.into(),
        Ipv4Addr::LOCALHOST.into(),
        Ipv6Addr::LOCALHOST.into(),
    ];
    for service in API_SERVICES {
        addresses.push(service.parse().context("the API server's service")?);
    }
    let server = authority.server("kube-apiserver", &names, &addresses)?;
    put_identity(pki, "api-server", &server)?;
    // Whom kubelets let in, for exec and logs.
    let client = authority.client("kube-apiserver-kubelet-client", &["system:masters"])?;
    put_identity(pki, "api-server-client", &client)?;
    let keys = signing_keys()?;
    put(&pki.join("service-accounts.key"), &keys.private)?;
    put(&pki.join("service-accounts.pub"), &keys.public)
}

/// Writes a file that only its owner reads.
fn put(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let opened = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path);
    let written = opened.and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()));
    written.with_context(|| format!("cannot write {}", path.display()))
}

fn make_executable(path: &Path) -> anyhow::Result<()> {
    std::fs::set_permissions(path, Permissions::from_mode(0o700))?;
    Ok(())
}

fn put_identity(pki: &Path, name: &str, identity: &Identity) -> anyhow::Result<()> {
    put(&pki.join(format!("{name}.crt")), &identity.certificate)?;
    put(&pki.join(format!("{name}.key")), &identity.key)
}

/// How somebody reaches the API server. JSON is YAML.
fn kubeconfig(api: &str, authority: &str, identity: &Identity) -> String {
    let base64 = |pem: &str| STANDARD.encode(pem);
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "welkin",
            "cluster": {"server": api, "certificate-authority-data": base64(authority)},
        }],
        "users": [{
            "name": "welkin",
            "user": {
                "client-certificate-data": base64(&identity.certificate),
                "client-key-data": base64(&identity.key),
            },
        }],
        "contexts": [{"name": "welkin", "context": {"cluster": "welkin", "user": "welkin"}}],
        "current-context": "welkin",
    });
    config.to_string()
}

/// `kubectl` for people.
fn kubectl(cluster: &Cluster) -> String {
    let quoted = |path: &Path| path.display().to_string().replace('\'', r"'\''");
    format!(
        "#!/bin/sh\nKUBECONFIG='{}' KUBECACHEDIR='{}' exec '{}' kubectl \"$@\"\n",
        quoted(&cluster.kubeconfig()),
        quoted(&cluster.folder.join("kubectl-cache")),
        quoted(&cluster.program("control-plane")),
    )
}

fn kubelet(layout: Layout, member: Member, paths: &Paths) -> Value {
    let name = member.name();
    let (own4, _) = layout.addresses(member);
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": own4.to_string(),
        "healthzBindAddress": own4.to_string(),
        "healthzPort": HEALTH_KUBELET,
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": paths.pki("ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": paths.pki(&format!("{name}.crt")),
        "tlsPrivateKeyFile": paths.pki(&format!("{name}.key")),
        "containerRuntimeEndpoint": format!("unix://{}", paths.own("containerd.sock")),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}/{name}", layout.name()),
        "failCgroupV1": false,
        "failSwapOn": false,
        // Without CAP_SYS_RESOURCE nobody may lower it.
        "oomScoreAdj": 0,
        "seccompDefault": true,
        "podPidsLimit": POD_PIDS,
        "podLogsDir": paths.own("pod-logs"),
        "volumePluginDir": paths.own("volume-plugins"),
        "resolvConf": paths.own(host::RESOLVER),
        "clusterDNS": [DNS],
        "clusterDomain": "cluster.local",
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1%",
        },
        // Images are loaded, not pulled: what went would not come back.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        // It says four times in this time that it lives; the controller manager waits 15 s for it.
        "nodeLeaseDurationSeconds": 12,
        "shutdownGracePeriod": "0s",
        "enableProfilingHandler": false,
    })
}

const RUNSC: &str = "[runsc_config]\nplatform = \"systrap\"\nnetwork = \"sandbox\"\n";

fn containerd(cluster: &Cluster, paths: &Paths) -> String {
    let programs = cluster.programs.join("bin");
    let programs = programs.display();
    let own = |file: &str| paths.own(file);
    format!(
        r#"version = 3
root = "{root}"
state = "{state}"
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.erofs"]
[grpc]
address = "{socket}"
[debug]
level = "warn"
[plugins."io.containerd.internal.v1.opt"]
path = "{opt}"
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{PAUSE}"
[plugins."io.containerd.cri.v1.runtime"]
# None of these rights is there inside many containers.
restrict_oom_score_adj = true
disable_apparmor = true
# What a killed engine leaves then lies in its folder.
netns_mounts_under_state_dir = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{programs}", "/usr/lib/cni", "/opt/cni/bin"]
conf_dir = "{cni}"
[plugins."io.containerd.cri.v1.runtime".containerd]
default_runtime_name = "runc"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = "{programs}/runc"
Root = "{runc}"
SystemdCgroup = false
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.gvisor]
runtime_type = "io.containerd.runsc.v1"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.gvisor.options]
TypeUrl = "io.containerd.runsc.v1.options"
ConfigPath = "{runsc}"
"#,
        root = own("containerd/root"),
        state = own("containerd/state"),
        socket = own("containerd.sock"),
        opt = own("containerd/opt"),
        cni = own("cni"),
        runc = own("containerd/runc"),
        runsc = own("runsc.toml"),
    )
}

/// Where volumes are, and what makes and removes their folders.
fn local_path(cluster: &Cluster) -> Value {
    let members = cluster.members().into_iter();
    let nodes = members.filter(|member| *member != Member::Control);
    let paths = nodes.map(|member| {
        let volumes = Paths::new(cluster.layout(), member).own("volumes");
        json!({"node": member.name(), "paths": [volumes]})
    });
    let paths: Vec<Value> = paths.collect();
    json!({"nodePathMap": paths, "setupCommand": "/volume", "teardownCommand": "/volume"})
}

fn local_path_pod() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "helper-pod"},
        "spec": {
            "priorityClassName": "system-node-critical",
            "containers": [{
                "name": "helper-pod",
                "image": "welkin.local/volume:1",
                "imagePullPolicy": "Never",
            }],
        },
    })
}

/// The image of the process that holds a pod's namespaces.
pub const PAUSE: &str = "welkin.local/pause:1";

fn cni(member: Member, paths: &Paths) -> Value {
    let ranges: Vec<Value> = member
        .pods()
        .iter()
        .flatten()
        .map(|range| json!([{"subnet": range}]))
        .collect();
    json!({
        "cniVersion": "1.0.0",
        "name": "welkin",
        "plugins": [
            {
                "type": "calico",
                "log_level": "error",
                "log_file_path": paths.own("cni.log"),
                "datastore_type": "kubernetes",
                "nodename": member.name(),
                // Else it wants to read it in /var/lib/calico as well.
                "nodename_file_optional": true,
                "mtu": 1500,
                "ipam": {
                    "type": "host-local",
                    "dataDir": paths.own("cni-addresses"),
                    "ranges": ranges,
                    "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
                },
                "policy": {"type": "k8s"},
                "kubernetes": {"kubeconfig": paths.pki("felix.kubeconfig")},
            },
            {"type": "portmap", "snat": true, "capabilities": {"portMappings": true}},
        ],
    })
}
