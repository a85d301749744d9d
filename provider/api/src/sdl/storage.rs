//! Volumes and where they are mounted.

use std::collections::BTreeMap;

use crate::manifest::allow;

use super::diagnostics::{Severity, quoted, suggestion};
use super::document::{Compute, Service, Version, Volume};
use super::fields::Reader;

/// The smallest volume.
const MIN_BYTES: u64 = 5 << 20;
/// The largest volume.
pub(super) const MAX_BYTES: u64 = 32 << 40;

/// Checks the volumes of a compute profile against the mounts of a service that uses it.
pub(super) fn check(
    reader: &mut Reader,
    version: Version,
    name: &str,
    service: &Service,
    profile: &str,
    compute: &Compute,
) {
    volumes(reader, profile, compute);
    mounts(reader, version, name, service, compute);
    for volume in compute
        .storage
        .iter()
        .filter(|volume| volume.is_persistent())
    {
        if service.mounts.contains_key(&volume.name) {
            continue;
        }
        let path = format!("{profile}.storage.{}", volume.name);
        let cause = format!(
            "persistent volume {} is not mounted by service {}",
            quoted(&volume.name),
            quoted(name)
        );
        let remedy = format!(
            "add `params: {{storage: {{{}: {{mount: /path}}}}}}` to the service, or make the \
             volume not persistent",
            volume.name
        );
        // 2.0 is content if anything at all is mounted, 2.1 in any case.
        let severity = match version {
            Version::V2_0 if service.mounts.is_empty() => Severity::Error,
            _ => Severity::Warning,
        };
        reader.say(severity, volume.at, &path, cause, remedy);
    }
}

fn volumes(reader: &mut Reader, profile: &str, compute: &Compute) {
    let path = format!("{profile}.storage");
    if compute.storage.is_empty() {
        let remedy = "add `storage: {size: 1Gi}`";
        reader.error(compute.storage_at, &path, "there is no storage", remedy);
    }
    for Volume { at, name, size, .. } in &compute.storage {
        if !(MIN_BYTES..=MAX_BYTES).contains(&size.value) {
            let bounds = (MIN_BYTES, MAX_BYTES);
            let cause = super::check::beside(size.value, bounds, "bytes for a volume");
            reader.error(size.at, &path, cause, "ask for 5Mi to 32Ti: `size: 1Gi`");
        }
        if let Err(why) = allow::plain_name(name) {
            let cause = format!("{} cannot name a volume", quoted(name));
            reader.say(Severity::Blocking, *at, &path, cause, why);
        }
    }
}

fn mounts(reader: &mut Reader, version: Version, name: &str, service: &Service, compute: &Compute) {
    let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
    for (volume_name, mount) in &service.mounts {
        let path = format!("services.{name}.params.storage.{volume_name}");
        let volume = compute
            .storage
            .iter()
            .find(|volume| volume.name == *volume_name);
        if volume.is_none() {
            let cause = format!("the compute profile has no volume {}", quoted(volume_name));
            let known = compute.storage.iter().map(|volume| volume.name.as_str());
            let remedy = match suggestion(volume_name, known) {
                Some(likely) => format!("did you mean `{likely}`?"),
                None => "add it under profiles.compute.NAME.resources.storage".to_owned(),
            };
            reader.error(mount.at, &path, cause, remedy);
            continue;
        }
        let place = &mount.value.path;
        if !place.value.starts_with('/') {
            let cause = match place.value.as_str() {
                "" => "the volume has no mount path".to_owned(),
                other => format!("mount path {} is not absolute", quoted(other)),
            };
            reader.error(
                place.at,
                &path,
                cause,
                "write `mount: /path`, starting with a slash",
            );
            continue;
        }
        if let Some(other) = taken.insert(&place.value, volume_name) {
            let cause = format!(
                "{} is taken by volume {}",
                quoted(&place.value),
                quoted(other)
            );
            reader.error(
                place.at,
                &path,
                cause,
                "mount each volume at a path of its own",
            );
        } else if let Err(why) = allow::mount_path(&place.value) {
            let cause = format!("nothing can be mounted at {}", quoted(&place.value));
            reader.say(Severity::Blocking, place.at, &path, cause, why);
        }
        let read_only_memory = mount.value.read_only && volume.is_some_and(Volume::is_ram);
        if read_only_memory && version == Version::V2_1 {
            let cause = "memory that nobody can write to";
            reader.error(
                mount.at,
                &path,
                cause,
                "remove `readOnly`, or use another class",
            );
        }
    }
}
