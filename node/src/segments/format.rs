//! The bytes of headers. Integers are little-endian.

use super::Position;

/// Length of a file's header.
pub(crate) const SEGMENT_HEADER_BYTES: u64 = 64;
/// Length of a record's header.
pub(crate) const RECORD_HEADER_BYTES: u64 = 32;

/// First bytes of a file:
/// `magic 8 ‖ number 8 ‖ salt 8 ‖ genesis 32 ‖ zeros 4 ‖ CRC32C of the 60 bytes before 4`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub magic: [u8; 8],
    pub number: u32,
    pub salt: u64,
    pub genesis: [u8; 32],
}

/// First bytes of a record: `CRC32C of (salt 8 ‖ segment 4 ‖ offset 4 ‖ the 28 bytes after) 4 ‖
/// CRC32C of the payload 4 ‖ payload length 4 ‖ kind 1 ‖ zeros 3 ‖ height 8 ‖ synced 8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    /// What the owner calls this kind of record; never 0.
    pub kind: u8,
    /// Its height, if records of this kind have one.
    pub height: u64,
    /// Length of the payload.
    pub length: u32,
    /// Bytes of this file that were synced when the record was written.
    pub synced: u64,
    payload_checksum: u32,
}

impl SegmentHeader {
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES as usize] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES as usize];
        bytes[..8].copy_from_slice(&self.magic);
        bytes[8..16].copy_from_slice(&u64::from(self.number).to_le_bytes());
        bytes[16..24].copy_from_slice(&self.salt.to_le_bytes());
        bytes[24..56].copy_from_slice(&self.genesis);
        let checksum = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub fn decode(bytes: &[u8; SEGMENT_HEADER_BYTES as usize]) -> Option<Self> {
        let header = SegmentHeader {
            magic: part(bytes, 0),
            number: u32::try_from(u64::from_le_bytes(part(bytes, 8))).ok()?,
            salt: u64::from_le_bytes(part(bytes, 16)),
            genesis: part(bytes, 24),
        };
        (header.encode() == *bytes).then_some(header)
    }
}

impl RecordHeader {
    pub fn new(kind: u8, height: u64, payload: &[&[u8]], synced: u64) -> Self {
        let length = payload.iter().map(|part| part.len()).sum::<usize>() as u32;
        RecordHeader {
            kind,
            height,
            length,
            synced,
            payload_checksum: checksum(payload),
        }
    }

    pub fn encode(&self, salt: u64, at: Position) -> [u8; RECORD_HEADER_BYTES as usize] {
        let mut bytes = [0; RECORD_HEADER_BYTES as usize];
        bytes[4..8].copy_from_slice(&self.payload_checksum.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.length.to_le_bytes());
        bytes[12] = self.kind;
        bytes[16..24].copy_from_slice(&self.height.to_le_bytes());
        bytes[24..].copy_from_slice(&self.synced.to_le_bytes());
        let (segment, offset) = (at.segment.to_le_bytes(), at.offset.to_le_bytes());
        let own = checksum(&[&salt.to_le_bytes(), &segment, &offset, &bytes[4..]]);
        bytes[..4].copy_from_slice(&own.to_le_bytes());
        bytes
    }

    /// None if these are not the bytes of a header written at this place.
    pub fn decode(
        bytes: &[u8; RECORD_HEADER_BYTES as usize],
        salt: u64,
        at: Position,
    ) -> Option<Self> {
        // The cheap checks come first: a search for headers calls this at every byte.
        if bytes[12] == 0 || bytes[13..16] != [0; 3] {
            return None;
        }
        let header = RecordHeader {
            payload_checksum: u32::from_le_bytes(part(bytes, 4)),
            length: u32::from_le_bytes(part(bytes, 8)),
            kind: bytes[12],
            height: u64::from_le_bytes(part(bytes, 16)),
            synced: u64::from_le_bytes(part(bytes, 24)),
        };
        let sane = header.synced >= SEGMENT_HEADER_BYTES && header.synced <= u64::from(at.offset);
        (sane && header.encode(salt, at) == *bytes).then_some(header)
    }

    pub fn matches(&self, payload: &[u8]) -> bool {
        checksum(&[payload]) == self.payload_checksum
    }

    /// Length of header and payload.
    pub fn total_bytes(&self) -> u64 {
        RECORD_HEADER_BYTES + u64::from(self.length)
    }
}

fn checksum(parts: &[&[u8]]) -> u32 {
    parts
        .iter()
        .fold(0, |so_far, part| crc32c::crc32c_append(so_far, part))
}

fn part<const N: usize>(bytes: &[u8], from: usize) -> [u8; N] {
    *bytes[from..]
        .first_chunk()
        .expect("the header is long enough for its fields")
}
