//! What follows from a cluster's number: its addresses, and the names of what it has on the host.
//!
//! ```text
//!   host ── bridge wlkN, 198.18.N.1, fd18:0:0:N::1
//!             ├── control  198.18.N.2   etcd, API server, controllers, scheduler, Contour, Envoy
//!             ├── node-0   198.18.N.3   containerd, Felix, kube-proxy, kubelet; pods 10.244.0.0/24, fd44::/64
//!             └── node-1   198.18.N.4   the same;                              pods 10.244.1.0/24, fd44:0:0:1::/64
//! ```
//!
//! The control plane has a network namespace of its own: what pods want of it, and what the ingress wants of pods, then
//! passes a node's policies as it does in a real cluster, where a pod's own node is always let through. Pods and services
//! have the same ranges in every cluster, since no two see each other.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

/// How many clusters there can be on a machine.
pub const CLUSTERS: u8 = 27;
/// Node ports of one cluster.
pub const NODE_PORTS: u16 = 100;
/// The range of all services, of both families.
pub const SERVICES: &str = "10.96.0.0/16,fd96::/112";
/// The range of all pods, of both families.
pub const PODS: &str = "10.244.0.0/16,fd44::/48";
/// The API server's own service.
pub const API_SERVICES: [&str; 2] = ["10.96.0.1", "fd96::1"];
/// Where pods ask for names.
pub const DNS: &str = "10.96.0.10";
/// Where the API server answers.
pub const API_PORT: u16 = 6443;
/// The highest node port that Kubernetes has by default, and one more.
const NODE_PORTS_END: u16 = 32_768;
/// Ports on the host's loopback address under which clusters' ingress answers lie below those of networks.
const HTTP: u16 = 11_900;

/// A cluster's place on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Its number, below [`CLUSTERS`].
    pub number: u8,
}

/// A part of a cluster that has a network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member {
    /// The control plane, with the ingress.
    Control,
    /// The node with this index.
    Node(u8),
}

impl Member {
    /// The control plane and this many nodes.
    pub fn all(nodes: u8) -> Vec<Member> {
        let nodes = (0..nodes).map(Member::Node);
        [Member::Control].into_iter().chain(nodes).collect()
    }

    /// `control`, `node-0`.
    pub fn name(self) -> String {
        match self {
            Member::Control => "control".to_owned(),
            Member::Node(index) => format!("node-{index}"),
        }
    }

    /// The range of its pods, if it has any.
    pub fn pods(self) -> Option<[String; 2]> {
        match self {
            Member::Control => None,
            Member::Node(index) => Some([
                format!("10.244.{index}.0/24"),
                format!(
                    "{}/64",
                    Ipv6Addr::new(0xfd44, 0, 0, index.into(), 0, 0, 0, 0)
                ),
            ]),
        }
    }

    fn host(self) -> u8 {
        match self {
            Member::Control => 2,
            Member::Node(index) => 3 + index,
        }
    }
}

impl Layout {
    /// The bridge on the host.
    pub fn bridge(self) -> String {
        format!("wlk{}", self.number)
    }

    /// The host's end of a member's link.
    pub fn link(self, member: Member) -> String {
        format!("wlk{}m{}", self.number, member.host())
    }

    /// A member's network namespace.
    pub fn namespace(self, member: Member) -> String {
        format!("{}-{}", self.name(), member.name())
    }

    /// Where the system lists that namespace.
    pub fn namespace_file(self, member: Member) -> PathBuf {
        PathBuf::from("/run/netns").join(self.namespace(member))
    }

    /// What its control group is called, below the root of each hierarchy.
    pub fn name(self) -> String {
        format!("welkin-k8s-{}", self.number)
    }

    /// Its `nft` table on the host.
    pub fn table(self) -> String {
        format!("welkin_k8s_{}", self.number)
    }

    /// Its folder, mounted under a name that is short enough for the paths of sockets, which have 107 bytes.
    pub fn mounted(self) -> PathBuf {
        PathBuf::from("/run").join(self.name())
    }

    /// The host's address in it.
    pub fn gateway(self) -> (Ipv4Addr, Ipv6Addr) {
        self.address(1)
    }

    /// A member's addresses.
    pub fn addresses(self, member: Member) -> (Ipv4Addr, Ipv6Addr) {
        self.address(member.host())
    }

    /// The ranges of its members' addresses, one of each family.
    pub fn ranges(self) -> [String; 2] {
        let (own4, own6) = self.address(0);
        [format!("{own4}/24"), format!("{own6}/64")]
    }

    fn address(self, host: u8) -> (Ipv4Addr, Ipv6Addr) {
        let (number, host6) = (self.number.into(), host.into());
        (
            Ipv4Addr::new(198, 18, self.number, host),
            Ipv6Addr::new(0xfd18, 0, 0, number, 0, 0, 0, host6),
        )
    }

    /// The first and the last node port: from the top, since container networks take theirs from the bottom.
    pub fn node_ports(self) -> (u16, u16) {
        let first = NODE_PORTS_END - NODE_PORTS * (u16::from(self.number) + 1);
        (first, first + NODE_PORTS - 1)
    }

    /// The port on the host's loopback address that leads to the ingress.
    pub fn http_port(self) -> u16 {
        HTTP + u16::from(self.number)
    }

    /// The URL of the API server.
    pub fn api(self) -> String {
        format!("https://{}:{API_PORT}", self.addresses(Member::Control).0)
    }

    /// What the host's `ip` makes the bridge and the namespaces from, a command a line.
    pub fn host_commands(self, members: &[Member]) -> String {
        let bridge = self.bridge();
        let (gateway4, gateway6) = self.gateway();
        let mut text = format!(
            "link add {bridge} type bridge\naddr add {gateway4}/24 dev {bridge}\n\
             addr add {gateway6}/64 dev {bridge} nodad\nlink set {bridge} up\n"
        );
        for member in members {
            let (link, namespace) = (self.link(*member), self.namespace(*member));
            text.push_str(&format!(
                "link add {link} type veth peer name eth0 netns {namespace}\n\
                 link set {link} master {bridge}\nlink set {link} up\n"
            ));
        }
        text
    }

    /// What `ip` does in a member's namespace.
    pub fn member_commands(self, member: Member, members: &[Member]) -> String {
        let ((own4, own6), (gateway4, gateway6)) = (self.addresses(member), self.gateway());
        let mut text = format!(
            "link set lo up\naddr add {own4}/24 dev eth0\naddr add {own6}/64 dev eth0 nodad\n\
             link set eth0 up\nroute add default via {gateway4}\nroute add default via {gateway6}\n"
        );
        for other in members.iter().filter(|other| **other != member) {
            let Some([pods4, pods6]) = other.pods() else {
                continue;
            };
            let (via4, via6) = self.addresses(*other);
            text.push_str(&format!(
                "route add {pods4} via {via4}\nroute add {pods6} via {via6}\n"
            ));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_clusters_share_a_port_and_all_lie_where_kubernetes_has_them() {
        let mut ports: Vec<u16> = Vec::new();
        for number in 0..CLUSTERS {
            let (first, last) = Layout { number }.node_ports();
            ports.extend(first..=last);
            ports.push(Layout { number }.http_port());
        }
        let count = ports.len();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), count);
        assert!(
            ports
                .iter()
                .all(|port| *port < 12_000 || (30_000..32_768).contains(port))
        );
    }

    #[test]
    fn names_of_links_are_as_short_as_the_kernel_wants_them() {
        let layout = Layout {
            number: CLUSTERS - 1,
        };
        assert!(layout.link(Member::Node(1)).len() < 16);
        assert!(layout.bridge().len() < 16);
    }

    #[test]
    fn every_member_reaches_the_pods_of_every_other_node_and_none_its_own_over_a_gateway() {
        let (layout, members) = (Layout { number: 3 }, Member::all(2));
        let control = layout.member_commands(Member::Control, &members);
        assert!(control.contains("route add 10.244.0.0/24 via 198.18.3.3\n"));
        assert!(control.contains("route add fd44:0:0:1::/64 via fd18:0:0:3::4\n"));
        let node = layout.member_commands(Member::Node(1), &members);
        assert!(node.contains("route add fd44::/64 via fd18:0:0:3::3\n"));
        assert!(!node.contains("10.244.1.0/24"));
    }
}
