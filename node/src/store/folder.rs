//! The folder of a store: room, tries, quarantine, and whether it was closed.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use welkin_runtime::store::{Store, StoreError};

use super::{Condition, Opened, StoreConfig};
use crate::disk::advice;

/// How often a store is opened before it is set aside.
const TRIES: u32 = 3;

/// Written when the store is closed, removed when it is opened.
const CLOSED_MARK: &str = "closed";

/// Sets a failed operation on a path in a sentence.
pub fn failed(doing: &str, path: &Path, why: &io::Error) -> StoreError {
    let advice = advice(why);
    StoreError::Failed(format!("cannot {doing} {}: {why}{advice}", path.display()))
}

/// Makes the names in a folder durable.
pub fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    let synced = File::open(folder).and_then(|file| file.sync_all());
    synced.map_err(|why| failed("sync the folder", folder, &why))
}

/// Says durably that the store in `folder` was closed.
pub fn mark_closed(folder: &Path) -> Result<(), StoreError> {
    let mark = folder.join(CLOSED_MARK);
    let made = File::create(&mark).and_then(|file| file.sync_all());
    made.map_err(|why| failed("create", &mark, &why))?;
    sync_folder(folder)
}

/// Removes the store in `folder`, which nobody has open, with all that it holds.
pub fn erase(folder: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(folder) {
        Err(why) if why.kind() != ErrorKind::NotFound => Err(failed("remove", folder, &why)),
        _ => sync_folder(parent(folder)),
    }
}

/// Opens the store in `folder` with `start`, and reads it through if its last user left it open.
pub fn open<S: Store + 'static>(
    folder: &Path,
    config: &StoreConfig,
    start: fn(&Path, &StoreConfig) -> Result<S, StoreError>,
) -> Result<Opened, StoreError> {
    let new = is_empty(folder)?;
    create(folder)?;
    check_room(folder, config.min_free_bytes)?;
    let closed = folder.join(CLOSED_MARK).exists();
    for attempt in 1..=TRIES {
        match guarded(|| start_and_read(folder, config, start, closed || new)) {
            Ok(store) => {
                let mark = folder.join(CLOSED_MARK);
                if closed {
                    fs::remove_file(&mark).map_err(|why| failed("remove", &mark, &why))?;
                }
                sync_folder(folder)?;
                let condition = match (new, closed) {
                    (true, _) => Condition::New,
                    (_, true) => Condition::Closed,
                    (_, false) => Condition::Crashed,
                };
                return Ok(Opened {
                    store: Arc::new(store),
                    condition,
                });
            }
            // It is somebody else's, or there is no reading it with these rights: no damage.
            Err(Trouble::Operator(error)) => return Err(error),
            Err(Trouble::Damage(why)) => {
                tracing::warn!(
                    target: "welkin::store", attempt, folder = %folder.display(),
                    "the store cannot be opened: {why}"
                );
                remove_half_made(folder);
            }
        }
    }
    let aside = set_aside(folder)?;
    create(folder)?;
    let store =
        guarded(|| start_and_read(folder, config, start, true)).map_err(
            |trouble| match trouble {
                Trouble::Operator(error) => error,
                Trouble::Damage(why) => StoreError::Damaged(why),
            },
        )?;
    sync_folder(folder)?;
    Ok(Opened {
        store: Arc::new(store),
        condition: Condition::Quarantined(aside),
    })
}

fn start_and_read<S: Store>(
    folder: &Path,
    config: &StoreConfig,
    start: fn(&Path, &StoreConfig) -> Result<S, StoreError>,
    trusted: bool,
) -> Result<S, StoreError> {
    let store = start(folder, config)?;
    if !trusted {
        store.range(&[], &[], &mut |_, _| ControlFlow::Continue(()))?;
    }
    Ok(store)
}

/// Why a store did not open.
enum Trouble {
    /// Something that only the operator can change.
    Operator(StoreError),
    /// What is on the disk.
    Damage(String),
}

/// Calls into a store that may panic on damaged files, as sled does.
fn guarded<S>(call: impl FnOnce() -> Result<S, StoreError>) -> Result<S, Trouble> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(store)) => Ok(store),
        Ok(Err(StoreError::Damaged(why))) => Err(Trouble::Damage(why)),
        Ok(Err(error)) => Err(Trouble::Operator(error)),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(Trouble::Damage(
                text.unwrap_or("the store panicked").to_owned(),
            ))
        }
    }
}

fn parent(folder: &Path) -> &Path {
    match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn create(folder: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(folder).map_err(|why| failed("create", folder, &why))?;
    sync_folder(parent(folder))
}

fn is_empty(folder: &Path) -> Result<bool, StoreError> {
    match fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(why) if why.kind() == ErrorKind::NotFound => Ok(true),
        Err(why) => Err(failed("read", folder, &why)),
    }
}

fn check_room(folder: &Path, needed: u64) -> Result<(), StoreError> {
    let about = rustix::fs::statvfs(folder);
    let about = about.map_err(|why| failed("look at the disk of", folder, &why.into()))?;
    let free = about.f_bavail.saturating_mul(about.f_frsize);
    if free >= needed {
        return Ok(());
    }
    let path = folder.to_owned();
    Err(StoreError::NoRoom {
        path,
        free_mib: free >> 20,
        needed_mib: needed.div_ceil(1 << 20),
    })
}

/// sled trips over a snapshot of its own that it did not finish.
fn remove_half_made(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.to_string_lossy().ends_with(".generating") {
            // If this fails, so will the next try, and the folder is set aside.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Gives the folder another name; the first one with a number that is free.
fn set_aside(folder: &Path) -> Result<PathBuf, StoreError> {
    let name = folder
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let mut aside = (1..).map(|number| parent(folder).join(format!("{name}.damaged-{number}")));
    let aside = aside
        .find(|path| !path.exists())
        .expect("some number is free");
    fs::rename(folder, &aside).map_err(|why| failed("rename", folder, &why))?;
    sync_folder(parent(folder))?;
    tracing::error!(
        target: "welkin::store", folder = %folder.display(), aside = %aside.display(),
        "the store was damaged and is set aside; the state is made again"
    );
    Ok(aside)
}
