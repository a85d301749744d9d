//! Which groups may be ordered: sizes and forms, as the chain enforces them.

use std::collections::BTreeSet;

use super::attributes::{self, Keys};
use crate::deployment::Params;
use crate::spec::{Attributes, EndpointKind, GroupSpec, ResourceUnit, Volume};

const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;

/// The longest name of a group or volume, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// What is wrong with a group.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// There is none, or there are too many, of something.
    #[error("{what}: {found}, allowed is {least} to {most}")]
    OutOfRange {
        /// Of what.
        what: String,
        /// How many there are.
        found: u64,
        /// The least.
        least: u64,
        /// The most.
        most: u64,
    },
    /// A name is empty, longer than 64 bytes, or cannot be printed.
    #[error("{what}: {name:?} is no name of 1 to 64 printable bytes")]
    Name {
        /// Of what.
        what: String,
        /// The name.
        name: String,
    },
    /// A name or number is there twice, or numbers are not in ascending order.
    #[error("{what} is there twice, or not in ascending order")]
    Repeated {
        /// Of what.
        what: String,
    },
    /// Attributes have a form that is not allowed.
    #[error("{what}: {problem}")]
    Attributes {
        /// Of what.
        what: String,
        /// What is wrong.
        problem: String,
    },
    /// The rates of all copies together overflow.
    #[error("{what}: the rates sum to more than there can be")]
    RateOverflow {
        /// Of what.
        what: String,
    },
}

/// Checks the groups of a deployment.
pub fn check_groups(groups: &[GroupSpec], params: &Params) -> Result<(), SpecError> {
    within(
        "groups",
        groups.len() as u64,
        1,
        u64::from(params.max_groups),
    )?;
    let mut names = BTreeSet::new();
    for group in groups {
        check_name("group", &group.name)?;
        let what = format!("group {:?}", group.name);
        if !names.insert(&group.name) {
            return Err(SpecError::Repeated { what });
        }
        check_group(&what, group, params)?;
    }
    Ok(())
}

fn check_group(what: &str, group: &GroupSpec, params: &Params) -> Result<(), SpecError> {
    let requirements = &group.requirements;
    check_attributes(what, &requirements.attributes, Keys::Globs, params)?;
    for auditors in [
        &requirements.signed_by.all_of,
        &requirements.signed_by.any_of,
    ] {
        let found = auditors.len() as u64;
        within(
            &format!("{what}, auditors"),
            found,
            0,
            u64::from(params.max_auditors),
        )?;
    }
    let units = group.resources.len() as u64;
    within(
        &format!("{what}, units"),
        units,
        1,
        u64::from(params.max_units),
    )?;
    let mut last = 0;
    for unit in &group.resources {
        let what = format!("{what}, unit {}", unit.id);
        if unit.id <= last {
            return Err(SpecError::Repeated { what });
        }
        last = unit.id;
        check_unit(&what, unit, params)?;
    }
    if group.max_rate().is_none() {
        return Err(SpecError::RateOverflow {
            what: what.to_owned(),
        });
    }
    Ok(())
}

fn check_unit(what: &str, unit: &ResourceUnit, params: &Params) -> Result<(), SpecError> {
    let rate = unit.max_rate_uwlk_per_hour.0;
    for (name, found, least, most) in [
        (
            "copies",
            u64::from(unit.count),
            1,
            u64::from(params.max_count),
        ),
        ("thousandths of a core", unit.cpu_millis, 10, 384_000),
        ("bytes of memory", unit.memory_bytes, MIB, 2 * TIB),
        ("GPUs", u64::from(unit.gpu.count), 0, 24),
        (
            "volumes",
            unit.storage.len() as u64,
            0,
            u64::from(params.max_volumes),
        ),
        (
            "endpoints",
            unit.endpoints.len() as u64,
            0,
            u64::from(params.max_endpoints),
        ),
        ("uwlk per hour", rate, 1, u64::MAX),
    ] {
        within(&format!("{what}, {name}"), found, least, most)?;
    }
    if unit.gpu.count == 0 && !unit.gpu.attributes.is_empty() {
        let problem = "models are named and no GPU is asked for".to_owned();
        return Err(SpecError::Attributes {
            what: what.to_owned(),
            problem,
        });
    }
    check_attributes(what, &unit.gpu.attributes, Keys::Globs, params)?;
    let mut names = BTreeSet::new();
    for volume in &unit.storage {
        check_volume(what, volume, params)?;
        if !names.insert(&volume.name) {
            return Err(SpecError::Repeated {
                what: format!("{what}, volume {:?}", volume.name),
            });
        }
    }
    for endpoint in &unit.endpoints {
        let numbered = endpoint.kind == EndpointKind::LeasedIp;
        let (least, most) = if numbered {
            (1, u64::from(u32::MAX))
        } else {
            (0, 0)
        };
        let what = format!("{what}, number of an endpoint");
        within(&what, u64::from(endpoint.sequence), least, most)?;
    }
    Ok(())
}

fn check_volume(what: &str, volume: &Volume, params: &Params) -> Result<(), SpecError> {
    check_name(&format!("{what}, volume"), &volume.name)?;
    let what = format!("{what}, volume {:?}", volume.name);
    within(&format!("{what}, bytes"), volume.bytes, MIB, 32 * TIB)?;
    check_attributes(&what, &volume.attributes, Keys::Plain, params)
}

fn check_attributes(
    what: &str,
    attributes: &Attributes,
    keys: Keys,
    params: &Params,
) -> Result<(), SpecError> {
    let what = format!("{what}, attributes");
    within(
        &what,
        attributes.len() as u64,
        0,
        u64::from(params.max_attributes),
    )?;
    attributes::check(attributes, keys).map_err(|error| SpecError::Attributes {
        what,
        problem: error.to_string(),
    })
}

fn check_name(what: &str, name: &str) -> Result<(), SpecError> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
        let name = name.chars().take(MAX_NAME_BYTES).collect();
        return Err(SpecError::Name {
            what: what.to_owned(),
            name,
        });
    }
    Ok(())
}

fn within(what: &str, found: u64, least: u64, most: u64) -> Result<(), SpecError> {
    if (least..=most).contains(&found) {
        return Ok(());
    }
    Err(SpecError::OutOfRange {
        what: what.to_owned(),
        found,
        least,
        most,
    })
}
