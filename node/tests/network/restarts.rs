//! Nodes that stop and come back.

use crate::harness::*;
use welkin_runtime::Address;

const TO: Address = Address([9; 20]);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_go_on_without_the_fourth_which_catches_up_and_signs_again() {
    let mut net = Net::started(4).await;
    until_height(&net.node(0), 2).await;
    net.stop(3).await;
    let node = net.node(0);
    let sent = submit(&node, net.transfer(1, 0, &TO)).await;
    until_committed(&node, sent.id).await;
    // More than fit into the gossip that the others still remember.
    let height = net.height(0) + 4;
    until_height(&node, height).await;

    net.start(3).await;
    let back = net.node(3);
    until_height(&back, height).await;
    until_committed(&back, sent.id).await;
    assert_eq!(
        back.block(height).unwrap().block_id,
        node.block(height).unwrap().block_id
    );
    let address = back.status().validator.unwrap().address;
    until(&node, |block| {
        let signatures = &block.block.block.last_commit.signatures;
        signatures
            .iter()
            .filter_map(|entry| entry.cast())
            .any(|cast| cast.validator_address == address)
    })
    .await;
    assert!(!back.status().catching_up);
    net.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_stopped_and_started_again_go_on_where_they_were() {
    let mut net = Net::started(4).await;
    let sent = submit(&net.node(2), net.transfer(1, 0, &TO)).await;
    until_committed(&net.node(0), sent.id).await;
    let height = net.height(0);
    let block = net.node(0).block(height).unwrap();
    net.stop_all().await;

    for index in 0..4 {
        net.start(index).await;
    }
    let node = net.node(0);
    assert_eq!(node.block(height).unwrap(), block);
    assert_eq!(
        node.transaction(&sent.id).unwrap().map(|tx| tx.result.code),
        Some(0)
    );
    let next = submit(&node, net.transfer(1, 1, &TO)).await;
    for index in 0..4 {
        until_committed(&net.node(index), next.id).await;
    }
    until_height(&node, net.height(0) + 2).await;
    assert_eq!(net.account(0, &TO).balance.0, 2);
    net.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_its_state_store_makes_it_again_from_the_block_log() {
    let mut net = Net::started(1).await;
    let sent = submit(&net.node(0), net.transfer(1, 0, &TO)).await;
    until_committed(&net.node(0), sent.id).await;
    let height = net.height(0);
    let results = net.node(0).results(height).unwrap();
    let place = net.node(0).transaction(&sent.id).unwrap().unwrap().place;
    net.stop(0).await;

    for damage in [Damage::Gone, Damage::Torn] {
        damage.strike(&net.homes[0].state());
        net.start(0).await;
        let node = net.node(0);
        assert_eq!(node.results(height).unwrap(), results);
        assert_eq!(
            node.transaction(&sent.id).unwrap().map(|tx| tx.place),
            Some(place)
        );
        until_height(&node, net.height(0) + 2).await;
        assert_eq!(net.account(0, &TO).balance.0, 1);
        net.stop(0).await;
    }
}

/// What happens to a store.
enum Damage {
    Gone,
    Torn,
}

impl Damage {
    fn strike(&self, folder: &std::path::Path) {
        match self {
            Damage::Gone => std::fs::remove_dir_all(folder).unwrap(),
            Damage::Torn => {
                for entry in std::fs::read_dir(folder).unwrap() {
                    let path = entry.unwrap().path();
                    if path.is_file() {
                        let bytes = std::fs::read(&path).unwrap();
                        let torn: Vec<u8> = bytes.iter().map(|byte| byte ^ 0x5a).collect();
                        std::fs::write(&path, &torn[..torn.len() / 2]).unwrap();
                    }
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_node_fetches_the_whole_chain() {
    let mut net = Net::new(4);
    for index in 0..3 {
        net.start(index).await;
    }
    let node = net.node(0);
    let sent = submit(&node, net.transfer(1, 0, &TO)).await;
    until_committed(&node, sent.id).await;
    until_height(&node, 10).await;
    net.start(3).await;
    let fresh = net.node(3);
    until_height(&fresh, net.height(0) + 1).await;
    assert_eq!(
        fresh.block(1).unwrap().block_id,
        node.block(1).unwrap().block_id
    );
    assert_eq!(net.account(3, &TO).balance.0, 1);
    net.stop_all().await;
}
