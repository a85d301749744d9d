//! Why a manifest was refused.

use super::types::MAX_MANIFEST_BYTES;

/// The manifest itself is not acceptable, whatever was leased.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Longer than [`MAX_MANIFEST_BYTES`].
    #[error("the manifest has {bytes} bytes; at most {MAX_MANIFEST_BYTES} are accepted")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Written by a newer program.
    #[error("the manifest has version {version}; this program knows version 1")]
    UnknownVersion {
        /// Its version.
        version: u8,
    },
    /// Not a manifest.
    #[error("these bytes are not a manifest")]
    Malformed,
    /// Something in it is not on the list of allowed things.
    #[error("{at} is not allowed: {why}")]
    NotAllowed {
        /// Where, as in `service web: image`.
        at: String,
        /// What would be.
        why: String,
    },
}

/// The manifest is not the one that the chain has the hash of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitmentError {
    /// The opening cannot belong to any deployment.
    #[error(
        "the opening names group {index} among {groups} groups; there are between 1 and {max}",
        max = super::MAX_GROUPS
    )]
    BadOpening {
        /// The position of the group, from 0.
        index: u32,
        /// How many groups the opening is for.
        groups: usize,
    },
    /// Another manifest, another salt, or an older or newer version of the deployment.
    #[error("the manifest does not match the hash on chain; send the one that was committed to")]
    Mismatch,
}

/// The manifest asks for more than was leased.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FitError {
    /// For another group of the deployment.
    #[error("the manifest is for group {manifest:?}; the lease is for group {leased:?}")]
    OtherGroup {
        /// The group that the manifest names.
        manifest: String,
        /// The group that was leased.
        leased: String,
    },
    /// A service draws on a unit that the group does not have.
    #[error("service {service} draws on resource unit {unit}, which the leased group has not")]
    UnknownUnit {
        /// The service.
        service: String,
        /// The unit.
        unit: u32,
    },
    /// The services of a unit together exceed it.
    #[error("{services}: {asked} {what} in sum exceed the {leased} leased with unit {unit}")]
    Exceeds {
        /// The unit.
        unit: u32,
        /// The services that draw on it.
        services: String,
        /// What they have too much of, as in `bytes of memory`.
        what: String,
        /// How much they ask for.
        asked: u128,
        /// How much was leased.
        leased: u128,
    },
    /// A kind of GPU or of trusted execution that was not leased.
    #[error("service {service} asks for {what}, which was not leased")]
    NotLeased {
        /// The service.
        service: String,
        /// What it asks for.
        what: String,
    },
}
