//! Blocks.

use super::part_set::MAX_BLOCK_BYTES;
use super::{BlockId, Commit, Digest, EvidenceList, Header, PartSet};
use crate::error::{DecodeError, Invalid, ensure};
use crate::json;
use crate::merkle;
use crate::proto::{Message, Reader, Writer};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Most transactions of a block. The largest block with the smallest signed transactions (some 200
/// bytes) has about as many. Without a limit, tiny ones would take twenty times as much memory as
/// they take on the wire.
pub const MAX_TXS: usize = 1 << 19;

/// The transactions of a block, as raw bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Data {
    /// Raw transactions in order.
    #[serde(with = "json::base64_list")]
    pub txs: Vec<Vec<u8>>,
}

/// A block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// The header.
    pub header: Header,
    /// The transactions.
    pub data: Data,
    /// Proof of misbehaviour.
    pub evidence: EvidenceList,
    /// The precommits that decided the block before; empty in the first block.
    pub last_commit: Commit,
}

impl Data {
    /// Merkle root over the hashes of the transactions.
    pub fn hash(&self) -> Digest {
        let ids: Vec<[u8; 32]> = self
            .txs
            .iter()
            .map(|tx| Sha256::digest(tx).into())
            .collect();
        Digest::new(merkle::root(&ids))
    }
}

impl Block {
    /// The header's hash.
    pub fn hash(&self) -> Digest {
        self.header.hash()
    }

    /// The block in parts.
    pub fn part_set(&self) -> PartSet {
        PartSet::from_bytes(&self.encode())
    }

    /// The block's name, given its parts.
    pub fn id(&self, parts: &PartSet) -> BlockId {
        BlockId {
            hash: self.hash(),
            part_set_header: parts.header(),
        }
    }

    /// The rules that a block must keep by itself (`Block.ValidateBasic` of CometBFT v0.38): the
    /// header's hashes are those of the content.
    pub fn validate_basic(&self) -> Result<(), Invalid> {
        self.header.validate_basic()?;
        self.header.last_block_id.validate_nil_or_complete()?;
        self.last_commit.validate_basic()?;
        let last_commit = self.header.last_commit_hash == self.last_commit.hash();
        ensure(last_commit, "the last commit is not the one in the header")?;
        let data = self.header.data_hash == self.data.hash();
        ensure(data, "the transactions are not those in the header")?;
        for evidence in &self.evidence.0 {
            evidence.validate_basic()?;
        }
        let evidence = self.header.evidence_hash == self.evidence.hash();
        ensure(evidence, "the evidence is not that in the header")
    }
}

impl Message for Data {
    fn write(&self, to: &mut Writer) {
        for tx in &self.txs {
            to.repeated_bytes(1, tx);
        }
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("Data", bytes);
        let mut data = Data::default();
        while let Some((field, value)) = reader.next_field()? {
            match field {
                1 if value.bytes()?.is_empty() => {
                    return Err(DecodeError::Missing("a transaction"));
                }
                1 if data.txs.len() == MAX_TXS => return Err(DecodeError::TooMany("transactions")),
                1 => data.txs.push(value.bytes()?.to_vec()),
                _ => return Err(reader.unknown(field)),
            }
        }
        Ok(data)
    }
}

impl Message for Block {
    fn write(&self, to: &mut Writer) {
        to.message(1, &self.header);
        to.message(2, &self.data);
        to.message(3, &self.evidence);
        to.message(4, &self.last_commit);
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_BLOCK_BYTES {
            return Err(DecodeError::Length {
                what: "a block",
                got: bytes.len(),
            });
        }
        let mut reader = Reader::new("Block", bytes);
        let (mut header, mut data, mut evidence, mut last_commit) = (None, None, None, None);
        while let Some((field, value)) = reader.next_field()? {
            match field {
                1 => header = Some(value.message()?),
                2 => data = Some(value.message()?),
                3 => evidence = Some(value.message()?),
                4 => last_commit = Some(value.message()?),
                _ => return Err(reader.unknown(field)),
            }
        }
        Ok(Block {
            header: header.ok_or(DecodeError::Missing("a block's header"))?,
            data: data.ok_or(DecodeError::Missing("a block's data"))?,
            evidence: evidence.ok_or(DecodeError::Missing("a block's evidence"))?,
            last_commit: last_commit.ok_or(DecodeError::Missing("a block's last commit"))?,
        })
    }
}
