//! Consensus parameters.

/// Limits of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockParams {
    /// Largest block in bytes; -1 means as many as there can be.
    pub max_bytes: i64,
    /// Largest sum of gas limits; -1 means no limit.
    pub max_gas: i64,
}

/// How long evidence counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceParams {
    /// Evidence older than this many blocks and than the duration is refused.
    pub max_age_num_blocks: i64,
    /// Nanoseconds.
    pub max_age_duration_ns: i64,
    /// Largest amount of evidence in a block, in bytes.
    pub max_bytes: i64,
}

/// What keys validators may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatorParams {
    /// Only `ed25519` here.
    pub pub_key_types: Vec<String>,
}

/// The application's version, as headers carry it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionParams {
    /// Version of the application.
    pub app: u64,
}

/// Parameters of the application interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AbciParams {
    /// First height with vote extensions; 0 means never, and is the only value here.
    pub vote_extensions_enable_height: i64,
}

/// Consensus parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsensusParams {
    /// Limits of a block.
    pub block: BlockParams,
    /// How long evidence counts.
    pub evidence: EvidenceParams,
    /// What keys validators may have.
    pub validator: ValidatorParams,
    /// The application's version.
    pub version: VersionParams,
    /// Parameters of the application interface.
    pub abci: AbciParams,
}
