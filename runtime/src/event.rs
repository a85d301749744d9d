//! What happened, for those who watch.

use std::borrow::Cow;

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

/// An event of a module. [`crate::Runtime::event_to_json`] shows its content.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Event {
    /// The module that emitted it.
    pub module: Cow<'static, str>,
    /// The name of the variant in that module's `Event`, in snake case.
    pub name: Cow<'static, str>,
    /// The `Event` of that module, in borsh.
    pub data: Vec<u8>,
}

impl Event {
    /// `module.name`, the type of the event where Tendermint's tools see it.
    pub fn kind(&self) -> String {
        format!("{}.{}", self.module, self.name)
    }
}
