//! What a run leaves on the disk before it sends anything.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::RngCore;
use welkin_client::files::{self, replace_durably};
use welkin_modules::deployment::types::Nonce;
use welkin_runtime::{Address, Hash};

use super::steps::Intent;
use crate::failure::{Failure, Outcome, code};
use crate::output::say;

/// Where the intent of a file lies: one for each network, account and file.
pub fn path(home: &Path, genesis: &Hash, owner: &Address, file: &Path) -> PathBuf {
    let file = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let name = format!("{genesis}\n{owner}\n{}", file.display());
    let name = welkin_runtime::crypto::blake3_hash(name.as_bytes()).to_string();
    home.join("deployments")
        .join(format!("{}.json", &name[..32]))
}

/// Keeps other runs with the same file, network and account away until what is returned is dropped; waits for one that
/// is at it, and says so.
///
/// # Errors
/// The disk refuses, or the other one takes longer than `limit`.
pub async fn lock(path: &Path, limit: Duration) -> Outcome<File> {
    let path = path.with_extension("lock");
    if let Some(lock) = files::try_lock(&path).map_err(|error| Failure::file(&path, &error))? {
        return Ok(lock);
    }
    say("another run with this file is at it; waiting for its end");
    let locked = tokio::task::spawn_blocking(move || {
        files::lock(&path).map_err(|error| Failure::file(&path, &error))
    });
    match tokio::time::timeout(limit, locked).await {
        Ok(Ok(locked)) => locked,
        Ok(Err(error)) => Err(Failure::new(code::FAILED, error.to_string())),
        Err(_) => Err(Failure::new(
            code::TIMED_OUT,
            format!(
                "another run with this file is at it for longer than {} s; try again when it has ended",
                limit.as_secs()
            ),
        )),
    }
}

/// A nonce that nobody had before.
pub fn new_nonce() -> Nonce {
    let mut nonce = [0; 16];
    rand::rng().fill_bytes(&mut nonce);
    Nonce(nonce)
}

/// That a file of this content is, or will be, the deployment with this nonce.
pub fn of(file: &Path, content: Hash, nonce: Nonce) -> Intent {
    Intent {
        file: file.to_owned(),
        content,
        nonce,
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
                format!(
                    "{}: {error}; it says which deployment the file is: look for that with `welkin deployment list` and \
                     close it, then delete this file to begin anew",
                    path.display()
                ),
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
