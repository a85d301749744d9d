//! Blocks to propose, and whether a proposed block may follow.

use super::{Ledger, LedgerError, Tip, record};
use crate::mempool::Verified;
use std::collections::BTreeSet;
use welkin_consensus::machine::{Transactions, ValueRequest};
use welkin_consensus::misbehaviour::{self, Known};
use welkin_consensus::types::{Block, Evidence, EvidenceList, SignedHeader};
use welkin_runtime::execute::{BlockCheck, ExecuteError};

impl Ledger {
    /// Whether the block may be the next one: header, last commit, evidence and transactions.
    pub fn validate(&self, block: &Block) -> Result<(), LedgerError> {
        let tip = self.tip();
        tip.chain.validate_block(block)?;
        let mut seen = BTreeSet::new();
        for evidence in &block.evidence.0 {
            if !seen.insert(evidence.hash()) {
                return Err(LedgerError::Refused(
                    "the block has the same evidence twice".into(),
                ));
            }
            self.check_evidence(&tip, evidence)?;
        }
        match self.check_transactions(&tip, &block.data.txs) {
            Ok(()) => Ok(()),
            Err(ExecuteError::State(why)) => Err(LedgerError::Execution {
                height: block.header.height,
                why: ExecuteError::State(why),
            }),
            Err(why) => Err(LedgerError::Refused(why.to_string())),
        }
    }

    /// Whether the evidence may stand in the next block.
    pub fn check_evidence(&self, tip: &Tip, evidence: &Evidence) -> Result<(), LedgerError> {
        let hash = evidence.hash();
        if self.recent.has_evidence(&hash) || record::has_evidence(&*self.store, &hash)? {
            return Err(LedgerError::Refused("the evidence was used before".into()));
        }
        let unknown =
            || LedgerError::Refused("the evidence is of a height that is not known here".into());
        let height = evidence.height();
        let block = self.block_in_log(height)?.ok_or_else(unknown)?;
        let validators = self.validators_in_log(height)?.ok_or_else(unknown)?;
        let common = SignedHeader {
            header: block.0.header,
            commit: block.1,
        };
        let of_attack = match evidence {
            Evidence::DuplicateVote(_) => None,
            Evidence::LightClientAttack(attack) => {
                let claimed = attack.conflicting_block.signed_header.header.height;
                self.block_in_log(claimed.min(tip.height()))?
            }
        };
        let trusted = of_attack.map_or_else(
            || common.clone(),
            |(block, commit)| SignedHeader {
                header: block.header,
                commit,
            },
        );
        let chain_tip = misbehaviour::Tip {
            chain_id: &tip.chain.chain_id,
            last_height: tip.chain.last_height,
            last_time: tip.chain.last_block_time,
            params: &tip.chain.consensus_params.evidence,
        };
        let known = Known {
            common: &common,
            validators: &validators,
            trusted: &trusted,
        };
        Ok(misbehaviour::verify_evidence(evidence, &chain_tip, &known)?)
    }

    /// The next block, with these transactions as far as it may hold them. `unfit` is told of each
    /// that it may not.
    pub fn build(
        &self,
        request: &ValueRequest,
        mut txs: Vec<Vec<u8>>,
        evidence: EvidenceList,
        mut unfit: impl FnMut(&[u8]),
    ) -> Result<Option<Block>, LedgerError> {
        let tip = self.tip();
        if request.height != tip.chain.next_height() {
            return Ok(None);
        }
        if request.transactions == Transactions::LeftOut {
            txs.clear();
        }
        while !txs.is_empty() {
            match self.check_transactions(&tip, &txs) {
                Ok(()) => break,
                Err(ExecuteError::InvalidTransaction { position, .. }) => {
                    unfit(&txs[position]);
                    // Those behind it may rest on it; they are still in the mempool.
                    txs.truncate(position);
                }
                Err(ExecuteError::State(why)) => {
                    return Err(LedgerError::Execution {
                        height: request.height,
                        why: ExecuteError::State(why),
                    });
                }
                Err(_) => txs.clear(),
            }
        }
        Ok(Some(tip.chain.make_block(
            txs,
            evidence,
            request.last_commit.clone(),
            request.proposer,
        )))
    }

    fn check_transactions(&self, tip: &Tip, txs: &[Vec<u8>]) -> Result<(), ExecuteError> {
        if txs.is_empty() {
            return Ok(());
        }
        let view = self.tree.view(tip.version()).map_err(|why| {
            ExecuteError::State(welkin_runtime::StateError::Broken(why.to_string()))
        })?;
        let verified: &Verified = &self.verified;
        let check = BlockCheck {
            chain: &self.info,
            height: tip.chain.next_height(),
            limits: tip.limits(),
            signatures: verified,
        };
        self.runtime.validate_block(&view, &check, txs)
    }
}
