//! Ports that others can reach, as a manifest and as the chain has them.

use std::collections::BTreeMap;

use welkin_modules::spec::{Endpoint, EndpointKind};

use crate::manifest::{Expose as Exposed, HttpOptions, NextCase, Protocol, allow};

use super::diagnostics::{Severity, Spanned, quoted};
use super::document::{Document, Expose, Service, To};
use super::fields::Reader;
use super::groups::values;

/// The default longest request body.
const DEFAULT_BODY_BYTES: u32 = 1024 * 1024;
/// The default number of replicas that are tried.
const DEFAULT_TRIES: u32 = 3;

/// A protocol by its name; TCP if there is none.
pub(super) fn protocol(name: &str) -> Option<Protocol> {
    match name.trim().to_ascii_lowercase().as_str() {
        "" | "tcp" => Some(Protocol::Tcp),
        "udp" => Some(Protocol::Udp),
        _ => None,
    }
}

/// A case in which the next replica is tried, by its name; `off` is none.
pub(super) fn next_case(name: &str) -> Option<NextCase> {
    Some(match name {
        "error" => NextCase::Error,
        "timeout" => NextCase::Timeout,
        "500" => NextCase::Http500,
        "502" => NextCase::Http502,
        "503" => NextCase::Http503,
        "504" => NextCase::Http504,
        "403" => NextCase::Http403,
        "404" => NextCase::Http404,
        "429" => NextCase::Http429,
        _ => return None,
    })
}

/// The exposes of a service in a group, one for each `to`.
pub(super) fn exposes(
    reader: &mut Reader,
    document: &Document,
    group: &str,
    service: &Service,
    sequences: &BTreeMap<String, u32>,
) -> Vec<Exposed> {
    let nobody = To::default();
    let mut list = Vec::new();
    for expose in &service.expose {
        let to: Vec<&To> = if expose.to.is_empty() {
            vec![&nobody]
        } else {
            expose.to.iter().collect()
        };
        for to in to {
            let target = to
                .service
                .as_ref()
                .filter(|target| is_in_group(reader, document, group, expose, target));
            let ip = to
                .ip
                .as_ref()
                .filter(|_| to.global)
                .map(|ip| ip.value.clone());
            list.push(Exposed {
                port: port(expose.port.value),
                external_port: port(match expose.external.value {
                    0 => expose.port.value,
                    external => external,
                }),
                protocol: protocol(&expose.protocol.value).unwrap_or(Protocol::Tcp),
                global: to.global,
                service: target.map(|target| target.value.clone()),
                hosts: values(&expose.accept),
                http: http_options(expose),
                ip_sequence: ip
                    .as_ref()
                    .and_then(|ip| sequences.get(ip))
                    .copied()
                    .unwrap_or(0),
                ip,
            });
        }
    }
    list.sort_by(|a, b| {
        let key = |e: &Exposed| (e.service.clone(), e.port, e.protocol, !e.global);
        key(a).cmp(&key(b))
    });
    list
}

fn is_in_group(
    reader: &mut Reader,
    document: &Document,
    group: &str,
    expose: &Expose,
    target: &Spanned<String>,
) -> bool {
    let known = |name: &str| {
        document
            .deployment
            .get(name)
            .is_some_and(|entry| entry.value.contains_key(group))
    };
    if known(&target.value) {
        return true;
    }
    let cause = format!(
        "there is no service {} in this placement",
        quoted(&target.value)
    );
    let remedy = "name a service that is deployed in the same placement";
    reader.say(
        Severity::Warning,
        target.at,
        &format!("{}.to", expose.path),
        cause,
        remedy,
    );
    false
}

fn port(number: u32) -> u16 {
    u16::try_from(number).unwrap_or(0)
}

fn http_options(expose: &Expose) -> HttpOptions {
    let http = &expose.http;
    let or = |given: Spanned<u32>, default: u32| match given.value {
        0 => default,
        value => value,
    };
    let next_cases = if http.next_cases.is_empty() {
        vec![NextCase::Error, NextCase::Timeout]
    } else {
        http.next_cases
            .iter()
            .filter_map(|case| next_case(&case.value))
            .collect()
    };
    HttpOptions {
        max_body_bytes: or(http.max_body_size, DEFAULT_BODY_BYTES),
        read_timeout_ms: or(http.read_timeout, allow::MAX_TIMEOUT_MS),
        send_timeout_ms: or(http.send_timeout, allow::MAX_TIMEOUT_MS),
        next_tries: or(http.next_tries, DEFAULT_TRIES),
        next_timeout_ms: http.next_timeout.value,
        next_cases,
        proxy_buffer_bytes: http.proxy_buffer_size.value,
    }
}

/// What a global expose is on chain: HTTP or a port, and a leased IP beside it.
pub(super) fn endpoints(expose: &Exposed) -> Vec<Endpoint> {
    if !expose.global {
        return Vec::new();
    }
    let kind = if expose.is_http() {
        EndpointKind::SharedHttp
    } else {
        EndpointKind::RandomPort
    };
    let mut list = vec![Endpoint { kind, sequence: 0 }];
    if expose.ip.is_some() {
        list.push(Endpoint {
            kind: EndpointKind::LeasedIp,
            sequence: expose.ip_sequence,
        });
    }
    list
}
