//! A provider that sees too little of its chain, or another chain: it deletes nothing.

use crate::harness::{Net, block_on, no_engine, output, run, try_fetch, until};
use crate::provider_death::identities;
use std::collections::BTreeMap;
use welkin_node::config::{Home, NodeConfig};
use welkin_provider::backend::Instance;
use welkin_provider::config::Config;
use welkin_testnet::network::build::write_provider_config;
use welkin_testnet::network::record::{Provider, Validator};
use welkin_testnet::network::{binary, engine, ready};

/// Nothing listens here: the port of a service that no machine has had for decades (RFC 862).
const NOBODY: &str = "http://127.0.0.1:7";

/// Points a provider's daemon, which does not run, at other nodes.
fn point(provider: &Provider, nodes: Vec<String>) {
    change(provider, |config| config.rpc = nodes);
}

fn change(provider: &Provider, change: impl FnOnce(&mut Config)) {
    let mut config = Config::read(&provider.config, &BTreeMap::new()).unwrap();
    change(&mut config);
    write_provider_config(&provider.config, &config).unwrap();
}

/// Starts a validator anew without any peer: it answers, and its chain stands still.
fn strand(net: &Net, validator: &Validator) {
    net.kill(&validator.name);
    let path = Home::new(&validator.home).node_toml();
    let mut config =
        NodeConfig::from_toml(&std::fs::read_to_string(&path).unwrap(), &path).unwrap();
    config.p2p.persistent_peers.clear();
    config.p2p.explicit_peers.clear();
    config.p2p.listen = vec!["/ip4/127.0.0.1/tcp/0".to_owned()];
    std::fs::write(&path, config.to_toml()).unwrap();
    net.start_validator(validator);
}

fn height(rpc: &str) -> u64 {
    until("a node answers", || block_on(ready::height(rpc)))
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one provider meets three wrong nodes in turn"
)]
fn a_provider_whose_node_lags_or_is_down_or_is_of_another_chain_deletes_nothing() {
    if no_engine("a provider that sees too little") {
        return;
    }
    let (net, _) = Net::up(&[]);
    let fresh = net.beside(&["--validators", "1", "--providers", "0"]);
    let network = net.record();
    let provider = net.provider();
    let lagging = network.validators[3].clone();
    strand(&net, &lagging);
    let old = height(&lagging.rpc);
    let deployed = net.deploy();
    let before = identities(&net.containers(&provider), None);
    assert_eq!(before.len(), 2);
    let (lease, url) = (&deployed.leases[0], &deployed.urls[0]);
    let assert_untouched = |when: &str| {
        assert_eq!(
            identities(&net.containers(&provider), None),
            before,
            "{when}"
        );
        assert!(try_fetch(url).is_ok(), "{when}");
    };

    net.kill(&provider.name);
    point(&provider, vec![lagging.rpc.clone()]);
    let log = net.log(&provider.name);
    let daemon = net.start_daemon(&provider);
    log.until_it_says("the server lags");
    assert!(height(&lagging.rpc) <= old + 1, "the node lags");
    assert_untouched("a node that lags");
    daemon.kill().unwrap();

    point(&provider, vec![NOBODY.to_owned()]);
    let log = net.log(&provider.name);
    let daemon = net.start_daemon(&provider);
    log.until_it_says("the chain cannot be looked at yet");
    assert_untouched("a node that is down");
    daemon.kill().unwrap();

    let fresh_nodes = vec![fresh.record().validators[0].rpc.clone()];
    point(&provider, fresh_nodes.clone());
    let log = net.log(&provider.name);
    let daemon = net.start_daemon(&provider);
    // Whether it lags, or lies about a header or a proof, depends on its height.
    until("the daemon has asked it", || {
        let said = log.text();
        let faults = [
            "the server lags",
            "name a server of this network",
            "does not tell the truth",
        ];
        faults
            .iter()
            .any(|fault| said.contains(fault))
            .then_some(())
    });
    assert_untouched("a node of another chain");
    daemon.kill().unwrap();

    let _table = as_provider_of(&fresh, &provider, fresh_nodes);
    let daemon = net.start_daemon(&provider);
    let own = until_it_has_looked(&provider);
    assert_eq!(own, fresh.record().chain_id);
    assert_untouched("a provider of another chain with the same key and engine");
    daemon.kill().unwrap();

    let nodes = network.validators[..3].iter().map(|one| one.rpc.clone());
    let home = network.folder.join(&provider.name);
    change(&provider, |config| {
        config.rpc = nodes.collect();
        config.genesis = network.genesis.clone();
        config.home = home;
    });
    net.start_daemon(&provider);
    until_it_has_looked(&provider);
    run(&mut net.welkin("alice", &["lease", "status", lease]));
    assert_untouched("its own chain again");
}

/// A firewall table that no record knows of.
struct Table(String);

impl Drop for Table {
    fn drop(&mut self) {
        if let Err(why) = engine::remove_table(&self.0) {
            eprintln!("the firewall table of {} stays: {why}", self.0);
        }
    }
}

/// Makes the daemon one of another chain: with money there, and a folder of its own for what it keeps of that chain.
fn as_provider_of(chain: &Net, provider: &Provider, nodes: Vec<String>) -> Table {
    let to = provider.address.to_string();
    let transfer = [
        "tx",
        "accounts",
        "transfer",
        "--to",
        &to,
        "--amount",
        "100000000",
    ];
    run(&mut chain.welkin("alice", &transfer));
    let genesis = chain.record().genesis;
    change(provider, |config| {
        config.rpc = nodes;
        config.genesis = genesis;
        config.home = provider.home.with_extension("elsewhere");
    });
    let instance = Instance {
        genesis: chain.chain().info().genesis_hash,
        provider: provider.address,
    };
    Table(instance.short())
}

/// Waits until the daemon has looked at its chain and engine; the chain's name.
fn until_it_has_looked(provider: &Provider) -> String {
    let config = provider.config.to_str().unwrap();
    let status = || {
        let mut status = std::process::Command::new(binary("welkin-provider").unwrap());
        let said = output(status.args(["--config", config, "status", "-o", "json"]));
        serde_json::from_slice::<serde_json::Value>(&said.stdout).ok()
    };
    let looked_at = |least: u64| {
        until("the provider has looked at its chain", || {
            status().filter(|status| status["height"].as_u64().is_some_and(|at| at >= least))
        })
    };
    // The look after the next one saw everything that was there when this was called.
    let first = looked_at(1)["height"].as_u64().unwrap();
    let seen = looked_at(first + 2);
    seen["chain_id"].as_str().unwrap().to_owned()
}
