//! Questions about the state, with witnesses.

use super::Ledger;
use crate::api::{Answer, ApiError, Query, QueryKind, StateHeights};
use welkin_runtime::execute::ExecuteError;
use welkin_runtime::tree::TreeError;
use welkin_runtime::{Recorder, StateRead};

impl Ledger {
    /// Up to which height the state can be read.
    pub fn state_heights(&self) -> StateHeights {
        let newest = self.tip().version();
        let oldest = self.tree.kept().map_or(newest, |kept| *kept.start());
        // The root after height H stands in the header of H + 1.
        StateHeights {
            oldest,
            provable: newest.saturating_sub(1).max(oldest),
            newest,
        }
    }

    /// Answers a question about the state.
    pub fn query(&self, query: &Query) -> Result<Answer, ApiError> {
        let heights = self.state_heights();
        let height = if query.height == 0 {
            heights.provable
        } else {
            query.height
        };
        if height > heights.newest {
            return Err(ApiError::Future {
                asked: height,
                newest: heights.newest,
            });
        }
        let not_kept = |why| match why {
            TreeError::UnknownVersion(_) => ApiError::Pruned {
                asked: height,
                oldest: heights.oldest,
            },
            why => ApiError::Failed(why.to_string()),
        };
        let view = self.tree.view(height).map_err(not_kept)?;
        let recorder = Recorder::new(&view);
        let value = match &query.what {
            QueryKind::Module { module, query } => self
                .runtime
                .query(&recorder, module, query)
                .map_err(refused)?,
            QueryKind::Key(key) => {
                let value = recorder
                    .get(key)
                    .map_err(|why| ApiError::Failed(why.to_string()))?;
                value.unwrap_or_default()
            }
        };
        let proof = if query.prove {
            let proof = self
                .tree
                .prove(height, &recorder.into_reads())
                .map_err(not_kept)?;
            Some(proof.encode())
        } else {
            None
        };
        Ok(Answer {
            height,
            value,
            proof,
        })
    }
}

fn refused(why: ExecuteError) -> ApiError {
    match why {
        ExecuteError::Refused(error) => ApiError::Refused {
            code: error.code,
            codespace: error.module,
            log: error.message,
        },
        why => ApiError::Failed(why.to_string()),
    }
}
