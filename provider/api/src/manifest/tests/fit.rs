//! What was leased is the most that may be run.

use welkin_modules::spec::{Endpoint, EndpointKind, GroupSpec, Requirements, ResourceUnit};
use welkin_runtime::Amount;

use super::*;

fn leased() -> GroupSpec {
    let service = full();
    let endpoint = |kind, sequence| Endpoint { kind, sequence };
    GroupSpec {
        name: "eu-west".to_owned(),
        requirements: Requirements {
            attributes: [("tee/type".to_owned(), "cpu".to_owned())].into(),
            ..Requirements::default()
        },
        resources: vec![ResourceUnit {
            id: 1,
            cpu_millis: 500,
            memory_bytes: 512 << 20,
            gpu: service.resources.gpu,
            storage: service.resources.storage,
            endpoints: vec![
                endpoint(EndpointKind::SharedHttp, 0),
                endpoint(EndpointKind::LeasedIp, 1),
            ],
            count: 2,
            max_rate_uwlk_per_hour: Amount(100),
        }],
    }
}

fn refused(change: impl FnOnce(&mut Service)) -> String {
    let mut manifest = group();
    change(&mut manifest.services[0]);
    check_fit(&manifest, &leased()).unwrap_err().to_string()
}

#[test]
fn exactly_what_was_leased_fits_and_less_does_too() {
    assert_eq!(check_fit(&group(), &leased()), Ok(()));
    let mut less = group();
    let service = &mut less.services[0];
    service.count = 1;
    service.resources.memory_bytes = 1 << 20;
    service.resources.storage.clear();
    service.expose.clear();
    assert_eq!(check_fit(&less, &leased()), Ok(()));
}

#[test]
fn the_sum_counts_so_one_replica_may_be_as_big_as_two() {
    let mut bigger = group();
    bigger.services[0].count = 1;
    bigger.services[0].resources.cpu_millis = 1_000;
    assert_eq!(check_fit(&bigger, &leased()), Ok(()));
    let over = refused(|service| service.resources.cpu_millis = 501);
    assert_eq!(
        over,
        "service web: 1002 thousandths of a core in sum exceed the 1000 leased with unit 1"
    );
}

#[test]
fn two_services_of_a_unit_are_added_up() {
    let mut two = group();
    let mut second = full();
    second.name = "worker".to_owned();
    second.expose.clear();
    second.count = 1;
    two.services.push(second);
    let error = check_fit(&two, &leased()).unwrap_err().to_string();
    assert_eq!(
        error,
        "services web, worker: 3 replicas in sum exceed the 2 leased with unit 1"
    );
}

#[test]
fn each_kind_of_thing_is_measured() {
    assert!(refused(|service| service.count = 3).contains("3 replicas"));
    let memory = refused(|service| service.resources.memory_bytes += 1);
    assert!(memory.contains("bytes of memory"), "{memory}");
    assert!(refused(|service| service.resources.gpu.count = 2).contains("GPUs"));
    let storage = refused(|service| service.resources.storage[0].bytes += 1);
    assert!(
        storage.contains("bytes of persistent beta2 storage"),
        "{storage}"
    );
    let class = refused(|service| {
        service.resources.storage[0]
            .attributes
            .insert("class".to_owned(), "beta3".to_owned());
    });
    assert!(
        class.contains("persistent beta3 storage in sum exceed the 0"),
        "{class}"
    );
    let http = refused(|service| {
        let mut second = service.expose[0].clone();
        second.hosts.clear();
        service.expose.push(second);
    });
    assert!(http.contains("2 HTTP endpoints"), "{http}");
    let port = refused(|service| service.expose[0].external_port = 8080);
    assert!(
        port.contains("1 port endpoints in sum exceed the 0"),
        "{port}"
    );
    let address = refused(|service| service.expose[0].ip_sequence = 2);
    assert!(address.contains("leased addresses"), "{address}");
}

#[test]
fn what_was_not_leased_at_all_is_named() {
    assert!(refused(|service| service.unit = 2).contains("resource unit 2"));
    let tee = refused(|service| service.tee = Some(Tee::CpuGpu));
    assert_eq!(
        tee,
        "service web asks for trusted execution (cpu-gpu), which was not leased"
    );
    let model = refused(|service| service.resources.gpu.attributes.clear());
    assert!(model.contains("GPUs of another kind"), "{model}");
    let mut other = group();
    other.group = "us-east".to_owned();
    let error = check_fit(&other, &leased()).unwrap_err();
    assert!(matches!(error, FitError::OtherGroup { .. }));
}

#[test]
fn sums_beyond_64_bits_are_still_sums() {
    let huge = refused(|service| {
        service.count = u32::MAX;
        service.resources.memory_bytes = u64::MAX;
    });
    assert!(huge.contains("4294967295 replicas"), "{huge}");
}
