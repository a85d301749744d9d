//! From lease networks to the text that `nft -f` reads.

use std::fmt::Write;
use std::net::IpAddr;

use super::Subnet;

/// Ranges of IPv4 that no lease reaches (RFC 6890 and what providers keep private).
pub const FORBIDDEN_IPV4: [&str; 11] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/4",
    "240.0.0.0/4",
];

/// Ranges of IPv6 that no lease reaches, among them those that carry an IPv4 address inside.
pub const FORBIDDEN_IPV6: [&str; 8] = [
    "::/127",
    "::ffff:0:0/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "2002::/16",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
];

/// The network of one lease, as the engine made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseNetwork {
    /// Its ranges: one of IPv4, perhaps one of IPv6.
    pub subnets: Vec<Subnet>,
    /// The host's addresses in it, where the resolver listens.
    pub gateways: Vec<IpAddr>,
}

/// The script that replaces table `inet TABLE` by one for these networks.
pub fn ruleset(table: &str, networks: &[LeaseNetwork]) -> String {
    let mut subnets: Vec<Subnet> = networks
        .iter()
        .flat_map(|network| network.subnets.iter().copied())
        .collect();
    subnets.sort();
    subnets.dedup();
    let (ipv4, ipv6): (Vec<Subnet>, Vec<Subnet>) = subnets.iter().partition(|s| s.is_ipv4());

    let mut text = String::new();
    // The first line makes the table where there is none, so that deleting it never fails.
    let _ = write!(
        text,
        "table inet {table}\ndelete table inet {table}\ntable inet {table} {{\n"
    );
    set(&mut text, "leases_ipv4", "ipv4_addr", &ipv4);
    set(&mut text, "leases_ipv6", "ipv6_addr", &ipv6);
    set(&mut text, "forbidden_ipv4", "ipv4_addr", &FORBIDDEN_IPV4);
    set(&mut text, "forbidden_ipv6", "ipv6_addr", &FORBIDDEN_IPV6);

    hooks(&mut text);
    lease_to_host(&mut text, networks);
    lease_to_world(&mut text, &subnets);
    world_to_lease(&mut text, &subnets);
    text.push_str("}\n");
    text
}

/// Where the kernel enters: packets of leases and for leases go to the chains below, all others pass.
fn hooks(text: &mut String) {
    chain(
        text,
        "input",
        "type filter hook input priority filter - 10; policy accept;",
    );
    text.push_str("    ip saddr @leases_ipv4 jump lease_to_host\n");
    text.push_str("    ip6 saddr @leases_ipv6 jump lease_to_host\n  }\n");

    chain(
        text,
        "forward",
        "type filter hook forward priority filter - 10; policy accept;",
    );
    text.push_str("    ip saddr @leases_ipv4 jump lease_to_world\n");
    text.push_str("    ip6 saddr @leases_ipv6 jump lease_to_world\n");
    text.push_str("    ip daddr @leases_ipv4 jump world_to_lease\n");
    text.push_str("    ip6 daddr @leases_ipv6 jump world_to_lease\n  }\n");
}

/// A lease reaches the resolver at its own gateway, and nothing else of the host.
fn lease_to_host(text: &mut String, networks: &[LeaseNetwork]) {
    chain(text, "lease_to_host", "");
    text.push_str("    ct state established,related return\n");
    for network in networks {
        for gateway in &network.gateways {
            let Some(subnet) = network
                .subnets
                .iter()
                .find(|subnet| subnet.is_ipv4() == gateway.is_ipv4())
            else {
                continue;
            };
            let family = family(gateway.is_ipv4());
            let _ = writeln!(
                text,
                "    {family} saddr {subnet} {family} daddr {gateway} meta l4proto {{ tcp, udp }} th dport 53 return"
            );
        }
    }
    // Neighbour discovery, without which IPv6 does not work at all.
    text.push_str("    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } return\n");
    text.push_str("    counter drop\n  }\n");
}

/// A lease reaches its own network and the internet, and no other lease and nothing private.
fn lease_to_world(text: &mut String, subnets: &[Subnet]) {
    chain(text, "lease_to_world", "");
    text.push_str("    ct state established,related return\n");
    within_itself(text, subnets);
    text.push_str("    ip daddr @leases_ipv4 counter drop\n");
    text.push_str("    ip6 daddr @leases_ipv6 counter drop\n");
    text.push_str("    ip daddr @forbidden_ipv4 counter drop\n");
    text.push_str("    ip6 daddr @forbidden_ipv6 counter drop\n  }\n");
}

/// The world reaches a lease through the host's ingress only, whose packets are not forwarded ones.
fn world_to_lease(text: &mut String, subnets: &[Subnet]) {
    chain(text, "world_to_lease", "");
    text.push_str("    ct state established,related return\n");
    within_itself(text, subnets);
    text.push_str("    counter drop\n  }\n");
}

fn within_itself(text: &mut String, subnets: &[Subnet]) {
    for subnet in subnets {
        let family = family(subnet.is_ipv4());
        let _ = writeln!(
            text,
            "    {family} saddr {subnet} {family} daddr {subnet} return"
        );
    }
}

fn family(is_ipv4: bool) -> &'static str {
    if is_ipv4 { "ip" } else { "ip6" }
}

fn set(text: &mut String, name: &str, kind: &str, ranges: &[impl std::fmt::Display]) {
    let _ = write!(
        text,
        "  set {name} {{\n    type {kind}\n    flags interval\n    auto-merge\n"
    );
    if !ranges.is_empty() {
        let ranges: Vec<String> = ranges.iter().map(|range| range.to_string()).collect();
        let _ = writeln!(text, "    elements = {{ {} }}", ranges.join(", "));
    }
    text.push_str("  }\n");
}

fn chain(text: &mut String, name: &str, hook: &str) {
    let _ = writeln!(text, "  chain {name} {{");
    if !hook.is_empty() {
        let _ = writeln!(text, "    {hook}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(subnets: &[&str], gateways: &[&str]) -> LeaseNetwork {
        LeaseNetwork {
            subnets: subnets.iter().map(|text| text.parse().unwrap()).collect(),
            gateways: gateways.iter().map(|text| text.parse().unwrap()).collect(),
        }
    }

    fn two_leases() -> [LeaseNetwork; 2] {
        [
            network(&["10.89.0.0/24"], &["10.89.0.1"]),
            network(&["10.89.1.0/24", "fd12::/64"], &["10.89.1.1", "fd12::1"]),
        ]
    }

    #[test]
    fn the_text_is_the_one_in_the_golden_file() {
        let expected = include_str!("golden/two_leases.nft");
        let actual = ruleset("welkin_0123456789ab", &two_leases());
        assert_eq!(
            actual, expected,
            "if this change is meant, replace the golden file:\n{actual}"
        );
    }

    #[test]
    fn nft_understands_it_with_and_without_leases() {
        for networks in [&two_leases()[..], &[]] {
            let mut nft = std::process::Command::new("nft");
            nft.args(["--check", "-f", "-"])
                .stdin(std::process::Stdio::piped());
            let Ok(mut child) = nft.stderr(std::process::Stdio::piped()).spawn() else {
                assert!(
                    std::env::var("CI").as_deref() != Ok("true"),
                    "nft is missing"
                );
                println!("left out: nft is not installed");
                return;
            };
            let script = ruleset("welkin_check", networks);
            std::io::Write::write_all(&mut child.stdin.take().unwrap(), script.as_bytes()).unwrap();
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            // Without CAP_NET_ADMIN even a check is refused; then only its grammar was looked at.
            assert!(
                output.status.success() || said.contains("not permitted"),
                "{said}\n{script}"
            );
        }
    }
}
