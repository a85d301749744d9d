//! Statuses, batches and headers as CometBFT v0.38 has them, by which clients tell a refusal from a broken server.

use serde_json::json;

use crate::harness::Chain;

#[tokio::test(flavor = "multi_thread")]
async fn get_and_post_fail_as_in_v0_38() {
    let chain = Chain::start().await;
    assert_eq!(chain.get("/health").await.status, 200);
    assert_eq!(chain.get("/block?height=1000000").await.status, 500);
    let unknown = chain.get("/nothing").await;
    assert_eq!(
        (unknown.status, unknown.body.as_str()),
        (404, "404 page not found\n")
    );

    let refused = chain
        .post(r#"{"id":1,"method":"block","params":{"height":"1000000"}}"#)
        .await;
    assert_eq!((refused.status, &refused.json()["id"]), (200, &json!(1)));
    let broken = chain.post("{").await;
    assert_eq!(
        (broken.status, &broken.json()["error"]["code"]),
        (500, &json!(-32700))
    );
    assert!(broken.json().get("id").is_none());
    let text = "must be less than or equal to the current blockchain height";
    assert!(
        refused.body.contains(text),
        "light clients look for it: {}",
        refused.body
    );
    chain.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_answer_as_in_v0_38() {
    let chain = Chain::start().await;
    let one = r#"{"jsonrpc":"2.0","id":1,"method":"health"}"#;
    assert_eq!(
        chain.post(&format!("[{one}]")).await.json()["result"],
        json!({})
    );
    let two = chain.post(&format!("[{one},{one}]")).await.json();
    assert_eq!(two.as_array().unwrap().len(), 2);
    for silent in ["[]", r#"{"jsonrpc":"2.0","method":"health"}"#] {
        let answer = chain.post(silent).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{silent}");
    }
    let many = format!("[{}]", [one; 11].join(","));
    assert_eq!(chain.post(&many).await.json()["error"]["code"], -32600);
    chain.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_cannot_change_may_be_kept_by_caches() {
    let chain = Chain::start().await;
    let cached = "cache-control: public, max-age=86400";
    assert!(chain.get("/block?height=1").await.head.contains(cached));
    for changing in ["/block", "/status", "/block?height=1000000", "/validators"] {
        assert!(
            !chain.get(changing).await.head.contains(cached),
            "{changing}"
        );
    }
    chain.stop().await;
}
