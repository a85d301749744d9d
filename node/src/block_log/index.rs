//! Where each block and its results are: in memory, and beside each sealed file.

use super::{KIND_BLOCK, KIND_RESULTS};
use crate::disk::{Mode, Open, StorageError, read_small};
use crate::segments::{Folder, LOG_TARGET, Position, RecordHeader, SegmentInfo, Visitor};
use borsh::{BorshDeserialize, BorshSerialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::PathBuf;

const SIDE_EXTENSION: &str = "index";
/// First bytes of a side file: what it is, and the version of its format.
const SIDE_MAGIC: [u8; 8] = *b"wlkidx\0\x01";
/// Longest side file that is read, in bytes: a file of the log has at most this much per 4 bytes.
const MAX_SIDE_BYTES: usize = 64 << 20;

/// Where everything is. Two places a block, of 8 bytes each.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Height of the first entry of `blocks` and `results`.
    base: u64,
    blocks: Vec<Position>,
    results: Vec<Position>,
    /// Heights whose record holds a validator set.
    validators: BTreeSet<u64>,
    salts: BTreeMap<u32, u64>,
}

/// No record: files are numbered from 1.
const NOWHERE: Position = Position {
    segment: 0,
    offset: 0,
};

impl Index {
    pub fn heights(&self) -> Option<RangeInclusive<u64>> {
        Some(self.base..=self.height()?)
    }

    pub fn height(&self) -> Option<u64> {
        let blocks = self.blocks.len() as u64;
        blocks.checked_sub(1).map(|last| self.base + last)
    }

    /// The file that the newest block is in.
    pub fn newest_file(&self) -> Option<u32> {
        self.blocks.last().map(|at| at.segment)
    }

    pub fn block(&self, height: u64) -> Option<(Position, u64)> {
        self.place(&self.blocks, height)
    }

    pub fn results(&self, height: u64) -> Option<(Position, u64)> {
        self.place(&self.results, height)
    }

    /// The newest height up to this one whose record holds a validator set.
    pub fn validators_stored(&self, height: u64) -> Option<u64> {
        self.block(height)?;
        self.validators.range(..=height).next_back().copied()
    }

    /// The height must follow the last.
    pub fn add_block(&mut self, height: u64, at: Position, has_validators: bool) {
        if self.blocks.is_empty() {
            self.base = height;
        }
        self.blocks.push(at);
        self.results.push(NOWHERE);
        if has_validators {
            self.validators.insert(height);
        }
    }

    /// Results of a block that was pruned are of no interest.
    pub fn add_results(&mut self, height: u64, at: Position) {
        let slot = height
            .checked_sub(self.base)
            .and_then(|slot| usize::try_from(slot).ok());
        if let Some(results) = slot.and_then(|slot| self.results.get_mut(slot)) {
            *results = at;
        }
    }

    pub fn set_salts(&mut self, segments: impl Iterator<Item = SegmentInfo>) {
        self.salts = segments
            .map(|segment| (segment.number, segment.salt))
            .collect();
    }

    /// Forgets the blocks in files that hold none from `keep_from` on, and says which file is the
    /// first to stay; none if all stay.
    pub fn forget_before(&mut self, keep_from: u64) -> Option<u32> {
        let heights = self.heights()?;
        let kept = keep_from.clamp(*heights.start(), *heights.end());
        let first = self.blocks[(kept - self.base) as usize].segment;
        let gone = self.blocks.partition_point(|at| at.segment < first);
        self.blocks.drain(..gone);
        self.results.drain(..gone);
        self.base += gone as u64;
        self.validators = self.validators.split_off(&self.base);
        (gone > 0).then_some(first)
    }

    /// Notes beside a sealed file what is in it. Not synced: a side file that does not match is
    /// made again from the file.
    pub fn write_side_file(&self, folder: &Folder, sealed: &SegmentInfo) {
        let side = SideFile::of(self, sealed);
        let path = side_file(folder, sealed.number);
        let created = folder.disk.open(&path, Open::Create(Mode::Private));
        if let Err(why) = created.and_then(|file| file.write_at(0, &side.encode())) {
            tracing::warn!(
                target: LOG_TARGET,
                file = %path.display(),
                %why,
                "cannot write a side index"
            );
        }
    }

    fn place(&self, places: &[Position], height: u64) -> Option<(Position, u64)> {
        let slot = usize::try_from(height.checked_sub(self.base)?).ok()?;
        let at = *places.get(slot)?;
        Some((at, *self.salts.get(&at.segment)?))
    }
}

/// What a sealed file holds.
#[derive(Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct SideFile {
    magic: [u8; 8],
    segment_salt: u64,
    segment_bytes: u64,
    /// Height of the first block.
    first: u64,
    /// Offset of each block.
    blocks: Vec<u32>,
    /// Height and offset of each result.
    results: Vec<(u64, u32)>,
    /// Heights whose record holds a validator set.
    validators: Vec<u64>,
}

impl SideFile {
    fn of(index: &Index, sealed: &SegmentInfo) -> SideFile {
        let inside = |at: &Position| at.segment == sealed.number;
        let from = index
            .blocks
            .partition_point(|at| at.segment < sealed.number);
        let blocks: Vec<u32> = index.blocks[from..]
            .iter()
            .filter(|at| inside(at))
            .map(|at| at.offset)
            .collect();
        let first = index.base + from as u64;
        let results = (index.base..)
            .zip(&index.results)
            .filter(|(_, at)| inside(at));
        SideFile {
            magic: SIDE_MAGIC,
            segment_salt: sealed.salt,
            segment_bytes: sealed.bytes,
            first,
            results: results.map(|(height, at)| (height, at.offset)).collect(),
            validators: index
                .validators
                .range(first..first + blocks.len() as u64)
                .copied()
                .collect(),
            blocks,
        }
    }

    /// The content, and its CRC32C.
    fn encode(&self) -> Vec<u8> {
        let mut bytes = borsh::to_vec(self).expect("writing to memory does not fail");
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<SideFile> {
        let (content, checksum) = bytes.split_last_chunk()?;
        if crc32c::crc32c(content) != u32::from_le_bytes(*checksum) {
            return None;
        }
        borsh::from_slice(content)
            .ok()
            .filter(|side: &SideFile| side.magic == SIDE_MAGIC)
    }
}

/// Path of the side file of a file of the log.
pub(super) fn side_file(folder: &Folder, number: u32) -> PathBuf {
    folder.beside(number, SIDE_EXTENSION)
}

/// Builds the index while the log is opened.
pub(super) struct Opening {
    folder: Folder,
    index: Index,
}

impl Opening {
    pub fn new(folder: Folder) -> Self {
        Opening {
            folder,
            index: Index::default(),
        }
    }

    pub fn into_index(self) -> Index {
        self.index
    }

    fn follows(&self, height: u64) -> bool {
        self.index.height().is_none_or(|last| last + 1 == height)
    }
}

impl Visitor for Opening {
    fn knows(&mut self, segment: &SegmentInfo) -> bool {
        let path = side_file(&self.folder, segment.number);
        let read: Result<Vec<u8>, StorageError> =
            read_small(&*self.folder.disk, &path, MAX_SIDE_BYTES);
        let side = read.ok().and_then(|bytes| SideFile::decode(&bytes));
        let Some(side) = side.filter(|side| {
            let same = side.segment_salt == segment.salt && side.segment_bytes == segment.bytes;
            same && (side.blocks.is_empty() || self.follows(side.first))
        }) else {
            return false;
        };
        let stored: BTreeSet<u64> = side.validators.into_iter().collect();
        for (height, offset) in (side.first..).zip(side.blocks) {
            let at = Position {
                segment: segment.number,
                offset,
            };
            self.index.add_block(height, at, stored.contains(&height));
        }
        for (height, offset) in side.results {
            self.index.add_results(
                height,
                Position {
                    segment: segment.number,
                    offset,
                },
            );
        }
        true
    }

    fn record(
        &mut self,
        at: Position,
        header: &RecordHeader,
        payload: &[u8],
    ) -> Result<(), String> {
        match header.kind {
            KIND_BLOCK if self.follows(header.height) => {
                // The last field of a block record: one byte, then the set if the byte is 1.
                let has_validators =
                    has_validators(payload).ok_or("a block record is not readable")?;
                self.index.add_block(header.height, at, has_validators);
                Ok(())
            }
            KIND_BLOCK => Err(format!(
                "block {} does not follow the one before",
                header.height
            )),
            KIND_RESULTS => {
                self.index.add_results(header.height, at);
                Ok(())
            }
            kind => Err(format!("records of kind {kind} do not belong here")),
        }
    }

    fn sealed(&mut self, segment: &SegmentInfo) {
        self.index.write_side_file(&self.folder, segment);
    }
}

/// Whether the record of a block ends in a validator set.
fn has_validators(payload: &[u8]) -> Option<bool> {
    let after_block = skip(payload)?;
    match skip(after_block)?.first()? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

/// What follows a length and so many bytes.
fn skip(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.get(u32::from_le_bytes(*length) as usize..)
}
