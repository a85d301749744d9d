//! Files whose content is a promise. `UPDATE_GOLDEN=1` writes them anew.

use std::path::Path;

use serde_json::{Map, Value};

/// Compares texts with the files of a folder under `tests/golden`, and finds all that differ.
pub struct Golden {
    folder: &'static str,
    differ: Vec<String>,
}

impl Golden {
    pub fn new(folder: &'static str) -> Golden {
        Golden {
            folder,
            differ: Vec::new(),
        }
    }

    pub fn check(&mut self, name: &str, shown: &str) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/golden")
            .join(self.folder);
        let path = folder.join(name);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, shown).unwrap();
        } else if std::fs::read_to_string(&path).unwrap_or_default() != shown {
            self.differ.push(format!("{name}:\n{shown}"));
        }
    }

    /// The keys and kinds of a JSON value, without its content.
    pub fn check_shape(&mut self, name: &str, value: &Value) {
        self.check(&format!("{name}.json"), &format!("{:#}\n", shape(value)));
    }

    pub fn finish(self) {
        assert!(
            self.differ.is_empty(),
            "these differ from tests/golden/{} (UPDATE_GOLDEN=1 takes them):\n{}",
            self.folder,
            self.differ.join("\n")
        );
    }
}

fn shape(value: &Value) -> Value {
    match value {
        Value::Null => Value::Null,
        Value::Bool(_) => "bool".into(),
        Value::Number(_) => "number".into(),
        Value::String(_) => "text".into(),
        Value::Array(items) => items.first().map(shape).into_iter().collect(),
        Value::Object(fields) => {
            let fields = fields.iter();
            let shown: Map<_, _> = fields
                .map(|(key, value)| (key.clone(), shape(value)))
                .collect();
            shown.into()
        }
    }
}
