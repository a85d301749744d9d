//! Which delegations have been used.

use std::collections::BTreeMap;

use welkin_runtime::types::NANOS_PER_SECOND;
use welkin_runtime::{Address, Time};

use super::{DelegationError, MAX_SKEW_SECONDS, SignedDelegation};

/// Nonces that are remembered at once.
pub const MAX_NONCES: usize = 65_536;

/// Nonces of one tenant that are remembered at once, so that one cannot shut out the others.
pub const MAX_NONCES_PER_TENANT: usize = 4_096;

/// Remembers each delegation until nobody would accept it any more.
///
/// When there is no room the answer is no: forgetting one would let it be used twice. It is asked
/// only after the signature was verified, so that nobody fills it with other people's names; and
/// only for tenants that have a lease, so that nobody fills it with throw-away accounts.
#[derive(Debug, Default)]
pub struct NonceCache {
    seen: BTreeMap<(Address, [u8; 16]), Time>,
    per_tenant: BTreeMap<Address, usize>,
    by_expiry: BTreeMap<(Time, Address, [u8; 16]), ()>,
}

impl NonceCache {
    /// A cache that remembers nothing.
    pub fn new() -> NonceCache {
        NonceCache::default()
    }

    /// Takes note of a verified delegation; fails if it was used before or cannot be remembered.
    pub fn accept(
        &mut self,
        delegation: &SignedDelegation,
        now: Time,
    ) -> Result<(), DelegationError> {
        self.forget_expired(now);
        let tenant = Address::of_key(&delegation.public_key);
        let nonce = delegation.delegation.nonce;
        if self.seen.contains_key(&(tenant, nonce)) {
            return Err(DelegationError::Replayed);
        }
        let held = self.per_tenant.get(&tenant).copied().unwrap_or(0);
        if self.seen.len() >= MAX_NONCES || held >= MAX_NONCES_PER_TENANT {
            return Err(DelegationError::TooMany);
        }
        let skew = MAX_SKEW_SECONDS * NANOS_PER_SECOND;
        let forget_after = delegation.delegation.not_after.saturating_add(skew);
        self.seen.insert((tenant, nonce), forget_after);
        self.by_expiry.insert((forget_after, tenant, nonce), ());
        self.per_tenant.insert(tenant, held + 1);
        Ok(())
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    fn forget_expired(&mut self, now: Time) {
        while let Some((&(expiry, tenant, nonce), ())) = self.by_expiry.first_key_value() {
            if expiry >= now {
                break;
            }
            self.by_expiry.pop_first();
            self.seen.remove(&(tenant, nonce));
            match self.per_tenant.get_mut(&tenant) {
                Some(held) if *held > 1 => *held -= 1,
                _ => {
                    self.per_tenant.remove(&tenant);
                }
            }
        }
    }
}
