//! Whatever a manifest says, a container gets no more than the definition's fixed part allows.

use proptest::prelude::*;
use welkin_runtime::types::{Address, Hash};

use super::*;

fn instance() -> Instance {
    Instance {
        genesis: Hash([1; 32]),
        provider: Address([2; 20]),
    }
}

fn lease(service: ServiceSpec) -> LeaseSpec {
    let key = LeaseKey {
        lease: "12/1/1".parse().unwrap(),
        creation_height: 9,
    };
    LeaseSpec {
        key,
        version: Hash([3; 32]),
        services: vec![service],
    }
}

fn any_service() -> impl Strategy<Value = ServiceSpec> {
    let words = || proptest::collection::vec(".{0,20}", 0..4);
    let env = proptest::collection::vec(("[A-Z_]{1,12}", ".{0,30}"), 0..5);
    let sizes = (any::<u64>(), any::<u64>(), any::<u64>(), 1u32..50);
    (
        "[a-z][a-z0-9-]{0,20}",
        ".{1,40}",
        words(),
        words(),
        env,
        sizes,
    )
        .prop_map(
            |(
                name,
                image,
                command,
                args,
                env,
                (cpu_millis, memory_bytes, disk_bytes, replicas),
            )| {
                ServiceSpec {
                    name,
                    image,
                    credentials: None,
                    command,
                    args,
                    env,
                    cpu_millis,
                    memory_bytes,
                    disk_bytes,
                    replicas,
                    volumes: Vec::new(),
                    ports: Vec::new(),
                }
            },
        )
}

/// The definition as the engine reads it, without the fields that it leaves out.
fn json(service: &ServiceSpec, user: &User, dialect: Dialect) -> serde_json::Value {
    let address = std::net::Ipv4Addr::new(10, 89, 0, 10);
    let lease = lease(service.clone());
    let definition = definition(&instance(), &lease, service, 0, user, address, dialect);
    serde_json::to_value(definition.body).unwrap()
}

fn keys(value: &serde_json::Value) -> Vec<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

const BODY: [&str; 10] = [
    "Cmd",
    "Entrypoint",
    "Env",
    "HostConfig",
    "Hostname",
    "Image",
    "Labels",
    "NetworkingConfig",
    "StopTimeout",
    "User",
];

const HOST: [&str; 14] = [
    "CapAdd",
    "CapDrop",
    "LogConfig",
    "Memory",
    "MemorySwap",
    "NanoCpus",
    "NetworkMode",
    "PidsLimit",
    "Privileged",
    "PublishAllPorts",
    "RestartPolicy",
    "SecurityOpt",
    "ShmSize",
    "Ulimits",
];

proptest! {
    #[test]
    fn no_manifest_yields_a_field_that_is_not_listed_here(service in any_service(), root in any::<bool>()) {
        let user = if root { User::FromImage } else { User::Number(1000) };
        for dialect in [Dialect::Docker, Dialect::Podman] {
            let body = json(&service, &user, dialect);
            for key in keys(&body) {
                prop_assert!(BODY.contains(&key), "{key}");
            }
            let host = &body["HostConfig"];
            for key in keys(host) {
                prop_assert!(HOST.contains(&key), "{key}");
            }
            prop_assert_eq!(&host["Privileged"], false);
            prop_assert_eq!(&host["PublishAllPorts"], false);
            prop_assert_eq!(&host["CapDrop"], &serde_json::json!(["ALL"]));
            prop_assert_eq!(&host["SecurityOpt"], &serde_json::json!(["no-new-privileges"]));
            prop_assert_eq!(&host["NetworkMode"], &network_name(&instance(), lease(service.clone()).key));
            prop_assert_eq!(&host["MemorySwap"], &host["Memory"]);
            let added = host["CapAdd"].as_array().unwrap().len();
            prop_assert_eq!(added, if root { SANDBOX_CAPABILITIES.len() } else { 0 });
        }
    }

    #[test]
    fn a_replica_is_replaced_when_anything_but_the_number_of_replicas_changes(
        one in any_service(),
        other in any_service(),
    ) {
        let more = ServiceSpec { replicas: one.replicas + 1, ..one.clone() };
        prop_assert_eq!(one.fingerprint(), more.fingerprint());
        let same = ServiceSpec { replicas: one.replicas, ..other.clone() } == one;
        prop_assert_eq!(one.fingerprint() == other.fingerprint(), same);
    }
}

#[test]
fn labels_and_names_are_those_that_running_containers_carry() {
    let service = ServiceSpec {
        name: "web".to_owned(),
        image: "nginx:1".to_owned(),
        credentials: None,
        command: Vec::new(),
        args: Vec::new(),
        env: vec![("A".to_owned(), "1".to_owned())],
        cpu_millis: 500,
        memory_bytes: 1 << 27,
        disk_bytes: 1 << 28,
        replicas: 2,
        volumes: Vec::new(),
        ports: Vec::new(),
    };
    let body = json(&service, &User::Number(1000), Dialect::Podman);
    let text = serde_json::to_string_pretty(&body).unwrap() + "\n";
    let expected = include_str!("golden/definition.json");
    assert_eq!(
        text, expected,
        "changing this orphans what runs; if it is meant, replace the file:\n{text}"
    );
}

#[test]
fn a_bridge_has_a_name_that_the_kernel_takes() {
    let key = LeaseKey {
        lease: "18446744073709551615/4294967295/4294967295"
            .parse()
            .unwrap(),
        creation_height: 1,
    };
    assert!(bridge_name(&instance(), key).len() <= 15);
}
