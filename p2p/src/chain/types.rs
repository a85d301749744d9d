//! The words of the chain's network: topics, protocols, events, verdicts, errors.

use std::time::Duration;

use bytes::Bytes;
use libp2p::{Multiaddr, PeerId};
use prometheus_client::encoding::EncodeLabelValue;
use tokio::sync::oneshot;

/// What gossip is about. Each topic has its own size limit, rate limit and queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[derive(EncodeLabelValue)]
pub enum Topic {
    /// Proposals, votes and certificates.
    Consensus,
    /// Block parts with their proofs.
    Parts,
    /// Transactions on their way into a block.
    Transactions,
    /// Proof that a validator misbehaved.
    Evidence,
}

impl Topic {
    /// All topics, most urgent first.
    pub const ALL: [Self; 4] = [
        Self::Consensus,
        Self::Evidence,
        Self::Parts,
        Self::Transactions,
    ];

    /// The topic's part of the protocol name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Consensus => "consensus",
            Self::Parts => "parts",
            Self::Transactions => "transactions",
            Self::Evidence => "evidence",
        }
    }

    /// The largest message, in bytes. Both sides enforce it.
    #[must_use]
    pub const fn max_bytes(self) -> usize {
        match self {
            Self::Consensus => 4 * 1024,
            Self::Parts => 70 * 1024,
            Self::Transactions => 66 * 1024,
            Self::Evidence => 16 * 1024,
        }
    }
}

/// What can be asked of a peer. Each protocol has its own limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[derive(EncodeLabelValue)]
pub enum Protocol {
    /// Where the peer stands: height, round, versions.
    Status,
    /// Votes, proposals and certificates that the asker lacks.
    Votes,
    /// Block parts that the asker lacks.
    Parts,
    /// Mempool inventory, and transactions from it.
    Transactions,
    /// Committed blocks with their commits, for catching up.
    Blocks,
}

impl Protocol {
    /// All protocols, in the order of their numbers on the wire.
    pub const ALL: [Self; 5] = [
        Self::Status,
        Self::Votes,
        Self::Parts,
        Self::Transactions,
        Self::Blocks,
    ];

    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Status => 0,
            Self::Votes => 1,
            Self::Parts => 2,
            Self::Transactions => 3,
            Self::Blocks => 4,
        }
    }

    /// The protocol with this number on the wire.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The largest request, in bytes.
    #[must_use]
    pub const fn max_request_bytes(self) -> usize {
        match self {
            Self::Status | Self::Parts | Self::Blocks => 4 * 1024,
            Self::Votes => 16 * 1024,
            Self::Transactions => 64 * 1024,
        }
    }

    /// The largest response, in bytes.
    #[must_use]
    pub const fn max_response_bytes(self) -> usize {
        match self {
            Self::Status => 4 * 1024,
            Self::Votes => 256 * 1024,
            Self::Parts | Self::Transactions => 1024 * 1024,
            Self::Blocks => 5 * 1024 * 1024,
        }
    }
}

/// What the receiver found out about a gossiped message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[derive(EncodeLabelValue)]
pub enum Verdict {
    /// Valid: forward it.
    Accept,
    /// Not useful here, though nobody is to blame (old, a duplicate, not checkable yet): do not
    /// forward it.
    Ignore,
    /// Invalid by itself, so whoever forwarded it did not check it: do not forward it, and hold it
    /// against the sender.
    Reject,
}

/// Stands for a received message until its verdict is reported. Dropping it is the same as
/// [`Verdict::Ignore`].
#[derive(Debug, PartialEq, Eq)]
pub struct MessageToken {
    pub(crate) source: PeerId,
    pub(crate) topic: Topic,
    pub(crate) id: [u8; 32],
    /// The author could not reach every validator itself, so the message must be passed on between
    /// them.
    pub(crate) relay: bool,
}

impl MessageToken {
    /// The neighbour that the message came from (not necessarily its author).
    #[must_use]
    pub const fn source(&self) -> PeerId {
        self.source
    }

    /// The topic that the message came on.
    #[must_use]
    pub const fn topic(&self) -> Topic {
        self.topic
    }
}

/// The way back to a peer that asked something. Dropping it tells the peer that the request was
/// refused.
#[derive(Debug)]
pub struct Reply {
    pub(crate) sender: oneshot::Sender<Bytes>,
}

impl Reply {
    /// Answers the request. Does not wait; an answer above the protocol's limit becomes a refusal.
    pub fn send(self, body: impl Into<Bytes>) {
        // The asker may be gone; then there is nobody to tell.
        let _ = self.sender.send(body.into());
    }
}

/// A connected peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerInfo {
    /// Its identity.
    pub peer: PeerId,
    /// Where it is connected from or to.
    pub address: Multiaddr,
    /// Who dialled.
    pub direction: Direction,
}

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[derive(EncodeLabelValue)]
pub enum Direction {
    /// The peer dialled us.
    Inbound,
    /// We dialled the peer.
    Outbound,
}

/// What the network tells the node.
#[derive(Debug)]
pub enum NetworkEvent {
    /// A peer of this network is there.
    PeerConnected(PeerInfo),
    /// The last connection to a peer is gone.
    PeerDisconnected(PeerId),
    /// A gossiped message, not forwarded yet: check it and report the verdict for its token.
    Message {
        /// The topic.
        topic: Topic,
        /// The message itself, within [`Topic::max_bytes`].
        data: Bytes,
        /// To be handed to [`Handle::report`](super::Handle::report).
        token: MessageToken,
    },
    /// A peer asks something.
    Request {
        /// Who asks.
        peer: PeerId,
        /// What about.
        protocol: Protocol,
        /// The question, within [`Protocol::max_request_bytes`].
        body: Bytes,
        /// The way back.
        reply: Reply,
    },
}

/// Why the network could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address could not be listened on.
    #[error(
        "cannot listen on {address}: {reason}; choose another address, or stop what uses this one"
    )]
    Listen {
        /// The address as configured.
        address: Multiaddr,
        /// What the operating system said.
        reason: String,
    },
    /// A configured peer has no identity, or one that cannot be used.
    #[error("persistent peer: {0}")]
    Peer(#[from] crate::identity::IdentityError),
    /// The transports or protocols could not be set up.
    #[error("cannot set up the network: {0}")]
    Setup(String),
}

/// Why a message was not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The message is above the topic's limit: let peers pull it instead.
    #[error("{bytes} bytes are more than the {limit} of topic {}", topic.name())]
    TooLarge {
        /// The topic.
        topic: Topic,
        /// The size of the message.
        bytes: usize,
        /// The limit of the topic.
        limit: usize,
    },
    /// The network task has not caught up with earlier commands: try again, or let peers pull it.
    #[error("too many messages are waiting to be published")]
    Busy,
    /// The network has stopped.
    #[error("the network has stopped")]
    Stopped,
}

/// Why a request has no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The request is above the protocol's limit.
    #[error("{bytes} bytes are more than the {limit} of a request")]
    TooLarge {
        /// The size of the request.
        bytes: usize,
        /// The limit of the protocol.
        limit: usize,
    },
    /// There is no connection to this peer: ask another one.
    #[error("the peer is not connected")]
    NotConnected,
    /// Too much is asked at once, here or there: try again later, or ask another peer.
    #[error("too many requests at once")]
    Busy,
    /// The peer has nothing to say to this.
    #[error("the peer refused to answer")]
    Refused,
    /// No response within this time: ask another peer.
    #[error("no response within {0:?}")]
    Timeout(Duration),
    /// The connection or the stream was lost on the way: ask again.
    #[error("the connection was lost")]
    Disconnected,
    /// The peer's response broke the protocol (it was penalised for that): ask another peer.
    #[error("the response was malformed")]
    Malformed,
    /// The network has stopped.
    #[error("the network has stopped")]
    Stopped,
}
