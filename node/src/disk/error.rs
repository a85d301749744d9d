//! What can go wrong with files, said so that the operator knows what to do.

use std::io;
use std::path::{Path, PathBuf};

/// Why a file could not be used. After any of these in a running node, the node stops.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The operating system refused.
    #[error("cannot {doing} {}: {source}{}", path.display(), advice(source))]
    Io {
        /// What was tried, as it reads after "cannot".
        doing: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
    /// An earlier write or sync failed, so nothing more is written: what is on the disk is not
    /// known until the file is opened again.
    #[error(
        "{} is closed since a write failed; start the node again once the disk is well",
        path.display()
    )]
    Stopped {
        /// The folder or file.
        path: PathBuf,
    },
    /// Bytes that were synced once have changed or are gone.
    #[error("{} is damaged at byte {offset}: {what}; {remedy}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the first bad record begins.
        offset: u64,
        /// What is wrong there.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The folder belongs to another network.
    #[error(
        "{} belongs to another network (genesis {found}, not {expected}): use the home folder of \
         this network, or remove the old data with `welkind unsafe-reset`",
        path.display()
    )]
    OtherNetwork {
        /// The file that says so.
        path: PathBuf,
        /// Genesis hash of the network that was started, in hex.
        expected: String,
        /// Genesis hash in the file, in hex.
        found: String,
    },
    /// Another process uses the folder.
    #[error(
        "{} is in use by {}: stop that process first, or use another home folder",
        path.display(), holder(*pid)
    )]
    Locked {
        /// The folder.
        path: PathBuf,
        /// The process, if it said who it is.
        pid: Option<u32>,
    },
    /// A secret that others can read.
    #[error(
        "{} can be read by others (mode {mode:03o}): run `chmod 600 {}`",
        path.display(), path.display()
    )]
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file whose content is not what it must be.
    #[error("{}: {what}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        what: String,
    },
    /// A record larger than the limit of its file. A mistake in the caller; nothing was written.
    #[error(
        "a record of {bytes} bytes is more than the {limit} bytes that {} takes",
        path.display()
    )]
    TooLarge {
        /// The folder.
        path: PathBuf,
        /// The record's size.
        bytes: usize,
        /// The most that is taken.
        limit: usize,
    },
    /// A block that does not follow the last. A mistake in the caller; nothing was written.
    #[error("block {got} does not follow; block {expected} is next in {}", path.display())]
    OutOfOrder {
        /// The folder.
        path: PathBuf,
        /// The height that is next.
        expected: u64,
        /// The height that was given.
        got: u64,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(
        || "another process".to_owned(),
        |pid| format!("process {pid}"),
    )
}

/// What to do about an answer of the operating system, to be put behind it.
pub(crate) fn advice(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; free space on that file system and start again"
        }
        io::ErrorKind::FileTooLarge => {
            "; raise the limit on the size of files (`ulimit -f`) and start again"
        }
        io::ErrorKind::PermissionDenied => {
            "; run as the owner of that file, or give it to this user"
        }
        io::ErrorKind::ReadOnlyFilesystem => "; mount that file system writable and start again",
        io::ErrorKind::NotFound => "; create it with `welkind init`, or name another home folder",
        _ => "",
    }
}

/// Says what was tried on which file when an operation fails.
pub(crate) trait Context<T> {
    /// `doing` reads after "cannot".
    fn on(self, doing: &'static str, path: &Path) -> Result<T, StorageError>;
}

impl<T> Context<T> for io::Result<T> {
    fn on(self, doing: &'static str, path: &Path) -> Result<T, StorageError> {
        self.map_err(|source| StorageError::Io {
            doing,
            path: path.to_owned(),
            source,
        })
    }
}
