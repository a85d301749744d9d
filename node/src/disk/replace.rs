//! Small files that are replaced as a whole.

use super::{Context as _, Disk, Mode, Open, StorageError};
use std::path::{Path, PathBuf};

/// Replaces a file so that at any moment, and after any power cut, it holds either the old or the
/// new bytes; when this returns, the new ones. The caller must be the only writer.
pub fn replace_file(
    disk: &dyn Disk,
    path: &Path,
    bytes: &[u8],
    mode: Mode,
) -> Result<(), StorageError> {
    let temporary = temporary_of(path);
    let written = write_new(disk, &temporary, bytes, mode);
    if written.is_err() {
        // Best effort: the space matters when the disk is full. The next replacement empties it.
        let _ = disk.remove(&temporary);
    }
    written?;
    disk.rename(&temporary, path).on("replace", path)?;
    let dir = folder_of(path);
    disk.sync_dir(dir).on("sync the folder", dir)
}

fn write_new(disk: &dyn Disk, path: &Path, bytes: &[u8], mode: Mode) -> Result<(), StorageError> {
    let file = disk.open(path, Open::Create(mode)).on("create", path)?;
    file.write_at(0, bytes).on("write", path)?;
    file.sync().on("sync", path)
}

/// Reads a whole file of at most `limit` bytes.
pub fn read_small(disk: &dyn Disk, path: &Path, limit: usize) -> Result<Vec<u8>, StorageError> {
    let file = disk.open(path, Open::Read).on("open", path)?;
    let mut bytes = vec![0; limit + 1];
    let read = file.read_at(0, &mut bytes).on("read", path)?;
    if read > limit {
        let what = format!("more than {limit} bytes, so this is not the file that is meant");
        return Err(StorageError::Content {
            path: path.to_owned(),
            what,
        });
    }
    bytes.truncate(read);
    Ok(bytes)
}

/// The folder that a file lies in.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

fn temporary_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    path.with_file_name(name)
}
