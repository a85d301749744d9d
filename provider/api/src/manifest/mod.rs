//! What a provider needs to run one group, and how the chain is held to it.
//!
//! A [`GroupManifest`] travels from tenant to provider only. The chain holds one [`Hash`] for all
//! groups of a deployment ([`commit`]); each provider gets its own group with an [`Opening`] and
//! learns nothing about the others. [`fit`] tells whether a manifest asks for more than was leased.
//!
//! [`Hash`]: welkin_runtime::Hash

pub(crate) mod allow;
mod build;
mod commit;
mod error;
mod fit;
mod types;

pub use build::{Built, build};
pub use commit::{
    Commitment, MAX_GROUPS, Nonce, Opening, Salt, commit, derive_salt, group_commitment, verify,
};
pub use error::{CommitmentError, FitError, ManifestError};
pub(crate) use fit::TEE_ATTRIBUTE;
pub use fit::check_fit;
pub use types::{
    Credentials, EnvVar, Expose, GroupManifest, HttpOptions, MAX_MANIFEST_BYTES, Mount, NextCase,
    Permission, Protocol, Resources, Service, Tee,
};

#[cfg(test)]
mod tests;
