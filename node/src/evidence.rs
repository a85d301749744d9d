//! Proof that validators voted twice, until it stands in a block.
//!
//! ```text
//!   machine: two votes ──► waits for the height's block ──► pending ──► proposal, gossip
//!   gossip ────────────────────────────► checked ─────────┘
//! ```

use crate::ledger::{Ledger, LedgerError, Tip};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use welkin_consensus::machine::Equivocation;
use welkin_consensus::types::{Block, DuplicateVoteEvidence, Evidence, EvidenceList, Message};

/// Most pieces of evidence that wait.
const PENDING: usize = 256;

/// Evidence that waits for a block.
#[derive(Default)]
pub struct EvidencePool {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Votes whose height has no block yet, so that the time is not known.
    unfinished: Vec<Equivocation>,
    pending: BTreeMap<[u8; 32], Evidence>,
}

impl EvidencePool {
    /// Takes two votes that the machine saw.
    pub fn equivocation(&self, equivocation: Equivocation) {
        let mut state = self.state();
        if state.unfinished.len() < PENDING {
            state.unfinished.push(equivocation);
        }
    }

    /// Takes evidence of a peer; whether it is new. An error means that it does not hold here, or not yet.
    pub fn offered(&self, ledger: &Ledger, evidence: Evidence) -> Result<bool, LedgerError> {
        let hash = evidence.hash();
        if self.state().pending.contains_key(&hash) {
            return Ok(false);
        }
        ledger.check_evidence(&ledger.tip(), &evidence)?;
        Ok(self.add(hash, evidence))
    }

    /// Finishes what could not be finished before; returns what is new, for gossip.
    pub fn finish(&self, ledger: &Ledger) -> Vec<Evidence> {
        let newest = ledger.tip().height();
        let ready: Vec<Equivocation> = {
            let mut state = self.state();
            let (ready, later) = std::mem::take(&mut state.unfinished)
                .into_iter()
                .partition(|equivocation| equivocation.vote_a.height <= newest);
            state.unfinished = later;
            ready
        };
        let mut finished = Vec::new();
        for equivocation in ready {
            let Ok(block) = ledger.block(equivocation.vote_a.height) else {
                continue;
            };
            let evidence = Evidence::DuplicateVote(Box::new(DuplicateVoteEvidence {
                vote_a: equivocation.vote_a,
                vote_b: equivocation.vote_b,
                total_voting_power: equivocation.total_voting_power,
                validator_power: equivocation.validator_power,
                timestamp: block.block.header.time,
            }));
            let hash = evidence.hash();
            if ledger.check_evidence(&ledger.tip(), &evidence).is_ok()
                && self.add(hash, evidence.clone())
            {
                finished.push(evidence);
            }
        }
        finished
    }

    /// Evidence for the next block, within the chain's limit.
    pub fn for_block(&self, ledger: &Ledger, tip: &Tip) -> EvidenceList {
        let limit = usize::try_from(tip.chain.consensus_params.evidence.max_bytes).unwrap_or(0);
        let waiting: Vec<Evidence> = self.state().pending.values().cloned().collect();
        let (mut chosen, mut bytes) = (Vec::new(), 0);
        for evidence in waiting {
            if ledger.check_evidence(tip, &evidence).is_err() {
                self.state().pending.remove(&evidence.hash());
                continue;
            }
            // A tag and two lengths.
            bytes += evidence.encode().len() + 16;
            if bytes > limit {
                break;
            }
            chosen.push(evidence);
        }
        EvidenceList(chosen)
    }

    /// Forgets what stands in a block.
    pub fn committed(&self, block: &Block) {
        let mut state = self.state();
        for evidence in &block.evidence.0 {
            state.pending.remove(&evidence.hash());
        }
    }

    /// Whether evidence waits for a block.
    pub fn has_pending(&self) -> bool {
        !self.state().pending.is_empty()
    }

    fn add(&self, hash: [u8; 32], evidence: Evidence) -> bool {
        let mut state = self.state();
        state.pending.len() < PENDING && state.pending.insert(hash, evidence).is_none()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock panics half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
