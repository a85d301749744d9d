//! From the checked document to groups: what is ordered and what is run.

use std::collections::BTreeMap;

use welkin_modules::spec::{Endpoint, Gpu, Volume};

use crate::manifest::{self, EnvVar, Permission, Resources, Tee};

use super::diagnostics::Spanned;
use super::document::{Compute, Credentials, Document, Placed, Service, Version};
use super::exposes::{endpoints, exposes};
use super::fields::Reader;
use super::{Decimal, Group, Unit};

/// Builds the groups of a document in which every name leads somewhere.
pub(super) fn build(reader: &mut Reader, document: &Document) -> Vec<Group> {
    let sequences = ip_sequences(document);
    let mut groups: BTreeMap<&str, Building> = BTreeMap::new();
    for (name, placements) in &document.deployment {
        for (placement, placed) in &placements.value {
            let group = groups
                .entry(placement)
                .or_insert_with(|| Building::new(document, placement));
            group.add(reader, document, name, placed, &sequences);
        }
    }
    groups
        .into_values()
        .map(|building| building.group)
        .collect()
}

struct Building {
    group: Group,
    /// The position of the unit of each compute profile (2.1 only).
    units: BTreeMap<String, usize>,
    tee: Option<Tee>,
}

impl Building {
    fn new(document: &Document, name: &str) -> Building {
        let placement = &document.placement[name];
        let group = Group {
            name: name.to_owned(),
            at: placement.at,
            attributes: placement.value.attributes.clone(),
            signed_by_all_of: placement.value.all_of.clone(),
            signed_by_any_of: placement.value.any_of.clone(),
            units: Vec::new(),
            services: Vec::new(),
        };
        Building {
            group,
            units: BTreeMap::new(),
            tee: None,
        }
    }

    fn add(
        &mut self,
        reader: &mut Reader,
        document: &Document,
        name: &str,
        placed: &Spanned<Placed>,
        sequences: &BTreeMap<String, u32>,
    ) {
        let profile = &placed.value.profile.value;
        let service = &document.services[name].value;
        let compute = &document.compute[profile].value;
        let price = document.placement[&self.group.name].value.pricing[profile]
            .value
            .amount;
        let count = placed.value.count.value;
        let tee = self.require_tee(reader, service);
        let expose = exposes(reader, document, &self.group.name, service, sequences);
        let resources = resources(compute);
        let endpoints: Vec<Endpoint> = expose.iter().flat_map(endpoints).collect();
        let shared = match document.version {
            Version::V2_0 => None,
            Version::V2_1 => self.units.get(profile).copied(),
        };
        let unit = match shared {
            Some(position) => {
                let unit = &mut self.group.units[position];
                unit.count = unit.count.saturating_add(count);
                unit.endpoints.extend(endpoints);
                unit.endpoints.sort_by_key(|endpoint| endpoint.sequence);
                unit.id
            }
            None => {
                self.units.insert(profile.clone(), self.group.units.len());
                self.new_unit(resources.clone(), endpoints, count, price)
            }
        };
        self.group.services.push(manifest::Service {
            name: name.to_owned(),
            image: service.image.value.clone(),
            command: values(&service.command),
            args: values(&service.args),
            env: service
                .env
                .iter()
                .map(|entry| variable(&entry.value))
                .collect(),
            unit,
            resources,
            count,
            expose,
            mounts: mounts(service),
            permissions: permissions(service),
            tee,
            credentials: service
                .credentials
                .as_ref()
                .map(|credentials| login(credentials, document.version)),
        });
    }

    fn new_unit(
        &mut self,
        resources: Resources,
        endpoints: Vec<Endpoint>,
        count: u32,
        price: Spanned<Decimal>,
    ) -> u32 {
        let id = u32::try_from(self.group.units.len())
            .unwrap_or(u32::MAX)
            .saturating_add(1);
        self.group.units.push(Unit {
            id,
            resources,
            endpoints,
            count,
            price,
        });
        id
    }

    /// Trusted execution is asked of the provider through an attribute, one kind for a group.
    fn require_tee(&mut self, reader: &mut Reader, service: &Service) -> Option<Tee> {
        let wanted = service.tee.as_ref()?;
        let tee = match wanted.value.as_str() {
            "cpu" => Tee::Cpu,
            _ => Tee::CpuGpu,
        };
        if self.tee.is_some_and(|other| other != tee) {
            let cause = "another service of the group asks for another kind of trusted execution";
            let remedy = "use one kind in a placement";
            reader.error(wanted.at, "services", cause, remedy);
        }
        self.tee = Some(tee);
        let key = manifest::TEE_ATTRIBUTE.to_owned();
        self.group.attributes.insert(key, tee.name().to_owned());
        Some(tee)
    }
}

/// The numbers of leased IPs. Each use of a name counts, and so does each entry that is not
/// global; a name keeps the highest number that it gets.
fn ip_sequences(document: &Document) -> BTreeMap<String, u32> {
    let mut uses: Vec<&str> = document
        .deployment
        .keys()
        // A service without a placement is not looked up, so it may not exist.
        .filter_map(|name| document.services.get(name))
        .flat_map(|service| &service.value.expose)
        .flat_map(|expose| &expose.to)
        .filter(|to| !to.global || to.ip.is_some())
        .map(|to| to.ip.as_ref().map_or("", |ip| ip.value.as_str()))
        .collect();
    uses.sort_unstable();
    uses.into_iter()
        .zip(1..)
        .map(|(name, number)| (name.to_owned(), number))
        .collect()
}

/// The texts of a list, without their places.
pub(super) fn values(list: &[Spanned<String>]) -> Vec<String> {
    list.iter().map(|text| text.value.clone()).collect()
}

fn variable(entry: &str) -> EnvVar {
    match entry.split_once('=') {
        Some((name, value)) => EnvVar {
            name: name.to_owned(),
            value: Some(value.to_owned()),
        },
        None => EnvVar {
            name: entry.to_owned(),
            value: None,
        },
    }
}

/// A login as a manifest has it: 2.0 passes it on as written and without the address, 2.1 trims.
pub(super) fn login(credentials: &Credentials, version: Version) -> manifest::Credentials {
    let text = |text: &Spanned<String>| match version {
        Version::V2_0 => text.value.clone(),
        Version::V2_1 => text.value.trim().to_owned(),
    };
    manifest::Credentials {
        host: text(&credentials.host),
        username: text(&credentials.username),
        password: text(&credentials.password),
        email: match version {
            Version::V2_0 => String::new(),
            Version::V2_1 => text(&credentials.email),
        },
    }
}

fn resources(compute: &Compute) -> Resources {
    let gpu = match &compute.gpu {
        Some(gpu) => Gpu {
            count: u32::try_from(gpu.units.value).unwrap_or(u32::MAX),
            attributes: gpu.attributes.clone(),
        },
        None => Gpu::default(),
    };
    let volume = |volume: &super::document::Volume| Volume {
        name: volume.name.clone(),
        bytes: volume.size.value,
        attributes: volume.attributes.clone(),
    };
    Resources {
        cpu_millis: compute.cpu.map_or(0, |cpu| cpu.value),
        memory_bytes: compute.memory.map_or(0, |memory| memory.value),
        gpu,
        storage: compute.storage.iter().map(volume).collect(),
    }
}

fn mounts(service: &Service) -> Vec<manifest::Mount> {
    service
        .mounts
        .iter()
        .map(|(volume, mount)| manifest::Mount {
            volume: volume.clone(),
            path: mount.value.path.value.clone(),
            read_only: mount.value.read_only,
        })
        .collect()
}

/// A permission by its name.
pub(super) fn permission(name: &str) -> Option<Permission> {
    match name {
        "logs" => Some(Permission::Logs),
        "events" => Some(Permission::Events),
        "deployment" => Some(Permission::Deployment),
        _ => None,
    }
}

fn permissions(service: &Service) -> Vec<Permission> {
    let mut list: Vec<Permission> = service
        .permissions
        .iter()
        .filter_map(|entry| permission(&entry.value))
        .collect();
    list.sort_unstable();
    list.dedup();
    list
}

/// A duration as Go writes it: `1h30m`, `0s`, `1.5h`; below 0 for a negative one.
pub(super) fn duration_nanos(text: &str) -> Option<i128> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total: i128 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let nanos = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        total += i128::try_from(Decimal::parse(number).ok()?.times(nanos)).ok()?;
        rest = after;
    }
    // Go's durations end at 2^63 nanoseconds.
    (total <= i128::from(i64::MAX)).then_some(sign * total)
}
