//! The file as a whole: names that lead nowhere, limits, and what the groups must have together.

use std::collections::{BTreeMap, BTreeSet};

use crate::manifest::allow;

use super::diagnostics::{Severity, Spanned, quoted, suggestion};
use super::document::{Compute, Document, Expose, Named, Placed, Price, Service};
use super::fields::Reader;
use super::{Sdl, groups, storage};

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
    endpoints(reader, &document);
    if document.deployment.values().all(|entry| entry.value.is_empty()) {
        let remedy = "add `deployment: {SERVICE: {PLACEMENT: {profile: PROFILE, count: 1}}}`";
        reader.error(document.deployment_at, "deployment", "nothing is deployed", remedy);
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
            deployed(reader, &document, name, &parts, &path, placed);
            ips.claim(reader, &document, name, parts.service);
            same_denomination(reader, &mut denomination, parts.price);
        }
    }
    ips.unused(reader, &document);
    let failed = |reader: &Reader| reader.items.iter().any(|i| i.severity == Severity::Error);
    if failed(reader) {
        return None;
    }
    let groups = groups::build(reader, &document);
    totals(reader, &groups);
    hosts(reader, &document);
    let reachable =
        groups.iter().flat_map(|g| &g.services).flat_map(|s| &s.expose).any(|e| e.global);
    if !reachable {
        let remedy = "add `to: [{global: true}]` to an `expose` entry of one service";
        let cause = "no service can be reached from outside";
        let at = document.services.values().map(|service| service.at).min().unwrap_or_default();
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

/// What one entry of `deployment` names.
pub(super) struct Parts<'d> {
    pub service: &'d Service,
    pub compute: &'d Compute,
    pub price: &'d Price,
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
    let spot = Spanned { value: placement.to_owned(), at: placed.at };
    let place = find(reader, &document.placement, &spot, path, "placement profile");
    let named = Spanned { value: name.to_owned(), at: document.deployment[name].at };
    let service = find(reader, &document.services, &named, path, "service");
    let price = match (place, compute) {
        (Some(place), Some(_)) => {
            let wanted = Spanned { value: profile.value.clone(), at: place.at };
            let path = format!("profiles.placement.{placement}.pricing");
            find(reader, &place.value.pricing, &wanted, &path, "price for compute profile")
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
        let remedy = match suggestion(&name.value, known) {
            Some(likely) => format!("did you mean `{likely}`?"),
            None if entries.is_empty() => format!("add a {noun} with that name"),
            None => {
                let names: Vec<String> = entries.keys().take(8).map(|key| quoted(key)).collect();
                format!("add it, or use one of: {}", names.join(", "))
            }
        };
        reader.error(name.at, path, format!("there is no {noun} {}", quoted(&name.value)), remedy);
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
        reader.error(at, &service_path, format!("{} cannot name a service", quoted(name)), why);
    }
    if placed.value.count.value == 0 {
        let cause = "the count is 0 or missing";
        reader.error(placed.value.count.at, &format!("{path}.count"), cause, "write `count: 1`");
    }
    service(reader, &service_path, parts.service);
    let profile = format!("profiles.compute.{}.resources", placed.value.profile.value);
    compute(reader, &profile, parts.compute, document.compute[&placed.value.profile.value].at);
    storage::check(reader, document.version, name, parts.service, &profile, parts.compute);
    if parts.service.tee.as_ref().is_some_and(|tee| tee.value == "cpu-gpu")
        && parts.compute.gpu.as_ref().is_none_or(|gpu| gpu.units.value == 0)
    {
        let at = parts.service.tee.as_ref().map_or(at, |tee| tee.at);
        let cause = "`cpu-gpu` needs a GPU, and the compute profile has none";
        reader.error(at, &format!("{service_path}.params.tee"), cause, "add a GPU, or write `cpu`");
    }
    price(reader, parts.price);
}

fn service(reader: &mut Reader, path: &str, service: &Service) {
    let place = format!("{path}.image");
    if service.image.value.is_empty() {
        let remedy = "add `image: NAME:TAG`";
        reader.error(service.image.at, &place, "the service has no image", remedy);
    } else if let Err(why) = allow::image(&service.image.value) {
        let cause = format!("{} is not the name of an image", quoted(&service.image.value));
        reader.say(Severity::Blocking, service.image.at, &place, cause, why);
    }
    for (key, list) in [("command", &service.command), ("args", &service.args)] {
        for text in list {
            if let Err(why) = allow::argument(&text.value) {
                let cause = "this text cannot be an argument";
                reader.say(Severity::Blocking, text.at, &format!("{path}.{key}"), cause, why);
            }
        }
    }
    for (index, entry) in service.env.iter().enumerate() {
        environment(reader, &format!("{path}.env[{index}]"), entry);
    }
    for expose in &service.expose {
        exposed(reader, expose);
    }
    if let Some(tee) = &service.tee
        && !["cpu", "cpu-gpu"].contains(&tee.value.as_str())
    {
        let cause = format!("{} is not a kind of trusted execution", quoted(&tee.value));
        reader.error(tee.at, &format!("{path}.params.tee"), cause, "write `cpu` or `cpu-gpu`");
    }
    for entry in &service.permissions {
        if groups::permission(&entry.value).is_none() {
            let place = format!("{path}.params.permissions.read");
            let cause = format!("{} is not a permission and has no effect", quoted(&entry.value));
            let remedy = "use `logs`, `events` or `deployment`";
            reader.say(Severity::Warning, entry.at, &place, cause, remedy);
        }
    }
    credentials(reader, &format!("{path}.credentials"), service);
}

fn environment(reader: &mut Reader, path: &str, entry: &Spanned<String>) {
    let (name, value) = entry.value.split_once('=').unwrap_or((&entry.value, ""));
    if let Err(why) = allow::env_name(name) {
        let cause = if name.is_empty() {
            "the variable has no name".to_owned()
        } else {
            format!("{} cannot name an environment variable", quoted(name))
        };
        reader.error(entry.at, path, cause, format!("write NAME=value; {why}"));
    }
    if let Err(why) = allow::argument(value) {
        let cause = "this value cannot be in an environment";
        reader.say(Severity::Blocking, entry.at, path, cause, why);
    }
}

fn credentials(reader: &mut Reader, path: &str, service: &Service) {
    let Some(login) = &service.credentials else { return };
    let fields = [
        ("host", &login.host),
        ("username", &login.username),
        ("password", &login.password),
    ];
    let mut complete = true;
    for (key, text) in fields {
        if text.value.trim().is_empty() {
            complete = false;
            let cause = format!("the credentials have no {key}");
            let remedy = format!("add `{key}`, or remove `credentials`");
            reader.error(text.at, &format!("{path}.{key}"), cause, remedy);
        }
    }
    if complete
        && let Err(why) = allow::credentials(&groups::login(login, super::Version::V2_1))
    {
        let cause = "these credentials cannot be passed on";
        reader.say(Severity::Blocking, login.host.at, path, cause, why);
    }
}

fn exposed(reader: &mut Reader, expose: &Expose) {
    let path = &expose.path;
    for (key, port, least) in [("port", &expose.port, 1), ("as", &expose.external, 0)] {
        if !(least..=65_535).contains(&port.value) {
            let cause = if port.value == 0 {
                "there is no port".to_owned()
            } else {
                format!("{} is not a port", port.value)
            };
            let remedy = format!("write `{key}:` and a number from 1 to 65535");
            reader.error(port.at, &format!("{path}.{key}"), cause, remedy);
        }
    }
    if groups::protocol(&expose.protocol.value).is_none() {
        let cause = format!("{} is not a protocol", quoted(&expose.protocol.value));
        reader.error(expose.protocol.at, &format!("{path}.proto"), cause, "write `tcp` or `udp`");
    }
    http_options(reader, expose);
}

fn http_options(reader: &mut Reader, expose: &Expose) {
    let http = &expose.http;
    let limits = [
        ("max_body_size", http.max_body_size, allow::MAX_BODY_BYTES),
        ("proxy_buffer_size", http.proxy_buffer_size, allow::MAX_PROXY_BUFFER_BYTES),
        ("read_timeout", http.read_timeout, allow::MAX_TIMEOUT_MS),
        ("send_timeout", http.send_timeout, allow::MAX_TIMEOUT_MS),
    ];
    for (key, given, most) in limits {
        if given.value > most {
            let place = format!("{}.http_options.{key}", expose.path);
            let cause = format!("{} is more than is allowed", given.value);
            reader.error(given.at, &place, cause, format!("write at most {most}"));
        }
    }
    let place = format!("{}.http_options.next_cases", expose.path);
    for case in &http.next_cases {
        if case.value == "off" && http.next_cases.len() > 1 {
            let remedy = "remove `off`, or everything else";
            reader.error(case.at, &place, "`off` cannot be combined with other cases", remedy);
        } else if case.value != "off" && groups::next_case(&case.value).is_none() {
            let cause = format!("{} is not a case", quoted(&case.value));
            let remedy = "use error, timeout, 500, 502, 503, 504, 403, 404, 429, or off";
            reader.error(case.at, &place, cause, remedy);
        }
    }
}

fn compute(reader: &mut Reader, path: &str, compute: &Compute, at: super::Position) {
    let missing = Spanned { value: 0, at };
    let cpu = compute.cpu.unwrap_or(missing);
    if !(CPU_MILLIS.0..=CPU_MILLIS.1).contains(&cpu.value) {
        let cause = format!("{} thousandths of a core", cpu.value);
        let remedy = "ask for 10m to 384 cores: `cpu: {units: 0.5}`";
        reader.error(cpu.at, &format!("{path}.cpu.units"), cause, remedy);
    }
    let memory = compute.memory.unwrap_or(missing);
    if !(MEMORY_BYTES.0..=MEMORY_BYTES.1).contains(&memory.value) {
        let cause = format!("{} bytes of memory", memory.value);
        let remedy = "ask for 1Mi to 2Ti: `memory: {size: 512Mi}`";
        reader.error(memory.at, &format!("{path}.memory.size"), cause, remedy);
    }
    let Some(gpu) = &compute.gpu else { return };
    let place = format!("{path}.gpu");
    if gpu.units.value > MAX_GPUS {
        let cause = format!("{} GPUs", gpu.units.value);
        reader.error(gpu.units.at, &place, cause, format!("ask for at most {MAX_GPUS}"));
    }
    if gpu.units.value == 0 && !gpu.attributes.is_empty() {
        let cause = "attributes of a GPU, but no GPU is asked for";
        reader.error(gpu.units.at, &place, cause, "write `units: 1`, or remove the attributes");
    }
}

fn price(reader: &mut Reader, price: &Price) {
    if price.denom.value.is_empty() {
        let remedy = "write `denom: uwlk` and an amount";
        reader.error(price.denom.at, "profiles.placement", "the price has no money", remedy);
    }
    if price.amount.value > super::Decimal::from_whole(MAX_PRICE) {
        let cause = format!("a price of {} for a block", price.amount.value);
        let remedy = format!("write at most {MAX_PRICE}");
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

/// Each host name may be asked for once in the whole file.
fn hosts(reader: &mut Reader, document: &Document) {
    let mut seen = BTreeSet::new();
    for (name, placements) in &document.deployment {
        for _ in &placements.value {
            for expose in &document.services[name].value.expose {
                for _ in 0..expose.to.len().max(1) {
                    host_names(reader, expose, &mut seen);
                }
            }
        }
    }
}

fn host_names<'d>(reader: &mut Reader, expose: &'d Expose, seen: &mut BTreeSet<&'d str>) {
    let path = format!("{}.accept", expose.path);
    for host in &expose.accept {
        if let Err(why) = allow::host(&host.value) {
            let cause = format!("{} is not a host name", quoted(&host.value));
            reader.error(host.at, &path, cause, why);
        } else if let Err(why) = allow::host_is_no_address(&host.value) {
            let cause = format!("{} is an address", quoted(&host.value));
            reader.say(Severity::Blocking, host.at, &path, cause, why);
        }
        if !seen.insert(&host.value) {
            let cause = format!("host name {} is asked for twice", quoted(&host.value));
            let remedy = "use it in one `expose` entry, with one `to` entry and one placement";
            reader.error(host.at, &path, cause, remedy);
        }
    }
}

fn totals(reader: &mut Reader, groups: &[super::Group]) {
    for group in groups {
        let sum = |of: fn(&super::Unit) -> u64| -> u128 {
            group.units.iter().map(|unit| u128::from(of(unit)) * u128::from(unit.count)).sum()
        };
        let sums = [
            ("cores", sum(|unit| unit.resources.cpu_millis), CPU_MILLIS.1),
            ("bytes of memory", sum(|unit| unit.resources.memory_bytes), MEMORY_BYTES.1),
            ("GPUs", sum(|unit| u64::from(unit.resources.gpu.count)), MAX_GPUS),
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

fn endpoints(reader: &mut Reader, document: &Document) {
    for (name, kind) in &document.endpoints {
        let path = format!("endpoints.{name}");
        if let Err(why) = allow::endpoint_name(name) {
            let cause = format!("{} cannot name an endpoint", quoted(name));
            reader.error(kind.at, &path, cause, why);
        }
        if kind.value.value != "ip" {
            let cause = match kind.value.value.as_str() {
                "" => "the endpoint has no kind".to_owned(),
                other => format!("{} is not a kind of endpoint", quoted(other)),
            };
            reader.error(kind.value.at, &path, cause, "write `kind: ip`");
        }
    }
}

/// Which leased IPs are used, and which of their ports by whom.
#[derive(Default)]
struct IpPorts {
    used: BTreeSet<String>,
    ports: BTreeMap<(String, u32, String), String>,
}

impl IpPorts {
    fn claim(&mut self, reader: &mut Reader, document: &Document, name: &str, service: &Service) {
        for expose in &service.expose {
            for to in &expose.to {
                let Some(ip) = &to.ip else { continue };
                let path = format!("{}.to", expose.path);
                if !to.global {
                    let cause = "a leased IP without `global: true`";
                    reader.error(ip.at, &path, cause, "add `global: true` beside `ip`");
                    continue;
                }
                if find(reader, &document.endpoints, ip, &path, "endpoint").is_none() {
                    continue;
                }
                self.used.insert(ip.value.clone());
                let protocol = expose.protocol.value.clone();
                let key = (ip.value.clone(), expose.external.value, protocol);
                if let Some(other) = self.ports.insert(key, name.to_owned()) {
                    let cause = format!(
                        "port {} of leased IP {} is taken by service {}",
                        expose.port.value,
                        quoted(&ip.value),
                        quoted(&other)
                    );
                    reader.error(ip.at, &path, cause, "use another port with `as`, or another IP");
                }
            }
        }
    }

    fn unused(&self, reader: &mut Reader, document: &Document) {
        for (name, endpoint) in &document.endpoints {
            if !self.used.contains(name) {
                let path = format!("endpoints.{name}");
                let cause = format!("endpoint {} is not used", quoted(name));
                let remedy = "name it in an `ip` of an `expose` entry, or remove it";
                reader.error(endpoint.at, &path, cause, remedy);
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
            reader.say(Severity::Warning, window.at, path, cause, "remove `reclamation`");
            u64::try_from(nanos / 1_000_000_000).ok()
        }
        Some(_) => {
            reader.error(window.at, path, "the reclamation window must be above 0", remedy);
            None
        }
        None => {
            let cause = format!("{} is not a duration", quoted(&window.value));
            reader.error(window.at, path, cause, remedy);
            None
        }
    }
}
