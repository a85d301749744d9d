//! What a manifest may hold, how it is committed to, and what it is measured against.

mod attacks;
mod commitment;
mod fit;
mod form;

use welkin_modules::spec::Volume;

use super::*;

/// A service that uses every field.
pub(super) fn full() -> Service {
    Service {
        name: "web".to_owned(),
        image: "ghcr.io/example/web:1.2@sha256:".to_owned() + &"ab".repeat(32),
        command: vec!["/bin/sh".to_owned()],
        args: vec!["-c".to_owned(), "exec web".to_owned()],
        env: vec![EnvVar {
            name: "PASSWORD".to_owned(),
            value: Some("canary-1".to_owned()),
        }],
        unit: 1,
        resources: Resources {
            cpu_millis: 500,
            memory_bytes: 512 << 20,
            gpu: welkin_modules::spec::Gpu {
                count: 1,
                attributes: [("vendor/nvidia/model/a100".to_owned(), "true".to_owned())].into(),
            },
            storage: vec![Volume {
                name: "data".to_owned(),
                bytes: 1 << 30,
                attributes: [
                    ("class".to_owned(), "beta2".to_owned()),
                    ("persistent".to_owned(), "true".to_owned()),
                ]
                .into(),
            }],
        },
        count: 2,
        expose: vec![Expose {
            port: 8080,
            external_port: 80,
            protocol: Protocol::Tcp,
            global: true,
            service: Some("db".to_owned()),
            hosts: vec!["www.example.com".to_owned()],
            http: HttpOptions {
                max_body_bytes: 1 << 20,
                read_timeout_ms: 60_000,
                send_timeout_ms: 60_000,
                next_tries: 3,
                next_timeout_ms: 0,
                next_cases: vec![NextCase::Error, NextCase::Timeout],
                proxy_buffer_bytes: 0,
            },
            ip: Some("blog".to_owned()),
            ip_sequence: 1,
        }],
        mounts: vec![Mount {
            volume: "data".to_owned(),
            path: "/var/lib/web".to_owned(),
            read_only: false,
        }],
        permissions: vec![Permission::Logs, Permission::Events],
        tee: Some(Tee::Cpu),
        credentials: Some(Credentials {
            host: "ghcr.io".to_owned(),
            username: "reader".to_owned(),
            password: "canary-2".to_owned(),
            email: String::new(),
        }),
    }
}

/// A group with that service.
pub(super) fn group() -> GroupManifest {
    GroupManifest {
        group: "eu-west".to_owned(),
        services: vec![full()],
    }
}
