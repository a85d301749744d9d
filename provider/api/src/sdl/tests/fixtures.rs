//! Manifests and groups that the existing parser made of some files. Ours mean the same.

use std::path::Path;

use serde_json::{Value, json};
use welkin_modules::spec::{Attributes, Endpoint, EndpointKind};

use super::corpus::corpus;
use super::*;
use crate::manifest::{Expose, NextCase, Protocol, Resources, Service};
use crate::sdl::{Group, Unit};

/// An empty list and none at all mean the same.
fn list<T: Into<Value>>(items: Vec<T>) -> Value {
    match items.is_empty() {
        true => Value::Null,
        false => Value::Array(items.into_iter().map(Into::into).collect()),
    }
}

fn quantity(number: u64) -> Value {
    json!({ "val": number.to_string() })
}

fn attributes(attributes: &Attributes) -> Vec<Value> {
    attributes
        .iter()
        .map(|(key, value)| json!({ "key": key, "value": value }))
        .collect()
}

fn with_attributes(mut object: Value, list: &Attributes) -> Value {
    if !list.is_empty() {
        object["attributes"] = attributes(list).into();
    }
    object
}

/// Endpoints are a bag: which comes first means nothing.
fn endpoints(endpoints: &[Endpoint]) -> Value {
    let kind = |kind| match kind {
        EndpointKind::SharedHttp => 0,
        EndpointKind::RandomPort => 1,
        EndpointKind::LeasedIp => 2,
    };
    let mut pairs: Vec<(u32, u32)> = endpoints
        .iter()
        .map(|endpoint| (kind(endpoint.kind), endpoint.sequence))
        .collect();
    pairs.sort_unstable();
    json!(pairs)
}

fn expected_endpoints(value: &Value) -> Value {
    let mut pairs: Vec<(u64, u64)> = value
        .as_array()
        .into_iter()
        .flatten()
        .map(|endpoint| {
            (
                endpoint["kind"].as_u64().unwrap_or(0),
                endpoint["sequence_number"].as_u64().unwrap(),
            )
        })
        .collect();
    pairs.sort_unstable();
    json!(pairs)
}

fn resources(id: u32, resources: &Resources, given: &[Endpoint]) -> Value {
    let storage: Vec<Value> = resources
        .storage
        .iter()
        .map(|volume| {
            let object = json!({ "name": volume.name, "size": quantity(volume.bytes) });
            with_attributes(object, &volume.attributes)
        })
        .collect();
    let gpu = json!({ "units": quantity(u64::from(resources.gpu.count)) });
    json!({
        "id": id,
        "cpu": { "units": quantity(resources.cpu_millis) },
        "memory": { "size": quantity(resources.memory_bytes) },
        "storage": storage,
        "gpu": with_attributes(gpu, &resources.gpu.attributes),
        "endpoints": endpoints(given),
    })
}

fn case(case: NextCase) -> &'static str {
    match case {
        NextCase::Error => "error",
        NextCase::Timeout => "timeout",
        _ => "other",
    }
}

fn expose(expose: &Expose) -> Value {
    json!({
        "port": expose.port,
        "externalPort": expose.external_port,
        "proto": match expose.protocol { Protocol::Tcp => "TCP", Protocol::Udp => "UDP" },
        "service": expose.service.clone().unwrap_or_default(),
        "global": expose.global,
        "hosts": list(expose.hosts.clone()),
        "httpOptions": {
            "maxBodySize": expose.http.max_body_bytes,
            "readTimeout": expose.http.read_timeout_ms,
            "sendTimeout": expose.http.send_timeout_ms,
            "nextTries": expose.http.next_tries,
            "nextTimeout": expose.http.next_timeout_ms,
            "nextCases": expose.http.next_cases.iter().map(|c| case(*c)).collect::<Vec<_>>(),
        },
        "ip": expose.ip.clone().unwrap_or_default(),
        "endpointSequenceNumber": expose.ip_sequence,
    })
}

fn service(service: &Service) -> Value {
    let env = service.env.iter().map(|variable| match &variable.value {
        Some(value) => format!("{}={value}", variable.name),
        None => variable.name.clone(),
    });
    let own: Vec<Endpoint> = service
        .expose
        .iter()
        .flat_map(crate::sdl::exposes::endpoints)
        .collect();
    let mut object = json!({
        "name": service.name,
        "image": service.image,
        "command": list(service.command.clone()),
        "args": list(service.args.clone()),
        "env": list(env.collect()),
        "resources": resources(service.unit, &service.resources, &own),
        "count": service.count,
        "expose": service.expose.iter().map(expose).collect::<Vec<_>>(),
        "credentials": Value::Null,
    });
    if !service.mounts.is_empty() {
        let mounts: Vec<Value> = service
            .mounts
            .iter()
            .map(|m| json!({ "name": m.volume, "mount": m.path, "readOnly": m.read_only }))
            .collect();
        object["params"] = json!({ "storage": mounts });
    }
    object
}

fn unit(unit: &Unit, denom: &str) -> Value {
    let amount = unit.price.value.to_string();
    json!({
        "resource": resources(unit.id, &unit.resources, &unit.endpoints),
        "count": unit.count,
        "price": { "denom": denom, "amount": amount },
    })
}

fn spec(group: &Group, denom: &str) -> Value {
    let names = |names: &[crate::sdl::Spanned<String>]| {
        list(
            names
                .iter()
                .map(|name| name.value.clone())
                .collect::<Vec<_>>(),
        )
    };
    json!({
        "name": group.name,
        "requirements": {
            "signed_by": {
                "all_of": names(&group.signed_by_all_of),
                "any_of": names(&group.signed_by_any_of),
            },
            "attributes": list(attributes(&group.attributes)),
        },
        "resources": group.units.iter().map(|u| unit(u, denom)).collect::<Vec<_>>(),
    })
}

/// Brings theirs to the form in which the same meaning looks the same.
fn normalised(mut value: Value) -> Value {
    walk(&mut value);
    value
}

fn walk(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if let Some(endpoints) = map.get_mut("endpoints") {
                *endpoints = expected_endpoints(endpoints);
            }
            // 0 stands for the port itself.
            if map.get("externalPort") == Some(&json!(0)) {
                let port = map["port"].clone();
                map.insert("externalPort".to_owned(), port);
            }
            if let Some(Value::String(amount)) = map.get_mut("amount") {
                *amount = crate::sdl::Decimal::parse_amount(amount)
                    .unwrap()
                    .to_string();
            }
            map.values_mut().for_each(walk);
        }
        Value::Array(items) => items.iter_mut().for_each(walk),
        _ => {}
    }
}

fn json_file(path: &Path) -> Value {
    normalised(serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
}

#[test]
fn manifests_and_groups_mean_what_the_existing_parser_makes_of_a_file() {
    let Some(folder) = corpus() else { return };
    let parity = folder.join("testdata/chain-sdk-parity");
    let mut compared = 0;
    for version in ["v2.0", "v2.1"] {
        for entry in std::fs::read_dir(parity.join("output-fixtures").join(version)).unwrap() {
            let name = entry.unwrap().file_name();
            let input = parity
                .join("input")
                .join(version)
                .join(&name)
                .join("input.yaml");
            let sdl = lenient(&std::fs::read_to_string(input).unwrap()).unwrap();
            let output = parity.join("output-fixtures").join(version).join(&name);
            let specs: Vec<Value> = sdl
                .groups
                .iter()
                .map(|group| spec(group, &sdl.denomination.value))
                .collect();
            assert_eq!(
                Value::from(specs),
                json_file(&output.join("group-specs.json")),
                "{name:?}"
            );
            let manifest: Vec<Value> = sdl
                .groups
                .iter()
                .map(|group| {
                    let services: Vec<Value> = group.services.iter().map(service).collect();
                    json!({ "name": group.name, "services": services })
                })
                .collect();
            assert_eq!(
                Value::from(manifest),
                json_file(&output.join("manifest.json")),
                "{name:?}"
            );
            compared += 1;
        }
    }
    assert_eq!(compared, 5);
}
