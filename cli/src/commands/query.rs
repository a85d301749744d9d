//! `welkin query MODULE QUERY`: the answer is proven against a header that the validators signed.

use serde::Serialize;
use serde_json::Value;

use super::dynamic::{Kind, Typed, read};
use crate::context::Context;
use crate::failure::Outcome;

#[derive(Serialize)]
struct Answered {
    height: u64,
    answer: Value,
}

/// Asks a question.
pub async fn run(context: &Context, words: &[String]) -> Outcome {
    let (module, value) = match read(Kind::Query, words)? {
        Typed::Ask { module, value } => (module, value),
        Typed::Help(text) => return context.format.print(&text, String::clone),
    };
    let proven = context
        .chain()
        .await?
        .query_json(&module, &value, None)
        .await?;
    // An answer is tagged with its query's name, which was just typed.
    let answer = match proven.answer {
        Value::Object(tagged) if tagged.len() == 1 => tagged
            .into_iter()
            .next()
            .map_or(Value::Null, |(_, inner)| inner),
        other => other,
    };
    let answered = Answered {
        height: proven.height,
        answer,
    };
    context.format.print(&answered, |answered| {
        format!(
            "{:#}\nproven at height {}",
            answered.answer, answered.height
        )
    })
}
