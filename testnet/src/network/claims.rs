//! Claims to what a machine has only once: ports, address ranges.
//!
//! A claim is a file that names the owner's folder, so that two that are built at once do not take the same, and one that
//! is down keeps its own. Claims of folders that are gone count no more.

use super::lock::FolderLock;
use anyhow::Context;
use std::path::{Path, PathBuf};

/// The folder of this user's claims of one kind.
pub fn folder_of(kind: &str) -> PathBuf {
    let user = rustix::process::getuid().as_raw();
    std::env::temp_dir().join(format!("welkin-testnet-{kind}-{user}"))
}

/// Takes one of the candidates for `owner`; the one that it has already, if that is free. `None` where all are taken.
///
/// # Errors
/// The disk refuses.
pub fn claim<T: Copy>(
    claims: &Path,
    owner: &Path,
    candidates: &[T],
    name: impl Fn(T) -> String,
    is_free: impl Fn(T) -> bool,
) -> anyhow::Result<Option<T>> {
    let _lock = FolderLock::acquire(claims)?;
    let owner_of = |candidate: T| {
        std::fs::read_to_string(claims.join(name(candidate)))
            .ok()
            .map(PathBuf::from)
    };
    let is_own = |candidate: &&T| owner_of(**candidate).as_deref() == Some(owner);
    if let Some(own) = candidates.iter().find(is_own) {
        if is_free(*own) {
            return Ok(Some(*own));
        }
        std::fs::remove_file(claims.join(name(*own)))?;
    }
    for candidate in candidates {
        let taken = owner_of(*candidate).is_some_and(|other| other.exists());
        if taken || !is_free(*candidate) {
            continue;
        }
        let path = claims.join(name(*candidate));
        std::fs::write(&path, owner.as_os_str().as_encoded_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
        return Ok(Some(*candidate));
    }
    Ok(None)
}

/// Gives the owner's claims back; the last one takes the folder of claims with it.
///
/// # Errors
/// The disk refuses.
pub fn release(claims: &Path, owner: &Path) -> anyhow::Result<()> {
    if !claims.exists() {
        return Ok(());
    }
    let _lock = FolderLock::acquire(claims)?;
    let mut others = 0;
    for entry in std::fs::read_dir(claims)? {
        let path = entry?.path();
        match std::fs::read_to_string(&path) {
            Ok(of) if Path::new(&of) == owner => std::fs::remove_file(&path)?,
            _ => others += 1,
        }
    }
    if others == 0 {
        std::fs::remove_dir(claims)?;
    }
    Ok(())
}
