//! From the cluster's namespaces and pods to what the daemon knows of its leases. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ContainerState, Namespace, Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use welkin_provider_api::manifest::Protocol;

use super::names::{self, annotation, label};
use crate::backend::{Instance, LeaseKey, ReplicaState, Run, SeenLease, SeenReplica};

/// The code that is told where the cluster tells none.
const UNKNOWN_CODE: i64 = 255;

/// The leases of this instance. A namespace without pods is one that has none yet.
pub fn leases(
    instance: &Instance,
    namespaces: &[Namespace],
    pods: &[Pod],
    services: &[Service],
) -> Vec<SeenLease> {
    let mut leases: BTreeMap<LeaseKey, Vec<&Pod>> = BTreeMap::new();
    for namespace in namespaces {
        if let Some(key) = lease_of(instance, &namespace.metadata) {
            leases.entry(key).or_default();
        }
    }
    for pod in pods {
        // A pod that carries our labels in a namespace of somebody else's is none of ours.
        let key = lease_of(instance, &pod.metadata);
        let is_at_home = |key: &LeaseKey| {
            pod.metadata.namespace.as_deref() == Some(&names::namespace(instance, *key))
        };
        if let Some(key) = key.filter(is_at_home)
            && let Some(pods) = leases.get_mut(&key)
        {
            pods.push(pod);
        }
    }
    let lease = |(key, pods): (LeaseKey, Vec<&Pod>)| SeenLease {
        key,
        replicas: numbered(pods).into_iter().map(replica).collect(),
        interface: None,
        public_ports: public_ports(instance, key, services),
    };
    leases.into_iter().map(lease).collect()
}

/// The ports that the cluster gave to the lease's Services.
fn public_ports(
    instance: &Instance,
    key: LeaseKey,
    services: &[Service],
) -> BTreeMap<(String, u16, Protocol), u16> {
    let own = services
        .iter()
        .filter(|one| lease_of(instance, &one.metadata) == Some(key));
    let mut ports = BTreeMap::new();
    for service in own {
        let name = service
            .metadata
            .labels
            .as_ref()
            .and_then(|labels| labels.get(label::SERVICE));
        let given = service.spec.as_ref().and_then(|spec| spec.ports.as_ref());
        for port in given.into_iter().flatten() {
            let protocol = match port.protocol.as_deref() {
                Some("UDP") => Protocol::Udp,
                _ => Protocol::Tcp,
            };
            let outside = port.node_port.and_then(|port| u16::try_from(port).ok());
            if let (Some(name), Ok(inside), Some(outside)) =
                (name, u16::try_from(port.port), outside)
            {
                ports.insert((name.clone(), inside, protocol), outside);
            }
        }
    }
    ports
}

/// The lease of an object, if it is one of this instance's.
pub fn lease_of(instance: &Instance, metadata: &ObjectMeta) -> Option<LeaseKey> {
    names::lease_of(
        instance,
        metadata.labels.as_ref()?,
        metadata.annotations.as_ref()?,
    )
}

/// A pod that stands for a replica.
#[derive(Clone, Copy, Debug)]
pub struct Numbered<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// The replica's number.
    pub replica: u32,
}

impl Numbered<'_> {
    /// What one of its labels says.
    pub fn label(&self, key: &str) -> &str {
        value(self.pod, key)
    }
}

fn value<'a>(pod: &'a Pod, key: &str) -> &'a str {
    let labels = pod.metadata.labels.as_ref();
    labels
        .and_then(|labels| labels.get(key))
        .map_or("", String::as_str)
}

/// The pods that stand for replicas. Those of a Deployment have no numbers: within a version of a service the oldest has
/// 0. Those of a StatefulSet end with theirs.
pub fn numbered<'a>(pods: impl IntoIterator<Item = &'a Pod>) -> Vec<Numbered<'a>> {
    let mut groups: BTreeMap<(&str, &str), Vec<&Pod>> = BTreeMap::new();
    for pod in pods.into_iter().filter(|pod| !is_over(pod)) {
        let group = (value(pod, label::SERVICE), value(pod, label::SPEC));
        groups.entry(group).or_default().push(pod);
    }
    for pods in groups.values_mut() {
        pods.sort_by_key(|pod| {
            (
                pod.metadata.creation_timestamp.clone(),
                pod.metadata.name.clone(),
            )
        });
    }
    let ranked = groups
        .into_values()
        .flat_map(|pods| pods.into_iter().zip(0..));
    ranked
        .map(|(pod, rank)| Numbered {
            pod,
            replica: number(pod).unwrap_or(rank),
        })
        .collect()
}

/// Why a namespace that goes is still there, in the cluster's words.
pub fn held_up(namespace: &Namespace) -> String {
    let name = namespace.metadata.name.as_deref().unwrap_or_default();
    let status = namespace.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_ref());
    // Each is of something that went wrong, or is left.
    let holding = conditions
        .into_iter()
        .flatten()
        .filter(|one| one.status == "True");
    let mut said: Vec<&str> = holding.filter_map(|one| one.message.as_deref()).collect();
    if said.is_empty() {
        said.push("the cluster does not say why");
    }
    format!("the namespace {name} does not go: {}", said.join("; "))
}

/// Whether it goes, or has been thrown off its node: another takes its place.
fn is_over(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_some()
        || phase == Some("Failed")
        || phase == Some("Succeeded")
}

/// The number that a StatefulSet gave it.
fn number(pod: &Pod) -> Option<u32> {
    let owner = pod.metadata.owner_references.as_ref()?.first()?;
    let name = pod.metadata.name.as_ref()?;
    (owner.kind == "StatefulSet")
        .then(|| name.rsplit_once('-')?.1.parse().ok())
        .flatten()
}

fn replica(numbered: Numbered<'_>) -> SeenReplica {
    let Numbered { pod, replica } = numbered;
    let annotations = pod.metadata.annotations.as_ref();
    let version = annotations.and_then(|all| names::hash(all.get(annotation::VERSION)?));
    let status = pod.status.as_ref();
    let container = status.and_then(|status| status.container_statuses.as_ref()?.first());
    let running = container.and_then(|container| container.state.as_ref()?.running.as_ref());
    let started = running.and_then(|running| running.started_at.as_ref());
    SeenReplica {
        service: numbered.label(label::SERVICE).to_owned(),
        replica,
        fingerprint: numbered.label(label::SPEC).to_owned(),
        version: version.unwrap_or_default(),
        state: container.map_or(ReplicaState::Waiting, |container| {
            let last = container.last_state.as_ref();
            state(container.state.as_ref(), last)
        }),
        // The cluster leads to it, not the provider.
        address: None,
        is_ready: Some(is_ready(pod)),
        run: Run {
            id: pod.metadata.uid.clone().unwrap_or_default(),
            started: started.map(|time| time.0.to_string()),
            restarts: container.map_or(0, |one| u32::try_from(one.restart_count).unwrap_or(0)),
        },
    }
}

/// Whether the cluster sends it requests.
fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|one| one.type_ == "Ready" && one.status == "True")
}

/// What became of the container. One that waits to be started again has ended; one that was never started waits.
fn state(now: Option<&ContainerState>, before: Option<&ContainerState>) -> ReplicaState {
    if now.is_some_and(|now| now.running.is_some()) {
        return ReplicaState::Running;
    }
    let ended = |state: Option<&ContainerState>| state.and_then(|state| state.terminated.clone());
    match ended(now).or_else(|| ended(before)) {
        Some(end) => ReplicaState::Exited {
            code: if end.reason.as_deref() == Some("ContainerStatusUnknown") {
                UNKNOWN_CODE
            } else {
                i64::from(end.exit_code)
            },
            out_of_memory: end.reason.as_deref() == Some("OOMKilled"),
        },
        None => ReplicaState::Waiting,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use welkin_runtime::types::{Address, Hash};

    use super::*;

    fn instance() -> Instance {
        Instance {
            genesis: Hash([1; 32]),
            provider: Address([2; 20]),
        }
    }

    fn key() -> LeaseKey {
        LeaseKey {
            lease: "12/1/1".parse().unwrap(),
            creation_height: 57,
        }
    }

    fn namespace() -> Namespace {
        Namespace {
            metadata: ObjectMeta {
                labels: Some(names::labels(&instance(), key())),
                annotations: Some(names::annotations(&instance())),
                ..Default::default()
            },
            ..Default::default()
        }
    }

    /// A pod of the service `web`, with this status.
    fn pod(name: &str, owner: &str, created: &str, status: serde_json::Value) -> Pod {
        let mut labels = names::service_labels(&instance(), key(), "web");
        labels.insert(label::SPEC.to_owned(), "aa".to_owned());
        let mut annotations = names::annotations(&instance());
        annotations.insert(annotation::VERSION.to_owned(), Hash([3; 32]).to_string());
        let pod = json!({
            "metadata": {
                "name": name,
                "namespace": names::namespace(&instance(), key()),
                "uid": name,
                "labels": labels,
                "annotations": annotations,
                "creationTimestamp": created,
                "ownerReferences": [{ "apiVersion": "apps/v1", "kind": owner, "name": "web", "uid": "1" }],
            },
            "status": status,
        });
        serde_json::from_value(pod).unwrap()
    }

    fn container(
        state: serde_json::Value,
        last: serde_json::Value,
        restarts: u32,
    ) -> serde_json::Value {
        let container = json!({
            "name": "web", "image": "web:1", "imageID": "", "ready": false,
            "restartCount": restarts, "state": state, "lastState": last,
        });
        json!({ "phase": "Running", "podIP": "10.244.0.7", "containerStatuses": [container] })
    }

    fn seen(pods: &[Pod]) -> Vec<SeenReplica> {
        leases(&instance(), &[namespace()], pods, &[])
            .remove(0)
            .replicas
    }

    #[test]
    fn what_a_container_waits_for_tells_whether_it_ended() {
        let ended = json!({ "terminated": { "exitCode": 3, "reason": "Error" } });
        let starved = json!({ "terminated": { "exitCode": 137, "reason": "OOMKilled" } });
        let pause = json!({ "waiting": { "reason": "CrashLoopBackOff" } });
        let fresh = json!({ "waiting": { "reason": "ContainerCreating" } });
        let running = json!({ "running": { "startedAt": "2026-01-01T00:00:00Z" } });
        let exited = |code, out_of_memory| ReplicaState::Exited {
            code,
            out_of_memory,
        };
        for (now, last, expected) in [
            (fresh, json!({}), ReplicaState::Waiting),
            (running, ended.clone(), ReplicaState::Running),
            (pause.clone(), ended.clone(), exited(3, false)),
            (pause, starved, exited(137, true)),
            (ended, json!({}), exited(3, false)),
        ] {
            let pod = pod(
                "web-x",
                "ReplicaSet",
                "2026-01-01T00:00:00Z",
                container(now, last, 1),
            );
            let replica = seen(&[pod]).remove(0);
            assert_eq!(replica.state, expected);
            assert_eq!((replica.run.restarts, replica.version), (1, Hash([3; 32])));
        }
    }

    #[test]
    fn the_oldest_pod_is_the_first_replica_unless_the_cluster_numbers_them() {
        let status = || container(json!({}), json!({}), 0);
        let pods = [
            pod("web-b", "ReplicaSet", "2026-01-01T00:00:02Z", status()),
            pod("web-c", "ReplicaSet", "2026-01-01T00:00:01Z", status()),
            pod("web-a", "ReplicaSet", "2026-01-01T00:00:02Z", status()),
        ];
        let names: Vec<String> = seen(&pods).into_iter().map(|one| one.run.id).collect();
        assert_eq!(names, ["web-c", "web-a", "web-b"]);
        let pods = [
            pod("web-1", "StatefulSet", "2026-01-01T00:00:01Z", status()),
            pod("web-0", "StatefulSet", "2026-01-01T00:00:02Z", status()),
        ];
        let numbers: Vec<u32> = seen(&pods).into_iter().map(|one| one.replica).collect();
        assert_eq!(numbers, [1, 0]);
    }

    #[test]
    fn what_goes_or_was_evicted_is_no_replica() {
        let mut going = pod(
            "web-a",
            "ReplicaSet",
            "2026-01-01T00:00:00Z",
            container(json!({}), json!({}), 0),
        );
        going.metadata.deletion_timestamp = going.metadata.creation_timestamp.clone();
        let evicted = pod(
            "web-b",
            "ReplicaSet",
            "2026-01-01T00:00:00Z",
            json!({ "phase": "Failed", "reason": "Evicted" }),
        );
        assert_eq!(seen(&[going, evicted]), []);
    }

    #[test]
    fn what_holds_up_a_namespace_is_told_in_the_clusters_words() {
        let condition = |status: &str, message: &str| json!({ "type": message, "status": status, "message": message });
        let namespace = |conditions: serde_json::Value| {
            let namespace =
                json!({ "metadata": { "name": "x" }, "status": { "conditions": conditions } });
            held_up(&serde_json::from_value(namespace).unwrap())
        };
        let finalizer = condition(
            "True",
            "some content has finalizers remaining: example.org/keep in 1 resource instances",
        );
        let told = namespace(json!([condition("False", "all is well"), finalizer]));
        assert_eq!(
            told,
            "the namespace x does not go: some content has finalizers remaining: example.org/keep in 1 resource instances"
        );
        assert!(namespace(json!([])).ends_with("the cluster does not say why"));
    }

    #[test]
    fn objects_of_others_are_not_seen_whatever_labels_they_borrow() {
        let status = || container(json!({}), json!({}), 0);
        let mut elsewhere = pod("web-a", "ReplicaSet", "2026-01-01T00:00:00Z", status());
        elsewhere.metadata.namespace = Some("default".to_owned());
        assert_eq!(seen(&[elsewhere]), []);
        let other = Instance {
            genesis: Hash([9; 32]),
            ..instance()
        };
        let pods = [pod("web-a", "ReplicaSet", "2026-01-01T00:00:00Z", status())];
        assert_eq!(leases(&other, &[namespace()], &pods, &[]), []);
        // A pod whose namespace was not in the list: the next look has both.
        assert_eq!(leases(&instance(), &[], &pods, &[]), []);
    }
}
