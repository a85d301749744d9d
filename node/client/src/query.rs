//! Answers that are proven: the proof shows the state that the question reads, and the question is
//! answered again over that state, here.

use welkin_modules::RUNTIME;
use welkin_runtime::execute::ExecuteError;
use welkin_runtime::tree::Proof;
use welkin_runtime::{Module, StateRead, Time};

use crate::error::ClientError;
use crate::light::VerifiedHeader;
use crate::rpc::types::QueryAnswer;

/// An answer about the state after a height, tied to the header of the next height.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proven<T> {
    /// The answer.
    pub answer: T,
    /// The state is the one after this block.
    pub height: u64,
    /// The time of this block.
    pub time: Time,
}

impl<T> Proven<T> {
    /// The same, with another value worked out from the answer.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Proven<U> {
        Proven {
            answer: change(self.answer),
            height: self.height,
            time: self.time,
        }
    }
}

/// A question to a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The module.
    pub module: String,
    /// Its `Query`, in borsh.
    pub query: Vec<u8>,
}

impl Question {
    /// A question to module `M`.
    pub fn of<M: Module>(query: &M::Query) -> Question {
        Question {
            module: M::NAME.to_owned(),
            query: borsh::to_vec(query).expect("a query has only parts that have a form"),
        }
    }

    /// A question in JSON, as people write it.
    ///
    /// # Errors
    /// [`ClientError::Usage`] when there is no such module or the JSON is no query of it.
    pub fn from_json(module: &str, query: &serde_json::Value) -> Result<Question, ClientError> {
        let query = RUNTIME.query_from_json(module, query);
        let query = query.map_err(|error| ClientError::Usage(error.to_string()))?;
        Ok(Question {
            module: module.to_owned(),
            query,
        })
    }

    /// The path under which servers answer it.
    pub fn path(&self) -> String {
        format!("/query/{}", self.module)
    }
}

/// Checks a server's answer against the header that follows the state's height, and returns the
/// answer that was worked out here.
///
/// # Errors
/// [`ClientError::Verification`] when the proof does not show what is needed, or something else.
pub fn verify_answer(
    question: &Question,
    answer: &QueryAnswer,
    header: &VerifiedHeader,
    by: &str,
) -> Result<Proven<Vec<u8>>, ClientError> {
    let path = question.path();
    let lie = |proven: String| ClientError::lie(by, format!("an answer to {path}"), proven);
    if answer.height.checked_add(1) != Some(header.height()) {
        return Err(lie(format!("it is of height {}", answer.height)));
    }
    let root = header
        .app_hash()
        .ok_or_else(|| lie("the header's app hash is no root of a state tree".to_owned()))?;
    let witness = answer
        .witness()
        .ok_or_else(|| lie("there is no witness with it".to_owned()))?;
    let state = Proof::decode(witness)
        .and_then(|proof| proof.verify(&root))
        .map_err(|error| lie(format!("its witness proves nothing: {error}")))?;
    let value = match RUNTIME.query(&state, &question.module, &question.query) {
        Ok(value) => value,
        Err(ExecuteError::State(error)) => {
            return Err(lie(format!("its witness is not complete: {error}")));
        }
        Err(error) => return Err(lie(format!("the state gives no answer: {error}"))),
    };
    if value != answer.value {
        return Err(lie("the state gives another answer".to_owned()));
    }
    let block = last_block(&state).map_err(|error| lie(error.to_string()))?;
    // The genesis state alone has height 0, whatever the height of the first block.
    if block.0 != answer.height && block.0 != 0 {
        let (proven, claimed) = (block.0, answer.height);
        return Err(lie(format!(
            "the state is of height {proven}, not {claimed}"
        )));
    }
    Ok(Proven {
        answer: value,
        height: answer.height,
        time: block.1,
    })
}

fn last_block(state: &dyn StateRead) -> Result<(u64, Time), ExecuteError> {
    RUNTIME.read(state, |ctx| Ok((ctx.height(), ctx.time())))
}

/// The answer of module `M` in these bytes, which were worked out here.
pub(crate) fn decode<M: Module>(bytes: &[u8]) -> M::Answer {
    borsh::from_slice(bytes).expect("the runtime wrote these bytes a moment ago")
}
