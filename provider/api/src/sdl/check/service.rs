//! One service: its image, environment, ports and login.

use std::collections::BTreeSet;

use crate::manifest::allow;

use super::super::diagnostics::{Position, Severity, Spanned, quoted};
use super::super::document::{Document, Expose, Service, Version};
use super::super::fields::Reader;
use super::super::{exposes, groups};

/// Entries of one list of a service.
const MAX_ENTRIES: usize = 1_024;

/// Checks a service that is deployed.
pub(super) fn service(reader: &mut Reader, path: &str, at: Position, service: &Service) {
    if !is_of_reasonable_size(reader, path, at, service) {
        return;
    }
    let place = format!("{path}.image");
    if service.image.value.is_empty() {
        let remedy = "add `image: NAME:TAG`";
        reader.error(service.image.at, &place, "the service has no image", remedy);
    } else if let Err(why) = allow::image(&service.image.value) {
        let cause = format!(
            "{} is not the name of an image",
            quoted(&service.image.value)
        );
        reader.say(Severity::Blocking, service.image.at, &place, cause, why);
    }
    for (key, list) in [("command", &service.command), ("args", &service.args)] {
        for text in list {
            if let Err(why) = allow::argument(&text.value) {
                let cause = "this text cannot be an argument";
                reader.say(
                    Severity::Blocking,
                    text.at,
                    &format!("{path}.{key}"),
                    cause,
                    why,
                );
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
        reader.error(
            tee.at,
            &format!("{path}.params.tee"),
            cause,
            "write `cpu` or `cpu-gpu`",
        );
    }
    for entry in &service.permissions {
        if groups::permission(&entry.value).is_none() {
            let place = format!("{path}.params.permissions.read");
            let cause = format!(
                "{} is not a permission and has no effect",
                quoted(&entry.value)
            );
            let remedy = "use `logs`, `events` or `deployment`";
            reader.say(Severity::Warning, entry.at, &place, cause, remedy);
        }
    }
    credentials(reader, &format!("{path}.credentials"), service);
}

fn is_of_reasonable_size(reader: &mut Reader, path: &str, at: Position, service: &Service) -> bool {
    let exposes = service
        .expose
        .iter()
        .map(|expose| expose.to.len().max(1))
        .sum();
    let hosts = service
        .expose
        .iter()
        .map(|expose| expose.accept.len())
        .sum();
    let lists = [
        ("command", service.command.len()),
        ("args", service.args.len()),
        ("env", service.env.len()),
        ("expose", exposes),
        ("accept", hosts),
        ("params.storage", service.mounts.len()),
    ];
    for (key, count) in lists {
        if count > MAX_ENTRIES {
            let cause = format!("{count} entries; at most {MAX_ENTRIES} are allowed");
            let remedy = "put long lists into a file in the image or in a volume";
            reader.error(at, &format!("{path}.{key}"), cause, remedy);
            return false;
        }
    }
    true
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
    let Some(login) = &service.credentials else {
        return;
    };
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
    if complete && let Err(why) = allow::credentials(&groups::login(login, Version::V2_1)) {
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
    if exposes::protocol(&expose.protocol.value).is_none() {
        let cause = format!("{} is not a protocol", quoted(&expose.protocol.value));
        reader.error(
            expose.protocol.at,
            &format!("{path}.proto"),
            cause,
            "write `tcp` or `udp`",
        );
    }
    http_options(reader, expose);
}

fn http_options(reader: &mut Reader, expose: &Expose) {
    let http = &expose.http;
    let limits = [
        ("max_body_size", http.max_body_size, allow::MAX_BODY_BYTES),
        (
            "proxy_buffer_size",
            http.proxy_buffer_size,
            allow::MAX_PROXY_BUFFER_BYTES,
        ),
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
            reader.error(
                case.at,
                &place,
                "`off` cannot be combined with other cases",
                remedy,
            );
        } else if case.value != "off" && exposes::next_case(&case.value).is_none() {
            let cause = format!("{} is not a case", quoted(&case.value));
            let remedy = "use error, timeout, 500, 502, 503, 504, 403, 404, 429, or off";
            reader.error(case.at, &place, cause, remedy);
        }
    }
}

/// Each host name may be asked for once in the whole file.
pub(super) fn hosts(reader: &mut Reader, document: &Document) {
    let mut seen = BTreeSet::new();
    for (name, placements) in &document.deployment {
        // Twice is as bad as more often.
        for _ in placements.value.iter().take(2) {
            for expose in &document.services[name].value.expose {
                for _ in 0..expose.to.len().clamp(1, 2) {
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
