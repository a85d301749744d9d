//! Whether a block may follow (`validateBlock` of CometBFT v0.38 `state/validation.go`).
//!
//! What the transactions mean and whether the evidence is true is not judged here: see the
//! runtime's `validate_block` and [`crate::misbehaviour::verify_evidence`].

use super::{ChainState, evidence_bytes};
use crate::error::{Invalid, VerifyError, ensure};
use crate::types::{Block, Commit, Header};
use crate::verify::verify_commit_full;

impl ChainState {
    /// Whether this block may be the next one.
    pub fn validate_block(&self, block: &Block) -> Result<(), VerifyError> {
        block.validate_basic()?;
        self.validate_header(&block.header)?;
        self.validate_last_commit(block)?;
        self.validate_time(block)?;
        let limit = usize::try_from(self.consensus_params.evidence.max_bytes).unwrap_or(0);
        ensure(
            evidence_bytes(&block.evidence) <= limit,
            "the block has too much evidence",
        )?;
        Ok(())
    }

    fn validate_header(&self, header: &Header) -> Result<(), Invalid> {
        let app = self.consensus_params.version.app;
        ensure(
            header.version.app == app,
            "the block has another application version",
        )?;
        ensure(
            header.chain_id == self.chain_id,
            "the block is of another chain",
        )?;
        ensure(
            header.height == self.next_height(),
            "the block is not of the next height",
        )?;
        let last = header.last_block_id == self.last_block_id;
        ensure(last, "the block does not follow the last one")?;
        ensure(
            header.app_hash == self.app_hash,
            "the block has another app hash",
        )?;
        let params = header.consensus_hash == self.consensus_params.hash();
        ensure(params, "the block has other consensus parameters")?;
        let results = header.last_results_hash == self.last_results_hash;
        ensure(results, "the block has another hash of the last results")?;
        let validators = header.validators_hash == self.validators.hash();
        ensure(validators, "the block has other validators")?;
        let next = header.next_validators_hash == self.next_validators.hash();
        ensure(next, "the block has other next validators")?;
        let proposer = self.validators.by_address(&header.proposer_address);
        ensure(
            proposer.is_some(),
            "the block's proposer is not a validator",
        )
    }

    fn validate_last_commit(&self, block: &Block) -> Result<(), VerifyError> {
        let commit = &block.last_commit;
        match &self.last_validators {
            Some(validators) if !self.is_initial() => {
                let (id, height) = (&self.last_block_id, self.last_height);
                verify_commit_full(&self.chain_id, validators, id, height, commit)
            }
            _ => Ok(ensure(
                *commit == Commit::default(),
                "the first block has a last commit",
            )?),
        }
    }

    fn validate_time(&self, block: &Block) -> Result<(), Invalid> {
        let time = block.header.time;
        if !self.is_initial() {
            ensure(
                time > self.last_block_time,
                "the block's time is not after the last one's",
            )?;
        }
        let expected = self.next_time(&block.last_commit);
        ensure(
            time == expected,
            "the block's time is not the median of the last commit's",
        )
    }
}
