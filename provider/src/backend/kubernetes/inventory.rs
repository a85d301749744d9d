//! What a cluster has. Pure, in whole numbers.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::settings::{DEFAULT_CLASS, Settings};
use crate::backend::Inventory;

/// The annotation of the storage class that is meant where none is named.
const IS_DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";

/// What all nodes on which tenants may run have together.
pub fn total(nodes: &[Node]) -> Inventory {
    let mut total = Inventory {
        cpu_millis: 0,
        memory_bytes: 0,
    };
    for node in nodes.iter().filter(|node| takes_tenants(node)) {
        let has = node
            .status
            .as_ref()
            .and_then(|status| status.allocatable.as_ref());
        let of = |name: &str| has.and_then(|has| thousandths(has.get(name)?)).unwrap_or(0);
        let cpu_millis = u64::try_from(of("cpu")).unwrap_or(u64::MAX);
        let memory_bytes = u64::try_from(of("memory") / 1000).unwrap_or(u64::MAX);
        total.cpu_millis = total.cpu_millis.saturating_add(cpu_millis);
        total.memory_bytes = total.memory_bytes.saturating_add(memory_bytes);
    }
    total
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
}
