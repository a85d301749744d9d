//! The file as a whole: names that lead nowhere, limits, and what the groups must have together.

mod endpoints;
mod service;

use std::collections::BTreeSet;

use crate::manifest::{MAX_GROUPS, allow};

use super::diagnostics::{Position, Severity, Spanned, quoted, suggestion};
use super::document::{Compute, Document, Named, Placed, Price, Service};
use super::fields::Reader;
use super::{Sdl, groups, storage};

use endpoints::IpPorts;

/// Services in placements, counted together.
const MAX_DEPLOYED: usize = 256;

/// The bounds of one unit, each from and to.
const CPU_MILLIS: (u64, u64) = (10, 384_000);
const MEMORY_BYTES: (u64, u64) = (1 << 20, 2 << 40);
const MAX_GPUS: u64 = 24;
/// A group may have this many times the bounds of a unit.
const UNITS_IN_A_GROUP: u128 = 50;
/// The highest price of a unit for a block.
const MAX_PRICE: u64 = 10_000_000;

/// Checks the document and turns it into groups.
pub(super) fn whole(reader: &mut Reader, document: Document) -> Option<Sdl> {
    let reclamation_seconds = reclamation(reader, &document);
    endpoints::declared(reader, &document);
    if document
        .deployment
        .values()
        .all(|entry| entry.value.is_empty())
    {
        let remedy = "add `deployment: {SERVICE: {PLACEMENT: {profile: PROFILE, count: 1}}}`";
        reader.error(
            document.deployment_at,
            "deployment",
            "nothing is deployed",
            remedy,
        );
        return None;
    }
    if !is_of_reasonable_size(reader, &document) {
        return None;
    }
    let mut denomination: Option<Spanned<String>> = None;
    let mut ips = IpPorts::default();
    for (name, placements) in &document.deployment {
        for (placement, placed) in &placements.value {
            let path = format!("deployment.{name}.{placement}");
            let Some(parts) = lookup(reader, &document, &path, name, placement, placed) else {
                continue;
            };
            group_name(reader, placement, document.placement[placement].at);
            deployed(reader, &document, name, &parts, &path, placed);
            ips.claim(reader, &document, name, parts.service);
            same_denomination(reader, &mut denomination, parts.price);
        }
    }
    ips.unused(reader, &document);
    if !reader.failed() {
        service::hosts(reader, &document);
    }
    if reader.failed() {
        return None;
    }
    let groups = groups::build(reader, &document);
    totals(reader, &groups);
    let reachable = groups
        .iter()
        .flat_map(|g| &g.services)
        .flat_map(|s| &s.expose)
        .any(|e| e.global);
    if !reachable {
        let remedy = "add `to: [{global: true}]` to an `expose` entry of one service";
        let cause = "no service can be reached from outside";
        let at = document
            .services
            .values()
            .map(|service| service.at)
            .min()
            .unwrap_or_default();
        reader.error(at, "services", cause, remedy);
    }
    Some(Sdl {
        file: String::new(),
        version: document.version,
        groups,
        denomination: denomination?,
        reclamation_seconds,
        warnings: super::Diagnostics::default(),
    })
}

fn group_name(reader: &mut Reader, name: &str, at: Position) {
    if let Err(why) = allow::plain_name(name) {
        let severity = match name.is_empty() {
            true => Severity::Error,
            false => Severity::Blocking,
        };
        let cause = format!("{} cannot name a placement", quoted(name));
        reader.say(severity, at, "profiles.placement", cause, why);
    }
}

/// A service is written out for each placement, so a short file could become a long one.
fn is_of_reasonable_size(reader: &mut Reader, document: &Document) -> bool {
    let entries = || {
        document
            .deployment
            .values()
            .flat_map(|entry| entry.value.keys())
    };
    let placements: BTreeSet<&String> = entries().collect();
    let remedy = "split the file into several deployments";
    if placements.len() > MAX_GROUPS {
        let cause = format!(
            "{} placements; at most {MAX_GROUPS} are allowed",
            placements.len()
        );
        reader.error(document.deployment_at, "deployment", cause, remedy);
        return false;
    }
    let deployed = entries().count();
    if deployed > MAX_DEPLOYED {
        let cause =
            format!("{deployed} services in placements; at most {MAX_DEPLOYED} are allowed");
        reader.error(document.deployment_at, "deployment", cause, remedy);
        return false;
    }
    true
}

/// What one entry of `deployment` names.
struct Parts<'d> {
    service: &'d Service,
    compute: &'d Compute,
    price: &'d Price,
}

fn lookup<'d>(
    reader: &mut Reader,
    document: &'d Document,
    path: &str,
    name: &str,
    placement: &str,
    placed: &Spanned<Placed>,
) -> Option<Parts<'d>> {
    let profile = &placed.value.profile;
    let compute = find(reader, &document.compute, profile, path, "compute profile");
    let spot = Spanned {
        value: placement.to_owned(),
        at: placed.at,
    };
    let place = find(
        reader,
        &document.placement,
        &spot,
        path,
        "placement profile",
    );
    let named = Spanned {
        value: name.to_owned(),
        at: document.deployment[name].at,
    };
    let service = find(reader, &document.services, &named, path, "service");
    let price = match (place, compute) {
        (Some(place), Some(_)) => {
            let wanted = Spanned {
                value: profile.value.clone(),
                at: place.at,
            };
            let path = format!("profiles.placement.{placement}.pricing");
            find(
                reader,
                &place.value.pricing,
                &wanted,
                &path,
                "price for compute profile",
            )
        }
        _ => None,
    };
    Some(Parts {
        service: &service?.value,
        compute: &compute?.value,
        price: &price?.value,
    })
}

fn find<'d, T>(
    reader: &mut Reader,
    entries: &'d Named<T>,
    name: &Spanned<String>,
    path: &str,
    noun: &str,
) -> Option<&'d Spanned<T>> {
    let found = entries.get(&name.value);
    if found.is_none() {
        let known = entries.keys().map(String::as_str);
        let likely = if reader.is_full() {
            None
        } else {
            suggestion(&name.value, known)
        };
        let remedy = match likely {
            Some(likely) => format!("did you mean `{likely}`?"),
            None if entries.is_empty() => format!("add a {noun} with that name"),
            None => {
                let names: Vec<String> = entries.keys().take(8).map(|key| quoted(key)).collect();
                format!("add it, or use one of: {}", names.join(", "))
            }
        };
        reader.error(
            name.at,
            path,
            format!("there is no {noun} {}", quoted(&name.value)),
            remedy,
        );
    }
    found
}

/// Checks one service where it is deployed.
fn deployed(
    reader: &mut Reader,
    document: &Document,
    name: &str,
    parts: &Parts<'_>,
    path: &str,
    placed: &Spanned<Placed>,
) {
    let at = document.services[name].at;
    let service_path = format!("services.{name}");
    if let Err(why) = allow::service_name(name) {
        let severity = match allow::is_service_name_but_for_length(name) {
            true => Severity::Blocking,
            false => Severity::Error,
        };
        let cause = format!("{} cannot name a service", quoted(name));
        reader.say(severity, at, &service_path, cause, why);
    }
    if placed.value.count.value == 0 {
        let cause = "the count is 0 or missing";
        reader.error(
            placed.value.count.at,
            &format!("{path}.count"),
            cause,
            "write `count: 1`",
        );
    }
    service::service(reader, &service_path, at, parts.service);
    let profile = format!("profiles.compute.{}.resources", placed.value.profile.value);
    compute(
        reader,
        &profile,
        parts.compute,
        document.compute[&placed.value.profile.value].at,
    );
    storage::check(
        reader,
        document.version,
        name,
        parts.service,
        &profile,
        parts.compute,
    );
    if parts
        .service
        .tee
        .as_ref()
        .is_some_and(|tee| tee.value == "cpu-gpu")
        && parts
            .compute
            .gpu
            .as_ref()
            .is_none_or(|gpu| gpu.units.value == 0)
    {
        let at = parts.service.tee.as_ref().map_or(at, |tee| tee.at);
        let cause = "`cpu-gpu` needs a GPU, and the compute profile has none";
        reader.error(
            at,
            &format!("{service_path}.params.tee"),
            cause,
            "add a GPU, or write `cpu`",
        );
    }
    price(reader, parts.price);
}

fn compute(reader: &mut Reader, path: &str, compute: &Compute, at: Position) {
    let missing = Spanned { value: 0, at };
    let cpu = compute.cpu.unwrap_or(missing);
    if !(CPU_MILLIS.0..=CPU_MILLIS.1).contains(&cpu.value) {
        let cause = beside(cpu.value, CPU_MILLIS, "thousandths of a core");
        let remedy = "ask for 10m to 384 cores: `cpu: {units: 0.5}`";
        reader.error(cpu.at, &format!("{path}.cpu.units"), cause, remedy);
    }
    let memory = compute.memory.unwrap_or(missing);
    if !(MEMORY_BYTES.0..=MEMORY_BYTES.1).contains(&memory.value) {
        let cause = beside(memory.value, MEMORY_BYTES, "bytes of memory");
        let remedy = "ask for 1Mi to 2Ti: `memory: {size: 512Mi}`";
        reader.error(memory.at, &format!("{path}.memory.size"), cause, remedy);
    }
    let Some(gpu) = &compute.gpu else { return };
    let place = format!("{path}.gpu");
    if gpu.units.value > MAX_GPUS {
        let cause = format!("{} GPUs", gpu.units.value);
        reader.error(
            gpu.units.at,
            &place,
            cause,
            format!("ask for at most {MAX_GPUS}"),
        );
    }
    if gpu.units.value == 0 && !gpu.attributes.is_empty() {
        let cause = "attributes of a GPU, but no GPU is asked for";
        reader.error(
            gpu.units.at,
            &place,
            cause,
            "write `units: 1`, or remove the attributes",
        );
    }
}

/// On which side of its bounds a value lies.
pub(super) fn beside(value: u64, (least, _): (u64, u64), unit: &str) -> String {
    let side = if value < least { "little" } else { "much" };
    format!("{value} {unit} is too {side}")
}

fn price(reader: &mut Reader, price: &Price) {
    let denom = price.denom.value.as_str();
    let is_denom = (3..=128).contains(&denom.len())
        && denom.starts_with(|c: char| c.is_ascii_alphabetic())
        && denom
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "/:._-".contains(c));
    if !is_denom {
        let cause = match denom {
            "" => "the price has no money".to_owned(),
            other => format!("{} is not the name of a money", quoted(other)),
        };
        let remedy = "write `denom: uwlk` and an amount";
        reader.error(price.denom.at, "profiles.placement", cause, remedy);
    }
    if price.amount.value > super::Decimal::from_whole(MAX_PRICE) {
        let cause = format!("a price of {} for a block is too high", price.amount.value);
        let remedy = format!("write at most {MAX_PRICE}, as in `amount: {MAX_PRICE}`");
        reader.error(price.amount.at, "profiles.placement", cause, remedy);
    }
}

fn same_denomination(
    reader: &mut Reader,
    denomination: &mut Option<Spanned<String>>,
    price: &Price,
) {
    match denomination {
        None => *denomination = Some(price.denom.clone()),
        Some(first) if first.value != price.denom.value => {
            let cause = format!(
                "a price in {}, where line {} has one in {}",
                quoted(&price.denom.value),
                first.at.line,
                quoted(&first.value)
            );
            let remedy = "price everything in one money";
            reader.error(price.denom.at, "profiles.placement", cause, remedy);
        }
        Some(_) => {}
    }
}

fn totals(reader: &mut Reader, groups: &[super::Group]) {
    for group in groups {
        let sum = |of: fn(&super::Unit) -> u64| -> u128 {
            group
                .units
                .iter()
                .map(|unit| u128::from(of(unit)) * u128::from(unit.count))
                .sum()
        };
        let sums = [
            ("cores", sum(|unit| unit.resources.cpu_millis), CPU_MILLIS.1),
            (
                "bytes of memory",
                sum(|unit| unit.resources.memory_bytes),
                MEMORY_BYTES.1,
            ),
            (
                "GPUs",
                sum(|unit| u64::from(unit.resources.gpu.count)),
                MAX_GPUS,
            ),
            (
                "bytes of storage",
                sum(|unit| {
                    let bytes = unit.resources.storage.iter().map(|volume| volume.bytes);
                    bytes.fold(0, u64::saturating_add)
                }),
                storage::MAX_BYTES,
            ),
        ];
        for (what, asked, most) in sums {
            if asked > u128::from(most) * UNITS_IN_A_GROUP {
                let path = format!("profiles.placement.{}", group.name);
                let cause = format!("the group asks for too many {what}: {asked}");
                let remedy = "use fewer or smaller replicas, or several placements";
                reader.error(group.at, &path, cause, remedy);
            }
        }
    }
}

fn reclamation(reader: &mut Reader, document: &Document) -> Option<u64> {
    let window = document.reclamation.as_ref()?;
    let path = "reclamation.min_window";
    let remedy = "write a duration above 0, as in `24h`";
    match groups::duration_nanos(&window.value) {
        Some(nanos) if nanos > 0 => {
            let cause = "providers here do not take resources back; this has no effect";
            reader.say(
                Severity::Warning,
                window.at,
                path,
                cause,
                "remove `reclamation`",
            );
            u64::try_from(nanos / 1_000_000_000).ok()
        }
        Some(_) => {
            reader.error(
                window.at,
                path,
                "the reclamation window must be above 0",
                remedy,
            );
            None
        }
        None => {
            let cause = format!("{} is not a duration", quoted(&window.value));
            reader.error(window.at, path, cause, remedy);
            None
        }
    }
}
