//! Whether a manifest stays within what was leased.

use std::collections::{BTreeMap, BTreeSet};

use welkin_modules::spec::{EndpointKind, GroupSpec, ResourceUnit};

use super::error::FitError;
use super::types::{GroupManifest, Service, Tee};

/// The placement attribute that an order asks for trusted execution with.
pub(crate) const TEE_ATTRIBUTE: &str = "tee/type";

impl Tee {
    /// Its name in the file and in attributes.
    pub fn name(self) -> &'static str {
        match self {
            Tee::Cpu => "cpu",
            Tee::CpuGpu => "cpu-gpu",
        }
    }
}

/// Fails unless the services of each resource unit together stay within it: replicas, processor,
/// memory, GPUs, storage of each kind, and endpoints of each kind. To use less is fine.
pub fn check_fit(manifest: &GroupManifest, leased: &GroupSpec) -> Result<(), FitError> {
    if manifest.group != leased.name {
        return Err(FitError::OtherGroup {
            manifest: manifest.group.clone(),
            leased: leased.name.clone(),
        });
    }
    let mut by_unit: BTreeMap<u32, Vec<&Service>> = BTreeMap::new();
    for service in &manifest.services {
        by_unit.entry(service.unit).or_default().push(service);
        check_tee(service, leased)?;
    }
    for (id, services) in by_unit {
        let unit = leased
            .resources
            .iter()
            .find(|unit| unit.id == id)
            .ok_or_else(|| FitError::UnknownUnit {
                service: services[0].name.clone(),
                unit: id,
            })?;
        check_unit(&services, unit)?;
    }
    Ok(())
}

fn check_tee(service: &Service, leased: &GroupSpec) -> Result<(), FitError> {
    let Some(tee) = service.tee else {
        return Ok(());
    };
    let given = leased.requirements.attributes.get(TEE_ATTRIBUTE);
    if given.is_some_and(|given| given == tee.name()) {
        return Ok(());
    }
    Err(FitError::NotLeased {
        service: service.name.clone(),
        what: format!("trusted execution ({})", tee.name()),
    })
}

fn check_unit(services: &[&Service], unit: &ResourceUnit) -> Result<(), FitError> {
    let check = |what: &str, asked: u128, leased: u128| {
        if asked <= leased {
            return Ok(());
        }
        let names: Vec<&str> = services
            .iter()
            .map(|service| service.name.as_str())
            .collect();
        let noun = if names.len() == 1 {
            "service"
        } else {
            "services"
        };
        Err(FitError::Exceeds {
            unit: unit.id,
            services: format!("{noun} {}", names.join(", ")),
            what: what.to_owned(),
            asked,
            leased,
        })
    };
    let sum = |of: fn(&Service) -> u64| -> u128 {
        services
            .iter()
            .map(|service| u128::from(of(service)) * u128::from(service.count))
            .sum()
    };
    let copies = u128::from(unit.count);
    check("replicas", sum(|_| 1), copies)?;
    let cpu = sum(|service| service.resources.cpu_millis);
    check(
        "thousandths of a core",
        cpu,
        u128::from(unit.cpu_millis) * copies,
    )?;
    let memory = sum(|service| service.resources.memory_bytes);
    check(
        "bytes of memory",
        memory,
        u128::from(unit.memory_bytes) * copies,
    )?;
    let gpus = sum(|service| u64::from(service.resources.gpu.count));
    check("GPUs", gpus, u128::from(unit.gpu.count) * copies)?;
    check_gpu_models(services, unit)?;
    check_storage(services, unit, check)?;
    check_endpoints(services, unit, check)
}

fn check_gpu_models(services: &[&Service], unit: &ResourceUnit) -> Result<(), FitError> {
    let other = services.iter().find(|service| {
        let gpu = &service.resources.gpu;
        gpu.count > 0 && gpu.attributes != unit.gpu.attributes
    });
    match other {
        None => Ok(()),
        Some(service) => Err(FitError::NotLeased {
            service: service.name.clone(),
            what: "GPUs of another kind".to_owned(),
        }),
    }
}

/// Volumes are counted by their kind (persistent or not, class), not by their names.
fn check_storage(
    services: &[&Service],
    unit: &ResourceUnit,
    check: impl Fn(&str, u128, u128) -> Result<(), FitError>,
) -> Result<(), FitError> {
    let mut asked: BTreeMap<String, u128> = BTreeMap::new();
    for service in services {
        for volume in &service.resources.storage {
            let bytes = u128::from(volume.bytes) * u128::from(service.count);
            *asked.entry(kind_of(&volume.attributes)).or_default() += bytes;
        }
    }
    for (kind, bytes) in asked {
        let leased: u128 = unit
            .storage
            .iter()
            .filter(|volume| kind_of(&volume.attributes) == kind)
            .map(|volume| u128::from(volume.bytes) * u128::from(unit.count))
            .sum();
        check(&format!("bytes of {kind} storage"), bytes, leased)?;
    }
    Ok(())
}

fn kind_of(attributes: &BTreeMap<String, String>) -> String {
    let persistent = attributes
        .get("persistent")
        .is_some_and(|value| value == "true");
    let class = attributes.get("class").map_or("", String::as_str);
    match (persistent, class) {
        (false, "") => "ephemeral".to_owned(),
        (false, class) => class.to_owned(),
        (true, "") => "persistent".to_owned(),
        (true, class) => format!("persistent {class}"),
    }
}

fn check_endpoints(
    services: &[&Service],
    unit: &ResourceUnit,
    check: impl Fn(&str, u128, u128) -> Result<(), FitError>,
) -> Result<(), FitError> {
    let global = || {
        services
            .iter()
            .flat_map(|service| &service.expose)
            .filter(|expose| expose.global)
    };
    let leased = |kind| {
        unit.endpoints
            .iter()
            .filter(move |endpoint| endpoint.kind == kind)
    };
    let http = global().filter(|expose| expose.is_http()).count();
    check(
        "HTTP endpoints",
        http as u128,
        leased(EndpointKind::SharedHttp).count() as u128,
    )?;
    let ports = global().filter(|expose| !expose.is_http()).count();
    check(
        "port endpoints",
        ports as u128,
        leased(EndpointKind::RandomPort).count() as u128,
    )?;
    let asked: BTreeSet<u32> = global()
        .filter(|expose| expose.ip.is_some())
        .map(|expose| expose.ip_sequence)
        .collect();
    let given: BTreeSet<u32> = leased(EndpointKind::LeasedIp)
        .map(|endpoint| endpoint.sequence)
        .collect();
    let beyond = asked.difference(&given).count();
    check(
        "leased addresses",
        (given.len() + beyond) as u128,
        given.len() as u128,
    )
}
