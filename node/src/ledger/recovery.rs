//! Opening the ledger: whatever the store lost is made again from the block log.
//!
//! ```text
//!   store usable? ──yes──► its height                       ┐
//!        │ no: emptied                                      ├──► replay the log from there on,
//!        └──► newest snapshot that fits, else the genesis ──┘    each root against the next header
//! ```

use super::backing::Found;
use super::recent::Recent;
use super::snapshots::SnapshotPlan;
use super::writer::StoreWriter;
use super::{Backing, Decision, Ledger, LedgerError, Tip, record};
use crate::block_log::{BlockLog, BlockLogConfig};
use crate::disk::Disk;
use crate::mempool::Verified;
use crate::stop::Stop;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use welkin_consensus::machine::wants_proof;
use welkin_consensus::state::ChainState;
use welkin_consensus::types::{AppHash, Commit, Genesis};
use welkin_runtime::store::Store;
use welkin_runtime::tree::{Extent, StateTree, TreeConfig, TreeError};
use welkin_runtime::{ChainInfo, Runtime};

/// What a ledger is opened with.
pub struct OpenLedger {
    /// The file system of the block log.
    pub disk: Arc<dyn Disk>,
    /// Folder of the block log.
    pub blocks: PathBuf,
    /// Where state is kept.
    pub backing: Backing,
    /// Limits of the state tree.
    pub tree: TreeConfig,
    /// Snapshots, if any are to be written and used.
    pub snapshots: Option<SnapshotPlan>,
    /// The modules.
    pub runtime: Runtime,
    /// The genesis document.
    pub genesis: Arc<Genesis>,
    /// A fresh random number for new files of the log.
    pub salt: u64,
    /// Told when the store fails.
    pub stop: Stop,
}

/// State as the store has it.
pub(super) struct Stored {
    pub store: Arc<dyn Store>,
    pub tree: StateTree,
    pub chain: ChainState,
}

impl Ledger {
    /// Opens the ledger, and brings the state to the height of the block log.
    pub fn open(open: OpenLedger) -> Result<Ledger, LedgerError> {
        let info = ChainInfo {
            chain_id: open.genesis.chain_id.clone(),
            genesis_hash: open.genesis.hash()?,
        };
        open.runtime
            .check_table()
            .map_err(LedgerError::Inconsistent)?;
        let log_config = BlockLogConfig::new(info.genesis_hash.0, open.salt);
        let log = BlockLog::open(open.disk.clone(), &open.blocks, &log_config)?;
        let Stored { store, tree, chain } = open.state(&log)?;
        let (tree, recent) = (Arc::new(tree), Arc::new(Recent::default()));
        let writer = StoreWriter::start(
            store.clone(),
            tree.clone(),
            recent.clone(),
            open.stop.clone(),
        );
        let writer = writer
            .map_err(|why| LedgerError::Inconsistent(format!("cannot start a thread: {why}")))?;
        let ledger = Ledger {
            runtime: open.runtime,
            info,
            genesis: open.genesis,
            log,
            tree,
            store,
            writer,
            recent,
            verified: Arc::new(Verified::default()),
            tip: RwLock::new(Arc::new(Tip {
                chain,
                seen: Commit::default(),
                proof_wanted: false,
            })),
            events: Ledger::new_events(),
            snapshots: open.snapshots.map(Into::into),
            stop: open.stop,
        };
        ledger.recall_tip()?;
        ledger.replay()?;
        ledger.remake_results()?;
        Ok(ledger)
    }

    /// Completes the tip from the block log, after the store told the height.
    fn recall_tip(&self) -> Result<(), LedgerError> {
        let tip = self.tip();
        if tip.height() == 0 {
            return Ok(());
        }
        let height = tip.height();
        let missing =
            || LedgerError::Inconsistent(format!("block {height} is missing in the block log"));
        let (block, seen) = self.block_in_log(height)?.ok_or_else(missing)?;
        let tip = Tip {
            chain: tip.chain.clone(),
            seen,
            proof_wanted: wants_proof(&block, false),
        };
        *self
            .tip
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(tip);
        Ok(())
    }

    /// Executes the blocks that the store does not have yet.
    fn replay(&self) -> Result<(), LedgerError> {
        let newest = self.log.height();
        let first = self.tip().chain.next_height();
        if first <= newest {
            tracing::info!(
                target: "welkin::ledger",
                first,
                newest,
                "executing blocks of the log again"
            );
        }
        for height in first..=newest {
            let missing = || {
                LedgerError::Inconsistent(format!(
                    "block {height} is missing in the block log, and the state is older: run \
                 `welkind unsafe-reset` and let the node fetch the chain from its peers"
                ))
            };
            let stored = self.log.read(height)?.ok_or_else(missing)?;
            let decision = Decision::decode(stored.block, &stored.commit)?;
            let chain = &self.tip().chain;
            if decision.block.header.app_hash != chain.app_hash {
                return Err(mismatch(
                    height - 1,
                    &chain.app_hash,
                    &decision.block.header.app_hash,
                ));
            }
            let executed = self.execute(chain, &decision)?;
            self.check_results(&executed)?;
            self.publish(executed);
        }
        Ok(())
    }

    /// Compares results with those of the log; lost ones are written again.
    fn check_results(&self, executed: &super::Executed) -> Result<(), LedgerError> {
        let results = &executed.committed.results;
        let Some(known) = self.log.read_results(results.height)? else {
            return self.append_results(executed);
        };
        let own = borsh::to_vec(&**results).expect("writing to memory does not fail");
        if own == known {
            return Ok(());
        }
        let known: crate::api::BlockResults = borsh::from_slice(&known).map_err(|why| {
            LedgerError::Inconsistent(format!(
                "results of block {} are not readable: {why}",
                results.height
            ))
        })?;
        let (own, chain) = (AppHash(results.app_hash.clone()), AppHash(known.app_hash));
        if own == chain {
            // Messages of errors are not part of what nodes agree on, and another version may word
            // them differently.
            return Ok(());
        }
        Err(mismatch(results.height, &own, &chain))
    }

    /// Results are durable only with the block after them: the last ones may be gone while the
    /// store has their state.
    fn remake_results(&self) -> Result<(), LedgerError> {
        let newest = self.log.height();
        let oldest = self.tree.kept().map_or(newest, |kept| *kept.start());
        let mut height = newest;
        while height > oldest && height > 0 && self.log.read_results(height)?.is_none() {
            let Some((block, _)) = self.block_in_log(height)? else {
                break;
            };
            let voters = self.validators_in_log(height.saturating_sub(1))?;
            let output = self.run(voters.as_ref(), &block)?;
            let root = self.tree.root(height)?;
            let results = super::execute::results_of(
                height,
                output.tx_results,
                output.events,
                &output.validator_updates,
                root,
            );
            let bytes = borsh::to_vec(&results).expect("writing to memory does not fail");
            self.log.append_results(height, &bytes)?;
            height -= 1;
        }
        Ok(())
    }
}

pub(super) fn mismatch(height: u64, own: &AppHash, chain: &AppHash) -> LedgerError {
    LedgerError::AppHash {
        height,
        own: hex::encode_upper(&own.0),
        chain: hex::encode_upper(&chain.0),
    }
}

impl OpenLedger {
    /// The state that the store has, if it can be trusted; else a new one.
    fn state(&self, log: &BlockLog) -> Result<Stored, LedgerError> {
        let Found { store, extent } = self.backing.open()?;
        match self.usable(store.clone(), extent, log) {
            Ok(Some(stored)) => return Ok(stored),
            Ok(None) if log.height() == 0 && record::is_empty(&*store)? => {
                return self.begin(store);
            }
            Ok(None) => {
                tracing::warn!(
                    target: "welkin::ledger",
                    "the state does not belong to the block log, it is made again"
                );
            }
            Err(LedgerError::Tree(why)) => {
                tracing::warn!(target: "welkin::ledger", "the state is made again: {why}");
            }
            Err(why) => return Err(why),
        }
        store.close()?;
        drop(store);
        self.fresh(log)
    }

    /// Empties the store, and begins again: from a snapshot if one fits, else from the genesis.
    fn fresh(&self, log: &BlockLog) -> Result<Stored, LedgerError> {
        match self.restore(log)? {
            Some(stored) => Ok(stored),
            None => self.begin(self.backing.open_empty()?),
        }
    }

    /// What the store has, if it is whole and fits the block log.
    fn usable(
        &self,
        store: Arc<dyn Store>,
        extent: Extent,
        log: &BlockLog,
    ) -> Result<Option<Stored>, LedgerError> {
        let Some(chain) = record::read_chain(&*store)? else {
            return Ok(None);
        };
        let tree = StateTree::open(store.clone(), self.tree.clone())?;
        let version = chain.next_height() - 1;
        let root = match tree.root(version) {
            Ok(root) => root,
            Err(TreeError::UnknownVersion(_)) => return Ok(None),
            Err(why) => return Err(why.into()),
        };
        let whole = tree.newest() == Some(version)
            && store.height() == Some(version)
            && chain.app_hash.0 == root.0
            && chain.last_height <= log.height();
        if !whole || !self.belongs(&chain, log)? {
            return Ok(None);
        }
        tree.verify(version, extent)?;
        Ok(Some(Stored { store, tree, chain }))
    }

    /// Whether the log has the block after which this state is.
    pub(super) fn belongs(&self, chain: &ChainState, log: &BlockLog) -> Result<bool, LedgerError> {
        if chain.chain_id != self.genesis.chain_id {
            return Ok(false);
        }
        if chain.last_height == 0 {
            return Ok(true);
        }
        let Some(stored) = log.read(chain.last_height)? else {
            return Ok(false);
        };
        let decision = Decision::decode(stored.block, &stored.commit)?;
        Ok(decision.block_id == chain.last_block_id)
    }

    /// The state of the genesis.
    fn begin(&self, store: Arc<dyn Store>) -> Result<Stored, LedgerError> {
        let time = self.genesis.genesis_time.to_runtime();
        let time =
            time.ok_or_else(|| LedgerError::Genesis("genesis_time is before 1970".into()))?;
        let output = self.runtime.genesis(&self.genesis.app_state, time);
        let output = output.map_err(|why| LedgerError::Genesis(why.to_string()))?;
        let tree = StateTree::open(store.clone(), self.tree.clone())?;
        let version = self.genesis.initial_height - 1;
        let (root, mut batch) = tree.commit(version, &output.writes)?;
        let chain = ChainState::from_genesis(&self.genesis, AppHash(root.0.to_vec()));
        let chain = chain.map_err(|why| LedgerError::Genesis(why.to_string()))?;
        record::put_chain(&mut batch, &chain);
        store.commit(batch, version)?;
        store.sync()?;
        tree.applied(version);
        Ok(Stored { store, tree, chain })
    }
}

/// What every start looks at, and what one after an unclean stop does.
pub(super) fn extent(clean: bool) -> Extent {
    if clean {
        Extent::OneIn {
            buckets: 256,
            first: rand::random::<u64>() % 256,
        }
    } else {
        Extent::Full
    }
}
