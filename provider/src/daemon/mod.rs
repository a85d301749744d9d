//! The daemon: assembled here, from top to bottom.
//!
//! ```text
//!   tenants ── peer channel ──> gateway (tenancy) ──> book, manifests, back end
//!   strangers                        │ wakes    └──> quotes: what the trader would bid
//!   chain ── proven looks ──> reconcile ──> planner ──> back end        bids, withdrawals ──> chain
//!                                    └──> routes.json ──> ingress (another process)
//! ```
//!
//! The chain and the engine are the truth. What is kept beside them is the sealed manifests, the ports that tenants have,
//! the highest height that was ever proven, and, for tenants to read, what their leases went through.

pub mod bidding;
pub mod book;
pub mod fence;
pub mod health;
pub mod journal;
pub mod knock;
pub mod look;

mod quotes;
pub mod reconcile;
mod records;
mod registration;
pub mod report;
pub mod restarts;
pub mod routing;
pub mod serve;
pub mod tenancy;
pub mod trade;
pub mod watch;
mod works;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use tokio::sync::Notify;
use welkin_client::Chain;
use welkin_client::keyring::Keyring;
use welkin_modules::deployment::types::Params as DeploymentParams;
use welkin_p2p::channel::Listener;
use welkin_p2p::{Keypair, identity};
use welkin_provider_api::delegation::NonceCache;
use welkin_runtime::Address;
use welkin_runtime::crypto::SigningKey;

pub use watch::{Status, Watch};

use crate::backend::container::Config as ContainerConfig;
use crate::backend::kubernetes::{self, KubernetesBackend};
use crate::backend::{Backend, Instance};
use crate::bid::Offering;
use crate::config::Config;
use crate::manifests::{Manifests, SealingKey};
use journal::Journal;
use look::Looker;
use quotes::Quotes;
use reconcile::{Parts, Reconciler};
use registration::patiently;
use tenancy::Gateway;

/// Log target of the daemon.
pub const LOG: &str = "welkin::provider";

/// How long one look waits for a node that lags, or for the next block.
const LOOK_PATIENCE_MS: u64 = 5_000;
/// The pause at a start before a chain that did not answer is asked again.
const PAUSE: Duration = Duration::from_secs(1);
/// The name of the socket in the provider's folder on which `status` is answered.
pub const STATUS_SOCKET: &str = "status.sock";

/// A daemon that is built and does not run yet.
pub struct Daemon {
    reconciler: Reconciler,
    trader: trade::Trader,
    gateway: Gateway,
    listener: Listener,
    watch: Watch,
    home: PathBuf,
    metrics_listen: Option<std::net::SocketAddr>,
    /// Held while the daemon runs: two on one folder would fight.
    _lock: std::fs::File,
}

/// The provider's account key and the identity of its peer channel.
pub struct Identity {
    /// Signs transactions.
    pub key: SigningKey,
    /// Identifies the provider on the peer channel. Derived from the account's key, so that a new machine with that key
    /// is the same provider.
    pub channel: Keypair,
}

/// Opens the account's key.
///
/// # Errors
/// What is wrong with the password file or the key, and what to do.
pub fn identity(config: &Config) -> anyhow::Result<Identity> {
    let path = &config.password_file;
    let password = std::fs::read_to_string(path)
        .with_context(|| format!("the password file {} cannot be read", path.display()))?;
    let key = Keyring::new(&config.keyring).open(&config.key, password.trim_end_matches('\n'))?;
    let secret = blake3::derive_key("welkin provider channel identity v1", key.seed().as_ref());
    Ok(Identity {
        key,
        channel: identity::keypair_from_secret(secret),
    })
}

/// Builds the daemon: takes its folder, connects to chain and engine, registers the provider, listens.
///
/// # Errors
/// The first part that cannot be built, with what to do about it.
pub async fn build(config: Config) -> anyhow::Result<Daemon> {
    std::fs::create_dir_all(&config.home)
        .with_context(|| format!("the folder {} cannot be made", config.home.display()))?;
    let lock = take_lock(&config.home)?;
    let Identity { key, channel } = identity_beside(&config).await?;
    let chain = connect(&config).await?;
    let instance = Instance {
        genesis: chain.info().genesis_hash,
        provider: key.address(),
    };
    tracing::info!(target: LOG, provider = %instance.provider, chain = %chain.info().chain_id, "starting");

    let backend = back_end(&config, instance.clone()).await?;
    let sealing = SealingKey::derive(key.seed());
    let manifests = Manifests::open(config.home.join("manifests"), instance, sealing)?;
    let listener = listen(&config, &chain, channel).await?;
    let looker = Looker::new(chain.clone(), key.address());
    let can = backend.capabilities();
    let (offering, rules) = enter(&looker, &key, &config, &listener, backend.as_ref()).await?;

    let journal = Journal::new(config.home.join("journal"));
    let past = journal.clone();
    let past = tokio::task::spawn_blocking(move || past.read()).await?;
    let shared = Shared {
        chain: chain.clone(),
        backend,
        manifests: Arc::new(manifests),
        book: book::Book::new(past),
        wake: Arc::new(Notify::new()),
        watch: Watch::new(key.address().to_string(), chain.info().chain_id.clone()),
    };
    let (ledgers, seen_ledgers) = tokio::sync::watch::channel(None);
    let (views, seen_views) = tokio::sync::watch::channel(trade::View::default());
    let quotes = Quotes::new(offering.clone(), config.prices, rules, seen_ledgers);
    let gateway = shared.gateway(&config, key.address(), quotes);
    let reconciler = shared.reconciler(&config, looker, journal, views)?;
    let trader = trade::Parts {
        looker: Looker::new(chain, key.address()),
        key,
        offering,
        capacity: config.capacity,
        backend: shared.backend.clone(),
        prices: config.prices,
        home: config.home.clone(),
        traffic: can.traffic,
        watch: shared.watch.clone(),
        withdraw_interval: Duration::from_secs(config.withdraw_interval_s),
        views: seen_views,
        ledgers,
    }
    .build();
    Ok(Daemon {
        reconciler,
        trader,
        gateway,
        listener,
        watch: shared.watch,
        home: config.home,
        metrics_listen: config.metrics_listen,
        _lock: lock,
    })
}

/// What several parts of the daemon hold.
struct Shared {
    chain: Chain,
    backend: Arc<dyn Backend>,
    manifests: Arc<Manifests>,
    book: book::Book,
    wake: Arc<Notify>,
    watch: Watch,
}

impl Shared {
    fn gateway(&self, config: &Config, provider: Address, quotes: Quotes) -> Gateway {
        Gateway {
            chain: self.chain.info().clone(),
            provider,
            book: self.book.clone(),
            manifests: self.manifests.clone(),
            backend: self.backend.clone(),
            wake: self.wake.clone(),
            reach: report::Reach {
                http_port: config.public_http_port(),
                ports_host: config.ports_public_host.clone(),
            },
            nonces: Arc::new(Mutex::new(NonceCache::new())),
            quotes,
        }
    }

    fn reconciler(
        &self,
        config: &Config,
        looker: Looker,
        journal: Journal,
        views: tokio::sync::watch::Sender<trade::View>,
    ) -> anyhow::Result<Reconciler> {
        let parts = Parts {
            looker,
            backend: self.backend.clone(),
            manifests: self.manifests.clone(),
            book: self.book.clone(),
            journal,
            wake: self.wake.clone(),
            watch: self.watch.clone(),
            home: config.home.clone(),
            domain: config.domain.clone(),
            ports: config.ports_first..=config.ports_last,
            interval: Duration::from_millis(config.reconcile_interval_ms),
            views,
        };
        Ok(parts.build()?)
    }
}

impl Daemon {
    /// Runs until a part of it fails.
    ///
    /// # Errors
    /// Which part ended, and why.
    pub async fn run(self) -> anyhow::Result<()> {
        for address in self.listener.listening() {
            tracing::info!(target: LOG, %address, peer = %self.listener.local_peer(), "peer channel listens");
        }
        let status = serve::status(&self.home.join(STATUS_SOCKET), self.watch.clone()).await?;
        let metrics = serve::metrics(self.metrics_listen, self.watch.clone()).await?;
        let blocks = serve::wake_on_blocks(self.reconciler.chain(), self.gateway.wake.clone());
        let mut gateway = tokio::spawn(serve::tenants(self.listener, self.gateway));
        let mut reconciler = tokio::spawn(self.reconciler.run());
        let mut trader = tokio::spawn(self.trader.run());
        let ended = tokio::select! {
            ended = &mut gateway => ("gateway", ended),
            ended = &mut reconciler => ("reconcile loop", ended),
            ended = &mut trader => ("trader", ended),
            () = status => ("status socket", Ok(())),
            () = metrics => ("metrics", Ok(())),
            () = blocks => ("block watch", Ok(())),
        };
        gateway.abort();
        reconciler.abort();
        trader.abort();
        match ended {
            (part, Ok(())) => anyhow::bail!("the {part} ended"),
            (part, Err(error)) => Err(error).with_context(|| format!("the {part} failed")),
        }
    }
}

/// The account's key is locked by a function that takes its time on purpose.
async fn identity_beside(config: &Config) -> anyhow::Result<Identity> {
    let config = config.clone();
    tokio::task::spawn_blocking(move || identity(&config)).await?
}

async fn back_end(config: &Config, instance: Instance) -> anyhow::Result<Arc<dyn Backend>> {
    if let Some(cluster) = &config.kubernetes {
        let settings = cluster.settings(config, instance);
        let client = kubernetes::cluster::connect(cluster.kubeconfig.as_deref()).await?;
        return Ok(Arc::new(KubernetesBackend::new(client, settings).await?));
    }
    let backend = ContainerConfig {
        engine_socket: config.engine_socket.clone(),
        instance,
        allow_root: config.allow_root,
        local_images: config.local_images.clone(),
    };
    Ok(Arc::new(backend.build().await?))
}

/// Registers the provider as it is now; what it is for matching, and the chain's rules for what it may be asked.
async fn enter(
    looker: &Looker,
    key: &SigningKey,
    config: &Config,
    listener: &Listener,
    backend: &dyn Backend,
) -> anyhow::Result<(Offering, DeploymentParams)> {
    let attributes = registration::attributes(config, backend);
    let profile = registration::profile(config, listener, attributes.clone());
    patiently(PAUSE, || registration::register(looker, key, &profile))
        .await
        .with_context(|| format!("the provider {} cannot be registered", key.address()))?;
    let offering = Offering {
        attributes,
        attestations: patiently(PAUSE, || looker.attestations()).await?,
        offers: backend.capabilities().offers,
    };
    let rules = patiently(PAUSE, || looker.deployment_params()).await?;
    Ok((offering, rules))
}

fn take_lock(home: &std::path::Path) -> anyhow::Result<std::fs::File> {
    let path = home.join("daemon.lock");
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => anyhow::bail!(
            "another welkin-provider runs on {}; stop it first, or choose another `home`",
            home.display()
        ),
        Err(std::fs::TryLockError::Error(error)) => Err(error.into()),
    }
}

/// Connects to the chain, pinned to the genesis file.
///
/// # Errors
/// [`welkin_client::ClientError`].
pub async fn connect(config: &Config) -> anyhow::Result<Chain> {
    let trust = welkin_client::Trust::File(config.genesis.clone());
    let mut client =
        welkin_client::Config::new(config.rpc.clone(), config.home.join("chain"), trust);
    // A look that waits holds up everything that does not need the chain: it is taken anew instead.
    client.light.wait_ms = LOOK_PATIENCE_MS;
    Ok(Chain::connect(client).await?)
}

async fn listen(config: &Config, chain: &Chain, channel: Keypair) -> anyhow::Result<Listener> {
    let mut listen = welkin_p2p::channel::Config::new(chain.info().genesis_hash.0);
    for text in &config.channel_listen {
        listen.listen.push(identity::parse_address(text)?);
    }
    Ok(Listener::start(&listen, channel).await?)
}
