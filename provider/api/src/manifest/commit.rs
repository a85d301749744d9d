//! The manifest's commitment: one hash on chain, opened group by group.
//!
//! ```text
//!   salt(group)  = derive_key("welkin manifest salt v1", seed, genesis hash, owner, nonce, name)
//!   commitment   = BLAKE3 keyed with the salt, over the encoded manifest of the group
//!   hash         = BLAKE3 over the commitments in the order of the groups
//! ```
//!
//! Keyed with 32 bytes that only the tenant knows, a commitment tells nothing about the manifest,
//! not even to somebody who guesses at a password in it. The order of the groups is that of the
//! deployment on chain, so an opening for one group cannot be passed off as another's.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use welkin_runtime::crypto::{blake3_derive, blake3_hash, blake3_keyed};
use welkin_runtime::{Address, Hash};

use super::error::CommitmentError;
use super::types::GroupManifest;

/// The most groups that a commitment can be over.
pub const MAX_GROUPS: usize = 64;

/// The context of the salt's derivation.
const SALT_CONTEXT: &str = "welkin manifest salt v1";

/// 16 random bytes, unique for the owner, that a deployment is created or updated with.
pub type Nonce = [u8; 16];

/// What hides a group's manifest behind its commitment. `Debug` does not show it.
#[derive(Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Salt(pub [u8; 32]);

impl std::fmt::Debug for Salt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Salt(...)")
    }
}

/// What connects one group's manifest with the hash on chain.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Opening {
    /// The position of the group in the deployment, from 0.
    pub index: u32,
    /// The group's salt.
    pub salt: Salt,
    /// The commitments of the other groups, in order.
    pub siblings: Vec<Hash>,
}

/// A deployment's commitment with what each provider needs to check it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commitment {
    /// The hash for the chain.
    pub hash: Hash,
    /// An opening for each group, in order.
    pub openings: Vec<Opening>,
}

/// The salt of one group, for an account with a local seed. The same arguments give the same salt
/// on every machine, so the tenant can send a manifest again from a new one.
pub fn derive_salt(
    seed: &[u8; 32],
    genesis_hash: &Hash,
    owner: &Address,
    nonce: &Nonce,
    group_name: &str,
) -> Salt {
    // All but the last have a fixed length, so no two sets of arguments give the same bytes.
    let mut material = Vec::with_capacity(32 + 32 + 20 + 16 + group_name.len());
    material.extend_from_slice(seed);
    material.extend_from_slice(&genesis_hash.0);
    material.extend_from_slice(&owner.0);
    material.extend_from_slice(nonce);
    material.extend_from_slice(group_name.as_bytes());
    Salt(blake3_derive(SALT_CONTEXT, &material))
}

/// The commitment to one encoded manifest.
pub fn group_commitment(manifest: &[u8], salt: &Salt) -> Hash {
    blake3_keyed(&salt.0, manifest)
}

/// Commits to the groups of a deployment, in the order in which they are on chain.
pub fn commit<'a>(groups: impl IntoIterator<Item = (&'a GroupManifest, Salt)>) -> Commitment {
    let (salts, commitments): (Vec<Salt>, Vec<Hash>) = groups
        .into_iter()
        .map(|(manifest, salt)| (salt, group_commitment(&manifest.encode(), &salt)))
        .unzip();
    let openings = salts
        .into_iter()
        .enumerate()
        .map(|(index, salt)| {
            let mut siblings = commitments.clone();
            siblings.remove(index);
            let index = u32::try_from(index).expect("a deployment has few groups");
            Opening {
                index,
                salt,
                siblings,
            }
        })
        .collect();
    Commitment {
        hash: hash_of(&commitments),
        openings,
    }
}

/// Whether the encoded `manifest` is the one that `hash` on chain was made from.
pub fn verify(manifest: &[u8], opening: &Opening, hash: &Hash) -> Result<(), CommitmentError> {
    let groups = opening.siblings.len().saturating_add(1);
    let index = opening.index as usize;
    if groups > MAX_GROUPS || index >= groups {
        return Err(CommitmentError::BadOpening {
            index: opening.index,
            groups,
        });
    }
    let mut commitments = opening.siblings.clone();
    commitments.insert(index, group_commitment(manifest, &opening.salt));
    if hash_of(&commitments) == *hash {
        return Ok(());
    }
    Err(CommitmentError::Mismatch)
}

fn hash_of(commitments: &[Hash]) -> Hash {
    let bytes: Vec<u8> = commitments
        .iter()
        .flat_map(|commitment| commitment.0)
        .collect();
    blake3_hash(&bytes)
}

/// The salt's text form, for the files in which random salts are kept: 64 hexadecimal digits.
impl Serialize for Salt {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Serialize::serialize(&Hash(self.0), serializer)
    }
}

impl<'de> Deserialize<'de> for Salt {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <Hash as Deserialize>::deserialize(deserializer).map(|hash| Salt(hash.0))
    }
}
