//! Locks on folders, which one process at a time changes.

use anyhow::Context;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Held while the folder is changed. The system gives it back when the process ends, however that happens.
#[derive(Debug)]
pub struct FolderLock {
    _open: File,
}

impl FolderLock {
    /// Makes the folder if it is not there, and waits until it is this process's alone.
    ///
    /// # Errors
    /// The folder cannot be made or opened.
    pub fn acquire(folder: &Path) -> anyhow::Result<FolderLock> {
        loop {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
            let Ok(file) = File::open(folder) else {
                continue;
            };
            file.lock()
                .with_context(|| format!("cannot lock {}", folder.display()))?;
            // Whoever had it may have removed the folder, and a third made it anew: then this lock is of no use.
            let (held, there) = (file.metadata()?, std::fs::metadata(folder));
            if there.is_ok_and(|there| there.ino() == held.ino() && there.dev() == held.dev()) {
                return Ok(FolderLock { _open: file });
            }
        }
    }
}
