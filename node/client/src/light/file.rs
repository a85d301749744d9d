//! The file of what was verified. Several processes of a user may share it.

use std::path::Path;

use super::Trusted;
use crate::error::ClientError;
use crate::files;

/// Largest file of verified headers.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// Reads the file, if there is one. `empty` says what network it has to be of.
pub(super) fn load(file: &Path, empty: &Trusted) -> Result<Option<Trusted>, ClientError> {
    let Some(text) = files::read(file, MAX_FILE_BYTES)? else {
        return Ok(None);
    };
    let trusted = empty.from_json(&text).map_err(|reason| {
        let remedy = "delete it to verify the chain again from its genesis";
        files::unusable(
            file,
            format!("the file of verified headers is damaged: {reason}; {remedy}"),
        )
    })?;
    Ok(Some(trusted))
}

/// Writes the file, with what other processes wrote to it meanwhile: nothing in it goes back.
pub(super) fn save(file: &Path, mut trusted: Trusted) -> Result<(), ClientError> {
    let lock = file.with_extension("lock");
    let _lock = files::lock(&lock).map_err(|error| files::failed(&lock, &error))?;
    if let Some(stored) = load(file, &trusted)? {
        trusted.merge(stored);
    }
    files::replace(file, &trusted.to_json())
}
