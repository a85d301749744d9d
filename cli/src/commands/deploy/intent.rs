//! What a run leaves on the disk before it sends anything.

use std::path::{Path, PathBuf};

use rand::RngCore;
use welkin_modules::deployment::types::Nonce;
use welkin_runtime::{Address, Hash};

use super::steps::Intent;
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
    use std::io::Write;
    let failed = |error: std::io::Error| Failure::file(path, &error);
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let bytes =
        serde_json::to_vec_pretty(intent).map_err(|error| Failure::new(1, error.to_string()))?;
    let temporary = path.with_extension("partial");
    std::fs::File::create(&temporary)
        .and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&temporary, path))
        .and_then(|()| std::fs::File::open(folder)?.sync_all())
        .map_err(failed)
}
