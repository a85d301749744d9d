//! Signing: the one place where a validator's key is used, and the file that keeps it from ever
//! signing two different things.
//!
//! The rules are `welkin_consensus::files::SignState`'s; here is the disk. The new state is durable
//! before the signature is returned: write beside, sync, rename, sync the folder. Two syncs are the
//! least that is correct. Without the first the renamed file may be empty after a power cut;
//! without the second the old one may be back, and with it the permission to sign again. The file
//! is CometBFT's, padded with spaces; see [`SwapFile`] for what that saves.

use crate::disk::{Disk, Mode, StorageError, SwapFile, read_small, replace_file};
use crate::lock::FolderLock;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use welkin_consensus::files::{Decision, PrivValidatorKey, Refusal, SignState, Step};
use welkin_consensus::types::{PublicKey, Signature, Timestamp};

/// Longest state file that is read, in bytes. Sign bytes are some 150 bytes.
const MAX_STATE_BYTES: usize = 16 * 1024;

/// What came of a request to sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signed {
    /// A new signature over the bytes that were given.
    Fresh(Signature),
    /// The same was signed before, perhaps at another time: the message must carry both.
    Earlier {
        /// The signature that was made then.
        signature: Signature,
        /// The time that it covers.
        timestamp: Timestamp,
    },
}

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// It could be a double-sign. The message is not sent; the node goes on.
    #[error("refused to sign: {0}")]
    Refused(#[from] Refusal),
    /// The state could not be made durable. The node stops.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// A validator's key with its sign state.
pub struct Signer {
    file: SwapFile,
    key: PrivValidatorKey,
    state: SignState,
    stopped: bool,
    _lock: Arc<FolderLock>,
}

impl Signer {
    /// Writes the state of a key that has never signed. For a new key only: with a state that is
    /// gone, a key can double-sign, so an existing file is an error.
    pub fn create_state(disk: &dyn Disk, path: &Path) -> Result<(), StorageError> {
        if read_small(disk, path, MAX_STATE_BYTES).is_ok() {
            let what = "exists already; it must not be lost as long as its key is used".to_owned();
            return Err(StorageError::Content {
                path: path.to_owned(),
                what,
            });
        }
        replace_file(
            disk,
            path,
            SignState::default().to_json().as_bytes(),
            Mode::Private,
        )
    }

    /// Reads the state, and takes the key. The lock must be the one of the folder that the state
    /// lies in, so that no second process signs with it.
    pub fn open(
        disk: Arc<dyn Disk>,
        path: &Path,
        key: PrivValidatorKey,
        lock: Arc<FolderLock>,
    ) -> Result<Signer, StorageError> {
        let content = |what: String| StorageError::Content {
            path: path.to_owned(),
            what,
        };
        if path.parent() != Some(lock.folder()) {
            let held = lock.folder().display();
            return Err(content(format!(
                "lies outside the locked folder {held}; move it there"
            )));
        }
        let bytes = read_small(&*disk, path, MAX_STATE_BYTES)?;
        let state = std::str::from_utf8(&bytes).map_err(|why| why.to_string());
        let state =
            state.and_then(|text| SignState::from_json(text).map_err(|why| why.to_string()));
        let state = state.map_err(|why| {
            content(format!(
                "not a sign state ({why}); restore it, or retire the key: signing without it can \
                be punished"
            ))
        })?;
        let (file, _) = SwapFile::open(disk, path, MAX_STATE_BYTES)?;
        Ok(Signer {
            file,
            key,
            state,
            stopped: false,
            _lock: lock,
        })
    }

    /// What was signed last.
    pub fn state(&self) -> &SignState {
        &self.state
    }

    /// The public half of the key.
    pub fn public_key(&self) -> PublicKey {
        self.key.public_key()
    }

    /// Signs the sign bytes of a proposal or vote, if nothing that was signed forbids it. The
    /// signature is returned after the state that records it is durable.
    pub fn sign(
        &mut self,
        height: u64,
        round: u32,
        step: Step,
        sign_bytes: &[u8],
    ) -> Result<Signed, SignError> {
        if self.stopped {
            return Err(StorageError::Stopped {
                path: self.file.path().to_owned(),
            }
            .into());
        }
        match self.state.decide(height, round, step, sign_bytes)? {
            Decision::Reuse {
                signature,
                timestamp,
            } => Ok(Signed::Earlier {
                signature,
                timestamp,
            }),
            Decision::Sign => {
                let signature = Signature(self.key.0.sign(sign_bytes));
                let state = SignState::signed(height, round, step, sign_bytes.to_vec(), signature);
                let replaced = self.file.replace(state.to_json().as_bytes());
                // Whether the disk holds the old or the new state is not known after a failure.
                self.stopped = replaced.is_err();
                replaced?;
                self.state = state;
                Ok(Signed::Fresh(signature))
            }
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("file", &self.file)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
