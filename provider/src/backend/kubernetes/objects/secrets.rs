//! What is secret of a service: its variables, and the registry's password.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;

use super::super::names;
use super::super::settings::Settings;
use super::metadata;
use crate::backend::{LeaseKey, RegistryCredentials, ServiceSpec};

/// The service's secrets; none where it has nothing to hide.
pub fn secrets(settings: &Settings, key: LeaseKey, service: &ServiceSpec) -> Vec<Secret> {
    let fingerprint = service.fingerprint();
    let variables = (!service.env.is_empty()).then(|| {
        let pairs = service.env.iter();
        let pairs =
            pairs.map(|(name, value)| (name.clone(), ByteString(value.clone().into_bytes())));
        (names::variables(&fingerprint), "Opaque", pairs.collect())
    });
    let login = service.credentials.as_ref().map(|login| {
        let data = BTreeMap::from([(
            ".dockerconfigjson".to_owned(),
            ByteString(docker_config(login)),
        )]);
        (
            names::pull_secret(&fingerprint),
            "kubernetes.io/dockerconfigjson",
            data,
        )
    });
    let secret = |(name, kind, data): (String, &str, BTreeMap<String, ByteString>)| Secret {
        metadata: metadata(settings, key, service, name),
        // Its name says its contents.
        immutable: Some(true),
        type_: Some(kind.to_owned()),
        data: Some(data),
        string_data: None,
    };
    variables.into_iter().chain(login).map(secret).collect()
}

fn docker_config(login: &RegistryCredentials) -> Vec<u8> {
    let entry = serde_json::json!({ "username": login.username, "password": login.password });
    let host = match login.host.as_str() {
        // The one registry whose logins are kept under another name than its images'.
        "docker.io" | "index.docker.io" => "https://index.docker.io/v1/",
        host => host,
    };
    let auths = BTreeMap::from([(host, entry)]);
    serde_json::json!({ "auths": auths })
        .to_string()
        .into_bytes()
}
