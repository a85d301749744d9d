//! Between JSON, as people write it, and borsh, as it travels.

use serde_json::{Value, json};

use super::Runtime;
use crate::error::{Coded, Result};
use crate::event::Event;
use crate::module::Module;
use crate::tx::RawCall;

impl Runtime {
    /// A call from JSON, for example `{"transfer": {"to": "welkin1...", "amount": "5"}}`.
    pub fn call_from_json(&self, module: &str, call: &Value) -> Result<RawCall> {
        let entry = self.named(module)?;
        Ok(RawCall {
            module: entry.number,
            bytes: (entry.call_json.read)(call)?,
        })
    }

    /// A call of module `M`. The module must be in the table.
    pub fn call_of<M: Module>(&self, call: &M::Call) -> Result<RawCall> {
        let entry = self.named(M::NAME)?;
        let bytes = borsh::to_vec(call)
            .map_err(|error| crate::RuntimeError::MalformedCall.because(error))?;
        Ok(RawCall {
            module: entry.number,
            bytes,
        })
    }

    /// A call as JSON: `{"module": "...", "call": {...}}`.
    pub fn call_to_json(&self, call: &RawCall) -> Result<Value> {
        let entry = self
            .entry(call.module)
            .ok_or_else(|| crate::RuntimeError::UnknownModule.because(call.module))?;
        Ok(json!({ "module": entry.name, "call": (entry.call_json.write)(&call.bytes)? }))
    }

    /// A query from JSON, in borsh.
    pub fn query_from_json(&self, module: &str, query: &Value) -> Result<Vec<u8>> {
        (self.named(module)?.query_json.read)(query)
    }

    /// An answer in borsh, as JSON.
    pub fn answer_to_json(&self, module: &str, answer: &[u8]) -> Result<Value> {
        (self.named(module)?.answer_json.write)(answer)
    }

    /// The content of an event as JSON: the fields of its variant.
    pub fn event_to_json(&self, event: &Event) -> Result<Value> {
        let value = (self.named(&event.module)?.event_json.write)(&event.data)?;
        Ok(match value {
            Value::Object(mut tagged) => tagged.remove(event.name.as_ref()).unwrap_or(Value::Null),
            _ => Value::Object(serde_json::Map::new()),
        })
    }
}
