//! Asking and answering single peers, with a bound on what is under way with each.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use libp2p::PeerId;
use libp2p::request_response::{
    self, Event, Message, OutboundFailure, OutboundRequestId, ResponseChannel,
};
use tokio::sync::oneshot;

use super::codec::{Codec, Incoming, WireRequest, WireResponse, offence_of};
use super::handle::Answer;
use super::inspector::Inspector;
use super::lanes::Lanes;
use super::metrics::{Metrics, Outcome, OutcomeLabel, ProtocolLabel};
use super::types::{NetworkEvent, Protocol, Reply, RequestError};
use crate::conduct::{Conduct, Offence};

/// Requests under way to one peer, and from one peer.
const PER_PEER: usize = 16;
/// Requests under way to all peers.
const TOTAL: usize = 256;

/// The protocol below.
pub(crate) type Wire = request_response::Behaviour<Codec>;

/// The requests under way.
pub(crate) struct Requests {
    sent: BTreeMap<OutboundRequestId, Sent>,
    answering: FuturesUnordered<BoxFuture<'static, Answered>>,
    answering_by_peer: BTreeMap<PeerId, usize>,
    inspector: Inspector,
    conduct: Conduct,
    metrics: Metrics,
}

struct Sent {
    peer: PeerId,
    protocol: Protocol,
    answer: Answer,
}

/// What the node said to a request.
pub(crate) struct Answered {
    peer: PeerId,
    protocol: Protocol,
    channel: ResponseChannel<WireResponse>,
    /// `None` if the node dropped the reply.
    body: Option<Bytes>,
}

impl Requests {
    pub(crate) fn new(inspector: Inspector, conduct: Conduct, metrics: Metrics) -> Self {
        Self {
            sent: BTreeMap::new(),
            answering: FuturesUnordered::new(),
            answering_by_peer: BTreeMap::new(),
            inspector,
            conduct,
            metrics,
        }
    }

    /// Asks a connected peer.
    pub(crate) fn send(
        &mut self,
        wire: &mut Wire,
        peer: PeerId,
        request: WireRequest,
        answer: Answer,
    ) {
        let to_peer = self.sent.values().filter(|sent| sent.peer == peer).count();
        let refusal = if !wire.is_connected(&peer) {
            Some(RequestError::NotConnected)
        } else if to_peer >= PER_PEER || self.sent.len() >= TOTAL {
            Some(RequestError::Busy)
        } else {
            None
        };
        let protocol = request.protocol;
        if let Some(refusal) = refusal {
            self.count_sent(protocol, Outcome::Failed);
            let _ = answer.send(Err(refusal));
            return;
        }
        let id = wire.send_request(&peer, Ok(request));
        self.sent.insert(
            id,
            Sent {
                peer,
                protocol,
                answer,
            },
        );
    }

    /// The next answer of the node; never ready while none is awaited. Cancel safe.
    pub(crate) async fn next_answered(&mut self) -> Answered {
        match self.answering.next().await {
            Some(answered) => answered,
            None => std::future::pending().await,
        }
    }

    /// Sends what the node said.
    pub(crate) fn reply(&mut self, wire: &mut Wire, answered: Answered) {
        let Answered {
            peer,
            protocol,
            channel,
            body,
        } = answered;
        if let Some(count) = self.answering_by_peer.get_mut(&peer) {
            *count -= 1;
            if *count == 0 {
                self.answering_by_peer.remove(&peer);
            }
        }
        let response = match body {
            Some(body) if body.len() <= protocol.max_response_bytes() => {
                let label = ProtocolLabel { protocol };
                self.metrics
                    .response_bytes_sent
                    .get_or_create(&label)
                    .inc_by(body.len() as u64);
                self.count_received(protocol, Outcome::Answered);
                WireResponse::Answer { protocol, body }
            }
            Some(_) | None => {
                self.count_received(protocol, Outcome::Declined);
                WireResponse::Refused
            }
        };
        // The peer may be gone by now.
        let _ = wire.send_response(channel, response);
    }

    /// Something happened below.
    pub(crate) fn on_event(
        &mut self,
        wire: &mut Wire,
        lanes: &Lanes,
        event: Event<Incoming, WireResponse>,
    ) {
        match event {
            Event::Message { peer, message, .. } => match message {
                Message::Request {
                    request: Ok(request),
                    channel,
                    ..
                } => {
                    self.on_request(wire, lanes, peer, request, channel);
                }
                Message::Request {
                    request: Err(offence),
                    ..
                } => self.conduct.note(peer, offence),
                Message::Response {
                    request_id,
                    response,
                } => self.on_response(request_id, response),
            },
            Event::OutboundFailure {
                request_id, error, ..
            } => self.on_failure(request_id, &error),
            // The peer has left, or the node took too long.
            Event::InboundFailure { .. } | Event::ResponseSent { .. } => {}
        }
    }

    fn on_request(
        &mut self,
        wire: &mut Wire,
        lanes: &Lanes,
        peer: PeerId,
        request: WireRequest,
        channel: ResponseChannel<WireResponse>,
    ) {
        let WireRequest { protocol, body } = request;
        let under_way = self.answering_by_peer.get(&peer).copied().unwrap_or(0);
        if under_way >= PER_PEER || !self.inspector.admit_request(peer, protocol) {
            self.count_received(protocol, Outcome::Declined);
            let _ = wire.send_response(channel, WireResponse::Busy);
            return;
        }
        let (sender, receiver) = oneshot::channel();
        let event = NetworkEvent::Request {
            peer,
            protocol,
            body,
            reply: Reply { sender },
        };
        if lanes.offer(event).is_err() {
            self.count_received(protocol, Outcome::Declined);
            let _ = wire.send_response(channel, WireResponse::Busy);
            return;
        }
        *self.answering_by_peer.entry(peer).or_default() += 1;
        self.answering.push(Box::pin(async move {
            Answered {
                peer,
                protocol,
                channel,
                body: receiver.await.ok(),
            }
        }));
    }

    fn on_response(&mut self, id: OutboundRequestId, response: WireResponse) {
        let Some(Sent {
            peer,
            protocol,
            answer,
        }) = self.sent.remove(&id)
        else {
            return;
        };
        let outcome = match response {
            WireResponse::Answer {
                protocol: answered,
                body,
            } if answered == protocol => {
                let label = ProtocolLabel { protocol };
                self.metrics
                    .response_bytes_received
                    .get_or_create(&label)
                    .inc_by(body.len() as u64);
                self.count_sent(protocol, Outcome::Answered);
                Ok(body)
            }
            WireResponse::Answer { .. } => {
                self.conduct.note(peer, Offence::BadAnswer);
                self.count_sent(protocol, Outcome::Failed);
                Err(RequestError::Malformed)
            }
            WireResponse::Busy => {
                self.count_sent(protocol, Outcome::Declined);
                Err(RequestError::Busy)
            }
            WireResponse::Refused => {
                self.count_sent(protocol, Outcome::Declined);
                Err(RequestError::Refused)
            }
        };
        // Whoever asked may have given up.
        let _ = answer.send(outcome);
    }

    fn on_failure(&mut self, id: OutboundRequestId, failure: &OutboundFailure) {
        let Some(Sent {
            peer,
            protocol,
            answer,
        }) = self.sent.remove(&id)
        else {
            return;
        };
        self.count_sent(protocol, Outcome::Failed);
        let error = match failure {
            OutboundFailure::DialFailure => RequestError::NotConnected,
            OutboundFailure::UnsupportedProtocols => RequestError::Refused,
            // The asker's own clock is shorter, so nobody waits for this any more.
            OutboundFailure::Timeout | OutboundFailure::ConnectionClosed => {
                RequestError::Disconnected
            }
            OutboundFailure::Io(error) => match offence_of(error) {
                Some(offence) => {
                    self.conduct.note(peer, offence);
                    RequestError::Malformed
                }
                None => RequestError::Disconnected,
            },
        };
        let _ = answer.send(Err(error));
    }

    fn count_sent(&self, protocol: Protocol, outcome: Outcome) {
        self.metrics
            .requests_sent
            .get_or_create(&OutcomeLabel { protocol, outcome })
            .inc();
    }

    fn count_received(&self, protocol: Protocol, outcome: Outcome) {
        self.metrics
            .requests_received
            .get_or_create(&OutcomeLabel { protocol, outcome })
            .inc();
    }
}
