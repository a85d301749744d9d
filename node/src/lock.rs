//! One process per data folder.

use crate::disk::{Context as _, Disk, StorageError, read_small};
use std::any::Any;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Name of the lock file in the folder.
const LOCK_FILE: &str = "lock";

/// The exclusive use of a folder. The operating system releases it when the process ends, however
/// it ends; a lock file that is left over means nothing.
pub struct FolderLock {
    folder: PathBuf,
    _held: Box<dyn Any + Send + Sync>,
}

impl FolderLock {
    /// Takes the lock, or says which process holds it. Creates the folder if need be.
    pub fn acquire(disk: &dyn Disk, folder: &Path) -> Result<FolderLock, StorageError> {
        disk.create_dir(folder).on("create", folder)?;
        let path = folder.join(LOCK_FILE);
        match disk.lock(&path) {
            Ok(held) => Ok(FolderLock {
                folder: folder.to_owned(),
                _held: held,
            }),
            Err(why) if why.kind() == io::ErrorKind::WouldBlock => Err(StorageError::Locked {
                path: folder.to_owned(),
                pid: holder(disk, &path),
            }),
            Err(why) => Err(why).on("lock", &path),
        }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl fmt::Debug for FolderLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FolderLock").field(&self.folder).finish()
    }
}

fn holder(disk: &dyn Disk, path: &Path) -> Option<u32> {
    let text = String::from_utf8(read_small(disk, path, 32).ok()?).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{ModelDisk, RealDisk};

    #[test]
    fn a_second_user_of_a_folder_is_told_who_holds_it() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("data");
        let held = FolderLock::acquire(&RealDisk, &folder).unwrap();
        let refused = FolderLock::acquire(&RealDisk, &folder)
            .unwrap_err()
            .to_string();
        let told = format!(
            "{} is in use by process {}",
            folder.display(),
            std::process::id()
        );
        assert!(refused.starts_with(&told), "{refused}");
        drop(held);
        FolderLock::acquire(&RealDisk, &folder).unwrap();
    }

    #[test]
    fn a_lock_file_left_over_by_a_dead_process_holds_nobody_up() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join(LOCK_FILE), "999999\n").unwrap();
        FolderLock::acquire(&RealDisk, home.path()).unwrap();
    }

    #[test]
    fn the_model_locks_as_the_operating_system_does() {
        let disk = ModelDisk::default();
        let folder = Path::new("/data");
        let held = FolderLock::acquire(&disk, folder).unwrap();
        assert!(matches!(
            FolderLock::acquire(&disk, folder),
            Err(StorageError::Locked { pid: None, .. })
        ));
        drop(held);
        assert_eq!(FolderLock::acquire(&disk, folder).unwrap().folder(), folder);
    }
}
