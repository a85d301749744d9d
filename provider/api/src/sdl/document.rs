//! The file as it was written: typed, with places, not yet checked as a whole.

use std::collections::BTreeMap;

use super::diagnostics::{Position, Spanned};
use super::quantity::Decimal;

/// Which rules a file follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 2.0: each service has a resource unit of its own.
    V2_0,
    /// 2.1 and later: services that share a compute profile share a resource unit.
    V2_1,
}

/// Entries by name; the place is that of the name.
pub(super) type Named<T> = BTreeMap<String, Spanned<T>>;

#[derive(Debug)]
pub(super) struct Document {
    pub version: Version,
    pub services: Named<Service>,
    pub compute: Named<Compute>,
    pub placement: Named<Placement>,
    pub deployment: Named<Named<Placed>>,
    pub endpoints: Named<Spanned<String>>,
    pub reclamation: Option<Spanned<String>>,
    /// Where the deployment section starts.
    pub deployment_at: Position,
}

#[derive(Debug, Default)]
pub(super) struct Service {
    pub image: Spanned<String>,
    pub command: Vec<Spanned<String>>,
    pub args: Vec<Spanned<String>>,
    pub env: Vec<Spanned<String>>,
    pub expose: Vec<Expose>,
    pub mounts: Named<Mount>,
    pub permissions: Vec<Spanned<String>>,
    pub tee: Option<Spanned<String>>,
    pub credentials: Option<Credentials>,
}

#[derive(Debug, Default)]
pub(super) struct Mount {
    pub path: Spanned<String>,
    pub read_only: bool,
}

#[derive(Debug, Default)]
pub(super) struct Credentials {
    pub host: Spanned<String>,
    pub username: Spanned<String>,
    pub password: Spanned<String>,
    pub email: Spanned<String>,
}

#[derive(Debug, Default)]
pub(super) struct Expose {
    pub path: String,
    pub port: Spanned<u32>,
    pub external: Spanned<u32>,
    pub protocol: Spanned<String>,
    pub to: Vec<To>,
    pub accept: Vec<Spanned<String>>,
    pub http: HttpOptions,
}

#[derive(Debug, Default)]
pub(super) struct To {
    pub service: Option<Spanned<String>>,
    pub global: bool,
    pub ip: Option<Spanned<String>>,
}

#[derive(Debug, Default)]
pub(super) struct HttpOptions {
    pub max_body_size: Spanned<u32>,
    pub proxy_buffer_size: Spanned<u32>,
    pub read_timeout: Spanned<u32>,
    pub send_timeout: Spanned<u32>,
    pub next_tries: Spanned<u32>,
    pub next_timeout: Spanned<u32>,
    pub next_cases: Vec<Spanned<String>>,
}

#[derive(Debug, Default)]
pub(super) struct Compute {
    pub cpu: Option<Spanned<u64>>,
    pub memory: Option<Spanned<u64>>,
    pub gpu: Option<Gpu>,
    pub storage: Vec<Volume>,
    /// Where the storage section is, or would be missed.
    pub storage_at: Position,
}

#[derive(Debug, Default)]
pub(super) struct Gpu {
    pub units: Spanned<u64>,
    pub attributes: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
pub(super) struct Volume {
    pub at: Position,
    pub name: String,
    pub size: Spanned<u64>,
    pub attributes: BTreeMap<String, String>,
}

impl Volume {
    pub fn is_persistent(&self) -> bool {
        self.attributes
            .get("persistent")
            .is_some_and(|value| value == "true")
    }

    pub fn is_ram(&self) -> bool {
        self.attributes
            .get("class")
            .is_some_and(|class| class == "ram")
    }
}

#[derive(Debug, Default)]
pub(super) struct Placement {
    pub attributes: BTreeMap<String, String>,
    pub all_of: Vec<Spanned<String>>,
    pub any_of: Vec<Spanned<String>>,
    pub pricing: Named<Price>,
}

#[derive(Debug, Default)]
pub(super) struct Price {
    pub amount: Spanned<Decimal>,
    pub denom: Spanned<String>,
}

#[derive(Debug, Default)]
pub(super) struct Placed {
    pub profile: Spanned<String>,
    pub count: Spanned<u32>,
}
