//! Watching for blocks.

use welkin_client::rpc::Limits;
use welkin_client::rpc::socket::{Hint, NEW_BLOCK, block_height};
use welkin_client::{Chain, RpcClient};

use super::chain::TestChain;
use super::server::Server;

async fn server() -> Server {
    let mut chain = TestChain::new(&[1]);
    chain.grow(3);
    Server::start(chain).await
}

#[tokio::test]
async fn a_subscription_survives_its_connection_and_says_that_it_was_away() {
    let server = server().await;
    let rpc = RpcClient::new(&[server.url()], Limits::default()).unwrap();
    let mut blocks = rpc.subscribe(NEW_BLOCK);
    for height in [4, 5] {
        assert_eq!(
            blocks.next().await,
            Some(Hint::Connected { by: server.url() })
        );
        server.chain().grow(1);
        server.announce();
        let Some(Hint::Event(event)) = blocks.next().await else {
            panic!("no event")
        };
        assert_eq!(block_height(&event), Some(height));
        server.hang_up();
    }
}

#[tokio::test]
async fn a_subscription_goes_over_to_a_server_that_is_there() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("127.0.0.1:{}", listener.local_addr().unwrap().port());
    drop(listener);
    let server = server().await;
    let rpc = RpcClient::new(&[nobody, server.url()], Limits::default()).unwrap();
    let mut blocks = rpc.subscribe(NEW_BLOCK);
    assert_eq!(
        blocks.next().await,
        Some(Hint::Connected { by: server.url() })
    );
}

#[tokio::test]
async fn hints_tell_the_newest_height_and_what_was_missed() {
    let server = server().await;
    let folder = tempfile::tempdir().unwrap();
    let config = server.chain().config(vec![server.url()], folder.path());
    let chain = Chain::connect(config).await.unwrap();
    let mut hints = chain.subscribe_blocks();
    assert_eq!(hints.next().await, 3);
    server.chain().grow(2);
    server.announce();
    assert_eq!(hints.next().await, 5);
    server.chain().grow(4);
    server.hang_up();
    assert_eq!(hints.next().await, 9);
}

#[tokio::test]
async fn who_stops_watching_is_gone_at_the_server() {
    let server = server().await;
    let rpc = RpcClient::new(&[server.url()], Limits::default()).unwrap();
    let mut blocks = rpc.subscribe(NEW_BLOCK);
    blocks.next().await;
    drop(blocks);
    while server.subscribers() > 0 {
        server.announce();
        tokio::task::yield_now().await;
    }
}
