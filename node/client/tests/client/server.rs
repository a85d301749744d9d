//! An RPC server over a test chain, which may misbehave.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio_tungstenite::tungstenite::Message;
use welkin_consensus::merkle;
use welkin_modules::RUNTIME;
use welkin_runtime::tx::Transaction;
use welkin_runtime::{Hash, Recorder};

use super::chain::TestChain;

/// Changes an answer: method and parameters, and what would be the truth.
pub type Lie = Arc<dyn Fn(&str, &Value, &mut Value) + Send + Sync>;

/// How a server behaves.
#[derive(Clone)]
pub enum Manner {
    Honest,
    Lies(Lie),
    /// Takes a question and never answers.
    Stalls,
    /// Closes in the middle of an answer.
    Truncates,
    /// Never stops answering.
    Floods,
    /// Answers what is no JSON.
    Babbles,
    /// Answers another question.
    ConfusesIds,
    /// Answers with an HTTP error.
    Fails,
    /// Says that it is behind.
    CatchesUp,
}

/// When transactions get into blocks.
#[derive(Clone, Copy, PartialEq)]
pub enum Mining {
    AtOnce,
    ByHand,
    /// Never: they are taken and forgotten.
    Forgets,
}

pub struct Server {
    pub address: SocketAddr,
    pub shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

pub struct Shared {
    chain: Arc<Mutex<TestChain>>,
    manner: Mutex<Manner>,
    mining: Mutex<Mining>,
    requests: Mutex<Vec<String>>,
    connections: AtomicUsize,
    /// The newest height that this server knows of, if it lags.
    lag_at: Mutex<Option<u64>>,
    events: broadcast::Sender<Option<Value>>,
}

impl Server {
    pub async fn start(chain: TestChain) -> Server {
        Server::over(Arc::new(Mutex::new(chain))).await
    }

    /// Another server of the same chain.
    pub async fn beside(&self) -> Server {
        Server::over(self.shared.chain.clone()).await
    }

    async fn over(chain: Arc<Mutex<TestChain>>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            chain,
            manner: Mutex::new(Manner::Honest),
            mining: Mutex::new(Mining::AtOnce),
            requests: Mutex::default(),
            connections: AtomicUsize::new(0),
            lag_at: Mutex::default(),
            events: broadcast::channel(64).0,
        });
        let serving = shared.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serving.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, serving.clone()));
            }
        });
        Server {
            address,
            shared,
            task,
        }
    }

    /// A name below localhost, which no resolver has to know.
    pub fn url(&self) -> String {
        format!("http://node.welkin.localhost:{}", self.address.port())
    }

    pub fn chain(&self) -> MutexGuard<'_, TestChain> {
        self.shared.chain.lock().unwrap()
    }

    pub fn behave(&self, manner: Manner) {
        *self.shared.manner.lock().unwrap() = manner;
    }

    pub fn lie(&self, lie: impl Fn(&str, &Value, &mut Value) + Send + Sync + 'static) {
        self.behave(Manner::Lies(Arc::new(lie)));
    }

    pub fn mining(&self, mining: Mining) {
        *self.shared.mining.lock().unwrap() = mining;
    }

    pub fn lag_at(&self, height: u64) {
        *self.shared.lag_at.lock().unwrap() = Some(height);
    }

    /// How often a method was asked since the last count.
    pub fn count(&self, method: &str) -> usize {
        let mut requests = self.shared.requests.lock().unwrap();
        let count = requests.iter().filter(|asked| *asked == method).count();
        requests.clear();
        count
    }

    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Tells subscribers of the newest block.
    pub fn announce(&self) {
        let chain = self.chain();
        let block = &chain.blocks[&chain.height()].block;
        let value = json!({ "type": "tendermint/event/NewBlock", "value": { "block": block } });
        let _ = self.shared.events.send(Some(value));
    }

    /// Closes the connections of all subscribers.
    pub fn hang_up(&self) {
        let _ = self.shared.events.send(None);
    }

    pub fn subscribers(&self) -> usize {
        self.shared.events.receiver_count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let mut first = [0; 14];
    while let Ok(read) = stream.peek(&mut first).await {
        if read == 0 {
            return;
        }
        if read == first.len() {
            break;
        }
        tokio::task::yield_now().await;
    }
    if first == *b"GET /websocket" {
        return push(stream, shared).await;
    }
    let manner = shared.manner.lock().unwrap().clone();
    match manner {
        Manner::Truncates => {
            return raw(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"jso",
                0,
            )
            .await;
        }
        Manner::Floods => return raw(stream, "HTTP/1.1 200 OK\r\n\r\n", usize::MAX).await,
        _ => {}
    }
    let service = service_fn(move |request| respond(request, shared.clone()));
    let connection = hyper::server::conn::http1::Builder::new();
    let _ = connection
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// Writes a beginning and then so many blanks.
async fn raw(mut stream: TcpStream, begin: &str, mut blanks: usize) {
    let _ = stream.write_all(begin.as_bytes()).await;
    while blanks > 0 && stream.write_all(&[b' '; 4096]).await.is_ok() {
        blanks = blanks.saturating_sub(4096);
    }
}

async fn respond(
    request: Request<hyper::body::Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    let request: Value = serde_json::from_slice(&body).unwrap();
    let method = request["method"].as_str().unwrap().to_owned();
    shared.requests.lock().unwrap().push(method.clone());
    let manner = shared.manner.lock().unwrap().clone();
    let mut response = Response::new(Full::default());
    let mut answer = match shared.answer(&method, &request["params"]) {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": request["id"], "result": result }),
        Err(data) => {
            let error = json!({ "code": -32603, "message": "Internal error", "data": data });
            json!({ "jsonrpc": "2.0", "id": request["id"], "error": error })
        }
    };
    match manner {
        Manner::Lies(lie) => lie(&method, &request["params"], &mut answer["result"]),
        Manner::Stalls => std::future::pending().await,
        Manner::Babbles => {
            *response.body_mut() = Full::from("<html>no</html>");
            return Ok(response);
        }
        Manner::ConfusesIds => answer["id"] = json!(-7),
        Manner::Fails => *response.status_mut() = hyper::StatusCode::BAD_GATEWAY,
        Manner::CatchesUp => {
            let data = "the node is catching up with the chain; try again, or ask another node";
            let error = json!({ "code": -32603, "message": "Internal error", "data": data });
            answer = json!({ "jsonrpc": "2.0", "id": request["id"], "error": error });
        }
        Manner::Honest | Manner::Truncates | Manner::Floods => {}
    }
    *response.body_mut() = Full::from(answer.to_string());
    Ok(response)
}

async fn push(stream: TcpStream, shared: Arc<Shared>) {
    let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else {
        return;
    };
    let Some(Ok(Message::Text(request))) = socket.next().await else {
        return;
    };
    let request: Value = serde_json::from_str(&request).unwrap();
    let mut events = shared.events.subscribe();
    let done = json!({ "jsonrpc": "2.0", "id": request["id"], "result": {} });
    if socket.send(Message::text(done.to_string())).await.is_err() {
        return;
    }
    while let Ok(Some(data)) = events.recv().await {
        let result = json!({ "query": request["params"]["query"], "data": data, "events": {} });
        let event = json!({ "jsonrpc": "2.0", "id": request["id"], "result": result });
        if socket.send(Message::text(event.to_string())).await.is_err() {
            return;
        }
    }
}

impl Shared {
    fn answer(&self, method: &str, params: &Value) -> Result<Value, String> {
        let mut chain = self.chain.lock().unwrap();
        let newest = self.lag_at.lock().unwrap().unwrap_or(chain.height());
        let asked = params["height"]
            .as_str()
            .map_or(0, |text| text.parse().unwrap());
        let height = if asked == 0 { newest } else { asked };
        let future = || {
            format!(
                "height {height} must be less than or equal to the current blockchain height {newest}"
            )
        };
        match method {
            "genesis" => Ok(json!({ "genesis": chain.genesis })),
            "status" => Ok(status(&chain, newest)),
            "commit" if height > newest => Err(future()),
            "commit" => Ok(chain.commit_answer(height)),
            "validators" => Ok(validators(&chain, height, params)),
            "block" if height > newest => Err(future()),
            "block" => {
                let produced = &chain.blocks[&height];
                Ok(json!({ "block_id": produced.id, "block": produced.block }))
            }
            "block_results" if height > newest => Err(future()),
            "block_results" => {
                let results: Vec<_> = chain.blocks[&height]
                    .results
                    .iter()
                    .map(tx_result)
                    .collect();
                let results = if results.is_empty() {
                    Value::Null
                } else {
                    json!(results)
                };
                Ok(json!({ "height": height.to_string(), "txs_results": results }))
            }
            "tx" => transaction(&chain, params),
            "broadcast_tx_sync" => {
                let raw = STANDARD.decode(params["tx"].as_str().unwrap()).unwrap();
                Ok(self.broadcast(&mut chain, raw))
            }
            "abci_query" => query(
                &chain,
                if asked == 0 { newest - 1 } else { asked },
                newest,
                params,
            ),
            _ => Err("no such method".to_owned()),
        }
    }

    fn broadcast(&self, chain: &mut TestChain, raw: Vec<u8>) -> Value {
        let id = Transaction::id(&raw);
        let checked = chain.check(&raw);
        let is_new = chain.place(&id).is_none() && !chain.pool.contains(&raw);
        if checked.is_ok() && is_new {
            match *self.mining.lock().unwrap() {
                Mining::AtOnce => {
                    chain.pool.push(raw);
                    chain.mine();
                }
                Mining::ByHand => chain.pool.push(raw),
                Mining::Forgets => {}
            }
        }
        let error = checked.err();
        json!({
            "code": error.as_ref().map_or(0, |error| error.code),
            "codespace": error.as_ref().map_or("", |error| &error.module),
            "log": error.as_ref().map_or("", |error| &error.message),
            "data": "",
            "hash": hex::encode_upper(id.0),
        })
    }
}

fn status(chain: &TestChain, newest: u64) -> Value {
    let header = chain
        .blocks
        .get(&newest)
        .map(|produced| &produced.block.header);
    json!({
        "node_info": { "id": "ab", "network": chain.genesis.chain_id, "version": "0.38.26", "moniker": "test" },
        "sync_info": {
            "latest_block_height": newest.to_string(),
            "latest_block_time": header.map_or(chain.genesis.genesis_time, |header| header.time),
            "latest_app_hash": header.map(|header| header.app_hash.clone()).unwrap_or_default(),
            "catching_up": false,
        },
    })
}

fn validators(chain: &TestChain, height: u64, params: &Value) -> Value {
    let known = chain
        .blocks
        .get(&height)
        .map(|produced| &produced.validators);
    let all = known.unwrap_or(&chain.state.validators).validators();
    let number = |name: &str| params[name].as_str().unwrap().parse::<usize>().unwrap();
    let (page, per_page) = (number("page"), number("per_page"));
    let shown: Vec<_> = all
        .iter()
        .skip((page - 1) * per_page)
        .take(per_page)
        .collect();
    let count = shown.len().to_string();
    json!({
        "block_height": height.to_string(), "validators": shown,
        "count": count, "total": all.len().to_string(),
    })
}

fn tx_result(result: &welkin_runtime::execute::TxResult) -> Value {
    let data = Some(&result.data).filter(|data| !data.is_empty());
    json!({
        "code": result.code, "data": data.map(|data| STANDARD.encode(data)), "log": result.log,
        "info": "", "gas_wanted": result.gas_wanted.to_string(),
        "gas_used": result.gas_used.to_string(), "events": [], "codespace": result.codespace,
    })
}

fn transaction(chain: &TestChain, params: &Value) -> Result<Value, String> {
    let id = STANDARD.decode(params["hash"].as_str().unwrap()).unwrap();
    let id = Hash(id.try_into().unwrap());
    let Some((height, index)) = chain.place(&id) else {
        return Err(format!("tx ({}) not found", hex::encode_upper(id.0)));
    };
    let produced = &chain.blocks[&height];
    let txs = &produced.block.data.txs;
    let ids: Vec<_> = txs.iter().map(|raw| Transaction::id(raw).0).collect();
    let (root, proofs) = merkle::root_and_proofs(&ids);
    let proof = &proofs[index];
    let aunts: Vec<_> = proof
        .aunts
        .iter()
        .map(|aunt| STANDARD.encode(aunt))
        .collect();
    Ok(json!({
        "hash": hex::encode_upper(id.0), "height": height.to_string(), "index": index,
        "tx_result": tx_result(&produced.results[index]), "tx": STANDARD.encode(&txs[index]),
        "proof": { "root_hash": hex::encode_upper(root), "data": STANDARD.encode(&txs[index]), "proof": {
            "total": proof.total.to_string(), "index": proof.index.to_string(),
            "leaf_hash": STANDARD.encode(proof.leaf_hash), "aunts": aunts,
        }},
    }))
}

fn query(chain: &TestChain, height: u64, newest: u64, params: &Value) -> Result<Value, String> {
    if height >= newest {
        return Err(format!(
            "height {height} must be less than or equal to the current blockchain height {newest}"
        ));
    }
    let path = params["path"].as_str().unwrap();
    let module = path.strip_prefix("/query/").ok_or("no such path")?;
    let data = hex::decode(params["data"].as_str().unwrap()).unwrap();
    let view = chain.tree.view(height).map_err(|error| error.to_string())?;
    let recorder = Recorder::new(&view);
    let answer = match RUNTIME.query(&recorder, module, &data) {
        Ok(answer) => answer,
        Err(error) => {
            let response = json!({ "code": 14, "codespace": "runtime", "log": error.to_string(), "height": "0" });
            return Ok(json!({ "response": response }));
        }
    };
    let proof = chain.tree.prove(height, &recorder.into_reads()).unwrap();
    let data = STANDARD.encode(proof.encode());
    let op = json!({ "type": "welkin:witness", "key": STANDARD.encode(path), "data": data });
    Ok(json!({ "response": {
        "code": 0, "log": "", "info": "", "index": "0", "key": null, "codespace": "",
        "value": STANDARD.encode(answer), "proofOps": { "ops": [op] }, "height": height.to_string(),
    }}))
}
