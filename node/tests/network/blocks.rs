//! Blocks are made, transactions get into them, everybody agrees.

use crate::harness::*;
use welkin_runtime::Address;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_validators_commit_blocks_and_a_transfer() {
    let mut net = Net::started(4).await;
    let node = net.node(0);
    until_height(&node, 3).await;

    let to = Address([9; 20]);
    let sent = submit(&node, net.transfer(1, 0, &to)).await;
    for index in 0..4 {
        until_committed(&net.node(index), sent.id).await;
    }
    let again = node.submit_tx(net.transfer(1, 0, &to)).await.unwrap();
    assert_eq!(again.committed.map(|place| place.index), Some(0));
    assert_eq!((again.codespace.as_str(), again.code), ("runtime", 7));

    let height = net.height(0);
    until_height(&node, height + 2).await;
    assert_eq!(net.account(0, &to).balance.0, 1);
    assert_eq!(net.account(0, &account(1).address()).sequence, 1);
    for index in 1..4 {
        until_height(&net.node(index), height).await;
        let (own, other) = (
            node.block(height).unwrap(),
            net.node(index).block(height).unwrap(),
        );
        assert_eq!(own.block_id, other.block_id);
        assert_eq!(
            node.results(height).unwrap(),
            net.node(index).results(height).unwrap()
        );
    }
    net.stop_all().await;
}
