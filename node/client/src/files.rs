//! Small files that are replaced whole.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::FlockOperation;

use crate::error::ClientError;

/// Reads a file of at most `max_bytes`; none if there is none.
pub(crate) fn read(path: &Path, max_bytes: u64) -> Result<Option<String>, ClientError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(path, &error)),
    };
    let mut text = String::new();
    let read = file.take(max_bytes + 1).read_to_string(&mut text);
    read.map_err(|error| failed(path, &error))?;
    if text.len() as u64 > max_bytes {
        let reason = format!("it is longer than {max_bytes} bytes");
        return Err(unusable(path, reason));
    }
    Ok(Some(text))
}

/// Replaces a file, readable by its owner only: after a crash there is the old one or the new one, whole.
///
/// Two that replace the same file at the same time have to take turns by a lock of their own.
///
/// # Errors
/// What the system said. The file is then the old one whole, or the new one whole that a power cut may still undo.
pub fn replace_durably(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let temporary = path.with_extension(format!("partial-{}", std::process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| File::open(folder)?.sync_all());
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Replaces a file of the client's own, whose folder is made where it is not there.
pub(crate) fn replace(path: &Path, text: &str) -> Result<(), ClientError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    replace_durably(path, text.as_bytes()).map_err(|error| failed(path, &error))
}

/// Holds a lock, which is a file that stays, until what is returned is dropped; waits for whoever has it.
///
/// # Errors
/// What the system said of the file or its folder, which is made where it is not there.
pub fn lock(path: &Path) -> std::io::Result<File> {
    let file = lock_file(path)?;
    rustix::fs::flock(&file, FlockOperation::LockExclusive)?;
    Ok(file)
}

/// Holds a lock like [`lock`]; nothing where another process, or another part of this one, has it.
///
/// # Errors
/// As [`lock`].
pub fn try_lock(path: &Path) -> std::io::Result<Option<File>> {
    let file = lock_file(path)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn lock_file(path: &Path) -> std::io::Result<File> {
    fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

pub(crate) fn failed(path: &Path, error: &std::io::Error) -> ClientError {
    unusable(path, error.to_string())
}

pub(crate) fn unusable(path: &Path, reason: String) -> ClientError {
    ClientError::File {
        path: path.to_owned(),
        reason,
    }
}
