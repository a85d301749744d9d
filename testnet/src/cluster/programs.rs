//! Every program of a cluster, with its arguments: pure. What they read besides is in `settings`.

use super::layout::{API_PORT, Layout, Member, PODS, SERVICES};
use super::record::Cluster;
use crate::network::process::Start;
use std::path::{Path, PathBuf};

/// What the kubelet gives a workload's pod at most of processes.
pub const POD_PIDS: u32 = 1024;
/// Where a kubelet, kube-proxy, Felix and Contour answer about their health, without TLS.
pub const HEALTH_KUBELET: u16 = 10_248;
/// Felix.
pub const HEALTH_FELIX: u16 = 9_099;
/// etcd, with its metrics.
pub const HEALTH_ETCD: u16 = 2_381;

/// Envoy.
pub const HEALTH_ENVOY: u16 = 8_002;
/// Where Contour tells Envoy what to do.
pub const XDS: u16 = 8_001;
/// Where volumes are, in the control plane's folder.
pub const LOCAL_PATH_CONFIG: &str = "local-path.json";
/// The pod that makes a volume's folder on a node.
pub const LOCAL_PATH_POD: &str = "local-path-pod.json";
/// A node's mount namespace, in its folder.
pub const MOUNTS: &str = "mounts";
/// What Envoy is started with, in the control plane's folder.
pub const ENVOY_CONFIG: &str = "envoy.json";

/// A program that runs as long as the cluster does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its name among the processes: `control-etcd`, `node-0-kubelet`.
    pub name: String,
    /// In whose namespace it runs.
    pub member: Member,
    binary: &'static str,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
}

/// Paths of a member's files, under the short name that the cluster's folder is mounted under.
#[derive(Clone, Debug)]
pub struct Paths {
    root: PathBuf,
    member: Member,
}

impl Paths {
    /// Of a member.
    pub fn new(layout: Layout, member: Member) -> Paths {
        Paths {
            root: layout.mounted(),
            member,
        }
    }

    /// A certificate or key.
    pub fn pki(&self, file: &str) -> String {
        self.root.join("pki").join(file).display().to_string()
    }

    /// A file or folder of the member's own.
    pub fn own(&self, file: &str) -> String {
        let own = self.root.join(self.member.name()).join(file);
        own.display().to_string()
    }
}

/// The programs of a member, in the order in which they are started.
pub fn of(cluster: &Cluster, member: Member) -> Vec<Program> {
    let layout = cluster.layout();
    let paths = Paths::new(layout, member);
    match member {
        Member::Control => control_plane(layout, &paths),
        Member::Node(_) => node(cluster, member, &paths),
    }
}

/// The programs of all members.
pub fn all(cluster: &Cluster) -> Vec<Program> {
    let members = cluster.members().into_iter();
    members.flat_map(|member| of(cluster, member)).collect()
}

impl Program {
    fn new(member: Member, binary: &'static str, name: &str, arguments: Vec<String>) -> Program {
        Program {
            name: format!("{}-{name}", member.name()),
            member,
            binary,
            arguments,
            variables: Vec::new(),
        }
    }

    /// One of those that are linked into the one binary.
    fn kubernetes(member: Member, name: &str, flags: &[(&str, String)]) -> Program {
        let flags = flags
            .iter()
            .map(|(flag, value)| format!("--{flag}={value}"));
        let arguments = [name.to_owned()].into_iter().chain(flags).collect();
        Program::new(member, "control-plane", name, arguments)
    }

    /// How it is started: in the cluster's control group, and in its member's namespaces.
    pub fn start(&self, cluster: &Cluster, groups: &[PathBuf]) -> Start {
        // The program keeps the number that this shell has. Not `ip netns exec`, which hides the control groups.
        let script = "set -e; while [ \"$1\" != -- ]; do echo $$ > \"$1/cgroup.procs\"; shift; done; \
                      shift; exec nsenter \"$@\"";
        let text = |path: &Path| path.display().to_string();
        let mut arguments = vec!["-c".to_owned(), script.to_owned(), "sh".to_owned()];
        arguments.extend(groups.iter().map(|group| text(group)));
        arguments.push("--".to_owned());
        arguments.extend(namespaces(cluster.layout(), self.member));
        arguments.extend(["--".to_owned(), text(&cluster.program(self.binary))]);
        arguments.extend(self.arguments.iter().cloned());
        Start {
            program: "sh".into(),
            arguments,
            variables: self.variables.clone(),
            log: cluster.log(&self.name),
        }
    }
}

/// How `nsenter` gets into a member.
pub fn namespaces(layout: Layout, member: Member) -> Vec<String> {
    let net = format!("--net={}", layout.namespace_file(member).display());
    let mounts = Paths::new(layout, member).own(MOUNTS);
    match member {
        Member::Control => vec![net],
        Member::Node(_) => vec![net, format!("--mount={mounts}")],
    }
}

fn control_plane(layout: Layout, paths: &Paths) -> Vec<Program> {
    vec![
        etcd(layout, paths),
        api_server(layout, paths),
        controllers(paths),
        scheduler(paths),
        contour(paths),
        envoy(paths),
        local_path(paths),
    ]
}

fn etcd(layout: Layout, paths: &Paths) -> Program {
    let (own4, _) = layout.addresses(Member::Control);
    let flags = [
        ("name", "etcd".to_owned()),
        ("data-dir", paths.own("etcd")),
        // Nobody else is in this namespace.
        ("listen-client-urls", "http://127.0.0.1:2379".to_owned()),
        ("advertise-client-urls", "http://127.0.0.1:2379".to_owned()),
        ("listen-peer-urls", "http://127.0.0.1:2380".to_owned()),
        (
            "listen-metrics-urls",
            format!("http://{own4}:{HEALTH_ETCD}"),
        ),
        // Clusters are thrown away when the machine fails.
        ("unsafe-no-fsync", "true".to_owned()),
        ("log-level", "warn".to_owned()),
    ];
    Program::kubernetes(Member::Control, "etcd", &flags)
}

fn api_server(layout: Layout, paths: &Paths) -> Program {
    let (own4, _) = layout.addresses(Member::Control);
    let (first, last) = layout.node_ports();
    let flags = [
        ("etcd-servers", "http://127.0.0.1:2379".to_owned()),
        ("advertise-address", own4.to_string()),
        ("secure-port", API_PORT.to_string()),
        ("authorization-mode", "Node,RBAC".to_owned()),
        ("enable-admission-plugins", "NodeRestriction".to_owned()),
        ("anonymous-auth", "false".to_owned()),
        ("client-ca-file", paths.pki("ca.crt")),
        (
            "requestheader-client-ca-file",
            paths.pki("front-proxy-ca.crt"),
        ),
        ("tls-cert-file", paths.pki("api-server.crt")),
        ("tls-private-key-file", paths.pki("api-server.key")),
        ("kubelet-certificate-authority", paths.pki("ca.crt")),
        (
            "kubelet-client-certificate",
            paths.pki("api-server-client.crt"),
        ),
        ("kubelet-client-key", paths.pki("api-server-client.key")),
        // Else exec and logs look a node's name up in DNS.
        ("kubelet-preferred-address-types", "InternalIP".to_owned()),
        (
            "service-account-issuer",
            "https://kubernetes.default.svc".to_owned(),
        ),
        (
            "service-account-key-file",
            paths.pki("service-accounts.pub"),
        ),
        (
            "service-account-signing-key-file",
            paths.pki("service-accounts.key"),
        ),
        ("service-cluster-ip-range", SERVICES.to_owned()),
        ("service-node-port-range", format!("{first}-{last}")),
        ("allow-privileged", "true".to_owned()),
        ("profiling", "false".to_owned()),
    ];
    Program::kubernetes(Member::Control, "kube-apiserver", &flags)
}

fn controllers(paths: &Paths) -> Program {
    let flags = [
        ("kubeconfig", paths.pki("controllers.kubeconfig")),
        (
            "authentication-kubeconfig",
            paths.pki("controllers.kubeconfig"),
        ),
        (
            "authorization-kubeconfig",
            paths.pki("controllers.kubeconfig"),
        ),
        ("root-ca-file", paths.pki("ca.crt")),
        (
            "service-account-private-key-file",
            paths.pki("service-accounts.key"),
        ),
        ("use-service-account-credentials", "true".to_owned()),
        // Each of its controllers asks for credentials when it starts, and would wait for its turn.
        ("kube-api-qps", "200".to_owned()),
        ("kube-api-burst", "400".to_owned()),
        ("leader-elect", "false".to_owned()),
        // A lost node's pods are to be elsewhere within a minute.
        ("node-monitor-grace-period", "15s".to_owned()),
        ("node-monitor-period", "2s".to_owned()),
        ("profiling", "false".to_owned()),
    ];
    Program::kubernetes(Member::Control, "kube-controller-manager", &flags)
}

fn scheduler(paths: &Paths) -> Program {
    let flags = [
        ("kubeconfig", paths.pki("scheduler.kubeconfig")),
        (
            "authentication-kubeconfig",
            paths.pki("scheduler.kubeconfig"),
        ),
        (
            "authorization-kubeconfig",
            paths.pki("scheduler.kubeconfig"),
        ),
        ("leader-elect", "false".to_owned()),
        ("profiling", "false".to_owned()),
    ];
    Program::kubernetes(Member::Control, "kube-scheduler", &flags)
}

/// Reads Ingresses, and tells Envoy what to do.
fn contour(paths: &Paths) -> Program {
    let flags = [
        ("kubeconfig", paths.pki("contour.kubeconfig")),
        ("config-path", "/dev/null".to_owned()),
        ("xds-address", "127.0.0.1".to_owned()),
        ("xds-port", XDS.to_string()),
        ("envoy-service-http-address", "0.0.0.0".to_owned()),
        ("envoy-service-http-port", "80".to_owned()),
        ("envoy-service-https-address", "0.0.0.0".to_owned()),
        ("envoy-service-https-port", "443".to_owned()),
        ("envoy-http-access-log", "/dev/null".to_owned()),
        ("envoy-https-access-log", "/dev/null".to_owned()),
        ("stats-port", HEALTH_ENVOY.to_string()),
        ("ingress-class-name", "contour".to_owned()),
        // Browsers on this machine reach it through the forwarder.
        ("ingress-status-address", "127.0.0.1".to_owned()),
    ];
    let flags = flags
        .iter()
        .map(|(flag, value)| format!("--{flag}={value}"));
    // Nobody else is in this namespace, and there is one of it.
    let words = ["serve", "--insecure", "--disable-leader-election"].map(str::to_owned);
    let arguments = words.into_iter().chain(flags).collect();
    Program::new(Member::Control, "contour", "contour", arguments)
}

/// Makes volumes of nodes' folders.
fn local_path(paths: &Paths) -> Program {
    let arguments = [
        "start",
        "--kubeconfig",
        &paths.pki("local-path.kubeconfig"),
        "--config",
        &paths.own(LOCAL_PATH_CONFIG),
        "--helper-pod-file",
        &paths.own(LOCAL_PATH_POD),
        "--namespace",
        "local-path-storage",
        "--service-account-name",
        "default",
    ];
    let arguments = arguments.map(str::to_owned).to_vec();
    let binary = "local-path-provisioner";
    Program::new(Member::Control, binary, "local-path", arguments)
}

fn envoy(paths: &Paths) -> Program {
    let arguments = [
        "--config-path",
        &paths.own(ENVOY_CONFIG),
        "--service-cluster",
        "projectcontour",
        "--service-node",
        "control",
        "--log-level",
        "warning",
        // Its workers and hot restart are for machines that do nothing else.
        "--concurrency",
        "1",
        "--disable-hot-restart",
    ];
    let arguments = arguments.map(str::to_owned).to_vec();
    Program::new(Member::Control, "envoy", "envoy", arguments)
}

fn node(cluster: &Cluster, member: Member, paths: &Paths) -> Vec<Program> {
    let (own4, own6) = cluster.layout().addresses(member);
    let name = member.name();
    let kubeconfig = |who: &str| paths.pki(&format!("{who}.kubeconfig"));
    let proxy = [
        ("kubeconfig", kubeconfig("proxy")),
        ("hostname-override", name.clone()),
        ("proxy-mode", "nftables".to_owned()),
        // Writing that setting needs a right that containers do not have.
        ("conntrack-max-per-core", "0".to_owned()),
        ("cluster-cidr", PODS.to_owned()),
        ("nodeport-addresses", "primary".to_owned()),
    ];
    let kubelet = [
        ("config", paths.own("kubelet.json")),
        ("kubeconfig", kubeconfig(&name)),
        ("hostname-override", name.clone()),
        ("node-ip", format!("{own4},{own6}")),
        ("root-dir", paths.own("kubelet")),
        ("cert-dir", paths.own("kubelet/pki")),
    ];
    let containerd = vec!["--config".to_owned(), paths.own("containerd.toml")];
    let mut containerd = Program::new(member, "containerd", "containerd", containerd);
    // It finds its shims there.
    let path = std::env::var("PATH").unwrap_or_default();
    let programs = cluster.programs.join("bin");
    containerd.variables = vec![(
        "PATH".to_owned(),
        format!("{}:{path}:/usr/sbin:/sbin", programs.display()),
    )];
    let mut felix = Program::new(member, "felix", "felix", Vec::new());
    felix.variables = felix_variables(&name, own4.to_string(), kubeconfig("felix"));
    vec![
        containerd,
        Program::kubernetes(member, "kubelet", &kubelet),
        Program::kubernetes(member, "kube-proxy", &proxy),
        felix,
    ]
}

fn felix_variables(node: &str, address: String, kubeconfig: String) -> Vec<(String, String)> {
    let pairs = [
        ("FELIX_DATASTORETYPE", "kubernetes".to_owned()),
        ("KUBECONFIG", kubeconfig),
        ("FELIX_FELIXHOSTNAME", node.to_owned()),
        ("FELIX_IPINIPENABLED", "false".to_owned()),
        ("FELIX_BPFENABLED", "false".to_owned()),
        ("FELIX_XDPENABLED", "false".to_owned()),
        ("FELIX_IPV6SUPPORT", "true".to_owned()),
        ("FELIX_HEALTHENABLED", "true".to_owned()),
        ("FELIX_HEALTHHOST", address),
        ("FELIX_HEALTHPORT", HEALTH_FELIX.to_string()),
        ("FELIX_USAGEREPORTINGENABLED", "false".to_owned()),
        ("FELIX_LOGFILEPATH", "none".to_owned()),
        ("FELIX_LOGSEVERITYFILE", "none".to_owned()),
        ("FELIX_LOGSEVERITYSYS", "none".to_owned()),
        ("FELIX_LOGSEVERITYSCREEN", "warning".to_owned()),
    ];
    let pairs = pairs.into_iter();
    pairs
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
