//! What tenants sent, kept sealed: a folder for each lease, a sealed file for each version, and one file that says which
//! version is which.
//!
//! ```text
//!   manifests/12-1-1@57/state.json             accepted, last good, failed: hashes and a reason, nothing secret
//!                      /<commitment>.sealed    nonce ‖ XChaCha20-Poly1305(manifest and salt)
//! ```
//!
//! The key is derived from the provider's own, so a machine with that key and this folder takes over. The associated data
//! names chain, provider, lease and commitment: a file moved elsewhere does not open. Every file is written beside its
//! place, synced and renamed; the version file first, so that the state never names what is not there.

mod seal;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use welkin_provider_api::manifest::{MAX_MANIFEST_BYTES, Opening};
use welkin_runtime::Hash;
use zeroize::Zeroizing;

use crate::backend::{Instance, LeaseKey};

pub use seal::SealingKey;

/// The longest sealed file: the longest manifest, its opening and the seal itself.
const MAX_SEALED_BYTES: u64 = MAX_MANIFEST_BYTES as u64 + 16 * 1024;
/// The longest state file.
const MAX_STATE_BYTES: u64 = 16 * 1024;

/// A version of a manifest as it was sent.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Kept {
    /// The encoded group manifest.
    pub manifest: Vec<u8>,
    /// What connects it with the commitment on chain.
    pub opening: Opening,
}

/// Which version is which. A version is named by its commitment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Versions {
    /// The newest that was accepted.
    pub accepted: Option<Hash>,
    /// The newest that ran well.
    pub last_good: Option<Hash>,
    /// The newest that failed, and why.
    pub failed: Option<Failure>,
}

impl Versions {
    /// The version that should run: the newest accepted one, unless it failed and there is one that ran well. With none
    /// that ever ran, the failed one is tried again after a pause: its cause may pass.
    pub fn wanted(&self) -> Option<Hash> {
        match (self.accepted, &self.failed) {
            (Some(accepted), Some(failed)) if failed.version == accepted => {
                self.last_good.or(Some(accepted))
            }
            (accepted, _) => accepted.or(self.last_good),
        }
    }
}

/// Why a version does not run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// Which.
    pub version: Hash,
    /// What went wrong, for the tenant.
    pub cause: String,
}

/// Why something could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestsError {
    /// The disk refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not what was written there.
    #[error(
        "{} is damaged, or sealed by another provider's key; restore it, or ask the tenant to send the manifest again",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

/// The store of one provider on one chain.
pub struct Manifests {
    folder: PathBuf,
    instance: Instance,
    key: SealingKey,
    /// Held from reading a state to replacing it: the gateway accepts a version while the loop notes how another runs.
    change: Mutex<()>,
}

impl Manifests {
    /// The store in `folder`, which is made where it is not there.
    ///
    /// # Errors
    /// [`ManifestsError::Io`] when the folder cannot be made.
    pub fn open(
        folder: PathBuf,
        instance: Instance,
        key: SealingKey,
    ) -> Result<Manifests, ManifestsError> {
        fs::create_dir_all(&folder).map_err(|source| io(&folder, source))?;
        Ok(Manifests {
            folder,
            instance,
            key,
            change: Mutex::new(()),
        })
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.change
            .lock()
            .expect("no holder of the manifests panics")
    }

    /// All leases for which something is kept.
    ///
    /// # Errors
    /// [`ManifestsError::Io`] when the folder cannot be listed.
    pub fn leases(&self) -> Result<BTreeSet<LeaseKey>, ManifestsError> {
        let mut leases = BTreeSet::new();
        for entry in fs::read_dir(&self.folder).map_err(|source| io(&self.folder, source))? {
            let entry = entry.map_err(|source| io(&self.folder, source))?;
            let name = entry.file_name();
            leases.extend(name.to_str().and_then(LeaseKey::from_file_name));
        }
        Ok(leases)
    }

    /// Which version is which for one lease; all `None` where nothing is kept.
    ///
    /// # Errors
    /// [`ManifestsError`].
    pub fn versions(&self, key: LeaseKey) -> Result<Versions, ManifestsError> {
        let path = self.lease_folder(key).join("state.json");
        let Some(bytes) = read(&path, MAX_STATE_BYTES)? else {
            return Ok(Versions::default());
        };
        serde_json::from_slice(&bytes).map_err(|_| ManifestsError::Damaged { path })
    }

    /// A version as it was sent; `None` where it is not kept.
    ///
    /// # Errors
    /// [`ManifestsError::Damaged`] when the file does not open.
    pub fn get(&self, key: LeaseKey, version: Hash) -> Result<Option<Kept>, ManifestsError> {
        let path = self.sealed_path(key, version);
        let Some(bytes) = read(&path, MAX_SEALED_BYTES)? else {
            return Ok(None);
        };
        let damaged = || ManifestsError::Damaged { path: path.clone() };
        let opened = self
            .key
            .open(&bytes, &self.associated_data(key, version))
            .ok_or_else(damaged)?;
        let opened = Zeroizing::new(opened);
        Kept::try_from_slice(&opened)
            .map(Some)
            .map_err(|_| damaged())
    }

    /// Keeps a newly accepted version, if it still `is_wanted`; from then on it is the accepted one. That is asked when
    /// nothing else can be accepted any more in between: of two versions the one sent first may be the last to come here.
    /// Where the state was damaged this begins a new one: that is how a tenant who sends again mends it.
    ///
    /// # Errors
    /// [`ManifestsError::Io`]; what was kept before is then still whole.
    pub fn accept(
        &self,
        key: LeaseKey,
        version: Hash,
        kept: &Kept,
        is_wanted: impl FnOnce() -> bool,
    ) -> Result<Option<Versions>, ManifestsError> {
        let _changing = self.changing();
        if !is_wanted() {
            return Ok(None);
        }
        let folder = self.lease_folder(key);
        fs::create_dir_all(&folder).map_err(|source| io(&folder, source))?;
        let plain =
            Zeroizing::new(borsh::to_vec(kept).expect("a manifest in memory is always borsh"));
        let sealed = self.key.seal(&plain, &self.associated_data(key, version));
        write(&self.sealed_path(key, version), &sealed)?;
        let mut versions = match self.versions(key) {
            Err(ManifestsError::Damaged { .. }) => Versions::default(),
            known => known?,
        };
        versions.accepted = Some(version);
        // A tenant who sends a failed version again wants it tried again.
        versions.failed.take_if(|failed| failed.version == version);
        self.replace(key, versions).map(Some)
    }

    /// Notes that a version runs well; that it failed before is over.
    ///
    /// # Errors
    /// [`ManifestsError`].
    pub fn note_good(&self, key: LeaseKey, version: Hash) -> Result<Versions, ManifestsError> {
        let _changing = self.changing();
        let mut versions = self.versions(key)?;
        versions.last_good = Some(version);
        versions.failed.take_if(|failed| failed.version == version);
        self.replace(key, versions)
    }

    /// Notes that a version does not run.
    ///
    /// # Errors
    /// [`ManifestsError`].
    pub fn note_failed(&self, key: LeaseKey, failure: Failure) -> Result<Versions, ManifestsError> {
        let _changing = self.changing();
        let mut versions = self.versions(key)?;
        versions.failed = Some(failure);
        self.replace(key, versions)
    }

    /// Forgets everything about a lease. That nothing is kept is no error.
    ///
    /// # Errors
    /// [`ManifestsError::Io`].
    pub fn forget(&self, key: LeaseKey) -> Result<(), ManifestsError> {
        let _changing = self.changing();
        let folder = self.lease_folder(key);
        match fs::remove_dir_all(&folder) {
            Ok(()) => sync_folder(&self.folder),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(io(&folder, source)),
        }
    }

    fn replace(&self, key: LeaseKey, versions: Versions) -> Result<Versions, ManifestsError> {
        let folder = self.lease_folder(key);
        let bytes = serde_json::to_vec_pretty(&versions).expect("hashes and text are always JSON");
        write(&folder.join("state.json"), &bytes)?;
        self.remove_unnamed(&folder, &versions)?;
        Ok(versions)
    }

    /// Removes sealed files that the state does not name any more.
    fn remove_unnamed(&self, folder: &Path, versions: &Versions) -> Result<(), ManifestsError> {
        let named: Vec<String> = [versions.accepted, versions.last_good]
            .into_iter()
            .flatten()
            .chain(versions.failed.as_ref().map(|failed| failed.version))
            .map(|version| format!("{version}.sealed"))
            .collect();
        for entry in fs::read_dir(folder)
            .map_err(|source| io(folder, source))?
            .flatten()
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".sealed") && !named.contains(&name) {
                fs::remove_file(entry.path()).map_err(|source| io(&entry.path(), source))?;
            }
        }
        Ok(())
    }

    fn lease_folder(&self, key: LeaseKey) -> PathBuf {
        self.folder.join(key.file_name())
    }

    fn sealed_path(&self, key: LeaseKey, version: Hash) -> PathBuf {
        self.lease_folder(key).join(format!("{version}.sealed"))
    }

    fn associated_data(&self, key: LeaseKey, version: Hash) -> Vec<u8> {
        let Instance { genesis, provider } = &self.instance;
        let LeaseKey {
            lease,
            creation_height,
        } = key;
        format!("welkin manifest 1\n{genesis}\n{provider}\n{lease}\n{creation_height}\n{version}\n")
            .into_bytes()
    }
}

fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, ManifestsError> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() > limit => Err(ManifestsError::Damaged {
            path: path.to_owned(),
        }),
        Ok(_) => fs::read(path).map(Some).map_err(|source| io(path, source)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(io(path, source)),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ManifestsError> {
    welkin_client::files::replace_durably(path, bytes).map_err(|source| io(path, source))
}

fn sync_folder(folder: &Path) -> Result<(), ManifestsError> {
    fs::File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| io(folder, source))
}

fn io(path: &Path, source: std::io::Error) -> ManifestsError {
    ManifestsError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests;
