//! The container back end: any engine that speaks Docker's API (Docker, Podman).
//!
//! One bridge network for each lease, in which its services find each other by name; one container for each replica,
//! with limits, without capabilities, without mounts. The firewall's table is in place before a lease's first container
//! starts. What runs is recognised by its labels, so a restarted daemon knows it again, and two providers on one engine
//! never touch each other's.

mod ending;
pub mod engine;
mod exec;
mod image;
mod logs;
mod lookup;
mod network;
mod objects;
mod spec;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use bollard::query_parameters::{
    CreateContainerOptionsBuilder, EventsOptionsBuilder, RemoveContainerOptionsBuilder,
    StopContainerOptionsBuilder,
};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use tokio::sync::Mutex;

use self::engine::{Engine, error};
use self::objects::Object;
use super::*;
use crate::firewall::{Firewall, FirewallError};

/// How long a replica of a new version must run before the old one is removed.
const SETTLE: Duration = Duration::from_secs(3);

/// How long a container that goes for good has to end after SIGTERM, in seconds. Shorter than for one that is stopped:
/// what its lease held is free within 10 s of the proof that the lease is over.
const REMOVAL_GRACE_SECONDS: i32 = 3;

/// What the back end is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The engine's socket; found where it usually is when not given.
    pub engine_socket: Option<PathBuf>,
    /// Whose objects these are.
    pub instance: Instance,
    /// Allows images whose user is root on a shared kernel.
    pub allow_root: bool,
    /// Images that are taken from the engine as they are, never pulled.
    pub local_images: Vec<String>,
}

/// Leases as containers.
pub struct ContainerBackend {
    config: Config,
    engine: Engine,
    capabilities: Capabilities,
    /// The table, where it could be installed. Held while the networks are listed and the table replaced, so that a
    /// slower list never overwrites a newer one.
    firewall: Mutex<Option<Firewall>>,
}

impl Config {
    /// Connects to the engine and installs the firewall's table.
    ///
    /// # Errors
    /// [`BackendError::Unreachable`] when there is no engine.
    pub async fn build(self) -> Result<ContainerBackend, BackendError> {
        let mut backend = self.connect().await?;
        let installed = backend.refresh_firewall().await;
        backend.capabilities.network_isolated = installed.is_ok();
        if let Err(cause) = installed {
            tracing::warn!(target: LOG, %cause, "leases are not kept apart; this provider says network=open");
            backend.firewall = Mutex::new(None);
        }
        backend.end_orphans().await;
        Ok(backend)
    }

    /// Connects to the engine and changes nothing, to look beside a daemon that runs.
    ///
    /// # Errors
    /// [`BackendError::Unreachable`] when there is no engine.
    pub async fn connect(self) -> Result<ContainerBackend, BackendError> {
        let socket = engine::find_socket(self.engine_socket.clone())?;
        let engine = Engine::connect(&socket).await?;
        let isolation = match (engine.isolation, self.allow_root) {
            (Isolation::Restricted, true) => Isolation::None,
            (isolation, _) => isolation,
        };
        let firewall = Firewall::new(&self.instance.short());
        let capabilities = Capabilities {
            isolation,
            network_isolated: check(firewall.clone()).await.is_ok(),
            offers: Offers::default(),
            traffic: Traffic::Ingress,
        };
        Ok(ContainerBackend {
            config: self,
            engine,
            capabilities,
            firewall: Mutex::new(Some(firewall)),
        })
    }
}

impl ContainerBackend {
    fn instance(&self) -> &Instance {
        &self.config.instance
    }

    async fn refresh_firewall(&self) -> Result<(), BackendError> {
        let firewall = self.firewall.lock().await;
        let Some(firewall) = firewall.as_ref() else {
            return Ok(());
        };
        let networks = network::list(&self.engine, self.instance()).await?;
        let networks: Vec<_> = networks
            .iter()
            .map(network::for_firewall)
            .collect::<Result<_, _>>()?;
        let firewall = firewall.clone();
        let installed = beside(move || firewall.install(&networks)).await;
        installed.map_err(|cause| BackendError::Engine(cause.to_string()))
    }

    /// Ends the commands of an earlier daemon: their tenants' streams went with it. They are listed before a new one can
    /// begin, and ended while the daemon goes on.
    async fn end_orphans(&self) {
        let objects = match objects::of_instance(&self.engine, self.instance()).await {
            Ok(objects) => objects,
            Err(cause) => {
                tracing::warn!(target: LOG, %cause, "commands of an earlier daemon may run on");
                return;
            }
        };
        for object in objects {
            for command in object.commands {
                let command = exec::Command::of(&self.engine, &object.id, command);
                tokio::spawn(async move { command.end().await });
            }
        }
    }

    async fn apply_lease(&self, lease: &LeaseSpec) -> Result<(), BackendError> {
        let network = network::ensure(&self.engine, self.instance(), lease.key).await?;
        // Before the first container starts, so that there is no moment in which it is out.
        self.refresh_firewall().await?;
        let there = objects::of_lease(&self.engine, self.instance(), lease.key).await?;
        let plan = Replacement::plan(lease, &there);

        for object in &plan.start {
            self.engine
                .api
                .start_container(&object.id, None)
                .await
                .map_err(error)?;
        }
        let used: BTreeSet<_> = there.iter().filter_map(|object| object.ipv4()).collect();
        let addresses = network::free_addresses(&network, &used, plan.create.len())?;
        let mut made = Vec::new();
        for ((service, replica), address) in plan.create.iter().zip(addresses) {
            match self.create(lease, service, *replica, address).await {
                Ok(id) => made.push((service.name.clone(), *replica, id)),
                Err(cause) => {
                    self.discard(&made).await;
                    return Err(cause);
                }
            }
        }
        if !plan.outdated.is_empty()
            && !made.is_empty()
            && let Err(cause) = self.settle(&made).await
        {
            self.discard(&made).await;
            return Err(cause);
        }
        for object in plan.outdated {
            self.remove_container(&object.id).await?;
        }
        Ok(())
    }

    async fn create(
        &self,
        lease: &LeaseSpec,
        service: &ServiceSpec,
        replica: u32,
        address: std::net::Ipv4Addr,
    ) -> Result<String, BackendError> {
        image::pull(&self.engine, service, &self.config.local_images).await?;
        let user = image::user(&self.engine, service, self.capabilities.isolation).await?;
        let dialect = self.engine.dialect;
        let definition = spec::definition(
            self.instance(),
            lease,
            service,
            replica,
            &user,
            address,
            dialect,
        );
        let options = CreateContainerOptionsBuilder::default()
            .name(&definition.name)
            .build();
        let made = self
            .engine
            .api
            .create_container(Some(options), definition.body)
            .await
            .map_err(error)?;
        if let Err(cause) = self.engine.api.start_container(&made.id, None).await {
            let _ = self.remove_container(&made.id).await;
            return Err(engine::not_started(&service.name, error(cause)));
        }
        tracing::info!(
            target: LOG, lease = %lease.key.lease, service = %service.name, replica, "started a container"
        );
        Ok(made.id)
    }

    /// Waits until the new replicas have run for a while; an error when one of them ended.
    async fn settle(&self, made: &[(String, u32, String)]) -> Result<(), BackendError> {
        tokio::time::sleep(SETTLE).await;
        for (service, replica, id) in made {
            let seen = lookup::inspect(&self.engine, id).await?;
            let state = seen.state.unwrap_or_default();
            if state.running != Some(true) {
                return Err(BackendError::Refused(format!(
                    "replica {replica} of the new {service} ended with code {}; the last good version runs on",
                    state.exit_code.unwrap_or_default()
                )));
            }
        }
        Ok(())
    }

    async fn discard(&self, made: &[(String, u32, String)]) {
        for (_, _, id) in made {
            if let Err(cause) = self.remove_container(id).await {
                tracing::warn!(target: LOG, %cause, id, "a container of a failed update is still there");
            }
        }
    }

    async fn remove_container(&self, id: &str) -> Result<(), BackendError> {
        let options = StopContainerOptionsBuilder::default()
            .t(REMOVAL_GRACE_SECONDS)
            .build();
        match self
            .engine
            .api
            .stop_container(id, Some(options))
            .await
            .map_err(error)
        {
            Ok(()) | Err(BackendError::Missing(_)) => {}
            Err(BackendError::Unreachable(cause)) => return Err(BackendError::Unreachable(cause)),
            // It does not stop: removing it by force ends it.
            Err(cause) => tracing::debug!(target: LOG, %cause, id, "a container does not stop"),
        }
        let options = RemoveContainerOptionsBuilder::default()
            .force(true)
            .v(true)
            .build();
        match self
            .engine
            .api
            .remove_container(id, Some(options))
            .await
            .map_err(error)
        {
            Ok(()) | Err(BackendError::Missing(_)) => Ok(()),
            Err(cause) => Err(cause),
        }
    }

    async fn remove_lease(&self, key: LeaseKey) -> Result<(), BackendError> {
        let there = objects::of_lease(&self.engine, self.instance(), key).await?;
        let removals = there.iter().map(|object| self.remove_container(&object.id));
        for outcome in futures::future::join_all(removals).await {
            outcome?;
        }
        let name = spec::network_name(self.instance(), key);
        match self.engine.api.remove_network(&name).await.map_err(error) {
            Ok(()) | Err(BackendError::Missing(_)) => {}
            Err(cause) => return Err(cause),
        }
        self.refresh_firewall().await
    }

    async fn find(
        &self,
        key: LeaseKey,
        service: &str,
        replica: u32,
    ) -> Result<Object, BackendError> {
        objects::of_lease(&self.engine, self.instance(), key)
            .await?
            .into_iter()
            .filter(|object| object.service == service && object.replica == replica)
            // While an update runs there may be two: the one that runs is meant, and of two the newer.
            .max_by_key(|object| (object.is_running(), object.created))
            .ok_or_else(|| {
                BackendError::Missing(format!("replica {replica} of the service {service:?}"))
            })
    }
}

/// What has to happen to a lease's containers.
struct Replacement<'a> {
    create: Vec<(&'a ServiceSpec, u32)>,
    start: Vec<Object>,
    outdated: Vec<Object>,
}

impl<'a> Replacement<'a> {
    fn plan(lease: &'a LeaseSpec, there: &[Object]) -> Replacement<'a> {
        let mut right: BTreeMap<(String, u32), Object> = BTreeMap::new();
        let mut outdated = Vec::new();
        for object in there {
            let wanted = lease.services.iter().any(|service| {
                service.name == object.service
                    && object.replica < service.replicas
                    && service.fingerprint() == object.fingerprint
            });
            let slot = (object.service.clone(), object.replica);
            if wanted && !right.contains_key(&slot) {
                right.insert(slot, object.clone());
            } else {
                outdated.push(object.clone());
            }
        }
        let create = lease
            .services
            .iter()
            .flat_map(|service| (0..service.replicas).map(move |replica| (service, replica)))
            .filter(|(service, replica)| !right.contains_key(&(service.name.clone(), *replica)))
            .collect();
        // What was made and never started; what ended is started again when the daemon says so.
        let start = right
            .into_values()
            .filter(|object| object.state == ReplicaState::Waiting)
            .collect();
        Replacement {
            create,
            start,
            outdated,
        }
    }
}

impl Backend for ContainerBackend {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn observe(&self) -> BoxFuture<'_, Result<Vec<SeenLease>, BackendError>> {
        async {
            let mut leases: BTreeMap<LeaseKey, SeenLease> = BTreeMap::new();
            let nothing = |key| SeenLease {
                key,
                replicas: Vec::new(),
                interface: Some(spec::bridge_name(self.instance(), key)),
                public_ports: BTreeMap::new(),
            };
            // A lease whose containers are gone still has its network, and must be seen to be removed.
            for network in network::list(&self.engine, self.instance()).await? {
                let labels = network.labels.unwrap_or_default();
                if let Some(key) = objects::key_of(&labels) {
                    leases.entry(key).or_insert_with(|| nothing(key));
                }
            }
            for object in objects::of_instance(&self.engine, self.instance()).await? {
                let key = object.key;
                let lease = leases.entry(key).or_insert_with(|| nothing(key));
                lease.replicas.push(object.into_seen());
            }
            Ok(leases.into_values().collect())
        }
        .boxed()
    }

    fn apply<'a>(&'a self, spec: &'a LeaseSpec) -> BoxFuture<'a, Result<(), BackendError>> {
        self.apply_lease(spec).boxed()
    }

    fn start_again<'a>(
        &'a self,
        key: LeaseKey,
        service: &'a str,
        replica: u32,
    ) -> BoxFuture<'a, Result<(), BackendError>> {
        async move {
            let object = self.find(key, service, replica).await?;
            let started = self.engine.api.start_container(&object.id, None).await;
            started.map_err(error)
        }
        .boxed()
    }

    fn remove(&self, key: LeaseKey) -> BoxFuture<'_, Result<(), BackendError>> {
        self.remove_lease(key).boxed()
    }

    fn disk_use(
        &self,
        key: LeaseKey,
    ) -> BoxFuture<'_, Result<Vec<(String, u32, u64)>, BackendError>> {
        objects::disk_use(&self.engine, self.instance(), key).boxed()
    }

    fn evict_replica<'a>(
        &'a self,
        key: LeaseKey,
        service: &'a str,
        replica: u32,
    ) -> BoxFuture<'a, Result<(), BackendError>> {
        async move {
            let object = self.find(key, service, replica).await?;
            self.remove_container(&object.id).await
        }
        .boxed()
    }

    fn logs(
        &self,
        key: LeaseKey,
        request: LogRequest,
    ) -> BoxFuture<'_, Result<BoxStream<'static, Result<LogChunk, BackendError>>, BackendError>>
    {
        async move {
            let there = objects::of_lease(&self.engine, self.instance(), key).await?;
            logs::of(&self.engine, there, &request)
        }
        .boxed()
    }

    fn exec(
        &self,
        key: LeaseKey,
        request: ExecRequest,
    ) -> BoxFuture<'_, Result<ExecSession, BackendError>> {
        async move {
            let object = self.find(key, &request.service, request.replica).await?;
            exec::start(&self.engine, &object.id, request).await
        }
        .boxed()
    }

    fn inventory(&self) -> Inventory {
        self.engine.inventory
    }

    fn changes(&self) -> BoxStream<'static, ()> {
        let label = format!("{}={}", spec::label::INSTANCE, self.instance().short());
        let filters = std::collections::HashMap::from([
            ("type".to_owned(), vec!["container".to_owned()]),
            ("label".to_owned(), vec![label]),
        ]);
        let options = EventsOptionsBuilder::default().filters(&filters).build();
        let events = self.engine.api.events(Some(options));
        events
            .filter_map(|event| async move { event.ok().map(|_| ()) })
            .boxed()
    }

    fn doctor(&self) -> BoxFuture<'_, Vec<Finding>> {
        async {
            vec![
                self.engine_finding().await,
                self.network_finding().await,
                self.commands_finding().await,
            ]
        }
        .boxed()
    }
}

/// What `doctor` looks at.
impl ContainerBackend {
    async fn engine_finding(&self) -> Finding {
        let (healthy, says) = match self.engine.api.ping().await {
            Ok(_) => {
                let (dialect, isolation) = (self.engine.dialect, self.capabilities.isolation);
                (true, format!("{dialect:?} answers, isolation={isolation}"))
            }
            Err(cause) => (
                false,
                format!("it does not answer: {cause}; start it again"),
            ),
        };
        finding("container engine", healthy, says)
    }

    async fn network_finding(&self) -> Finding {
        let firewall = self.firewall.lock().await.clone();
        let (healthy, says) = match firewall {
            Some(firewall) => match check(firewall.clone()).await {
                Ok(()) => (true, format!("the table inet {} stands", firewall.table())),
                Err(cause) => (false, cause.to_string()),
            },
            None => (
                false,
                "the firewall's table could not be installed at start, so this provider says network=open; \
                 run it as root or with CAP_NET_ADMIN, with nftables installed"
                    .to_owned(),
            ),
        };
        finding("network isolation", healthy, says)
    }

    /// Whether commands in containers can be ended from here. Any container that runs can tell.
    async fn commands_finding(&self) -> Finding {
        let (healthy, says) = match self.check_commands().await {
            Ok(true) => (true, "they end with their tenant's stream".to_owned()),
            Ok(false) => (true, "not known before the first container runs".to_owned()),
            Err(cause) => (
                false,
                format!("a command runs on when its tenant goes: {cause}"),
            ),
        };
        finding("remote commands", healthy, says)
    }

    /// Whether there was a container to look at.
    async fn check_commands(&self) -> Result<bool, ending::EndError> {
        let objects = objects::of_instance(&self.engine, self.instance()).await?;
        let Some(object) = objects.iter().find(|object| object.is_running()) else {
            return Ok(false);
        };
        let seen = lookup::inspect(&self.engine, &object.id).await?;
        let first = seen.state.and_then(|state| state.pid);
        ending::check(first.unwrap_or_default(), &object.id)?;
        Ok(true)
    }
}

/// Whether the table stands.
async fn check(firewall: Firewall) -> Result<(), FirewallError> {
    beside(move || firewall.check()).await
}

/// Runs `nft`, which is waited for, beside the tasks that serve.
async fn beside(
    work: impl FnOnce() -> Result<(), FirewallError> + Send + 'static,
) -> Result<(), FirewallError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|cause| FirewallError::Run(cause.into()))?
}

fn finding(subject: &str, healthy: bool, says: String) -> Finding {
    Finding {
        subject: subject.to_owned(),
        healthy,
        says,
    }
}
