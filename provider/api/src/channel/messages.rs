//! What is said on a stream, version 2.
//!
//! Numbers of variants are part of the wire format: new ones go to the end, none is reused. Version
//! 2 lets a caller be a stranger, who asks for a quote.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use welkin_runtime::{Address, Hash, Time};

use super::quote::{Addressee, Quote};
use crate::LeaseId;
use crate::delegation::{Scope, SignedDelegation};
use crate::manifest::{Opening, Salt};

/// The version of the messages in this module.
pub const PROTOCOL_VERSION: u16 = 2;

/// To the provider, first: who is asking.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Hello {
    /// [`PROTOCOL_VERSION`] of the caller's program.
    pub version: u16,
    /// Who is asking.
    pub caller: Caller,
}

/// Who is asking, and thereby what may come next.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Caller {
    /// Somebody with a right on a lease: the right to open this one stream. A [`Request`] follows.
    Tenant(Box<SignedDelegation>),
    /// Anybody. An [`Inquiry`](super::Inquiry) follows.
    Stranger(Addressee),
}

/// Tenant to provider, second and last before the answer: what is asked for.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Request {
    /// Run this.
    SendManifest {
        /// An encoded [`GroupManifest`](crate::manifest::GroupManifest).
        manifest: Vec<u8>,
        /// What connects it with the hash on chain.
        opening: Opening,
    },
    /// Give the manifest and its salt back.
    GetManifest,
    /// How is it going.
    LeaseStatus,
    /// The output of services.
    Logs(LogQuery),
    /// What the provider did for the lease.
    Events {
        /// Whether to go on with new ones.
        follow: bool,
    },
    /// Run a command in a container.
    Exec(ExecRequest),
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Request::SendManifest { manifest, .. } => {
                write!(f, "SendManifest({} bytes)", manifest.len())
            }
            Request::GetManifest => f.write_str("GetManifest"),
            Request::LeaseStatus => f.write_str("LeaseStatus"),
            Request::Logs(query) => query.fmt(f),
            Request::Events { follow } => write!(f, "Events(follow: {follow})"),
            Request::Exec(exec) => exec.fmt(f),
        }
    }
}

impl Request {
    /// The scope that a delegation needs for this.
    pub fn scope(&self) -> Scope {
        match self {
            Request::SendManifest { .. } => Scope::SendManifest,
            Request::GetManifest => Scope::GetManifest,
            Request::LeaseStatus => Scope::Status,
            Request::Logs(_) => Scope::Logs,
            Request::Events { .. } => Scope::Events,
            Request::Exec(_) => Scope::Shell,
        }
    }
}

/// Which output to send.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct LogQuery {
    /// Only of these services; none means all.
    pub services: Vec<String>,
    /// Whether to go on with new lines.
    pub follow: bool,
    /// Only so many of the last lines of each replica.
    pub tail: Option<u32>,
}

/// A command to run in a container.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ExecRequest {
    /// The service.
    pub service: String,
    /// Its replica, from 0.
    pub replica: u32,
    /// Program and arguments; not passed to a shell.
    pub command: Vec<String>,
    /// Whether the command gets a terminal; stderr then comes with stdout.
    pub tty: bool,
    /// Whether the command gets input.
    pub stdin: bool,
    /// The terminal's size at the start.
    pub size: Option<TerminalSize>,
}

/// The size of a terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct TerminalSize {
    /// Characters in a row.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
}

/// Provider to tenant or stranger: the answer to a request or an inquiry.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Answer {
    /// No, and why.
    Refused(Refusal),
    /// The manifest is kept and will be run.
    Accepted {
        /// The commitment on chain that it matches.
        manifest_hash: Hash,
    },
    /// The manifest.
    Manifest(KeptManifest),
    /// The state of the lease.
    Status(LeaseStatus),
    /// [`Output`] follows until [`Output::Exit`], [`Output::End`] or [`Output::Failed`].
    Streaming,
    /// What the provider would bid on each group of an inquiry, in its order.
    Quotes(Vec<Quote>),
}

/// A manifest as the provider keeps it.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct KeptManifest {
    /// An encoded [`GroupManifest`](crate::manifest::GroupManifest).
    pub manifest: Vec<u8>,
    /// The salt of its commitment.
    pub salt: Salt,
}

impl std::fmt::Debug for KeptManifest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeptManifest({} bytes)", self.manifest.len())
    }
}

/// Provider to tenant, after [`Answer::Streaming`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Output {
    /// The command wrote to its standard output.
    Stdout(Vec<u8>),
    /// The command wrote to its standard error.
    Stderr(Vec<u8>),
    /// A service wrote a line.
    Log(LogLine),
    /// The provider did something.
    Event(LeaseEvent),
    /// The command ended. Last.
    Exit {
        /// Its exit code, 128 + n when signal n ended it.
        code: i32,
    },
    /// There is no more. Last.
    End,
    /// It cannot go on, and why. Last.
    Failed(Refusal),
}

/// Tenant to provider, after [`Answer::Streaming`] to [`Request::Exec`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Input {
    /// For the command's standard input.
    Stdin(Vec<u8>),
    /// There is no more input.
    StdinEnd,
    /// The terminal has a new size.
    Resize(TerminalSize),
}

/// One line that a service wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct LogLine {
    /// The service.
    pub service: String,
    /// Its replica, from 0.
    pub replica: u32,
    /// When, by the provider's engine.
    pub time: Option<Time>,
    /// Whether it came from standard error.
    pub stderr: bool,
    /// The line without its end; longer lines come in pieces.
    pub text: String,
}

/// Something that the provider did for a lease, or that happened to its containers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct LeaseEvent {
    /// When, by the provider's clock.
    pub time: Time,
    /// How much it matters.
    pub severity: Severity,
    /// The service that it is about.
    pub service: Option<String>,
    /// A stable short name, `image-pulled`.
    pub name: String,
    /// What happened, for people.
    pub message: String,
}

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Things go their way.
    Normal,
    /// Somebody should look.
    Warning,
}

/// The state of a lease at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct LeaseStatus {
    /// The lease.
    pub lease: LeaseId,
    /// The provider.
    pub provider: Address,
    /// How far the workload is.
    pub phase: Phase,
    /// The commitment of the manifest that runs.
    pub running_manifest: Option<Hash>,
    /// The commitment of the newest accepted manifest.
    pub accepted_manifest: Option<Hash>,
    /// Why the newest accepted manifest does not run.
    pub failure: Option<String>,
    /// The services, in the order of their names.
    pub services: Vec<ServiceStatus>,
}

/// How far a workload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The provider has no manifest yet.
    WaitingForManifest,
    /// Images are pulled, containers started.
    Starting,
    /// Every replica of every service is ready.
    Ready,
    /// Some replicas are not ready any more.
    Degraded,
    /// The newest manifest could not be run; what ran before still does.
    UpdateFailed,
    /// Nothing runs, and why is in `failure`.
    Failed,
}

/// The state of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// Replicas that should run.
    pub wanted: u32,
    /// Replicas that do.
    pub ready: u32,
    /// How often its containers were started again.
    pub restarts: u32,
    /// What holds it up.
    pub message: Option<String>,
    /// Where its HTTP exposes answer.
    pub urls: Vec<String>,
    /// Its other exposes.
    pub ports: Vec<ForwardedPort>,
    /// Host names whose ownership is still to be shown.
    pub unproven_hosts: Vec<UnprovenHost>,
}

/// A port of the provider that leads to a service.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct ForwardedPort {
    /// The name or address to connect to.
    pub host: String,
    /// The port to connect to.
    pub external_port: u16,
    /// The port in the container.
    pub port: u16,
    /// The protocol.
    pub protocol: crate::manifest::Protocol,
}

/// A host name whose ownership is still to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct UnprovenHost {
    /// The name.
    pub host: String,
    /// The name of the TXT record to set.
    pub txt_name: String,
    /// Its value.
    pub txt_value: String,
}

/// A no.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(
    BorshSerialize,
    BorshDeserialize,
    Serialize,
    Deserialize,
    thiserror::Error
)]
#[error("{message}")]
pub struct Refusal {
    /// For programs.
    pub reason: Reason,
    /// For people: what is wrong and what to do.
    pub message: String,
}

/// Why a provider says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The message cannot be read, or is not one that belongs here.
    Malformed,
    /// The provider does not speak this version.
    UnknownVersion,
    /// The delegation or the inquiry is for another network, peer or provider.
    NotForHere,
    /// The delegation is not valid yet, or not any more.
    Expired,
    /// The delegation was used before.
    Replayed,
    /// The delegation is not properly signed.
    BadSignature,
    /// The signer does not own the lease.
    NotTheOwner,
    /// The delegation does not allow this.
    OutOfScope,
    /// The provider has no such lease.
    UnknownLease,
    /// The lease has ended.
    LeaseClosed,
    /// The manifest is not the one committed to on chain.
    WrongCommitment,
    /// The manifest asks for more than was leased.
    ExceedsLease,
    /// The manifest itself is not acceptable.
    BadManifest,
    /// No manifest was sent yet.
    NoManifest,
    /// There is no such service, or no such replica.
    UnknownService,
    /// The container does not run.
    NotRunning,
    /// This provider cannot do that.
    Unsupported,
    /// Too much at once.
    Busy,
    /// The provider's own view of chain or cluster is not fresh.
    NotReady,
    /// The provider failed.
    Internal,
}

impl Reason {
    /// Whether the same request may succeed a moment later.
    pub fn is_worth_a_retry(self) -> bool {
        matches!(
            self,
            Reason::Busy | Reason::NotReady | Reason::NotRunning | Reason::UnknownLease
        )
    }
}
