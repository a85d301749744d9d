//! The private channel to a lease's provider: who it is, the chain says; the right to speak, the key signs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::RngCore;
use welkin_client::Chain;
use welkin_modules::ids::LeaseId;
use welkin_modules::market::Market;
use welkin_modules::market::types::{
    Answer as MarketAnswer, Lease, LeaseState, Query as MarketQuery,
};
use welkin_modules::provider::Providers;
use welkin_modules::provider::types::{Answer as ProviderAnswer, Profile, Query as ProviderQuery};
use welkin_p2p::channel::{Config, Connector, Stream};
use welkin_p2p::{Multiaddr, PeerId, identity};
use welkin_provider_api::channel::{ChannelClient, ChannelError};
use welkin_provider_api::delegation::{Delegation, Scope, Scopes, SignedDelegation};
use welkin_runtime::crypto::SigningKey;
use welkin_runtime::{Address, Time};

use crate::failure::{Failure, Outcome, code};

/// How long a delegation lasts: enough to open one stream over a slow line.
const VALIDITY: Duration = Duration::from_secs(120);

/// How long one attempt to reach a provider may take. Who can wait longer tries again, and says so meanwhile.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

/// A lease's provider, ready to be spoken to.
pub struct Link {
    connector: Connector,
    peer: PeerId,
    addresses: Vec<Multiaddr>,
    own: [u8; 32],
    chain: Chain,
    key: SigningKey,
    /// The lease.
    pub lease: LeaseId,
    /// Who runs it.
    pub provider: Address,
}

/// The lease, proven.
///
/// # Errors
/// There is none.
pub async fn lease(chain: &Chain, id: LeaseId) -> Outcome<Lease> {
    match chain
        .query::<Market>(&MarketQuery::Lease { lease: id })
        .await?
        .answer
    {
        MarketAnswer::Lease(Some(lease)) => Ok(lease),
        _ => Err(Failure::not_found(format!(
            "there is no lease {id}; `welkin market leases` lists yours"
        ))),
    }
}

/// What a provider says of itself, proven.
///
/// # Errors
/// There is none.
pub async fn profile(chain: &Chain, provider: Address) -> Outcome<Profile> {
    let query = ProviderQuery::Provider { address: provider };
    match chain.query::<Providers>(&query).await?.answer {
        ProviderAnswer::Provider(Some(view)) => Ok(view.provider.profile),
        _ => Err(Failure::not_found(format!(
            "there is no provider {provider}"
        ))),
    }
}

impl Link {
    /// A link for an active lease.
    ///
    /// # Errors
    /// The lease is not there or over, or its provider's addresses make no sense.
    pub async fn to(chain: &Chain, key: SigningKey, id: LeaseId) -> Outcome<Link> {
        let lease = lease(chain, id).await?;
        if lease.state != LeaseState::Active {
            let text = format!("lease {id} is closed; its provider refuses everything about it");
            return Err(Failure::new(code::REFUSED_BY_PROVIDER, text));
        }
        let profile = profile(chain, lease.provider).await?;
        let bad = |error: &dyn std::fmt::Display| {
            Failure::new(
                code::FAILED,
                format!(
                    "the provider {} has an address that is none: {error}",
                    lease.provider
                ),
            )
        };
        let peer = identity::parse_peer_id(&profile.peer_id).map_err(|error| bad(&error))?;
        let addresses = profile
            .addresses
            .iter()
            .map(|text| identity::parse_address(text))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| bad(&error))?;
        // A fresh identity for each run: the delegation binds it to the account.
        let mut secret = [0; 32];
        rand::rng().fill_bytes(&mut secret);
        let own = SigningKey::from_seed(&secret).public_key();
        let keypair = identity::keypair_from_secret(secret);
        let mut config = Config::new(chain.info().genesis_hash.0);
        config.open_timeout = OPEN_TIMEOUT;
        let connector = Connector::start(&config, keypair)
            .await
            .map_err(|error| Failure::new(code::FAILED, error.to_string()))?;
        Ok(Link {
            connector,
            peer,
            addresses,
            own,
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
        let stream = self
            .connector
            .open(self.peer, &self.addresses)
            .await
            .map_err(|error| {
                let text = format!("the provider {} cannot be reached: {error}", self.provider);
                Failure::new(code::TIMED_OUT, text).temporary()
            })?;
        Ok(ChannelClient::new(stream, self.delegation(scope)))
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
