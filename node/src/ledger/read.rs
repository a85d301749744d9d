//! Reading committed blocks.

use super::{Ledger, LedgerError, record};
use crate::api::{
    ApiError, BlockResults, BlockSummary, CommitOf, CommittedTx, StoredBlock, TxPlace,
};
use std::sync::Arc;
use welkin_consensus::types::{Block, Commit, Message, PartSet, ValidatorSet};
use welkin_runtime::Hash;

impl From<LedgerError> for ApiError {
    fn from(why: LedgerError) -> Self {
        ApiError::Failed(why.to_string())
    }
}

impl Ledger {
    /// A block of the log with the commit that was seen for it.
    pub(super) fn block_in_log(&self, height: u64) -> Result<Option<(Block, Commit)>, LedgerError> {
        let Some(stored) = self.log.read(height)? else {
            return Ok(None);
        };
        let damaged = |what: &str| {
            LedgerError::Inconsistent(format!("{what} {height} in the block log is not readable"))
        };
        let block = Block::decode(&stored.block).map_err(|_| damaged("block"))?;
        let commit = Commit::decode(&stored.commit).map_err(|_| damaged("commit"))?;
        Ok(Some((block, commit)))
    }

    /// The validators of a height in the log, at the turn of its first proposer.
    pub(super) fn validators_in_log(
        &self,
        height: u64,
    ) -> Result<Option<ValidatorSet>, LedgerError> {
        let Some((stored, bytes)) = self.log.read_validators(height)? else {
            return Ok(None);
        };
        let damaged = |_| {
            LedgerError::Inconsistent(format!(
                "validators of height {height} in the block log are not readable"
            ))
        };
        let mut validators: ValidatorSet = serde_json::from_slice(&bytes).map_err(damaged)?;
        let passed = u32::try_from(height - stored).unwrap_or(u32::MAX);
        if passed > 0 {
            validators.increment_proposer_priority(passed);
        }
        Ok(Some(validators))
    }

    /// Which height is meant, if it is there.
    fn height_of(&self, asked: u64) -> Result<u64, ApiError> {
        let newest = self.tip().height();
        let height = if asked == 0 { newest } else { asked };
        if height > newest || newest == 0 {
            return Err(ApiError::Future { asked, newest });
        }
        let oldest = self.oldest_height();
        if height < oldest {
            return Err(ApiError::Pruned { asked, oldest });
        }
        Ok(height)
    }

    /// The oldest block that can be read; 0 if there is none.
    pub fn oldest_height(&self) -> u64 {
        self.log.heights().map_or(0, |heights| *heights.start())
    }

    /// A block with its name.
    pub fn block(&self, height: u64) -> Result<Arc<StoredBlock>, ApiError> {
        let height = self.height_of(height)?;
        let stored = self
            .log
            .read(height)
            .map_err(LedgerError::from)?
            .ok_or(self.gone(height))?;
        let block = Block::decode(&stored.block).map_err(LedgerError::from)?;
        let block_id = block.id(&PartSet::from_bytes(&stored.block));
        Ok(Arc::new(StoredBlock {
            block_id,
            block,
            size_bytes: stored.block.len(),
        }))
    }

    /// The commit of a block.
    pub fn commit_of(&self, height: u64) -> Result<CommitOf, ApiError> {
        let height = self.height_of(height)?;
        let tip = self.tip();
        if height == tip.height() {
            return Ok(CommitOf {
                commit: tip.seen.clone(),
                is_canonical: false,
            });
        }
        let (block, _) = self.block_in_log(height + 1)?.ok_or(self.gone(height))?;
        Ok(CommitOf {
            commit: block.last_commit,
            is_canonical: true,
        })
    }

    /// The validators of a height, the next one included.
    pub fn validators(&self, height: u64) -> Result<Arc<ValidatorSet>, ApiError> {
        let tip = self.tip();
        let next = tip.chain.next_height();
        if height == next || tip.height() == 0 && height == 0 {
            return Ok(Arc::new(tip.chain.validators.clone()));
        }
        if height == next + 1 {
            return Ok(Arc::new(tip.chain.next_validators.clone()));
        }
        let height = self.height_of(height)?;
        if height == tip.height() {
            let last = tip.chain.last_validators.clone();
            return last.map(Arc::new).ok_or(self.gone(height));
        }
        self.validators_in_log(height)?
            .map(Arc::new)
            .ok_or(self.gone(height))
    }

    /// What came of a block.
    pub fn results(&self, height: u64) -> Result<Arc<BlockResults>, ApiError> {
        let height = self.height_of(height)?;
        let bytes = self
            .log
            .read_results(height)
            .map_err(LedgerError::from)?
            .ok_or(self.gone(height))?;
        let results = borsh::from_slice(&bytes).map_err(|why| {
            ApiError::Failed(format!(
                "the results of block {height} are not readable: {why}"
            ))
        })?;
        Ok(Arc::new(results))
    }

    /// Where a transaction stands.
    pub fn tx_place(&self, id: &Hash) -> Result<Option<TxPlace>, LedgerError> {
        let place = match self.recent.tx(id) {
            Some(place) => Some(place),
            None => record::read_tx(&*self.store, id)?,
        };
        // A block that is being taken over is in the index before it may be seen.
        Ok(place.filter(|place| place.height <= self.tip().height()))
    }

    /// A committed transaction.
    pub fn transaction(&self, id: &Hash) -> Result<Option<CommittedTx>, ApiError> {
        let Some(place) = self.tx_place(id)? else {
            return Ok(None);
        };
        let results = self.results(place.height)?;
        let mut block = Arc::unwrap_or_clone(self.block(place.height)?);
        let index = place.index as usize;
        let (txs, count) = (&mut block.block.data.txs, results.tx_results.len());
        if index >= txs.len() || index >= count {
            return Err(ApiError::Failed(format!(
                "the index names transaction {index} of block {}, which has {count}",
                place.height
            )));
        }
        Ok(Some(CommittedTx {
            place,
            raw: txs.swap_remove(index),
            result: results.tx_results[index].clone(),
        }))
    }

    /// A block in short; `None` before the first.
    pub fn summary(&self, height: u64) -> Option<BlockSummary> {
        let stored = self.block(height).ok()?;
        let header = &stored.block.header;
        Some(BlockSummary {
            height: header.height,
            hash: stored.block_id.hash.as_bytes().to_vec(),
            app_hash: header.app_hash.clone(),
            time: header.time,
        })
    }

    fn gone(&self, asked: u64) -> ApiError {
        ApiError::Pruned {
            asked,
            oldest: self.oldest_height(),
        }
    }
}
