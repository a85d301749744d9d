//! Which network has which ports.
//!
//! The network `default` has the usual ones where they are free; every other one a block of its own. Blocks are claimed.
//! Another program may take a port of a network that is down, so they are looked at again before it is started.

use super::claims;
use super::process::pids;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

pub use claims::release;

/// Blocks lie below the range from which Linux takes ports for outgoing connections (32768 to 60999).
const FIRST: u16 = 12_000;
const BLOCK: u16 = 200;
const BLOCKS: u16 = 70;

/// Ports for services of tenants that a provider of a block has.
const TENANT_PORTS: u16 = 25;

/// The ports of one network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ports {
    /// The usual ones: 26656, 26657, 26660, 8443.
    Usual,
    /// A block that begins at this port.
    Block(u16),
}

/// A validator's ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValidatorPorts {
    /// Peers.
    pub p2p: u16,
    /// JSON-RPC.
    pub rpc: u16,
    /// Prometheus.
    pub metrics: u16,
}

/// A port that a process of a network listens on, on the loopback address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Whose it is.
    pub owner: Owner,
    /// What answers there.
    pub what: &'static str,
    /// The port.
    pub port: u16,
    transport: Transport,
}

/// Which process of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The validator with this index.
    Validator(u16),
    /// The faucet.
    Faucet,
    /// The daemon of the provider with this index.
    Daemon(u16),
    /// Its ingress.
    Ingress(u16),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Tcp,
    Udp,
}

impl Listener {
    /// Whether nothing else listens there.
    pub fn is_free(&self) -> bool {
        let address = (Ipv4Addr::LOCALHOST, self.port);
        match self.transport {
            Transport::Tcp => TcpListener::bind(address).is_ok(),
            Transport::Udp => UdpSocket::bind(address).is_ok(),
        }
    }

    /// Who listens there instead, as far as this user may see it: `nc (process 7)`.
    pub fn holder(&self) -> Option<String> {
        let sockets = self.sockets();
        let of = |pid: &i32| -> Option<bool> {
            let open = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
            let mut links = open.flatten().flat_map(|fd| std::fs::read_link(fd.path()));
            Some(links.any(|link| sockets.iter().any(|socket| link == Path::new(socket))))
        };
        let pid = pids().find(|pid| of(pid) == Some(true))?;
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        Some(format!("{} (process {pid})", name.trim()))
    }

    /// What the system calls the sockets that are bound to the port: `socket:[INODE]`.
    fn sockets(&self) -> Vec<String> {
        // A connection of somebody who dialled from this port is no reason why nothing can listen there.
        let (tables, state) = match self.transport {
            Transport::Tcp => (["/proc/net/tcp", "/proc/net/tcp6"], "0A"),
            Transport::Udp => (["/proc/net/udp", "/proc/net/udp6"], "07"),
        };
        let port = format!(":{:04X}", self.port);
        let text = tables.map(|table| std::fs::read_to_string(table).unwrap_or_default());
        let rows = text.iter().flat_map(|text| text.lines());
        let inodes = rows.filter_map(|row| {
            let words: Vec<&str> = row.split_ascii_whitespace().collect();
            let is_it = words.get(1)?.ends_with(&port) && *words.get(3)? == state;
            words.get(9).copied().filter(|_| is_it)
        });
        inodes.map(|inode| format!("socket:[{inode}]")).collect()
    }
}

/// A provider's ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProviderPorts {
    /// The peer channel, TCP and UDP.
    pub channel: u16,
    /// The ingress' HTTP.
    pub http: u16,
    /// Prometheus.
    pub metrics: u16,
    /// The first port for services of tenants.
    pub first: u16,
    /// The last one.
    pub last: u16,
}

impl Ports {
    /// Of validator `index`.
    pub fn validator(self, index: u16) -> ValidatorPorts {
        let (base, index) = match self {
            Ports::Usual => (26_656, index * 10),
            Ports::Block(first) => (first, index * 10),
        };
        ValidatorPorts {
            p2p: base + index,
            rpc: base + index + 1,
            metrics: base + index + 4,
        }
    }

    /// Of provider `index`.
    pub fn provider(self, index: u16) -> ProviderPorts {
        match self {
            Ports::Usual => ProviderPorts {
                channel: 8_443 + index,
                http: 8_080 + index,
                metrics: 26_640 + index,
                first: 30_000 + 900 * index,
                last: 30_899 + 900 * index,
            },
            Ports::Block(first) => ProviderPorts {
                channel: first + 90 + 10 * index,
                http: first + 91 + 10 * index,
                metrics: first + 92 + 10 * index,
                first: first + 120 + TENANT_PORTS * index,
                last: first + 119 + TENANT_PORTS * (index + 1),
            },
        }
    }

    /// Of the faucet.
    pub fn faucet(self) -> u16 {
        match self {
            Ports::Usual => 26_650,
            Ports::Block(first) => first + 80,
        }
    }

    fn file(self) -> String {
        match self {
            Ports::Usual => "usual".to_owned(),
            Ports::Block(first) => first.to_string(),
        }
    }

    /// What a network of this size listens on once it is started; services of tenants come later.
    pub fn listeners(self, validators: u16, providers: u16) -> Vec<Listener> {
        let tcp = |owner, what, port| Listener {
            owner,
            what,
            port,
            transport: Transport::Tcp,
        };
        let validators = (0..validators).flat_map(|index| {
            let (owner, ports) = (Owner::Validator(index), self.validator(index));
            [
                tcp(owner, "peers", ports.p2p),
                tcp(owner, "RPC", ports.rpc),
                tcp(owner, "metrics", ports.metrics),
            ]
        });
        let providers = (0..providers).flat_map(|index| {
            let (owner, ports) = (Owner::Daemon(index), self.provider(index));
            let channel = tcp(owner, "peer channel", ports.channel);
            let quic = Listener {
                transport: Transport::Udp,
                ..channel
            };
            [
                channel,
                quic,
                tcp(owner, "metrics", ports.metrics),
                tcp(Owner::Ingress(index), "HTTP", ports.http),
            ]
        });
        let faucet = tcp(Owner::Faucet, "HTTP", self.faucet());
        validators.chain(providers).chain([faucet]).collect()
    }

    /// Whether nothing listens on the ports that the largest network would open at once.
    fn are_free(self) -> bool {
        self.listeners(7, 3).iter().all(Listener::is_free)
    }
}

/// The folder of claims of this user.
pub fn claims() -> PathBuf {
    claims::folder_of("ports")
}

/// Takes ports for a network that is to be built in `folder`; those that it has already, if they are free.
///
/// # Errors
/// All are taken.
pub fn claim(claims: &Path, folder: &Path) -> anyhow::Result<Ports> {
    let usual = folder
        .file_name()
        .is_some_and(|name| name == "default")
        .then_some(Ports::Usual);
    let blocks = (0..BLOCKS).map(|number| Ports::Block(FIRST + BLOCK * number));
    let candidates: Vec<Ports> = usual.into_iter().chain(blocks).collect();
    claims::claim(claims, folder, &candidates, Ports::file, Ports::are_free)?.with_context(|| {
        format!(
            "all blocks of ports from {FIRST} on are taken; see {}",
            claims.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_networks_never_share_ports_and_a_network_keeps_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let claims = dir.path().join("claims");
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        std::fs::create_dir_all(&one).unwrap();
        std::fs::create_dir_all(&two).unwrap();
        let first = claim(&claims, &one).unwrap();
        assert_ne!(claim(&claims, &two).unwrap(), first);
        assert_eq!(claim(&claims, &one).unwrap(), first);
        release(&claims, &one).unwrap();
        release(&claims, &two).unwrap();
        assert!(!claims.exists());
    }

    #[test]
    fn a_port_that_is_taken_is_seen_with_its_holder_and_a_new_network_gets_others() {
        let dir = tempfile::tempdir().unwrap();
        let (claims, folder) = (dir.path().join("claims"), dir.path().join("one"));
        std::fs::create_dir_all(&folder).unwrap();
        let first = claim(&claims, &folder).unwrap();
        let listener = first.listeners(1, 1)[1];
        assert_eq!(
            (listener.owner, listener.what),
            (Owner::Validator(0), "RPC")
        );
        // Should another program be faster, the port is taken all the same.
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, listener.port));
        assert!(!listener.is_free());
        if taken.is_ok() {
            let own = format!("(process {})", std::process::id());
            let holder = listener.holder().unwrap();
            assert!(holder.ends_with(&own), "{holder}");
        }
        assert_ne!(claim(&claims, &folder).unwrap(), first);
    }

    #[test]
    fn the_claim_of_a_folder_that_is_gone_counts_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let claims = dir.path().join("claims");
        let gone = dir.path().join("gone");
        std::fs::create_dir_all(&gone).unwrap();
        let first = claim(&claims, &gone).unwrap();
        std::fs::remove_dir(&gone).unwrap();
        let next = dir.path().join("next");
        std::fs::create_dir_all(&next).unwrap();
        // Another program may listen there by now; then the next block is the right answer.
        if first.are_free() {
            assert_eq!(claim(&claims, &next).unwrap(), first);
        }
    }

    #[test]
    fn no_two_ports_of_a_network_are_the_same() {
        for ports in [
            Ports::Usual,
            Ports::Block(FIRST),
            Ports::Block(FIRST + BLOCK),
        ] {
            let tcp = |listener: &Listener| listener.transport == Transport::Tcp;
            let listeners = ports.listeners(7, 3).into_iter().filter(tcp);
            let mut all: Vec<u16> = listeners.map(|listener| listener.port).collect();
            for provider in (0..3).map(|i| ports.provider(i)) {
                all.extend(provider.first..=provider.last);
            }
            let count = all.len();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), count);
            if let Ports::Block(first) = ports {
                assert!(all.iter().all(|port| (first..first + BLOCK).contains(port)));
            }
        }
    }
}
