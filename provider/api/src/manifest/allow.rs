//! What a manifest may say. Everything that is not on these lists is refused.
//!
//! A provider hands these values to a container engine or to Kubernetes. The lists are narrower
//! than what those accept, so that no value can mean something else there: no option, no host
//! path, no file reference, no second line.

use std::collections::BTreeSet;

use super::error::ManifestError;
use super::types::{Credentials, EnvVar, Expose, GroupManifest, HttpOptions, Mount, Service};

/// Services of a group.
const MAX_SERVICES: usize = 256;
/// Environment variables, arguments, exposes or mounts of a service.
const MAX_ENTRIES: usize = 1_024;
/// One argument or environment variable: Linux takes no longer one.
const MAX_ARGUMENT_BYTES: usize = 128 * 1024;
/// The longest request body that is proxied.
pub(crate) const MAX_BODY_BYTES: u32 = 100 * 1024 * 1024;
/// The longest time that a service may take.
pub(crate) const MAX_TIMEOUT_MS: u32 = 60_000;
/// The largest buffer for a response's head.
pub(crate) const MAX_PROXY_BUFFER_BYTES: u32 = 1024 * 1024;

/// The verdict on one value: what would be allowed instead.
pub(crate) type Verdict = Result<(), String>;

fn verdict(allowed: bool, otherwise: &str) -> Verdict {
    if allowed {
        Ok(())
    } else {
        Err(otherwise.to_owned())
    }
}

fn only(text: &str, extra: &str) -> bool {
    text.chars()
        .all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
}

/// A DNS label that starts with a letter, in lower case.
pub(crate) fn service_name(name: &str) -> Verdict {
    verdict(
        is_service_name_but_for_length(name) && name.len() <= 63,
        "a name has at most 63 lower-case letters, digits and '-', starts with a letter and does \
         not end with '-'",
    )
}

/// The existing parsers do not look at the length.
pub(crate) fn is_service_name_but_for_length(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// The name of a group or a volume.
pub(crate) fn plain_name(name: &str) -> Verdict {
    verdict(
        name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && only(name, "-_.")
            && !name.contains("..")
            && name.len() <= 63,
        "a name has at most 63 letters, digits, '-', '_' and '.', and starts with a letter or digit",
    )
}

/// `[host[:port]/]path[:tag][@sha256:digest]`, as registries understand it.
pub(crate) fn image(reference: &str) -> Verdict {
    let why = "an image is [host[:port]/]path[:tag][@sha256:digest], the path in lower case";
    if reference.len() > 512 {
        return Err("an image reference has at most 512 characters".to_owned());
    }
    let (name, digest) = match reference.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (reference, None),
    };
    if let Some(digest) = digest {
        let hex = digest.strip_prefix("sha256:").unwrap_or_default();
        let is_hex = hex
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        verdict(
            hex.len() == 64 && is_hex,
            "a digest is sha256: and 64 hexadecimal digits",
        )?;
    }
    let (host, rest) = match name.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => {
            (Some(host), rest)
        }
        _ => (None, name),
    };
    verdict(host.is_none_or(is_registry), why)?;
    let (path, tag) = match rest.split_once(':') {
        Some((path, tag)) => (path, Some(tag)),
        None => (rest, None),
    };
    verdict(path.split('/').all(is_path_component), why)?;
    verdict(
        tag.is_none_or(is_tag),
        "a tag has at most 128 letters, digits, '_', '-' and '.'",
    )
}

fn is_registry(host: &str) -> bool {
    let (name, port) = match host.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (host, None),
    };
    let labels = name.split('.').all(|label| {
        !label.is_empty() && only(label, "-") && !label.starts_with('-') && !label.ends_with('-')
    });
    let port_ok = port.is_none_or(|port| {
        port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|p| p > 0)
    });
    name.len() <= 253 && labels && port_ok
}

/// Lower-case letters and digits, separated by '.', '_', '__' or dashes.
fn is_path_component(part: &str) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    part.starts_with(edge)
        && part.ends_with(edge)
        && part.chars().all(|c| edge(c) || "._-".contains(c))
        && !part.contains("..")
        && !part.contains("___")
}

fn is_tag(tag: &str) -> bool {
    (1..=128).contains(&tag.len()) && only(tag, "_.-") && !tag.starts_with(['.', '-'])
}

/// The name of an environment variable, as Kubernetes takes it.
pub(crate) fn env_name(name: &str) -> Verdict {
    verdict(
        !name.is_empty()
            && name.len() <= 253
            && only(name, "-_.")
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name != "."
            && !name.starts_with(".."),
        "a name has letters, digits, '_', '-' and '.', and does not start with a digit",
    )
}

/// An argument or the value of an environment variable.
pub(crate) fn argument(text: &str) -> Verdict {
    verdict(
        text.len() <= MAX_ARGUMENT_BYTES && !text.contains('\0'),
        "at most 131072 bytes without a zero byte",
    )
}

/// A host name of the tenant's own: a DNS name in lower case, no wildcard.
pub(crate) fn host(name: &str) -> Verdict {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let labels = name.split('.').all(|label| {
        label.starts_with(edge)
            && label.ends_with(edge)
            && label.chars().all(|c| edge(c) || c == '-')
    });
    verdict(
        labels && name.len() <= 253,
        "a host name has lower-case letters, digits, '-' and '.', and no wildcard",
    )
}

/// Whether a host name would be taken for an IP address; such a name belongs to nobody.
pub(crate) fn host_is_no_address(name: &str) -> Verdict {
    let last = name.rsplit('.').next().unwrap_or_default();
    let numeric = !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit());
    verdict(!numeric, "an IP address is not a host name")
}

/// A path at which a volume may appear.
pub(crate) fn mount_path(path: &str) -> Verdict {
    verdict(
        path.starts_with('/') && path.len() <= 512 && only(path, "/._-+@~"),
        "a path is absolute, at most 512 letters, digits, '/', '.', '_', '-', '+', '@' and '~'",
    )?;
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    verdict(
        !parts.iter().any(|part| *part == "." || *part == ".."),
        "no '.' and '..' in a path",
    )?;
    verdict(
        !parts.is_empty(),
        "the root of the container cannot be replaced",
    )?;
    verdict(
        !["proc", "sys", "dev"].contains(&parts[0]) || parts == ["dev", "shm"],
        "/proc, /sys and /dev belong to the system; only /dev/shm can be replaced",
    )
}

/// The name of a leased IP.
pub(crate) fn endpoint_name(name: &str) -> Verdict {
    let lower = |c: char| c.is_ascii_lowercase();
    verdict(
        name.len() >= 2
            && name.len() <= 63
            && name.starts_with(lower)
            && name
                .chars()
                .all(|c| lower(c) || c.is_ascii_digit() || "-_".contains(c)),
        "a name has 2 to 63 lower-case letters, digits, '-' and '_', and starts with a letter",
    )
}

/// Text without control characters, for what is only passed on.
fn one_line(text: &str, max: usize) -> Verdict {
    verdict(
        text.len() <= max && !text.chars().any(char::is_control),
        "one line of limited length without control characters",
    )
}

/// A login at an image registry.
pub(crate) fn credentials(login: &Credentials) -> Verdict {
    let host = login.host.trim();
    let bare = host.strip_prefix("https://").unwrap_or(host);
    let (registry, path) = bare.split_once('/').unwrap_or((bare, ""));
    verdict(
        is_registry(registry) && only(path, "/._-"),
        "the host is a registry's name",
    )?;
    one_line(&login.username, 4_096)?;
    one_line(&login.password, 65_536)?;
    one_line(&login.email, 4_096)
}

impl GroupManifest {
    /// Whether everything in it is on the list of allowed things.
    pub fn check(&self) -> Result<(), ManifestError> {
        at("group", plain_name(&self.group))?;
        let count = self.services.len();
        at(
            "group",
            verdict(
                (1..=MAX_SERVICES).contains(&count),
                "a group has 1 to 256 services",
            ),
        )?;
        let sorted = self
            .services
            .windows(2)
            .all(|pair| pair[0].name < pair[1].name);
        at(
            "group",
            verdict(
                sorted,
                "services come once each, in the order of their names",
            ),
        )?;
        let mut hosts = BTreeSet::new();
        for service in &self.services {
            let place = format!("service {:.64}", service.name);
            check_service(service, &mut hosts)
                .map_err(|(what, why)| not_allowed(&format!("{place}: {what}"), why))?;
        }
        Ok(())
    }
}

fn not_allowed(at: &str, why: String) -> ManifestError {
    // The name is a stranger's text until it is checked.
    ManifestError::NotAllowed {
        at: at.escape_debug().to_string(),
        why,
    }
}

fn at(place: &str, verdict: Verdict) -> Result<(), ManifestError> {
    verdict.map_err(|why| not_allowed(place, why))
}

type Found = Result<(), (String, String)>;

fn within(place: &str, verdict: Verdict) -> Found {
    verdict.map_err(|why| (place.to_owned(), why))
}

fn check_service<'a>(service: &'a Service, hosts: &mut BTreeSet<&'a str>) -> Found {
    within("name", service_name(&service.name))?;
    within("image", image(&service.image))?;
    let few = |count: usize| verdict(count <= MAX_ENTRIES, "at most 1024 entries");
    for (place, list) in [("command", &service.command), ("args", &service.args)] {
        within(place, few(list.len()))?;
        list.iter()
            .try_for_each(|text| within(place, argument(text)))?;
    }
    within("env", few(service.env.len()))?;
    service.env.iter().try_for_each(check_env)?;
    within("count", verdict(service.count > 0, "at least one replica"))?;
    check_resources(service)?;
    within("expose", few(service.expose.len()))?;
    for expose in &service.expose {
        check_expose(expose, hosts)?;
    }
    check_mounts(service)?;
    let ordered = service.permissions.windows(2).all(|pair| pair[0] < pair[1]);
    within(
        "permissions",
        verdict(ordered, "each permission once, in order"),
    )?;
    service
        .credentials
        .as_ref()
        .map_or(Ok(()), |login| within("credentials", credentials(login)))
}

fn check_env(variable: &EnvVar) -> Found {
    within("env", env_name(&variable.name))?;
    within(
        "env",
        argument(variable.value.as_deref().unwrap_or_default()),
    )
}

fn check_resources(service: &Service) -> Found {
    let resources = &service.resources;
    let some = resources.cpu_millis > 0 && resources.memory_bytes > 0;
    within("resources", verdict(some, "some processor and some memory"))?;
    let mut names = BTreeSet::new();
    for volume in &resources.storage {
        within("storage", plain_name(&volume.name))?;
        within(
            "storage",
            verdict(names.insert(&volume.name), "each volume once"),
        )?;
        within(
            "storage",
            verdict(volume.bytes > 0, "a volume of some size"),
        )?;
        for (key, value) in &volume.attributes {
            let known = key == "persistent" && (value == "true" || value == "false")
                || key == "class" && plain_name(value).is_ok();
            within(
                "storage",
                verdict(known, "only the attributes persistent and class"),
            )?;
        }
    }
    let gpu = &resources.gpu;
    let attributes = gpu.attributes.iter().all(|(key, value)| {
        key.len() <= 256 && only(key, "/._-*") && value.len() <= 64 && only(value, "._-")
    });
    within(
        "gpu",
        verdict(attributes, "attributes as in vendor/nvidia/model/a100"),
    )
}

fn check_expose<'a>(expose: &'a Expose, hosts: &mut BTreeSet<&'a str>) -> Found {
    within(
        "expose",
        verdict(expose.port > 0 && expose.external_port > 0, "ports from 1"),
    )?;
    if let Some(service) = &expose.service {
        within("expose", service_name(service))?;
    }
    within(
        "expose",
        verdict(expose.hosts.len() <= MAX_ENTRIES, "at most 1024 hosts"),
    )?;
    for name in &expose.hosts {
        within("host", host(name))?;
        within("host", host_is_no_address(name))?;
        within(
            "host",
            verdict(hosts.insert(name), "each host name once in a group"),
        )?;
    }
    if let Some(ip) = &expose.ip {
        within("ip", endpoint_name(ip))?;
        within(
            "ip",
            verdict(expose.global, "a leased IP is for global exposes"),
        )?;
    }
    let numbered = expose.ip.is_some() == (expose.ip_sequence > 0);
    within(
        "ip",
        verdict(numbered, "a leased IP has a number, and nothing else has"),
    )?;
    within("http options", http_options(&expose.http))
}

fn http_options(options: &HttpOptions) -> Verdict {
    verdict(
        (1..=MAX_BODY_BYTES).contains(&options.max_body_bytes)
            && (1..=MAX_TIMEOUT_MS).contains(&options.read_timeout_ms)
            && (1..=MAX_TIMEOUT_MS).contains(&options.send_timeout_ms)
            && options.proxy_buffer_bytes <= MAX_PROXY_BUFFER_BYTES
            && options.next_cases.len() <= 16,
        "bodies up to 104857600 bytes, timeouts up to 60000 ms, buffers up to 1048576 bytes",
    )
}

fn check_mounts(service: &Service) -> Found {
    let mut paths = BTreeSet::new();
    let mut volumes = BTreeSet::new();
    for Mount { volume, path, .. } in &service.mounts {
        within("mount", mount_path(path))?;
        let exists = service
            .resources
            .storage
            .iter()
            .any(|known| known.name == *volume);
        within(
            "mount",
            verdict(exists, "a volume of the service's resources"),
        )?;
        within("mount", verdict(volumes.insert(volume), "each volume once"))?;
        within("mount", verdict(paths.insert(path), "each path once"))?;
    }
    Ok(())
}
