//! Checking the table itself, once at start-up.

use std::collections::BTreeSet;

use super::{FRAME_STORAGE, Runtime};
use crate::error::{Coded, RuntimeError};
use crate::metadata::{self, Metadata, ModuleMetadata};

impl Runtime {
    /// Describes every module, for command lines, consoles and documents.
    pub fn metadata(&self) -> Metadata {
        Metadata {
            modules: self
                .entries
                .iter()
                .map(|entry| (entry.describe)(entry.number))
                .collect(),
            errors: metadata::errors::<RuntimeError>(),
        }
    }

    /// Checks that names and numbers are unique and fit together. The error says which do not.
    ///
    /// A node calls this once at start-up: a slip here would mix the state of two modules.
    pub fn check_table(&self) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        let mut once = |kind: &str, name: String| {
            let repeated = format!("{kind} {name} is used twice");
            seen.insert(format!("{kind} {name}"))
                .then_some(())
                .ok_or(repeated)
        };
        for item in FRAME_STORAGE {
            once("storage item", item.name.to_owned())?;
            once("storage prefix", format!("{:?}", item.prefix))?;
        }
        for entry in self.entries {
            once("module", entry.name.to_owned())?;
            once("module number", entry.number.to_string())?;
            if entry.number == 0 || entry.name == RuntimeError::MODULE {
                return Err(format!(
                    "{}: this name and number 0 are the frame's",
                    entry.name
                ));
            }
            for item in entry.storage {
                once("storage item", item.name.to_owned())?;
                once("storage prefix", format!("{:?}", item.prefix))?;
                let owner = item.name.split_once('/').map(|(owner, _)| owner);
                if owner != Some(entry.name) || item.prefix[0] != entry.number {
                    return Err(format!(
                        "storage item {} with prefix {:?} is not of module {} with number {}",
                        item.name, item.prefix, entry.name, entry.number,
                    ));
                }
            }
            check_description(&(entry.describe)(entry.number))?;
        }
        Ok(())
    }
}

fn check_description(module: &ModuleMetadata) -> Result<(), String> {
    let names = |variants: Vec<metadata::Variant>| {
        variants
            .into_iter()
            .map(|variant| variant.name)
            .collect::<BTreeSet<_>>()
    };
    let (queries, answers) = (names(module.queries()), names(module.answers()));
    if let Some(alone) = queries.symmetric_difference(&answers).next() {
        return Err(format!(
            "{}: query or answer {alone} has no partner",
            module.name
        ));
    }
    if module.error_module != module.name {
        return Err(format!(
            "{}: its errors belong to {}",
            module.name, module.error_module
        ));
    }
    let mut codes = BTreeSet::new();
    for error in &module.errors {
        if error.code == 0 || !codes.insert(error.code) {
            return Err(format!(
                "{}: error code {} is 0 or used twice",
                module.name, error.code
            ));
        }
    }
    Ok(())
}
