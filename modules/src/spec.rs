//! What a tenant asks for: the part of a deployment that providers read and bid on.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use welkin_runtime::{Address, Amount};

/// Named properties: of a provider, of a volume, of a GPU.
pub type Attributes = BTreeMap<String, String>;

/// A part of a deployment that goes to one provider as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupSpec {
    /// Its name, unique in the deployment.
    pub name: String,
    /// What the provider must be.
    #[serde(default)]
    pub requirements: Requirements,
    /// What the provider must give, one entry for each service.
    pub resources: Vec<ResourceUnit>,
}

/// What a provider must be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Requirements {
    /// Attributes that the provider must have. A key may hold `*` and `?`, which stand for
    /// characters within one part of it (they do not match `/`).
    pub attributes: Attributes,
    /// Who must have signed those attributes.
    pub signed_by: SignedBy,
}

/// Auditors whose word is asked for. With none, the provider's own word is enough.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SignedBy {
    /// Each of these must have signed all required attributes.
    pub all_of: Vec<Address>,
    /// At least one of these must have signed all required attributes.
    pub any_of: Vec<Address>,
}

/// What one service needs, and how many copies of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResourceUnit {
    /// Its number, from 1, unique in the group.
    pub id: u32,
    /// Processor time of a copy, in thousandths of a core.
    pub cpu_millis: u64,
    /// Memory of a copy, in bytes.
    pub memory_bytes: u64,
    /// Graphics processors of a copy.
    #[serde(default)]
    pub gpu: Gpu,
    /// Disks of a copy.
    #[serde(default)]
    pub storage: Vec<Volume>,
    /// How it can be reached from outside.
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
    /// How many copies.
    pub count: u32,
    /// The most that a copy may cost.
    pub max_rate_uwlk_per_hour: Amount,
}

/// Graphics processors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Gpu {
    /// How many.
    pub count: u32,
    /// Models that will do, as in `vendor/nvidia/model/a100: "true"`; one of them is enough. A
    /// provider offers a model with the attribute `capabilities/gpu/vendor/nvidia/model/a100`.
    pub attributes: Attributes,
}

/// A disk.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// Its name, unique in the unit.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// `persistent: "true"` for one that outlives the container, `class` for its kind.
    #[serde(default)]
    pub attributes: Attributes,
}

/// A way from outside to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Its kind.
    pub kind: EndpointKind,
    /// For leased addresses: which one, from 1; endpoints with the same number share it. 0 for
    /// other kinds.
    #[serde(default)]
    pub sequence: u32,
}

/// The kinds of endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum EndpointKind {
    /// HTTP by host name, on an address shared with others.
    SharedHttp = 1,
    /// A port that the provider chooses.
    RandomPort = 2,
    /// An address of its own.
    LeasedIp = 3,
}

/// What a provider would give for a unit of an order, if it differs from what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnitOffer {
    /// The number of the unit.
    pub id: u32,
    /// Processor time of a copy, in thousandths of a core.
    pub cpu_millis: u64,
    /// Memory of a copy, in bytes.
    pub memory_bytes: u64,
    /// Graphics processors of a copy; the attributes name the models that are given.
    #[serde(default)]
    pub gpu: Gpu,
    /// Disks of a copy.
    #[serde(default)]
    pub storage: Vec<Volume>,
    /// How many copies.
    pub count: u32,
}

impl ResourceUnit {
    /// What the copies may cost together, unless that overflows.
    pub fn max_rate(&self) -> Option<Amount> {
        self.max_rate_uwlk_per_hour
            .checked_mul(u64::from(self.count))
    }
}

impl GroupSpec {
    /// What the group may cost in an hour, unless that overflows.
    pub fn max_rate(&self) -> Option<Amount> {
        self.resources
            .iter()
            .try_fold(Amount::ZERO, |sum, unit| sum.checked_add(unit.max_rate()?))
    }
}
