//! A peer that speaks our transport and protocols byte for byte as a test says.

use std::io;

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, StreamExt as _};
use libp2p::gossipsub::{self, IdentTopic, MessageAuthenticity, ValidationMode};
use libp2p::request_response::{self, ProtocolSupport};
use libp2p::swarm::{NetworkBehaviour, StreamProtocol, Swarm, SwarmEvent};
use libp2p::{SwarmBuilder, identify, noise, ping, tcp, yamux};
use tokio::task::JoinHandle;
use welkin_p2p::Multiaddr;
use welkin_p2p::chain::Topic;

use crate::common::{Node, keypair, peer, within};

/// The network of [`GENESIS`](crate::common::GENESIS) as protocol names spell it.
pub const NETWORK: &str = "abababababababab";

/// Writes requests byte for byte, and reads any response whole.
#[derive(Clone, Default)]
pub struct Raw;

impl request_response::Codec for Raw {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut bytes = vec![0; 5];
        io.read_exact(&mut bytes).await?;
        Ok(bytes)
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut bytes = Vec::new();
        io.read_to_end(&mut bytes).await?;
        Ok(bytes)
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        bytes: Vec<u8>,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&bytes).await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        bytes: Vec<u8>,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&bytes).await
    }
}

/// One protocol, whose streams are opened without what guards them.
#[derive(NetworkBehaviour)]
pub struct StreamsBehaviour {
    pub identify: identify::Behaviour,
    pub ping: ping::Behaviour,
    pub streams: request_response::Behaviour<Raw>,
}

/// A peer that opens streams of one protocol and writes on them byte for byte as a test says.
pub fn stream_opener(place: Multiaddr, protocol: String) -> Swarm<StreamsBehaviour> {
    let protocol = StreamProtocol::try_from_owned(protocol).unwrap();
    let version = format!("/welkin/{NETWORK}/1");
    let mut swarm = SwarmBuilder::with_existing_identity(keypair(66))
        .with_tokio()
        .with_tcp(
            tcp::Config::default(),
            noise::Config::new,
            yamux::Config::default,
        )
        .unwrap()
        .with_behaviour(|key| StreamsBehaviour {
            identify: identify::Behaviour::new(identify::Config::new(version, key.public())),
            ping: ping::Behaviour::default(),
            streams: request_response::Behaviour::with_codec(
                Raw,
                // A gossiping node that is told that its peer does not speak gossip closes its ears to that peer.
                [(protocol, ProtocolSupport::Full)],
                request_response::Config::default(),
            ),
        })
        .unwrap()
        .build();
    swarm.dial(place).unwrap();
    swarm
}

/// Opens five streams to peer 1 with these first bytes, and waits until that is too much for it.
pub async fn cut_off_for_opening(mut swarm: Swarm<StreamsBehaviour>, bytes: &[u8]) {
    within(async {
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::ConnectionEstablished { .. } => {
                    for _ in 0..5 {
                        swarm
                            .behaviour_mut()
                            .streams
                            .send_request(&peer(1), bytes.to_vec());
                    }
                }
                SwarmEvent::ConnectionClosed { .. } => return,
                _ => {}
            }
        }
    })
    .await;
}

/// The protocols of a node, without what guards them.
#[derive(NetworkBehaviour)]
pub struct Behaviour {
    pub identify: identify::Behaviour,
    pub ping: ping::Behaviour,
    pub gossip: gossipsub::Behaviour,
    pub requests: request_response::Behaviour<Raw>,
}

/// A peer with the protocols of our network and none of its manners.
pub struct Hostile {
    pub swarm: Swarm<Behaviour>,
}

impl Hostile {
    /// One that has only dialled, and says that it is of this network.
    pub fn dialling(node: &Node, network: &str, authenticity: MessageAuthenticity) -> Self {
        let gossip_config = gossipsub::ConfigBuilder::default()
            .protocol_id_prefix(format!("/welkin/{network}/gossip"))
            .max_transmit_size(1 << 20)
            .validation_mode(ValidationMode::None)
            .message_id_fn(|message: &gossipsub::Message| {
                [message.topic.as_str().as_bytes(), &message.data[..]]
                    .concat()
                    .into()
            })
            .build()
            .unwrap();
        let request = format!("/welkin/{network}/request/1");
        let version = format!("/welkin/{network}/1");
        let swarm = SwarmBuilder::with_existing_identity(keypair(66))
            .with_tokio()
            .with_tcp(
                tcp::Config::default(),
                noise::Config::new,
                yamux::Config::default,
            )
            .unwrap()
            .with_behaviour(|key| Behaviour {
                identify: identify::Behaviour::new(identify::Config::new(version, key.public())),
                ping: ping::Behaviour::default(),
                gossip: gossipsub::Behaviour::new(authenticity, gossip_config).unwrap(),
                requests: request_response::Behaviour::with_codec(
                    Raw,
                    [(
                        StreamProtocol::try_from_owned(request).unwrap(),
                        ProtocolSupport::Full,
                    )],
                    request_response::Config::default(),
                ),
            })
            .unwrap()
            .build();
        let mut hostile = Self { swarm };
        hostile.swarm.dial(node.address()).unwrap();
        hostile
    }

    /// One that knows how to reach the node on every topic.
    pub async fn connected_to(node: &Node, authenticity: MessageAuthenticity) -> Self {
        let mut hostile = Self::dialling(node, NETWORK, authenticity);
        for topic in Topic::ALL {
            hostile
                .swarm
                .behaviour_mut()
                .gossip
                .subscribe(&topic_name(topic))
                .unwrap();
        }
        within(async {
            let mut subscribed = 0;
            while subscribed < Topic::ALL.len() {
                let event = hostile.swarm.select_next_some().await;
                if let SwarmEvent::Behaviour(BehaviourEvent::Gossip(
                    gossipsub::Event::Subscribed { .. },
                )) = event
                {
                    subscribed += 1;
                }
            }
        })
        .await;
        hostile
    }

    pub fn gossip(&mut self, topic: &IdentTopic, data: Vec<u8>) {
        self.swarm
            .behaviour_mut()
            .gossip
            .publish(topic.clone(), data)
            .unwrap();
    }

    pub fn ask(&mut self, bytes: Vec<u8>) {
        self.swarm
            .behaviour_mut()
            .requests
            .send_request(&peer(1), bytes);
    }

    /// Goes on until the other side has closed the last connection, or has refused it.
    pub async fn until_cut_off(mut self) {
        within(async {
            loop {
                match self.swarm.select_next_some().await {
                    SwarmEvent::ConnectionClosed {
                        num_established: 0, ..
                    }
                    | SwarmEvent::OutgoingConnectionError { .. } => return,
                    _ => {}
                }
            }
        })
        .await;
    }

    /// Goes on for ever.
    pub fn run(mut self) -> JoinHandle<()> {
        tokio::spawn(async move {
            loop {
                self.swarm.select_next_some().await;
            }
        })
    }
}

/// A topic as it is named on the wire.
pub fn topic_name(topic: Topic) -> IdentTopic {
    IdentTopic::new(format!("/welkin/{NETWORK}/{}/1", topic.name()))
}
