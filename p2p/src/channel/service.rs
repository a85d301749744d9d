//! The channel's task: between the swarm and the ends of the channel. It waits for nothing else.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use libp2p::swarm::{DialError, NetworkBehaviour, StreamProtocol, Swarm, SwarmEvent};
use libp2p::{Multiaddr, PeerId, connection_limits, identity::Keypair, ping};
use tokio::sync::{mpsc, watch};
use tracing::Instrument as _;

use super::StartError;
use super::accept::Acceptor;
use super::config::Config;
use super::metrics::Metrics;
use super::streams::{NoStream, Opened, Role, Streams};
use crate::LOG_TARGET;
use crate::admission::{self, Admission};
use crate::conduct::{Conduct, Offence};
use crate::identity::network_name;
use crate::transport::{self, Bounds};

/// Commands that wait for the task. Full: the caller waits.
const COMMANDS: usize = 64;

/// What the task is asked to do.
pub(super) enum Command {
    /// A stream to a peer that is connected, or found at one of these addresses.
    Open {
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        opened: Opened,
    },
    Penalise {
        peer: PeerId,
        offence: Offence,
    },
    Stop,
}

/// An end's line to its task.
#[derive(Clone, Debug)]
pub(super) struct Control {
    pub(super) commands: mpsc::Sender<Command>,
    running: watch::Receiver<()>,
}

impl Control {
    /// Ends the task and waits until it has ended.
    pub(super) async fn stop(&self) {
        if self.commands.send(Command::Stop).await.is_ok() {
            self.stopped().await;
        }
    }

    pub(super) async fn stopped(&self) {
        let mut running = self.running.clone();
        while running.changed().await.is_ok() {}
    }
}

#[derive(NetworkBehaviour)]
struct Behaviour {
    admission: Admission,
    limits: connection_limits::Behaviour,
    ping: ping::Behaviour,
    streams: Streams,
}

fn behaviour(config: &Config, role: Role, conduct: Conduct) -> Result<Behaviour, String> {
    let name = format!("/welkin/channel/1/{}", network_name(&config.genesis_hash));
    let protocol = StreamProtocol::try_from_owned(name).map_err(|error| error.to_string())?;
    let limits = config.limits;
    let admission_limits = admission::Limits {
        per_peer: limits.connections_per_peer,
        per_ip: limits.connections_per_ip,
        per_loopback_ip: limits.connections_per_loopback_ip,
    };
    let connection_limits = connection_limits::ConnectionLimits::default()
        .with_max_pending_incoming(Some(limits.pending))
        .with_max_established_incoming(Some(limits.connections));
    Ok(Behaviour {
        admission: Admission::new(conduct, admission_limits),
        limits: connection_limits::Behaviour::new(connection_limits),
        ping: ping::Behaviour::new(
            ping::Config::new()
                .with_interval(Duration::from_secs(15))
                .with_timeout(Duration::from_secs(15)),
        ),
        streams: Streams::new(protocol, role),
    })
}

/// What a started task leaves with its ends.
pub(super) struct Started {
    pub(super) control: Control,
    pub(super) listening: Vec<Multiaddr>,
}

/// Starts the task; with an acceptor it serves streams of others.
pub(super) async fn start(
    config: &Config,
    keypair: Keypair,
    acceptor: Option<Acceptor>,
    metrics: Metrics,
    conduct: Conduct,
) -> Result<Started, StartError> {
    let local_peer = keypair.public().to_peer_id();
    let role = if acceptor.is_some() {
        Role::Listener
    } else {
        Role::Connector
    };
    let behaviour = behaviour(config, role, conduct.clone()).map_err(StartError::Setup)?;
    let bounds = Bounds {
        streams: 2 * config.limits.streams_per_peer + 32,
        stream_window_bytes: 4 << 20,
        idle: config.idle_timeout,
    };
    let mut swarm =
        transport::build_swarm(keypair, bounds, behaviour).map_err(StartError::Setup)?;
    let listening = transport::listen(&mut swarm, &config.listen)
        .await
        .map_err(|(address, reason)| StartError::Listen { address, reason })?;
    let (commands_in, commands) = mpsc::channel(COMMANDS);
    let (running_in, running) = watch::channel(());
    let service = Service {
        swarm,
        commands,
        acceptor,
        waiting: BTreeMap::new(),
        metrics,
        conduct,
        running: running_in,
    };
    let span = tracing::info_span!(target: LOG_TARGET, "p2p-channel", peer = %local_peer);
    tokio::spawn(service.run(listening.earlier).instrument(span));
    let control = Control {
        commands: commands_in,
        running,
    };
    Ok(Started {
        control,
        listening: listening.addresses,
    })
}

struct Service {
    swarm: Swarm<Behaviour>,
    commands: mpsc::Receiver<Command>,
    acceptor: Option<Acceptor>,
    /// Streams that wait for a connection.
    waiting: BTreeMap<PeerId, Vec<Opened>>,
    metrics: Metrics,
    conduct: Conduct,
    /// Dropped when the task has ended.
    running: watch::Sender<()>,
}

impl Service {
    async fn run(mut self, earlier: Vec<SwarmEvent<BehaviourEvent>>) {
        for event in earlier {
            self.on_swarm(event);
        }
        loop {
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_swarm(event),
                command = self.commands.recv() => match command {
                    Some(Command::Open { peer, addresses, opened }) => {
                        self.open(peer, addresses, opened);
                    }
                    Some(Command::Penalise { peer, offence }) => self.conduct.note(peer, offence),
                    Some(Command::Stop) | None => break,
                },
            }
        }
        let Self { swarm, running, .. } = self;
        let listening: Vec<Multiaddr> = swarm.listeners().cloned().collect();
        drop(swarm);
        transport::wait_until_free(&listening).await;
        drop(running);
        tracing::debug!(target: LOG_TARGET, "channel stopped");
    }

    fn open(&mut self, peer: PeerId, addresses: Vec<Multiaddr>, opened: Opened) {
        if self.swarm.is_connected(&peer) {
            self.swarm.behaviour_mut().streams.open(peer, opened);
            return;
        }
        let waiting = self.waiting.entry(peer).or_default();
        waiting.retain(|opened| !opened.is_closed());
        waiting.push(opened);
        match self.swarm.dial(transport::dial_peer(peer, addresses)) {
            // In the second case an earlier dial is under way; its outcome counts for this stream
            // too.
            Ok(()) | Err(DialError::DialPeerConditionFalse(_)) => {}
            Err(error) => self.fail(&peer, &error.to_string()),
        }
    }

    fn fail(&mut self, peer: &PeerId, reason: &str) {
        for opened in self.waiting.remove(peer).unwrap_or_default() {
            let _ = opened.send(Err(NoStream::Lost(reason.to_owned())));
        }
    }

    fn on_swarm(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Streams((peer, stream))) => {
                if let Some(acceptor) = &mut self.acceptor {
                    acceptor.on_stream(peer, stream, Instant::now());
                }
            }
            SwarmEvent::Behaviour(BehaviourEvent::Ping(event)) if event.result.is_err() => {
                self.swarm.close_connection(event.connection);
            }
            SwarmEvent::ConnectionEstablished { peer_id, .. } => {
                self.metrics.connections.inc();
                for opened in self.waiting.remove(&peer_id).unwrap_or_default() {
                    self.swarm.behaviour_mut().streams.open(peer_id, opened);
                }
            }
            SwarmEvent::ConnectionClosed { .. } => {
                self.metrics.connections.dec();
            }
            SwarmEvent::IncomingConnectionError {
                error,
                send_back_addr,
                ..
            } => {
                self.metrics.connections_refused.inc();
                tracing::debug!(target: LOG_TARGET, from = %send_back_addr, %error, "not let in");
            }
            SwarmEvent::OutgoingConnectionError {
                peer_id: Some(peer),
                error,
                ..
            } => {
                self.metrics.connections_refused.inc();
                if !self.swarm.is_connected(&peer) {
                    self.fail(&peer, &error.to_string());
                }
            }
            SwarmEvent::ListenerClosed {
                addresses, reason, ..
            } => {
                tracing::error!(target: LOG_TARGET, ?addresses, ?reason, "no longer listening");
            }
            _ => {}
        }
    }
}
