//! What tenants write becomes these objects, to the last byte; and whatever they write, no more than we allow.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::Value;
use welkin_provider_api::manifest::{GroupManifest, build};
use welkin_provider_api::sdl::{Strictness, parse};
use welkin_runtime::types::Address;

use super::super::admit;
use super::super::settings::{IngressSettings, IngressSource};
use super::*;
use crate::backend::{
    Entry, Instance, Isolation, PortSpec, RegistryCredentials, VolumeKind, VolumeSpec,
};
use crate::workload::lease_spec;

/// A cluster with Contour and one class of volumes.
pub fn settings(isolation: Isolation) -> Settings {
    let labels = BTreeMap::from([("app".to_owned(), "envoy".to_owned())]);
    Settings {
        instance: Instance {
            genesis: Hash([1; 32]),
            provider: Address([2; 20]),
        },
        isolation,
        sandbox_class: "gvisor".to_owned(),
        local_images: BTreeSet::from(["localhost/hello:1".to_owned()]),
        probe_image: "localhost/hello:1".to_owned(),
        domain: "example.com".to_owned(),
        ingress: IngressSettings {
            class: "contour".to_owned(),
            from: IngressSource::Pods {
                namespace: "projectcontour".to_owned(),
                labels,
            },
        },
        forbidden: ["203.0.113.7/32", "2001:db8::7/128"]
            .map(|range| range.parse().unwrap())
            .into(),
        storage_classes: BTreeMap::from([("beta2".to_owned(), "fast-ssd".to_owned())]),
    }
}

const EVERY_ISOLATION: [Isolation; 4] = [
    Isolation::Restricted,
    Isolation::Gvisor,
    Isolation::Userns,
    Isolation::None,
];

fn key() -> LeaseKey {
    LeaseKey {
        lease: "12/1/1".parse().unwrap(),
        creation_height: 57,
    }
}

/// The manifests of one of the samples.
fn sample(name: &str) -> Vec<GroupManifest> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("api/samples");
    let text = std::fs::read(folder.join(name)).unwrap();
    let sdl = parse(name, &text, Strictness::Lenient).unwrap_or_else(|remarks| panic!("{remarks}"));
    let built = build(&sdl).unwrap_or_else(|remarks| panic!("{remarks}"));
    built.into_iter().map(|built| built.manifest).collect()
}

fn lease(manifest: &GroupManifest) -> LeaseSpec {
    lease_spec(key(), Hash([3; 32]), manifest)
}

fn golden(name: &str) -> PathBuf {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/backend/kubernetes/objects/golden");
    folder.join(name)
}

#[test]
fn the_objects_of_the_samples_are_these() {
    for (name, isolation) in [
        ("two-services", Isolation::Restricted),
        ("storage", Isolation::Userns),
        ("ports", Isolation::Gvisor),
        ("credentials", Isolation::None),
    ] {
        let manifest = sample(&format!("{name}.yaml")).remove(0);
        let objects = objects(&settings(isolation), &lease(&manifest), &BTreeMap::new());
        let text = serde_json::to_string_pretty(&objects).unwrap() + "\n";
        let path = golden(&format!("{name}.{isolation}.json"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            text == expected,
            "{name}: run again with UPDATE_GOLDEN=1 and review the difference"
        );
    }
}

fn template(objects: &Objects) -> &PodTemplateSpec {
    objects.templates().next().unwrap()
}

fn any_port() -> impl Strategy<Value = PortSpec> {
    let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp)];
    let entry = prop_oneof![Just(None), Just(Some(Entry::Port))];
    (1u16.., 1u16.., protocol, entry).prop_map(|(port, external_port, protocol, entry)| PortSpec {
        port,
        external_port,
        protocol,
        entry,
    })
}

fn any_volume() -> impl Strategy<Value = VolumeSpec> {
    let kind = prop_oneof![
        Just(VolumeKind::Ephemeral),
        Just(VolumeKind::Memory),
        "[a-z0-9]{1,8}".prop_map(|class| VolumeKind::Persistent { class }),
    ];
    (
        "[A-Za-z0-9][A-Za-z0-9_.-]{0,62}",
        any::<u64>(),
        kind,
        "/.{1,20}",
        any::<bool>(),
    )
        .prop_map(|(name, bytes, kind, path, is_read_only)| VolumeSpec {
            name,
            bytes,
            kind,
            path,
            is_read_only,
        })
}

fn any_service() -> impl Strategy<Value = ServiceSpec> {
    let words = || proptest::collection::vec(".{0,20}", 0..4);
    let env = proptest::collection::vec(("[A-Za-z_][A-Za-z0-9_.-]{0,12}", ".{0,30}"), 0..5);
    let login = proptest::option::of(("[a-z.]{1,20}", ".{0,20}", ".{0,20}").prop_map(
        |(host, username, password)| RegistryCredentials {
            host,
            username,
            password,
        },
    ));
    let lists = (
        proptest::collection::vec(any_port(), 0..4),
        proptest::collection::vec(any_volume(), 0..3),
    );
    let sizes = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u32>());
    let names = ("[a-z]([a-z0-9-]{0,61}[a-z0-9])?", ".{1,40}");
    (names, words(), words(), env, login, sizes, lists).prop_map(
        |((name, image), command, args, env, credentials, sizes, (ports, volumes))| ServiceSpec {
            name,
            image,
            credentials,
            command,
            args,
            env,
            cpu_millis: sizes.0,
            memory_bytes: sizes.1,
            disk_bytes: sizes.2,
            replicas: sizes.3,
            volumes,
            ports,
        },
    )
}

fn isolated() -> impl Strategy<Value = Isolation> {
    proptest::sample::select(EVERY_ISOLATION.to_vec())
}

fn lease_of(services: Vec<ServiceSpec>) -> LeaseSpec {
    LeaseSpec {
        key: key(),
        version: Hash([3; 32]),
        services,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn no_pod_ever_says_what_is_not_allowed(service in any_service(), isolation in isolated()) {
        let settings = settings(isolation);
        let objects = objects(&settings, &lease_of(vec![service]), &BTreeMap::new());
        for template in objects.templates() {
            prop_assert_eq!(admit::check(&settings, template), Ok(()));
        }
    }

    #[test]
    fn names_are_names_of_the_cluster_and_no_two_alike(service in any_service()) {
        let objects = objects(&settings(Isolation::Gvisor), &lease_of(vec![service]), &BTreeMap::new());
        for template in objects.templates() {
            let pod = template.spec.as_ref().unwrap();
            let volumes: Vec<&str> = pod.volumes.iter().flatten().map(|one| one.name.as_str()).collect();
            for name in &volumes {
                prop_assert!(is_label(name), "{}", name);
            }
        }
        let names: Vec<&String> = objects.services.iter().filter_map(|one| one.metadata.name.as_ref()).collect();
        prop_assert!(names.iter().all(|name| is_label(name)), "{:?}", names);
        prop_assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    }

    #[test]
    fn a_word_reaches_the_program_as_it_was_written(word in "[$()A-Z{}a]{0,12}") {
        let service = ServiceSpec { command: vec![word.clone()], ..plain("web") };
        let objects = objects(&settings(Isolation::Gvisor), &lease_of(vec![service]), &BTreeMap::new());
        let pod = template(&objects).spec.as_ref().unwrap();
        let sent = &pod.containers[0].command.as_ref().unwrap()[0];
        prop_assert_eq!(expanded(sent), word);
    }
}

/// What the cluster makes of a word, with no variable defined: `$$` is a dollar, `$(NAME)` is left as it is where there is
/// no such variable, and would be replaced where there is (Kubernetes API reference, `Container.command`).
fn expanded(word: &str) -> String {
    let mut out = String::new();
    let mut rest = word;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        match rest.strip_prefix('$') {
            Some(after) => {
                out.push('$');
                rest = after;
            }
            None => out.push_str("<replaced>"),
        }
    }
    out + rest
}

fn is_label(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 63 && name.chars().all(inner) && name.starts_with(edge) && name.ends_with(edge)
}

fn plain(name: &str) -> ServiceSpec {
    ServiceSpec {
        name: name.to_owned(),
        image: "example.com/web:1".to_owned(),
        credentials: None,
        command: Vec::new(),
        args: Vec::new(),
        env: Vec::new(),
        cpu_millis: 100,
        memory_bytes: 64 << 20,
        disk_bytes: 1 << 30,
        replicas: 1,
        volumes: Vec::new(),
        ports: Vec::new(),
    }
}

/// The pod that is asked for, with one field more or another value in one.
fn tampered(isolation: Isolation, path: &str, value: Value) -> Result<(), admit::Violation> {
    let settings = settings(isolation);
    let objects = objects(&settings, &lease_of(vec![plain("web")]), &BTreeMap::new());
    let mut pod = serde_json::to_value(template(&objects)).unwrap();
    let (above, name) = path.rsplit_once('/').unwrap();
    let place = pod
        .pointer_mut(above)
        .unwrap_or_else(|| panic!("there is no {above}"));
    match value {
        Value::Null => drop(place.as_object_mut().unwrap().remove(name)),
        value => drop(
            place
                .as_object_mut()
                .unwrap()
                .insert(name.to_owned(), value),
        ),
    }
    admit::check(&settings, &serde_json::from_value(pod).unwrap())
}

/// Attacks 1 to 15 and 22 of our list, each as the field that it sets and its value; and what must be said and is left out
/// (`null`). `@` is the container.
const TAMPERINGS: &str = r#"
@/securityContext/privileged true
/spec/volumes [{"name": "v", "hostPath": {"path": "/"}}]
/spec/hostNetwork true
/spec/hostPID true
/spec/hostIPC true
@/ports [{"containerPort": 80, "hostPort": 80}]
@/securityContext/capabilities/add ["SYS_ADMIN"]
/spec/securityContext/seccompProfile {"type": "Unconfined"}
/spec/securityContext/runAsUser 0
@/securityContext/runAsUser 0
/spec/securityContext/runAsNonRoot false
/spec/automountServiceAccountToken true
/spec/serviceAccountName "default"
/spec/securityContext/sysctls [{"name": "kernel.msgmax", "value": "1"}]
@/volumeDevices [{"name": "v", "devicePath": "/dev/sda"}]
/spec/runtimeClassName "runc"
/spec/nodeSelector {"node-role.kubernetes.io/control-plane": ""}
/spec/nodeName "control-plane"
/spec/tolerations [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule", "operator": "Exists"}]
/spec/priorityClassName "system-node-critical"
/metadata/annotations/container.apparmor.security.beta.kubernetes.io~1web "unconfined"
/metadata/labels/app "envoy"
@/lifecycle {"postStart": {"exec": {"command": ["sh"]}}}
@/securityContext/procMount "Unmasked"
@/securityContext/allowPrivilegeEscalation true
@/securityContext null
/spec/securityContext null
/spec/automountServiceAccountToken null
@/resources null
@/resources/limits {"cpu": "1", "memory": "1"}
"#;

/// Were a manifest ever to say such a thing, the pod would not be sent.
#[test]
fn a_pod_with_a_privilege_is_never_sent() {
    let harmless = tampered(
        Isolation::Restricted,
        "/spec/restartPolicy",
        "Always".into(),
    );
    assert_eq!(harmless, Ok(()));
    for line in TAMPERINGS.trim().lines() {
        let (path, value) = line.split_once(' ').unwrap();
        let path = path.replace('@', "/spec/containers/0");
        let value = serde_json::from_str(value).unwrap();
        let outcome = tampered(Isolation::Restricted, &path, value);
        assert!(outcome.is_err(), "{line} is let through");
    }
    for (isolation, path) in [
        (Isolation::Userns, "/spec/hostUsers"),
        (Isolation::Gvisor, "/spec/runtimeClassName"),
    ] {
        let outcome = tampered(isolation, path, Value::Null);
        assert!(
            outcome.is_err(),
            "{isolation} without {path} is let through"
        );
    }
}

/// A second container would be one that nobody looked at.
#[test]
fn a_pod_has_one_container() {
    let settings = settings(Isolation::Restricted);
    let objects = objects(&settings, &lease_of(vec![plain("web")]), &BTreeMap::new());
    let mut template = template(&objects).clone();
    let containers = &mut template.spec.as_mut().unwrap().containers;
    containers.push(containers[0].clone());
    assert!(admit::check(&settings, &template).is_err());
    containers_of(&mut template).clear();
    assert!(admit::check(&settings, &template).is_err());
}

fn containers_of(
    template: &mut PodTemplateSpec,
) -> &mut Vec<k8s_openapi::api::core::v1::Container> {
    &mut template.spec.as_mut().unwrap().containers
}

#[test]
fn all_of_a_lease_is_known_by_its_labels_and_another_providers_is_not() {
    let settings = settings(Isolation::Restricted);
    let manifest = sample("two-services.yaml").remove(0);
    let objects = objects(&settings, &lease(&manifest), &BTreeMap::new());
    let all = [
        vec![
            &objects.namespace.metadata,
            &objects.quota.metadata,
            &objects.limit_range.metadata,
        ],
        objects.policies.iter().map(|one| &one.metadata).collect(),
        objects.secrets.iter().map(|one| &one.metadata).collect(),
        objects
            .deployments
            .iter()
            .map(|one| &one.metadata)
            .collect(),
        objects.services.iter().map(|one| &one.metadata).collect(),
        objects.ingresses.iter().map(|one| &one.metadata).collect(),
    ];
    for metadata in all.into_iter().flatten() {
        let labels = metadata.labels.clone().unwrap();
        let annotations = metadata.annotations.clone().unwrap();
        assert_eq!(
            names::lease_of(&settings.instance, &labels, &annotations),
            Some(key())
        );
        let other = Instance {
            genesis: Hash([9; 32]),
            ..settings.instance.clone()
        };
        assert_eq!(names::lease_of(&other, &labels, &annotations), None);
        for (name, value) in &labels {
            assert!(value.len() <= 63, "{name}={value} is no label");
        }
    }
}

#[test]
fn pods_that_are_right_keep_the_version_they_were_made_for() {
    let settings = settings(Isolation::Restricted);
    let lease = lease_of(vec![plain("web"), plain("db")]);
    let before = BTreeMap::from([("db".to_owned(), Hash([7; 32]))]);
    let objects = objects(&settings, &lease, &before);
    let versions: Vec<String> = objects
        .templates()
        .map(|one| {
            one.metadata.as_ref().unwrap().annotations.as_ref().unwrap()[names::annotation::VERSION]
                .clone()
        })
        .collect();
    assert_eq!(
        versions,
        [Hash([3; 32]).to_string(), Hash([7; 32]).to_string()]
    );
}

#[test]
fn while_an_update_runs_the_quota_covers_both_versions() {
    let quota = |memory_bytes| {
        let service = ServiceSpec {
            memory_bytes,
            ..plain("web")
        };
        limits::quota(&settings(Isolation::Gvisor), &lease_of(vec![service]))
    };
    let (small, large) = (quota(1 << 20), quota(1 << 30));
    assert_eq!(limits::covering(small.clone(), &large), large);
    assert_eq!(limits::covering(large.clone(), &small), large);
}

/// One number for TCP and UDP is two ports.
#[test]
fn a_port_is_a_number_and_a_transport() {
    let port = |protocol| PortSpec {
        port: 53,
        external_port: 53,
        protocol,
        entry: Some(Entry::Port),
    };
    let service = ServiceSpec {
        ports: vec![port(Protocol::Tcp), port(Protocol::Udp)],
        ..plain("dns")
    };
    let objects = objects(
        &settings(Isolation::Gvisor),
        &lease_of(vec![service]),
        &BTreeMap::new(),
    );
    for service in &objects.services {
        let ports = service.spec.as_ref().unwrap().ports.as_ref().unwrap();
        let ports: Vec<_> = ports
            .iter()
            .map(|one| (one.port, one.protocol.as_deref().unwrap()))
            .collect();
        assert_eq!(ports, [(53, "TCP"), (53, "UDP")]);
    }
    let quota = objects.quota.spec.unwrap().hard.unwrap();
    assert_eq!(quota["services.nodeports"].0, "2");
}
