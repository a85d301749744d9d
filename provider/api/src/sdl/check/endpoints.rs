//! Leased IPs: declared, used, and each port of one used once.

use std::collections::{BTreeMap, BTreeSet};

use crate::manifest::allow;

use super::super::diagnostics::quoted;
use super::super::document::{Document, Service};
use super::super::fields::Reader;
use super::find;

/// Checks what is declared.
pub(super) fn declared(reader: &mut Reader, document: &Document) {
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
pub(super) struct IpPorts {
    used: BTreeSet<String>,
    ports: BTreeMap<(String, u32, String), String>,
}

impl IpPorts {
    /// Takes note of the leased IPs that a service uses.
    pub(super) fn claim(
        &mut self,
        reader: &mut Reader,
        document: &Document,
        name: &str,
        service: &Service,
    ) {
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
                    reader.error(
                        ip.at,
                        &path,
                        cause,
                        "use another port with `as`, or another IP",
                    );
                }
            }
        }
    }

    /// Speaks up about what nobody uses.
    pub(super) fn unused(&self, reader: &mut Reader, document: &Document) {
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
