//! How far a version is on its way, and whether it will arrive. Pure.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::names::label;
use crate::backend::{LeaseSpec, ServiceSpec};

/// What a container waits for that does not come by itself: the cluster's words for it.
const HOPELESS: [&str; 3] = [
    "InvalidImageName",
    "CreateContainerConfigError",
    "ErrImageNeverPull",
];
/// What may come with time, where a registry or a program recovers.
const TROUBLED: [&str; 5] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "CrashLoopBackOff",
    "CreateContainerError",
    "RunContainerError",
];

/// How a version does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rollout {
    /// All replicas of it are ready, and no others are left.
    Done,
    /// It is on its way.
    Underway,
    /// It may arrive yet, and something is wrong; what.
    Troubled(String),
    /// It will not arrive as it is; why.
    Failed(String),
}

/// The workloads of a lease's namespace.
#[derive(Clone, Debug, Default)]
pub struct Workloads {
    /// Of services that keep nothing.
    pub deployments: Vec<Deployment>,
    /// Of services with volumes.
    pub stateful_sets: Vec<StatefulSet>,
    /// All pods.
    pub pods: Vec<Pod>,
}

/// How the lease's version does: as its worst service.
pub fn rollout(lease: &LeaseSpec, there: &Workloads) -> Rollout {
    let all = lease
        .services
        .iter()
        .map(|service| of_service(service, there));
    all.max_by_key(|rollout| match rollout {
        Rollout::Done => 0,
        Rollout::Underway => 1,
        Rollout::Troubled(_) => 2,
        Rollout::Failed(_) => 3,
    })
    .unwrap_or(Rollout::Done)
}

fn of_service(service: &ServiceSpec, there: &Workloads) -> Rollout {
    let fingerprint = service.fingerprint();
    let pods = there.pods.iter().filter(|pod| {
        let value = |key: &str| {
            pod.metadata
                .labels
                .as_ref()
                .and_then(|labels| labels.get(key))
                .cloned()
        };
        value(label::SERVICE).as_deref() == Some(&service.name)
            && value(label::SPEC).as_deref() == Some(&fingerprint)
    });
    let troubles: Vec<Rollout> = pods.filter_map(|pod| trouble(service, pod)).collect();
    if let Some(failed) = troubles
        .iter()
        .find(|one| matches!(one, Rollout::Failed(_)))
    {
        return failed.clone();
    }
    if let Some(why) = refused(service, there) {
        return Rollout::Troubled(why);
    }
    if let Some(troubled) = troubles.into_iter().next() {
        return troubled;
    }
    match is_done(service, there) {
        true => Rollout::Done,
        false => Rollout::Underway,
    }
}

/// What the cluster did not let the workload's controller make.
fn refused(service: &ServiceSpec, there: &Workloads) -> Option<String> {
    let deployment = there
        .deployments
        .iter()
        .find(|one| one.metadata.name.as_ref() == Some(&service.name))?;
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    let refused = conditions
        .iter()
        .find(|one| one.type_ == "ReplicaFailure" && one.status == "True")?;
    let message = refused.message.as_deref().unwrap_or("no reason is given");
    Some(format!(
        "the cluster makes no pod for the service {}: {message}",
        service.name
    ))
}

fn trouble(service: &ServiceSpec, pod: &Pod) -> Option<Rollout> {
    let status = pod.status.as_ref()?;
    let name = &service.name;
    if let Some(container) = status
        .container_statuses
        .as_ref()
        .and_then(|all| all.first())
    {
        return waiting(name, container);
    }
    let conditions = status.conditions.as_ref()?;
    let unplaced = conditions
        .iter()
        .find(|one| one.type_ == "PodScheduled" && one.status == "False")?;
    let message = unplaced.message.as_deref().unwrap_or("no reason is given");
    Some(Rollout::Troubled(format!(
        "no node takes the service {name}: {message}"
    )))
}

fn waiting(service: &str, container: &ContainerStatus) -> Option<Rollout> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref()?;
    let message = waiting.message.as_deref().unwrap_or("no reason is given");
    if HOPELESS.contains(&reason) {
        return Some(Rollout::Failed(format!(
            "the service {service} cannot be started: {message}"
        )));
    }
    if !TROUBLED.contains(&reason) {
        return None;
    }
    let end = container
        .last_state
        .as_ref()
        .and_then(|last| last.terminated.as_ref());
    let text = match end {
        Some(end) => format!("the service {service} ended with code {}", end.exit_code),
        None => format!("the service {service} cannot be started: {message}"),
    };
    Some(Rollout::Troubled(text))
}

fn is_done(service: &ServiceSpec, there: &Workloads) -> bool {
    let wanted = i32::try_from(service.replicas).unwrap_or(i32::MAX);
    let deployment = there
        .deployments
        .iter()
        .find(|one| one.metadata.name.as_ref() == Some(&service.name));
    if let Some(deployment) = deployment {
        let Some(status) = &deployment.status else {
            return false;
        };
        return status.observed_generation >= deployment.metadata.generation
            && status.updated_replicas == Some(wanted)
            && status.available_replicas == Some(wanted)
            && status.replicas == Some(wanted);
    }
    let set = there
        .stateful_sets
        .iter()
        .find(|one| one.metadata.name.as_ref() == Some(&service.name));
    set.is_some_and(|set| {
        let Some(status) = &set.status else {
            return false;
        };
        status.observed_generation >= set.metadata.generation
            && status.updated_replicas.or(Some(0)) == Some(wanted)
            && status.available_replicas.or(Some(0)) == Some(wanted)
            && status.replicas == wanted
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use welkin_runtime::types::Hash;

    use super::*;
    use crate::backend::LeaseKey;

    fn service() -> ServiceSpec {
        ServiceSpec {
            name: "web".to_owned(),
            image: "web:1".to_owned(),
            credentials: None,
            command: Vec::new(),
            args: Vec::new(),
            env: Vec::new(),
            cpu_millis: 1,
            memory_bytes: 1,
            disk_bytes: 1,
            replicas: 2,
            volumes: Vec::new(),
            ports: Vec::new(),
        }
    }

    fn lease() -> LeaseSpec {
        LeaseSpec {
            key: LeaseKey {
                lease: "1/1/1".parse().unwrap(),
                creation_height: 1,
            },
            version: Hash([1; 32]),
            services: vec![service()],
        }
    }

    fn deployment(status: Value) -> Workloads {
        let deployment =
            json!({ "metadata": { "name": "web", "generation": 4 }, "status": status });
        Workloads {
            deployments: vec![serde_json::from_value(deployment).unwrap()],
            ..Workloads::default()
        }
    }

    /// A pod of this version, whose status is this.
    fn pod(fingerprint: &str, status: Value) -> Pod {
        let labels = json!({ label::SERVICE: "web", label::SPEC: fingerprint });
        serde_json::from_value(json!({ "metadata": { "labels": labels }, "status": status }))
            .unwrap()
    }

    fn waits(reason: &str, last: Value) -> Value {
        let state = json!({ "waiting": { "reason": reason, "message": "as the cluster says" } });
        let container = json!({
            "name": "web", "image": "web:1", "imageID": "", "ready": false, "restartCount": 1,
            "state": state, "lastState": last,
        });
        json!({ "containerStatuses": [container] })
    }

    #[test]
    fn it_is_done_when_all_replicas_are_of_this_version_and_no_old_ones_are_left() {
        let good = json!({ "observedGeneration": 4, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2 });
        assert_eq!(rollout(&lease(), &deployment(good.clone())), Rollout::Done);
        for (field, value) in [
            ("observedGeneration", json!(3)),
            ("replicas", json!(3)),
            ("updatedReplicas", json!(1)),
            ("availableReplicas", json!(1)),
            ("availableReplicas", Value::Null),
        ] {
            let mut status = good.clone();
            status[field] = value;
            assert_eq!(
                rollout(&lease(), &deployment(status)),
                Rollout::Underway,
                "{field}"
            );
        }
        assert_eq!(rollout(&lease(), &Workloads::default()), Rollout::Underway);
    }

    #[test]
    fn trouble_is_told_in_the_clusters_words_and_only_of_this_version() {
        let fingerprint = service().fingerprint();
        let with = |fingerprint: &str, status| {
            let there = Workloads {
                pods: vec![pod(fingerprint, status)],
                ..Workloads::default()
            };
            rollout(&lease(), &there)
        };
        let ended = json!({ "terminated": { "exitCode": 3 } });
        let unplaced = json!({ "conditions": [
            { "type": "PodScheduled", "status": "False", "message": "0/1 nodes are available" }
        ] });
        for (status, expected) in [
            (
                waits("ErrImageNeverPull", json!({})),
                "cannot be started: as the cluster says",
            ),
            (
                waits("ImagePullBackOff", json!({})),
                "cannot be started: as the cluster says",
            ),
            (waits("CrashLoopBackOff", ended), "ended with code 3"),
            (
                unplaced,
                "no node takes the service web: 0/1 nodes are available",
            ),
        ] {
            match with(&fingerprint, status.clone()) {
                Rollout::Troubled(why) | Rollout::Failed(why) => {
                    assert!(why.contains(expected), "{why}")
                }
                other => panic!("{status}: {other:?}"),
            }
            assert_eq!(with("of an earlier version", status), Rollout::Underway);
        }
        assert!(matches!(
            with(&fingerprint, waits("InvalidImageName", json!({}))),
            Rollout::Failed(_)
        ));
        assert_eq!(
            with(&fingerprint, waits("ContainerCreating", json!({}))),
            Rollout::Underway
        );
    }

    #[test]
    fn what_the_cluster_refuses_to_make_is_told() {
        let refused = json!({ "conditions": [
            { "type": "ReplicaFailure", "status": "True", "message": "exceeded quota" }
        ] });
        let Rollout::Troubled(why) = rollout(&lease(), &deployment(refused)) else {
            panic!("it is not told");
        };
        assert!(
            why.ends_with("for the service web: exceeded quota"),
            "{why}"
        );
    }
}
