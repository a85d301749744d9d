//! A network of whole nodes: homes in temporary folders, peers on loopback.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::broadcast::error::RecvError;
use welkin_consensus::types::{Genesis, Timestamp};
use welkin_modules::RUNTIME;
use welkin_modules::accounts::{self, Accounts};
use welkin_modules::genesis::AppState;
use welkin_node::api::{CheckResult, Committed, Node, Query, QueryKind};
use welkin_node::config::{Home, NodeConfig};
use welkin_node::disk::RealDisk;
use welkin_node::init::{self, Keys};
use welkin_node::node::Running;
use welkin_node::start;
use welkin_node::stop::Stop;
use welkin_runtime::crypto::SigningKey;
use welkin_runtime::tx::{Body, Terms};
use welkin_runtime::{Address, Amount, ChainInfo, Hash};

/// Longest wait for anything; only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// What every test account holds at the beginning.
pub const HOLDS: u64 = 1_000_000_000;

/// A network.
pub struct Net {
    _folder: TempDir,
    pub homes: Vec<Home>,
    pub genesis: Genesis,
    pub nodes: Vec<Option<Running>>,
}

/// The key of a test account.
pub fn account(number: u8) -> SigningKey {
    SigningKey::from_seed(&[number; 32])
}

impl Net {
    /// The homes of `count` validators, none of them running.
    pub fn new(count: usize) -> Net {
        // Logs are shown with WELKIN_LOG set; the first test to come here sets them up for all.
        let filter = tracing_subscriber::EnvFilter::from_env("WELKIN_LOG");
        let _ = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_test_writer()
            .try_init();
        let folder = tempfile::tempdir().unwrap();
        let keys: Vec<Keys> = (0..count).map(|_| Keys::random()).collect();
        let validators = keys
            .iter()
            .enumerate()
            .map(|(i, keys)| keys.genesis_validator(10, format!("v{i}")));
        let accounts = (1..=8).map(|number| (account(number).address(), Amount(HOLDS)));
        let app_state = AppState::for_testnet(accounts).to_json();
        let time = Timestamp::from_unix_nanos(welkin_node::shell::now().unix_nanos());
        let genesis = init::genesis("test-1", time, validators.collect(), app_state);
        let ports = free_ports(count);
        let mut homes = Vec::new();
        for (index, own) in keys.iter().enumerate() {
            let home = Home::new(folder.path().join(format!("v{index}")));
            let config = config(index, &ports, &keys);
            init::write_home(&RealDisk, &home, &config, &genesis, own).unwrap();
            homes.push(home);
        }
        Net {
            _folder: folder,
            homes,
            genesis,
            nodes: (0..count).map(|_| None).collect(),
        }
    }

    /// The same, running.
    pub async fn started(count: usize) -> Net {
        let mut net = Net::new(count);
        for index in 0..count {
            net.start(index).await;
        }
        net
    }

    pub async fn start(&mut self, index: usize) {
        let home = &self.homes[index];
        let config = start::read_config(home).unwrap();
        let running = start::start(home, config, Stop::default()).await.unwrap();
        self.nodes[index] = Some(running);
    }

    pub async fn stop(&mut self, index: usize) {
        self.nodes[index].take().unwrap().stop().await;
    }

    pub async fn stop_all(&mut self) {
        for index in 0..self.nodes.len() {
            if self.nodes[index].is_some() {
                self.stop(index).await;
            }
        }
    }

    pub fn node(&self, index: usize) -> Arc<dyn Node> {
        self.nodes[index].as_ref().unwrap().handle.clone()
    }

    pub fn height(&self, index: usize) -> u64 {
        self.node(index)
            .status()
            .latest
            .map_or(0, |block| block.height)
    }

    pub fn info(&self) -> ChainInfo {
        let genesis_hash = self.genesis.hash().unwrap();
        ChainInfo {
            chain_id: self.genesis.chain_id.clone(),
            genesis_hash,
        }
    }

    /// A signed transfer of 1 uwlk.
    pub fn transfer(&self, from: u8, sequence: u64, to: &Address) -> Vec<u8> {
        let key = account(from);
        let call = accounts::Call::Transfer {
            to: *to,
            amount: Amount(1),
        };
        let call = RUNTIME.call_of::<Accounts>(&call).unwrap();
        let terms = Terms {
            sequence,
            expiry_height: 1_000_000,
            gas_limit: 100_000,
            fee: Amount(2_000),
        };
        Body::new(&self.info(), key.public_key(), terms, vec![call])
            .sign(&key)
            .encode()
    }

    /// What an account has, by this node's newest provable state.
    pub fn account(&self, index: usize, address: &Address) -> accounts::Account {
        let query = accounts::Query::Account { address: *address };
        let what = QueryKind::Module {
            module: "accounts".into(),
            query: borsh::to_vec(&query).unwrap(),
        };
        let answer = self
            .node(index)
            .query(&Query {
                what,
                height: 0,
                prove: true,
            })
            .unwrap();
        match borsh::from_slice(&answer.value).unwrap() {
            accounts::Answer::Account(account) => account,
            other => panic!("{other:?}"),
        }
    }
}

/// Submits once the node has caught up, and expects it to be taken.
pub async fn submit(node: &Arc<dyn Node>, raw: Vec<u8>) -> CheckResult {
    if node.status().catching_up {
        // It takes part in consensus before it says that it has caught up, so another block comes.
        let now = node.clone();
        until(node, move |_| !now.status().catching_up).await;
    }
    let result = node.submit_tx(raw).await.unwrap();
    assert_eq!((result.code, result.log.as_str()), (0, ""));
    result
}

/// Waits for blocks until one satisfies the condition.
pub async fn until(node: &Arc<dyn Node>, mut condition: impl FnMut(&Committed) -> bool) {
    let mut blocks = node.subscribe();
    let wait = async {
        loop {
            match blocks.recv().await {
                Ok(block) if condition(&block) => return,
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => panic!("the node has ended"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("the condition is met in time");
}

/// Waits until the node has this height.
pub async fn until_height(node: &Arc<dyn Node>, height: u64) {
    let blocks = node.subscribe();
    if node
        .status()
        .latest
        .is_none_or(|block| block.height < height)
    {
        drop(blocks);
        let now = node.clone();
        let reached = move |_: &Committed| {
            now.status()
                .latest
                .is_some_and(|block| block.height >= height)
        };
        // A block may come between the two looks; another one always follows.
        until(node, reached).await;
    }
}

/// Waits until the node has a transaction in a block.
pub async fn until_committed(node: &Arc<dyn Node>, id: Hash) {
    let mut blocks = node.subscribe();
    let wait = async {
        while node.transaction(&id).unwrap().is_none() {
            if let Err(RecvError::Closed) = blocks.recv().await {
                panic!("the node has ended");
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("the transaction is committed in time");
}

fn config(index: usize, ports: &[u16], keys: &[Keys]) -> NodeConfig {
    let others = || (0..keys.len()).filter(|other| *other != index);
    let mut config = NodeConfig {
        moniker: format!("v{index}"),
        ..NodeConfig::default()
    };
    config.p2p.listen = vec![format!("/ip4/127.0.0.1/tcp/{}", ports[index])];
    config.p2p.persistent_peers = others()
        .map(|other| {
            format!(
                "/ip4/127.0.0.1/tcp/{}/p2p/{}",
                ports[other],
                keys[other].peer_id()
            )
        })
        .collect();
    config.p2p.explicit_peers = others()
        .map(|other| keys[other].peer_id().to_string())
        .collect();
    config.rpc.listen = ([127, 0, 0, 1], 0).into();
    config.metrics.listen = ([127, 0, 0, 1], 0).into();
    config.consensus.empty_block_interval_ms = 200;
    config
}

/// Ports that are free now.
fn free_ports(count: usize) -> Vec<u16> {
    let listeners: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    listeners
        .iter()
        .map(|listener| listener.local_addr().unwrap().port())
        .collect()
}
