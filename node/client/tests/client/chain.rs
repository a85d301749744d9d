//! A chain in memory: validators who sign, the real modules, the real state tree.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::json;
use welkin_client::{Config, Trust};
use welkin_consensus::state::{ChainState, Executed, TxOutcome};
use welkin_consensus::types::*;
use welkin_modules::RUNTIME;
use welkin_modules::genesis::AppState;
use welkin_runtime::crypto::SigningKey;
use welkin_runtime::execute::{BlockInput, BlockLimits, Invariants, NoCache, TxCheck, TxResult};
use welkin_runtime::store::{MemoryStore, Store};
use welkin_runtime::tree::{StateTree, TreeConfig};
use welkin_runtime::tx::Transaction;
use welkin_runtime::{Amount, BlockInfo, ChainInfo, Hash, ModuleError};

pub const CHAIN_ID: &str = "welkin-test";
pub const WEALTH: u64 = 1_000_000_000;

/// The key of an account that is rich from the genesis on, if the number is below 8.
pub fn account(number: u8) -> SigningKey {
    SigningKey::from_seed(&[100 + number; 32])
}

/// A block and all that came of it.
#[derive(Clone)]
pub struct Produced {
    pub block: Block,
    pub id: BlockId,
    pub commit: Commit,
    pub validators: ValidatorSet,
    pub results: Vec<TxResult>,
}

pub struct TestChain {
    keys: Vec<SigningKey>,
    pub genesis: Genesis,
    pub state: ChainState,
    pub tree: StateTree,
    store: Arc<MemoryStore>,
    pub blocks: BTreeMap<u64, Produced>,
    /// Transactions that wait for a block.
    pub pool: Vec<Vec<u8>>,
}

impl TestChain {
    /// A chain whose first validators have these powers; their keys grow from `first_key` on.
    pub fn new(powers: &[u64]) -> TestChain {
        TestChain::with_keys(powers, 1, "2024-01-01T00:00:00Z")
    }

    pub fn with_keys(powers: &[u64], first_key: u8, genesis_time: &str) -> TestChain {
        let keys: Vec<_> = (0..12)
            .map(|number| SigningKey::from_seed(&[number + first_key; 32]))
            .collect();
        let members = keys.iter().zip(powers).map(|(key, power)| {
            let public_key = PublicKey(key.public_key());
            let (address, name) = (public_key.address(), String::new());
            GenesisValidator {
                address,
                public_key,
                power: *power,
                name,
            }
        });
        let accounts = (0..8).map(|number| (account(number).address(), Amount(WEALTH)));
        let genesis = Genesis {
            genesis_time: genesis_time.parse().unwrap(),
            chain_id: CHAIN_ID.to_owned(),
            initial_height: 1,
            consensus_params: ConsensusParams::default(),
            validators: members.collect(),
            app_hash: AppHash::default(),
            app_state: AppState::for_testnet(accounts).to_json(),
        };
        let store = Arc::new(MemoryStore::new());
        let tree = StateTree::open(store.clone(), TreeConfig::default()).unwrap();
        let time = genesis.genesis_time.to_runtime().unwrap();
        let writes = RUNTIME.genesis(&genesis.app_state, time).unwrap().writes;
        let (root, batch) = tree.commit(0, &writes).unwrap();
        store.commit(batch, 0).unwrap();
        let state = ChainState::from_genesis(&genesis, AppHash(root.0.to_vec())).unwrap();
        let (blocks, pool) = (BTreeMap::new(), Vec::new());
        TestChain {
            keys,
            genesis,
            state,
            tree,
            store,
            blocks,
            pool,
        }
    }

    pub fn info(&self) -> ChainInfo {
        let genesis_hash = self.genesis.hash().unwrap();
        ChainInfo {
            chain_id: CHAIN_ID.to_owned(),
            genesis_hash,
        }
    }

    pub fn height(&self) -> u64 {
        self.state.last_height
    }

    pub fn update(&self, number: usize, power: u64) -> ValidatorUpdate {
        let public_key = PublicKey(self.keys[number].public_key());
        ValidatorUpdate { public_key, power }
    }

    /// So many blocks without transactions.
    pub fn grow(&mut self, blocks: usize) {
        for _ in 0..blocks {
            self.produce(Vec::new(), Vec::new());
        }
    }

    /// A block of everything that waits, and the one that proves it.
    pub fn mine(&mut self) {
        let txs = std::mem::take(&mut self.pool);
        self.produce(txs, Vec::new());
        self.grow(1);
    }

    /// What the mempool would say.
    pub fn check(&self, raw: &[u8]) -> Result<(), ModuleError> {
        let view = self.tree.view(self.height()).unwrap();
        let limits = BlockLimits {
            max_bytes: 1 << 20,
            max_gas: u64::MAX,
        };
        let (chain, height) = (&self.info(), self.height() + 1);
        let check = TxCheck {
            chain,
            height,
            limits,
            signatures: &NoCache,
        };
        match RUNTIME.check_tx(&view, &check, raw) {
            Ok(_) => Ok(()),
            Err(welkin_runtime::execute::ExecuteError::Refused(error)) => Err(error),
            Err(other) => panic!("{other}"),
        }
    }

    /// Block and position of a transaction.
    pub fn place(&self, id: &Hash) -> Option<(u64, usize)> {
        self.blocks.iter().find_map(|(height, produced)| {
            let mut txs = produced.block.data.txs.iter();
            Some((*height, txs.position(|raw| Transaction::id(raw) == *id)?))
        })
    }

    /// Makes the next block, lets all validators sign it, and goes on.
    pub fn produce(&mut self, txs: Vec<Vec<u8>>, updates: Vec<ValidatorUpdate>) -> u64 {
        let last_commit = self
            .blocks
            .get(&self.height())
            .map(|last| last.commit.clone());
        let proposer = self.state.validators.proposer().address;
        let last_commit = last_commit.unwrap_or_default();
        let block = self
            .state
            .make_block(txs, EvidenceList::default(), last_commit, proposer);
        let id = block.id(&block.part_set());
        let (height, time) = (block.header.height, block.header.time);
        let (results, root) = self.execute(&block);
        let outcomes = results.iter().map(|result| TxOutcome {
            code: result.code,
            data: result.data.clone(),
            gas_wanted: result.gas_wanted as i64,
            gas_used: result.gas_used as i64,
        });
        let executed = Executed {
            app_hash: AppHash(root.0.to_vec()),
            results: outcomes.collect(),
            validator_updates: updates,
            consensus_params: None,
        };
        let next = self.state.apply(&block.header, id, &executed).unwrap();
        let validators = self.state.validators.clone();
        let commit = self.commit(&validators, height, id, time.plus_nanos(1_000_000_000));
        self.state = next;
        let produced = Produced {
            block,
            id,
            commit,
            validators,
            results,
        };
        self.blocks.insert(height, produced);
        height
    }

    fn execute(&mut self, block: &Block) -> (Vec<TxResult>, Hash) {
        let header = &block.header;
        let time = header.time.to_runtime().unwrap();
        let info = BlockInfo {
            height: header.height,
            time,
            ..BlockInfo::default()
        };
        let view = self.tree.view(header.height - 1).unwrap();
        let transactions = &block.data.txs;
        let input = BlockInput {
            block: info,
            transactions,
            invariants: Invariants::Trusted,
        };
        let output = RUNTIME.execute_block(&view, input).unwrap();
        drop(view);
        let (root, batch) = self.tree.commit(header.height, &output.writes).unwrap();
        self.store.commit(batch, header.height).unwrap();
        self.tree.applied(header.height);
        (output.tx_results, root)
    }

    /// Everybody's precommits.
    pub fn commit(
        &self,
        set: &ValidatorSet,
        height: u64,
        block_id: BlockId,
        time: Timestamp,
    ) -> Commit {
        let everybody: BTreeSet<usize> = (0..set.len()).collect();
        self.commit_of(set, height, block_id, time, &everybody)
    }

    /// The precommits of those at these places; the others are absent.
    pub fn commit_of(
        &self,
        set: &ValidatorSet,
        height: u64,
        block_id: BlockId,
        timestamp: Timestamp,
        voters: &BTreeSet<usize>,
    ) -> Commit {
        let entries = set
            .validators()
            .iter()
            .enumerate()
            .map(|(place, validator)| {
                if !voters.contains(&place) {
                    return CommitSig::Absent;
                }
                let mut vote = Vote {
                    vote_type: VoteType::Precommit,
                    height,
                    round: 0,
                    block_id,
                    timestamp,
                    validator_address: validator.address,
                    validator_index: place as u32,
                    signature: None,
                };
                let mut keys = self.keys.iter();
                let key = keys.find(|key| PublicKey(key.public_key()) == validator.public_key);
                vote.signature = Some(Signature(key.unwrap().sign(&vote.sign_bytes(CHAIN_ID))));
                CommitSig::of_vote(&vote, &block_id)
            });
        Commit {
            height,
            round: 0,
            block_id,
            signatures: entries.collect(),
        }
    }

    /// How a client reaches this chain at these servers, with a folder of its own.
    pub fn config(&self, endpoints: Vec<String>, folder: &std::path::Path) -> Config {
        let trust = Trust::Document(Box::new(self.genesis.clone()));
        let mut config = Config::new(endpoints, folder.join("chain"), trust);
        config.limits.request_timeout_ms = 5_000;
        config.light.wait_ms = 400;
        config
    }

    /// The header and commit of a height as `commit` answers.
    pub fn commit_answer(&self, height: u64) -> serde_json::Value {
        let produced = &self.blocks[&height];
        json!({
            "signed_header": { "header": produced.block.header, "commit": produced.commit },
            "canonical": height < self.height(),
        })
    }
}
