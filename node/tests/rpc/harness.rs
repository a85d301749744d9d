//! A chain of one validator, and the plainest of clients.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use welkin_consensus::files::{NodeKey, PrivValidatorKey};
use welkin_consensus::types::Genesis;
use welkin_modules::RUNTIME;
use welkin_modules::accounts::{self, Accounts};
use welkin_modules::genesis::AppState;
use welkin_node::api::Node;
use welkin_node::config::{Home, NodeConfig};
use welkin_node::disk::RealDisk;
use welkin_node::init::{self, Keys};
use welkin_node::node::Running;
use welkin_node::start;
use welkin_node::stop::Stop;
use welkin_runtime::crypto::SigningKey;
use welkin_runtime::tx::{Body, Terms};
use welkin_runtime::{Address, Amount, ChainInfo};

/// Longest wait for anything; only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(60);
/// What every test account holds at the beginning.
pub const HOLDS: u64 = 1_000_000_000;

/// A running validator.
pub struct Chain {
    _folder: TempDir,
    running: Running,
    genesis: Genesis,
    pub rpc: SocketAddr,
}

/// An answer over HTTP.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// The key of a test account.
pub fn account(number: u8) -> SigningKey {
    SigningKey::from_seed(&[number; 32])
}

fn config(moniker: &str) -> NodeConfig {
    let mut config = NodeConfig {
        moniker: moniker.to_owned(),
        ..NodeConfig::default()
    };
    config.p2p.listen = vec!["/ip4/127.0.0.1/tcp/0".to_owned()];
    config.rpc.listen = ([127, 0, 0, 1], 0).into();
    config.metrics.listen = ([127, 0, 0, 1], 0).into();
    config.consensus.empty_block_interval_ms = 200;
    config
}

impl Chain {
    /// Starts a chain whose keys and genesis are the same in every run.
    pub async fn start() -> Chain {
        let folder = tempfile::tempdir().unwrap();
        let key = |byte| SigningKey::from_seed(&[byte; 32]);
        let keys = Keys {
            node: NodeKey(key(101)),
            validator: PrivValidatorKey(key(102)),
        };
        let accounts = (1..=4).map(|number| (account(number).address(), Amount(HOLDS)));
        let genesis = init::genesis(
            "golden-1",
            welkin_node::shell::now(),
            vec![keys.genesis_validator(10, "v0")],
            AppState::for_testnet(accounts).to_json(),
        );
        let config = config("v0");
        let home = Home::new(folder.path().join("v0"));
        init::write_home(&RealDisk, &home, &config, &genesis, &keys).unwrap();
        let running = start::start(&home, config, Stop::default()).await.unwrap();
        let chain = Chain {
            rpc: running.rpc_address.unwrap(),
            _folder: folder,
            running,
            genesis,
        };
        chain.until_height(2).await;
        chain
    }

    /// Starts a full node that dials this one, and waits until both know each other.
    pub async fn start_peer(&self) -> (TempDir, Running) {
        let folder = tempfile::tempdir().unwrap();
        let key = |byte| SigningKey::from_seed(&[byte; 32]);
        let keys = Keys {
            node: NodeKey(key(103)),
            validator: PrivValidatorKey(key(104)),
        };
        let address = self.node().net_info().listeners[0].clone();
        let mut config = config("v1");
        config.p2p.persistent_peers =
            vec![format!("{address}/p2p/{}", self.node().status().peer_id)];
        let home = Home::new(folder.path().join("v1"));
        init::write_home(&RealDisk, &home, &config, &self.genesis, &keys).unwrap();
        let running = start::start(&home, config, Stop::default()).await.unwrap();
        let mut blocks = self.node().subscribe();
        let met = async {
            while self.node().net_info().peers.is_empty() {
                let _ = blocks.recv().await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, met).await;
        waited.expect("it is dialled");
        (folder, running)
    }

    pub async fn stop(self) {
        self.running.stop().await;
    }

    pub fn node(&self) -> Arc<dyn Node> {
        self.running.handle.clone()
    }

    /// Waits until there is such a block and transactions are taken.
    pub async fn until_height(&self, height: u64) {
        let mut blocks = self.node().subscribe();
        let reached = || {
            let status = self.node().status();
            !status.catching_up && status.latest.is_some_and(|block| block.height >= height)
        };
        let wait = async {
            while !reached() {
                // Lagging is no harm: the height is looked at each time.
                let _ = blocks.recv().await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        waited.expect("blocks are made");
    }

    pub fn info(&self) -> ChainInfo {
        ChainInfo {
            chain_id: self.genesis.chain_id.clone(),
            genesis_hash: self.genesis.hash().unwrap(),
        }
    }

    /// Calls a method over POST.
    pub async fn call(&self, method: &str, params: Value) -> Value {
        let request =
            json!({ "jsonrpc": "2.0", "id": "golden", "method": method, "params": params });
        let answer = self.post(&request.to_string()).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    }

    pub async fn post(&self, body: &str) -> Answer {
        let head = format!(
            "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n",
            body.len()
        );
        self.exchange(format!("{head}connection: close\r\n\r\n{body}"))
            .await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.exchange(format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        ))
        .await
    }

    async fn exchange(&self, request: String) -> Answer {
        let rpc = self.rpc;
        let text = tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(rpc).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            text
        });
        let text = text.await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    /// What an account has, by the newest provable state.
    pub async fn account(&self, address: &Address) -> accounts::Account {
        let query = borsh::to_vec(&accounts::Query::Account { address: *address }).unwrap();
        let params = json!({ "path": "/query/accounts", "data": hex::encode(query) });
        let answer = self.call("abci_query", params).await;
        let value = answer["result"]["response"]["value"].as_str().unwrap();
        match borsh::from_slice(&STANDARD.decode(value).unwrap()).unwrap() {
            accounts::Answer::Account(account) => account,
            other => panic!("{other:?}"),
        }
    }
}

/// A transfer that is right in all; tests spoil one thing.
pub struct Transfer {
    pub info: ChainInfo,
    pub key: SigningKey,
    pub to: Address,
    pub amount: u64,
    pub terms: Terms,
}

impl Transfer {
    pub fn new(chain: &Chain, from: u8, sequence: u64) -> Transfer {
        Transfer {
            info: chain.info(),
            key: account(from),
            to: account(4).address(),
            amount: 1,
            terms: Terms {
                sequence,
                expiry_height: 1_000_000,
                gas_limit: 100_000,
                fee: Amount(2_000),
            },
        }
    }

    pub fn raw(&self) -> Vec<u8> {
        let call = accounts::Call::Transfer {
            to: self.to,
            amount: Amount(self.amount),
        };
        let call = RUNTIME.call_of::<Accounts>(&call).unwrap();
        Body::new(&self.info, self.key.public_key(), self.terms, vec![call])
            .sign(&self.key)
            .encode()
    }
}

pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}
