//! The private channel to providers: who they are, the chain says; the right to speak about a lease, the key signs.
//! What a provider would bid it tells anybody.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::RngCore;
use welkin_client::Chain;
use welkin_modules::ids::LeaseId;
use welkin_modules::market::types::LeaseState;
use welkin_modules::provider::types::Provider as ProviderRecord;
use welkin_modules::spec::GroupSpec;
use welkin_p2p::channel::{Config, Connector, OpenError, Stream};
use welkin_p2p::{Multiaddr, PeerId, identity};
use welkin_provider_api::channel::{ChannelClient, ChannelError, LeaseStatus, Quote};
use welkin_provider_api::delegation::{Delegation, Scope, Scopes, SignedDelegation};
use welkin_provider_api::manifest::Opening;
use welkin_runtime::crypto::SigningKey;
use welkin_runtime::{Address, Hash, Time};

use crate::failure::{Failure, Outcome, code};

/// How long a delegation lasts: enough to open one stream over a slow line.
const VALIDITY: Duration = Duration::from_secs(120);

/// How long one attempt to reach a provider may take. Who can wait longer tries again, and says so meanwhile.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an answer may take. A provider may wait for its own look at the chain, and for its disk.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A provider that can be called.
#[derive(Clone)]
struct Line {
    connector: Connector,
    peer: PeerId,
    addresses: Vec<Multiaddr>,
    provider: Address,
}

/// This program's end of lines: a fresh identity for each run, which a delegation binds to the account. All that is said
/// to one provider goes over one connection.
#[derive(Clone)]
pub struct Phone {
    connector: Connector,
    own: [u8; 32],
}

/// A lease's provider, ready to be spoken to.
pub struct Link {
    line: Line,
    own: [u8; 32],
    chain: Chain,
    key: SigningKey,
    /// The lease.
    pub lease: LeaseId,
    /// Who runs it.
    pub provider: Address,
}

impl Phone {
    /// An end of its own for this network.
    ///
    /// # Errors
    /// The system gives no sockets.
    pub async fn new(chain: &Chain) -> Outcome<Phone> {
        let mut secret = [0; 32];
        rand::rng().fill_bytes(&mut secret);
        let own = SigningKey::from_seed(&secret).public_key();
        let keypair = identity::keypair_from_secret(secret);
        let mut config = Config::new(chain.info().genesis_hash.0);
        config.open_timeout = OPEN_TIMEOUT;
        let connector = Connector::start(&config, keypair)
            .await
            .map_err(|error| Failure::new(code::FAILED, error.to_string()))?;
        Ok(Phone { connector, own })
    }

    /// What a provider would bid on each of these groups if they were ordered now: its own words, which bind nobody.
    ///
    /// # Errors
    /// It cannot be reached, or refuses to say.
    pub async fn quote(
        &self,
        chain: &Chain,
        provider: &ProviderRecord,
        groups: Vec<GroupSpec>,
    ) -> Outcome<Vec<Quote>> {
        let line = self.line(provider)?;
        let genesis = chain.info().genesis_hash;
        let asked = async {
            let stream = line.open().await?;
            Ok(ChannelClient::quote(stream, genesis, line.provider, groups).await?)
        };
        tokio::time::timeout(OPEN_TIMEOUT, asked)
            .await
            .unwrap_or_else(|_| Err(Failure::new(code::TIMED_OUT, "it does not answer in time")))
    }

    fn line(&self, provider: &ProviderRecord) -> Outcome<Line> {
        let bad = |error: &dyn std::fmt::Display| {
            let text = format!(
                "the provider {} has an address that is none: {error}",
                provider.address
            );
            Failure::new(code::FAILED, text)
        };
        let profile = &provider.profile;
        let addresses = profile.addresses.iter();
        let addresses = addresses.map(|text| identity::parse_address(text));
        Ok(Line {
            connector: self.connector.clone(),
            peer: identity::parse_peer_id(&profile.peer_id).map_err(|error| bad(&error))?,
            addresses: addresses
                .collect::<Result<_, _>>()
                .map_err(|error| bad(&error))?,
            provider: provider.address,
        })
    }
}

impl Line {
    async fn open(&self) -> Outcome<Stream> {
        let opened = self.connector.open(self.peer, &self.addresses).await;
        opened.map_err(|error| {
            let Line { provider, .. } = self;
            let why = match &error {
                // Which part of the greeting failed tells nobody more than that nobody answers.
                OpenError::Timeout { timeout, .. } => format!(
                    "it does not answer at {} within {} s",
                    places(&self.addresses),
                    timeout.as_secs()
                ),
                other => other.to_string(),
            };
            let text = format!("the provider {provider} cannot be reached: {why}");
            let failure = Failure::new(code::TIMED_OUT, text);
            match error {
                OpenError::Timeout { .. } => failure.temporary(),
                OpenError::NoAddress(_) | OpenError::Unsupported(_) | OpenError::Stopped => failure,
            }
        })
    }
}

impl Link {
    /// A link for an active lease.
    ///
    /// # Errors
    /// The lease is not there or over, or its provider's addresses make no sense.
    pub async fn to(phone: &Phone, chain: &Chain, key: SigningKey, id: LeaseId) -> Outcome<Link> {
        let lease = chain.lease(id).await?.ok_or_else(|| {
            Failure::not_found(format!(
                "there is no lease {id}; `welkin market leases` lists yours"
            ))
        })?;
        if lease.state != LeaseState::Active {
            let text = format!("lease {id} is closed; its provider refuses everything about it");
            return Err(Failure::new(code::REFUSED_BY_PROVIDER, text));
        }
        let provider = chain.provider(lease.provider).await?.ok_or_else(|| {
            Failure::not_found(format!("there is no provider {}", lease.provider))
        })?;
        Ok(Link {
            line: phone.line(&provider.provider)?,
            own: phone.own,
            chain: chain.clone(),
            key,
            lease: id,
            provider: lease.provider,
        })
    }

    /// A stream for one request of this scope.
    ///
    /// # Errors
    /// The provider cannot be reached.
    pub async fn open(&self, scope: Scope) -> Outcome<ChannelClient<Stream>> {
        let stream = self.line.open().await?;
        Ok(ChannelClient::new(stream, self.delegation(scope)))
    }

    /// What it means that the provider cannot be reached, for people who look into the lease.
    pub fn while_away(&self, failure: Failure) -> Failure {
        if failure.code != code::TIMED_OUT {
            return failure;
        }
        let (lease, deployment) = (self.lease, self.lease.deployment);
        let message = format!(
            "{failure}\n  the lease {lease} goes on and is paid for, and what it runs may answer \
             all the same; try again later, or end it: `welkin deployment close \
             {deployment}`"
        );
        Failure { message, ..failure }
    }

    /// What the provider says of the lease.
    ///
    /// # Errors
    /// It cannot be reached, does not answer, or refuses.
    pub async fn status(&self) -> Outcome<LeaseStatus> {
        let client = self.open(Scope::Status).await?;
        answered(client.status()).await
    }

    /// Hands over a manifest.
    ///
    /// # Errors
    /// As [`Link::status`].
    pub async fn send_manifest(&self, manifest: Vec<u8>, opening: Opening) -> Outcome<Hash> {
        let client = self.open(Scope::SendManifest).await?;
        answered(client.send_manifest(manifest, opening)).await
    }

    fn delegation(&self, scope: Scope) -> SignedDelegation {
        let now = now();
        let mut nonce = [0; 16];
        rand::rng().fill_bytes(&mut nonce);
        let info = self.chain.info();
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Delegation {
            chain_id: info.chain_id.clone(),
            genesis_hash: info.genesis_hash,
            peer: self.own,
            provider: self.provider,
            lease: self.lease,
            scopes: Scopes::of([scope]),
            not_before: Time(now.0.saturating_sub(nanos(Duration::from_secs(30)))),
            not_after: Time(now.0.saturating_add(nanos(VALIDITY))),
            nonce,
        }
        .sign(&self.key)
    }
}

/// Where a provider says that it is.
fn places(addresses: &[Multiaddr]) -> String {
    let places: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    places.join(" and ")
}

/// An answer of a provider; one that keeps silent is not waited for without end.
///
/// # Errors
/// It does not answer, or refuses.
pub async fn answered<T>(answer: impl Future<Output = Result<T, ChannelError>>) -> Outcome<T> {
    match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => {
            let seconds = ANSWER_TIMEOUT.as_secs();
            let text = format!("the provider does not answer within {seconds} s");
            Err(Failure::new(code::TIMED_OUT, text).temporary())
        }
    }
}

/// Whether the same request may succeed a moment later.
pub fn is_worth_a_retry(error: &ChannelError) -> bool {
    match error {
        ChannelError::Refused(refusal) => refusal.reason.is_worth_a_retry(),
        ChannelError::Frame(_) | ChannelError::Closed => true,
        ChannelError::Protocol(_) => false,
    }
}

/// This machine's clock.
pub fn now() -> Time {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Time(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
