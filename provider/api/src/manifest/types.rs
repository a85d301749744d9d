//! The manifest of one group, version 1.

use std::fmt;

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use welkin_modules::spec::{Gpu, Volume};

use super::error::ManifestError;

/// The longest encoded manifest.
pub const MAX_MANIFEST_BYTES: usize = 512 * 1024;

/// The first byte of an encoded manifest.
const VERSION: u8 = 1;

/// Everything that a provider needs to run one group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct GroupManifest {
    /// The group's name, as in its specification on chain.
    pub group: String,
    /// The services, in the order of their names.
    pub services: Vec<Service>,
}

/// One service: a container image, how to start it, and who can reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Service {
    /// A DNS label; the other services of the group find this one by it.
    pub name: String,
    /// The image reference, `[host[:port]/]path[:tag][@sha256:digest]`.
    pub image: String,
    /// Replaces the image's entry point unless empty.
    pub command: Vec<String>,
    /// Replaces the image's arguments unless empty.
    pub args: Vec<String>,
    /// Environment variables, in the order given.
    pub env: Vec<EnvVar>,
    /// The id of the resource unit of the leased group that this service draws on.
    pub unit: u32,
    /// What each replica gets.
    pub resources: Resources,
    /// Replicas.
    pub count: u32,
    /// Ports that others can reach.
    pub expose: Vec<Expose>,
    /// Where volumes appear in the container.
    pub mounts: Vec<Mount>,
    /// What the service may read of its own lease.
    pub permissions: Vec<Permission>,
    /// The kind of trusted execution that it needs.
    pub tee: Option<Tee>,
    /// How to log in where the image comes from.
    pub credentials: Option<Credentials>,
}

/// One environment variable. `Debug` shows the name only.
#[derive(Clone, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct EnvVar {
    /// Letters, digits, `_`, `-` and `.`; no digit first.
    pub name: String,
    /// The value; none means empty, as for `- NAME` in the file.
    pub value: Option<String>,
}

impl fmt::Debug for EnvVar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EnvVar({}=...)", self.name)
    }
}

/// What one replica gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Resources {
    /// Thousandths of a core.
    pub cpu_millis: u64,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Graphics processors.
    pub gpu: Gpu,
    /// Volumes, in the order of the leased unit.
    pub storage: Vec<Volume>,
}

/// A port that others can reach.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Expose {
    /// The port inside the container.
    pub port: u16,
    /// The port that others see.
    pub external_port: u16,
    /// The protocol.
    pub protocol: Protocol,
    /// Whether it can be reached from outside the lease.
    pub global: bool,
    /// The only service of the group that may use it; none means all.
    pub service: Option<String>,
    /// Host names of the tenant's own.
    pub hosts: Vec<String>,
    /// How HTTP is proxied.
    pub http: HttpOptions,
    /// The leased IP that carries it, by its name in the file.
    pub ip: Option<String>,
    /// The number of that leased IP; 0 without one.
    pub ip_sequence: u32,
}

impl Expose {
    /// Whether this is served by host name through the provider's HTTP ingress.
    pub fn is_http(&self) -> bool {
        self.global && self.protocol == Protocol::Tcp && self.external_port == 80
    }
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// How HTTP requests are proxied.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct HttpOptions {
    /// The longest request body.
    pub max_body_bytes: u32,
    /// How long the service may take to answer.
    pub read_timeout_ms: u32,
    /// How long the service may take to read a request.
    pub send_timeout_ms: u32,
    /// How many replicas are tried.
    pub next_tries: u32,
    /// How long replicas are tried for; 0 means no limit of its own.
    pub next_timeout_ms: u32,
    /// When the next replica is tried; empty means never.
    pub next_cases: Vec<NextCase>,
    /// The buffer for a response's head; 0 means the provider's own choice.
    pub proxy_buffer_bytes: u32,
}

/// When a request is tried at the next replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NextCase {
    /// No connection, or a broken one.
    Error,
    /// No answer in time.
    Timeout,
    /// Status 500.
    Http500,
    /// Status 502.
    Http502,
    /// Status 503.
    Http503,
    /// Status 504.
    Http504,
    /// Status 403.
    Http403,
    /// Status 404.
    Http404,
    /// Status 429.
    Http429,
}

/// Where a volume appears in the container.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Mount {
    /// The volume's name in the resources.
    pub volume: String,
    /// An absolute path without `.` and `..`.
    pub path: String,
    /// Whether the container cannot write to it.
    pub read_only: bool,
}

/// What a service may read of its own lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    /// The services' output.
    Logs,
    /// The provider's events.
    Events,
    /// The state of the workload.
    Deployment,
}

/// Trusted execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tee {
    /// Processor and memory.
    Cpu,
    /// Processor, memory and graphics processors.
    CpuGpu,
}

/// A login at an image registry. `Debug` shows no password.
#[derive(Clone, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Credentials {
    /// The registry.
    pub host: String,
    /// The user.
    pub username: String,
    /// The password or token.
    pub password: String,
    /// The user's mail address; empty if there is none.
    pub email: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({}@{})", self.username, self.host)
    }
}

impl GroupManifest {
    /// The bytes that are committed to, sealed and sent.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        borsh::to_writer(&mut bytes, self).expect("writing to a vector cannot fail");
        bytes
    }

    /// Reads what [`GroupManifest::encode`] wrote, and checks it in every respect that needs
    /// nothing but the manifest itself.
    pub fn decode(bytes: &[u8]) -> Result<GroupManifest, ManifestError> {
        if bytes.len() > MAX_MANIFEST_BYTES {
            return Err(ManifestError::TooLong { bytes: bytes.len() });
        }
        let (version, body) = bytes.split_first().ok_or(ManifestError::Malformed)?;
        if *version != VERSION {
            return Err(ManifestError::UnknownVersion { version: *version });
        }
        let manifest: GroupManifest =
            borsh::from_slice(body).map_err(|_| ManifestError::Malformed)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Every host name that the group asks for.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.services
            .iter()
            .flat_map(|service| &service.expose)
            .flat_map(|expose| expose.hosts.iter().map(String::as_str))
    }
}
