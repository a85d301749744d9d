//! Private keys: read only if nobody else can.

use super::{Context as _, StorageError};
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Longest key file that is read, in bytes.
const MAX_KEY_FILE_BYTES: u64 = 16 * 1024;

/// Reads a key file, unless its group or others may read it too.
pub fn read_private(path: &Path) -> Result<String, StorageError> {
    let file = File::open(path).on("open", path)?;
    let mode = file.metadata().on("look at", path)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(StorageError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    let mut text = String::new();
    let read = file
        .take(MAX_KEY_FILE_BYTES + 1)
        .read_to_string(&mut text)
        .on("read", path)?;
    if read as u64 > MAX_KEY_FILE_BYTES {
        let what = "too long for a key file".to_owned();
        return Err(StorageError::Content {
            path: path.to_owned(),
            what,
        });
    }
    Ok(text)
}
