//! Kubernetes clusters from outside: brought up, used and taken away by the commands that people type.
//!
//! Left out, with a line that says so, where the cluster's programs are not built: `testnet/kubernetes/build.sh` builds them.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod harness;

use harness::{Own, SAMPLE, left_out, traces, until};
use welkin_testnet::network::process::tail;

#[test]
fn a_workload_runs_answers_and_is_fenced_in_by_policies_and_nothing_of_it_stays() {
    if left_out("a_workload_runs_answers_and_is_fenced_in_by_policies") {
        return;
    }
    let own = Own::up(&[]);
    let cluster = own.cluster();
    own.load_sample();
    own.apply(SAMPLE);
    own.roll_out("hello");
    own.roll_out("other");

    let port = own.in_tenant("get service hello -o=jsonpath={.spec.ports[0].nodePort}");
    let (first, last) = cluster.layout().node_ports();
    assert!((first..=last).contains(&port.parse().unwrap()), "{port}");
    let node_port = format!("http://127.0.0.1:{port}/");
    let ingress = format!("http://hello.localhost:{}/", cluster.layout().http_port());
    for url in [&node_port, &ingress] {
        until(&format!("{url} answers"), || {
            own.answer(url).filter(|page| page.contains("Hello"))
        });
    }
    people_can_look_into(&own);
    // Another pod's name is found, and it answers.
    let ask = "exec deployment/other -- /hello ask hello 80 /";
    assert!(own.in_tenant(ask).contains("Hello"));
    volume_outlives_its_pod(&own);

    own.apply(DENY);
    for url in [&node_port, &ingress] {
        until(&format!("{url} is kept from it"), || {
            own.answer(url).is_none().then_some(())
        });
    }
    own.fails_in_tenant(ask);
    own.in_tenant("delete networkpolicy deny");
    until("it answers again", || own.answer(&node_port));

    own.down(&["--purge"]);
    assert_eq!(traces(&cluster), Vec::<String>::new());
}

fn people_can_look_into(own: &Own) {
    let who = own.in_tenant("exec deployment/hello -- id");
    assert!(who.contains("uid=1000(app)"), "{who}");
    let logs = own.in_tenant("logs deployment/hello");
    assert!(logs.contains("listening on port 8080"), "{logs}");
}

fn volume_outlives_its_pod(own: &Own) {
    own.in_tenant("exec deployment/other -- sh -c echo>/data/kept");
    own.in_tenant("delete pod --grace-period=1 -l=app=other");
    own.roll_out("other");
    assert_eq!(
        own.in_tenant("exec deployment/other -- ls /data").trim(),
        "kept"
    );
}

#[test]
fn two_clusters_run_side_by_side_and_what_was_killed_in_one_is_started_again() {
    if left_out("two_clusters_run_side_by_side") {
        return;
    }
    let (one, two) = (Own::up(&[]), Own::up(&["--nodes", "2"]));
    assert_ne!(one.cluster().number, two.cluster().number);
    let before = one.cluster().processes;
    for killed in [
        "control-etcd",
        "control-kube-apiserver",
        "node-0-kubelet",
        "node-0-containerd",
        "forwarder",
    ] {
        before[killed].kill().unwrap();
    }
    one.again();
    for (name, process) in &one.cluster().processes {
        let log = tail(&one.cluster().log(name), 5);
        assert!(process.is_alive(), "{name}: {log}");
    }
    assert_eq!(
        one.cluster().processes["control-kube-scheduler"],
        before["control-kube-scheduler"]
    );
    let nodes = two.kubectl(&["get", "nodes", "-o=name"]);
    assert_eq!(nodes.trim(), "node/node-0\nnode/node-1");
    for (name, process) in &two.cluster().processes {
        assert!(process.is_alive(), "{name}");
    }

    // What was said to the API outlives the cluster's rest.
    one.apply(
        "{\"apiVersion\": \"v1\", \"kind\": \"Namespace\", \"metadata\": {\"name\": \"kept\"}}",
    );
    one.down(&[]);
    assert_eq!(traces(&one.cluster()), Vec::<String>::new());
    one.again();
    one.kubectl(&["get", "namespace", "kept"]);
}

const DENY: &str = r#"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: tenant}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
"#;
