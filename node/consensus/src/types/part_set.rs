//! Blocks in parts of 64 KiB, each with a Merkle proof.

use super::{Digest, PartSetHeader};
use crate::error::{DecodeError, Invalid, ensure};
use crate::merkle::{self, Proof};
use crate::proto::{Message, Reader, Writer};

/// Size of every part but the last.
pub const PART_BYTES: usize = 65_536;

/// Largest block, in bytes (`MaxBlockSizeBytes` of CometBFT v0.38).
pub const MAX_BLOCK_BYTES: usize = 104_857_600;

/// Most parts of a block (`MaxBlockPartsCount` of CometBFT v0.38).
pub const MAX_PARTS: u32 = (MAX_BLOCK_BYTES / PART_BYTES) as u32 + 1;

/// One part of a block's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Place in the set.
    pub index: u32,
    /// At most 65,536 bytes; exactly as many in every part but the last.
    pub bytes: Vec<u8>,
    /// Proof that this part is under the set's root.
    pub proof: Proof,
}

/// The parts of one block, complete or still being collected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartSet {
    header: PartSetHeader,
    parts: Vec<Option<Part>>,
    count: u32,
    byte_size: usize,
}

/// What became of a part that was offered to a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It was missing, and fits.
    New,
    /// It was there already.
    Known,
}

impl Part {
    /// The rules that a part must keep by itself (`Part.ValidateBasic` of CometBFT v0.38, with
    /// the index check of ASA-2025-002).
    pub fn validate_basic(&self) -> Result<(), Invalid> {
        let (index, total) = (u64::from(self.index), self.proof.total);
        ensure(
            total <= u64::from(MAX_PARTS),
            "a part's set has too many parts",
        )?;
        ensure(
            self.proof.index == index,
            "a part's index is not that of its proof",
        )?;
        ensure(index < total, "a part's index is beyond its set's last")?;
        ensure(
            !self.bytes.is_empty() && self.bytes.len() <= PART_BYTES,
            "a part has a wrong size",
        )?;
        let last = index + 1 == total;
        ensure(
            last || self.bytes.len() == PART_BYTES,
            "a part that is not the last is not full",
        )
    }

    /// Whether this part belongs to the set with this header.
    pub fn verify(&self, header: &PartSetHeader) -> Result<(), Invalid> {
        self.validate_basic()?;
        let same_total = self.proof.total == u64::from(header.total);
        ensure(
            same_total,
            "a part is from a set with another number of parts",
        )?;
        let root = header
            .hash
            .bytes()
            .ok_or_else(|| Invalid::new("a part set has no hash"))?;
        self.proof.verify(&root, &self.bytes)
    }
}

impl PartSet {
    /// Cuts a block's bytes into parts. An empty block has no parts and no use.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let chunks: Vec<_> = bytes.chunks(PART_BYTES).collect();
        let (root, proofs) = merkle::root_and_proofs(&chunks);
        let count = chunks.len() as u32;
        let header = PartSetHeader {
            total: count,
            hash: Digest::new(root),
        };
        let parts = (0..).zip(chunks).zip(proofs);
        let parts = parts.map(|((index, chunk), proof)| Part {
            index,
            bytes: chunk.to_vec(),
            proof,
        });
        PartSet {
            header,
            parts: parts.map(Some).collect(),
            count,
            byte_size: bytes.len(),
        }
    }

    /// A set of which no part is here yet. Refuses headers that no block can have.
    pub fn missing(header: PartSetHeader) -> Result<Self, Invalid> {
        ensure(header.total <= MAX_PARTS, "a part set has too many parts")?;
        ensure(
            header.total > 0 && !header.hash.is_empty(),
            "a part set has no parts",
        )?;
        let parts = vec![None; header.total as usize];
        Ok(PartSet {
            header,
            parts,
            count: 0,
            byte_size: 0,
        })
    }

    /// Takes a part, if it belongs to this set.
    pub fn add(&mut self, part: Part) -> Result<Added, Invalid> {
        let place = self.parts.get_mut(part.index as usize);
        let place = place.ok_or_else(|| Invalid::new("a part's index is beyond its set's last"))?;
        if place.is_some() {
            return Ok(Added::Known);
        }
        part.verify(&self.header)?;
        self.count += 1;
        self.byte_size += part.bytes.len();
        *place = Some(part);
        Ok(Added::New)
    }

    /// Number of parts, and the root over them.
    pub fn header(&self) -> PartSetHeader {
        self.header
    }

    /// The part at `index`, if it is here.
    pub fn get(&self, index: u32) -> Option<&Part> {
        self.parts.get(index as usize)?.as_ref()
    }

    /// The parts that are here, in order.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().flatten()
    }

    /// The places of the parts that are not here.
    pub fn missing_indices(&self) -> impl Iterator<Item = u32> {
        (0..)
            .zip(&self.parts)
            .filter(|(_, part)| part.is_none())
            .map(|(index, _)| index)
    }

    /// Number of parts that are here.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Number of bytes that are here.
    pub fn byte_size(&self) -> usize {
        self.byte_size
    }

    /// Whether all parts are here.
    pub fn is_complete(&self) -> bool {
        self.count == self.header.total
    }

    /// The block's bytes, once all parts are here.
    pub fn assemble(&self) -> Option<Vec<u8>> {
        let slices: Vec<&[u8]> = self.parts().map(|part| part.bytes.as_slice()).collect();
        self.is_complete().then(|| slices.concat())
    }
}

impl Message for Part {
    fn write(&self, to: &mut Writer) {
        to.uint(1, u64::from(self.index));
        to.bytes(2, &self.bytes);
        to.message(3, &self.proof);
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("Part", bytes);
        let (mut index, mut content, mut proof) = (0, Vec::new(), None);
        while let Some((field, value)) = reader.next_field()? {
            match field {
                1 => index = value.uint32("a part's index")?,
                2 => {
                    let found = value.bytes()?;
                    if found.len() > PART_BYTES {
                        return Err(DecodeError::Length {
                            what: "a part",
                            got: found.len(),
                        });
                    }
                    content = found.to_vec();
                }
                3 => proof = Some(value.message()?),
                _ => return Err(reader.unknown(field)),
            }
        }
        let proof = proof.ok_or(DecodeError::Missing("a part's proof"))?;
        Ok(Part {
            index,
            bytes: content,
            proof,
        })
    }
}

#[cfg(test)]
#[path = "part_set_tests.rs"]
mod tests;
