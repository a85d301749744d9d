//! One network for each lease: its ranges, its free addresses, and the firewall's view of all of them.

use std::collections::{BTreeSet, HashMap};
use std::net::Ipv4Addr;

use bollard::models::NetworkInspect;
use bollard::query_parameters::ListNetworksOptionsBuilder;

use super::engine::{Engine, LOOK_TIMEOUT, error, silent};
use super::spec::{self, label};
use crate::backend::{BackendError, Instance, LeaseKey};
use crate::firewall::{LeaseNetwork, Subnet};

/// Addresses below this one in a network are the engine's own and the gateway's.
const FIRST_HOST: u32 = 10;

/// All networks of this instance.
pub(super) async fn list(
    engine: &Engine,
    instance: &Instance,
) -> Result<Vec<NetworkInspect>, BackendError> {
    let wanted = format!("{}={}", label::INSTANCE, instance.short());
    let filters = HashMap::from([("label".to_owned(), vec![wanted.clone()])]);
    let options = ListNetworksOptionsBuilder::default()
        .filters(&filters)
        .build();
    let listed = engine.api.list_networks(Some(options));
    let networks = tokio::time::timeout(LOOK_TIMEOUT, listed)
        .await
        .map_err(|_| silent(LOOK_TIMEOUT))?
        .map_err(error)?;
    // The filter is the engine's; whether a network is ours is decided here.
    Ok(networks
        .into_iter()
        .map(|network| NetworkInspect {
            name: network.name,
            id: network.id,
            ipam: network.ipam,
            labels: network.labels,
            ..Default::default()
        })
        .filter(|network| {
            let labels = network.labels.as_ref();
            labels.and_then(|l| l.get(label::INSTANCE)) == Some(&instance.short())
        })
        .collect())
}

/// The lease's network, made where it is not there.
pub(super) async fn ensure(
    engine: &Engine,
    instance: &Instance,
    key: LeaseKey,
) -> Result<NetworkInspect, BackendError> {
    let name = spec::network_name(instance, key);
    if let Some(found) = list(engine, instance)
        .await?
        .into_iter()
        .find(|network| network.name.as_ref() == Some(&name))
    {
        return Ok(found);
    }
    let request = spec::network(instance, key, engine.dialect);
    match engine.api.create_network(request).await.map_err(error) {
        Ok(_) => {}
        // Somebody else was quicker, or the list was old: what counts is that it is ours now.
        Err(BackendError::Refused(_)) => {}
        Err(other) => return Err(other),
    }
    list(engine, instance)
        .await?
        .into_iter()
        .find(|network| network.name.as_ref() == Some(&name))
        .ok_or_else(|| {
            BackendError::Engine(format!("the network {name} was made and is not there"))
        })
}

/// What the firewall needs to know of a network.
pub(super) fn for_firewall(network: &NetworkInspect) -> Result<LeaseNetwork, BackendError> {
    let name = network.name.as_deref().unwrap_or("?");
    let bad = |what: &str| BackendError::Engine(format!("the network {name} has {what}"));
    let mut found = LeaseNetwork {
        subnets: Vec::new(),
        gateways: Vec::new(),
    };
    for config in network
        .ipam
        .iter()
        .flat_map(|ipam| ipam.config.iter().flatten())
    {
        if let Some(subnet) = config.subnet.as_deref().filter(|text| !text.is_empty()) {
            found.subnets.push(
                subnet
                    .parse::<Subnet>()
                    .map_err(|_| bad("a range that is none"))?,
            );
        }
        if let Some(gateway) = config.gateway.as_deref().filter(|text| !text.is_empty()) {
            found.gateways.push(
                gateway
                    .parse()
                    .map_err(|_| bad("a gateway that is no address"))?,
            );
        }
    }
    if found.subnets.is_empty() {
        return Err(bad("no address range"));
    }
    Ok(found)
}

/// Addresses for new containers of a network, lowest first, those in use left out.
pub(super) fn free_addresses(
    network: &NetworkInspect,
    used: &BTreeSet<Ipv4Addr>,
    count: usize,
) -> Result<Vec<Ipv4Addr>, BackendError> {
    let lease = for_firewall(network)?;
    let subnet = lease
        .subnets
        .iter()
        .find(|subnet| subnet.is_ipv4())
        .ok_or_else(|| BackendError::Engine("the lease's network has no IPv4 range".to_owned()))?;
    let (first, last) = subnet.ipv4_bounds().expect("it was chosen for being IPv4");
    let free: Vec<Ipv4Addr> = (first.saturating_add(FIRST_HOST)..last)
        .map(Ipv4Addr::from)
        .filter(|address| !used.contains(address))
        .take(count)
        .collect();
    if free.len() < count {
        return Err(BackendError::Refused(format!(
            "the lease's network {} has no {count} free addresses",
            network.name.as_deref().unwrap_or("?")
        )));
    }
    Ok(free)
}
