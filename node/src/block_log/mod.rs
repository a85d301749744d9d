//! The block log: the truth about the chain, from which everything else can be rebuilt.
//!
//! ```text
//!   data/blocks/00000001.blocks   block 1, results 1, block 2, ...     sealed
//!               00000001.index    where they are; rebuilt when missing
//!               00000002.blocks   ..., block 900, results 900          the tail
//! ```
//!
//! A block is appended with its commit when it is decided, and synced before anything that depends
//! on it leaves the node. Its results follow when it was executed; they are synced with the next
//! block, and lost ones are made again by executing.
//!
//! The validator set that signs a height is stored where it changes, and once more at the head of
//! each file, so that pruning whole files never takes a set that is still in force.
//!
//! Reading needs no lock on the writer. In memory there are 16 bytes a block.

mod index;

use crate::disk::{Disk, StorageError};
use crate::segments::{Folder, Position, Segments, SegmentsConfig};
use borsh::{BorshDeserialize, BorshSerialize};
use index::Index;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

const MAGIC: [u8; 8] = *b"wlkblk\0\x01";
const EXTENSION: &str = "blocks";
const REMEDY: &str = "restore the folder from a backup, or run `welkind unsafe-reset`, which keeps \
    keys and sign state, and let the node fetch the chain from its peers";

const KIND_BLOCK: u8 = 1;
const KIND_RESULTS: u8 = 2;

/// Sizes of a block log.
#[derive(Clone, Debug)]
pub struct BlockLogConfig {
    /// Hash of the network's genesis.
    pub genesis: [u8; 32],
    /// A fresh random number; it keeps others from hiding records in transactions.
    pub salt: u64,
    /// Size at which the next file is begun.
    pub max_segment_bytes: u32,
    /// Largest block with its commit and validator set, and largest results.
    pub max_record_bytes: u32,
}

impl BlockLogConfig {
    /// Files of 64 MiB, records of up to 32 MiB.
    pub fn new(genesis: [u8; 32], salt: u64) -> Self {
        BlockLogConfig {
            genesis,
            salt,
            max_segment_bytes: 64 << 20,
            max_record_bytes: 32 << 20,
        }
    }
}

/// A block to append. The log does not look inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize)]
pub struct NewBlock<'a> {
    /// The block.
    pub block: &'a [u8],
    /// The commit that was seen for this block, with which it can be proven.
    pub commit: &'a [u8],
    /// The validator set that signed this height; none if it is the one of the height before.
    pub validators: Option<&'a [u8]>,
}

/// A block that was read.
#[derive(Clone, Debug, PartialEq, Eq, BorshDeserialize)]
pub struct StoredBlock {
    /// The block.
    pub block: Vec<u8>,
    /// The commit that was seen for this block.
    pub commit: Vec<u8>,
    /// The validator set of this height, if it was stored here; see [`BlockLog::read_validators`].
    pub validators: Option<Vec<u8>>,
}

/// An open block log: one writer, any number of readers. Calls block on the disk.
pub struct BlockLog {
    folder: Folder,
    index: RwLock<Index>,
    writer: Mutex<Writer>,
}

struct Writer {
    segments: Segments,
    /// The validator set in force, for the head of the next file.
    validators: Option<Vec<u8>>,
    synced: u64,
}

impl BlockLog {
    /// Opens the log in a folder, or begins it. A torn end is cut; damage is an error. What is
    /// there afterwards is synced.
    pub fn open(
        disk: Arc<dyn Disk>,
        path: &Path,
        config: &BlockLogConfig,
    ) -> Result<Self, StorageError> {
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
        let mut opening = index::Opening::new(folder.clone());
        let segments = Segments::open(folder.clone(), &mut opening)?;
        let mut index = opening.into_index();
        index.set_salts(segments.infos());
        let synced = index.height().unwrap_or(0);
        let writer = Mutex::new(Writer {
            segments,
            validators: None,
            synced,
        });
        let log = BlockLog {
            folder,
            index: RwLock::new(index),
            writer,
        };
        let newest = log.heights().map(|heights| *heights.end());
        let in_force = newest
            .map(|height| log.read_validators(height))
            .transpose()?
            .flatten();
        log.writer().validators = in_force.map(|(_, validators)| validators);
        Ok(log)
    }

    /// The heights that can be read; none of an empty log.
    pub fn heights(&self) -> Option<RangeInclusive<u64>> {
        self.index().heights()
    }

    /// The newest height that can be read, 0 if none.
    pub fn height(&self) -> u64 {
        self.index().height().unwrap_or(0)
    }

    /// The newest height that no power cut takes away, 0 if none. Only up to here may anything be
    /// acknowledged.
    pub fn synced_height(&self) -> u64 {
        self.writer().synced
    }

    /// Appends a block. The first may have any height, each other must follow the last. Readers
    /// see it at once; it is durable after [`BlockLog::sync`].
    pub fn append(&self, height: u64, new: &NewBlock<'_>) -> Result<(), StorageError> {
        let mut writer = self.writer();
        let newest = self.index().height();
        if let Some(expected) = newest
            .map(|newest| newest + 1)
            .filter(|expected| *expected != height)
        {
            let path = self.folder.path.clone();
            return Err(StorageError::OutOfOrder {
                path,
                expected,
                got: height,
            });
        }
        let lengths = new.block.len() + new.commit.len() + new.validators.map_or(0, <[u8]>::len);
        if !writer.segments.fits(lengths) {
            self.seal(&mut writer)?;
        }
        let head = self.index().newest_file() != Some(writer.segments.end().segment);
        let in_force = writer.validators.as_deref().filter(|_| head);
        let stored = NewBlock {
            validators: new.validators.or(in_force),
            ..*new
        };
        let stores_validators = stored.validators.is_some();
        let payload = borsh::to_vec(&stored).expect("writing to memory does not fail");
        let position = writer.segments.append(KIND_BLOCK, height, &[&payload])?;
        if new.validators.is_some() {
            writer.validators = new.validators.map(<[u8]>::to_vec);
        }
        self.index_mut()
            .add_block(height, position, stores_validators);
        Ok(())
    }

    /// Appends the results of a block that is in the log. They are durable after the next sync,
    /// and a power cut before it means that the block is executed again.
    pub fn append_results(&self, height: u64, results: &[u8]) -> Result<(), StorageError> {
        let mut writer = self.writer();
        let heights = self.heights();
        if heights.is_none_or(|heights| !heights.contains(&height)) {
            let (path, expected) = (self.folder.path.clone(), self.height());
            return Err(StorageError::OutOfOrder {
                path,
                expected,
                got: height,
            });
        }
        if !writer.segments.fits(results.len()) {
            self.seal(&mut writer)?;
        }
        let position = writer.segments.append(KIND_RESULTS, height, &[results])?;
        self.index_mut().add_results(height, position);
        Ok(())
    }

    /// Makes all that was appended durable, with one sync, and says up to which height. While
    /// catching up one call may cover many blocks.
    pub fn sync(&self) -> Result<u64, StorageError> {
        let mut writer = self.writer();
        writer.segments.sync()?;
        writer.synced = self.height();
        Ok(writer.synced)
    }

    /// The block of a height, if it is in the log.
    pub fn read(&self, height: u64) -> Result<Option<StoredBlock>, StorageError> {
        let place = self.index().block(height);
        let Some((at, payload)) = self.read_at(place, height)? else {
            return Ok(None);
        };
        match borsh::from_slice(&payload) {
            Ok(block) => Ok(Some(block)),
            Err(why) => {
                let what = format!("a block record is not readable: {why}");
                Err(self.folder.damaged(at.segment, at.offset.into(), what))
            }
        }
    }

    /// The results of a height, if they are in the log.
    pub fn read_results(&self, height: u64) -> Result<Option<Vec<u8>>, StorageError> {
        let place = self.index().results(height);
        Ok(self.read_at(place, height)?.map(|(_, payload)| payload))
    }

    /// The validator set that signed a height in the log, and the height where it was stored.
    pub fn read_validators(&self, height: u64) -> Result<Option<(u64, Vec<u8>)>, StorageError> {
        let stored = self.index().validators_stored(height);
        let Some(stored) = stored else {
            return Ok(None);
        };
        let validators = self.read(stored)?.and_then(|block| block.validators);
        Ok(validators.map(|validators| (stored, validators)))
    }

    /// Removes old files that hold nothing from `keep_from` on. What goes is a whole file at a
    /// time, so blocks below `keep_from` may stay.
    pub fn prune(&self, keep_from: u64) -> Result<(), StorageError> {
        let mut writer = self.writer();
        let first = self.index_mut().forget_before(keep_from);
        let Some(first) = first else { return Ok(()) };
        for number in writer.segments.oldest()..first {
            // Rebuilt when missing, so nothing is lost if this fails.
            let _ = self
                .folder
                .disk
                .remove(&index::side_file(&self.folder, number));
        }
        writer.segments.remove_before(first)
    }

    /// Reads every record again. For an operator who doubts the disk; opening trusts what the
    /// side index says of sealed files, and each read checks what it reads.
    pub fn verify(&self) -> Result<(), StorageError> {
        for height in self.heights().into_iter().flatten() {
            self.read(height)?;
            self.read_results(height)?;
        }
        Ok(())
    }

    fn read_at(
        &self,
        place: Option<(Position, u64)>,
        height: u64,
    ) -> Result<Option<(Position, Vec<u8>)>, StorageError> {
        let Some((at, salt)) = place else {
            return Ok(None);
        };
        match self.folder.read(at, salt) {
            Ok(record) if record.height == height => Ok(Some((at, record.payload))),
            Ok(record) => {
                let what = format!("block {} stands where block {height} should", record.height);
                Err(self.folder.damaged(at.segment, at.offset.into(), what))
            }
            // Its file was pruned between the two steps.
            Err(_)
                if self
                    .heights()
                    .is_none_or(|heights| height < *heights.start()) =>
            {
                Ok(None)
            }
            Err(why) => Err(why),
        }
    }

    /// Begins the next file, and notes what is in the one that is full.
    fn seal(&self, writer: &mut Writer) -> Result<(), StorageError> {
        let sealed = writer.segments.rotate()?;
        writer.synced = self.height();
        self.index_mut().set_salts(writer.segments.infos());
        self.index().write_side_file(&self.folder, &sealed);
        Ok(())
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        // A writer that panicked has not moved its end, so what it half wrote is written over.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
