//! Starts the network.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use libp2p::identity::Keypair;
use tracing::Instrument as _;

use super::Metrics;
use super::behaviour::{Parts, REQUEST_STREAMS, behaviour};
use super::config::Config;
use super::driver::Driver;
use super::gossip::topics;
use super::handle::{self, Handle};
use super::inspector::Inspector;
use super::lanes::{self, Events};
use super::meters::Meters;
use super::redial::Redial;
use super::requests::Requests;
use super::roster::Roster;
use super::types::StartError;
use crate::conduct::Conduct;
use crate::identity::network_name;
use crate::transport::{self, Bounds};

/// Requests of both directions, gossip, identify and ping, with room for streams that are just
/// closing.
const STREAMS_PER_CONNECTION: u32 = 2 * REQUEST_STREAMS;

/// The network of one chain.
#[derive(Debug)]
pub struct Network;

impl Network {
    /// Listens, starts the network's task, and returns the node's ends of it.
    ///
    /// The task ends when [`Handle::stop`] is called or the last handle is dropped;
    /// [`Handle::stopped`] tells.
    ///
    /// # Errors
    /// [`StartError`] says which address or peer is at fault. Nothing keeps running then.
    pub async fn start(config: Config, keypair: Keypair) -> Result<(Handle, Events), StartError> {
        let local_peer = keypair.public().to_peer_id();
        let network = network_name(&config.genesis_hash);
        let redial = Redial::new(&config.persistent_peers, local_peer, Instant::now())?;
        let others = config
            .explicit_peers
            .iter()
            .copied()
            .filter(|peer| *peer != local_peer);
        let explicit: BTreeSet<_> = others.collect();

        let metrics = Metrics::default();
        let conduct = Conduct::new(metrics.offences.clone(), metrics.bans.clone());
        let meters = Meters::new(config.rates);
        let inspector = Inspector::new(topics(&network), meters, conduct.clone(), metrics.clone());
        let parts = Parts {
            network: &network,
            key: keypair.public(),
            welcome: redial.peers().chain(&explicit).copied().collect(),
            explicit: &explicit,
            inspector: inspector.clone(),
            conduct: conduct.clone(),
        };
        let behaviour = behaviour(&config, parts).map_err(StartError::Setup)?;
        let bounds = Bounds {
            streams: STREAMS_PER_CONNECTION,
            stream_window_bytes: 1 << 20,
            idle: Duration::from_secs(60),
        };
        let mut swarm =
            transport::build_swarm(keypair, bounds, behaviour).map_err(StartError::Setup)?;
        let listening = transport::listen(&mut swarm, &config.listen)
            .await
            .map_err(|(address, reason)| StartError::Listen { address, reason })?;

        let (lanes, events) = lanes::lanes();
        let (handle, ends) = handle::handle(
            local_peer,
            listening.addresses,
            config.request_timeout,
            metrics.clone(),
        );
        let driver = Driver {
            swarm,
            network,
            lanes,
            redial,
            roster: Roster::new(ends.peers.clone(), explicit),
            requests: Requests::new(inspector.clone(), conduct.clone(), metrics),
            ends,
            inspector,
            conduct,
        };
        let span = tracing::info_span!(target: crate::LOG_TARGET, "p2p-chain", peer = %local_peer);
        tokio::spawn(driver.run(listening.earlier).instrument(span));
        Ok((handle, events))
    }
}
