//! The genesis, and the folder that is bound to it.

use std::path::Path;

use welkin_consensus::types::Genesis;
use welkin_runtime::Hash;

use super::Trust;
use crate::error::ClientError;
use crate::files;
use crate::rpc::RpcClient;

/// Largest genesis file.
const MAX_GENESIS_BYTES: u64 = 64 << 20;

/// The genesis of the network that `folder` belongs to, or will from now on.
pub(super) async fn genesis(
    folder: &Path,
    trust: &Trust,
    rpc: &RpcClient,
) -> Result<(Genesis, Hash), ClientError> {
    let file = folder.join("genesis.json");
    let pinned = match files::read(&file, MAX_GENESIS_BYTES)? {
        Some(text) => Some(parse(&file, &text)?),
        None => None,
    };
    let given = match trust {
        Trust::File(path) => {
            let text = files::read(path, MAX_GENESIS_BYTES)?;
            let text = text
                .ok_or_else(|| files::unusable(path, "there is no such genesis file".to_owned()))?;
            parse(path, &text)?
        }
        Trust::Document(genesis) => {
            let hash = genesis.hash();
            let hash = hash.map_err(|error| ClientError::Usage(error.to_string()))?;
            (Genesis::clone(genesis), hash)
        }
        Trust::Hash(hash) => match pinned {
            Some(pinned) if pinned.1 == *hash => return Ok(pinned),
            Some((_, pinned)) => return Err(other_network(folder, pinned, *hash)),
            None => (fetch(rpc, hash).await?, *hash),
        },
        Trust::Pinned => {
            return pinned.ok_or_else(|| {
                let folder = folder.display();
                ClientError::Usage(format!(
                    "{folder} does not know the network yet: give its genesis file, by `--genesis FILE` or \
                     WELKIN_GENESIS (the env.sh of a test network sets it)"
                ))
            });
        }
    };
    match pinned {
        Some((_, pinned)) if pinned != given.1 => Err(other_network(folder, pinned, given.1)),
        Some(_) => Ok(given),
        None => {
            files::replace(&file, &given.0.to_json())?;
            Ok(given)
        }
    }
}

fn parse(path: &Path, text: &str) -> Result<(Genesis, Hash), ClientError> {
    let parsed = Genesis::from_json(text).and_then(|genesis| {
        let hash = genesis.hash()?;
        Ok((genesis, hash))
    });
    parsed.map_err(|error| files::unusable(path, error.to_string()))
}

async fn fetch(rpc: &RpcClient, hash: &Hash) -> Result<Genesis, ClientError> {
    let answer = rpc.genesis().await?;
    let lie = |proven: String| {
        ClientError::lie(&answer.by, format!("a genesis with hash {hash}"), proven)
    };
    answer
        .value
        .validate()
        .map_err(|error| lie(error.to_string()))?;
    let found = answer
        .value
        .hash()
        .map_err(|error| lie(error.to_string()))?;
    if found != *hash {
        return Err(lie(format!("its genesis has the hash {found}")));
    }
    Ok(answer.value)
}

fn other_network(folder: &Path, pinned: Hash, given: Hash) -> ClientError {
    ClientError::OtherNetwork {
        folder: folder.to_owned(),
        pinned,
        given,
    }
}
