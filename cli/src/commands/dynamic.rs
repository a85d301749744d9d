//! Calls and queries that were not written here: their names, fields and help come from the runtime's metadata.

use serde_json::{Map, Value};
use welkin_modules::RUNTIME;
use welkin_runtime::metadata::{ModuleMetadata, Variant};

use super::expected;
use crate::failure::{Failure, Outcome};

/// Whether calls or queries are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `tx`.
    Call,
    /// `query`.
    Query,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Call => "tx",
            Kind::Query => "query",
        }
    }

    fn variants(self, module: &ModuleMetadata) -> Vec<Variant> {
        match self {
            Kind::Call => module.calls(),
            Kind::Query => module.queries(),
        }
    }
}

/// What was typed: a module and the call or query as JSON; or help, to be printed as data.
#[derive(Clone, Debug, PartialEq)]
pub enum Typed {
    /// Do this.
    Ask {
        /// The module.
        module: String,
        /// The call or query, tagged with its name.
        value: Value,
    },
    /// Print this.
    Help(String),
}

/// Reads `MODULE NAME --field value ... [--json TEXT]`.
///
/// # Errors
/// There is no such module, name or field, or a value does not fit: what there is instead.
pub fn read(kind: Kind, words: &[String]) -> Outcome<Typed> {
    let metadata = RUNTIME.metadata();
    let is_help = |word: &String| word == "--help" || word == "-h";
    let Some(module_name) = words.first().filter(|word| !is_help(word)) else {
        let lines = metadata
            .modules
            .iter()
            .map(|module| format!("  {:12} {}\n", module.name, first_line(&module.doc)));
        return Ok(Typed::Help(format!(
            "welkin {} MODULE NAME --field value ...\n{}",
            kind.word(),
            lines.collect::<String>()
        )));
    };
    let Some(module) = metadata
        .modules
        .iter()
        .find(|module| module.name == *module_name)
    else {
        let names: Vec<&str> = metadata
            .modules
            .iter()
            .map(|module| module.name.as_str())
            .collect();
        return Err(Failure::usage(format!(
            "there is no module {module_name:?}; there are {}",
            names.join(", ")
        )));
    };
    let variants = kind.variants(module);
    let Some(name) = words.get(1).filter(|word| !is_help(word)) else {
        let lines = variants
            .iter()
            .map(|one| format!("  {:16} {}\n", dashed(&one.name), first_line(&one.doc)));
        return Ok(Typed::Help(format!(
            "welkin {} {module_name} NAME --field value ...\n{}",
            kind.word(),
            lines.collect::<String>()
        )));
    };
    let Some(variant) = variants
        .iter()
        .find(|one| dashed(&one.name) == dashed(name))
    else {
        let names: Vec<String> = variants.iter().map(|one| dashed(&one.name)).collect();
        return Err(Failure::usage(format!(
            "the module {module_name} has no {name:?}; it has {}",
            names.join(", ")
        )));
    };
    if words[2..].iter().any(is_help) {
        return Ok(Typed::Help(help(kind, module, variant)));
    }
    let fields = fields(module, variant, &words[2..])?;
    expected::check(kind, module, variant, &fields)?;
    let mut tagged = Map::new();
    tagged.insert(variant.name.clone(), Value::Object(fields));
    Ok(Typed::Ask {
        module: module_name.clone(),
        value: Value::Object(tagged),
    })
}

/// What `--json` takes.
const JSON_TAKES: &str = "it takes all fields as one JSON object, {\"field\": \"value\", ...}";

fn fields(
    module: &ModuleMetadata,
    variant: &Variant,
    words: &[String],
) -> Outcome<Map<String, Value>> {
    let known = &variant.fields;
    let mut given = Map::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let Some(flag) = word.strip_prefix("--") else {
            return Err(Failure::usage(format!(
                "{word:?} is no --field; see --help"
            )));
        };
        let (flag, value) = match flag.split_once('=') {
            Some((flag, value)) => (flag, value.to_owned()),
            None => {
                let value = words
                    .next()
                    .ok_or_else(|| Failure::usage(format!("--{flag} has no value")))?;
                (flag, value.clone())
            }
        };
        if flag == "json" {
            let parsed: Value = serde_json::from_str(&value)
                .map_err(|error| Failure::usage(format!("--json: {error}; {JSON_TAKES}")))?;
            let Value::Object(fields) = parsed else {
                return Err(Failure::usage(format!("--json: {JSON_TAKES}")));
            };
            given.extend(fields);
            continue;
        }
        let Some(field) = known
            .iter()
            .find(|field| dashed(&field.name) == dashed(flag))
        else {
            let names: Vec<String> = known
                .iter()
                .map(|field| format!("--{}", dashed(&field.name)))
                .collect();
            return Err(Failure::usage(format!(
                "there is no field --{flag}; there are {}",
                names.join(", ")
            )));
        };
        let schema = module.resolve(&field.schema);
        given.insert(field.name.clone(), value_of(schema, &value));
    }
    Ok(given)
}

/// A value as its type wants it: a text is one whatever it looks like. Of other types, what reads as JSON is JSON.
fn value_of(schema: &Value, text: &str) -> Value {
    let is_text = schema["type"] == "string";
    let looks_like_json = text.starts_with(['[', '{']) || ["true", "false", "null"].contains(&text);
    match serde_json::from_str(text) {
        Ok(value) if looks_like_json && !is_text => value,
        Ok(Value::Number(number)) if number.is_u64() && !is_text => Value::Number(number),
        _ => Value::String(text.to_owned()),
    }
}

fn help(kind: Kind, module: &ModuleMetadata, variant: &Variant) -> String {
    let mut text = format!(
        "welkin {} {} {}\n{}\n",
        kind.word(),
        module.name,
        dashed(&variant.name),
        variant.doc
    );
    for field in &variant.fields {
        text.push_str(&format!(
            "  --{:24} {}\n",
            dashed(&field.name),
            first_line(&field.doc)
        ));
    }
    text.push_str(&format!(
        "  --{:24} {}\n",
        "json", "All fields as one JSON object"
    ));
    text
}

/// A field's or a call's name, as it is typed.
pub fn dashed(name: &str) -> String {
    name.replace('_', "-")
}

fn first_line(doc: &str) -> &str {
    doc.lines().next().unwrap_or_default()
}
