//! A chain with a toy application: the state is a hash over all transactions, and transactions can
//! change voting powers. What is tested is consensus; the real runtime has its own tests.

use std::collections::BTreeSet;
use welkin_consensus::machine::{Decided, Start, wants_proof};
use welkin_consensus::misbehaviour::verify_duplicate_vote;
use welkin_consensus::state::{ChainState, Executed, TxOutcome};
use welkin_consensus::types::{
    AppHash, Block, BlockId, Commit, ConsensusParams, DuplicateVoteEvidence, Evidence, PublicKey,
    Timestamp, ValidatorSet, ValidatorUpdate,
};

pub(crate) const CHAIN_ID: &str = "simulated";

/// First byte of a transaction that makes its block invalid.
pub(crate) const POISON: u8 = b'x';
/// First byte of a transaction that changes a power: then place, then power.
pub(crate) const POWER: u8 = b'p';
/// First byte of every other transaction.
pub(crate) const PLAIN: u8 = b't';

/// The committed blocks of a node and the state after them.
#[derive(Clone)]
pub(crate) struct Chain {
    pub(crate) state: ChainState,
    pub(crate) log: Vec<Stored>,
    keys: Vec<PublicKey>,
    punished: BTreeSet<Vec<u8>>,
}

/// A committed block.
#[derive(Clone)]
pub(crate) struct Stored {
    pub(crate) block: Block,
    pub(crate) commit: Commit,
    pub(crate) validators: ValidatorSet,
}

impl Chain {
    /// The chain before its first block. `powers` are those of `keys`.
    pub(crate) fn genesis(keys: &[PublicKey], powers: &[u64], time: Timestamp) -> Self {
        let member = |(key, power): (&PublicKey, &u64)| ValidatorUpdate {
            public_key: *key,
            power: *power,
        };
        let members: Vec<_> = keys.iter().zip(powers).map(member).collect();
        let validators = ValidatorSet::new(&members).expect("a genesis with validators");
        let mut next_validators = validators.clone();
        next_validators.increment_proposer_priority(1);
        let state = ChainState {
            chain_id: CHAIN_ID.to_owned(),
            initial_height: 1,
            last_height: 0,
            last_block_id: BlockId::NIL,
            last_block_time: time,
            last_validators: None,
            validators,
            next_validators,
            consensus_params: ConsensusParams::default(),
            app_hash: AppHash(vec![7; 32]),
            last_results_hash: welkin_consensus::state::results_hash(&[]),
        };
        Chain {
            state,
            log: Vec::new(),
            keys: keys.to_vec(),
            punished: BTreeSet::new(),
        }
    }

    pub(crate) fn height(&self) -> u64 {
        self.log.len() as u64
    }

    pub(crate) fn stored(&self, height: u64) -> Option<&Stored> {
        self.log.get(usize::try_from(height.checked_sub(1)?).ok()?)
    }

    /// What the next height starts from.
    pub(crate) fn start(&self) -> Start {
        let commit = self
            .log
            .last()
            .map(|stored| stored.commit.clone())
            .unwrap_or_default();
        let proof_wanted = self
            .log
            .last()
            .is_none_or(|last| wants_proof(&last.block, false));
        Start {
            proof_wanted,
            ..Start::after(&self.state, commit)
        }
    }

    /// Whether the block may follow, evidence and transactions included.
    pub(crate) fn validate(&self, block: &Block) -> Result<(), String> {
        self.state
            .validate_block(block)
            .map_err(|why| why.to_string())?;
        if block.data.txs.iter().any(|tx| tx.first() == Some(&POISON)) {
            return Err("a transaction is invalid".to_owned());
        }
        let mut seen = BTreeSet::new();
        for evidence in &block.evidence.0 {
            if !self.is_true(evidence) {
                return Err("evidence is not true, or not new".to_owned());
            }
            if !seen.insert(offence(evidence)) {
                return Err("evidence is there twice".to_owned());
            }
        }
        Ok(())
    }

    /// Whether the offence was not punished before.
    pub(crate) fn is_new(&self, evidence: &Evidence) -> bool {
        !self.punished.contains(&offence(evidence))
    }

    /// Whether the evidence is true and its offence was not punished before.
    fn is_true(&self, evidence: &Evidence) -> bool {
        let Evidence::DuplicateVote(duplicate) = evidence else {
            return false;
        };
        let Some(stored) = self.stored(duplicate.vote_a.height) else {
            return false;
        };
        duplicate.timestamp == stored.block.header.time
            && self.is_new(evidence)
            && verify_duplicate_vote(duplicate, CHAIN_ID, &stored.validators).is_ok()
    }

    /// Makes evidence of an offence at a height that is committed here.
    pub(crate) fn evidence(
        &self,
        found: &welkin_consensus::machine::Equivocation,
    ) -> Option<Evidence> {
        let stored = self.stored(found.vote_a.height)?;
        Some(Evidence::DuplicateVote(Box::new(DuplicateVoteEvidence {
            vote_a: found.vote_a.clone(),
            vote_b: found.vote_b.clone(),
            total_voting_power: found.total_voting_power,
            validator_power: found.validator_power,
            timestamp: stored.block.header.time,
        })))
    }

    /// Stores and executes a decided block.
    pub(crate) fn apply(&mut self, decided: &Decided) -> Result<(), String> {
        let block = &decided.block;
        let executed = self.execute(block);
        let next = self.state.apply(&block.header, decided.block_id, &executed);
        let validators = self.state.validators.clone();
        self.state = next.map_err(|why| why.to_string())?;
        self.punished.extend(block.evidence.0.iter().map(offence));
        self.log.push(Stored {
            block: Block::clone(block),
            commit: decided.commit.clone(),
            validators,
        });
        Ok(())
    }

    fn execute(&self, block: &Block) -> Executed {
        let mut hash = blake3::Hasher::new();
        hash.update(&self.state.app_hash.0);
        let mut updates = std::collections::BTreeMap::new();
        for tx in &block.data.txs {
            hash.update(&(tx.len() as u64).to_le_bytes()).update(tx);
            if let [POWER, place, power, ..] = tx.as_slice()
                && let Some(key) = self.keys.get(usize::from(*place))
            {
                updates.insert(*key, u64::from(*power).max(1));
            }
        }
        let updates = updates
            .into_iter()
            .map(|(public_key, power)| ValidatorUpdate { public_key, power });
        Executed {
            app_hash: AppHash(hash.finalize().as_bytes().to_vec()),
            results: vec![TxOutcome::default(); block.data.txs.len()],
            validator_updates: updates.collect(),
            consensus_params: None,
        }
    }
}

/// Who did what when, whichever two votes show it.
fn offence(evidence: &Evidence) -> Vec<u8> {
    match evidence {
        Evidence::DuplicateVote(duplicate) => {
            let vote = &duplicate.vote_a;
            let mut name = vote.validator_address.0.to_vec();
            name.extend(vote.height.to_be_bytes());
            name.extend(vote.round.to_be_bytes());
            name.push(u8::from(vote.vote_type));
            name
        }
        Evidence::LightClientAttack(_) => Vec::new(),
    }
}
