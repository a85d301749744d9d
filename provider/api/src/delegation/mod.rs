//! Short delegations: a tenant's account key lets one peer act on one lease for minutes.
//!
//! ```text
//!   account key --signs--> Delegation{network, peer, provider, lease, scopes, validity, nonce}
//!                               |  first frame of every stream
//!                               v
//!   provider:  verify (signature, network, peer of this connection, provider, clock)
//!              -> NonceCache (once only)  -> owner of the lease  -> scope of the request
//! ```
//!
//! All of it is a function of its arguments; the time is one of them.

mod nonces;

use borsh::{BorshDeserialize, BorshSerialize};
use welkin_runtime::crypto::{self, SigningKey};
use welkin_runtime::types::NANOS_PER_SECOND;
use welkin_runtime::{Address, ChainInfo, Hash, Time};

use crate::LeaseId;

pub use nonces::{MAX_NONCES, MAX_NONCES_PER_TENANT, NonceCache};

/// The longest validity that a provider accepts.
pub const MAX_VALIDITY_SECONDS: u64 = 15 * 60;

/// The validity of what a [`Delegator`] signs: enough to open a stream, and soon forgotten.
pub const DEFAULT_VALIDITY_SECONDS: u64 = 120;

/// How far the clocks of tenant and provider may be apart.
pub const MAX_SKEW_SECONDS: u64 = 60;

/// What is signed starts with this, so that no other signature of the account's key fits.
const DOMAIN: &[u8] = b"welkin delegation v1\n";

/// The longest name of a chain, as in the genesis.
const MAX_CHAIN_ID_BYTES: usize = 50;

/// What a delegation allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[derive(BorshSerialize, BorshDeserialize)]
pub enum Scope {
    /// Hand over a manifest.
    SendManifest,
    /// Read the manifest back.
    GetManifest,
    /// Read the state of the workload.
    Status,
    /// Read the output of services.
    Logs,
    /// Read the provider's events about the lease.
    Events,
    /// Run a command in a container.
    Shell,
    /// Connect to ports of a container.
    Forward,
}

impl Scope {
    const ALL: [Scope; 7] = [
        Scope::SendManifest,
        Scope::GetManifest,
        Scope::Status,
        Scope::Logs,
        Scope::Events,
        Scope::Shell,
        Scope::Forward,
    ];

    fn bit(self) -> u32 {
        1 << (self as u32)
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize)]
pub struct Scopes(u32);

impl Scopes {
    /// The set of these.
    pub fn of(scopes: impl IntoIterator<Item = Scope>) -> Scopes {
        Scopes(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }

    /// Every scope that there is.
    pub fn all() -> Scopes {
        Scopes::of(Scope::ALL)
    }

    /// Whether `scope` is in the set.
    pub fn contains(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }
}

/// What an account lets a peer do.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Delegation {
    /// The chain's name.
    pub chain_id: String,
    /// The chain's genesis.
    pub genesis_hash: Hash,
    /// The Ed25519 key of the peer that may use this: that of its peer id.
    pub peer: [u8; 32],
    /// The only provider that may accept it.
    pub provider: Address,
    /// The only lease that it is about.
    pub lease: LeaseId,
    /// What it allows.
    pub scopes: Scopes,
    /// The first moment at which it is valid.
    pub not_before: Time,
    /// The last moment at which it is valid.
    pub not_after: Time,
    /// Random; each delegation opens one stream.
    pub nonce: [u8; 16],
}

impl Delegation {
    /// The bytes that the account's key signs.
    pub fn sign_bytes(&self) -> Vec<u8> {
        let mut bytes = DOMAIN.to_vec();
        borsh::to_writer(&mut bytes, self).expect("writing to a vector cannot fail");
        bytes
    }

    /// Signs it with the key of the account that owns the lease.
    pub fn sign(self, key: &SigningKey) -> SignedDelegation {
        let signature = key.sign(&self.sign_bytes());
        SignedDelegation {
            delegation: self,
            public_key: key.public_key(),
            signature,
        }
    }
}

/// What a tenant's program signs delegations with: everything but the scope, the time and the nonce.
#[derive(Clone, Debug)]
pub struct Delegator {
    /// The chain.
    pub chain: ChainInfo,
    /// The key of the account that owns the lease.
    pub key: SigningKey,
    /// The Ed25519 key of this program's own peer id.
    pub peer: [u8; 32],
    /// The provider.
    pub provider: Address,
    /// The lease.
    pub lease: LeaseId,
}

impl Delegator {
    /// A delegation for one stream, valid from `now` for [`DEFAULT_VALIDITY_SECONDS`]. `nonce`
    /// has to be random.
    pub fn grant(&self, scopes: Scopes, now: Time, nonce: [u8; 16]) -> SignedDelegation {
        Delegation {
            chain_id: self.chain.chain_id.clone(),
            genesis_hash: self.chain.genesis_hash,
            peer: self.peer,
            provider: self.provider,
            lease: self.lease,
            scopes,
            not_before: now,
            not_after: now.saturating_add(DEFAULT_VALIDITY_SECONDS * NANOS_PER_SECOND),
            nonce,
        }
        .sign(&self.key)
    }
}

/// A delegation with the account's signature.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SignedDelegation {
    /// What is allowed.
    pub delegation: Delegation,
    /// The key of the account that owns the lease.
    pub public_key: [u8; 32],
    /// Its signature under ZIP-215.
    pub signature: [u8; 64],
}

/// What a provider holds a delegation against.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The chain.
    pub chain: &'a ChainInfo,
    /// The key of the peer at the other end of the connection.
    pub peer: [u8; 32],
    /// The provider's own address.
    pub provider: Address,
    /// The provider's clock.
    pub now: Time,
}

/// What a verified delegation says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The account that signed.
    pub tenant: Address,
    /// The lease that it is about. Whether the tenant owns it, the chain tells.
    pub lease: LeaseId,
    /// What it allows.
    pub scopes: Scopes,
}

impl Verified {
    /// Fails unless `owner` signed; `owner` is who owns the lease on chain.
    pub fn require_owner(&self, owner: Address) -> Result<(), DelegationError> {
        if self.tenant == owner {
            return Ok(());
        }
        Err(DelegationError::NotTheOwner {
            lease: self.lease,
            tenant: self.tenant,
        })
    }

    /// Fails unless `scope` is allowed.
    pub fn require(&self, scope: Scope) -> Result<(), DelegationError> {
        if self.scopes.contains(scope) {
            return Ok(());
        }
        Err(DelegationError::OutOfScope { scope })
    }
}

/// Why a delegation was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DelegationError {
    /// For another chain, or the same chain started anew.
    #[error("the delegation is for another network ({chain_id}, genesis {genesis_hash})")]
    OtherNetwork {
        /// The chain that it names.
        chain_id: String,
        /// The genesis that it names.
        genesis_hash: Hash,
    },
    /// Made for another peer: it was stolen, or the connection is not the tenant's.
    #[error("the delegation is bound to another peer than the one that presents it")]
    OtherPeer,
    /// Made for another provider.
    #[error("the delegation is for provider {provider}, not for this one")]
    OtherProvider {
        /// The provider that it names.
        provider: Address,
    },
    /// Its first moment is still to come.
    #[error("the delegation is not valid yet: it starts {seconds} s after this provider's clock")]
    NotYetValid {
        /// How far off it is.
        seconds: u64,
    },
    /// Its last moment has passed.
    #[error("the delegation expired {seconds} s ago by this provider's clock")]
    Expired {
        /// How long ago.
        seconds: u64,
    },
    /// It is valid for longer than allowed, or ends before it starts.
    #[error("a delegation is valid for at most 900 s; this one claims {seconds} s")]
    BadValidity {
        /// The validity that it claims; 0 if it ends before it starts.
        seconds: u64,
    },
    /// The key cannot belong to an account.
    #[error("the delegation is signed by a key that no account can have")]
    WeakKey,
    /// Not signed by that key, or changed since.
    #[error("the signature of the delegation is not valid")]
    BadSignature,
    /// It opened a stream before.
    #[error("the delegation was used before; each opens one stream")]
    Replayed,
    /// There is no room to remember it, so it cannot be accepted.
    #[error("too many streams were opened in the last minutes; try again later")]
    TooMany,
    /// The signer does not own the lease.
    #[error("account {tenant} does not own lease {lease}")]
    NotTheOwner {
        /// The lease.
        lease: LeaseId,
        /// Who signed.
        tenant: Address,
    },
    /// It does not allow what is asked for.
    #[error("the delegation does not allow {scope:?}")]
    OutOfScope {
        /// What was asked for.
        scope: Scope,
    },
}

impl SignedDelegation {
    /// Whether this delegation is genuine, for here, and valid now. Whether it was used before is
    /// the [`NonceCache`]'s part; who owns the lease is the chain's.
    pub fn verify(&self, expected: &Expected<'_>) -> Result<Verified, DelegationError> {
        let claim = &self.delegation;
        self.check_addressee(expected)?;
        check_validity(claim, expected.now)?;
        if !crypto::is_account_key(&self.public_key) {
            return Err(DelegationError::WeakKey);
        }
        if !crypto::verify(&self.public_key, &claim.sign_bytes(), &self.signature) {
            return Err(DelegationError::BadSignature);
        }
        Ok(Verified {
            tenant: Address::of_key(&self.public_key),
            lease: claim.lease,
            scopes: claim.scopes,
        })
    }

    fn check_addressee(&self, expected: &Expected<'_>) -> Result<(), DelegationError> {
        let claim = &self.delegation;
        if claim.chain_id != expected.chain.chain_id
            || claim.genesis_hash != expected.chain.genesis_hash
        {
            return Err(DelegationError::OtherNetwork {
                chain_id: claim.chain_id.chars().take(MAX_CHAIN_ID_BYTES).collect(),
                genesis_hash: claim.genesis_hash,
            });
        }
        if claim.peer != expected.peer {
            return Err(DelegationError::OtherPeer);
        }
        if claim.provider != expected.provider {
            return Err(DelegationError::OtherProvider {
                provider: claim.provider,
            });
        }
        Ok(())
    }
}

fn check_validity(claim: &Delegation, now: Time) -> Result<(), DelegationError> {
    let validity = claim.not_after.nanos_since(claim.not_before);
    if validity == 0 || validity > MAX_VALIDITY_SECONDS * NANOS_PER_SECOND {
        return Err(DelegationError::BadValidity {
            seconds: whole_seconds(validity),
        });
    }
    let skew = MAX_SKEW_SECONDS * NANOS_PER_SECOND;
    if now.saturating_add(skew) < claim.not_before {
        let early = claim.not_before.nanos_since(now);
        return Err(DelegationError::NotYetValid {
            seconds: whole_seconds(early),
        });
    }
    if now > claim.not_after.saturating_add(skew) {
        let late = now.nanos_since(claim.not_after);
        return Err(DelegationError::Expired {
            seconds: whole_seconds(late),
        });
    }
    Ok(())
}

/// Rounded up, so that something too long never shows as the limit.
fn whole_seconds(nanos: u64) -> u64 {
    nanos.div_ceil(NANOS_PER_SECOND)
}

#[cfg(test)]
mod tests;
