//! Headers with their commits and validators: what a light client reads.

use super::{Commit, Header, ValidatorSet};
use crate::error::{DecodeError, Invalid, ensure};
use crate::proto::{Message, Reader, Writer};
use serde::{Deserialize, Serialize};

/// A header and the commit for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedHeader {
    /// The header.
    pub header: Header,
    /// The precommits that decided it.
    pub commit: Commit,
}

/// A signed header with the validators that signed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LightBlock {
    /// Header and commit.
    pub signed_header: SignedHeader,
    /// The validators of that height.
    pub validator_set: ValidatorSet,
}

impl SignedHeader {
    /// Whether header and commit belong together and to this chain. No signature is checked.
    pub fn validate_basic(&self, chain_id: &str) -> Result<(), Invalid> {
        self.header.validate_basic()?;
        self.commit.validate_basic()?;
        ensure(
            self.header.chain_id == chain_id,
            "a header is of another chain",
        )?;
        ensure(
            self.commit.height == self.header.height,
            "a commit is not of its header's height",
        )?;
        ensure(
            self.commit.block_id.hash == self.header.hash(),
            "a commit is not for its header",
        )
    }
}

impl LightBlock {
    /// Whether header, commit and validators belong together and to this chain.
    pub fn validate_basic(&self, chain_id: &str) -> Result<(), Invalid> {
        self.signed_header.validate_basic(chain_id)?;
        let own = self.validator_set.hash() == self.signed_header.header.validators_hash;
        ensure(own, "the validators are not those of the header")
    }
}

impl Message for SignedHeader {
    fn write(&self, to: &mut Writer) {
        to.message(1, &self.header);
        to.message(2, &self.commit);
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("SignedHeader", bytes);
        let (mut header, mut commit) = (None, None);
        while let Some((field, value)) = reader.next_field()? {
            match field {
                1 => header = Some(value.message()?),
                2 => commit = Some(value.message()?),
                _ => return Err(reader.unknown(field)),
            }
        }
        let header = header.ok_or(DecodeError::Missing("a header"))?;
        let commit = commit.ok_or(DecodeError::Missing("a commit"))?;
        Ok(SignedHeader { header, commit })
    }
}

impl Message for LightBlock {
    fn write(&self, to: &mut Writer) {
        to.message(1, &self.signed_header);
        to.message(2, &self.validator_set);
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("LightBlock", bytes);
        let (mut signed_header, mut validator_set) = (None, None);
        while let Some((field, value)) = reader.next_field()? {
            match field {
                1 => signed_header = Some(value.message()?),
                2 => validator_set = Some(value.message()?),
                _ => return Err(reader.unknown(field)),
            }
        }
        let signed_header = signed_header.ok_or(DecodeError::Missing("a signed header"))?;
        let validator_set = validator_set.ok_or(DecodeError::Missing("a validator set"))?;
        Ok(LightBlock {
            signed_header,
            validator_set,
        })
    }
}
