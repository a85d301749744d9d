//! The consensus write-ahead log: what the machine must hear again after a crash.
//!
//! ```text
//!   ... │ EndHeight(7) │ proposal 8 │ part │ vote │ vote │          replay begins behind
//!                      └────────── heard again ──────────┘          the last EndHeight
//! ```
//!
//! The log does not look into its records. Several may be appended and made durable by one sync.
//! `EndHeight(h)` is appended after block h is durable in the block log; files that end before the
//! last one are removed with the next sync.

use crate::disk::{Disk, StorageError};
use crate::segments::{
    Folder, Position, RecordHeader, SegmentInfo, Segments, SegmentsConfig, Visitor,
};
use std::path::Path;
use std::sync::Arc;

const MAGIC: [u8; 8] = *b"wlkwal\0\x01";
const EXTENSION: &str = "wal";
const REMEDY: &str = "restore the folder from a backup; or, only once the network has decided the \
    height that this validator worked on, remove the folder: its locks are lost with it, and the \
    sign state alone then keeps it from signing twice";

/// Kind of the marker; records may have any other kind but 0.
const KIND_END_HEIGHT: u8 = 255;

/// Sizes of a WAL.
#[derive(Clone, Debug)]
pub struct WalConfig {
    /// Hash of the network's genesis.
    pub genesis: [u8; 32],
    /// A fresh random number; it keeps others from hiding records in what they send.
    pub salt: u64,
    /// Size at which the next file is begun.
    pub max_segment_bytes: u32,
    /// Largest record.
    pub max_record_bytes: u32,
}

impl WalConfig {
    /// Files of 16 MiB, records of up to 8 MiB.
    pub fn new(genesis: [u8; 32], salt: u64) -> Self {
        WalConfig {
            genesis,
            salt,
            max_segment_bytes: 16 << 20,
            max_record_bytes: 8 << 20,
        }
    }
}

/// A record as it was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalRecord {
    /// What the writer called this kind of record: 1 to 254.
    pub kind: u8,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// An open WAL: one writer. Calls block on the disk.
pub struct Wal {
    segments: Segments,
    end: EndHeight,
}

/// The last marker, and where the records after it begin.
#[derive(Clone, Copy, Debug, Default)]
struct EndHeight {
    height: Option<u64>,
    replay_from: Option<Position>,
    /// The marker is not synced yet, so the files before it stay.
    unsynced: bool,
}

impl Wal {
    /// Opens the WAL in a folder, or begins it. A torn end is cut; damage is an error. What is
    /// there afterwards is synced.
    pub fn open(disk: Arc<dyn Disk>, path: &Path, config: &WalConfig) -> Result<Wal, StorageError> {
        let config = SegmentsConfig {
            magic: MAGIC,
            extension: EXTENSION,
            genesis: config.genesis,
            salt: config.salt,
            max_segment_bytes: config.max_segment_bytes,
            max_record_bytes: config.max_record_bytes,
            remedy: REMEDY,
        };
        let folder = Folder {
            disk,
            path: path.to_owned(),
            config,
        };
        let mut end = EndHeight::default();
        let segments = Segments::open(folder, &mut end)?;
        let mut wal = Wal { segments, end };
        wal.remove_done()?;
        Ok(wal)
    }

    /// The height of the last marker, if there is one.
    pub fn last_end_height(&self) -> Option<u64> {
        self.end.height
    }

    /// Appends a record of a kind from 1 to 254; durable after [`Wal::sync`].
    pub fn append(&mut self, kind: u8, bytes: &[u8]) -> Result<(), StorageError> {
        assert!(
            kind != 0 && kind != KIND_END_HEIGHT,
            "kinds 0 and 255 are taken"
        );
        self.append_record(kind, 0, bytes).map(drop)
    }

    /// Appends the marker that this height is done: its block is durable in the block log.
    pub fn append_end_height(&mut self, height: u64) -> Result<(), StorageError> {
        self.append_record(KIND_END_HEIGHT, height, &[])?;
        let replay_from = Some(self.segments.end());
        self.end = EndHeight {
            height: Some(height),
            replay_from,
            unsynced: true,
        };
        Ok(())
    }

    /// Makes all that was appended durable, with one sync; none if nothing was.
    pub fn sync(&mut self) -> Result<(), StorageError> {
        self.segments.sync()?;
        if std::mem::take(&mut self.end.unsynced) {
            self.remove_done()?;
        }
        Ok(())
    }

    /// The records after the last marker, oldest first, one at a time from the disk.
    pub fn replay(&self) -> Replay<'_> {
        let next = self
            .end
            .replay_from
            .unwrap_or_else(|| self.segments.begin());
        Replay {
            segments: &self.segments,
            next: Some(next),
        }
    }

    fn append_record(
        &mut self,
        kind: u8,
        height: u64,
        bytes: &[u8],
    ) -> Result<Position, StorageError> {
        if !self.segments.fits(bytes.len()) {
            self.segments.rotate()?;
        }
        self.segments.append(kind, height, &[bytes])
    }

    fn remove_done(&mut self) -> Result<(), StorageError> {
        match self.end.replay_from {
            Some(from) => self.segments.remove_before(from.segment),
            None => Ok(()),
        }
    }
}

impl Visitor for EndHeight {
    fn knows(&mut self, _segment: &SegmentInfo) -> bool {
        false
    }

    fn record(
        &mut self,
        at: Position,
        header: &RecordHeader,
        _payload: &[u8],
    ) -> Result<(), String> {
        if header.kind == KIND_END_HEIGHT {
            self.height = Some(header.height);
            self.replay_from = Some(Position {
                offset: at.offset + header.total_bytes() as u32,
                ..at
            });
        }
        Ok(())
    }

    fn sealed(&mut self, _segment: &SegmentInfo) {}
}

/// The records after the last marker. Ends after an error.
pub struct Replay<'a> {
    segments: &'a Segments,
    next: Option<Position>,
}

impl Iterator for Replay<'_> {
    type Item = Result<WalRecord, StorageError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.segments.read(self.next?) {
            Ok(Some(record)) => {
                self.next = Some(record.next);
                Some(Ok(WalRecord {
                    kind: record.kind,
                    bytes: record.payload,
                }))
            }
            Ok(None) => {
                self.next = None;
                None
            }
            Err(why) => {
                self.next = None;
                Some(Err(why))
            }
        }
    }
}

#[cfg(test)]
mod tests;
