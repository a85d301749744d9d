//! The rules of matching, one by one.

use std::collections::BTreeMap;

use proptest::prelude::*;
use welkin_runtime::{Address, Amount};

use super::attributes::{glob, offers};
use super::limits::check_groups;
use super::*;
use crate::deployment::Params;
use crate::spec::Endpoint;
use crate::test_support::spec;

fn attributes<const N: usize>(pairs: [(&str, &str); N]) -> Attributes {
    pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn mismatches(spec: &GroupSpec, declared: &Attributes) -> Vec<String> {
    let found = provider_mismatches(spec, declared, &BTreeMap::new());
    found.iter().map(Mismatch::to_string).collect()
}

#[test]
fn a_required_attribute_is_declared_with_that_value() {
    let mut spec = spec(1);
    spec.requirements.attributes = attributes([("region", "eu"), ("tier", "gold")]);
    assert!(
        mismatches(
            &spec,
            &attributes([("region", "eu"), ("tier", "gold"), ("x", "y")])
        )
        .is_empty()
    );
    assert_eq!(
        mismatches(&spec, &attributes([("region", "us")])),
        [
            "region is us, eu is required",
            "tier: gold is required and not declared"
        ],
    );
}

#[test]
fn a_glob_in_a_key_stays_within_one_part_of_it() {
    for (pattern, key, fits) in [
        ("a/*/c", "a/b/c", true),
        ("a/*/c", "a/b/b/c", false),
        ("a/*", "a/", true),
        ("*", "abc", true),
        ("*", "a/b", false),
        ("a?c", "abc", true),
        ("a?c", "a/c", false),
        ("*b*d", "abcd", true),
        ("*b*d", "abce", false),
        ("*a/*b", "xa/yab", true),
        ("", "", true),
        ("", "a", false),
        ("**", "a", true),
        ("a", "a/b", false),
    ] {
        assert_eq!(glob(pattern, key), fits, "{pattern} {key}");
    }
    let declared = attributes([("disk/ssd", "true"), ("disk/hdd", "false")]);
    assert!(offers(&declared, "disk/*", "true"));
    assert!(!offers(&declared, "disk/*", "maybe"));
}

/// Tries every way to divide the key among the stars.
fn naive_glob(pattern: &[u8], key: &[u8]) -> bool {
    match (pattern.first(), key.first()) {
        (None, None) => true,
        (Some(b'*'), _) => {
            naive_glob(&pattern[1..], key)
                || key
                    .first()
                    .is_some_and(|byte| *byte != b'/' && naive_glob(pattern, &key[1..]))
        }
        (Some(b'?'), Some(byte)) => *byte != b'/' && naive_glob(&pattern[1..], &key[1..]),
        (Some(wanted), Some(byte)) => wanted == byte && naive_glob(&pattern[1..], &key[1..]),
        _ => false,
    }
}

proptest! {
    #[test]
    fn globs_are_what_trying_everything_finds(pattern in "[ab/*?]{0,8}", key in "[ab/]{0,10}") {
        prop_assert_eq!(glob(&pattern, &key), naive_glob(pattern.as_bytes(), key.as_bytes()));
    }
}

#[test]
fn auditors_must_have_signed_what_is_required() {
    let (ann, bob, eve) = (Address([1; 20]), Address([2; 20]), Address([3; 20]));
    let mut spec = spec(1);
    spec.requirements.attributes = attributes([("region", "eu")]);
    let declared = attributes([("region", "eu")]);
    let good = attributes([("region", "eu"), ("more", "yes")]);
    let bad = attributes([("region", "us")]);
    let signed = BTreeMap::from([(ann, good.clone()), (bob, bad)]);
    let found = |all_of: &[Address], any_of: &[Address]| {
        let mut spec = spec.clone();
        spec.requirements.signed_by = SignedBy {
            all_of: all_of.to_vec(),
            any_of: any_of.to_vec(),
        };
        provider_mismatches(&spec, &declared, &signed)
    };
    assert_eq!(found(&[ann], &[]), []);
    assert_eq!(
        found(&[ann, bob], &[]),
        [Mismatch::NotSignedBy { auditor: bob }]
    );
    assert_eq!(found(&[], &[eve, ann]), []);
    let none = Mismatch::NotSignedByAny {
        auditors: vec![bob, eve],
    };
    assert_eq!(found(&[], &[bob, eve]), [none]);

    // An auditor's word does not replace the provider's own.
    let undeclared = provider_mismatches(&spec, &Attributes::new(), &signed);
    assert_eq!(undeclared.len(), 1);
}

#[test]
fn one_of_the_gpu_models_is_enough() {
    let mut spec = spec(1);
    spec.resources[0].gpu.count = 1;
    let a100 = attributes([("capabilities/gpu/vendor/nvidia/model/a100", "true")]);
    assert!(mismatches(&spec, &a100).is_empty(), "any GPU will do");
    assert_eq!(
        mismatches(&spec, &Attributes::new()),
        ["unit 1 needs a GPU and none is offered"]
    );

    spec.resources[0].gpu.attributes = attributes([
        ("vendor/nvidia/model/h100", "true"),
        ("vendor/nvidia/model/a100", "true"),
    ]);
    assert!(mismatches(&spec, &a100).is_empty());
    spec.resources[0].gpu.attributes = attributes([("vendor/nvidia/model/*", "true")]);
    assert!(mismatches(&spec, &a100).is_empty());
    spec.resources[0].gpu.attributes = attributes([("vendor/amd/model/*", "true")]);
    assert_eq!(
        mismatches(&spec, &a100),
        ["unit 1 needs a GPU vendor/amd/model/* and none is offered"],
    );
}

#[test]
fn a_persistent_volume_needs_one_storage_with_all_its_attributes() {
    let mut spec = spec(1);
    let declared = attributes([
        ("capabilities/storage/1/class", "beta2"),
        ("capabilities/storage/1/persistent", "true"),
        ("capabilities/storage/2/class", "beta3"),
        ("capabilities/storage/2/persistent", "false"),
    ]);
    let mut fits = |pairs: &[(&str, &str)]| {
        let pairs = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        spec.resources[0].storage[0].attributes = pairs.collect();
        mismatches(&spec, &declared)
    };
    assert!(fits(&[]).is_empty());
    assert!(fits(&[("persistent", "false"), ("class", "ram")]).is_empty());
    assert!(fits(&[("persistent", "true"), ("class", "beta2")]).is_empty());
    assert_eq!(
        fits(&[("persistent", "true"), ("class", "beta3")]),
        ["volume root of unit 1 needs storage with class=beta3, persistent=true"],
    );
}

#[test]
fn leased_addresses_are_a_capability() {
    let mut spec = spec(1);
    spec.resources[0].endpoints = vec![Endpoint {
        kind: EndpointKind::LeasedIp,
        sequence: 1,
    }];
    assert_eq!(mismatches(&spec, &Attributes::new()).len(), 1);
    assert!(mismatches(&spec, &attributes([(LEASED_IP_CAPABILITY, "true")])).is_empty());
}

#[test]
fn all_copies_must_fit() {
    let mut spec = spec(1);
    spec.resources[0].count = 3;
    let enough = Resources {
        cpu_millis: 300,
        memory_bytes: 192 << 20,
        gpus: 0,
        storage_bytes: 192 << 20,
    };
    assert_eq!(Resources::needed(&spec), enough);
    assert!(capacity_mismatches(&spec, &enough).is_empty());
    let less = Resources {
        cpu_millis: 299,
        ..enough
    };
    let found = capacity_mismatches(&spec, &less);
    assert_eq!(
        found[0].to_string(),
        "processor time in thousandths of a core: 300 needed, 299 free",
    );
    assert_eq!(enough.minus(&less).plus(&less), enough);
}

fn offer(spec: &GroupSpec) -> Vec<UnitOffer> {
    let units = spec.resources.iter().map(|unit| UnitOffer {
        id: unit.id,
        cpu_millis: unit.cpu_millis,
        memory_bytes: unit.memory_bytes,
        gpu: unit.gpu.clone(),
        storage: unit.storage.clone(),
        count: unit.count,
    });
    units.collect()
}

#[test]
fn an_offer_is_never_less_than_what_was_asked() {
    let spec = spec(1);
    assert!(offer_mismatches(&spec, &[]).is_empty());
    assert!(offer_mismatches(&spec, &offer(&spec)).is_empty());
    let changes: [fn(&mut UnitOffer); 6] = [
        |unit| unit.id = 2,
        |unit| unit.cpu_millis -= 1,
        |unit| unit.memory_bytes -= 1,
        |unit| unit.count += 1,
        |unit| unit.storage[0].bytes -= 1,
        |unit| unit.storage.clear(),
    ];
    for change in changes {
        let mut less = offer(&spec);
        change(&mut less[0]);
        assert_eq!(offer_mismatches(&spec, &less).len(), 1, "{less:?}");
    }
    let twice = [offer(&spec), offer(&spec)].concat();
    assert_eq!(
        offer_mismatches(&spec, &twice),
        [Mismatch::UnknownUnit { unit: 1 }]
    );
}

#[test]
fn groups_out_of_bounds_are_named_with_what_is_allowed() {
    type Change = fn(&mut GroupSpec);
    let changes: [(Change, &str); 12] = [
        (
            |group| group.resources.clear(),
            "units: 0, allowed is 1 to 20",
        ),
        (|group| group.name.clear(), "is no name"),
        (|group| group.resources[0].id = 0, "unit 0 is there twice"),
        (
            |group| group.resources[0].count = 0,
            "copies: 0, allowed is 1 to 50",
        ),
        (|group| group.resources[0].count = 51, "copies: 51"),
        (
            |group| group.resources[0].cpu_millis = 9,
            "thousandths of a core: 9",
        ),
        (
            |group| group.resources[0].memory_bytes = u64::MAX,
            "bytes of memory",
        ),
        (|group| group.resources[0].gpu.count = 25, "GPUs: 25"),
        (|group| group.resources[0].storage[0].bytes = 0, "bytes: 0"),
        (
            |group| group.resources[0].max_rate_uwlk_per_hour = Amount(0),
            "uwlk per hour: 0",
        ),
        (
            |group| {
                group.resources[0].count = 2;
                group.resources[0].max_rate_uwlk_per_hour = Amount(u64::MAX);
            },
            "the rates sum to more",
        ),
        (
            |group| {
                group
                    .requirements
                    .attributes
                    .insert("a b".to_owned(), String::new());
            },
            "key \"a b\"",
        ),
    ];
    let params = Params::default();
    assert_eq!(check_groups(&[spec(1)], &params), Ok(()));
    for (change, expected) in changes {
        let mut group = spec(1);
        change(&mut group);
        let error = check_groups(&[group], &params).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let twice = check_groups(&[spec(1), spec(1)], &params)
        .unwrap_err()
        .to_string();
    assert!(twice.contains("twice"), "{twice}");
    assert!(check_groups(&[], &params).is_err());
}
