//! Who reaches whom: policies, Services and the ways in.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec as ClusterServiceSpec};
use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, IPBlock, Ingress, IngressBackend, IngressRule,
    IngressServiceBackend, IngressSpec, NetworkPolicy, NetworkPolicyEgressRule,
    NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
    ServiceBackendPort,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use welkin_provider_api::manifest::Protocol;

use super::super::names::{self, label};
use super::super::settings::{IngressSource, Settings};
use super::{metadata, protocol};
use crate::backend::{Entry, LeaseKey, LeaseSpec, PortSpec, ServiceSpec};
use crate::firewall::{FORBIDDEN_IPV4, FORBIDDEN_IPV6, Subnet};
use crate::workload::host_name;

/// The label that every namespace carries with its own name.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";
/// Where the cluster's resolver runs, as everywhere.
const RESOLVER: (&str, &str, &str) = ("kube-system", "k8s-app", "kube-dns");
const DNS_PORT: i32 = 53;
/// IPv4 addresses in the clothes of IPv6. The cluster takes this range for one of IPv4's and refuses it here; the system
/// sends what goes there as IPv4, to which the rules of IPv4 apply.
const IPV4_MAPPED: &str = "::ffff:0:0/96";

/// What selects nothing out: all pods of the namespace.
fn all() -> LabelSelector {
    LabelSelector::default()
}

fn named(labels: impl IntoIterator<Item = (String, String)>) -> LabelSelector {
    LabelSelector {
        match_labels: Some(labels.into_iter().collect()),
        match_expressions: None,
    }
}

/// The policies of a lease. Each opens one thing; the first closes everything else.
pub fn policies(settings: &Settings, lease: &LeaseSpec) -> Vec<NetworkPolicy> {
    let policy = |name: &str, spec| NetworkPolicy {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(names::namespace(&settings.instance, lease.key)),
            labels: Some(names::labels(&settings.instance, lease.key)),
            annotations: Some(names::annotations(&settings.instance)),
            ..Default::default()
        },
        spec: Some(spec),
    };
    let mut policies = vec![
        policy("closed", rules(all(), Some(vec![]), Some(vec![]))),
        policy("own-lease", own_lease()),
        policy("resolver", resolver()),
        policy("internet", internet(settings)),
    ];
    let mut http = Vec::new();
    let mut open = Vec::new();
    for service in &lease.services {
        http.extend(of_service(service, |entry| matches!(entry, Entry::Http(_))));
        open.extend(of_service(service, |entry| matches!(entry, Entry::Port)));
    }
    for (service, ports) in http {
        let from = Some(controller(&settings.ingress.from));
        policies.push(policy(
            &format!("http-{service}"),
            admits(service, ports, from),
        ));
    }
    for (service, ports) in open {
        policies.push(policy(
            &format!("ports-{service}"),
            admits(service, ports, None),
        ));
    }
    policies
}

fn rules(
    pods: LabelSelector,
    ingress: Option<Vec<NetworkPolicyIngressRule>>,
    egress: Option<Vec<NetworkPolicyEgressRule>>,
) -> NetworkPolicySpec {
    let directions = [("Ingress", ingress.is_some()), ("Egress", egress.is_some())];
    let types = directions
        .into_iter()
        .filter(|(_, is_meant)| *is_meant)
        .map(|(name, _)| name.to_owned());
    NetworkPolicySpec {
        pod_selector: Some(pods),
        policy_types: Some(types.collect()),
        ingress,
        egress,
    }
}

/// The lease's services reach each other.
fn own_lease() -> NetworkPolicySpec {
    let own = || {
        Some(vec![NetworkPolicyPeer {
            pod_selector: Some(all()),
            ..Default::default()
        }])
    };
    rules(
        all(),
        Some(vec![NetworkPolicyIngressRule {
            from: own(),
            ports: None,
        }]),
        Some(vec![NetworkPolicyEgressRule {
            to: own(),
            ports: None,
        }]),
    )
}

/// Names can be looked up.
fn resolver() -> NetworkPolicySpec {
    let (namespace, key, value) = RESOLVER;
    let to = NetworkPolicyPeer {
        namespace_selector: Some(named([(NAMESPACE_NAME.to_owned(), namespace.to_owned())])),
        pod_selector: Some(named([(key.to_owned(), value.to_owned())])),
        ip_block: None,
    };
    let ports = [Protocol::Udp, Protocol::Tcp].map(|one| policy_port(DNS_PORT, one));
    let rule = NetworkPolicyEgressRule {
        to: Some(vec![to]),
        ports: Some(ports.into()),
    };
    rules(all(), None, Some(vec![rule]))
}

/// The internet can be reached, and nothing private.
fn internet(settings: &Settings) -> NetworkPolicySpec {
    let (ipv4, ipv6): (Vec<Subnet>, Vec<Subnet>) =
        settings.forbidden.iter().partition(|range| range.is_ipv4());
    let block = |all: &str, fixed: &[&str], own: &[Subnet]| {
        let own = own.iter().map(ToString::to_string);
        let except: BTreeSet<String> = fixed
            .iter()
            .map(|range| (*range).to_owned())
            .chain(own)
            .filter(|range| range != IPV4_MAPPED)
            .collect();
        NetworkPolicyPeer {
            ip_block: Some(IPBlock {
                cidr: all.to_owned(),
                except: Some(except.into_iter().collect()),
            }),
            ..Default::default()
        }
    };
    let to = vec![
        block("0.0.0.0/0", &FORBIDDEN_IPV4, &ipv4),
        block("::/0", &FORBIDDEN_IPV6, &ipv6),
    ];
    let rule = NetworkPolicyEgressRule {
        to: Some(to),
        ports: None,
    };
    rules(all(), None, Some(vec![rule]))
}

/// The ports of a service through which the world comes in this way.
fn of_service(
    service: &ServiceSpec,
    is_meant: impl Fn(&Entry) -> bool,
) -> Option<(&str, Vec<NetworkPolicyPort>)> {
    let meant = service
        .ports
        .iter()
        .filter(|port| port.entry.as_ref().is_some_and(&is_meant));
    let ports: BTreeSet<(u16, Protocol)> = meant.map(|port| (port.port, port.protocol)).collect();
    let ports: Vec<_> = ports
        .into_iter()
        .map(|(port, protocol)| policy_port(i32::from(port), protocol))
        .collect();
    (!ports.is_empty()).then_some((service.name.as_str(), ports))
}

fn admits(
    service: &str,
    ports: Vec<NetworkPolicyPort>,
    from: Option<Vec<NetworkPolicyPeer>>,
) -> NetworkPolicySpec {
    let rule = NetworkPolicyIngressRule {
        from,
        ports: Some(ports),
    };
    rules(named(names::selector(service)), Some(vec![rule]), None)
}

fn controller(source: &IngressSource) -> Vec<NetworkPolicyPeer> {
    match source {
        IngressSource::Pods { namespace, labels } => vec![NetworkPolicyPeer {
            namespace_selector: Some(named([(NAMESPACE_NAME.to_owned(), namespace.clone())])),
            pod_selector: Some(named(labels.clone())),
            ip_block: None,
        }],
        IngressSource::Addresses(addresses) => {
            let block = |address: &std::net::IpAddr| NetworkPolicyPeer {
                ip_block: Some(IPBlock {
                    cidr: format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 }),
                    except: None,
                }),
                ..Default::default()
            };
            addresses.iter().map(block).collect()
        }
    }
}

fn policy_port(port: i32, transport: Protocol) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(port)),
        protocol: Some(protocol(transport).to_owned()),
        end_port: None,
    }
}

/// The name by which the lease's other services find this one, at the ports that its file names and at those that its
/// containers open.
pub fn cluster_service(settings: &Settings, key: LeaseKey, service: &ServiceSpec) -> Service {
    let ports = inner_ports(&service.ports);
    Service {
        metadata: metadata(settings, key, service, service.name.clone()),
        spec: Some(ClusterServiceSpec {
            // With no port to balance there is a name that leads to the pods themselves.
            cluster_ip: ports.is_empty().then(|| "None".to_owned()),
            selector: Some(names::selector(&service.name)),
            ports: (!ports.is_empty()).then_some(ports),
            ip_family_policy: Some("SingleStack".to_owned()),
            ..Default::default()
        }),
        status: None,
    }
}

fn inner_ports(ports: &[PortSpec]) -> Vec<ServicePort> {
    let mut targets: BTreeMap<(u16, Protocol), u16> = BTreeMap::new();
    for port in ports {
        targets
            .entry((port.external_port, port.protocol))
            .or_insert(port.port);
    }
    for port in ports {
        targets
            .entry((port.port, port.protocol))
            .or_insert(port.port);
    }
    let port = |((port, transport), target): ((u16, Protocol), u16)| ServicePort {
        name: Some(format!("{}-{port}", protocol(transport).to_lowercase())),
        port: i32::from(port),
        target_port: Some(IntOrString::Int(i32::from(target))),
        protocol: Some(protocol(transport).to_owned()),
        ..Default::default()
    };
    targets.into_iter().map(port).collect()
}

/// The Service whose ports the world reaches at the nodes; none where there are none.
pub fn public_service(
    settings: &Settings,
    key: LeaseKey,
    service: &ServiceSpec,
) -> Option<Service> {
    let open = service
        .ports
        .iter()
        .filter(|port| port.entry == Some(Entry::Port));
    let open: BTreeSet<(u16, Protocol)> = open.map(|port| (port.port, port.protocol)).collect();
    let ports: Vec<ServicePort> = open
        .into_iter()
        .map(|(port, transport)| ServicePort {
            name: Some(format!("{}-{port}", protocol(transport).to_lowercase())),
            port: i32::from(port),
            target_port: Some(IntOrString::Int(i32::from(port))),
            protocol: Some(protocol(transport).to_owned()),
            ..Default::default()
        })
        .collect();
    let spec = ClusterServiceSpec {
        type_: Some("NodePort".to_owned()),
        selector: Some(names::selector(&service.name)),
        ports: Some(ports),
        ip_family_policy: Some("SingleStack".to_owned()),
        ..Default::default()
    };
    let has_any = spec.ports.as_ref().is_some_and(|ports| !ports.is_empty());
    has_any.then(|| Service {
        metadata: metadata(settings, key, service, names::public_ports(&service.name)),
        spec: Some(spec),
        status: None,
    })
}

/// The way in by host name; none where nothing is served so.
pub fn ingress(settings: &Settings, key: LeaseKey, service: &ServiceSpec) -> Option<Ingress> {
    let port = service
        .ports
        .iter()
        .find(|port| matches!(port.entry, Some(Entry::Http(_))))?;
    let path = HTTPIngressPath {
        path: Some("/".to_owned()),
        path_type: "Prefix".to_owned(),
        backend: IngressBackend {
            service: Some(IngressServiceBackend {
                name: service.name.clone(),
                port: Some(ServiceBackendPort {
                    number: Some(i32::from(port.external_port)),
                    name: None,
                }),
            }),
            resource: None,
        },
    };
    let rule = IngressRule {
        host: Some(host_name(key, &service.name, &settings.domain)),
        http: Some(HTTPIngressRuleValue { paths: vec![path] }),
    };
    Some(Ingress {
        metadata: metadata(settings, key, service, service.name.clone()),
        spec: Some(IngressSpec {
            ingress_class_name: Some(settings.ingress.class.clone()),
            rules: Some(vec![rule]),
            ..Default::default()
        }),
        status: None,
    })
}

/// What selects the pods of a lease's service, as the provider lists them.
pub fn pods_of(service: &str) -> String {
    format!("{}={service}", label::SERVICE)
}
