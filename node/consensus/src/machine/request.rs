//! What the signer needs to know of a request. Whether it may sign is for
//! [`crate::files::SignState`] to say: the last line of defence, for with an intact WAL the machine
//! never asks for two different signatures.

use super::effect::SignRequest;
use super::input::Signed;
use crate::files::{Decision, Refusal, SignState, Step};
use crate::types::{Proposal, Signature, Timestamp, Vote};

impl SignRequest {
    /// Height, round and step (1 proposal, 2 prevote, 3 precommit).
    pub fn place(&self) -> (u64, u32, u8) {
        match self {
            SignRequest::Proposal(proposal) => (proposal.height, proposal.round, 1),
            SignRequest::Vote(vote) => (vote.height, vote.round, self.step().into()),
        }
    }

    /// The step, as the signer's state has it.
    pub fn step(&self) -> Step {
        match self {
            SignRequest::Proposal(_) => Step::Propose,
            SignRequest::Vote(vote) => vote.vote_type.into(),
        }
    }

    /// The bytes to sign.
    pub fn sign_bytes(&self, chain_id: &str) -> Vec<u8> {
        match self {
            SignRequest::Proposal(proposal) => proposal.sign_bytes(chain_id),
            SignRequest::Vote(vote) => vote.sign_bytes(chain_id),
        }
    }

    /// Whether a signer in this state may sign it.
    pub fn decide(&self, state: &SignState, chain_id: &str) -> Result<Decision, Refusal> {
        let (height, round, _) = self.place();
        state.decide(height, round, self.step(), &self.sign_bytes(chain_id))
    }

    /// The signer's state once it is signed.
    pub fn state_after(&self, chain_id: &str, signature: Signature) -> SignState {
        let (height, round, _) = self.place();
        SignState::signed(
            height,
            round,
            self.step(),
            self.sign_bytes(chain_id),
            signature,
        )
    }

    /// The same with a signature.
    pub fn signed(&self, signature: Signature) -> Signed {
        let signature = Some(signature);
        match self.clone() {
            SignRequest::Proposal(proposal) => Signed::Proposal(Proposal {
                signature,
                ..proposal
            }),
            SignRequest::Vote(vote) => Signed::Vote(Vote { signature, ..vote }),
        }
    }

    /// The same at the time of an earlier signature, with that signature.
    pub fn signed_before(&self, signature: Signature, timestamp: Timestamp) -> Signed {
        let earlier = match self.clone() {
            SignRequest::Proposal(proposal) => SignRequest::Proposal(Proposal {
                timestamp,
                ..proposal
            }),
            SignRequest::Vote(vote) => SignRequest::Vote(Vote { timestamp, ..vote }),
        };
        earlier.signed(signature)
    }
}
