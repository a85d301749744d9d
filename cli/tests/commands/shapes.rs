//! The keys of what `-o json` prints, which programs rely on.

use serde_json::Value;

use crate::golden::Golden;
use crate::support::{Chain, address, sample};

#[test]
fn every_command_prints_json_of_its_promised_shape() {
    let chain = Chain::start();
    let mut golden = Golden::new("json");
    let file = sample("minimal.yaml");
    let file = file.to_str().unwrap();
    let alice = |words: &[&str]| -> Value { chain.json("alice", words) };

    golden.check_shape("version", &alice(&["version"]));
    golden.check_shape("plan-offline", &alice(&["plan", "--offline", file]));
    let to = address("bob").to_string();
    let sent = alice(&["tx", "accounts", "transfer", "--to", &to, "--amount", "1"]);
    golden.check_shape("tx", &sent);
    golden.check_shape("tx-help", &alice(&["tx"]));
    chain.register_provider();
    golden.check_shape("plan", &alice(&["plan", file]));

    // Nobody bids: the deployment and its order stay.
    chain
        .run(
            "alice",
            &["deploy", file, "--timeout", "6", "--deposit", "100000"],
        )
        .failure(6);
    chain.bid("1/1/1");
    golden.check_shape("market-orders", &alice(&["market", "orders"]));
    golden.check_shape("market-bids", &alice(&["market", "bids", "1/1/1"]));
    let bid = format!("1/1/1/{}", address("bob"));
    golden.check_shape(
        "tx-accept",
        &alice(&["tx", "market", "accept", "--bid", &bid]),
    );
    golden.check_shape("market-leases", &alice(&["market", "leases"]));
    golden.check_shape("deployment-list", &alice(&["deployment", "list"]));
    golden.check_shape("deployment-show", &alice(&["deployment", "show", "1"]));
    golden.check_shape(
        "deployment-deposit",
        &alice(&["deployment", "deposit", "1", "1000"]),
    );
    golden.check_shape("provider-list", &alice(&["provider", "list"]));
    golden.check_shape("provider-show", &alice(&["provider", "show", &to]));
    golden.check_shape(
        "query",
        &alice(&["query", "accounts", "account", "--address", &to]),
    );
    golden.check_shape("deployment-close", &alice(&["deployment", "close", "1"]));
    golden.check_shape("empty-list", &alice(&["market", "leases"]));
    golden.finish();

    // YAML has the same keys.
    let mut shown = chain.welkin("alice", &["deployment", "show", "1", "-o", "yaml"]);
    let yaml = crate::support::run(&mut shown);
    let keys: Vec<&str> = yaml
        .data()
        .lines()
        .filter(|line| !line.starts_with([' ', '-']))
        .collect();
    assert_eq!(keys.len(), 5, "{}", yaml.out);
}
