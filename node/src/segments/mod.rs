//! A folder of append-only files of checksummed records: what the block log and the WAL share.
//!
//! ```text
//!   00000001.blocks   sealed: synced whole before the next was created
//!   00000002.blocks   the tail: header ‖ record ‖ record ‖ ... ‖ perhaps a torn end
//! ```
//!
//! Each record says how much of its file had been synced when it was written. That one number
//! tells the two kinds of bad records apart:
//!
//! - A bad record that no later record claims as synced was never acknowledged: it is the torn end
//!   of the tail, and the file is cut there. Records behind it may be whole, because the disk
//!   writes in any order; nobody depends on them either.
//! - A bad record that a later one claims as synced, or one in a sealed file, was acknowledged
//!   once. It is an error that names file and offset; nothing is skipped.
//!
//! Checksums cover the position and a number that only this file knows (its salt), so neither
//! bytes that were left over by another file nor a record that somebody hid in a transaction is
//! taken for a record.

mod folder;
mod format;
mod scan;

pub(crate) use folder::Folder;
pub(crate) use format::{RECORD_HEADER_BYTES, RecordHeader};
pub(crate) use scan::Visitor;

use crate::disk::{Context as _, DiskFile, Open, StorageError};
use format::SEGMENT_HEADER_BYTES;
use std::collections::BTreeMap;

/// Log target of everything that writes files.
pub(crate) const LOG_TARGET: &str = "welkin::storage";

/// What kind of folder this is, and its limits.
#[derive(Clone, Debug)]
pub(crate) struct SegmentsConfig {
    /// First bytes of each file: what it is, and the version of its format.
    pub magic: [u8; 8],
    /// How file names end.
    pub extension: &'static str,
    /// Hash of the network's genesis.
    pub genesis: [u8; 32],
    /// A fresh random number.
    pub salt: u64,
    /// Size at which the next file is begun.
    pub max_segment_bytes: u32,
    /// Size of the largest payload.
    pub max_record_bytes: u32,
    /// What to do about damage.
    pub remedy: &'static str,
}

/// Where a record begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    /// Number of the file, from 1.
    pub segment: u32,
    /// Offset in the file.
    pub offset: u32,
}

/// A file of the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentInfo {
    /// Its number.
    pub number: u32,
    /// Its length in bytes.
    pub bytes: u64,
    /// What its checksums begin with.
    pub salt: u64,
}

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// What the owner of the folder calls this kind of record.
    pub kind: u8,
    /// Its height, if records of this kind have one.
    pub height: u64,
    /// Its content.
    pub payload: Vec<u8>,
    /// Where the next one would begin.
    pub next: Position,
}

/// An open folder: one writer.
pub(crate) struct Segments {
    folder: Folder,
    sealed: BTreeMap<u32, SegmentInfo>,
    tail: Tail,
    stopped: bool,
}

/// The file that is written to.
struct Tail {
    number: u32,
    salt: u64,
    file: Box<dyn DiskFile>,
    written: u64,
    synced: u64,
}

impl Segments {
    /// Opens a folder, or begins it, and shows each record to the visitor. When this returns, what
    /// was shown is synced, and everything else is gone.
    pub fn open(folder: Folder, visitor: &mut dyn Visitor) -> Result<Segments, StorageError> {
        folder
            .disk
            .create_dir(&folder.path)
            .on("create", &folder.path)?;
        let mut numbers = folder.numbers()?;
        folder.remove_half_created(&mut numbers)?;
        let Some(newest) = numbers.pop() else {
            let tail = folder.create(1)?;
            return Ok(Segments {
                folder,
                sealed: BTreeMap::new(),
                tail,
                stopped: false,
            });
        };
        let mut sealed = BTreeMap::new();
        for number in numbers {
            let (file, info) = folder.open_segment(number, Open::Read)?;
            if !visitor.knows(&info) {
                let end = folder.scan(&*file, &info, visitor)?;
                if let Some(what) = end.bad {
                    return Err(folder.damaged(number, end.good_bytes, what));
                }
                visitor.sealed(&info);
            }
            sealed.insert(number, info);
        }
        let tail = folder.open_tail(newest, visitor)?;
        folder
            .disk
            .sync_dir(&folder.path)
            .on("sync the folder", &folder.path)?;
        Ok(Segments {
            folder,
            sealed,
            tail,
            stopped: false,
        })
    }

    /// The files, oldest first.
    pub fn infos(&self) -> impl Iterator<Item = SegmentInfo> {
        self.sealed.values().copied().chain([self.tail.info()])
    }

    /// Where the next record will begin.
    pub fn end(&self) -> Position {
        Position {
            segment: self.tail.number,
            offset: self.tail.written as u32,
        }
    }

    /// The oldest file.
    pub fn oldest(&self) -> u32 {
        self.sealed
            .keys()
            .next()
            .copied()
            .unwrap_or(self.tail.number)
    }

    /// Whether a payload of this size still belongs into the tail.
    pub fn fits(&self, payload_bytes: usize) -> bool {
        let after = self.tail.written + RECORD_HEADER_BYTES + payload_bytes as u64;
        after <= u64::from(self.folder.config.max_segment_bytes) || self.tail.is_empty()
    }

    /// Seals the tail, which is then synced, and begins the next file.
    pub fn rotate(&mut self) -> Result<SegmentInfo, StorageError> {
        self.sync()?;
        let sealed = self.tail.info();
        let next = self.folder.create(sealed.number + 1);
        self.stopped = next.is_err();
        self.tail = next?;
        self.sealed.insert(sealed.number, sealed);
        Ok(sealed)
    }

    /// Writes a record, which readers then see and a power cut may still take.
    pub fn append(
        &mut self,
        kind: u8,
        height: u64,
        payload: &[&[u8]],
    ) -> Result<Position, StorageError> {
        self.refuse_if_stopped()?;
        let length: usize = payload.iter().map(|part| part.len()).sum();
        let limit = self.folder.config.max_record_bytes as usize;
        if length > limit {
            let path = self.folder.path.clone();
            return Err(StorageError::TooLarge {
                path,
                bytes: length,
                limit,
            });
        }
        let position = self.end();
        let header = RecordHeader::new(kind, height, payload, self.tail.synced);
        let mut bytes = Vec::with_capacity(RECORD_HEADER_BYTES as usize + length);
        bytes.extend_from_slice(&header.encode(self.tail.salt, position));
        payload
            .iter()
            .for_each(|part| bytes.extend_from_slice(part));
        let written = self.tail.file.write_at(self.tail.written, &bytes);
        let path = self.folder.segment(position.segment);
        self.or_stop(written.on("write", &path))?;
        self.tail.written += bytes.len() as u64;
        Ok(position)
    }

    /// Makes everything that was appended durable. Costs nothing if nothing was.
    pub fn sync(&mut self) -> Result<(), StorageError> {
        self.refuse_if_stopped()?;
        if self.tail.synced < self.tail.written {
            let synced = self.tail.file.sync();
            let path = self.folder.segment(self.tail.number);
            self.or_stop(synced.on("sync", &path))?;
            self.tail.synced = self.tail.written;
        }
        Ok(())
    }

    /// Removes all files before this one, oldest first, so that a power cut leaves no gap.
    pub fn remove_before(&mut self, number: u32) -> Result<(), StorageError> {
        self.refuse_if_stopped()?;
        while let Some(oldest) = self
            .sealed
            .keys()
            .next()
            .copied()
            .filter(|oldest| *oldest < number)
        {
            let removed = self.folder.remove(oldest);
            self.stopped = removed.is_err();
            removed?;
            self.sealed.remove(&oldest);
        }
        Ok(())
    }

    /// Reads the record at a position, or tells that the records end there.
    pub fn read(&self, position: Position) -> Result<Option<Record>, StorageError> {
        let mut at = position;
        while let Some(info) = self.sealed.get(&at.segment) {
            if u64::from(at.offset) < info.bytes {
                return self.folder.read(at, info.salt).map(Some);
            }
            at = Position {
                segment: at.segment + 1,
                offset: SEGMENT_HEADER_BYTES as u32,
            };
        }
        if at >= self.end() {
            return Ok(None);
        }
        self.folder.read(at, self.tail.salt).map(Some)
    }

    /// Where the first record is.
    pub fn begin(&self) -> Position {
        Position {
            segment: self.oldest(),
            offset: SEGMENT_HEADER_BYTES as u32,
        }
    }

    fn refuse_if_stopped(&self) -> Result<(), StorageError> {
        if self.stopped {
            return Err(StorageError::Stopped {
                path: self.folder.path.clone(),
            });
        }
        Ok(())
    }

    /// After a failed write or sync what is on the disk is not known until the file is opened again.
    fn or_stop(&mut self, done: Result<(), StorageError>) -> Result<(), StorageError> {
        self.stopped |= done.is_err();
        done
    }
}

impl Tail {
    fn info(&self) -> SegmentInfo {
        SegmentInfo {
            number: self.number,
            bytes: self.written,
            salt: self.salt,
        }
    }

    fn is_empty(&self) -> bool {
        self.written == SEGMENT_HEADER_BYTES
    }
}

#[cfg(test)]
mod tests;
