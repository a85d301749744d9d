//! How a block is named: by its header's hash and by the root over its parts.

use crate::error::{DecodeError, Invalid, ensure};
use crate::json;
use crate::proto::{Message, Reader, Writer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A SHA-256 hash as Tendermint carries it: 32 bytes, or empty (Go's nil). Text is upper hex.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(Option<[u8; 32]>);

/// How many parts a block has, and the Merkle root over them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[derive(Serialize, Deserialize)]
pub struct PartSetHeader {
    /// Number of parts.
    pub total: u32,
    /// Merkle root over the parts' bytes.
    pub hash: Digest,
}

/// The name of a block. The default value stands for "no block" (nil).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[derive(Serialize, Deserialize)]
pub struct BlockId {
    /// The header's hash.
    pub hash: Digest,
    /// The parts that the block was cut into.
    #[serde(rename = "parts", alias = "part_set_header")]
    pub part_set_header: PartSetHeader,
}

impl Digest {
    /// No hash.
    pub const EMPTY: Digest = Digest(None);

    /// A hash of 32 bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Digest(Some(bytes))
    }

    /// From 32 bytes or none.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.is_empty() {
            return Ok(Digest::EMPTY);
        }
        let length = DecodeError::Length {
            what: "a hash",
            got: bytes.len(),
        };
        bytes.try_into().map(Digest::new).map_err(|_| length)
    }

    /// The 32 bytes, or none at all.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |bytes| bytes.as_slice())
    }

    /// The 32 bytes, if there is a hash.
    pub const fn bytes(&self) -> Option<[u8; 32]> {
        self.0
    }

    /// Whether there is no hash.
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl BlockId {
    /// No block: what a vote for nil carries.
    pub const NIL: BlockId = BlockId {
        hash: Digest::EMPTY,
        part_set_header: PartSetHeader {
            total: 0,
            hash: Digest::EMPTY,
        },
    };

    /// Whether this stands for no block.
    pub fn is_nil(&self) -> bool {
        *self == BlockId::NIL
    }

    /// Whether both hashes and the number of parts are there.
    pub fn is_complete(&self) -> bool {
        let parts = &self.part_set_header;
        !self.hash.is_empty() && parts.total > 0 && !parts.hash.is_empty()
    }

    /// Refuses everything that is neither nil nor complete.
    pub fn validate_nil_or_complete(&self) -> Result<(), Invalid> {
        ensure(
            self.is_nil() || self.is_complete(),
            "a block id is neither nil nor complete",
        )
    }

    /// The order in which the votes of an equivocation stand: hash, then the encoded part set
    /// header (`BlockID.Key` of CometBFT v0.38).
    pub fn key(&self) -> Vec<u8> {
        [self.hash.as_bytes(), &self.part_set_header.encode()].concat()
    }
}

impl Message for PartSetHeader {
    fn write(&self, to: &mut Writer) {
        to.uint(1, u64::from(self.total));
        to.bytes(2, self.hash.as_bytes());
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("PartSetHeader", bytes);
        let mut header = PartSetHeader::default();
        while let Some((field, value)) = reader.next_field()? {
            match field {
                1 => header.total = value.uint32("a number of parts")?,
                2 => header.hash = Digest::from_slice(value.bytes()?)?,
                _ => return Err(reader.unknown(field)),
            }
        }
        Ok(header)
    }
}

impl Message for BlockId {
    fn write(&self, to: &mut Writer) {
        to.bytes(1, self.hash.as_bytes());
        to.message(2, &self.part_set_header);
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("BlockID", bytes);
        let mut id = BlockId::NIL;
        while let Some((field, value)) = reader.next_field()? {
            match field {
                1 => id.hash = Digest::from_slice(value.bytes()?)?,
                2 => id.part_set_header = value.message()?,
                _ => return Err(reader.unknown(field)),
            }
        }
        Ok(id)
    }
}

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Digest::new(bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode_upper(self.as_bytes()))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        if text.is_empty() {
            return Ok(Digest::EMPTY);
        }
        json::array_from_hex(&text)
            .map(Digest::new)
            .map_err(serde::de::Error::custom)
    }
}
