//! The provider's own check of a pod before it is sent: a second opinion on what [`super::objects`] made, written against
//! the pod and not against how it is made.
//!
//! It is a list of what a pod may say. Everything else, whatever it is called in versions of Kubernetes to come, is a
//! violation: a field that nobody thought of cannot be one that lets a tenant out.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::Value;

use super::objects::pod::SANDBOX_CAPABILITIES;
use super::settings::Settings;
use crate::backend::Isolation;

/// What a pod says that none of ours may.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a pod of this provider never says {path} = {value}")]
pub struct Violation {
    /// Which field, as in `spec.containers[].securityContext.privileged`.
    pub path: String,
    /// What it holds, shortened.
    pub value: String,
}

/// What a field may hold.
enum Allowed {
    /// Text, numbers: a tenant's words, or a limit.
    Anything,
    /// Exactly this.
    Only(Value),
    /// This with or without more that is on the list below it.
    Part,
}

/// Looks at every field of the pod.
///
/// # Errors
/// The first [`Violation`].
pub fn check(settings: &Settings, template: &PodTemplateSpec) -> Result<(), Violation> {
    let value = serde_json::to_value(template).expect("a pod is always JSON");
    look(settings, "", &value)?;
    for (path, wanted) in required(settings) {
        let found = at(&value, path);
        if found != Some(&wanted) {
            return Err(violation(path, found.unwrap_or(&Value::Null)));
        }
    }
    for limit in LIMITS {
        let path = format!("spec.containers[].resources.limits.{limit}");
        if at(&value, &path).is_none() {
            return Err(violation(&path, &Value::Null));
        }
    }
    let containers = at(&value, "spec.containers").and_then(Value::as_array);
    if containers.is_none_or(|containers| containers.len() != 1) {
        return Err(violation("spec.containers", &Value::Null));
    }
    Ok(())
}

fn look(settings: &Settings, path: &str, value: &Value) -> Result<(), Violation> {
    match value {
        Value::Object(fields)
            if path != METADATA_LABELS && path != METADATA_ANNOTATIONS && !is_limits(path) =>
        {
            for (name, value) in fields {
                let below = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                match allowed(settings, &below) {
                    None => return Err(violation(&below, value)),
                    Some(Allowed::Only(one)) if one != *value => {
                        return Err(violation(&below, value));
                    }
                    Some(Allowed::Only(_) | Allowed::Anything) => {}
                    Some(Allowed::Part) => look(settings, &below, value)?,
                }
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                let is_ours = name.starts_with("welkin/");
                let is_limit = is_limits(path) && LIMITS.contains(&name.as_str());
                if !is_ours && !is_limit {
                    return Err(violation(&format!("{path}.{name}"), value));
                }
            }
        }
        Value::Array(values) => {
            for value in values {
                look(settings, &format!("{path}[]"), value)?;
            }
        }
        _ => {}
    }
    Ok(())
}

const METADATA_LABELS: &str = "metadata.labels";
const METADATA_ANNOTATIONS: &str = "metadata.annotations";
const LIMITS: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

fn is_limits(path: &str) -> bool {
    matches!(
        path,
        "spec.containers[].resources.limits" | "spec.containers[].resources.requests"
    )
}

/// What is on the list.
fn allowed(settings: &Settings, path: &str) -> Option<Allowed> {
    let part = [
        "metadata",
        METADATA_LABELS,
        METADATA_ANNOTATIONS,
        "spec",
        "spec.containers",
        "spec.containers[].env",
        "spec.containers[].env[].valueFrom",
        "spec.containers[].env[].valueFrom.secretKeyRef",
        "spec.containers[].ports",
        "spec.containers[].readinessProbe",
        "spec.containers[].readinessProbe.tcpSocket",
        "spec.containers[].resources",
        "spec.containers[].resources.limits",
        "spec.containers[].resources.requests",
        "spec.containers[].securityContext",
        "spec.containers[].securityContext.capabilities",
        "spec.containers[].volumeMounts",
        "spec.imagePullSecrets",
        "spec.securityContext",
        "spec.securityContext.seccompProfile",
        "spec.tolerations",
        "spec.volumes",
        "spec.volumes[].emptyDir",
    ];
    if part.contains(&path) {
        return Some(Allowed::Part);
    }
    if let Some(wanted) = fixed(settings, path) {
        return Some(Allowed::Only(wanted));
    }
    let anything = [
        "spec.containers[].args",
        "spec.containers[].command",
        "spec.containers[].env[].name",
        "spec.containers[].env[].valueFrom.secretKeyRef.key",
        "spec.containers[].env[].valueFrom.secretKeyRef.name",
        "spec.containers[].image",
        "spec.containers[].imagePullPolicy",
        "spec.containers[].name",
        "spec.containers[].ports[].containerPort",
        "spec.containers[].ports[].protocol",
        "spec.containers[].readinessProbe.failureThreshold",
        "spec.containers[].readinessProbe.periodSeconds",
        "spec.containers[].readinessProbe.tcpSocket.port",
        "spec.containers[].readinessProbe.timeoutSeconds",
        "spec.containers[].volumeMounts[].mountPath",
        "spec.containers[].volumeMounts[].name",
        "spec.containers[].volumeMounts[].readOnly",
        "spec.imagePullSecrets[].name",
        "spec.terminationGracePeriodSeconds",
        "spec.tolerations[].key",
        "spec.tolerations[].tolerationSeconds",
        "spec.volumes[].emptyDir.medium",
        "spec.volumes[].emptyDir.sizeLimit",
        "spec.volumes[].name",
    ];
    anything.contains(&path).then_some(Allowed::Anything)
}

/// What a field holds wherever it is said.
fn fixed(settings: &Settings, path: &str) -> Option<Value> {
    let value = match path {
        "spec.restartPolicy" => "Always".into(),
        "spec.automountServiceAccountToken"
        | "spec.enableServiceLinks"
        | "spec.containers[].securityContext.allowPrivilegeEscalation"
        | "spec.containers[].securityContext.privileged" => false.into(),
        "spec.securityContext.seccompProfile.type" => "RuntimeDefault".into(),
        "spec.containers[].securityContext.capabilities.drop" => vec!["ALL"].into(),
        "spec.tolerations[].operator" => "Exists".into(),
        // A toleration of another effect could lead onto nodes that tenants are kept off.
        "spec.tolerations[].effect" => "NoExecute".into(),
        "spec.hostUsers" if settings.isolation == Isolation::Userns => false.into(),
        "spec.runtimeClassName" if settings.isolation == Isolation::Gvisor => {
            settings.sandbox_class.clone().into()
        }
        "spec.securityContext.runAsNonRoot" if settings.isolation == Isolation::Restricted => {
            true.into()
        }
        "spec.containers[].securityContext.capabilities.add"
            if settings.isolation != Isolation::Restricted =>
        {
            SANDBOX_CAPABILITIES.to_vec().into()
        }
        _ => return None,
    };
    Some(value)
}

/// What every pod must say.
fn required(settings: &Settings) -> Vec<(&'static str, Value)> {
    let mut paths = vec![
        "spec.automountServiceAccountToken",
        "spec.enableServiceLinks",
        "spec.restartPolicy",
        "spec.securityContext.seccompProfile.type",
        "spec.containers[].securityContext.allowPrivilegeEscalation",
        "spec.containers[].securityContext.privileged",
        "spec.containers[].securityContext.capabilities.drop",
    ];
    match settings.isolation {
        Isolation::Restricted => paths.push("spec.securityContext.runAsNonRoot"),
        Isolation::Userns => paths.push("spec.hostUsers"),
        Isolation::Gvisor => paths.push("spec.runtimeClassName"),
        Isolation::None => {}
    }
    let fixed = paths
        .into_iter()
        .filter_map(|path| Some((path, fixed(settings, path)?)));
    fixed.collect()
}

/// What is at a path; of a list its first.
fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.')
        .try_fold(value, |value, part| match part.strip_suffix("[]") {
            Some(name) => value.get(name)?.get(0),
            None => value.get(part),
        })
}

fn violation(path: &str, value: &Value) -> Violation {
    Violation {
        path: path.to_owned(),
        value: value.to_string().chars().take(100).collect(),
    }
}
