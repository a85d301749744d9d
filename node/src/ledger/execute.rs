//! From a decided block to the state after it.

use super::recovery::mismatch;
use super::{Ledger, LedgerError, record};
use crate::api::{BlockResults, Committed, StoredBlock, TxPlace};
use crate::block_log::NewBlock;
use std::sync::Arc;
use welkin_consensus::state::{self, ChainState, TxOutcome};
use welkin_consensus::types::{
    AppHash, Block, BlockId, Commit, CommitSig, Message, PublicKey, ValidatorSet, ValidatorUpdate,
};
use welkin_consensus::verify::verify_commit_full;
use welkin_runtime::ctx::{BlockInfo, Misbehaviour, VoteInfo};
use welkin_runtime::execute::{BlockInput, BlockOutput, ExecuteError, Invariants, TxResult};
use welkin_runtime::store::Batch;
use welkin_runtime::tx::Transaction;
use welkin_runtime::{Hash, StateError, Time};

/// A block that was decided, with what proves it.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The block.
    pub block: Arc<Block>,
    /// Its name.
    pub block_id: BlockId,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// More than 2/3 of the precommits.
    pub commit: Commit,
}

/// What came of a block, before others may see it.
pub struct Executed {
    pub(super) committed: Committed,
    pub(super) chain: ChainState,
    pub(super) seen: Commit,
    pub(super) batch: Batch,
    pub(super) due_work: bool,
    pub(super) evidence: Vec<[u8; 32]>,
}

impl Decision {
    /// A block as a peer sent it, with the commit that names it.
    pub fn decode(block: Vec<u8>, commit: &[u8]) -> Result<Decision, LedgerError> {
        let decoded = Block::decode(&block)?;
        let parts = welkin_consensus::types::PartSet::from_bytes(&block);
        let block_id = decoded.id(&parts);
        let commit = Commit::decode(commit)?;
        Ok(Decision {
            block: Arc::new(decoded),
            block_id,
            bytes: block,
            commit,
        })
    }

    fn height(&self) -> u64 {
        self.block.header.height
    }
}

impl Ledger {
    /// Makes a block that consensus has decided part of the chain. When this returns, the block is
    /// durable and can be read with its state. `None` if the chain is past that height.
    pub fn commit(&self, decision: &Decision) -> Result<Option<Arc<Committed>>, LedgerError> {
        let tip = self.tip();
        if decision.height() != tip.chain.next_height() {
            return Ok(None);
        }
        self.append(&tip.chain, decision)?;
        let executed = std::thread::scope(|scope| {
            let sync = scope.spawn(|| self.log.sync());
            let executed = self.execute(&tip.chain, decision);
            let synced = sync.join().expect("syncing does not panic");
            synced.map_err(LedgerError::from).and(executed)
        })?;
        self.append_results(&executed)?;
        Ok(Some(self.publish(executed)))
    }

    /// Takes over blocks that others have decided, each with its commit, with one sync for all.
    /// Blocks that are known are passed over. Those before the one that is refused are kept.
    pub fn commit_many(
        &self,
        decisions: &[Decision],
    ) -> (Vec<Arc<Committed>>, Result<(), LedgerError>) {
        let mut chain = self.tip().chain.clone();
        let mut done = Vec::new();
        let mut outcome = Ok(());
        for decision in decisions {
            if decision.height() < chain.next_height() {
                continue;
            }
            match self.take_over(&chain, decision) {
                Ok(executed) => {
                    chain = executed.chain.clone();
                    done.push(executed);
                }
                Err(why) => {
                    outcome = Err(why);
                    break;
                }
            }
        }
        if let Err(why) = self.log.sync() {
            return (Vec::new(), Err(why.into()));
        }
        (
            done.into_iter()
                .map(|executed| self.publish(executed))
                .collect(),
            outcome,
        )
    }

    fn take_over(&self, chain: &ChainState, decision: &Decision) -> Result<Executed, LedgerError> {
        // What more than 2/3 decided is valid: its transactions are not judged again.
        let (validators, height) = (&chain.validators, chain.next_height());
        let Decision {
            block,
            block_id,
            commit,
            ..
        } = decision;
        verify_commit_full(&chain.chain_id, validators, block_id, height, commit)?;
        if block.header.height == height && block.header.app_hash != chain.app_hash {
            return Err(mismatch(
                height - 1,
                &chain.app_hash,
                &block.header.app_hash,
            ));
        }
        chain.validate_block(block)?;
        self.append(chain, decision)?;
        let executed = self.execute(chain, decision)?;
        self.append_results(&executed)?;
        Ok(executed)
    }

    /// Executes a block of the log again, whose results are known to the chain.
    pub(super) fn execute(
        &self,
        chain: &ChainState,
        decision: &Decision,
    ) -> Result<Executed, LedgerError> {
        let (block, height) = (&decision.block, decision.height());
        let output = self.run(chain.last_validators.as_ref(), block)?;
        let (root, mut batch) = self.tree.commit(height, &output.writes)?;
        for failure in &output.hook_failures {
            tracing::error!(
                target: "welkin::ledger",
                height,
                what = failure.what,
                "a hook failed and was undone: {}",
                failure.error
            );
        }
        let results = results_of(
            height,
            output.tx_results,
            output.events,
            &output.validator_updates,
            root,
        );
        let next = chain.apply(&block.header, decision.block_id, &executed_of(&results))?;
        let tx_ids: Arc<[Hash]> = block
            .data
            .txs
            .iter()
            .map(|raw| Transaction::id(raw))
            .collect();
        for (index, id) in (0..).zip(tx_ids.iter()) {
            record::put_tx(&mut batch, id, TxPlace { height, index });
        }
        let evidence: Vec<[u8; 32]> = block
            .evidence
            .0
            .iter()
            .map(|evidence| evidence.hash())
            .collect();
        evidence
            .iter()
            .for_each(|hash| record::put_evidence(&mut batch, hash, height));
        record::put_chain(&mut batch, &next);
        let stored = StoredBlock {
            block_id: decision.block_id,
            block: Block::clone(block),
            size_bytes: decision.bytes.len(),
        };
        Ok(Executed {
            committed: Committed {
                block: Arc::new(stored),
                results: Arc::new(results),
                tx_ids,
            },
            chain: next,
            seen: decision.commit.clone(),
            batch,
            due_work: output.due_work,
            evidence,
        })
    }

    /// Runs a block on the state before it, and keeps nothing. `voters` are the validators of the
    /// block before.
    pub(super) fn run(
        &self,
        voters: Option<&ValidatorSet>,
        block: &Block,
    ) -> Result<BlockOutput, LedgerError> {
        let height = block.header.height;
        let view = self.tree.view(height - 1)?;
        let input = BlockInput {
            block: block_info(voters, block)?,
            transactions: &block.data.txs,
            invariants: Invariants::Trusted,
        };
        let output = self.runtime.execute_block(&view, input);
        output.map_err(|why| LedgerError::Execution { height, why })
    }

    fn append(&self, chain: &ChainState, decision: &Decision) -> Result<(), LedgerError> {
        let changed = chain
            .last_validators
            .as_ref()
            .is_none_or(|last| last.hash() != chain.validators.hash());
        let validators = changed.then(|| {
            serde_json::to_vec(&chain.validators).expect("a validator set has only string keys")
        });
        let new = NewBlock {
            block: &decision.bytes,
            commit: &decision.commit.encode(),
            validators: validators.as_deref(),
        };
        Ok(self.log.append(decision.height(), &new)?)
    }

    pub(super) fn append_results(&self, executed: &Executed) -> Result<(), LedgerError> {
        let results = &executed.committed.results;
        let bytes = borsh::to_vec(&**results).expect("writing to memory does not fail");
        Ok(self.log.append_results(results.height, &bytes)?)
    }
}

/// The results as they are stored.
pub(super) fn results_of(
    height: u64,
    tx_results: Vec<TxResult>,
    events: Vec<welkin_runtime::Event>,
    updates: &[welkin_runtime::execute::ValidatorUpdate],
    root: Hash,
) -> BlockResults {
    let validator_updates = updates
        .iter()
        .map(|update| (update.public_key, update.power))
        .collect();
    BlockResults {
        height,
        tx_results,
        events,
        validator_updates,
        app_hash: root.0.to_vec(),
    }
}

/// What headers say of the results.
fn executed_of(results: &BlockResults) -> state::Executed {
    let outcomes = results.tx_results.iter().map(|result| TxOutcome {
        code: result.code,
        data: result.data.clone(),
        gas_wanted: i64::try_from(result.gas_wanted).unwrap_or(i64::MAX),
        gas_used: i64::try_from(result.gas_used).unwrap_or(i64::MAX),
    });
    let updates = results.updates().map(|update| ValidatorUpdate {
        public_key: PublicKey(update.public_key),
        power: update.power,
    });
    state::Executed {
        app_hash: AppHash(results.app_hash.clone()),
        results: outcomes.collect(),
        validator_updates: updates.collect(),
        consensus_params: None,
    }
}

/// What the modules are told of a block.
fn block_info(voters: Option<&ValidatorSet>, block: &Block) -> Result<BlockInfo, LedgerError> {
    let header = &block.header;
    let before_1970 = || LedgerError::Execution {
        height: header.height,
        why: ExecuteError::State(StateError::Broken("the block's time is before 1970".into())),
    };
    let voters = voters.into_iter().flat_map(|set| set.validators());
    let last_commit = voters
        .zip(&block.last_commit.signatures)
        .map(|(validator, entry)| VoteInfo {
            validator: validator.address.0,
            power: validator.voting_power,
            signed: matches!(entry, CommitSig::Commit(_)),
        });
    let offences = block
        .evidence
        .0
        .iter()
        .flat_map(|evidence| evidence.misbehaviours());
    let misbehaviour = offences.map(|offence| Misbehaviour {
        validator: offence.validator_address.0,
        height: offence.height,
        time: offence.time.to_runtime().unwrap_or(Time(0)),
        power: offence.validator_power,
        total_power: offence.total_voting_power,
    });
    Ok(BlockInfo {
        height: header.height,
        time: header.time.to_runtime().ok_or_else(before_1970)?,
        proposer: header.proposer_address.0,
        last_commit: last_commit.collect(),
        misbehaviour: misbehaviour.collect(),
    })
}
