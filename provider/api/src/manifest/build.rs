//! From an accepted file to what is sent and what goes on chain.

use welkin_modules::spec::{GroupSpec, Requirements, ResourceUnit, SignedBy};
use welkin_runtime::{Address, Amount};

use crate::sdl::{Diagnostic, Diagnostics, Group, Sdl, Severity, Spanned, Unit};

use super::types::{GroupManifest, MAX_MANIFEST_BYTES};

/// One group, as its provider and as the chain gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// For the provider.
    pub manifest: GroupManifest,
    /// For the chain.
    pub spec: GroupSpec,
}

/// Makes the groups of a file, in the order of their names. Prices are taken as `uwlk`, whatever
/// the file calls them: ask [`Sdl::check_denomination`] first.
///
/// Fails on what a file may say but no provider would run, or the chain has no words for.
pub fn build(sdl: &Sdl) -> Result<Vec<Built>, Diagnostics> {
    let mut problems: Vec<Diagnostic> = sdl
        .warnings
        .items
        .iter()
        .filter(|item| item.severity == Severity::Blocking)
        .map(|item| Diagnostic {
            severity: Severity::Error,
            ..item.clone()
        })
        .collect();
    let built: Vec<Built> = sdl
        .groups
        .iter()
        .map(|group| build_group(group, &mut problems))
        .collect();
    if problems.is_empty() {
        return Ok(built);
    }
    problems.sort_by_key(|problem| problem.at);
    // One price may be that of several services.
    problems.dedup();
    Err(Diagnostics {
        file: sdl.file.clone(),
        items: problems,
    })
}

fn build_group(group: &Group, problems: &mut Vec<Diagnostic>) -> Built {
    let path = format!("profiles.placement.{}", group.name);
    let manifest = GroupManifest {
        group: group.name.clone(),
        services: group.services.clone(),
    };
    // Blocking remarks have told most of it already, and with a better place.
    if problems.is_empty() {
        let bytes = manifest.encode().len();
        let fault = match manifest.check() {
            Err(error) => Some(error.to_string()),
            Ok(()) if bytes > MAX_MANIFEST_BYTES => Some(format!(
                "the group's manifest has {bytes} bytes, more than 524288"
            )),
            Ok(()) => None,
        };
        if let Some(cause) = fault {
            let remedy = "no provider would accept it; change or shorten it".to_owned();
            let path = path.clone();
            problems.push(Diagnostic {
                severity: Severity::Error,
                at: group.at,
                path,
                cause,
                remedy,
            });
        }
    }
    let spec = GroupSpec {
        name: group.name.clone(),
        requirements: Requirements {
            attributes: group.attributes.clone(),
            signed_by: SignedBy {
                all_of: auditors(&group.signed_by_all_of, &path, problems),
                any_of: auditors(&group.signed_by_any_of, &path, problems),
            },
        },
        resources: group
            .units
            .iter()
            .map(|unit| build_unit(unit, &path, problems))
            .collect(),
    };
    Built { manifest, spec }
}

fn build_unit(unit: &Unit, path: &str, problems: &mut Vec<Diagnostic>) -> ResourceUnit {
    let rate = u64::try_from(unit.price_per_hour()).unwrap_or(u64::MAX);
    if rate == 0 {
        problems.push(Diagnostic {
            severity: Severity::Error,
            at: unit.price.at,
            path: format!("{path}.pricing"),
            cause: format!(
                "a price of {} for a block is less than one micro-token an hour",
                unit.price.value
            ),
            remedy: "write at least 0.0017, which is 1 uwlk an hour: `amount: 0.0017`".to_owned(),
        });
    }
    ResourceUnit {
        id: unit.id,
        cpu_millis: unit.resources.cpu_millis,
        memory_bytes: unit.resources.memory_bytes,
        gpu: unit.resources.gpu.clone(),
        storage: unit.resources.storage.clone(),
        endpoints: unit.endpoints.clone(),
        count: unit.count,
        max_rate_uwlk_per_hour: Amount(rate),
    }
}

fn auditors(names: &[Spanned<String>], path: &str, problems: &mut Vec<Diagnostic>) -> Vec<Address> {
    let mut list = Vec::new();
    for name in names {
        match name.value.parse() {
            Ok(address) => list.push(address),
            Err(error) => problems.push(Diagnostic {
                severity: Severity::Error,
                at: name.at,
                path: format!("{path}.signedBy"),
                cause: format!("no auditor of this chain: {error}"),
                remedy: "write the auditor's address, welkin1..., or remove `signedBy`".to_owned(),
            }),
        }
    }
    list
}
