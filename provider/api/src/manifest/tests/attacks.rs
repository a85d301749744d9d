//! What a hostile tenant puts into a manifest. The numbers are those of our list of attacks.

use std::collections::BTreeSet;

use super::*;

fn refused(change: impl FnOnce(&mut GroupManifest)) -> String {
    let mut manifest = group();
    change(&mut manifest);
    match GroupManifest::decode(&manifest.encode()) {
        Err(ManifestError::NotAllowed { at, why }) => format!("{at}: {why}"),
        other => panic!("not refused: {other:?}"),
    }
}

fn service(change: impl FnOnce(&mut Service)) -> String {
    refused(|manifest| change(&mut manifest.services[0]))
}

/// 1 to 15, 22: privileges, host paths, host networks, capabilities, seccomp, users, tokens,
/// sysctls, devices, runtime classes, node selectors, tolerations, priorities, annotations.
#[test]
fn there_are_no_words_for_privileges() {
    let json = serde_json::to_value(group()).unwrap();
    let mut words = BTreeSet::new();
    collect(&json, &mut words);
    let expected = [
        "args",
        "attributes",
        "bytes",
        "class",
        "command",
        "count",
        "cpu_millis",
        "credentials",
        "email",
        "env",
        "expose",
        "external_port",
        "global",
        "gpu",
        "group",
        "host",
        "hosts",
        "http",
        "image",
        "ip",
        "ip_sequence",
        "max_body_bytes",
        "memory_bytes",
        "mounts",
        "name",
        "next_cases",
        "next_timeout_ms",
        "next_tries",
        "password",
        "path",
        "permissions",
        "persistent",
        "port",
        "protocol",
        "proxy_buffer_bytes",
        "read_only",
        "read_timeout_ms",
        "resources",
        "send_timeout_ms",
        "service",
        "services",
        "storage",
        "tee",
        "unit",
        "username",
        "value",
        "vendor/nvidia/model/a100",
        "volume",
    ];
    let expected: BTreeSet<String> = expected.into_iter().map(str::to_owned).collect();
    assert_eq!(
        words, expected,
        "a new word in a manifest needs a new look at the attacks"
    );
}

fn collect(value: &serde_json::Value, words: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(map) => {
            for (key, value) in map {
                words.insert(key.clone());
                collect(value, words);
            }
        }
        serde_json::Value::Array(list) => list.iter().for_each(|value| collect(value, words)),
        _ => {}
    }
}

/// 16: zero. (Negative numbers, fractions and infinities cannot be written down.)
#[test]
fn quantities_of_nothing_are_refused() {
    assert!(service(|service| service.count = 0).contains("at least one replica"));
    assert!(service(|service| service.resources.cpu_millis = 0).contains("processor"));
    assert!(service(|service| service.resources.memory_bytes = 0).contains("memory"));
    assert!(service(|service| service.resources.storage[0].bytes = 0).contains("volume"));
    assert!(service(|service| service.expose[0].port = 0).contains("ports from 1"));
}

/// 17: crowds.
#[test]
fn crowds_are_refused() {
    let many = refused(|manifest| {
        manifest.services = (0..257)
            .map(|number| Service {
                name: format!("s{number:04}"),
                expose: vec![],
                ..full()
            })
            .collect();
    });
    assert!(many.contains("1 to 256 services"), "{many}");
    let variables = service(|service| {
        service.env = (0..1_025)
            .map(|n| EnvVar {
                name: format!("V{n}"),
                value: None,
            })
            .collect();
    });
    assert!(variables.contains("at most 1024"), "{variables}");
}

/// 19: names that mean something else elsewhere.
#[test]
fn names_that_mean_something_else_elsewhere_are_refused() {
    let long = "a".repeat(300);
    for name in [
        "../etc", "a\nb", "{}", "", "Web", "wеb", "-web", "web-", "a.b", "$(id)", &long,
    ] {
        let said = service(|service| service.name = name.to_owned());
        assert!(said.contains("name:"), "{said}");
        assert!(
            !said.contains('\n'),
            "a stranger's line break in our message"
        );
        refused(|manifest| manifest.group = format!("{name}/.."));
        let volume = service(|service| {
            service.resources.storage[0].name = format!("/{name}");
            service.mounts.clear();
        });
        assert!(volume.contains("storage"), "{volume}");
    }
    let order = refused(|manifest| manifest.services.push(full()));
    assert!(order.contains("once each"), "{order}");
}

/// 20: host names of others. (Whose a name is, and the provider's own domain, the provider knows.)
#[test]
fn host_names_are_names() {
    for host in [
        "*.example.com",
        "*",
        "EXAMPLE.com",
        "a..b",
        "exa mple.com",
        "a\n",
        "ex_a.com",
        "",
        "-a.com",
        "http://a.com",
        "a.com:80",
        "127.0.0.1",
        "1.2.3",
        "[::1]",
        "a.com/x",
    ] {
        let said = service(|service| service.expose[0].hosts = vec![host.to_owned()]);
        assert!(said.contains("host"), "{host}: {said}");
    }
    let twice = service(|service| {
        service.expose[0].hosts = vec!["a.com".to_owned(), "a.com".to_owned()];
    });
    assert!(twice.contains("once"), "{twice}");
}

/// 2, 11, 21: paths.
#[test]
fn paths_stay_in_the_container() {
    for path in [
        "",
        "relative",
        "/",
        "//",
        "/a/../../etc",
        "/./a",
        "/a\nb",
        "/a:/b",
        "/a,ro",
        "/a b",
        "/proc",
        "/proc/sys",
        "/sys/fs/cgroup",
        "/dev",
        "/dev/kmsg",
        "/a(.*)",
        "/a$",
    ] {
        let said = service(|service| service.mounts[0].path = path.to_owned());
        assert!(said.contains("mount"), "{path}: {said}");
    }
    let mut memory = group();
    memory.services[0].mounts[0].path = "/dev/shm".to_owned();
    assert_eq!(memory.check(), Ok(()));
    let elsewhere = service(|service| service.mounts[0].volume = "/etc".to_owned());
    assert!(elsewhere.contains("a volume of the service"), "{elsewhere}");
}

/// 23: images.
#[test]
fn images_come_from_registries() {
    for image in [
        "",
        "/bin/sh",
        "./image",
        "../image",
        "file:///etc/passwd",
        "docker://a",
        "oci:/tmp/x",
        "docker-archive:/tmp/x.tar",
        "a b",
        "a\n",
        "A/b",
        "-a",
        "--privileged",
        "a@sha256:00",
        "a@md5:00",
        "a@sha256:GG",
        "a@@b",
        "a:b:c",
        "a:",
        "a:-x",
        "a//b",
        "a/../b",
        "https://ghcr.io/a",
        "ghcr.io:99999/a",
        "ghcr.io:/a",
        "a;b",
        "a$(id)",
        "<image>",
    ] {
        let said = service(|service| service.image = image.to_owned());
        assert!(said.contains("image"), "{image}: {said}");
    }
    for image in [
        "nginx",
        "nginx:1.29",
        "library/nginx",
        "ghcr.io/a/b_c/d-e:v1.0_x",
        "localhost:5000/a",
        "localhost/a:latest",
        "registry.example.com:443/a/b",
    ] {
        let mut manifest = group();
        manifest.services[0].image = image.to_owned();
        assert_eq!(manifest.check(), Ok(()), "{image}");
    }
}

/// 24: there is no side-car to shadow, so `LD_PRELOAD` is the tenant's own affair; names are names.
#[test]
fn variables_have_names() {
    for name in ["", "A=B", "1A", "A B", "A\n", "..", ".", "Ä", "A\0"] {
        let said = service(|service| service.env[0].name = name.to_owned());
        assert!(said.contains("env"), "{name:?}: {said}");
    }
    assert!(service(|s| s.env[0].value = Some("a\0b".to_owned())).contains("zero byte"));
    assert!(service(|s| s.args[0] = "x".repeat(131_073)).contains("131072"));
    let mut own = group();
    own.services[0].env[0].name = "LD_PRELOAD".to_owned();
    assert_eq!(own.check(), Ok(()));
}

/// 25: two manifests with one hash. Bytes and values correspond one to one.
#[test]
fn one_value_has_one_encoding() {
    let bytes = group().encode();
    let again = GroupManifest::decode(&bytes).unwrap().encode();
    assert_eq!(bytes, again);
    let ordered = service(|s| s.permissions = vec![Permission::Events, Permission::Logs]);
    assert!(ordered.contains("in order"), "{ordered}");
}

#[test]
fn logins_and_options_are_bounded() {
    let login = |change: fn(&mut Credentials)| {
        service(|service| change(service.credentials.as_mut().unwrap()))
    };
    assert!(login(|c| c.host = "a b".to_owned()).contains("registry"));
    assert!(login(|c| c.password = "a\nb".to_owned()).contains("one line"));
    let body = service(|s| s.expose[0].http.max_body_bytes = (100 << 20) + 1);
    assert!(body.contains("104857600"), "{body}");
    assert!(service(|s| s.expose[0].http.read_timeout_ms = 60_001).contains("60000"));
    let ip = service(|service| service.expose[0].global = false);
    assert!(ip.contains("global"), "{ip}");
    let class = service(|service| {
        service.resources.storage[0]
            .attributes
            .insert("hostPath".to_owned(), "/".to_owned());
    });
    assert!(class.contains("persistent and class"), "{class}");
}
