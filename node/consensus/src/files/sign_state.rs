//! What a validator signed last, and what it may sign next (CometBFT v0.38 `privval/file.go`).

use super::{parse, print};
use crate::error::{DecodeError, Invalid, ensure};
use crate::json;
use crate::proto::{Reader, Value};
use crate::types::{Message, Signature, Timestamp, VoteType};
use serde::{Deserialize, Serialize};

/// The order of signatures within a round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[derive(Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub enum Step {
    /// Nothing signed yet.
    #[default]
    None,
    /// The proposal.
    Propose,
    /// The prevote.
    Prevote,
    /// The precommit.
    Precommit,
}

/// `priv_validator_state.json`: the last thing that a validator signed. It must be durable before
/// the signature leaves the process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignState {
    /// Height.
    #[serde(with = "json::natural")]
    pub height: u64,
    /// Round.
    pub round: u32,
    /// Step.
    pub step: Step,
    /// The signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
    /// The bytes that were signed.
    #[serde(
        default,
        rename = "signbytes",
        with = "json::upper_hex",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub sign_bytes: Vec<u8>,
}

/// What to do with a request to sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Sign. First make [`SignState::signed`] durable.
    Sign,
    /// The same was signed before, perhaps with another time: use that signature and that time.
    Reuse {
        /// The signature that was made.
        signature: Signature,
        /// The time in it.
        timestamp: Timestamp,
    },
}

/// Why nothing is signed. To sign here could be a double-sign, which is punished.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Something later was signed already.
    #[error("height {height}, round {round}, {step:?} was already passed")]
    Regression {
        /// Height that was signed last.
        height: u64,
        /// Round that was signed last.
        round: u32,
        /// Step that was signed last.
        step: Step,
    },
    /// Something else was signed for the same height, round and step.
    #[error("something else was already signed for the same height, round and step")]
    Conflict,
    /// The state says that something was signed here, but not what.
    #[error("priv_validator_state.json lacks the signature for its height, round and step")]
    Incomplete,
}

impl SignState {
    /// Reads the file's text.
    pub fn from_json(text: &str) -> Result<Self, Invalid> {
        let state: SignState = parse(text)?;
        let both = state.signature.is_some() != state.sign_bytes.is_empty();
        ensure(
            both,
            "signature and signbytes must be there together, or neither",
        )?;
        Ok(state)
    }

    /// The file's text.
    pub fn to_json(&self) -> String {
        print(self)
    }

    /// Whether these bytes may be signed for this height, round and step.
    pub fn decide(
        &self,
        height: u64,
        round: u32,
        step: Step,
        sign_bytes: &[u8],
    ) -> Result<Decision, Refusal> {
        let last = (self.height, self.round, self.step);
        let asked = (height, round, step);
        if asked > last {
            return Ok(Decision::Sign);
        }
        if asked < last {
            let SignState {
                height,
                round,
                step,
                ..
            } = *self;
            return Err(Refusal::Regression {
                height,
                round,
                step,
            });
        }
        let signature = self.signature.ok_or(Refusal::Incomplete)?;
        let before = without_time(step, &self.sign_bytes).map_err(|_| Refusal::Incomplete)?;
        let now = without_time(step, sign_bytes).map_err(|_| Refusal::Conflict)?;
        if before.rest != now.rest {
            return Err(Refusal::Conflict);
        }
        Ok(Decision::Reuse {
            signature,
            timestamp: before.timestamp,
        })
    }

    /// The state after a signature.
    pub fn signed(
        height: u64,
        round: u32,
        step: Step,
        sign_bytes: Vec<u8>,
        signature: Signature,
    ) -> Self {
        SignState {
            height,
            round,
            step,
            signature: Some(signature),
            sign_bytes,
        }
    }
}

impl From<VoteType> for Step {
    fn from(vote_type: VoteType) -> Step {
        match vote_type {
            VoteType::Prevote => Step::Prevote,
            VoteType::Precommit => Step::Precommit,
        }
    }
}

impl From<Step> for u8 {
    fn from(step: Step) -> u8 {
        match step {
            Step::None => 0,
            Step::Propose => 1,
            Step::Prevote => 2,
            Step::Precommit => 3,
        }
    }
}

impl TryFrom<u8> for Step {
    type Error = Invalid;

    fn try_from(number: u8) -> Result<Self, Invalid> {
        match number {
            0 => Ok(Step::None),
            1 => Ok(Step::Propose),
            2 => Ok(Step::Prevote),
            3 => Ok(Step::Precommit),
            _ => Err(Invalid::new("a step is not between 0 and 3")),
        }
    }
}

/// Sign bytes taken apart.
struct Signed<'a> {
    timestamp: Timestamp,
    rest: Vec<(u32, Value<'a>)>,
}

/// Splits canonical sign bytes into the time and everything else.
fn without_time(step: Step, sign_bytes: &[u8]) -> Result<Signed<'_>, DecodeError> {
    let time_field = if step == Step::Propose { 6 } else { 5 };
    let mut reader = Reader::delimited("sign bytes", sign_bytes)?;
    let (mut timestamp, mut rest) = (None, Vec::new());
    while let Some((field, value)) = reader.next_field()? {
        if field == time_field {
            timestamp = Some(Timestamp::read(value.bytes()?)?);
        } else {
            rest.push((field, value));
        }
    }
    let timestamp = timestamp.ok_or(DecodeError::Missing("a timestamp"))?;
    Ok(Signed { timestamp, rest })
}
