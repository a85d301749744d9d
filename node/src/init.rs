//! Making a node's home: keys, genesis, configuration.

use crate::config::{Home, NodeConfig};
use crate::disk::{Context as _, Disk, Mode, Open, StorageError, replace_file};
use crate::sign_state::Signer;
use std::path::Path;
use welkin_consensus::files::{NodeKey, PrivValidatorKey};
use welkin_consensus::types::{ConsensusParams, Genesis, GenesisValidator, Timestamp};
use welkin_p2p::PeerId;
use welkin_p2p::identity::keypair_from_secret;
use welkin_runtime::crypto::SigningKey;

/// Largest block of a new network in bytes.
pub const DEFAULT_BLOCK_BYTES: i64 = 1 << 20;
/// Most gas that the transactions of a block of a new network may name together.
pub const DEFAULT_BLOCK_GAS: i64 = 2_000_000_000;

/// The keys of a new node.
#[derive(Clone, Debug)]
pub struct Keys {
    /// What peers know it by.
    pub node: NodeKey,
    /// What it votes with.
    pub validator: PrivValidatorKey,
}

impl Keys {
    /// New random keys.
    pub fn random() -> Self {
        let key = || SigningKey::from_seed(&rand::random());
        Keys {
            node: NodeKey(key()),
            validator: PrivValidatorKey(key()),
        }
    }

    /// The identity that peers see.
    pub fn peer_id(&self) -> PeerId {
        keypair_from_secret(*self.node.0.seed())
            .public()
            .to_peer_id()
    }

    /// This node as a validator of a genesis.
    pub fn genesis_validator(&self, power: u64, name: impl Into<String>) -> GenesisValidator {
        let public_key = self.validator.public_key();
        GenesisValidator {
            address: public_key.address(),
            public_key,
            power,
            name: name.into(),
        }
    }
}

/// The parameters of a new network: CometBFT's, but for blocks that fit this node's limits.
pub fn consensus_params() -> ConsensusParams {
    let mut params = ConsensusParams::default();
    params.block.max_bytes = DEFAULT_BLOCK_BYTES;
    params.block.max_gas = DEFAULT_BLOCK_GAS;
    params.evidence.max_bytes = 64 * 1024;
    params
}

/// The genesis of a new network.
pub fn genesis(
    chain_id: impl Into<String>,
    genesis_time: Timestamp,
    validators: Vec<GenesisValidator>,
    app_state: serde_json::Value,
) -> Genesis {
    Genesis {
        genesis_time,
        chain_id: chain_id.into(),
        initial_height: 1,
        consensus_params: consensus_params(),
        validators,
        app_hash: Default::default(),
        app_state,
    }
}

/// Writes a home that has none of these files yet. What is there stays as it is, and is an error:
/// a key or a sign state that is overwritten cannot be had back.
pub fn write_home(
    disk: &dyn Disk,
    home: &Home,
    config: &NodeConfig,
    genesis: &Genesis,
    keys: &Keys,
) -> Result<(), StorageError> {
    let files = [
        home.genesis(),
        home.node_toml(),
        home.node_key(),
        home.validator_key(),
        home.sign_state(),
    ];
    if let Some(path) = files
        .into_iter()
        .find(|path| disk.open(path, Open::Read).is_ok())
    {
        let what = "exists already; use another home folder, or remove this one if nothing in it \
            is needed"
            .to_owned();
        return Err(StorageError::Content { path, what });
    }
    for dir in [home.config_dir(), home.data_dir()] {
        disk.create_dir(&dir).on("create", &dir)?;
    }
    let write = |path: &Path, text: String, mode| replace_file(disk, path, text.as_bytes(), mode);
    write(&home.node_key(), keys.node.to_json(), Mode::Private)?;
    Signer::create_state(disk, &home.sign_state())?;
    write(
        &home.validator_key(),
        keys.validator.to_json(),
        Mode::Private,
    )?;
    write(&home.genesis(), genesis.to_json(), Mode::Public)?;
    write(&home.node_toml(), config.to_toml(), Mode::Public)
}

/// Removes blocks, WAL, state and snapshots; keys, configuration and sign state stay, so the key
/// can still not sign twice. The node must not run: the caller holds its folder's lock.
pub fn reset(home: &Home) -> Result<(), StorageError> {
    for path in [home.wal(), home.state(), home.snapshots(), home.blocks()] {
        match std::fs::remove_dir_all(&path) {
            Err(why) if why.kind() != std::io::ErrorKind::NotFound => {
                return Err(why).on("remove", &path);
            }
            _ => {}
        }
    }
    Ok(())
}
