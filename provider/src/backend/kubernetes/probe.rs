//! Whether the cluster keeps leases in: a pod that is fenced in like a lease's tries what no lease may reach.
//!
//! What it tries always listens: the API server and the kubelets. So an attempt that fails says that the policies hold,
//! and one that the policies allow, to the resolver, says that the pod can try at all.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{LogParams, PostParams};
use kube::{Api, Client};
use tokio::time::Instant;
use welkin_runtime::types::Hash;

use super::cluster::{apply, delete, error, everything};
use super::names::label;
use super::objects::{limits, network, pod};
use super::settings::Settings;
use crate::backend::{BackendError, Isolation, LeaseKey, LeaseSpec, ServiceSpec};

/// The port of every kubelet.
const KUBELET: u16 = 10_250;
/// Nodes that are tried: on each the same policies are enforced by the same program.
const MAX_NODES: usize = 3;
/// How long an attempt may take, in seconds: what is let through answers in a moment.
const ATTEMPT_SECONDS: u32 = 3;
/// How long the pod may take to say what it found, its image pulled meanwhile.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(250);
/// As whom the probe runs where images may not choose.
const NOBODY: i64 = 65_534;
/// What the probe says at its end.
const DONE: &str = "done";

/// Something that listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// Its address.
    pub address: IpAddr,
    /// Its port, over TCP.
    pub port: u16,
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.address, self.port)
    }
}

/// Tries from inside a pod what no lease may reach; what answered.
///
/// # Errors
/// [`BackendError`] when the pod could not try: that says nothing of the policies.
pub async fn leaks(client: &Client, settings: &Settings) -> Result<Vec<String>, BackendError> {
    let services = Api::<Service>::all(client.clone());
    let services = everything(&services).await?;
    let nodes = everything::<Node>(&Api::all(client.clone())).await?;
    let forbidden = forbidden(&services, &nodes);
    let allowed = resolver(&services);
    if forbidden.is_empty() || allowed.is_empty() {
        return Err(BackendError::Engine(
            "the cluster has no API server's service, node or resolver to try its policies on"
                .to_owned(),
        ));
    }
    let namespace = format!("welkin-{}-probe", settings.instance.short());
    let said = run(client, settings, &namespace, &script(&forbidden, &allowed)).await?;
    read(&said, &forbidden, &allowed)
}

/// What listens in every cluster and is no lease's business.
fn forbidden(services: &[Service], nodes: &[Node]) -> BTreeSet<Target> {
    let api = service(services, "default", "kubernetes");
    let nodes = nodes.iter().take(MAX_NODES).flat_map(|node| {
        let addresses = node
            .status
            .as_ref()
            .and_then(|status| status.addresses.as_ref());
        let own = addresses
            .into_iter()
            .flatten()
            .filter(|one| one.type_ == "InternalIP");
        own.filter_map(|one| {
            Some(Target {
                address: one.address.parse().ok()?,
                port: KUBELET,
            })
        })
    });
    api.into_iter().chain(nodes).collect()
}

fn resolver(services: &[Service]) -> BTreeSet<Target> {
    let all = service(services, "kube-system", "kube-dns");
    all.into_iter().filter(|one| one.port == 53).collect()
}

/// Where a Service is reached over TCP.
fn service(services: &[Service], namespace: &str, name: &str) -> BTreeSet<Target> {
    let found = services.iter().find(|one| {
        one.metadata.namespace.as_deref() == Some(namespace)
            && one.metadata.name.as_deref() == Some(name)
    });
    let spec = found.and_then(|service| service.spec.as_ref());
    let address = spec.and_then(|spec| spec.cluster_ip.as_ref()?.parse().ok());
    let ports = spec
        .and_then(|spec| spec.ports.as_ref())
        .into_iter()
        .flatten();
    let tcp = ports.filter(|port| port.protocol.as_deref() != Some("UDP"));
    let numbers = tcp.filter_map(|port| u16::try_from(port.port).ok());
    address
        .into_iter()
        .flat_map(|address| numbers.clone().map(move |port| Target { address, port }))
        .collect()
}

/// Tries all at once.
fn script(forbidden: &BTreeSet<Target>, allowed: &BTreeSet<Target>) -> String {
    let attempts = forbidden.iter().chain(allowed).map(|target| {
        format!("(nc -w {ATTEMPT_SECONDS} {target} -e true </dev/null >/dev/null 2>&1 && echo 'reached {target}') &\n")
    });
    format!("{}wait\necho {DONE}\n", attempts.collect::<String>())
}

/// What the probe's words mean.
fn read(
    said: &str,
    forbidden: &BTreeSet<Target>,
    allowed: &BTreeSet<Target>,
) -> Result<Vec<String>, BackendError> {
    let reached = |target: &&Target| said.lines().any(|line| line == format!("reached {target}"));
    let is_done = said.lines().any(|line| line == DONE);
    if !is_done || !allowed.iter().any(|target| reached(&target)) {
        return Err(BackendError::Engine(format!(
            "the probe could not try the cluster's network policies: it does not even reach the resolver; it said: {}",
            said.trim()
        )));
    }
    let leaking = forbidden.iter().filter(reached);
    Ok(leaking.map(ToString::to_string).collect())
}

/// Runs the script in a pod of a namespace that is closed like a lease's, and removes the pod; what it wrote.
async fn run(
    client: &Client,
    settings: &Settings,
    namespace: &str,
    script: &str,
) -> Result<String, BackendError> {
    let lease = lease(settings, script);
    let mut home = limits::namespace(settings, &lease);
    of_the_probe(&mut home.metadata, namespace);
    home.metadata.name = Some(namespace.to_owned());
    home.metadata.namespace = None;
    apply(&Api::<Namespace>::all(client.clone()), &home).await?;
    let policies = Api::<NetworkPolicy>::namespaced(client.clone(), namespace);
    for mut policy in network::policies(settings, &lease) {
        of_the_probe(&mut policy.metadata, namespace);
        apply(&policies, &policy).await?;
    }
    let pods = Api::<Pod>::namespaced(client.clone(), namespace);
    for left in everything(&pods).await? {
        delete(&pods, &left).await?;
    }
    let made = pods
        .create(&PostParams::default(), &probe(settings, &lease, namespace))
        .await
        .map_err(error)?;
    let said = until_it_ended(&pods, &made).await;
    delete(&pods, &made).await?;
    said
}

/// Labels by which nobody takes it for a lease.
fn of_the_probe(metadata: &mut ObjectMeta, namespace: &str) {
    metadata.namespace = Some(namespace.to_owned());
    if let Some(labels) = &mut metadata.labels {
        for key in [label::LEASE, label::HEIGHT, label::SERVICE] {
            labels.remove(key);
        }
    }
}

/// What is fenced in: a lease that never was.
fn lease(settings: &Settings, script: &str) -> LeaseSpec {
    let service = ServiceSpec {
        name: "probe".to_owned(),
        image: settings.probe_image.clone(),
        credentials: None,
        command: ["sh", "-c", script].map(str::to_owned).into(),
        args: Vec::new(),
        env: Vec::new(),
        cpu_millis: 50,
        memory_bytes: 32 << 20,
        disk_bytes: 16 << 20,
        replicas: 1,
        volumes: Vec::new(),
        ports: Vec::new(),
    };
    LeaseSpec {
        key: LeaseKey {
            lease: welkin_modules::ids::LeaseId {
                deployment: welkin_modules::ids::DeploymentId(0),
                group: 0,
                order: 0,
            },
            creation_height: 0,
        },
        version: Hash([0; 32]),
        services: vec![service],
    }
}

fn probe(settings: &Settings, lease: &LeaseSpec, namespace: &str) -> Pod {
    let template = pod::template(settings, lease.key, &lease.services[0], lease.version);
    let mut metadata = template.metadata.unwrap_or_default();
    of_the_probe(&mut metadata, namespace);
    metadata.generate_name = Some("probe-".to_owned());
    let mut spec = template.spec;
    if let Some(spec) = &mut spec {
        spec.restart_policy = Some("Never".to_owned());
        if settings.isolation == Isolation::Restricted
            && let Some(context) = &mut spec.security_context
        {
            context.run_as_user = Some(NOBODY);
        }
    }
    Pod {
        metadata,
        spec,
        status: None,
    }
}

async fn until_it_ended(pods: &Api<Pod>, made: &Pod) -> Result<String, BackendError> {
    let name = made.metadata.name.clone().unwrap_or_default();
    let began = Instant::now();
    loop {
        let there = pods.get(&name).await.map_err(error)?;
        let status = there.status.unwrap_or_default();
        if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
            return pods.logs(&name, &LogParams::default()).await.map_err(error);
        }
        if began.elapsed() >= PATIENCE {
            let containers = status.container_statuses.into_iter().flatten();
            let waiting = containers.filter_map(|one| one.state?.waiting?.message);
            let why: Vec<String> = waiting.collect();
            return Err(BackendError::Engine(format!(
                "the probe of the cluster's network policies did not run within {} s: {}",
                PATIENCE.as_secs(),
                why.join("; ")
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::objects::tests::settings;
    use super::*;

    fn targets(all: &[(&str, u16)]) -> BTreeSet<Target> {
        let target = |(address, port): &(&str, u16)| Target {
            address: address.parse().unwrap(),
            port: *port,
        };
        all.iter().map(target).collect()
    }

    fn service(namespace: &str, name: &str, address: &str, ports: serde_json::Value) -> Service {
        let service = json!({
            "metadata": { "namespace": namespace, "name": name },
            "spec": { "clusterIP": address, "ports": ports },
        });
        serde_json::from_value(service).unwrap()
    }

    #[test]
    fn it_tries_the_api_server_and_the_kubelets_and_the_resolver_to_see_that_it_can() {
        let dns = json!([{ "port": 53, "protocol": "UDP" }, { "port": 53, "protocol": "TCP" }, { "port": 9153 }]);
        let services = [
            service(
                "default",
                "kubernetes",
                "10.96.0.1",
                json!([{ "port": 443 }]),
            ),
            service("kube-system", "kube-dns", "10.96.0.10", dns),
            service("tenant", "kubernetes", "10.96.0.9", json!([{ "port": 1 }])),
        ];
        let addresses = json!([
            { "type": "Hostname", "address": "node-0" },
            { "type": "InternalIP", "address": "198.18.0.3" },
            { "type": "InternalIP", "address": "fd18::3" },
        ]);
        let node: Node =
            serde_json::from_value(json!({ "status": { "addresses": addresses } })).unwrap();
        let tried = targets(&[
            ("10.96.0.1", 443),
            ("198.18.0.3", KUBELET),
            ("fd18::3", KUBELET),
        ]);
        assert_eq!(forbidden(&services, &[node]), tried);
        assert_eq!(resolver(&services), targets(&[("10.96.0.10", 53)]));
    }

    #[test]
    fn silence_is_no_proof() {
        let (bad, good) = (
            targets(&[("10.96.0.1", 443)]),
            targets(&[("10.96.0.10", 53)]),
        );
        let read = |said: &str| read(said, &bad, &good);
        assert_eq!(read("reached 10.96.0.10 53\ndone\n"), Ok(Vec::new()));
        assert_eq!(
            read("reached 10.96.0.1 443\nreached 10.96.0.10 53\ndone\n"),
            Ok(vec!["10.96.0.1 443".to_owned()])
        );
        for silent in [
            "",
            "done\n",
            "reached 10.96.0.10 53\n",
            "sh: nc: not found\ndone\n",
        ] {
            assert!(read(silent).is_err(), "{silent:?}");
        }
    }

    #[test]
    fn the_probe_is_fenced_in_like_a_lease_and_taken_for_none() {
        for isolation in [Isolation::Restricted, Isolation::Gvisor, Isolation::Userns] {
            let settings = settings(isolation);
            let lease = lease(&settings, "true");
            let pod = probe(&settings, &lease, "home");
            let spec = pod.spec.unwrap();
            assert_eq!(spec.restart_policy.as_deref(), Some("Never"));
            let labels = pod.metadata.labels.unwrap();
            let annotations = pod.metadata.annotations.unwrap_or_default();
            assert_eq!(
                super::super::names::lease_of(&settings.instance, &labels, &annotations),
                None
            );
        }
    }
}
