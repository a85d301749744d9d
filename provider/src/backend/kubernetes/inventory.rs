//! What a cluster has. Pure, in whole numbers.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Container, Node, Pod, PodSpec};
use k8s_openapi::api::node::v1::RuntimeClass;
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use welkin_modules::ids::LeaseId;

use super::observe;
use super::settings::Settings;
use crate::backend::{Instance, Inventory, NodeRoom, Room};
use crate::workload::DEFAULT_CLASS;

/// The annotation of the storage class that is meant where none is named.
const IS_DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";

/// What is free in the cluster. `pods` are all there are, whosever they are.
pub fn room(instance: &Instance, nodes: &[Node], pods: &[Pod], overhead: Inventory) -> Room {
    let mut places: BTreeMap<&str, Place> = BTreeMap::new();
    for node in nodes.iter().filter(|node| takes_tenants(node)) {
        let name = node.metadata.name.as_deref().unwrap_or_default();
        places.insert(name, Place::of(node));
    }
    let mut placed: BTreeMap<LeaseId, Vec<Inventory>> = BTreeMap::new();
    for pod in pods {
        let spec = pod.spec.as_ref();
        let node = spec
            .and_then(|spec| spec.node_name.as_deref())
            .unwrap_or_default();
        // What waits for a node, or has ended, takes none.
        let Some(place) = places.get_mut(node).filter(|_| !has_ended(pod)) else {
            continue;
        };
        let takes = spec.map(taken_by).unwrap_or_default();
        place.free = place.free.minus(takes);
        place.copies = place.copies.saturating_sub(1);
        match observe::lease_of(instance, &pod.metadata) {
            Some(key) => {
                let leased = spec.map(leased_by).unwrap_or_default();
                placed.entry(key.lease).or_default().push(leased);
            }
            None => place.total = place.total.minus(takes),
        }
    }
    Room {
        total: places
            .values()
            .fold(Inventory::default(), |sum, place| sum.plus(place.total)),
        nodes: places
            .into_values()
            .map(|place| NodeRoom {
                free: place.free,
                copies: place.copies,
            })
            .collect(),
        overhead,
        placed,
    }
}

/// What a node has for tenants.
struct Place {
    /// With all that runs on it taken off.
    free: Inventory,
    /// With what others run taken off.
    total: Inventory,
    /// Pods that may still be put on it.
    copies: u64,
}

impl Place {
    fn of(node: &Node) -> Place {
        let status = node.status.as_ref();
        let has = status.and_then(|status| status.allocatable.as_ref());
        let all = has.map(of_quantities).unwrap_or_default();
        let pods = has.and_then(|has| thousandths(has.get("pods")?));
        Place {
            free: all,
            total: all,
            copies: whole(pods.unwrap_or(0) / 1000),
        }
    }
}

/// Processors and memory of a list of resources, rounded down.
fn of_quantities(list: &BTreeMap<String, Quantity>) -> Inventory {
    let of = |name: &str| list.get(name).and_then(thousandths).unwrap_or(0);
    Inventory {
        cpu_millis: whole(of("cpu")),
        memory_bytes: whole(of("memory") / 1000),
    }
}

/// The overhead of pods of a runtime class.
pub fn overhead(class: &RuntimeClass) -> Inventory {
    let fixed = class
        .overhead
        .as_ref()
        .and_then(|overhead| overhead.pod_fixed.as_ref());
    fixed.map(of_quantities).unwrap_or_default()
}

/// What the scheduler counts for a pod: its containers together with those that run beside them all along, or the largest
/// of those that run before, whichever is more. Source: Kubernetes, "Pod Overhead" and "Resource sharing within
/// containers".
fn taken_by(spec: &PodSpec) -> Inventory {
    let requests = |container: &Container| {
        let resources = container.resources.as_ref();
        let requests = resources.and_then(|resources| resources.requests.as_ref());
        requests.map(of_quantities).unwrap_or_default()
    };
    let before = spec.init_containers.iter().flatten();
    let (beside, before): (Vec<&Container>, Vec<&Container>) =
        before.partition(|one| one.restart_policy.as_deref() == Some("Always"));
    let together = spec.containers.iter().chain(beside.iter().copied());
    let together = together
        .map(requests)
        .fold(Inventory::default(), Inventory::plus);
    // Those beside may run while the others before do.
    let beside = beside
        .into_iter()
        .map(requests)
        .fold(Inventory::default(), Inventory::plus);
    let largest = before.into_iter().map(|one| requests(one).plus(beside));
    let containers = largest.fold(together, Inventory::max);
    let whole_pod = spec
        .resources
        .as_ref()
        .and_then(|resources| resources.requests.as_ref());
    let of_pod = whole_pod.map(of_quantities).unwrap_or_default();
    let overhead = spec
        .overhead
        .as_ref()
        .map(of_quantities)
        .unwrap_or_default();
    containers.max(of_pod).plus(overhead)
}

/// What a pod of ours is leased: what its only container asks for.
fn leased_by(spec: &PodSpec) -> Inventory {
    let container = spec.containers.first();
    let resources = container.and_then(|container| container.resources.as_ref());
    let requests = resources.and_then(|resources| resources.requests.as_ref());
    requests.map(of_quantities).unwrap_or_default()
}

fn has_ended(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

fn whole(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// The classes of the SDL that the cluster has volumes of: those that the operator named one for, and `default` where the
/// cluster has one. Others of its classes are not the tenants'.
///
/// # Errors
/// One that the settings name is not there; what to do.
pub fn storage_classes(there: &[StorageClass], settings: &Settings) -> Result<Vec<String>, String> {
    let names: BTreeSet<&str> = there
        .iter()
        .filter_map(|class| class.metadata.name.as_deref())
        .collect();
    let named = &settings.storage_classes;
    if let Some((class, missing)) = named
        .iter()
        .find(|(_, name)| !names.contains(name.as_str()))
    {
        let all: Vec<&str> = names.into_iter().collect();
        return Err(format!(
            "`kubernetes.storage_classes` has {missing:?} for {class:?}, and the cluster has no such storage class; it has: {}",
            all.join(", ")
        ));
    }
    let mut offered: BTreeSet<String> = named.keys().cloned().collect();
    if there.iter().any(is_default) {
        offered.insert(DEFAULT_CLASS.to_owned());
    }
    Ok(offered.into_iter().collect())
}

fn is_default(class: &StorageClass) -> bool {
    let annotations = class.metadata.annotations.as_ref();
    annotations
        .and_then(|all| all.get(IS_DEFAULT))
        .map(String::as_str)
        == Some("true")
}

/// Whether it is ready, may be scheduled to, and keeps no pods off.
fn takes_tenants(node: &Node) -> bool {
    let conditions = node
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    let is_ready = conditions
        .into_iter()
        .flatten()
        .any(|one| one.type_ == "Ready" && one.status == "True");
    let spec = node.spec.as_ref();
    let is_closed = spec.and_then(|spec| spec.unschedulable) == Some(true);
    let taints = spec.and_then(|spec| spec.taints.as_ref());
    let keeps_off = taints
        .into_iter()
        .flatten()
        .any(|taint| taint.effect != "PreferNoSchedule");
    is_ready && !is_closed && !keeps_off
}

/// The quantity in thousandths, rounded down; none for what is no quantity, or negative, or too large to count.
/// Source: Kubernetes API reference, `Quantity`: a number with a binary or a decimal suffix, or an exponent.
pub fn thousandths(quantity: &Quantity) -> Option<u128> {
    let text = quantity.0.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') || number.len() > 30 {
        return None;
    }
    let all: u128 = format!("{whole}{fraction}").parse().ok()?;
    let places = u32::try_from(fraction.len()).ok()?;
    let (multiplier, shift) = scale(suffix)?;
    // all * multiplier * 1000 * 10^(shift - places)
    let scaled = all.checked_mul(multiplier)?.checked_mul(1000)?;
    let exponent = shift.checked_sub(i32::try_from(places).ok()?)?;
    let power = 10u128.checked_pow(exponent.unsigned_abs());
    match exponent >= 0 {
        true => scaled.checked_mul(power?),
        // What is divided by more than can be written is nothing.
        false => Some(power.map_or(0, |power| scaled / power)),
    }
}

/// A suffix as a factor and a power of ten.
fn scale(suffix: &str) -> Option<(u128, i32)> {
    let binary = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    if let Some(at) = binary.iter().position(|one| *one == suffix) {
        return Some((1 << (10 * (at + 1)), 0));
    }
    let power = match suffix {
        "n" => -9,
        "u" => -6,
        "m" => -3,
        "" => 0,
        "k" => 3,
        "M" => 6,
        "G" => 9,
        "T" => 12,
        "P" => 15,
        "E" => 18,
        _ => suffix
            .strip_prefix(['e', 'E'])?
            .parse()
            .ok()
            .filter(|power: &i32| power.abs() <= 30)?,
    };
    Some((1, power))
}

#[cfg(test)]
mod tests {
    use super::super::names;
    use super::super::objects::tests::settings;
    use super::*;
    use crate::backend::Isolation;

    #[test]
    fn quantities_are_read_as_kubernetes_writes_them() {
        let read = |text: &str| thousandths(&Quantity(text.to_owned()));
        for (text, expected) in [
            ("2", 2_000),
            ("1500m", 1_500),
            ("0.5", 500),
            ("1.5Ki", 1_536_000),
            ("24Gi", 24 * (1 << 30) * 1_000),
            ("16390664Ki", 16_390_664 * 1_024 * 1_000),
            ("1e3", 1_000_000),
            ("1E", 1_000_000_000_000_000_000_000),
            ("100n", 0),
            ("1k", 1_000_000),
            ("5E-1", 500),
            (".5", 500),
            ("5.", 5_000),
        ] {
            assert_eq!(read(text), Some(expected), "{text}");
        }
        let large = "9".repeat(31);
        for text in [
            "", ".", "-1", "1Q", "1.2.3", "Ki", "e", "1e31", "1 Ki", &large, "NaN",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_class_is_offered_where_the_operator_named_one_that_is_there_or_the_cluster_has_a_default()
    {
        let class = |name: &str, default: &str| -> StorageClass {
            let class = serde_json::json!({
                "metadata": { "name": name, "annotations": { IS_DEFAULT: default } }, "provisioner": "p",
            });
            serde_json::from_value(class).unwrap()
        };
        let offered = |there: &[StorageClass]| storage_classes(there, &settings(Isolation::Gvisor));
        let ssd = class("fast-ssd", "false");
        assert_eq!(
            offered(std::slice::from_ref(&ssd)),
            Ok(vec!["beta2".to_owned()])
        );
        assert_eq!(
            offered(&[ssd, class("slow", "true")]),
            Ok(vec!["beta2".to_owned(), "default".to_owned()])
        );
        let missing = offered(&[class("slow", "true")]).unwrap_err();
        assert!(
            missing.contains("\"fast-ssd\" for \"beta2\"") && missing.ends_with("it has: slow"),
            "{missing}"
        );
    }

    fn node(name: &str, status: serde_json::Value, spec: serde_json::Value) -> Node {
        let node = serde_json::json!({ "metadata": { "name": name }, "spec": spec, "status": {
            "allocatable": { "cpu": "4", "memory": "8Gi", "pods": "10" },
            "conditions": [{ "type": "Ready", "status": status }],
        }});
        serde_json::from_value(node).unwrap()
    }

    fn pod(
        node: &str,
        labels: &BTreeMap<String, String>,
        spec: serde_json::Value,
        phase: &str,
    ) -> Pod {
        let annotations = names::annotations(&settings(Isolation::Gvisor).instance);
        let mut pod = serde_json::json!({
            "metadata": { "name": "x", "labels": labels, "annotations": annotations },
            "spec": spec, "status": { "phase": phase },
        });
        pod["spec"]["nodeName"] = node.into();
        serde_json::from_value(pod).unwrap()
    }

    fn container(cpu: &str, memory: &str) -> serde_json::Value {
        serde_json::json!({ "name": "c", "resources": { "requests": { "cpu": cpu, "memory": memory } } })
    }

    fn inventory(cpu_millis: u64, memory_mib: u64) -> Inventory {
        Inventory {
            cpu_millis,
            memory_bytes: memory_mib << 20,
        }
    }

    #[test]
    fn what_others_run_is_not_free_and_what_leases_run_has_its_place() {
        let instance = settings(Isolation::Gvisor).instance;
        let key = crate::backend::LeaseKey {
            lease: "12/1/1".parse().unwrap(),
            creation_height: 57,
        };
        let own = names::service_labels(&instance, key, "web");
        let others = BTreeMap::new();
        let one =
            |cpu: &str, memory: &str| serde_json::json!({ "containers": [container(cpu, memory)] });
        let mut sandboxed = one("500m", "512Mi");
        sandboxed["overhead"] = serde_json::json!({ "cpu": "100m", "memory": "64Mi" });
        let nodes = [node("a", "True".into(), serde_json::json!({}))];
        let pods = [
            pod("a", &own, sandboxed, "Running"),
            pod("a", &others, one("1", "1Gi"), "Running"),
            pod("a", &others, one("3", "6Gi"), "Succeeded"),
            pod("elsewhere", &others, one("1", "1Gi"), "Running"),
            pod("", &own, one("1", "1Gi"), "Pending"),
        ];
        let room = room(&instance, &nodes, &pods, Inventory::default());
        assert_eq!(room.total, inventory(3_000, 7 * 1_024));
        assert_eq!(
            room.nodes,
            [NodeRoom {
                free: inventory(2_400, 7 * 1_024 - 576),
                copies: 8
            }]
        );
        assert_eq!(
            room.placed,
            BTreeMap::from([(key.lease, vec![inventory(500, 512)])])
        );
    }

    #[test]
    fn nodes_that_are_lost_closed_or_kept_for_others_have_nothing() {
        let open = serde_json::json!({});
        let tainted = serde_json::json!({ "taints": [{ "key": "k", "effect": "NoSchedule" }] });
        let nodes = [
            node("lost", "Unknown".into(), open.clone()),
            node(
                "closed",
                "True".into(),
                serde_json::json!({ "unschedulable": true }),
            ),
            node("tainted", "True".into(), tainted),
            node("good", "True".into(), open),
        ];
        let instance = settings(Isolation::Gvisor).instance;
        let room = room(&instance, &nodes, &[], Inventory::default());
        assert_eq!(room.nodes.len(), 1);
        assert_eq!(room.total, inventory(4_000, 8 * 1_024));
    }

    #[test]
    fn a_pod_takes_what_the_scheduler_counts_for_it() {
        let taken = |spec: serde_json::Value| taken_by(&serde_json::from_value(spec).unwrap());
        let mut beside = container("200m", "64Mi");
        beside["restartPolicy"] = "Always".into();
        let spec = serde_json::json!({
            "containers": [container("100m", "128Mi"), container("100m", "128Mi")],
            "initContainers": [beside, container("1", "32Mi")],
        });
        assert_eq!(taken(spec), inventory(1_200, 320));
        let of_pod = serde_json::json!({
            "containers": [container("100m", "128Mi")],
            "resources": { "requests": { "cpu": "2" } },
        });
        assert_eq!(taken(of_pod), inventory(2_000, 128));
    }
}
