//! What a run leaves on the disk before it sends anything.

use std::path::{Path, PathBuf};

use rand::RngCore;
use welkin_client::files::replace_durably;
use welkin_modules::deployment::types::Nonce;
use welkin_runtime::{Address, Hash};

use super::steps::Intent;
use crate::commands::sdl;
use crate::failure::{Failure, Outcome, code};

/// Where the intent of a file lies: one for each network, account and file.
pub fn path(home: &Path, genesis: &Hash, owner: &Address, file: &Path) -> PathBuf {
    let file = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let name = format!("{genesis}\n{owner}\n{}", file.display());
    let name = welkin_runtime::crypto::blake3_hash(name.as_bytes()).to_string();
    home.join("deployments")
        .join(format!("{}.json", &name[..32]))
}

/// An intent with a new nonce.
pub fn new(file: &Path, content: Hash) -> Intent {
    let mut nonce = [0; 16];
    rand::rng().fill_bytes(&mut nonce);
    Intent {
        file: file.to_owned(),
        content,
        nonce: Nonce(nonce),
    }
}

/// What an earlier run left.
///
/// # Errors
/// It cannot be read, or is damaged.
pub fn read(path: &Path) -> Outcome<Option<Intent>> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            Failure::new(
                code::FAILED,
                format!("{}: {error}; delete it to begin anew", path.display()),
            )
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::file(path, &error)),
    }
}

/// Puts an intent in the place of an older one: wholly, or not at all.
///
/// # Errors
/// The disk refuses.
pub fn write(path: &Path, intent: &Intent) -> Outcome {
    let failed = |error: std::io::Error| Failure::file(path, &error);
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let bytes = serde_json::to_vec_pretty(intent)
        .map_err(|error| Failure::new(code::FAILED, error.to_string()))?;
    replace_durably(path, &bytes).map_err(failed)
}

/// Notes that a deployment that was created with this nonce is this file from now on, so that `deploy` continues it.
///
/// # Errors
/// The file cannot be read, or the disk refuses.
pub fn follow(home: &Path, genesis: &Hash, owner: &Address, file: &Path, nonce: Nonce) -> Outcome {
    let bytes = sdl::bytes(file)?;
    let intent = Intent {
        file: file.to_owned(),
        content: welkin_runtime::crypto::blake3_hash(&bytes),
        nonce,
    };
    write(&path(home, genesis, owner, file), &intent)
}
