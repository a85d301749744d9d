//! The network of one chain: gossip, and asking single peers.

mod behaviour;
mod codec;
mod config;
mod driver;
mod gossip;
mod handle;
mod inspector;
mod lanes;
mod meters;
mod metrics;
mod network;
mod redial;
mod requests;
mod roster;
mod types;

pub use config::{Config, ConnectionLimits, Rates};
pub use handle::Handle;
pub use lanes::Events;
pub use metrics::{
    DirectionLabel, DropLabel, DropReason, Metrics, Outcome, OutcomeLabel, ProtocolLabel,
    TopicLabel, VerdictLabel,
};
pub use network::Network;
pub use types::{
    Direction, MessageToken, NetworkEvent, PeerInfo, Protocol, PublishError, Reply, RequestError,
    StartError, Topic, Verdict,
};

// For the simulated twin, which shares everything above the wire.
pub(crate) use handle::{Answer, Command, Ends, handle};
pub(crate) use lanes::{Lanes, lanes};
pub(crate) use roster::Roster;
