//! Back ends: what runs leases. The daemon speaks to all of them through [`Backend`].
//!
//! ```text
//!   planner ── LeaseSpec ──> Backend::apply ──> objects that carry the provider's labels
//!      ^                                                   │
//!      └────────── SeenLease <── Backend::observe ─────────┘
//! ```
//!
//! A back end is driven by level: `apply` makes the lease equal to its specification whatever was there before, and
//! doing it twice is doing it once. It touches only objects that carry its own instance in their labels.
//!
//! Not here: what ought to run (the planner), who may see it (the gateway), where the world enters (the ingress).

pub mod container;
pub mod kubernetes;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use welkin_modules::ids::LeaseId;
use welkin_provider_api::manifest::{HttpOptions, Protocol};
use welkin_runtime::types::{Address, Hash};

/// Log target of the back ends.
pub const LOG: &str = "welkin::backend";

/// Which provider on which chain this is. Everything that it makes on an engine carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Hash of the chain's genesis.
    pub genesis: Hash,
    /// The provider's account.
    pub provider: Address,
}

impl Instance {
    /// Twelve hexadecimal digits that differ for each provider and chain, for names of limited length.
    pub fn short(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.genesis.0).update(&self.provider.0);
        hasher.finalize().to_hex()[..12].to_owned()
    }
}

/// Names one lease for good: ids are never used again on a chain, and the height tells one chain from its restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeaseKey {
    /// The lease.
    pub lease: LeaseId,
    /// Height of the block in which it was made.
    pub creation_height: u64,
}

impl LeaseKey {
    /// The name of what is kept of it on the disk: `12-1-1@57`.
    pub fn file_name(self) -> String {
        let lease = self.lease.to_string().replace('/', "-");
        format!("{lease}@{}", self.creation_height)
    }

    /// What a [`LeaseKey::file_name`] names; none for other names.
    pub fn from_file_name(name: &str) -> Option<LeaseKey> {
        let (lease, height) = name.split_once('@')?;
        Some(LeaseKey {
            lease: lease.replace('-', "/").parse().ok()?,
            creation_height: height.parse().ok()?,
        })
    }
}

/// What shall run for one lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseSpec {
    /// The lease.
    pub key: LeaseKey,
    /// The manifest's commitment, by which versions are told apart.
    pub version: Hash,
    /// Its services, names unique.
    pub services: Vec<ServiceSpec>,
}

/// One service: so many equal containers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServiceSpec {
    /// Its name, by which the lease's other services find it.
    pub name: String,
    /// Image reference.
    pub image: String,
    /// Who may pull it, where the registry asks.
    pub credentials: Option<RegistryCredentials>,
    /// Replaces the image's entry point, unless empty.
    pub command: Vec<String>,
    /// Arguments to it; replace the image's own, unless empty.
    pub args: Vec<String>,
    /// Variables, in the manifest's order.
    pub env: Vec<(String, String)>,
    /// Thousandths of a processor, for each replica.
    pub cpu_millis: u64,
    /// Memory in bytes, for each replica; there is no swap.
    pub memory_bytes: u64,
    /// Bytes that a replica may write to its own file system.
    pub disk_bytes: u64,
    /// How many.
    pub replicas: u32,
    /// What is mounted; what is not is within `disk_bytes`. Left out of the fingerprint where there is none, so that what
    /// ran before there were any stays.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<VolumeSpec>,
    /// Ports that others reach. Changing them replaces no replica.
    #[serde(skip)]
    pub ports: Vec<PortSpec>,
}

/// A volume that a service mounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VolumeSpec {
    /// Its name, unique in the service.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// What it is made of.
    pub kind: VolumeKind,
    /// Where it appears: an absolute path without `.` and `..`.
    pub path: String,
    /// Whether the service cannot write to it.
    pub is_read_only: bool,
}

/// What a volume is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VolumeKind {
    /// Disk that goes with the replica.
    Ephemeral,
    /// Memory of the replica's own.
    Memory,
    /// What outlives the replica, and goes with the lease.
    Persistent {
        /// The class that the tenant asked for.
        class: String,
    },
}

/// A port that others reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortSpec {
    /// The port inside.
    pub port: u16,
    /// The port that others see.
    pub external_port: u16,
    /// Its transport.
    pub protocol: Protocol,
    /// How the world gets to it; none where only the lease's own services do.
    pub entry: Option<Entry>,
}

/// How the world gets to a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// By host name, over HTTP.
    Http(HttpOptions),
    /// By a port of the provider's.
    Port,
}

impl ServiceSpec {
    /// Tells a replica that is right from one that must be replaced: 16 hexadecimal digits over everything above but
    /// the number of replicas.
    pub fn fingerprint(&self) -> String {
        let one = ServiceSpec {
            replicas: 1,
            ..self.clone()
        };
        let bytes = serde_json::to_vec(&one).expect("a service is always JSON");
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"welkin service 1\n").update(&bytes);
        hasher.finalize().to_hex()[..16].to_owned()
    }
}

/// Who may pull an image.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct RegistryCredentials {
    /// The registry's host.
    pub host: String,
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
}

impl fmt::Debug for RegistryCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "RegistryCredentials({}@{}, password hidden)",
            self.username, self.host
        )
    }
}

/// A lease of ours as the engine has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenLease {
    /// The lease.
    pub key: LeaseKey,
    /// Its replicas, of every version that is still there.
    pub replicas: Vec<SeenReplica>,
    /// The interface of this machine that they are behind; none where the system's routes lead to them.
    pub interface: Option<String>,
    /// The ports that the cluster itself opened for the world: of service, port inside and transport the port outside.
    pub public_ports: BTreeMap<(String, u16, Protocol), u16>,
}

/// One container or pod as the engine has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenReplica {
    /// The service that it belongs to.
    pub service: String,
    /// Its number, from 0.
    pub replica: u32,
    /// [`ServiceSpec::fingerprint`] of what it was made from.
    pub fingerprint: String,
    /// The manifest's version for which it was made; a later version that did not change it leaves it alone.
    pub version: Hash,
    /// Whether it runs, and if not, why.
    pub state: ReplicaState,
    /// Where the ingress reaches it.
    pub address: Option<IpAddr>,
    /// Whether it is ready, where the engine finds that out; else the provider asks its ports.
    pub is_ready: Option<bool>,
    /// Which run of it this is.
    pub run: Run,
}

/// One run of a replica, as an engine tells it from the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The engine's name for the container or pod.
    pub id: String,
    /// When it was started last, in the engine's words; none before that.
    pub started: Option<String>,
    /// How often the engine started it again by itself since it was told to start it.
    pub restarts: u32,
}

/// Whether a replica runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ReplicaState {
    /// Made, and not started yet.
    Waiting,
    /// It runs.
    Running,
    /// It ended.
    Exited {
        /// The process's exit code (128 + n for signal n).
        code: i64,
        /// Whether the kernel ended it for want of memory.
        out_of_memory: bool,
    },
}

/// What a back end can do beyond what all can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// How tenants' processes are kept in.
    pub isolation: Isolation,
    /// Whether leases are kept off each other, the host and private ranges.
    pub network_isolated: bool,
    /// What leases can have beyond processors, memory and disk.
    pub offers: Offers,
    /// Who leads the world to leases.
    pub traffic: Traffic,
}

/// Who leads the world to leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Traffic {
    /// The provider's own ingress, a process beside the daemon.
    Ingress,
    /// The cluster.
    Cluster,
}

/// What leases can have beyond processors, memory and disk that goes with the replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Offers {
    /// Volumes that outlive their replica.
    pub persistent_volumes: bool,
    /// Volumes in memory.
    pub memory_volumes: bool,
}

/// How tenants' processes are kept in, as the attribute `isolation` says it on chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// A kernel of its own in user space.
    Gvisor,
    /// Root inside is nobody outside.
    Userns,
    /// Shared kernel; the image's user is not root.
    Restricted,
    /// Shared kernel, root allowed: only where the operator says so.
    None,
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Isolation::Gvisor => "gvisor",
            Isolation::Userns => "userns",
            Isolation::Restricted => "restricted",
            Isolation::None => "none",
        })
    }
}

/// What an engine's machine has in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Inventory {
    /// Thousandths of a processor.
    pub cpu_millis: u64,
    /// Bytes of memory.
    pub memory_bytes: u64,
}

impl Inventory {
    /// The sum, at most the largest numbers.
    #[must_use]
    pub fn plus(self, other: Inventory) -> Inventory {
        Inventory {
            cpu_millis: self.cpu_millis.saturating_add(other.cpu_millis),
            memory_bytes: self.memory_bytes.saturating_add(other.memory_bytes),
        }
    }

    /// What is left, at least nothing.
    #[must_use]
    pub fn minus(self, other: Inventory) -> Inventory {
        Inventory {
            cpu_millis: self.cpu_millis.saturating_sub(other.cpu_millis),
            memory_bytes: self.memory_bytes.saturating_sub(other.memory_bytes),
        }
    }

    /// The larger of each.
    #[must_use]
    pub fn max(self, other: Inventory) -> Inventory {
        Inventory {
            cpu_millis: self.cpu_millis.max(other.cpu_millis),
            memory_bytes: self.memory_bytes.max(other.memory_bytes),
        }
    }
}

/// What a cluster has free now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// What all its nodes have for this provider's leases, those that run included.
    pub total: Inventory,
    /// What is free on each node that takes tenants, everything that runs there taken off.
    pub nodes: Vec<NodeRoom>,
    /// What each copy takes beside what it is leased: a sandbox.
    pub overhead: Inventory,
    /// What the copies that have their node are leased, by lease.
    pub placed: BTreeMap<LeaseId, Vec<Inventory>>,
}

/// What is free on a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeRoom {
    /// Processors and memory.
    pub free: Inventory,
    /// Copies for which the node has places.
    pub copies: u64,
}

/// Which log lines a tenant wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRequest {
    /// Only this service; all where `None`.
    pub service: Option<String>,
    /// Whether to go on as lines come.
    pub follow: bool,
    /// How many of the last lines of each replica; all where `None`.
    pub tail: Option<u32>,
}

/// A piece of a replica's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogChunk {
    /// The service that wrote it.
    pub service: String,
    /// The replica that wrote it.
    pub replica: u32,
    /// Whether it came from the standard error.
    pub is_stderr: bool,
    /// What was written.
    pub bytes: Bytes,
}

/// A command to run in a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecRequest {
    /// The service.
    pub service: String,
    /// The replica's number.
    pub replica: u32,
    /// Program and arguments; not empty.
    pub command: Vec<String>,
    /// Whether it gets a terminal, and of which size (columns, rows).
    pub tty: Option<(u16, u16)>,
}

/// Into a running command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecInput {
    /// Bytes for its standard input.
    Stdin(Bytes),
    /// No more of them.
    StdinEnd,
    /// The terminal's new size (columns, rows).
    Resize(u16, u16),
}

/// Out of a running command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecOutput {
    /// Bytes of its standard output.
    Stdout(Bytes),
    /// Bytes of its standard error.
    Stderr(Bytes),
    /// It ended with this code (128 + n for signal n); the last message.
    Exit(i64),
}

/// A running command. Dropping the sender of its input ends that input; dropping the receiver of its output ends the
/// command and what it started.
pub struct ExecSession {
    /// Into the command; bounded, so that a slow command slows its tenant.
    pub input: mpsc::Sender<ExecInput>,
    /// Out of the command; bounded, so that a slow tenant slows the command.
    pub output: mpsc::Receiver<Result<ExecOutput, BackendError>>,
}

/// Why a back end did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// The engine does not answer. Nothing is known; try again later and change nothing meanwhile.
    #[error("the provider's engine does not answer: {0}")]
    Unreachable(String),
    /// The engine answered with a failure that may pass.
    #[error("the provider's engine failed: {0}")]
    Engine(String),
    /// The tenant's request cannot be met, now or later.
    #[error("{0}")]
    Refused(String),
    /// There is no such service, replica or lease here.
    #[error("{0} does not run here")]
    Missing(String),
}

/// One line of `welkin-provider doctor`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub subject: String,
    /// Whether it is as it should be.
    pub healthy: bool,
    /// What was found, and what to do about it where it is not healthy.
    pub says: String,
}

/// What runs leases. All methods may be called at once; for one lease the daemon calls `apply` and `remove` in turn.
pub trait Backend: Send + Sync {
    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// Everything of this instance, complete or an error: an incomplete answer would look like an end.
    fn observe(&self) -> BoxFuture<'_, Result<Vec<SeenLease>, BackendError>>;

    /// Makes the lease equal to `spec`. Replicas that are right stay, those that ended too; others are replaced, the old
    /// ones being removed only once the new ones run.
    fn apply<'a>(&'a self, spec: &'a LeaseSpec) -> BoxFuture<'a, Result<(), BackendError>>;

    /// Starts a replica again that ended. The engine does so for none by itself: when it is to be is the daemon's to say.
    fn start_again<'a>(
        &'a self,
        key: LeaseKey,
        service: &'a str,
        replica: u32,
    ) -> BoxFuture<'a, Result<(), BackendError>>;

    /// Removes everything of the lease. That nothing is there is no error.
    fn remove(&self, key: LeaseKey) -> BoxFuture<'_, Result<(), BackendError>>;

    /// Bytes that each replica has written to its own file system: (service, replica, bytes).
    fn disk_use(
        &self,
        key: LeaseKey,
    ) -> BoxFuture<'_, Result<Vec<(String, u32, u64)>, BackendError>>;

    /// Removes one replica with all that it wrote; the next `apply` makes a fresh one.
    fn evict_replica<'a>(
        &'a self,
        key: LeaseKey,
        service: &'a str,
        replica: u32,
    ) -> BoxFuture<'a, Result<(), BackendError>>;

    /// Output of the lease's replicas.
    fn logs(
        &self,
        key: LeaseKey,
        request: LogRequest,
    ) -> BoxFuture<'_, Result<BoxStream<'static, Result<LogChunk, BackendError>>, BackendError>>;

    /// Runs a command in a replica.
    fn exec(
        &self,
        key: LeaseKey,
        request: ExecRequest,
    ) -> BoxFuture<'_, Result<ExecSession, BackendError>>;

    /// What the machine has in all, as it was when the back end was built.
    fn inventory(&self) -> Inventory;

    /// What is free now, where there are several machines; else what this machine has in all is what can be leased.
    ///
    /// # Errors
    /// The cluster does not answer: nothing is known, and nothing may be promised.
    fn room(&self) -> BoxFuture<'_, Result<Option<Room>, BackendError>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Tries from inside whether leases reach what they must not; what answered. It starts something, and takes seconds.
    ///
    /// # Errors
    /// It could not be tried, which says nothing.
    fn leaks(&self) -> BoxFuture<'_, Result<Vec<String>, BackendError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// The classes of the SDL of which there are volumes that outlive their containers.
    fn storage_classes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Yields whenever something of this instance may have changed. Only a hint: it may end, repeat and leave out.
    fn changes(&self) -> BoxStream<'static, ()>;

    /// Whether all is as it should be, for the operator.
    fn doctor(&self) -> BoxFuture<'_, Vec<Finding>>;
}
