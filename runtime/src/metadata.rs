//! What a runtime says of itself: every call, query, answer, event, error, genesis field and
//! storage item, with its doc comment.
//!
//! Nothing here is written by hand. Command-line trees, consoles and API documents are made from
//! it, and a golden file shows every change of it in review.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::Coded;
use crate::module::Module;
use crate::storage::StorageKind;

/// The description of a runtime.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// Its modules.
    pub modules: Vec<ModuleMetadata>,
    /// What the frame itself refuses (codespace `runtime`).
    pub errors: Vec<ErrorMetadata>,
}

/// The description of a module. Types are JSON schemas (draft 2020-12) which refer to
/// `definitions` as `#/$defs/Name`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModuleMetadata {
    /// Its name.
    pub name: String,
    /// Its number in transactions and storage keys.
    pub number: u8,
    /// What it is for.
    pub doc: String,
    /// What accounts can ask it to do.
    pub call: Value,
    /// What can be asked of it.
    pub query: Value,
    /// The answers.
    pub answer: Value,
    /// What it tells.
    pub event: Value,
    /// Its part of the genesis.
    pub genesis: Value,
    /// What it refuses.
    pub errors: Vec<ErrorMetadata>,
    /// Its storage.
    pub storage: Vec<StorageMetadata>,
    /// What is true after every block.
    pub invariants: Vec<String>,
    /// Named types that the others refer to.
    #[serde(rename = "$defs")]
    pub definitions: Map<String, Value>,
    /// The module that its errors name: always itself.
    #[serde(skip)]
    pub(crate) error_module: String,
}

/// An error that a module may return.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorMetadata {
    /// Its number.
    pub code: u32,
    /// Its name.
    pub name: String,
    /// What it means.
    pub doc: String,
}

/// A storage item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StorageMetadata {
    /// `module/item`.
    pub name: String,
    /// The first bytes of its keys.
    pub prefix: [u8; 2],
    /// What kind of handle it is.
    pub kind: StorageKind,
    /// What it holds.
    pub doc: String,
    /// The form of its keys.
    pub key: String,
    /// The schema of its values.
    pub value: Value,
}

/// A call, query, answer or event of a module, taken out of its schema.
#[derive(Clone, Debug, PartialEq)]
pub struct Variant {
    /// Its name in JSON.
    pub name: String,
    /// What it means.
    pub doc: String,
    /// Its named fields; empty if it has none, or one nameless content.
    pub fields: Vec<Field>,
    /// The schema of its nameless content, if it has that.
    pub content: Option<Value>,
}

/// A named field.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Its name in JSON.
    pub name: String,
    /// What it means.
    pub doc: String,
    /// Whether it must be given.
    pub required: bool,
    /// The schema of its value.
    pub schema: Value,
}

impl Metadata {
    /// The module of this name.
    pub fn module(&self, name: &str) -> Option<&ModuleMetadata> {
        self.modules.iter().find(|module| module.name == name)
    }
}

impl ModuleMetadata {
    /// The calls.
    pub fn calls(&self) -> Vec<Variant> {
        self.variants(&self.call)
    }

    /// The queries.
    pub fn queries(&self) -> Vec<Variant> {
        self.variants(&self.query)
    }

    /// The answers.
    pub fn answers(&self) -> Vec<Variant> {
        self.variants(&self.answer)
    }

    /// The events.
    pub fn events(&self) -> Vec<Variant> {
        self.variants(&self.event)
    }

    /// The schema itself, or the definition that it refers to.
    pub fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let name = schema.get("$ref").and_then(Value::as_str);
        let name = name.and_then(|reference| reference.strip_prefix("#/$defs/"));
        name.and_then(|name| self.definitions.get(name))
            .unwrap_or(schema)
    }

    fn variants(&self, schema: &Value) -> Vec<Variant> {
        let schema = self.resolve(schema);
        let listed = schema.get("oneOf").and_then(Value::as_array);
        let alternatives = listed.map_or(std::slice::from_ref(schema), Vec::as_slice);
        alternatives
            .iter()
            .flat_map(|alternative| self.alternative(alternative))
            .collect()
    }

    /// The variants of one alternative of an enum: several where they have neither content nor doc.
    fn alternative(&self, schema: &Value) -> Vec<Variant> {
        let doc = text(schema, "description");
        let bare = |name: &Value| Variant {
            name: name.as_str().unwrap_or_default().to_owned(),
            doc: doc.clone(),
            fields: Vec::new(),
            content: None,
        };
        if let Some(name) = schema.get("const") {
            return vec![bare(name)];
        }
        if let Some(names) = schema.get("enum").and_then(Value::as_array) {
            return names.iter().map(bare).collect();
        }
        let properties = schema.get("properties").and_then(Value::as_object);
        let variants = properties.into_iter().flatten().map(|(name, content)| {
            let fields = self.fields(content);
            let content = fields.is_none().then(|| content.clone());
            let fields = fields.unwrap_or_default();
            Variant {
                name: name.clone(),
                doc: doc.clone(),
                fields,
                content,
            }
        });
        variants.collect()
    }

    /// The fields of a schema of an object; `None` if it is something else.
    pub fn fields(&self, schema: &Value) -> Option<Vec<Field>> {
        let schema = self.resolve(schema);
        if schema.get("type").and_then(Value::as_str) != Some("object") {
            return None;
        }
        let required = schema.get("required").and_then(Value::as_array);
        let is_required =
            |name: &str| required.is_some_and(|names| names.iter().any(|other| other == name));
        let properties = schema.get("properties").and_then(Value::as_object)?;
        let fields = properties.iter().map(|(name, schema)| Field {
            name: name.clone(),
            doc: text(schema, "description"),
            required: is_required(name),
            schema: schema.clone(),
        });
        Some(fields.collect())
    }
}

fn text(schema: &Value, key: &str) -> String {
    schema
        .get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// Describes module `M`.
pub(crate) fn describe<M: Module>(number: u8) -> ModuleMetadata {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let call = schema::<M::Call>(&mut generator);
    let query = schema::<M::Query>(&mut generator);
    let answer = schema::<M::Answer>(&mut generator);
    let event = schema::<M::Event>(&mut generator);
    let genesis = schema::<M::Genesis>(&mut generator);
    let storage = M::STORAGE.iter().map(|item| StorageMetadata {
        name: item.name.to_owned(),
        prefix: item.prefix,
        kind: item.kind,
        doc: item.doc.to_owned(),
        key: (item.key)(),
        value: (item.value)(&mut generator).to_value(),
    });
    let storage = storage.collect();
    ModuleMetadata {
        name: M::NAME.to_owned(),
        number,
        doc: M::DOC.to_owned(),
        call,
        query,
        answer,
        event,
        genesis,
        errors: errors::<M::Error>(),
        storage,
        invariants: M::INVARIANTS
            .iter()
            .map(|(name, _)| (*name).to_owned())
            .collect(),
        definitions: generator.take_definitions(true),
        error_module: <M::Error as Coded>::MODULE.to_owned(),
    }
}

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

/// The list of errors of `E`: names and docs from its schema, codes from its values.
pub(crate) fn errors<E: Coded>() -> Vec<ErrorMetadata> {
    let root: Schema = SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<E>();
    let root = root.to_value();
    let listed = root.get("oneOf").and_then(Value::as_array);
    let alternatives = listed.map_or(std::slice::from_ref(&root), Vec::as_slice);
    let mut errors = Vec::new();
    for alternative in alternatives {
        let one = alternative.get("const").into_iter();
        let many = alternative.get("enum").and_then(Value::as_array);
        for name in one.chain(many.into_iter().flatten()) {
            let Ok(error) = E::deserialize(name) else {
                continue;
            };
            errors.push(ErrorMetadata {
                code: error.code(),
                name: name.as_str().unwrap_or_default().to_owned(),
                doc: text(alternative, "description"),
            });
        }
    }
    errors.sort_by_key(|error| error.code);
    errors
}
