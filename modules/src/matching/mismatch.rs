//! Why something does not fit, for programs and for people.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use welkin_runtime::Address;

use crate::spec::Attributes;

/// What there can be too little of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// Processor time in thousandths of a core.
    CpuMillis,
    /// Memory in bytes.
    MemoryBytes,
    /// Graphics processors.
    Gpus,
    /// Disks in bytes.
    StorageBytes,
}

/// One reason why a provider, its capacity or an offer does not fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mismatch {
    /// The provider does not declare a required attribute, or declares another value.
    Attribute {
        /// The key, which may be a glob.
        key: String,
        /// The required value.
        wanted: String,
        /// The declared value of that very key.
        offered: Option<String>,
    },
    /// An auditor that is asked for has not signed all required attributes.
    NotSignedBy {
        /// The auditor.
        auditor: Address,
    },
    /// None of several auditors has signed all required attributes.
    NotSignedByAny {
        /// The auditors.
        auditors: Vec<Address>,
    },
    /// The provider has none of the GPU models, or no GPU.
    Gpu {
        /// The unit that asks for it.
        unit: u32,
        /// The models that would do; any if empty.
        models: Vec<String>,
    },
    /// The provider has no storage of that kind.
    Storage {
        /// The unit that asks for it.
        unit: u32,
        /// The volume.
        volume: String,
        /// What the storage must be.
        attributes: Attributes,
    },
    /// The provider leases no addresses.
    LeasedIp {
        /// The unit that asks for it.
        unit: u32,
    },
    /// There is not enough free.
    Lacking {
        /// Of what.
        resource: Resource,
        /// How much is needed.
        needed: u64,
        /// How much is free.
        free: u64,
    },
    /// The offer names a unit that was not asked for, or not in ascending order.
    UnknownUnit {
        /// Its number.
        unit: u32,
    },
    /// The offer gives less than what was asked.
    OfferTooSmall {
        /// The unit.
        unit: u32,
        /// Of what.
        resource: Resource,
        /// What was asked.
        asked: u64,
        /// What is given.
        given: u64,
    },
    /// The offer is for another number of copies.
    OtherCount {
        /// The unit.
        unit: u32,
        /// How many were asked.
        asked: u32,
        /// How many are given.
        given: u32,
    },
}

impl fmt::Display for Mismatch {
    #[expect(clippy::too_many_lines, reason = "one arm for each kind")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mismatch::Attribute {
                key,
                wanted,
                offered: Some(offered),
            } => {
                write!(f, "{key} is {offered}, {wanted} is required")
            }
            Mismatch::Attribute {
                key,
                wanted,
                offered: None,
            } => {
                write!(f, "{key}: {wanted} is required and not declared")
            }
            Mismatch::NotSignedBy { auditor } => {
                write!(
                    f,
                    "auditor {auditor} has not signed the required attributes"
                )
            }
            Mismatch::NotSignedByAny { auditors } => {
                let auditors = auditors.iter().map(Address::to_string).collect::<Vec<_>>();
                let auditors = auditors.join(", ");
                write!(
                    f,
                    "none of the auditors {auditors} has signed the required attributes"
                )
            }
            Mismatch::Gpu { unit, models } if models.is_empty() => {
                write!(f, "unit {unit} needs a GPU and none is offered")
            }
            Mismatch::Gpu { unit, models } => {
                let models = models.join(" or ");
                write!(f, "unit {unit} needs a GPU {models} and none is offered")
            }
            Mismatch::Storage {
                unit,
                volume,
                attributes,
            } => {
                let pairs = attributes
                    .iter()
                    .map(|(key, value)| format!("{key}={value}"));
                let pairs = pairs.collect::<Vec<_>>().join(", ");
                write!(
                    f,
                    "volume {volume} of unit {unit} needs storage with {pairs}"
                )
            }
            Mismatch::LeasedIp { unit } => {
                write!(
                    f,
                    "unit {unit} needs an address of its own and none are leased"
                )
            }
            Mismatch::Lacking {
                resource,
                needed,
                free,
            } => {
                write!(f, "{resource}: {needed} needed, {free} free")
            }
            Mismatch::UnknownUnit { unit } => {
                write!(
                    f,
                    "unit {unit} was not asked for, or the units are not in ascending order"
                )
            }
            Mismatch::OfferTooSmall {
                unit,
                resource,
                asked,
                given,
            } => {
                write!(f, "unit {unit}, {resource}: {asked} asked, {given} offered")
            }
            Mismatch::OtherCount { unit, asked, given } => {
                write!(f, "unit {unit}: {asked} copies asked, {given} offered")
            }
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Resource::CpuMillis => "processor time in thousandths of a core",
            Resource::MemoryBytes => "memory in bytes",
            Resource::Gpus => "graphics processors",
            Resource::StorageBytes => "storage in bytes",
        })
    }
}
