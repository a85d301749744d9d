//! The first state.

use serde_json::Value;

use super::{ExecuteError, GenesisOutput, LAST_BLOCK, LastBlock, Runtime};
use crate::ctx::{BlockInfo, Ctx};
use crate::error::{Coded, RuntimeError};
use crate::state::MapState;
use crate::types::Time;

impl Runtime {
    /// Makes the first state from `app_state` of the genesis file: an object with a key for each
    /// module. A module without a key gets `{}`; a key without a module is an error.
    ///
    /// The state has the height 0 and the genesis time.
    pub fn genesis(&self, app_state: &Value, time: Time) -> Result<GenesisOutput, ExecuteError> {
        let empty = serde_json::Map::new();
        let sections = match app_state {
            Value::Object(sections) => sections,
            Value::Null => &empty,
            _ => return Err(bad_genesis("app_state is not an object")),
        };
        if let Some(name) = sections
            .keys()
            .find(|name| self.entry_named(name).is_none())
        {
            return Err(bad_genesis(format!(
                "app_state.{name}: there is no such module"
            )));
        }
        let nothing = MapState::default();
        let listed = self.listed();
        let block = BlockInfo {
            height: 0,
            time,
            ..BlockInfo::default()
        };
        let mut ctx = Ctx::new(&nothing, &block, &listed);
        let absent = Value::Object(empty.clone());
        for entry in self.entries {
            (entry.genesis)(&mut ctx, sections.get(entry.name).unwrap_or(&absent))?;
        }
        LAST_BLOCK.set(&mut ctx, &LastBlock { height: 0, time })?;
        self.check_invariants(&ctx)?;
        let done = ctx.finish();
        Ok(GenesisOutput {
            writes: done.writes,
            validator_updates: done.validator_updates,
            events: done.events,
        })
    }
}

fn bad_genesis(detail: impl std::fmt::Display) -> ExecuteError {
    ExecuteError::Refused(RuntimeError::MalformedCall.because(detail))
}
