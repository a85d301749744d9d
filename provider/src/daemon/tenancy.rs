//! The gateway's rules: what tenants may do with their leases, over the peer channel.
//!
//! A right is checked when its stream opens, against the provider's clock and the newest proven look at the chain, and it
//! ends when the lease ends, open streams included.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::sync::{Notify, broadcast};
use welkin_modules::ids::LeaseId;
use welkin_modules::spec::GroupSpec;
use welkin_provider_api::channel::{
    Addressee, Exec, ExecRequest, Input, KeptManifest, LeaseEvent, LeaseStatus, LogLine, LogQuery,
    Output, Quote, Reason, Refusal, Severity, Tenancy,
};
use welkin_provider_api::delegation::{Expected, NonceCache, SignedDelegation, Verified};
use welkin_provider_api::manifest::{GroupManifest, Opening, check_fit, verify};
use welkin_runtime::types::ChainInfo;
use welkin_runtime::{Address, Hash};

use super::book::{Book, Live, Sought, now};
use super::knock::knock;
use super::quotes::Quotes;
use super::report;
use crate::backend::{self, Backend, BackendError, ExecInput, ExecOutput, ExecSession};
use crate::manifests::{Kept, Manifests};
use crate::workload;

/// The longest life of a stream.
const MAX_STREAM: Duration = Duration::from_secs(24 * 3600);
/// How long a stream waits for a look at the chain that is new enough to answer it.
const PATIENCE: Duration = Duration::from_secs(8);
/// The longest piece of a log line.
const MAX_LINE_BYTES: usize = 8 * 1024;

/// The gateway of one provider.
#[derive(Clone)]
pub struct Gateway {
    /// The chain that delegations must name.
    pub chain: ChainInfo,
    /// This provider's account.
    pub provider: Address,
    /// What is known.
    pub book: Book,
    /// What tenants sent.
    pub manifests: Arc<Manifests>,
    /// What runs leases.
    pub backend: Arc<dyn Backend>,
    /// Wakes the reconcile loop.
    pub wake: Arc<Notify>,
    /// How services are reached, for status.
    pub reach: report::Reach,
    /// Delegations that were used.
    pub nonces: Arc<Mutex<NonceCache>>,
    /// What would be bid, for anybody.
    pub quotes: Quotes,
}

fn refuse(reason: Reason, message: impl Into<String>) -> Refusal {
    Refusal {
        reason,
        message: message.into(),
    }
}

fn from_backend(error: BackendError) -> Refusal {
    match error {
        BackendError::Unreachable(_) => {
            tracing::warn!(target: backend::LOG, %error, "a tenant's request failed");
            refuse(
                Reason::NotReady,
                "the provider's engine gave no answer, it may be busy or be started again; try again in a moment",
            )
        }
        BackendError::Engine(cause) => {
            tracing::warn!(target: backend::LOG, %cause, "a tenant's request failed");
            let text = format!("the provider's engine answered: {cause}; try again in a moment");
            refuse(Reason::NotReady, text)
        }
        BackendError::Refused(message) => refuse(Reason::NotRunning, message),
        BackendError::Missing(_) => refuse(Reason::UnknownService, error.to_string()),
    }
}

impl Gateway {
    /// The lease, proven active and as it `fits`, or none where the chain proves that it is not so; waits a little for a
    /// look at the chain that can tell.
    async fn live_when(
        &self,
        lease: LeaseId,
        fits: impl Fn(&Live) -> bool,
    ) -> Result<Option<Live>, Refusal> {
        let known = self.book.live(lease).filter(&fits);
        if known.is_some() {
            return Ok(known);
        }
        // Once: whoever waits here is a stranger still, and every block wakes the loop anyway.
        self.wake.notify_one();
        let patience = tokio::time::sleep(PATIENCE);
        match self.book.seek(lease, fits, patience).await {
            Sought::Found(live) => Ok(Some(live)),
            Sought::Absent => Ok(None),
            Sought::Unknown => Err(refuse(
                Reason::NotReady,
                "the provider waits for news from the chain; try again in a moment",
            )),
        }
    }

    /// The height of the newest proven look at the chain, if it is fresh.
    fn require_fresh(&self) -> Result<u64, Refusal> {
        match self.book.freshness() {
            (true, height) => Ok(height),
            (false, _) => Err(refuse(
                Reason::NotReady,
                "the provider has no fresh proof from the chain; try again in a moment",
            )),
        }
    }

    fn live(&self, lease: LeaseId) -> Result<Live, Refusal> {
        let over = || refuse(Reason::LeaseClosed, format!("lease {lease} is not active"));
        self.book.live(lease).ok_or_else(over)
    }

    fn check_manifest(
        &self,
        live: &Live,
        manifest: &[u8],
        opening: &Opening,
    ) -> Result<GroupManifest, Refusal> {
        if opening.index.checked_add(1) != Some(live.group) {
            let text = format!(
                "this is group {} of the deployment",
                u64::from(opening.index) + 1
            );
            return Err(refuse(
                Reason::WrongCommitment,
                format!("{text}, the lease is for group {}", live.group),
            ));
        }
        verify(manifest, opening, &live.commitment)
            .map_err(|error| refuse(Reason::WrongCommitment, error.to_string()))?;
        let decoded = GroupManifest::decode(manifest)
            .map_err(|error| refuse(Reason::BadManifest, error.to_string()))?;
        decoded
            .check()
            .map_err(|error| refuse(Reason::BadManifest, error.to_string()))?;
        check_fit(&decoded, &live.spec)
            .map_err(|error| refuse(Reason::ExceedsLease, error.to_string()))?;
        workload::check_offered(&decoded, self.backend.capabilities().offers)
            .map_err(|error| refuse(Reason::Unsupported, error.to_string()))?;
        Ok(decoded)
    }
}

/// What waits for the disk.
impl Gateway {
    fn accept(&self, live: &Live, kept: Kept) -> Result<Hash, Refusal> {
        let lease = live.key.lease;
        self.check_manifest(live, &kept.manifest, &kept.opening)?;
        let is_wanted = || {
            let now = self.book.live(lease);
            now.is_some_and(|now| (now.key, now.commitment) == (live.key, live.commitment))
        };
        let accepted = self
            .manifests
            .accept(live.key, live.commitment, &kept, is_wanted)
            .map_err(|error| {
                tracing::error!(target: super::LOG, %error, %lease, "a manifest could not be kept");
                refuse(
                    Reason::Internal,
                    "the provider could not keep the manifest; try again later",
                )
            })?;
        if accepted.is_none() {
            self.live(lease)?;
            return Err(refuse(
                Reason::WrongCommitment,
                "the deployment was updated while its manifest was sent; send the newer manifest",
            ));
        }
        let text = format!("manifest {} was accepted", live.commitment);
        self.book
            .tell(live.key, Severity::Normal, "manifest-accepted", None, text);
        self.wake.notify_one();
        Ok(live.commitment)
    }

    fn kept(&self, live: &Live) -> Result<KeptManifest, Refusal> {
        let internal = |error: crate::manifests::ManifestsError| {
            tracing::error!(target: super::LOG, %error, lease = %live.key.lease, "a manifest could not be read");
            refuse(
                Reason::Internal,
                "the provider could not read its copy of the manifest; send it again",
            )
        };
        let versions = self.manifests.versions(live.key).map_err(internal)?;
        let kept = match versions.accepted {
            Some(version) => self.manifests.get(live.key, version).map_err(internal)?,
            None => None,
        };
        let kept = kept.ok_or_else(|| {
            refuse(
                Reason::NoManifest,
                "no manifest was sent for this lease yet",
            )
        })?;
        Ok(KeptManifest {
            manifest: kept.manifest,
            salt: kept.opening.salt,
        })
    }

    fn report(&self, live: &Live) -> Result<LeaseStatus, Refusal> {
        let (book, manifests) = (&self.book, &self.manifests);
        report::status(live, self.provider, book, manifests, &self.reach).map_err(|error| {
            tracing::error!(target: super::LOG, %error, lease = %live.key.lease, "a status could not be made");
            refuse(
                Reason::Internal,
                "the provider could not read its own records",
            )
        })
    }
}

/// Does what waits for the disk, or takes its time, beside the tasks that serve streams. A tenant that goes meanwhile
/// does not undo it.
async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(refuse(Reason::Internal, "the provider failed; try again")))
}

impl Tenancy for Gateway {
    fn addressee(&self) -> Addressee {
        Addressee {
            genesis_hash: self.chain.genesis_hash,
            provider: self.provider,
        }
    }

    async fn quote(&self, groups: Vec<GroupSpec>) -> Result<Vec<Quote>, Refusal> {
        self.require_fresh()?;
        self.quotes.quote(groups).await
    }

    async fn admit(
        &self,
        delegation: &SignedDelegation,
        peer: [u8; 32],
    ) -> Result<Verified, Refusal> {
        let expected = Expected {
            chain: &self.chain,
            peer,
            provider: self.provider,
            now: now(),
        };
        let verified = delegation.verify(&expected).map_err(Refusal::from)?;
        let live = self.live_when(verified.lease, |_| true).await?;
        let height = self.require_fresh()?;
        let Some(live) = live else {
            let text = format!(
                "lease {} is not active with this provider at height {height}",
                verified.lease
            );
            return Err(refuse(Reason::LeaseClosed, text));
        };
        verified.require_owner(live.owner).map_err(Refusal::from)?;
        // Only what is otherwise right is remembered, so that nobody can fill the cache for others.
        self.nonces
            .lock()
            .expect("no holder of the nonces panics")
            .accept(delegation, now())
            .map_err(Refusal::from)?;
        Ok(verified)
    }

    async fn until_ended(&self, lease: LeaseId) -> Refusal {
        match tokio::time::timeout(MAX_STREAM, self.book.until_ended(lease)).await {
            Ok(()) => refuse(Reason::LeaseClosed, format!("lease {lease} has ended")),
            Err(_) => refuse(
                Reason::Expired,
                "a stream lives for 24 hours at most; open it again",
            ),
        }
    }

    async fn send_manifest(
        &self,
        lease: LeaseId,
        manifest: Vec<u8>,
        opening: Opening,
    ) -> Result<Hash, Refusal> {
        // The tenant may be ahead of this provider's last look: its update is waited for.
        let fitting = self
            .live_when(lease, |live| {
                verify(&manifest, &opening, &live.commitment).is_ok()
            })
            .await?;
        let live = match fitting {
            Some(live) => live,
            None => self.live(lease)?,
        };
        let gateway = self.clone();
        beside(move || gateway.accept(&live, Kept { manifest, opening })).await
    }

    async fn get_manifest(&self, lease: LeaseId) -> Result<KeptManifest, Refusal> {
        let live = self.live(lease)?;
        let gateway = self.clone();
        beside(move || gateway.kept(&live)).await
    }

    async fn status(&self, lease: LeaseId) -> Result<LeaseStatus, Refusal> {
        let live = self.live(lease)?;
        // What just began to listen is ready now, not when the loop comes round.
        let ports = self.book.ports(live.key);
        knock(&self.book, live.key, &ports).await;
        let gateway = self.clone();
        beside(move || gateway.report(&live)).await
    }

    async fn logs(
        &self,
        lease: LeaseId,
        query: LogQuery,
    ) -> Result<BoxStream<'static, Result<LogLine, Refusal>>, Refusal> {
        let live = self.live(lease)?;
        // Each service once, and no more than a group can have: every one costs the engine a stream.
        let named: BTreeSet<String> = query.services.into_iter().collect();
        if named.len() > live.spec.resources.len() {
            let text = format!("this lease has {} services", live.spec.resources.len());
            return Err(refuse(Reason::UnknownService, text));
        }
        let services: Vec<Option<String>> = match named.is_empty() {
            true => vec![None],
            false => named.into_iter().map(Some).collect(),
        };
        let mut streams = Vec::new();
        for service in services {
            let request = backend::LogRequest {
                service,
                follow: query.follow,
                tail: query.tail,
            };
            streams.push(
                self.backend
                    .logs(live.key, request)
                    .await
                    .map_err(from_backend)?,
            );
        }
        let mut lines = Lines::default();
        let chunks = stream::select_all(streams)
            .map(Some)
            .chain(stream::iter([None]));
        let lines = chunks.flat_map(move |chunk| {
            let lines = match chunk {
                Some(Ok(chunk)) => lines.add(chunk).into_iter().map(Ok).collect(),
                Some(Err(error)) => vec![Err(from_backend(error))],
                None => lines.rest().into_iter().map(Ok).collect::<Vec<_>>(),
            };
            stream::iter(lines)
        });
        Ok(lines.boxed())
    }

    async fn events(
        &self,
        lease: LeaseId,
        follow: bool,
    ) -> Result<BoxStream<'static, Result<LeaseEvent, Refusal>>, Refusal> {
        let live = self.live(lease)?;
        let (past, coming) = self.book.events(live.key);
        let past = stream::iter(past.into_iter().map(Ok));
        if !follow {
            return Ok(past.boxed());
        }
        let coming = stream::unfold(coming, |mut coming| async move {
            loop {
                match coming.recv().await {
                    Ok(event) => return Some((Ok(event), coming)),
                    // A reader who is too slow loses the oldest and goes on.
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        });
        Ok(past.chain(coming).boxed())
    }

    async fn exec(&self, lease: LeaseId, request: ExecRequest) -> Result<Exec, Refusal> {
        let live = self.live(lease)?;
        if request.command.is_empty() {
            return Err(refuse(Reason::Malformed, "the command is empty"));
        }
        let tty = request.tty.then(|| {
            request
                .size
                .map_or((80, 24), |size| (size.columns, size.rows))
        });
        let inner = backend::ExecRequest {
            service: request.service,
            replica: request.replica,
            command: request.command,
            tty,
        };
        let session = self
            .backend
            .exec(live.key, inner)
            .await
            .map_err(from_backend)?;
        if !request.stdin {
            let _ = session.input.send(ExecInput::StdinEnd).await;
        }
        Ok(joined(session))
    }
}

/// A back end's session in the channel's words. Dropping the output ends the command; with the input nothing more comes
/// for it.
fn joined(session: ExecSession) -> Exec {
    let ExecSession {
        input: to_command,
        output,
    } = session;
    let (input, mut from_tenant) = futures::channel::mpsc::channel::<Input>(8);
    tokio::spawn(async move {
        while let Some(message) = from_tenant.next().await {
            let message = match message {
                Input::Stdin(bytes) => ExecInput::Stdin(Bytes::from(bytes)),
                Input::StdinEnd => ExecInput::StdinEnd,
                Input::Resize(size) => ExecInput::Resize(size.columns, size.rows),
            };
            if to_command.send(message).await.is_err() {
                return;
            }
        }
    });
    let output = stream::unfold(output, |mut output| async move {
        let message = match output.recv().await? {
            Ok(ExecOutput::Stdout(bytes)) => Output::Stdout(bytes.to_vec()),
            Ok(ExecOutput::Stderr(bytes)) => Output::Stderr(bytes.to_vec()),
            Ok(ExecOutput::Exit(code)) => Output::Exit {
                code: i32::try_from(code).unwrap_or(255),
            },
            Err(error) => Output::Failed(from_backend(error)),
        };
        Some((message, output))
    });
    Exec {
        output: output.boxed(),
        input,
    }
}

/// Cuts what replicas write into lines.
#[derive(Default)]
struct Lines {
    open: std::collections::BTreeMap<(String, u32, bool), Vec<u8>>,
}

impl Lines {
    fn add(&mut self, chunk: backend::LogChunk) -> Vec<LogLine> {
        let slot = (chunk.service, chunk.replica, chunk.is_stderr);
        let open = self.open.entry(slot.clone()).or_default();
        let mut lines = Vec::new();
        for byte in chunk.bytes {
            if byte != b'\n' {
                open.push(byte);
            }
            if byte == b'\n' || open.len() == MAX_LINE_BYTES {
                lines.push(line(&slot, &std::mem::take(open)));
            }
        }
        lines
    }

    fn rest(&mut self) -> Vec<LogLine> {
        let open = std::mem::take(&mut self.open);
        open.iter()
            .filter(|(_, bytes)| !bytes.is_empty())
            .map(|(slot, bytes)| line(slot, bytes))
            .collect()
    }
}

fn line((service, replica, stderr): &(String, u32, bool), bytes: &[u8]) -> LogLine {
    let text = String::from_utf8_lossy(bytes)
        .trim_end_matches('\r')
        .to_owned();
    LogLine {
        service: service.clone(),
        replica: *replica,
        time: None,
        stderr: *stderr,
        text,
    }
}
