//! `welkin version`.

use serde::Serialize;

use crate::context::Context;
use crate::failure::Outcome;

#[derive(Serialize)]
struct Version {
    version: &'static str,
}

/// Prints the version.
pub fn run(context: &Context) -> Outcome {
    let version = Version {
        version: env!("CARGO_PKG_VERSION"),
    };
    context
        .format
        .print(&version, |version| format!("welkin {}", version.version))
}
