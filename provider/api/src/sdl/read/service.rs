//! `services.NAME`.

use super::super::diagnostics::Spanned;
use super::super::document::{Credentials, Expose, HttpOptions, Mount, Service, To};
use super::super::fields::{Field, Fields, Reader, Unknown};
use super::{named, number_or_zero, optional_text, text_or_empty, texts_or_none};

pub(super) fn service(reader: &mut Reader, field: &Field<'_>, path: &str) -> Service {
    let fields = reader.fields(field, path, "image: nginx:1.29");
    let known = [
        "image",
        "command",
        "args",
        "env",
        "expose",
        "params",
        "credentials",
        "dependencies",
    ];
    fields.expect_only(reader, &known, Unknown::Ignored);
    let image = optional_text(reader, &fields, "image").unwrap_or(Spanned {
        value: String::new(),
        at: field.key_at,
    });
    let mut service = Service {
        image,
        command: texts_or_none(reader, &fields, "command"),
        args: texts_or_none(reader, &fields, "args"),
        env: texts_or_none(reader, &fields, "env"),
        ..Service::default()
    };
    if let Some(expose) = fields.get("expose") {
        let path = fields.path_of("expose");
        for (index, item) in reader
            .items(&expose, &path, "- port: 80")
            .iter()
            .enumerate()
        {
            service
                .expose
                .push(read_expose(reader, item, format!("{path}[{index}]")));
        }
    }
    if let Some(params) = fields.get("params") {
        read_params(reader, &params, &fields.path_of("params"), &mut service);
    }
    if let Some(credentials) = fields
        .get("credentials")
        .filter(|field| !field.node.is_null())
    {
        service.credentials = Some(read_credentials(
            reader,
            &credentials,
            &fields.path_of("credentials"),
        ));
    }
    if let Some(dependencies) = fields.get("dependencies") {
        let path = fields.path_of("dependencies");
        for item in reader.items(&dependencies, &path, "- service: db") {
            let entry = reader.fields(&item, &path, "service: db");
            entry.expect_only(reader, &["service"], Unknown::Ignored);
            optional_text(reader, &entry, "service");
        }
        reader.say(
            super::super::Severity::Warning,
            dependencies.key_at,
            &path,
            "services start in no order; this has no effect",
            "let the service wait until the other one answers",
        );
    }
    service
}

fn read_expose(reader: &mut Reader, field: &Field<'_>, path: String) -> Expose {
    let fields = reader.fields(field, &path, "port: 80");
    let known = ["port", "as", "proto", "to", "accept", "http_options"];
    fields.expect_only(reader, &known, Unknown::Ignored);
    let to = match fields.get("to") {
        None => Vec::new(),
        Some(list) => {
            let path = fields.path_of("to");
            reader
                .items(&list, &path, "- global: true")
                .iter()
                .enumerate()
                .map(|(index, item)| read_to(reader, item, &format!("{path}[{index}]")))
                .collect()
        }
    };
    Expose {
        port: number_or_zero(reader, &fields, "port"),
        external: number_or_zero(reader, &fields, "as"),
        protocol: text_or_empty(reader, &fields, "proto"),
        to,
        accept: texts_or_none(reader, &fields, "accept"),
        http: http_options(reader, &fields),
        path,
    }
}

fn read_to(reader: &mut Reader, field: &Field<'_>, path: &str) -> To {
    let fields = reader.fields(field, path, "global: true");
    fields.expect_only(
        reader,
        &["service", "global", "ip", "http_options"],
        Unknown::Ignored,
    );
    if let Some(options) = fields
        .get("http_options")
        .filter(|field| !field.node.is_null())
    {
        http_options(reader, &fields);
        reader.say(
            super::super::Severity::Warning,
            options.key_at,
            &fields.path_of("http_options"),
            "HTTP options under `to` have no effect",
            "move them up, next to `port`",
        );
    }
    let global = fields
        .get("global")
        .is_some_and(|flag| reader.flag(&flag, &fields.path_of("global")));
    To {
        service: optional_text(reader, &fields, "service").filter(|text| !text.value.is_empty()),
        global,
        ip: optional_text(reader, &fields, "ip").filter(|text| !text.value.is_empty()),
    }
}

fn http_options(reader: &mut Reader, parent: &Fields<'_>) -> HttpOptions {
    let Some(field) = parent.get("http_options") else {
        return HttpOptions::default();
    };
    let path = parent.path_of("http_options");
    let fields = reader.fields(&field, &path, "max_body_size: 1048576");
    let known = [
        "max_body_size",
        "proxy_buffer_size",
        "read_timeout",
        "send_timeout",
        "next_tries",
        "next_timeout",
        "next_cases",
    ];
    fields.expect_only(reader, &known, Unknown::Ignored);
    HttpOptions {
        max_body_size: number_or_zero(reader, &fields, "max_body_size"),
        proxy_buffer_size: number_or_zero(reader, &fields, "proxy_buffer_size"),
        read_timeout: number_or_zero(reader, &fields, "read_timeout"),
        send_timeout: number_or_zero(reader, &fields, "send_timeout"),
        next_tries: number_or_zero(reader, &fields, "next_tries"),
        next_timeout: number_or_zero(reader, &fields, "next_timeout"),
        next_cases: texts_or_none(reader, &fields, "next_cases"),
    }
}

fn read_params(reader: &mut Reader, field: &Field<'_>, path: &str, service: &mut Service) {
    let fields = reader.fields(field, path, "storage: {...}");
    fields.expect_only(reader, &["storage", "permissions", "tee"], Unknown::Ignored);
    let storage_path = fields.path_of("storage");
    service.mounts = named(
        reader,
        fields.get("storage"),
        &storage_path,
        |reader, entry, path| {
            let fields = reader.fields(entry, path, "mount: /data");
            fields.expect_only(reader, &["mount", "readOnly"], Unknown::Ignored);
            let path = optional_text(reader, &fields, "mount").unwrap_or(Spanned {
                value: String::new(),
                at: entry.key_at,
            });
            let read_only = fields
                .get("readOnly")
                .is_some_and(|flag| reader.flag(&flag, &fields.path_of("readOnly")));
            Mount { path, read_only }
        },
    );
    if let Some(permissions) = fields.get("permissions") {
        let entry = reader.fields(&permissions, &fields.path_of("permissions"), "read: [logs]");
        entry.expect_only(reader, &["read"], Unknown::Ignored);
        service.permissions = texts_or_none(reader, &entry, "read");
    }
    service.tee = optional_text(reader, &fields, "tee").filter(|text| !text.value.is_empty());
}

fn read_credentials(reader: &mut Reader, field: &Field<'_>, path: &str) -> Credentials {
    let fields = reader.fields(field, path, "host: registry.example.com");
    fields.expect_only(
        reader,
        &["host", "username", "password", "email"],
        Unknown::Ignored,
    );
    Credentials {
        host: text_or_empty(reader, &fields, "host"),
        username: text_or_empty(reader, &fields, "username"),
        password: text_or_empty(reader, &fields, "password"),
        email: text_or_empty(reader, &fields, "email"),
    }
}
