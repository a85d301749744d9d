//! Locks on folders, which one process at a time changes.

use super::waiting::Wait;
use anyhow::{Context, ensure};
use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// How often a lock that somebody else holds is tried.
const LOOK: Duration = Duration::from_millis(20);
/// How long another command may hold it: longer than one that brings a network up waits for anything.
const PATIENCE: Duration = Duration::from_secs(300);

/// Held while the folder is changed. The system gives it back when the process ends, however that happens.
#[derive(Debug)]
pub struct FolderLock {
    _open: File,
}

impl FolderLock {
    /// Makes the folder if it is not there, and waits until it is this process's alone.
    ///
    /// # Errors
    /// The folder cannot be made or opened, or another command holds it for too long.
    pub fn acquire(folder: &Path) -> anyhow::Result<FolderLock> {
        loop {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
            let Ok(file) = File::open(folder) else {
                continue;
            };
            wait_for(&file, folder)?;
            // Whoever had it may have removed the folder, and a third made it anew: then this lock is of no use.
            let (held, there) = (file.metadata()?, std::fs::metadata(folder));
            if there.is_ok_and(|there| there.ino() == held.ino() && there.dev() == held.dev()) {
                return Ok(FolderLock { _open: file });
            }
        }
    }
}

fn wait_for(file: &File, folder: &Path) -> anyhow::Result<()> {
    let mut wait = Wait::new(format!("another command that has {}", folder.display()));
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(why)) => {
                return Err(why).with_context(|| format!("cannot lock {}", folder.display()));
            }
        }
        ensure!(
            wait.elapsed() < PATIENCE,
            "another command has {} for too long; end it, and run this again",
            folder.display()
        );
        wait.tell();
        std::thread::sleep(LOOK);
    }
}
