//! The network's task: between the node's commands and the swarm's events. It waits for nothing
//! else.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt as _;
use libp2p::core::ConnectedPoint;
use libp2p::gossipsub::{self, MessageAcceptance, MessageId, TopicHash};
use libp2p::swarm::{ConnectionId, DialError, Swarm, SwarmEvent};
use libp2p::{Multiaddr, PeerId, identify};

use super::behaviour::{Behaviour, BehaviourEvent, protocol_version};
use super::codec::WireRequest;
use super::gossip::topic_name;
use super::handle::{Command, Ends};
use super::inspector::{DIRECT, Inspector, RELAY};
use super::lanes::Lanes;
use super::metrics::{DirectionLabel, DropLabel, DropReason, TopicLabel, VerdictLabel};
use super::redial::Redial;
use super::requests::Requests;
use super::roster::Roster;
use super::types::{Direction, MessageToken, NetworkEvent, Topic, Verdict};
use crate::LOG_TARGET;
use crate::conduct::{Conduct, Offence};
use crate::identity::split_address;
use crate::transport;

/// How often redials and unannounced peers are looked at.
const TICK: Duration = Duration::from_millis(100);

/// The task's state.
pub(crate) struct Driver {
    pub(crate) swarm: Swarm<Behaviour>,
    pub(crate) network: String,
    pub(crate) lanes: Lanes,
    pub(crate) ends: Ends,
    pub(crate) redial: Redial,
    pub(crate) roster: Roster,
    pub(crate) requests: Requests,
    pub(crate) inspector: Inspector,
    pub(crate) conduct: Conduct,
}

/// Whether the task goes on.
#[derive(PartialEq, Eq)]
enum Next {
    GoOn,
    Stop,
}

impl Driver {
    /// Runs until the node says stop, or has dropped its last handle.
    pub(crate) async fn run(mut self, earlier: Vec<SwarmEvent<BehaviourEvent>>) {
        for event in earlier {
            self.on_swarm(event);
        }
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_swarm(event),
                command = self.ends.commands.recv() => {
                    if command.is_none_or(|command| self.on_command(command) == Next::Stop) {
                        break;
                    }
                }
                Some((token, verdict)) = self.ends.verdicts.recv() => {
                    self.on_verdict(&token, verdict);
                }
                answered = self.requests.next_answered() => {
                    self.requests.reply(&mut self.swarm.behaviour_mut().requests, answered);
                }
                _ = tick.tick() => self.on_tick(),
            }
        }
        let Self { swarm, ends, .. } = self;
        let listening: Vec<Multiaddr> = swarm.listeners().cloned().collect();
        drop(swarm);
        transport::wait_until_free(&listening).await;
        drop(ends);
        tracing::debug!(target: LOG_TARGET, "network stopped");
    }

    fn on_tick(&mut self) {
        for (peer, addresses) in self
            .redial
            .due(Instant::now(), |peer| self.swarm.is_connected(peer))
        {
            self.dial(transport::dial_peer(peer, addresses));
        }
        self.roster.announce(&self.lanes);
    }

    fn on_command(&mut self, command: Command) -> Next {
        match command {
            Command::Publish { topic, data } => self.publish(topic, &data),
            Command::Request {
                peer,
                protocol,
                body,
                answer,
            } => {
                let request = WireRequest { protocol, body };
                self.requests.send(
                    &mut self.swarm.behaviour_mut().requests,
                    peer,
                    request,
                    answer,
                );
            }
            Command::Penalise { peer, offence } => self.conduct.note(peer, offence),
            Command::Dial { address } => self.dial(match split_address(&address) {
                Ok((peer, place)) => transport::dial_peer(peer, vec![place]),
                Err(_) => transport::dial_anybody(address),
            }),
            Command::Disconnect { peer } => {
                // Not connected is as good as disconnected.
                let _ = self.swarm.disconnect_peer_id(peer);
            }
            Command::Stop => return Next::Stop,
        }
        Next::GoOn
    }

    fn publish(&mut self, topic: Topic, data: &Bytes) {
        let flag = if self.roster.reaches_all() {
            DIRECT
        } else {
            RELAY
        };
        let mut payload = Vec::with_capacity(data.len() + 1);
        payload.extend_from_slice(data);
        payload.push(flag);
        let gossip = &mut self.swarm.behaviour_mut().gossip.gossip;
        let label = TopicLabel { topic };
        match gossip.publish(topic_name(&self.network, topic), payload) {
            Ok(_) => {
                self.ends.metrics.published.get_or_create(&label).inc();
                let bytes = data.len() as u64;
                self.ends
                    .metrics
                    .published_bytes
                    .get_or_create(&label)
                    .inc_by(bytes);
            }
            Err(error) => {
                self.ends.metrics.not_published.get_or_create(&label).inc();
                tracing::trace!(target: LOG_TARGET, topic = topic.name(), %error, "not published");
            }
        }
    }

    fn on_verdict(&mut self, token: &MessageToken, verdict: Verdict) {
        let label = VerdictLabel {
            topic: token.topic,
            verdict,
        };
        self.ends.metrics.verdicts.get_or_create(&label).inc();
        let acceptance = match verdict {
            Verdict::Accept if self.roster.must_forward(&token.source, token.relay) => {
                MessageAcceptance::Accept
            }
            Verdict::Accept | Verdict::Ignore => MessageAcceptance::Ignore,
            Verdict::Reject => {
                self.conduct.note(token.source, Offence::Invalid);
                MessageAcceptance::Reject
            }
        };
        self.decide(&MessageId::new(&token.id), &token.source, acceptance);
    }

    fn decide(&mut self, id: &MessageId, source: &PeerId, acceptance: MessageAcceptance) {
        let gossip = &mut self.swarm.behaviour_mut().gossip.gossip;
        // False means that the message has left gossipsub's memory: too late to forward it.
        let _ = gossip.report_message_validation_result(id, source, acceptance);
    }

    fn on_swarm(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour(event),
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            } => {
                self.on_opened(connection_id, peer_id, endpoint);
            }
            SwarmEvent::ConnectionClosed {
                peer_id,
                connection_id,
                num_established,
                ..
            } => {
                let last = num_established == 0;
                self.roster.closed(connection_id, &peer_id, last);
                if last {
                    self.redial.lost(&peer_id, Instant::now());
                    self.on_roster_changed();
                }
            }
            SwarmEvent::IncomingConnectionError {
                error,
                send_back_addr,
                ..
            } => {
                self.ends.metrics.connections_refused.inc();
                tracing::debug!(target: LOG_TARGET, from = %send_back_addr, %error, "not let in");
            }
            SwarmEvent::OutgoingConnectionError { error, .. } => {
                self.ends.metrics.connections_refused.inc();
                if let DialError::WrongPeerId { obtained, address } = &error {
                    tracing::warn!(target: LOG_TARGET, %address, %obtained, "another peer is here");
                } else {
                    tracing::debug!(target: LOG_TARGET, %error, "dial failed");
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

    fn on_opened(&mut self, id: ConnectionId, peer: PeerId, endpoint: ConnectedPoint) {
        let direction = if endpoint.is_dialer() {
            Direction::Outbound
        } else {
            Direction::Inbound
        };
        self.ends
            .metrics
            .connections
            .get_or_create(&DirectionLabel { direction })
            .inc();
        let address: Multiaddr = endpoint.get_remote_address().clone();
        self.roster.opened(id, peer, address, direction);
    }

    fn on_roster_changed(&mut self) {
        self.ends
            .metrics
            .peers
            .set(i64::try_from(self.roster.len()).unwrap_or(i64::MAX));
        self.roster.announce(&self.lanes);
    }

    fn on_behaviour(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Gossip(gossipsub::Event::Message {
                propagation_source,
                message_id,
                message,
            }) => self.on_message(propagation_source, message_id, &message.topic, message.data),
            BehaviourEvent::Gossip(gossipsub::Event::Subscribed { peer_id, topic }) => {
                if let Some(topic) = self.inspector.topic(&topic) {
                    self.roster.subscribed(peer_id, topic);
                    self.on_roster_changed();
                }
            }
            BehaviourEvent::Gossip(_) => {}
            BehaviourEvent::Requests(event) => {
                let wire = &mut self.swarm.behaviour_mut().requests;
                self.requests.on_event(wire, &self.lanes, event);
            }
            BehaviourEvent::Identify(event) => self.on_identify(event),
            BehaviourEvent::Ping(event) => {
                if event.result.is_err() {
                    self.swarm.close_connection(event.connection);
                }
            }
            BehaviourEvent::Admission(never) | BehaviourEvent::Limits(never) => match never {},
        }
    }

    fn on_identify(&mut self, event: identify::Event) {
        match event {
            identify::Event::Received {
                peer_id,
                connection_id,
                info,
            } => {
                if info.protocol_version != protocol_version(&self.network) {
                    self.conduct.note(peer_id, Offence::WrongNetwork);
                    return;
                }
                self.redial.connected(&peer_id);
                self.roster.recognised(connection_id, peer_id);
                self.on_roster_changed();
            }
            identify::Event::Error {
                peer_id,
                connection_id,
                ..
            } => {
                if !self.roster.is_recognised(&peer_id) {
                    self.swarm.close_connection(connection_id);
                }
            }
            identify::Event::Sent { .. } | identify::Event::Pushed { .. } => {}
        }
    }

    fn on_message(&mut self, source: PeerId, id: MessageId, hash: &TopicHash, data: Vec<u8>) {
        let id_bytes = <[u8; 32]>::try_from(id.0.as_slice());
        let flag = data.last().copied();
        // The inspector lets no other messages pass.
        let (Some(topic), Ok(id_bytes), Some(flag)) = (self.inspector.topic(hash), id_bytes, flag)
        else {
            return self.decide(&id, &source, MessageAcceptance::Ignore);
        };
        let length = data.len() - 1;
        let data = Bytes::from(data).slice(..length);
        let token = MessageToken {
            source,
            topic,
            id: id_bytes,
            relay: flag == RELAY,
        };
        if self
            .lanes
            .offer(NetworkEvent::Message { topic, data, token })
            .is_ok()
        {
            let label = TopicLabel { topic };
            self.ends.metrics.received.get_or_create(&label).inc();
            self.ends
                .metrics
                .received_bytes
                .get_or_create(&label)
                .inc_by(length as u64);
        } else {
            let label = DropLabel {
                topic,
                reason: DropReason::QueueFull,
            };
            self.ends.metrics.dropped.get_or_create(&label).inc();
            self.decide(&id, &source, MessageAcceptance::Ignore);
        }
    }

    fn dial(&mut self, options: libp2p::swarm::dial_opts::DialOpts) {
        if let Err(error) = self.swarm.dial(options) {
            tracing::trace!(target: LOG_TARGET, %error, "not dialled");
        }
    }
}
