//! What the tests of this crate share: real networks on loopback, and waiting for conditions.

use std::time::Duration;

use welkin_p2p::chain::{Config, Events, Handle, Network, NetworkEvent, Topic};
use welkin_p2p::identity::keypair_from_secret;
use welkin_p2p::simulated::Conditions;
use welkin_p2p::simulated::chain::Hub;
use welkin_p2p::{Keypair, Multiaddr, PeerId};

/// No step of a test takes longer; one that does has hung.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub const GENESIS: [u8; 32] = [0xab; 32];

/// The identity number `n`.
pub fn keypair(n: u8) -> Keypair {
    keypair_from_secret([n; 32])
}

pub fn peer(n: u8) -> PeerId {
    keypair(n).public().to_peer_id()
}

/// A port that was free a moment ago, for a node that must come back at the same place.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// The transports on which everything has to work.
#[derive(Clone, Copy, Debug)]
pub enum Transport {
    Tcp,
    Quic,
}

impl Transport {
    pub fn address(self, port: u16) -> Multiaddr {
        match self {
            Self::Tcp => format!("/ip4/127.0.0.1/tcp/{port}"),
            Self::Quic => format!("/ip4/127.0.0.1/udp/{port}/quic-v1"),
        }
        .parse()
        .unwrap()
    }
}

/// A node of a test.
pub struct Node {
    pub handle: Handle,
    pub events: Events,
}

impl Node {
    pub async fn start(n: u8, config: Config) -> Self {
        let (handle, events) = Network::start(config, keypair(n)).await.unwrap();
        Self { handle, events }
    }

    /// Where others reach this node, with its identity.
    pub fn address(&self) -> Multiaddr {
        let place = self.handle.listening().first().unwrap().clone();
        place.with_p2p(self.handle.local_peer()).unwrap()
    }

    /// The next event.
    pub async fn next(&mut self) -> NetworkEvent {
        within(self.events.recv()).await.unwrap()
    }

    /// Waits until `count` peers are connected.
    pub async fn connected_to(&mut self, count: usize) {
        while self.handle.peers().len() < count {
            self.next().await;
        }
    }

    /// Waits for a request, skipping everything else.
    pub async fn request(&mut self) -> (PeerId, bytes::Bytes, welkin_p2p::chain::Reply) {
        loop {
            if let NetworkEvent::Request {
                peer, body, reply, ..
            } = self.next().await
            {
                return (peer, body, reply);
            }
        }
    }

    /// Waits until the node hears that a peer is gone.
    pub async fn loses(&mut self, gone: PeerId) {
        loop {
            if matches!(self.next().await, NetworkEvent::PeerDisconnected(peer) if peer == gone) {
                return;
            }
        }
    }

    /// Waits for a message on this topic, skipping everything else.
    pub async fn message(
        &mut self,
        wanted: Topic,
    ) -> (bytes::Bytes, welkin_p2p::chain::MessageToken) {
        loop {
            if let NetworkEvent::Message { topic, data, token } = self.next().await
                && topic == wanted
            {
                return (data, token);
            }
        }
    }
}

/// The outcome of something that must not hang.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("this step has hung")
}

/// Waits until a condition holds that no event announces.
pub async fn until(mut condition: impl FnMut() -> bool) {
    within(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// A configuration that listens on a free port of loopback.
pub fn config(transport: Transport) -> Config {
    Config {
        listen: vec![transport.address(0)],
        ..Config::new(GENESIS)
    }
}

/// The networks on which the same suite has to pass.
#[derive(Clone, Copy, Debug)]
pub enum World {
    Real(Transport),
    Twin,
}

impl World {
    pub const ALL: [Self; 3] = [
        Self::Real(Transport::Tcp),
        Self::Real(Transport::Quic),
        Self::Twin,
    ];

    /// `count` nodes that are all explicit peers of each other, connected, and what they are on.
    pub async fn mesh(self, count: u8, base: &Config) -> (Vec<Node>, Option<Hub>) {
        let explicit: Vec<PeerId> = (1..=count).map(peer).collect();
        let hub = matches!(self, Self::Twin).then(|| Hub::new(Conditions::PERFECT, 1));
        let mut nodes: Vec<Node> = Vec::new();
        for n in 1..=count {
            let config = Config {
                explicit_peers: explicit.clone(),
                ..base.clone()
            };
            nodes.push(self.node(n, config, &nodes, hub.as_ref()).await);
        }
        for node in &mut nodes {
            node.connected_to(usize::from(count) - 1).await;
        }
        (nodes, hub)
    }

    /// One more node, which dials the others.
    pub async fn node(self, n: u8, config: Config, others: &[Node], hub: Option<&Hub>) -> Node {
        match self {
            Self::Twin => {
                let (handle, events) = hub.unwrap().join(&config, &keypair(n));
                Node { handle, events }
            }
            Self::Real(transport) => {
                let config = Config {
                    listen: vec![transport.address(0)],
                    persistent_peers: others.iter().map(Node::address).collect(),
                    ..config
                };
                Node::start(n, config).await
            }
        }
    }
}

/// `count` real nodes that are all explicit peers of each other, connected.
pub async fn mesh(transport: Transport, count: u8) -> Vec<Node> {
    World::Real(transport)
        .mesh(count, &Config::new(GENESIS))
        .await
        .0
}
