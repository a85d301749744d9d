//! What the next header must say: the part of the state that consensus itself keeps
//! (CometBFT v0.38 `state/state.go`, `state/validation.go`, `state/execution.go`).

mod validate;

use crate::error::{Invalid, ensure};
use crate::merkle;
use crate::proto::{Message, Writer};
use crate::types::{
    AppHash, BLOCK_PROTOCOL, Block, BlockId, Commit, ConsensusParams, Data, Digest, EvidenceList,
    Genesis, Header, Timestamp, ValidatorAddress, ValidatorSet, ValidatorUpdate, Version,
};
use crate::verify::bft_time;
use serde::{Deserialize, Serialize};

/// Consensus state after a block. It has all that is needed to make or judge the next one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainState {
    /// The chain's name.
    pub chain_id: String,
    /// Height of the first block.
    pub initial_height: u64,
    /// Height of the last block; 0 before the first.
    pub last_height: u64,
    /// The last block; nil before the first.
    pub last_block_id: BlockId,
    /// Time of the last block; genesis time before the first.
    pub last_block_time: Timestamp,
    /// Validators of the last block, who sign the commit in the next; none before the first.
    pub last_validators: Option<ValidatorSet>,
    /// Validators of the next block.
    pub validators: ValidatorSet,
    /// Validators of the block after the next.
    pub next_validators: ValidatorSet,
    /// Parameters of the next block.
    pub consensus_params: ConsensusParams,
    /// State root after the last block.
    pub app_hash: AppHash,
    /// Merkle root over the last block's results.
    pub last_results_hash: Digest,
}

/// What a block's execution gave, as far as headers say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// State root after the block.
    pub app_hash: AppHash,
    /// One result for each transaction, in order.
    pub results: Vec<TxOutcome>,
    /// Changes of the validator set; they hold two blocks later.
    pub validator_updates: Vec<ValidatorUpdate>,
    /// New parameters from the next block on, if they change.
    pub consensus_params: Option<ConsensusParams>,
}

/// The part of a transaction's result that every node must agree on (`ExecTxResult` without log,
/// info, events and codespace).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TxOutcome {
    /// 0 if it succeeded.
    pub code: u32,
    /// What it returned.
    pub data: Vec<u8>,
    /// Gas that it may use.
    pub gas_wanted: i64,
    /// Gas that it used.
    pub gas_used: i64,
}

impl ChainState {
    /// The state before the first block. `app_hash` is the root of the genesis state; one that the
    /// genesis names must be the same.
    pub fn from_genesis(genesis: &Genesis, app_hash: AppHash) -> Result<Self, Invalid> {
        let expected = genesis.app_hash == AppHash::default() || genesis.app_hash == app_hash;
        ensure(
            expected,
            "the genesis state has another app hash than the genesis says",
        )?;
        let validators = genesis.validator_set()?;
        let mut next_validators = validators.clone();
        next_validators.increment_proposer_priority(1);
        Ok(ChainState {
            chain_id: genesis.chain_id.clone(),
            initial_height: genesis.initial_height,
            last_height: 0,
            last_block_id: BlockId::NIL,
            last_block_time: genesis.genesis_time,
            last_validators: None,
            validators,
            next_validators,
            consensus_params: genesis.consensus_params.clone(),
            app_hash,
            last_results_hash: results_hash(&[]),
        })
    }

    /// Height of the next block.
    pub fn next_height(&self) -> u64 {
        if self.last_height == 0 {
            self.initial_height
        } else {
            self.last_height + 1
        }
    }

    /// Whether the next block is the first one.
    pub fn is_initial(&self) -> bool {
        self.last_height == 0
    }

    /// Time of the next block, given the commit of the last one.
    pub fn next_time(&self, last_commit: &Commit) -> Timestamp {
        match &self.last_validators {
            Some(validators) if !self.is_initial() => bft_time(last_commit, validators),
            _ => self.last_block_time,
        }
    }

    /// The next block. `last_commit` is that of the last one, empty for the first.
    pub fn make_block(
        &self,
        txs: Vec<Vec<u8>>,
        evidence: EvidenceList,
        last_commit: Commit,
        proposer: ValidatorAddress,
    ) -> Block {
        let data = Data { txs };
        let header = Header {
            version: Version {
                block: BLOCK_PROTOCOL,
                app: self.consensus_params.version.app,
            },
            chain_id: self.chain_id.clone(),
            height: self.next_height(),
            time: self.next_time(&last_commit),
            last_block_id: self.last_block_id,
            last_commit_hash: last_commit.hash(),
            data_hash: data.hash(),
            validators_hash: self.validators.hash(),
            next_validators_hash: self.next_validators.hash(),
            consensus_hash: self.consensus_params.hash(),
            app_hash: self.app_hash.clone(),
            last_results_hash: self.last_results_hash,
            evidence_hash: evidence.hash(),
            proposer_address: proposer,
        };
        Block {
            header,
            data,
            evidence,
            last_commit,
        }
    }

    /// The state after a block that was decided, validated and executed. An error means that the
    /// application asked for impossible validators or parameters; no node can go on from there.
    pub fn apply(
        &self,
        block: &Header,
        block_id: BlockId,
        executed: &Executed,
    ) -> Result<ChainState, Invalid> {
        let mut next_validators = self.next_validators.clone();
        next_validators.update(&executed.validator_updates)?;
        next_validators.increment_proposer_priority(1);
        let consensus_params = match &executed.consensus_params {
            None => self.consensus_params.clone(),
            Some(params) => {
                params.validate_basic()?;
                params.clone()
            }
        };
        Ok(ChainState {
            chain_id: self.chain_id.clone(),
            initial_height: self.initial_height,
            last_height: block.height,
            last_block_id: block_id,
            last_block_time: block.time,
            last_validators: Some(self.validators.clone()),
            validators: self.next_validators.clone(),
            next_validators,
            consensus_params,
            app_hash: executed.app_hash.clone(),
            last_results_hash: results_hash(&executed.results),
        })
    }
}

/// Merkle root over results: the `last_results_hash` of the next block.
pub fn results_hash(results: &[TxOutcome]) -> Digest {
    let leaves: Vec<_> = results.iter().map(TxOutcome::leaf).collect();
    Digest::new(merkle::root(&leaves))
}

/// Most bytes of transactions that fit in the next block, given its evidence and the number of
/// validators (`MaxDataBytes` of CometBFT v0.38).
pub fn max_data_bytes(max_block_bytes: usize, evidence_bytes: usize, validators: usize) -> usize {
    const BLOCK_OVERHEAD: usize = 11;
    const HEADER: usize = 626;
    const COMMIT: usize = 94;
    const COMMIT_ENTRY: usize = 111;
    let taken = BLOCK_OVERHEAD + HEADER + COMMIT + COMMIT_ENTRY * validators + evidence_bytes;
    max_block_bytes.saturating_sub(taken)
}

impl TxOutcome {
    fn leaf(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.uint(1, u64::from(self.code));
        writer.bytes(2, &self.data);
        writer.int(5, self.gas_wanted);
        writer.int(6, self.gas_used);
        writer.finish()
    }
}

/// Bytes that evidence takes in a block.
pub fn evidence_bytes(evidence: &EvidenceList) -> usize {
    evidence.encode().len()
}
