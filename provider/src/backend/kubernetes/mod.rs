//! The Kubernetes back end: what a lease is in a cluster, and how it gets there.
//!
//! ```text
//!   LeaseSpec ── objects ──> namespace, policies, quota, secrets, workloads, Services, Ingress ── admit ──> cluster
//!   SeenLease <── observe ── namespaces, pods <──────────────────────────────────────────────────────────── cluster
//! ```
//!
//! One namespace for each lease, closed to all but its own, the resolver, the internet and the ways in that its manifest
//! opens. Everything carries the instance's labels, and nothing else is touched. Applying takes as long as the version's
//! rollout: old replicas stay until the new ones are ready, and where these do not come up the last good version is
//! applied again.
//!
//! Deliberately not here: operators and definitions of our own in the cluster. What runs is plain Kubernetes, so that
//! `kubectl` shows all of it. Restarting what ends is the kubelet's.

pub mod admit;
pub mod cluster;
mod exec;
pub mod inventory;
mod logs;
pub mod names;
pub mod objects;
pub mod observe;
mod probe;
pub mod rollout;
pub mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, ResourceQuota, Secret, Service};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::node::v1::RuntimeClass;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::ListParams;
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt};
use tokio::sync::Mutex;
use tokio::time::Instant;

use self::cluster::{Namespaced, apply, delete, end_all, error, everything, list};
use self::objects::{Objects, limits};
use self::observe::{Numbered, numbered};
use self::rollout::{Rollout, Workloads, rollout};
use self::settings::Settings;
use super::*;

/// How often a rollout is looked at where the cluster tells of no change.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// How long something may be wrong with a rollout before it is given up for this time.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a pod that goes for good has to end after SIGTERM: what its lease held is free within 10 s of the proof that
/// the lease is over.
const REMOVAL_GRACE_SECONDS: u32 = 3;
/// How often a namespace that goes is looked at, and how long before it is said what holds it up.
const REMOVAL_LOOK: Duration = Duration::from_millis(500);
const REMOVAL_PATIENCE: Duration = Duration::from_secs(30);

/// How old what is known of nodes may be when it is bid on.
const ROOM_AGE: Duration = Duration::from_secs(3);

/// Leases as namespaces.
pub struct KubernetesBackend {
    client: Client,
    settings: Settings,
    capabilities: Capabilities,
    inventory: Inventory,
    overhead: Inventory,
    room: Mutex<(Instant, Room)>,
    storage_classes: Vec<String>,
}

impl KubernetesBackend {
    /// The back end of a cluster that answers.
    ///
    /// # Errors
    /// [`BackendError`] when it does not, or has no such storage class as the settings name.
    pub async fn new(
        client: Client,
        settings: Settings,
    ) -> Result<KubernetesBackend, BackendError> {
        let overhead = match settings.isolation {
            Isolation::Gvisor => overhead(&client, &settings.sandbox_class).await?,
            Isolation::Restricted | Isolation::Userns | Isolation::None => Inventory::default(),
        };
        let room = room(&client, &settings.instance, overhead).await?;
        let classes = Api::<StorageClass>::all(client.clone())
            .list(&ListParams::default())
            .await
            .map_err(error)?;
        let storage_classes =
            inventory::storage_classes(&classes.items, &settings).map_err(BackendError::Refused)?;
        Ok(KubernetesBackend {
            capabilities: Capabilities {
                isolation: settings.isolation,
                network_isolated: true,
                offers: Offers {
                    persistent_volumes: !storage_classes.is_empty(),
                    memory_volumes: true,
                },
                traffic: Traffic::Cluster,
            },
            client,
            settings,
            inventory: room.total,
            overhead,
            room: Mutex::new((Instant::now(), room)),
            storage_classes,
        })
    }

    fn instance(&self) -> &Instance {
        &self.settings.instance
    }

    fn in_lease<K: Namespaced>(&self, key: LeaseKey) -> Api<K> {
        Api::namespaced(self.client.clone(), &names::namespace(self.instance(), key))
    }

    /// What is there of a kind in the lease's namespace.
    async fn there<K: Namespaced>(&self, key: LeaseKey) -> Result<Vec<K>, BackendError> {
        list(&self.in_lease(key), self.instance()).await
    }

    async fn workloads(&self, key: LeaseKey) -> Result<Workloads, BackendError> {
        Ok(Workloads {
            deployments: self.there(key).await?,
            stateful_sets: self.there(key).await?,
            pods: self.there(key).await?,
        })
    }

    async fn apply_lease(&self, lease: &LeaseSpec) -> Result<(), BackendError> {
        self.refuse_strangers(lease.key).await?;
        let wanted = objects::objects(&self.settings, lease, &self.made_for(lease).await?);
        for template in wanted.templates() {
            admit::check(&self.settings, template)
                .map_err(|cause| BackendError::Refused(cause.to_string()))?;
        }
        self.put(lease.key, &wanted).await?;
        self.prune(lease.key, &wanted).await?;
        self.arrive(lease).await?;
        apply(&self.in_lease(lease.key), &wanted.quota).await?;
        self.prune_kind::<Secret>(lease.key, &wanted.secrets).await
    }

    /// A namespace of this name that is not ours is an operator's, or of a chain that went another way.
    async fn refuse_strangers(&self, key: LeaseKey) -> Result<(), BackendError> {
        let name = names::namespace(self.instance(), key);
        let namespaces = Api::<Namespace>::all(self.client.clone());
        let Some(there) = namespaces.get_opt(&name).await.map_err(error)? else {
            return Ok(());
        };
        if names::lease_of(self.instance(), there.labels(), there.annotations()) != Some(key) {
            let text = format!(
                "the namespace {name} is there and does not carry this lease's labels; look who made it"
            );
            return Err(BackendError::Engine(text));
        }
        if there.metadata.deletion_timestamp.is_some() {
            return Err(BackendError::Engine(format!(
                "the namespace {name} is still going"
            )));
        }
        Ok(())
    }

    /// For which version the pods of each service were made that are right as they are.
    async fn made_for(&self, lease: &LeaseSpec) -> Result<BTreeMap<String, Hash>, BackendError> {
        let workloads = self.workloads(lease.key).await?;
        let templates = workloads
            .deployments
            .iter()
            .map(|one| one.spec.as_ref().map(|spec| &spec.template))
            .chain(
                workloads
                    .stateful_sets
                    .iter()
                    .map(|one| one.spec.as_ref().map(|spec| &spec.template)),
            );
        let mut made_for = BTreeMap::new();
        for metadata in templates
            .flatten()
            .filter_map(|template| template.metadata.as_ref())
        {
            let label = |key: &str| metadata.labels.as_ref()?.get(key);
            let version = metadata
                .annotations
                .as_ref()
                .and_then(|all| all.get(names::annotation::VERSION));
            let (Some(service), Some(spec)) =
                (label(names::label::SERVICE), label(names::label::SPEC))
            else {
                continue;
            };
            let wanted = lease.services.iter().find(|wanted| wanted.name == *service);
            if wanted.is_some_and(|wanted| wanted.fingerprint() == *spec)
                && let Some(version) = version.and_then(|text| names::hash(text))
            {
                made_for.insert(service.clone(), version);
            }
        }
        Ok(made_for)
    }

    /// Makes what is wanted: what holds and limits first, pods last.
    async fn put(&self, key: LeaseKey, wanted: &Objects) -> Result<(), BackendError> {
        apply(&Api::all(self.client.clone()), &wanted.namespace).await?;
        self.put_all(key, &wanted.policies).await?;
        let quotas = self.in_lease::<ResourceQuota>(key);
        let earlier = quotas
            .get_opt(&wanted.quota.name_any())
            .await
            .map_err(error)?;
        let quota = earlier.map(|earlier| limits::covering(wanted.quota.clone(), &earlier));
        apply(&quotas, quota.as_ref().unwrap_or(&wanted.quota)).await?;
        self.put_all(key, std::slice::from_ref(&wanted.limit_range))
            .await?;
        self.put_all(key, &wanted.secrets).await?;
        self.put_all(key, &wanted.services).await?;
        self.put_all(key, &wanted.ingresses).await?;
        self.put_all(key, &wanted.deployments).await?;
        self.put_all(key, &wanted.stateful_sets).await
    }

    async fn put_all<K: Namespaced>(
        &self,
        key: LeaseKey,
        objects: &[K],
    ) -> Result<(), BackendError> {
        let api = self.in_lease(key);
        for object in objects {
            apply(&api, object).await?;
        }
        Ok(())
    }

    /// Removes what is of an earlier version and not of this one. Secrets stay while pods may need them.
    async fn prune(&self, key: LeaseKey, wanted: &Objects) -> Result<(), BackendError> {
        self.prune_kind::<Ingress>(key, &wanted.ingresses).await?;
        self.prune_kind::<Service>(key, &wanted.services).await?;
        self.prune_kind::<Deployment>(key, &wanted.deployments)
            .await?;
        self.prune_kind::<StatefulSet>(key, &wanted.stateful_sets)
            .await?;
        self.prune_kind::<NetworkPolicy>(key, &wanted.policies)
            .await
    }

    async fn prune_kind<K: Namespaced>(
        &self,
        key: LeaseKey,
        wanted: &[K],
    ) -> Result<(), BackendError> {
        let api = self.in_lease(key);
        let names: BTreeSet<String> = wanted.iter().map(ResourceExt::name_any).collect();
        for object in list::<K>(&api, self.instance()).await? {
            if !names.contains(&object.name_any()) {
                delete(&api, &object).await?;
            }
        }
        Ok(())
    }

    /// Waits until the version runs as it should, or it is clear that it will not.
    async fn arrive(&self, lease: &LeaseSpec) -> Result<(), BackendError> {
        let mut changes = self.changes_of(lease.key);
        let mut troubled_since = None;
        loop {
            match rollout(lease, &self.workloads(lease.key).await?) {
                Rollout::Done => return Ok(()),
                Rollout::Failed(why) => return Err(BackendError::Refused(why)),
                Rollout::Underway => troubled_since = None,
                Rollout::Troubled(why) => {
                    let since = *troubled_since.get_or_insert_with(tokio::time::Instant::now);
                    if since.elapsed() >= PATIENCE {
                        return Err(BackendError::Engine(why));
                    }
                }
            }
            let _ = tokio::time::timeout(LOOK_INTERVAL, changes.next()).await;
        }
    }

    /// Yields when a pod of the lease changed.
    fn changes_of(&self, key: LeaseKey) -> BoxStream<'static, ()> {
        self.pod_changes(self.in_lease(key))
    }

    fn pod_changes(&self, pods: Api<Pod>) -> BoxStream<'static, ()> {
        let ours = cluster::selector(self.instance());
        let watched = watcher(pods, watcher::Config::default().labels(&ours));
        // A watch that broke is opened anew by whoever reads on.
        watched.map(drop).boxed()
    }

    async fn pods(&self, key: LeaseKey) -> Result<Vec<Pod>, BackendError> {
        self.there(key).await
    }

    async fn exec_in(
        &self,
        key: LeaseKey,
        request: ExecRequest,
    ) -> Result<ExecSession, BackendError> {
        let pods = self.pods(key).await?;
        let name = pod_of(&pods, &request.service, request.replica)?;
        exec::exec(&self.in_lease(key), &name, request).await
    }

    /// Returns once the namespace is gone, or says what holds it up.
    async fn remove_lease(&self, key: LeaseKey) -> Result<(), BackendError> {
        let namespaces = Api::<Namespace>::all(self.client.clone());
        let name = names::namespace(self.instance(), key);
        let began = tokio::time::Instant::now();
        let mut is_first = true;
        loop {
            let Some(there) = namespaces.get_opt(&name).await.map_err(error)? else {
                return Ok(());
            };
            if names::lease_of(self.instance(), there.labels(), there.annotations()) != Some(key) {
                return Ok(());
            }
            if std::mem::take(&mut is_first) {
                delete(&namespaces, &there).await?;
                // Nothing new starts there any more. What runs has less time than where it is stopped and goes on.
                end_all(
                    &self.in_lease::<Pod>(key),
                    self.instance(),
                    REMOVAL_GRACE_SECONDS,
                )
                .await?;
            } else if began.elapsed() >= REMOVAL_PATIENCE {
                return Err(BackendError::Engine(observe::held_up(&there)));
            }
            tokio::time::sleep(REMOVAL_LOOK).await;
        }
    }
}

/// What is free in the cluster.
async fn room(
    client: &Client,
    instance: &Instance,
    overhead: Inventory,
) -> Result<Room, BackendError> {
    let nodes = everything::<Node>(&Api::all(client.clone())).await?;
    let pods = everything::<Pod>(&Api::all(client.clone())).await?;
    Ok(inventory::room(instance, &nodes, &pods, overhead))
}

/// What each pod takes for its sandbox.
async fn overhead(client: &Client, class: &str) -> Result<Inventory, BackendError> {
    let classes = Api::<RuntimeClass>::all(client.clone());
    let there = classes.get_opt(class).await.map_err(error)?;
    let missing = || {
        BackendError::Refused(format!(
            "the cluster has no runtime class {class:?}, and isolation=gvisor needs one; install gVisor, or name it with \
             `sandbox_class` in `[kubernetes]`"
        ))
    };
    Ok(inventory::overhead(&there.ok_or_else(missing)?))
}

/// The pod of a replica: of several versions the one that runs, and of those the newest.
fn pod_of(pods: &[Pod], service: &str, replica: u32) -> Result<String, BackendError> {
    let meant = numbered(pods)
        .into_iter()
        .filter(|one| one.label(names::label::SERVICE) == service && one.replica == replica);
    let is_running = |pod: &Pod| {
        pod.status
            .as_ref()
            .and_then(|status| status.phase.as_deref())
            == Some("Running")
    };
    let best = meant.max_by_key(|one| {
        (
            is_running(one.pod),
            one.pod.metadata.creation_timestamp.clone(),
        )
    });
    let name = best.and_then(|one: Numbered<'_>| one.pod.metadata.name.clone());
    name.ok_or_else(|| {
        BackendError::Missing(format!("replica {replica} of the service {service:?}"))
    })
}

impl Backend for KubernetesBackend {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn observe(&self) -> BoxFuture<'_, Result<Vec<SeenLease>, BackendError>> {
        async {
            let namespaces =
                list(&Api::<Namespace>::all(self.client.clone()), self.instance()).await?;
            let pods = list(&Api::<Pod>::all(self.client.clone()), self.instance()).await?;
            let services = list(&Api::<Service>::all(self.client.clone()), self.instance()).await?;
            Ok(observe::leases(
                self.instance(),
                &namespaces,
                &pods,
                &services,
            ))
        }
        .boxed()
    }

    fn apply<'a>(&'a self, spec: &'a LeaseSpec) -> BoxFuture<'a, Result<(), BackendError>> {
        self.apply_lease(spec).boxed()
    }

    /// The kubelet does so by itself.
    fn start_again<'a>(
        &'a self,
        _: LeaseKey,
        _: &'a str,
        _: u32,
    ) -> BoxFuture<'a, Result<(), BackendError>> {
        futures::future::ready(Ok(())).boxed()
    }

    fn remove(&self, key: LeaseKey) -> BoxFuture<'_, Result<(), BackendError>> {
        self.remove_lease(key).boxed()
    }

    /// The kubelet measures it, and ends pods that use too much.
    fn disk_use(
        &self,
        _: LeaseKey,
    ) -> BoxFuture<'_, Result<Vec<(String, u32, u64)>, BackendError>> {
        futures::future::ready(Ok(Vec::new())).boxed()
    }

    fn evict_replica<'a>(
        &'a self,
        key: LeaseKey,
        service: &'a str,
        replica: u32,
    ) -> BoxFuture<'a, Result<(), BackendError>> {
        async move {
            let pods = self.pods(key).await?;
            let name = pod_of(&pods, service, replica)?;
            match pods
                .iter()
                .find(|pod| pod.metadata.name.as_ref() == Some(&name))
            {
                Some(pod) => delete(&self.in_lease(key), pod).await,
                None => Ok(()),
            }
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
            let pods = self.pods(key).await?;
            logs::logs(&self.in_lease(key), &numbered(&pods), &request).await
        }
        .boxed()
    }

    fn exec(
        &self,
        key: LeaseKey,
        request: ExecRequest,
    ) -> BoxFuture<'_, Result<ExecSession, BackendError>> {
        self.exec_in(key, request).boxed()
    }

    fn room(&self) -> BoxFuture<'_, Result<Option<Room>, BackendError>> {
        async {
            let mut known = self.room.lock().await;
            if known.0.elapsed() >= ROOM_AGE {
                let room = room(&self.client, self.instance(), self.overhead).await?;
                *known = (Instant::now(), room);
            }
            Ok(Some(known.1.clone()))
        }
        .boxed()
    }

    fn leaks(&self) -> BoxFuture<'_, Result<Vec<String>, BackendError>> {
        probe::leaks(&self.client, &self.settings).boxed()
    }

    fn storage_classes(&self) -> Vec<String> {
        self.storage_classes.clone()
    }

    fn inventory(&self) -> Inventory {
        self.inventory
    }

    fn changes(&self) -> BoxStream<'static, ()> {
        self.pod_changes(Api::all(self.client.clone()))
    }

    fn doctor(&self) -> BoxFuture<'_, Vec<Finding>> {
        async {
            let says = match self.client.apiserver_version().await {
                Ok(version) => (true, format!("Kubernetes {} answers", version.git_version)),
                Err(cause) => (false, error(cause).to_string()),
            };
            vec![Finding {
                subject: "cluster".to_owned(),
                healthy: says.0,
                says: says.1,
            }]
        }
        .boxed()
    }
}
