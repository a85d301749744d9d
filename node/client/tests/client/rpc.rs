//! Servers that do not answer as servers should.

use std::sync::Arc;

use welkin_client::rpc::Limits;
use welkin_client::{ClientError, RpcClient};

use super::chain::TestChain;
use super::server::{Manner, Server};

async fn server() -> Server {
    let mut chain = TestChain::new(&[1]);
    chain.grow(3);
    Server::start(chain).await
}

fn limits() -> Limits {
    Limits {
        request_timeout_ms: 300,
    }
}

#[tokio::test]
async fn a_kept_connection_is_used_again() {
    let server = server().await;
    let rpc = RpcClient::new(&[server.url()], Limits::default()).unwrap();
    for _ in 0..5 {
        let status = rpc.status().await.unwrap();
        assert_eq!(status.value.sync_info.latest_block_height, 3);
        assert_eq!(status.by, server.url());
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn what_is_no_answer_is_passed_over_and_alone_it_is_named_with_the_reason() {
    let good = server().await;
    for (manner, words) in [
        (Manner::Stalls, "no answer within"),
        (Manner::Truncates, "cut off"),
        (Manner::Floods, "longer than"),
        (Manner::Babbles, "another shape"),
        (Manner::ConfusesIds, "another question"),
        (Manner::Fails, "502"),
        (Manner::CatchesUp, "catching up"),
    ] {
        let bad = server().await;
        bad.behave(manner);
        let patient = Limits {
            request_timeout_ms: if words == "longer than" { 20_000 } else { 300 },
        };
        let alone = RpcClient::new(&[bad.url()], patient).unwrap();
        let error = alone.status().await.unwrap_err();
        assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
        assert!(error.to_string().contains(words), "{words}: {error}");
        assert_eq!(error.exit_code(), 1);
        let both = RpcClient::new(&[bad.url(), good.url()], patient).unwrap();
        assert_eq!(both.status().await.unwrap().by, good.url());
        // The one that answered is asked first from now on.
        bad.count("");
        both.status().await.unwrap();
        assert_eq!(bad.count("status"), 0);
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_passed_over_and_nothing_was_sent_to_it() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("127.0.0.1:{}", listener.local_addr().unwrap().port());
    drop(listener);
    let alone = RpcClient::new(std::slice::from_ref(&nobody), limits()).unwrap();
    let error = alone.status().await.unwrap_err();
    assert!(
        matches!(
            error,
            ClientError::Unreachable {
                maybe_sent: false,
                ..
            }
        ),
        "{error}"
    );
    let server = server().await;
    let both = RpcClient::new(&[nobody, server.url()], limits()).unwrap();
    assert!(both.status().await.is_ok());
}

#[tokio::test]
async fn a_server_that_says_no_is_quoted_without_its_control_characters() {
    let server = server().await;
    let rpc = RpcClient::new(&[server.url()], limits()).unwrap();
    let error = rpc.commit(99).await.unwrap_err();
    assert!(
        matches!(error, ClientError::Server { code: -32603, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("less than or equal"), "{error}");
    let answer = welkin_client::rpc::types::TxResult {
        code: 3,
        log: format!("\u{1b}[31m{}", "x".repeat(10_000)),
        ..Default::default()
    };
    let shown = answer.error().unwrap().message;
    assert!(shown.len() < 1_000 && !shown.contains('\u{1b}'));
}

#[tokio::test]
async fn validators_of_many_pages_are_read_whole() {
    let server = server().await;
    let one = server.chain().genesis.validator_set().unwrap().validators()[0].clone();
    server.behave(Manner::Lies(Arc::new(move |method, params, result| {
        if method == "validators" {
            let page: usize = params["page"].as_str().unwrap().parse().unwrap();
            let count = if page < 3 { 100 } else { 17 };
            result["validators"] = serde_json::to_value(vec![one.clone(); count]).unwrap();
            result["total"] = serde_json::json!("217");
        }
    })));
    let rpc = RpcClient::new(&[server.url()], Limits::default()).unwrap();
    assert_eq!(rpc.validators(1).await.unwrap().value.len(), 217);
}

#[tokio::test]
async fn a_server_with_endless_validators_is_left_at_the_bound() {
    let server = server().await;
    let one = server.chain().genesis.validator_set().unwrap().validators()[0].clone();
    server.behave(Manner::Lies(Arc::new(move |_, _, result| {
        result["validators"] = serde_json::to_value(vec![one.clone(); 1_000]).unwrap();
        result["total"] = serde_json::json!("9000000000");
    })));
    let rpc = RpcClient::new(&[server.url()], Limits::default()).unwrap();
    assert!(rpc.validators(1).await.unwrap().value.len() <= 11_000);
}

#[tokio::test]
async fn a_client_without_servers_or_with_none_that_is_one_is_a_mistake_of_its_user() {
    let none: [&str; 0] = [];
    for result in [
        RpcClient::new(&none, limits()),
        RpcClient::new(&["https://x"], limits()),
    ] {
        assert_eq!(result.err().unwrap().exit_code(), 2);
    }
}
