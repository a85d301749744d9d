//! What the fields of calls and queries take, in words, and which of them is at fault where one is refused. All of it
//! follows from the runtime's metadata.

use serde_json::{Map, Value, json};
use welkin_modules::RUNTIME;
use welkin_runtime::metadata::{Field, ModuleMetadata, Variant};

use super::dynamic::{Kind, dashed};
use crate::failure::{Failure, Outcome};

/// Checks the fields of a call or query as the chain would read them.
///
/// # Errors
/// One is missing or does not fit: which, why, and what it takes.
pub fn check(
    kind: Kind,
    module: &ModuleMetadata,
    variant: &Variant,
    fields: &Map<String, Value>,
) -> Outcome {
    let missing = variant.fields.iter().find(|field| {
        let is_given = fields.contains_key(&field.name);
        field.required && !is_given
    });
    if let Some(field) = missing {
        let flag = dashed(&field.name);
        let text = format!("--{flag} is missing; it takes {}", words(module, field));
        return Err(Failure::usage(text));
    }
    let Err(why) = read(kind, module, variant, fields) else {
        return Ok(());
    };
    // Alone, the field at fault is refused for the same reason; others only miss what they came with.
    let is_at_fault = |field: &&Field| {
        let alone = fields.get_key_value(&field.name).map(|(name, value)| {
            let alone = Map::from_iter([(name.clone(), value.clone())]);
            read(kind, module, variant, &alone)
        });
        alone.is_some_and(|answer| answer.as_ref().err() == Some(&why))
    };
    Err(Failure::usage(
        match variant.fields.iter().find(is_at_fault) {
            Some(field) => format!(
                "--{}: {why}; it takes {}",
                dashed(&field.name),
                words(module, field)
            ),
            None => why,
        },
    ))
}

/// Whether the chain could read it, or why not.
fn read(
    kind: Kind,
    module: &ModuleMetadata,
    variant: &Variant,
    fields: &Map<String, Value>,
) -> Result<(), String> {
    let mut tagged = json!({});
    tagged[&variant.name] = Value::Object(fields.clone());
    let answer = match kind {
        Kind::Call => RUNTIME.call_from_json(&module.name, &tagged).map(|_| ()),
        Kind::Query => RUNTIME.query_from_json(&module.name, &tagged).map(|_| ()),
    };
    answer.map_err(|error| {
        let text = error.to_string();
        // Which module cannot read it, and that it is malformed, is no help here.
        text.rsplit_once("malformed call: ")
            .or_else(|| text.rsplit_once("malformed query: "))
            .map_or(text.clone(), |(_, why)| why.to_owned())
    })
}

/// What a field takes, and what it is for.
fn words(module: &ModuleMetadata, field: &Field) -> String {
    let takes = takes(module, &field.schema);
    match field.doc.lines().next() {
        Some(doc) if !doc.is_empty() => format!("{takes}: {doc}"),
        _ => takes,
    }
}

fn takes(module: &ModuleMetadata, schema: &Value) -> String {
    let schema = module.resolve(schema);
    let text = |key: &str| schema[key].as_str().unwrap_or_default();
    let by_format = match text("format") {
        "uwlk" => "an amount in uwlk, as in 5000000",
        "welkin-address" => "an address, welkin1...",
        "deployment-id" => "the number of a deployment, as in 12",
        "group-id" => "the id of a group, as in 12/1",
        "order-id" => "the id of an order or lease, as in 12/1/3",
        "bid-id" => "the id of a bid: that of its order, and its provider's address",
        "hex-16" => "16 bytes as 32 hexadecimal digits",
        "hex-32" => "32 bytes as 64 hexadecimal digits",
        _ => "",
    };
    if !by_format.is_empty() {
        return by_format.to_owned();
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let choices: Vec<String> = choices.iter().filter_map(choice).collect();
        return format!("one of {}", choices.join(", "));
    }
    match text("type") {
        "integer" => "a whole number, as in 12".to_owned(),
        "boolean" => "true or false".to_owned(),
        "array" => format!(
            "a JSON list, [...], each entry {}",
            takes(module, &schema["items"])
        ),
        "object" => object(module, schema),
        _ => "a text".to_owned(),
    }
}

/// One alternative of an enum, as it is typed.
fn choice(schema: &Value) -> Option<String> {
    if let Some(word) = schema["const"].as_str() {
        return Some(word.to_owned());
    }
    let content = schema["properties"].as_object()?;
    content
        .keys()
        .next()
        .map(|name| format!("{{\"{name}\": ...}}"))
}

fn object(module: &ModuleMetadata, schema: &Value) -> String {
    let fields = module.fields(schema).unwrap_or_default();
    if fields.is_empty() {
        return "a JSON object, as in {\"key\": \"value\"}".to_owned();
    }
    let names: Vec<String> = fields
        .iter()
        .filter(|field| field.required)
        .map(|field| format!("\"{}\": ...", field.name))
        .collect();
    format!("a JSON object, {{{}}}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(kind: Kind, words: &[&str]) -> String {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let failure = super::super::dynamic::read(kind, &words).unwrap_err();
        assert_eq!(failure.code, 2);
        failure.message
    }

    #[test]
    fn the_field_at_fault_is_named_with_what_it_takes() {
        let address = "welkin1qqqsyqcyq5rqwzqfpg9scrgwpugpzysnhrarsy";
        for (words, says) in [
            (
                &["accounts", "transfer"][..],
                &["--amount is missing", "uwlk"][..],
            ),
            (
                &["accounts", "transfer", "--to", "x", "--amount", "5"],
                &["--to: ", "an address, welkin1..."],
            ),
            (
                &["accounts", "transfer", "--amount", "5wlk", "--to", address],
                &["--amount: ", "5wlk", "5000000"],
            ),
            (
                &["market", "close-lease", "--lease", "1/1/1", "--reason", "x"],
                &["--reason: ", "a whole number"],
            ),
            (
                &["market", "close-lease", "--lease", "1-1-1", "--reason", "1"],
                &["--lease: ", "12/1/3"],
            ),
            (
                &["escrow", "settle", "--deployment", "abc"],
                &["--deployment: ", "the number of a deployment"],
            ),
            (
                &[
                    "accounts",
                    "transfer",
                    "--json",
                    "{\"to\": 5, \"amount\": \"1\"}",
                ],
                &["--to: "],
            ),
        ] {
            let said = refused(Kind::Call, words);
            assert!(
                says.iter().all(|word| said.contains(word)),
                "{words:?}: {said}"
            );
            assert!(!said.contains("malformed"), "{said}");
        }
        let said = refused(Kind::Query, &["market", "orders", "--state", "opne"]);
        assert!(
            said.contains("--state: ") && said.contains("open, leased"),
            "{said}"
        );
    }

    #[test]
    fn every_field_of_the_chain_has_words() {
        for module in &RUNTIME.metadata().modules {
            for variant in module.calls().iter().chain(&module.queries()) {
                for field in &variant.fields {
                    let words = takes(module, &field.schema);
                    let is_text = module.resolve(&field.schema)["format"].is_null();
                    assert!(words != "a text" || is_text, "{}: {words}", field.name);
                }
            }
        }
    }
}
