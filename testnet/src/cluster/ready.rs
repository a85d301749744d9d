//! Waiting until a cluster is what it should be.

use super::kubectl;
use super::layout::Member;
use super::programs::{HEALTH_ENVOY, HEALTH_ETCD, HEALTH_FELIX};
use super::record::Cluster;
use crate::network::http::get;
use crate::network::process::tail;
use crate::network::waiting::{Wait, told};
use anyhow::ensure;
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;

/// How often something cheap is looked at.
const LOOK: Duration = Duration::from_millis(25);
/// How often something is looked at by a program that has to be started for it.
const COSTLY_LOOK: Duration = Duration::from_millis(200);
/// How long one step may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until `is_so`; `what` stands behind "waiting for".
///
/// # Errors
/// A process ended (with the last words of its log), or it takes too long.
async fn until<Answer: Future<Output = bool>>(
    cluster: &Cluster,
    what: &str,
    look: Duration,
    is_so: impl Fn() -> Answer,
) -> anyhow::Result<()> {
    let mut wait = Wait::new(what);
    while !is_so().await {
        check_alive(cluster)?;
        ensure!(
            wait.elapsed() < PATIENCE,
            "waited too long for {what}; see {}",
            cluster.folder.join("logs").display()
        );
        wait.tell();
        tokio::time::sleep(look).await;
    }
    Ok(())
}

/// Waits until etcd answers.
///
/// # Errors
/// It ended, or takes too long.
pub async fn until_etcd_answers(cluster: &Cluster) -> anyhow::Result<()> {
    let address = address(cluster, Member::Control, HEALTH_ETCD);
    until(cluster, "etcd", LOOK, || is_well(address, "health")).await
}

/// Waits until the API server takes requests.
///
/// # Errors
/// It ended, or takes too long.
pub async fn until_api_answers(cluster: &Cluster) -> anyhow::Result<()> {
    let what = "the API server";
    let address = address(cluster, Member::Control, super::layout::API_PORT);
    let listens = || async { tokio::net::TcpStream::connect(address).await.is_ok() };
    until(cluster, what, LOOK, listens).await?;
    until(cluster, what, COSTLY_LOOK, || api_answers(cluster)).await
}

/// Whether the API server takes requests.
pub async fn api_answers(cluster: &Cluster) -> bool {
    kubectl::run(cluster, &["get", "--raw=/readyz"])
        .await
        .is_ok()
}

/// Waits until every containerd answers.
///
/// # Errors
/// One ended, or takes too long.
pub async fn until_containers_can_be_made(cluster: &Cluster) -> anyhow::Result<()> {
    for member in cluster.members() {
        if member == Member::Control {
            continue;
        }
        let socket = cluster.folder.join(member.name()).join("containerd.sock");
        // Under its short name: a socket's path has 107 bytes.
        let own = socket.strip_prefix(&cluster.folder).unwrap_or(&socket);
        let socket = cluster.layout().mounted().join(own);
        let answers = || async { tokio::net::UnixStream::connect(&socket).await.is_ok() };
        until(cluster, "containerd", LOOK, answers).await?;
    }
    Ok(())
}

/// Waits until every node is ready, and policies are enforced on it.
///
/// # Errors
/// A process ended, or it takes too long.
pub async fn until_nodes_are_ready(cluster: &Cluster) -> anyhow::Result<()> {
    let what = "the nodes to be ready";
    until(cluster, what, COSTLY_LOOK, || nodes_are_ready(cluster)).await?;
    for member in cluster.members() {
        if member != Member::Control {
            let felix = address(cluster, member, HEALTH_FELIX);
            let what = "policies to be enforced";
            until(cluster, what, LOOK, || is_well(felix, "readiness")).await?;
        }
    }
    Ok(())
}

/// Whether every node is ready.
pub async fn nodes_are_ready(cluster: &Cluster) -> bool {
    let nodes = kubectl::json(cluster, &["get", "nodes"]).await;
    nodes.is_ok_and(|nodes| ready_nodes(&nodes) == usize::from(cluster.nodes))
}

/// How many nodes of a list are ready.
pub fn ready_nodes(nodes: &Value) -> usize {
    let items = nodes["items"].as_array().into_iter().flatten();
    items.filter(|node| is(node, "Ready")).count()
}

/// Whether an object says that it is in this condition.
fn is(object: &Value, condition: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|one| one["type"] == condition && one["status"] == "True")
}

/// Waits until objects of all kinds can be made that were defined here.
///
/// # Errors
/// A process ended, or it takes too long.
pub async fn until_kinds_are_known(cluster: &Cluster) -> anyhow::Result<()> {
    // Not `kubectl wait`, which asks for one after the other, five in a second.
    let all_known = || async {
        let kinds = kubectl::json(cluster, &["get", "crd"]).await;
        let kinds = kinds.unwrap_or_default();
        let kinds = kinds["items"].as_array();
        kinds.is_some_and(|kinds| kinds.iter().all(|kind| is(kind, "Established")))
    };
    until(cluster, "kinds of objects", COSTLY_LOOK, all_known).await
}

/// Waits until pods can ask for names.
///
/// # Errors
/// It takes too long.
pub async fn until_names_resolve(cluster: &Cluster) -> anyhow::Result<()> {
    let wait = [
        "--namespace=kube-system",
        "rollout",
        "status",
        "deployment/coredns",
        "--timeout=120s",
    ];
    let wait = kubectl::run(cluster, &wait);
    told("the cluster's names", wait).await.map(|_| ())
}

/// Waits until the ingress has its first settings.
///
/// # Errors
/// A process ended, or it takes too long.
pub async fn until_ingress_answers(cluster: &Cluster) -> anyhow::Result<()> {
    let envoy = address(cluster, Member::Control, HEALTH_ENVOY);
    until(cluster, "the ingress", LOOK, || is_well(envoy, "ready")).await
}

async fn is_well(address: SocketAddr, path: &str) -> bool {
    get(address, path)
        .await
        .is_ok_and(|answer| answer.status.is_success())
}

fn address(cluster: &Cluster, member: Member, port: u16) -> SocketAddr {
    (cluster.layout().addresses(member).0, port).into()
}

/// Whether all that was started still runs.
///
/// # Errors
/// One ended: the last words of its log.
pub fn check_alive(cluster: &Cluster) -> anyhow::Result<()> {
    for (name, process) in &cluster.processes {
        let log = cluster.log(name);
        ensure!(
            process.is_alive(),
            "{name} ended; the end of {}:\n{}",
            log.display(),
            tail(&log, 8)
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_node_is_ready_when_it_says_so_and_not_before() {
        let node = |status: &str| {
            json!({"status": {"conditions": [
            {"type": "DiskPressure", "status": "False"}, {"type": "Ready", "status": status}]}})
        };
        let nodes = json!({"items": [node("True"), node("False"), node("Unknown"), {}]});
        assert_eq!(ready_nodes(&nodes), 1);
        assert_eq!(ready_nodes(&json!({})), 0);
    }
}
