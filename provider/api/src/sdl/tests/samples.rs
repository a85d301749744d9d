//! Our own samples: one for each key of a file, all accepted without a warning.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::manifest::{Built, build};

fn samples() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect()
}

fn sample(name: &str) -> Vec<Built> {
    let text = &samples()[name];
    let sdl = lenient(text).unwrap_or_else(|remarks| panic!("{remarks}"));
    sdl.check_denomination(false).unwrap();
    build(&sdl).unwrap_or_else(|remarks| panic!("{remarks}"))
}

/// Keys whose samples say that they have no effect.
const WITHOUT_EFFECT: [&str; 4] = [
    "cpu-attributes.yaml",
    "dependencies.yaml",
    "include.yaml",
    "reclamation.yaml",
];

#[test]
fn every_sample_is_accepted_and_built() {
    for (name, text) in samples() {
        let sdl = parse(&name, text.as_bytes(), Strictness::Lenient).unwrap();
        assert_eq!(
            !sdl.warnings.is_empty(),
            WITHOUT_EFFECT.contains(&name.as_str()),
            "{name}"
        );
        for Built { manifest, spec } in sample(&name) {
            crate::manifest::check_fit(&manifest, &spec).unwrap();
            assert_eq!(manifest.check(), Ok(()));
        }
    }
}

/// Every key of a file.
const KEYS: &str = "\
    version include services profiles deployment endpoints reclamation min_window kind image \
    command args env dependencies expose port as proto accept to service global ip http_options \
    max_body_size proxy_buffer_size read_timeout send_timeout next_tries next_timeout \
    next_cases params mount readOnly permissions read tee credentials host username password \
    email compute resources cpu units attributes arch memory size gpu vendor nvidia model ram \
    interface storage name persistent class placement signedBy allOf anyOf pricing amount denom \
    profile count";

#[test]
fn every_key_has_a_sample() {
    let all: String = samples().into_values().collect();
    let words: Vec<&str> = all.split([' ', '\n', '{', ',', '-']).collect();
    for key in KEYS.split_whitespace() {
        assert!(
            words.contains(&format!("{key}:").as_str()),
            "no sample shows `{key}`"
        );
    }
}

#[test]
fn samples_say_what_they_are_for() {
    let service = |name: &str| sample(name)[0].manifest.services[0].clone();
    assert_eq!(service("command-args.yaml").command, ["/bin/sh", "-c"]);
    let env = service("env.yaml").env;
    assert_eq!(
        (env[0].name.as_str(), env[0].value.as_deref()),
        ("MODE", Some("production"))
    );
    assert_eq!(
        (env[1].name.as_str(), env[1].value.as_deref()),
        ("EMPTY", None)
    );
    let http = service("http-options.yaml").expose[0].http.clone();
    assert_eq!((http.max_body_bytes, http.next_tries), (10 << 20, 2));
    let ports = service("ports.yaml").expose;
    assert!(
        ports
            .iter()
            .any(|expose| expose.protocol == crate::manifest::Protocol::Udp)
    );
    let storage = service("storage.yaml");
    assert_eq!(storage.mounts.len(), 2);
    assert!(storage.mounts.iter().any(|mount| mount.read_only));
    assert!(service("credentials.yaml").credentials.is_some());
    assert_eq!(service("permissions.yaml").permissions.len(), 3);
    assert!(service("tee.yaml").tee.is_some());
    assert_eq!(
        sample("tee.yaml")[0].spec.requirements.attributes["tee/type"],
        "cpu"
    );
    let gpu = &sample("gpu.yaml")[0].spec.resources[0].gpu;
    assert!(
        gpu.attributes
            .contains_key("vendor/nvidia/model/a100/ram/80Gi/interface/sxm")
    );
    assert_eq!(sample("placements.yaml").len(), 2);
    let signed = &sample("signed-by.yaml")[0].spec.requirements.signed_by;
    assert_eq!((signed.all_of.len(), signed.any_of.len()), (1, 1));
    assert_eq!(sample("shared-profile.yaml")[0].spec.resources[0].count, 3);
}
