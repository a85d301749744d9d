//! What was signed last, and whether something else may be signed (CometBFT v0.38
//! `privval/file.go`, `spec/consensus/signing.md`).
//!
//! The shell keeps this durable and asks it before every signature. It is the last line of
//! defence: with an intact WAL the machine never asks for two different signatures anyway.

use super::effect::SignRequest;
use super::input::Signed;
use crate::error::DecodeError;
use crate::proto::Reader;
use crate::types::{Proposal, Signature, Timestamp, Vote, VoteType};

/// The last signature of a validator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignState {
    /// Height.
    pub height: u64,
    /// Round.
    pub round: u32,
    /// 1 proposal, 2 prevote, 3 precommit; 0 if nothing was signed.
    pub step: u8,
    /// The bytes that were signed.
    pub sign_bytes: Vec<u8>,
    /// The signature.
    pub signature: Option<Signature>,
}

/// Whether something may be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permit {
    /// It may: sign these bytes, and make [`SignState::after`] durable before the signature
    /// leaves.
    Fresh(Vec<u8>),
    /// It was signed before, perhaps with another time: here it is, with that time.
    Again(Signed),
    /// It must not be signed.
    Refused(Conflict),
}

/// Why something must not be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// Something later was signed.
    #[error("something later was signed before")]
    Past,
    /// Something else was signed at the same height, round and step.
    #[error("something else was signed before at this height, round and step")]
    Different,
}

impl SignState {
    /// Whether this may be signed after what was signed last.
    pub fn check(&self, request: &SignRequest, chain_id: &str) -> Permit {
        let wanted = request.place();
        let last = (self.height, self.round, self.step);
        if wanted < last {
            return Permit::Refused(Conflict::Past);
        }
        let Some(signature) = self.signature.filter(|_| wanted == last) else {
            return Permit::Fresh(request.sign_bytes(chain_id));
        };
        // The time is the only thing in which two requests of a correct machine may differ: it
        // reads the clock again after a crash.
        match signed_time(&self.sign_bytes, self.step) {
            Ok(time) if request.at(time).sign_bytes(chain_id) == self.sign_bytes => {
                Permit::Again(request.at(time).signed(signature))
            }
            _ => Permit::Refused(Conflict::Different),
        }
    }

    /// The state once `request` is signed.
    pub fn after(request: &SignRequest, sign_bytes: Vec<u8>, signature: Signature) -> Self {
        let (height, round, step) = request.place();
        SignState {
            height,
            round,
            step,
            sign_bytes,
            signature: Some(signature),
        }
    }
}

impl SignRequest {
    /// Height, round and step (1 proposal, 2 prevote, 3 precommit).
    pub fn place(&self) -> (u64, u32, u8) {
        match self {
            SignRequest::Proposal(proposal) => (proposal.height, proposal.round, 1),
            SignRequest::Vote(vote) => match vote.vote_type {
                VoteType::Prevote => (vote.height, vote.round, 2),
                VoteType::Precommit => (vote.height, vote.round, 3),
            },
        }
    }

    /// The bytes to sign.
    pub fn sign_bytes(&self, chain_id: &str) -> Vec<u8> {
        match self {
            SignRequest::Proposal(proposal) => proposal.sign_bytes(chain_id),
            SignRequest::Vote(vote) => vote.sign_bytes(chain_id),
        }
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

    /// The same at another time.
    fn at(&self, timestamp: Timestamp) -> SignRequest {
        match self.clone() {
            SignRequest::Proposal(proposal) => SignRequest::Proposal(Proposal {
                timestamp,
                ..proposal
            }),
            SignRequest::Vote(vote) => SignRequest::Vote(Vote { timestamp, ..vote }),
        }
    }
}

/// The time within sign bytes: field 6 of `CanonicalProposal`, field 5 of `CanonicalVote`.
fn signed_time(sign_bytes: &[u8], step: u8) -> Result<Timestamp, DecodeError> {
    let time_field = if step == 1 { 6 } else { 5 };
    let length_bytes = sign_bytes.iter().take_while(|byte| **byte >= 0x80).count() + 1;
    let message = sign_bytes
        .get(length_bytes..)
        .ok_or(DecodeError::Truncated)?;
    let mut reader = Reader::new("Canonical", message);
    while let Some((field, value)) = reader.next_field()? {
        if field == time_field {
            return value.message();
        }
    }
    Err(DecodeError::Missing("a time"))
}
