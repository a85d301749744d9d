//! The file operations that durability depends on, behind a small trait.
//!
//! ```text
//!   block_log   wal   sign_state   lock
//!        \       |        |         /
//!         segments   replace_file
//!                 \   /
//!                  Disk  ──►  RealDisk  (Linux files)
//!                        ──►  ModelDisk (memory; power cuts, failed writes, failed syncs)
//! ```
//!
//! The contract is POSIX's, not that of one file system: what was written is there after a power
//! cut only if [`DiskFile::sync`] returned, and a created, renamed or removed name only if
//! [`Disk::sync_dir`] of its folder returned. The model takes everything else away, in part or
//! whole and in any order, so code that passes under it needs no luck.
//!
//! After a failed write or sync nobody may try again: the kernel may have dropped the pages and
//! call them clean. The owner of the file refuses further work and the process ends. Whoever opens
//! the file next writes what may not be on the disk once more, and syncs, before believing it.

mod error;
mod model;
mod private;
mod real;
mod replace;
mod swap;

pub use error::StorageError;
pub use model::{Fault, ModelDisk};
pub use private::read_private;
pub use real::RealDisk;
pub use replace::{read_small, replace_file};
pub use swap::SwapFile;

pub(crate) use error::{Context, advice};

use std::any::Any;
use std::fmt;
use std::io;
use std::path::Path;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// An existing file, only to read.
    Read,
    /// An existing file, to read and write.
    Write,
    /// A new file, or an existing one emptied, to read and write.
    Create(Mode),
}

/// Who may read a created file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Only its owner (0600).
    Private,
    /// Everybody (0644).
    Public,
}

/// A file system. All calls block; none may run on a thread that serves the network.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Opens a file.
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file another name in the same folder, replacing what had that name. Atomic, but
    /// durable only after [`Disk::sync_dir`].
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Lets two files in the same folder change names. Atomic, but durable only after
    /// [`Disk::sync_dir`]. `InvalidInput` or `Unsupported` if the file system cannot.
    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()>;

    /// Removes a file; durable only after [`Disk::sync_dir`].
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// The names of the files in a folder, sorted.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Creates a folder with its parents. Durable when it returns.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes an exclusive lock on the file at `path`, which is created if need be and then holds
    /// the process id. Fails with `WouldBlock` if another holds it. Dropping the result releases.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>>;
}

/// An open file.
pub trait DiskFile: Send + Sync {
    /// Reads up to `into.len()` bytes from `offset`; fewer only at the end of the file.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize>;

    /// Writes all bytes at `offset`. Durable only after [`DiskFile::sync`].
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Sets the length. Durable only after [`DiskFile::sync`].
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes content and length durable (`fdatasync`).
    fn sync(&self) -> io::Result<()>;
}

#[cfg(test)]
mod tests;
