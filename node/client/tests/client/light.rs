//! Which headers a light client believes.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};
use welkin_client::light::LightConfig;
use welkin_client::rpc::Limits;
use welkin_client::{Chain, ClientError, LightClient, RpcClient};
use welkin_consensus::types::{AppHash, Header};

use super::chain::TestChain;
use super::server::Server;

fn client(server: &Server, folder: &std::path::Path) -> LightClient {
    let rpc = RpcClient::new(&[server.url()], Limits::default()).unwrap();
    let config = LightConfig {
        wait_ms: 200,
        ..LightConfig::default()
    };
    let genesis = server.chain().genesis.clone();
    LightClient::open(rpc, &genesis, folder.join("headers.json"), config).unwrap()
}

fn header(server: &Server, height: u64) -> Header {
    server.chain().blocks[&height].block.header.clone()
}

/// A chain of 60 blocks whose validators change at several heights.
fn changing() -> TestChain {
    let mut chain = TestChain::new(&[10, 10, 10, 10]);
    chain.grow(10);
    // One more; then the first two leave and others come; then everything as it was at first.
    let update = vec![chain.update(4, 30)];
    chain.produce(vec![], update);
    chain.grow(9);
    let update = vec![
        chain.update(0, 0),
        chain.update(1, 0),
        chain.update(5, 50),
        chain.update(6, 5),
    ];
    chain.produce(vec![], update);
    let update = vec![chain.update(2, 0), chain.update(3, 0)];
    chain.produce(vec![], update);
    chain.grow(20);
    let update = [(0, 10), (1, 10), (2, 10), (3, 10), (4, 0), (5, 0), (6, 0)];
    let update = update
        .map(|(number, power)| chain.update(number, power))
        .to_vec();
    chain.produce(vec![], update);
    chain.grow(17);
    chain
}

fn assert_lie(result: Result<impl std::fmt::Debug, ClientError>, words: &str) {
    match result {
        Err(error @ ClientError::Verification { .. }) => {
            assert_eq!(error.exit_code(), 7);
            let text = error.to_string();
            assert!(text.contains(words) && text.contains("localhost"), "{text}");
        }
        other => panic!("not caught: {other:?}"),
    }
}

#[tokio::test]
async fn while_the_validators_stay_any_header_takes_one_request() {
    let mut chain = TestChain::new(&[10, 20, 30, 40]);
    chain.grow(50);
    let server = Server::start(chain).await;
    let folder = tempfile::tempdir().unwrap();
    let light = client(&server, folder.path());
    for height in [50, 7, 1, 50] {
        assert_eq!(
            light.header(height).await.unwrap().header(),
            &header(&server, height)
        );
    }
    assert_eq!(light.highest(), 50);
    assert_eq!(server.count("commit"), 3);
}

#[tokio::test]
async fn changes_of_the_validators_are_followed_one_by_one() {
    let server = Server::start(changing()).await;
    let folder = tempfile::tempdir().unwrap();
    let light = client(&server, folder.path());
    for height in [60, 1, 13, 12, 22, 23, 24, 40, 43, 44, 45, 59] {
        let found = light.header(height).await;
        assert_eq!(
            found.unwrap().header(),
            &header(&server, height),
            "{height}"
        );
    }
}

#[tokio::test]
async fn what_was_verified_is_there_after_a_restart_and_the_highest_stays() {
    let server = Server::start(changing()).await;
    let folder = tempfile::tempdir().unwrap();
    client(&server, folder.path()).header(60).await.unwrap();
    server.count("");
    let again = client(&server, folder.path());
    assert_eq!(again.highest(), 60);
    assert_eq!(
        again.header(60).await.unwrap().header(),
        &header(&server, 60)
    );
    assert_eq!(server.count("commit"), 0);
    again.header(3).await.unwrap();
    assert_eq!(again.highest(), 60);
}

#[tokio::test]
async fn two_processes_of_a_user_take_nothing_back_from_each_other() {
    let server = Server::start(changing()).await;
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (
        client(&server, folder.path()),
        client(&server, folder.path()),
    );
    one.header(60).await.unwrap();
    other.header(5).await.unwrap();
    drop(one);
    drop(other);
    assert_eq!(client(&server, folder.path()).highest(), 60);
}

#[tokio::test]
async fn a_damaged_file_is_named_with_the_remedy() {
    let server = Server::start(changing()).await;
    let folder = tempfile::tempdir().unwrap();
    client(&server, folder.path()).header(9).await.unwrap();
    std::fs::write(folder.path().join("headers.json"), "{\"format\":1").unwrap();
    let rpc = RpcClient::new(&[server.url()], Limits::default()).unwrap();
    let genesis = server.chain().genesis.clone();
    let file = folder.path().join("headers.json");
    let opened = LightClient::open(rpc, &genesis, file, LightConfig::default());
    let error = opened.err().unwrap();
    assert!(error.to_string().contains("delete it"), "{error}");
    assert_eq!(error.exit_code(), 1);
}

#[tokio::test]
async fn a_header_with_another_app_hash_is_refused() {
    let server = Server::start(changing()).await;
    let folder = tempfile::tempdir().unwrap();
    let light = client(&server, folder.path());
    server.lie(|method, _, result| {
        if method == "commit" {
            result["signed_header"]["header"]["app_hash"] = json!("AB".repeat(32));
        }
    });
    assert_lie(light.header(8).await, "not for its header");
    assert_eq!(light.highest(), 0);
}

#[tokio::test]
async fn a_commit_of_two_thirds_is_not_enough_and_one_more_is() {
    let mut chain = TestChain::new(&[10, 10, 10]);
    chain.grow(5);
    let (set, produced) = (chain.state.validators.clone(), chain.blocks[&4].clone());
    let time = produced.block.header.time;
    let mut with = |voters: &[usize]| {
        let voters: BTreeSet<_> = voters.iter().copied().collect();
        let commit = chain.commit_of(&set, 4, produced.id, time, &voters);
        chain.blocks.get_mut(&4).unwrap().commit = commit;
    };
    with(&[0, 2]);
    let server = Server::start(chain).await;
    let folder = tempfile::tempdir().unwrap();
    let light = client(&server, folder.path());
    assert_lie(light.header(4).await, "not enough voting power");
    assert!(light.header(5).await.is_ok());
}

#[tokio::test]
async fn a_chain_of_other_validators_is_refused() {
    let mut forged = TestChain::with_keys(&[10, 10, 10, 10], 60, "2024-01-01T00:00:00Z");
    forged.grow(9);
    let honest = TestChain::new(&[10, 10, 10, 10]);
    let genesis = honest.genesis.clone();
    let server = Server::start(forged).await;
    let folder = tempfile::tempdir().unwrap();
    let rpc = RpcClient::new(&[server.url()], Limits::default()).unwrap();
    let file = folder.path().join("headers.json");
    let light = LightClient::open(rpc, &genesis, file, LightConfig::default()).unwrap();
    assert_lie(light.header(9).await, "validators");
    assert_lie(light.header(1).await, "validators");
}

#[tokio::test]
async fn validators_that_no_header_names_are_refused() {
    let server = Server::start(changing()).await;
    let folder = tempfile::tempdir().unwrap();
    let light = client(&server, folder.path());
    server.lie(|method, _, result| {
        if method == "validators" {
            result["validators"][0]["voting_power"] = json!("1000000");
        }
    });
    assert_lie(light.header(30).await, "names");
}

#[tokio::test]
async fn another_height_another_chain_and_a_header_from_the_future_are_refused() {
    let mut chain = TestChain::with_keys(&[10], 1, "2100-01-01T00:00:00Z");
    chain.grow(3);
    let newer = chain.commit_answer(3);
    let server = Server::start(chain).await;
    let folder = tempfile::tempdir().unwrap();
    let light = client(&server, folder.path());
    assert_lie(light.header(2).await, "future");
    server.lie(move |_, _, result| *result = newer.clone());
    assert_lie(light.header(2).await, "another one");
    server.lie(|_, _, result: &mut Value| {
        result["signed_header"]["header"]["chain_id"] = json!("elsewhere");
    });
    assert_lie(light.header(2).await, "elsewhere");
}

#[tokio::test]
async fn two_signed_headers_of_one_height_are_noticed() {
    let mut chain = TestChain::new(&[10, 10, 10, 10]);
    chain.grow(6);
    let server = Server::start(chain).await;
    let folder = tempfile::tempdir().unwrap();
    let light = client(&server, folder.path());
    light.header(5).await.unwrap();
    // The same validators sign another history from height 4 on, where time stands elsewhere.
    let forged = {
        let mut chain = server.chain();
        let mut produced = chain.blocks[&4].clone();
        produced.block.header.app_hash = AppHash(vec![9; 32]);
        produced.block.header.time = produced.block.header.time.plus_nanos(1_000_000_000_000);
        let id = produced.block.id(&produced.block.part_set());
        let set = produced.validators.clone();
        produced.commit = chain.commit(&set, 4, id, produced.block.header.time);
        chain.blocks.insert(4, produced);
        chain.commit_answer(4)
    };
    assert!(forged.is_object());
    assert_lie(light.header(4).await, "neighbours");
}

#[tokio::test]
async fn a_block_that_does_not_come_is_a_timeout() {
    let server = Server::start(changing()).await;
    let folder = tempfile::tempdir().unwrap();
    let error = client(&server, folder.path())
        .header(1_000)
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::TimedOut { .. }), "{error}");
    assert_eq!(error.exit_code(), 6);
}

#[tokio::test]
async fn a_folder_belongs_to_one_network() {
    let server = Server::start(changing()).await;
    let folder = tempfile::tempdir().unwrap();
    let config = server.chain().config(vec![server.url()], folder.path());
    Chain::connect(config.clone()).await.unwrap();
    let pinned = welkin_client::Config {
        trust: welkin_client::Trust::Pinned,
        ..config.clone()
    };
    Chain::connect(pinned).await.unwrap();
    let other = TestChain::new(&[7]).genesis;
    let trust = welkin_client::Trust::Document(Box::new(other));
    let error = Chain::connect(welkin_client::Config { trust, ..config })
        .await
        .err()
        .unwrap();
    assert!(matches!(error, ClientError::OtherNetwork { .. }), "{error}");
}

#[tokio::test]
async fn a_genesis_from_a_server_has_the_hash_that_was_asked_for() {
    let server = Server::start(changing()).await;
    let folder = tempfile::tempdir().unwrap();
    let mut config = server.chain().config(vec![server.url()], folder.path());
    let hash = server.chain().genesis.hash().unwrap();
    config.trust = welkin_client::Trust::Hash(hash);
    server.lie(|_, _, result| result["genesis"]["validators"][0]["power"] = json!("99"));
    assert_lie(Chain::connect(config.clone()).await.map(|_| ()), "hash");
    server.behave(super::server::Manner::Honest);
    assert_eq!(
        Chain::connect(config).await.unwrap().info().genesis_hash,
        hash
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(12) })]

    /// Whatever changes, and in whatever order headers are asked for, the true ones are believed.
    #[test]
    fn every_header_of_a_true_chain_is_believed(
        changes in prop::collection::vec((0..8usize, 0..40u64), 0..20),
        asked in prop::collection::vec(1..24u64, 1..8),
    ) {
        let mut chain = TestChain::new(&[10, 10, 10]);
        for (number, power) in changes {
            let (mut next, update) = (chain.state.next_validators.clone(), chain.update(number, power));
            let updates = if next.update(&[update]).is_ok() { vec![update] } else { vec![] };
            chain.produce(vec![], updates);
        }
        let missing = 24u64.saturating_sub(chain.height());
        chain.grow(missing as usize);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let server = Server::start(chain).await;
            let folder = tempfile::tempdir().unwrap();
            let light = client(&server, folder.path());
            for height in asked {
                assert_eq!(light.header(height).await.unwrap().header(), &header(&server, height));
            }
        });
    }
}
