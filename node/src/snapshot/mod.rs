//! Snapshots: a whole state in one file, from which a store is made again.
//!
//! ```text
//!   View of a version ──► rows ──► frames ──► NAME.tmp, synced ──► NAME, folder synced
//!                                                                     │
//!   empty store ◄── rows, root checked ◄── all checksums checked ◄────┘
//! ```
//!
//! A snapshot holds the keys and values of one version in order, the root they lead to, and what
//! the ledger wants to have with it (the chain's state at that height, as bytes). It is written
//! while the chain goes on; if that takes so long that its version is pruned, the next one will
//! be quicker or the operator keeps more versions.
//!
//! What always holds: a file with the final name is whole, for it was synced before it got that
//! name. What was damaged since is found before a row of it reaches a store.
//!
//! Deliberately not here: when to write one, and whether it fits the block log. The ledger knows.

mod format;

use std::path::PathBuf;
use std::sync::Arc;

use welkin_runtime::Hash;
use welkin_runtime::state::key_after;
use welkin_runtime::store::Store;
use welkin_runtime::tree::{StateTree, TreeConfig, TreeError, View};

use crate::disk::{Context as _, Disk, Mode, Open, StorageError};
pub use format::Head;
use format::{Reader, Writer};

const ENDING: &str = ".snapshot";
const TEMPORARY: &str = ".snapshot.tmp";

/// Rows that are read from the tree at once.
const ROWS_AT_ONCE: usize = 256;

/// Why a snapshot cannot be written or used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] StorageError),
    /// The tree or the store failed, or the version was pruned meanwhile.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The file is not what was written: use another one.
    #[error(
        "{} is damaged: {what}; remove it, an older snapshot or the block log will do",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// The folder of the snapshots of a node.
#[derive(Clone, Debug)]
pub struct Snapshots {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    keep: usize,
}

impl Snapshots {
    /// Opens the folder, makes it if need be, and removes what a crash left half written. Of the
    /// snapshots the newest `keep` stay, at least one.
    pub fn open(
        disk: Arc<dyn Disk>,
        folder: impl Into<PathBuf>,
        keep: usize,
    ) -> Result<Snapshots, SnapshotError> {
        let folder = folder.into();
        disk.create_dir(&folder).on("create", &folder)?;
        for name in disk.list(&folder).on("list", &folder)? {
            if name.ends_with(TEMPORARY) {
                let path = folder.join(name);
                disk.remove(&path).on("remove", &path)?;
            }
        }
        Ok(Snapshots {
            disk,
            folder,
            keep: keep.max(1),
        })
    }

    /// The versions of which there is a snapshot, the newest first.
    pub fn versions(&self) -> Result<Vec<u64>, SnapshotError> {
        let names = self.disk.list(&self.folder).on("list", &self.folder)?;
        let version = |name: String| name.strip_suffix(ENDING)?.parse().ok();
        let mut versions: Vec<u64> = names.into_iter().filter_map(version).collect();
        versions.sort_unstable_by(|a, b| b.cmp(a));
        Ok(versions)
    }

    /// Writes a snapshot of what `view` shows at `version`; durable when this returns. Older ones
    /// are removed then.
    pub fn write(
        &self,
        version: u64,
        view: &View<'_>,
        attachment: &[u8],
    ) -> Result<(), SnapshotError> {
        let temporary = self.folder.join(format!("{version:020}{TEMPORARY}"));
        let written = self.write_rows(&temporary, version, view, attachment);
        if written.is_err() {
            // Best effort: the room matters when the disk is full.
            let _ = self.disk.remove(&temporary);
        }
        written?;
        let path = self.path(version);
        self.disk
            .rename(&temporary, &path)
            .on("rename", &temporary)?;
        self.disk
            .sync_dir(&self.folder)
            .on("sync the folder", &self.folder)?;
        for old in self.versions()?.into_iter().skip(self.keep) {
            let path = self.path(old);
            self.disk.remove(&path).on("remove", &path)?;
        }
        Ok(())
    }

    fn write_rows(
        &self,
        path: &std::path::Path,
        version: u64,
        view: &View<'_>,
        attachment: &[u8],
    ) -> Result<(), SnapshotError> {
        let file = self
            .disk
            .open(path, Open::Create(Mode::Public))
            .on("create", path)?;
        let head = Head {
            version,
            root: view.root(),
            rows: view.count(),
            attachment: attachment.to_vec(),
        };
        let mut writer = Writer::start(&*file, path, &head)?;
        let mut from = Vec::new();
        loop {
            let rows = view.pairs(&from, &[], ROWS_AT_ONCE)?;
            let Some((last, _)) = rows.last() else { break };
            from = key_after(last);
            for (key, value) in &rows {
                writer.row(key, value)?;
            }
        }
        writer.finish()?;
        file.sync().on("sync", path)?;
        Ok(())
    }

    /// What a snapshot says of itself; its rows are not looked at.
    pub fn head(&self, version: u64) -> Result<Head, SnapshotError> {
        Ok(self.reader(version)?.head)
    }

    /// Fills the empty `store` from the snapshot of `version`. All checksums are checked before
    /// the first row is written, the root after the last, against `root`, which the caller has
    /// from the chain and not from the file.
    pub fn load(
        &self,
        version: u64,
        root: Hash,
        store: Arc<dyn Store>,
        config: TreeConfig,
    ) -> Result<StateTree, SnapshotError> {
        for row in self.reader(version)? {
            row?;
        }
        StateTree::load(store, config, version, root, self.reader(version)?)
    }

    fn reader(&self, version: u64) -> Result<Reader, SnapshotError> {
        let path = self.path(version);
        let file = self.disk.open(&path, Open::Read).on("open", &path)?;
        let reader = Reader::start(file, path)?;
        if reader.head.version != version {
            return Err(reader.damaged("its name says another version"));
        }
        Ok(reader)
    }

    fn path(&self, version: u64) -> PathBuf {
        self.folder.join(format!("{version:020}{ENDING}"))
    }
}

#[cfg(test)]
mod tests;
