//! Who may use a delegation, for what, when, and how often.

use welkin_modules::ids::DeploymentId;

use super::*;

const SECOND: u64 = NANOS_PER_SECOND;
const NOW: Time = Time(1_800_000_000 * SECOND);
const PEER: [u8; 32] = [9; 32];
const PROVIDER: Address = Address([3; 20]);

fn chain() -> ChainInfo {
    ChainInfo {
        chain_id: "welkin-test".to_owned(),
        genesis_hash: Hash([5; 32]),
    }
}

fn key() -> SigningKey {
    SigningKey::from_seed(&[1; 32])
}

fn lease() -> LeaseId {
    LeaseId {
        deployment: DeploymentId(12),
        group: 1,
        order: 3,
    }
}

fn delegation() -> Delegation {
    Delegation {
        chain_id: chain().chain_id,
        genesis_hash: chain().genesis_hash,
        peer: PEER,
        provider: PROVIDER,
        lease: lease(),
        scopes: Scopes::of([Scope::Status, Scope::Logs]),
        not_before: NOW,
        not_after: Time(NOW.0 + 120 * SECOND),
        nonce: [7; 16],
    }
}

fn verify_at(signed: &SignedDelegation, now: Time) -> Result<Verified, DelegationError> {
    let chain = chain();
    signed.verify(&Expected {
        chain: &chain,
        peer: PEER,
        provider: PROVIDER,
        now,
    })
}

fn refused(change: impl FnOnce(&mut Delegation)) -> DelegationError {
    let mut changed = delegation();
    change(&mut changed);
    verify_at(&changed.sign(&key()), NOW).unwrap_err()
}

#[test]
fn a_good_delegation_says_who_and_what() {
    let verified = verify_at(&delegation().sign(&key()), NOW).unwrap();
    assert_eq!(
        (verified.tenant, verified.lease),
        (key().address(), lease())
    );
    assert_eq!(verified.require(Scope::Logs), Ok(()));
    assert_eq!(
        verified.require(Scope::Shell),
        Err(DelegationError::OutOfScope {
            scope: Scope::Shell
        })
    );
    assert_eq!(verified.require_owner(key().address()), Ok(()));
    let other = verified.require_owner(Address([8; 20])).unwrap_err();
    assert!(matches!(other, DelegationError::NotTheOwner { .. }));
}

#[test]
fn it_is_for_one_network_one_peer_and_one_provider() {
    let other = refused(|claim| claim.chain_id.push('2'));
    assert!(matches!(other, DelegationError::OtherNetwork { .. }));
    let anew = refused(|claim| claim.genesis_hash = Hash([6; 32]));
    assert!(matches!(anew, DelegationError::OtherNetwork { .. }));
    assert_eq!(
        refused(|claim| claim.peer = [8; 32]),
        DelegationError::OtherPeer
    );
    let other = refused(|claim| claim.provider = Address([4; 20]));
    assert_eq!(
        other,
        DelegationError::OtherProvider {
            provider: Address([4; 20])
        }
    );
}

#[test]
fn it_is_valid_for_its_time_and_a_minute_of_skew_on_both_sides() {
    let signed = delegation().sign(&key());
    let at = |seconds: i64| {
        let nanos = i64::try_from(NOW.0).unwrap() + seconds * i64::try_from(SECOND).unwrap();
        verify_at(&signed, Time(u64::try_from(nanos).unwrap()))
    };
    assert!(at(-60).is_ok());
    assert_eq!(at(-61), Err(DelegationError::NotYetValid { seconds: 61 }));
    assert!(at(180).is_ok());
    assert_eq!(at(181), Err(DelegationError::Expired { seconds: 61 }));
}

#[test]
fn fifteen_minutes_are_the_most() {
    let mut longest = delegation();
    longest.not_after = Time(NOW.0 + 900 * SECOND);
    assert!(verify_at(&longest.sign(&key()), NOW).is_ok());
    let longer = refused(|claim| claim.not_after = Time(NOW.0 + 900 * SECOND + 1));
    assert_eq!(longer, DelegationError::BadValidity { seconds: 901 });
    let forever = refused(|claim| claim.not_after = Time(u64::MAX));
    assert!(matches!(forever, DelegationError::BadValidity { .. }));
    let backwards = refused(|claim| claim.not_after = Time(NOW.0 - 1));
    assert_eq!(backwards, DelegationError::BadValidity { seconds: 0 });
    let all_time = refused(|claim| {
        claim.not_before = Time(u64::MAX - 1);
        claim.not_after = Time(u64::MAX);
    });
    assert!(matches!(all_time, DelegationError::NotYetValid { .. }));
}

#[test]
fn nothing_in_it_can_be_changed_after_it_was_signed() {
    let signed = delegation().sign(&key());
    let mut more = signed.clone();
    more.delegation.scopes = Scopes::all();
    assert_eq!(verify_at(&more, NOW), Err(DelegationError::BadSignature));
    let mut other_lease = signed.clone();
    other_lease.delegation.lease.order += 1;
    assert_eq!(
        verify_at(&other_lease, NOW),
        Err(DelegationError::BadSignature)
    );
    let mut other_key = signed;
    other_key.public_key = SigningKey::from_seed(&[2; 32]).public_key();
    assert_eq!(
        verify_at(&other_key, NOW),
        Err(DelegationError::BadSignature)
    );
}

#[test]
fn a_key_of_small_order_signs_for_nobody() {
    // The neutral element: under ZIP-215 this signature is valid for every message.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let mut signature = [0; 64];
    signature[0] = 1;
    let weak = SignedDelegation {
        delegation: delegation(),
        public_key: neutral,
        signature,
    };
    assert_eq!(verify_at(&weak, NOW), Err(DelegationError::WeakKey));
}

#[test]
fn a_transaction_of_the_same_key_is_no_delegation() {
    let claim = delegation();
    let bare = borsh::to_vec(&claim).unwrap();
    let signature = key().sign(&bare);
    let other = SignedDelegation {
        delegation: claim,
        public_key: key().public_key(),
        signature,
    };
    assert_eq!(verify_at(&other, NOW), Err(DelegationError::BadSignature));
}

#[test]
fn each_opens_one_stream_for_as_long_as_it_could_be_used() {
    let mut cache = NonceCache::new();
    let signed = delegation().sign(&key());
    assert_eq!(cache.accept(&signed, NOW), Ok(()));
    assert_eq!(cache.accept(&signed, NOW), Err(DelegationError::Replayed));
    let last = Time(NOW.0 + 180 * SECOND);
    assert!(verify_at(&signed, last).is_ok());
    assert_eq!(cache.accept(&signed, last), Err(DelegationError::Replayed));
    // The next moment nobody would verify it, so it can be forgotten.
    let after = Time(last.0 + 1);
    assert!(verify_at(&signed, after).is_err());
    let mut fresh = delegation();
    fresh.nonce = [8; 16];
    fresh.not_after = Time(after.0 + SECOND);
    assert_eq!(cache.accept(&fresh.sign(&key()), after), Ok(()));
    assert_eq!(cache.len(), 1);
    // Another tenant may happen to draw the same nonce.
    let other = delegation().sign(&SigningKey::from_seed(&[2; 32]));
    assert_eq!(cache.accept(&other, NOW), Ok(()));
}

#[test]
fn a_tenant_that_asks_too_often_shuts_out_itself_only() {
    let mut cache = NonceCache::new();
    // Unsigned, because the cache does not look at signatures and signing takes time.
    let numbered = |number: usize, tenant: u8| {
        let mut claim = delegation();
        claim.nonce[..8].copy_from_slice(&(number as u64).to_le_bytes());
        let public_key = [tenant; 32];
        SignedDelegation {
            delegation: claim,
            public_key,
            signature: [0; 64],
        }
    };
    for number in 0..MAX_NONCES_PER_TENANT {
        assert_eq!(cache.accept(&numbered(number, 1), NOW), Ok(()));
    }
    let next = numbered(MAX_NONCES_PER_TENANT, 1);
    assert_eq!(cache.accept(&next, NOW), Err(DelegationError::TooMany));
    assert_eq!(cache.accept(&numbered(0, 2), NOW), Ok(()));
    let later = Time(NOW.0 + 181 * SECOND);
    assert_eq!(cache.accept(&next, later), Ok(()));
    assert_eq!(cache.len(), 1);
}

#[test]
fn the_cache_has_an_end_and_then_says_no() {
    let mut cache = NonceCache::new();
    for number in 0..MAX_NONCES {
        let mut claim = delegation();
        claim.nonce[..8].copy_from_slice(&(number as u64).to_le_bytes());
        let public_key = [(number / MAX_NONCES_PER_TENANT) as u8; 32];
        let signed = SignedDelegation {
            delegation: claim,
            public_key,
            signature: [0; 64],
        };
        assert_eq!(cache.accept(&signed, NOW), Ok(()));
    }
    let signed = delegation().sign(&key());
    assert_eq!(cache.accept(&signed, NOW), Err(DelegationError::TooMany));
}

#[test]
fn what_is_signed_is_fixed_to_the_byte() {
    let bytes = delegation().sign_bytes();
    assert!(bytes.starts_with(b"welkin delegation v1\n"));
    // domain, chain id, genesis, peer, provider, lease, scopes, two times, nonce
    assert_eq!(bytes.len(), 21 + 4 + 11 + 32 + 32 + 20 + 16 + 4 + 16 + 16);
    let digest = welkin_runtime::crypto::blake3_hash(&bytes).to_string();
    assert_eq!(
        digest,
        "5696f591fd10c019eb486bed0986c6b544fd53dfdaef169604d59ac5db495dbc"
    );
}

#[test]
fn a_delegator_grants_what_a_provider_accepts_for_two_minutes() {
    let delegator = Delegator {
        chain: chain(),
        key: key(),
        peer: PEER,
        provider: PROVIDER,
        lease: lease(),
    };
    let signed = delegator.grant(Scopes::of([Scope::Shell]), NOW, [1; 16]);
    let verified = verify_at(&signed, NOW).unwrap();
    assert_eq!(verified.require(Scope::Shell), Ok(()));
    assert!(verified.require(Scope::Logs).is_err());
    assert!(verify_at(&signed, Time(NOW.0 + 180 * SECOND)).is_ok());
    assert!(verify_at(&signed, Time(NOW.0 + 181 * SECOND)).is_err());
}
