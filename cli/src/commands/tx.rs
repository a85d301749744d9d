//! `welkin tx MODULE CALL`.

use serde::Serialize;
use serde_json::Value;
use welkin_client::call_from_json;
use welkin_modules::RUNTIME;

use super::dynamic::{Kind, Typed, read};
use crate::context::Context;
use crate::failure::Outcome;
use crate::output::pairs;
use crate::sending::send;

#[derive(Serialize)]
struct Sent {
    transaction: String,
    height: u64,
    fee_uwlk: String,
    gas_used: u64,
    events: Vec<Value>,
}

/// Sends a call.
pub async fn run(context: &Context, words: &[String]) -> Outcome {
    let (module, value) = match read(Kind::Call, words)? {
        Typed::Ask { module, value } => (module, value),
        Typed::Help(text) => return context.format.print(&text, String::clone),
    };
    let call = call_from_json(&module, &value)?;
    let key = context.key()?;
    let chain = context.chain().await?;
    let address = key.address();
    let look =
        format!("`welkin query accounts account --address {address}` shows a larger sequence then");
    let receipt = send(&chain, &key, vec![call], None, &look).await?;
    let events = receipt.events.iter().map(|event| {
        let content = RUNTIME.event_to_json(event).unwrap_or(Value::Null);
        serde_json::json!({ "type": event.kind(), "content": content })
    });
    let sent = Sent {
        transaction: receipt.id.to_string(),
        height: receipt.height,
        fee_uwlk: receipt.fee.to_string(),
        gas_used: receipt.gas_used,
        events: events.collect(),
    };
    context.format.print(&sent, |sent| {
        let mut text = pairs(&[
            ("transaction", sent.transaction.clone()),
            ("height", sent.height.to_string()),
            ("fee", format!("{} uwlk", sent.fee_uwlk)),
            ("gas used", sent.gas_used.to_string()),
        ]);
        for event in &sent.events {
            text.push_str(&format!("{event}\n"));
        }
        text
    })
}
