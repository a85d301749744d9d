//! `profiles.compute.NAME`.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Severity;
use super::super::diagnostics::{Spanned, quoted};
use super::super::document::{Compute, Gpu, Volume};
use super::super::fields::{Field, Fields, Reader, Unknown};
use super::super::quantity::{self, NumberError};
use super::super::yaml::Kind;
use super::{optional_text, text_map};

pub(super) fn compute(reader: &mut Reader, field: &Field<'_>, path: &str) -> Compute {
    let profile = reader.fields(field, path, "resources: {...}");
    profile.expect_only(reader, &["resources"], Unknown::Ignored);
    let mut compute = Compute {
        storage_at: field.key_at,
        ..Compute::default()
    };
    let Some(resources) = profile.get("resources") else {
        return compute;
    };
    let fields = reader.fields(
        &resources,
        &profile.path_of("resources"),
        "cpu: {units: 0.5}",
    );
    fields.expect_only(
        reader,
        &["cpu", "memory", "storage", "gpu"],
        Unknown::Ignored,
    );
    let present = |key: &str| fields.get(key).filter(|field| !field.node.is_null());
    compute.cpu = present("cpu").map(|field| cpu(reader, &field, &fields.path_of("cpu")));
    compute.memory =
        present("memory").map(|field| memory(reader, &field, &fields.path_of("memory")));
    compute.gpu = present("gpu").map(|field| gpu(reader, &field, &fields.path_of("gpu")));
    if let Some(field) = fields.get("storage") {
        compute.storage_at = field.key_at;
        compute.storage = storage(reader, &field, &fields.path_of("storage"));
    }
    compute
}

/// How a quantity is written.
struct Notation {
    noun: &'static str,
    parse: fn(&str) -> Result<u64, NumberError>,
    /// How this text should have been written.
    hint: fn(&str) -> String,
}

const CPU: Notation = Notation {
    noun: "an amount of processor time",
    parse: quantity::parse_cpu,
    hint: |_| "write cores as in `0.5`, or thousandths as in `500m`".to_owned(),
};

const SIZE: Notation = Notation {
    noun: "a size",
    parse: quantity::parse_bytes,
    hint: quantity::size_hint,
};

const GPU_MEMORY: Notation = Notation {
    noun: "a size of GPU memory",
    parse: quantity::parse_binary_bytes,
    hint: |_| "write a number and a suffix, `80Gi`".to_owned(),
};

const GPUS: Notation = Notation {
    noun: "a number of GPUs",
    parse: gpu_units,
    hint: |_| "write a whole number without quotes, as in `units: 1`".to_owned(),
};

/// A quantity; 0 if there is none.
fn quantity(
    reader: &mut Reader,
    fields: &Fields<'_>,
    key: &str,
    notation: &Notation,
) -> Spanned<u64> {
    let at = fields.at;
    let Some(field) = fields.get(key) else {
        return Spanned { value: 0, at };
    };
    let at = field.at();
    let path = fields.path_of(key);
    let Notation { noun, parse, hint } = notation;
    let Some(text) = reader.written(&field, &path, noun, &hint("")) else {
        return Spanned { value: 0, at };
    };
    let value = parse(text).unwrap_or_else(|error| {
        let cause = format!("{} {}", quoted(text), error.cause(noun));
        reader.error(at, &path, cause, hint(text));
        0
    });
    Spanned { value, at }
}

fn cpu(reader: &mut Reader, field: &Field<'_>, path: &str) -> Spanned<u64> {
    let fields = reader.fields(field, path, "units: 0.5");
    fields.expect_only(reader, &["units", "attributes"], Unknown::Refused);
    if let Some(attributes) = fields.get("attributes") {
        let entry = reader.fields(&attributes, &fields.path_of("attributes"), "arch: amd64");
        entry.expect_only(reader, &["arch"], Unknown::Refused);
        if optional_text(reader, &entry, "arch").is_some() {
            reader.say(
                Severity::Warning,
                attributes.key_at,
                &entry.path_of("arch"),
                "the architecture has no effect here",
                "ask for it under profiles.placement.NAME.attributes",
            );
        }
    }
    quantity(reader, &fields, "units", &CPU)
}

fn memory(reader: &mut Reader, field: &Field<'_>, path: &str) -> Spanned<u64> {
    let fields = reader.fields(field, path, "size: 512Mi");
    fields.expect_only(reader, &["size"], Unknown::Ignored);
    quantity(reader, &fields, "size", &SIZE)
}

fn gpu(reader: &mut Reader, field: &Field<'_>, path: &str) -> Gpu {
    let fields = reader.fields(field, path, "units: 1");
    fields.expect_only(reader, &["units", "attributes"], Unknown::Refused);
    let units = quantity(reader, &fields, "units", &GPUS);
    let attributes = match fields
        .get("attributes")
        .filter(|field| !field.node.is_null())
    {
        Some(attributes) => gpu_attributes(reader, &attributes, &fields.path_of("attributes")),
        None => {
            if units.value > 0 {
                let cause = "a GPU is asked for, but not which";
                let remedy = "add `attributes: {vendor: {nvidia: [{model: a100}]}}`";
                reader.error(units.at, path, cause, remedy);
            }
            BTreeMap::new()
        }
    };
    Gpu { units, attributes }
}

fn gpu_units(text: &str) -> Result<u64, NumberError> {
    if text.starts_with('-') {
        return Err(NumberError::Negative);
    }
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NumberError::NotANumber);
    }
    text.parse().map_err(|_| NumberError::TooLarge)
}

fn gpu_attributes(reader: &mut Reader, field: &Field<'_>, path: &str) -> BTreeMap<String, String> {
    let fields = reader.fields(field, path, "vendor: {nvidia: [{model: a100}]}");
    fields.expect_only(reader, &["vendor"], Unknown::Refused);
    let mut keys = BTreeMap::new();
    let Some(vendor) = fields.get("vendor").filter(|field| !field.node.is_null()) else {
        let cause = "the GPU has no vendor";
        let remedy = "add `vendor: {nvidia: [{model: a100}]}`, or just `vendor: {nvidia: }`";
        reader.error(field.at(), path, cause, remedy);
        return keys;
    };
    let vendors = reader.fields(
        &vendor,
        &fields.path_of("vendor"),
        "nvidia: [{model: a100}]",
    );
    for (name, other) in vendors.all().filter(|(name, _)| *name != "nvidia") {
        let cause = format!(
            "vendor {} is not known; any NVIDIA GPU will be asked for",
            quoted(name)
        );
        let place = vendors.path_of(name);
        reader.say(
            Severity::Warning,
            other.key_at,
            &place,
            cause,
            "write `nvidia`",
        );
    }
    if let Some(models) = vendors.get("nvidia") {
        let path = vendors.path_of("nvidia");
        for (index, item) in reader
            .items(&models, &path, "- model: a100")
            .iter()
            .enumerate()
        {
            let path = format!("{path}[{index}]");
            let key = gpu_model(reader, item, &path);
            if keys.insert(key, "true".to_owned()).is_some() {
                let cause = "this GPU model is listed twice";
                reader.error(item.at(), &path, cause, "remove one of the two");
            }
        }
    }
    if keys.is_empty() {
        keys.insert("vendor/nvidia/model/*".to_owned(), "true".to_owned());
    }
    keys
}

fn gpu_model(reader: &mut Reader, field: &Field<'_>, path: &str) -> String {
    let fields = reader.fields(field, path, "model: a100");
    fields.expect_only(reader, &["model", "ram", "interface"], Unknown::Ignored);
    let model = optional_text(reader, &fields, "model").filter(|text| !text.value.is_empty());
    let mut key = match model {
        Some(model) => {
            let plain = |c: char| c.is_ascii_alphanumeric() || "_./-".contains(c);
            let wildcard = model.value.strip_suffix('*').unwrap_or(&model.value);
            if model.value.len() > 100 || !wildcard.chars().all(plain) {
                let cause = format!("{} is not the name of a model", quoted(&model.value));
                let remedy = "write it as in `model: rtx4090`";
                reader.error(model.at, &fields.path_of("model"), cause, remedy);
            }
            format!("vendor/nvidia/model/{}", model.value)
        }
        None => {
            let cause = "no model is named; any NVIDIA GPU will be asked for";
            reader.say(
                Severity::Warning,
                field.at(),
                path,
                cause,
                "add `model: a100`",
            );
            "vendor/nvidia/model/*".to_owned()
        }
    };
    if fields.get("ram").is_some_and(|ram| !ram.node.is_null()) {
        let ram = quantity(reader, &fields, "ram", &GPU_MEMORY);
        key.push_str(&format!("/ram/{}Gi", ram.value >> 30));
    }
    if let Some(interface) = optional_text(reader, &fields, "interface") {
        if !["pcie", "sxm"].contains(&interface.value.as_str()) {
            let cause = format!("{} is not an interface of GPUs", quoted(&interface.value));
            let place = fields.path_of("interface");
            reader.error(interface.at, &place, cause, "write `pcie` or `sxm`");
        }
        key.push_str(&format!("/interface/{}", interface.value));
    }
    key
}

fn storage(reader: &mut Reader, field: &Field<'_>, path: &str) -> Vec<Volume> {
    let mut volumes = match &field.node.kind {
        Kind::Mapping(_) => {
            let mut volume = volume(reader, field, path);
            volume.name = "default".to_owned();
            vec![volume]
        }
        _ => reader
            .items(field, path, "- size: 1Gi")
            .iter()
            .enumerate()
            .map(|(index, item)| volume(reader, item, &format!("{path}[{index}]")))
            .collect(),
    };
    let mut names = BTreeSet::new();
    for volume in &volumes {
        if !names.insert(volume.name.clone()) {
            let cause = format!("two volumes are called {}", quoted(&volume.name));
            reader.error(volume.at, path, cause, "give each volume its own `name`");
        }
    }
    volumes.sort_by(|a, b| {
        let order = |volume: &Volume| {
            (
                volume.size.value,
                !volume.attributes.is_empty(),
                volume.is_persistent(),
            )
        };
        order(a).cmp(&order(b)).then_with(|| a.name.cmp(&b.name))
    });
    volumes
}

fn volume(reader: &mut Reader, field: &Field<'_>, path: &str) -> Volume {
    let fields = reader.fields(field, path, "size: 1Gi");
    fields.expect_only(reader, &["name", "size", "attributes"], Unknown::Ignored);
    let size = quantity(reader, &fields, "size", &SIZE);
    let name = optional_text(reader, &fields, "name")
        .map(|text| text.value)
        .unwrap_or_default();
    let attributes = match fields
        .get("attributes")
        .filter(|field| !field.node.is_null())
    {
        Some(attributes) => volume_attributes(reader, &attributes, &fields.path_of("attributes")),
        None => BTreeMap::new(),
    };
    let name = if name.is_empty() {
        "default".to_owned()
    } else {
        name
    };
    Volume {
        at: field.at(),
        name,
        size,
        attributes,
    }
}

/// The classes of storage; `ram` is memory.
const CLASSES: [&str; 5] = ["default", "beta1", "beta2", "beta3", "ram"];

fn volume_attributes(
    reader: &mut Reader,
    field: &Field<'_>,
    path: &str,
) -> BTreeMap<String, String> {
    let fields = reader.fields(field, path, "persistent: true");
    fields.expect_only(reader, &["persistent", "class"], Unknown::Refused);
    let given = text_map(reader, &fields);
    let persistent = match given.get("persistent") {
        None => false,
        Some(text) => match text.value.as_str() {
            "true" | "on" | "yes" => true,
            "false" | "off" | "no" => false,
            other => {
                let cause = format!("{} is neither true nor false", quoted(other));
                let place = fields.path_of("persistent");
                reader.error(text.at, &place, cause, "write `true` or `false`");
                return BTreeMap::new();
            }
        },
    };
    let mut attributes = BTreeMap::new();
    attributes.insert("persistent".to_owned(), persistent.to_string());
    match given.get("class").filter(|class| !class.value.is_empty()) {
        None if persistent => {
            attributes.insert("class".to_owned(), "default".to_owned());
        }
        None => {}
        Some(class) => {
            if let Some((cause, remedy)) = class_fault(&class.value, persistent) {
                reader.error(class.at, &fields.path_of("class"), cause, remedy);
            }
            attributes.insert("class".to_owned(), class.value.clone());
        }
    }
    attributes
}

fn class_fault(class: &str, persistent: bool) -> Option<(String, String)> {
    if !CLASSES.contains(&class) {
        let cause = format!("{} is not a class of storage", quoted(class));
        return Some((cause, format!("use one of: {}", CLASSES.join(", "))));
    }
    match (class, persistent) {
        ("ram", true) => Some((
            "memory cannot be persistent".to_owned(),
            "set `persistent: false`, or use another class".to_owned(),
        )),
        ("ram", false) | (_, true) => None,
        _ => Some((
            "storage that is not persistent has no class".to_owned(),
            "set `persistent: true`, or remove the class".to_owned(),
        )),
    }
}
