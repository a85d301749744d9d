//! Validators that are killed: blocks go on, and nothing acknowledged is lost.

use crate::harness::{Net, block_on, until};
use rustix::process::{Pid, Signal};
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use welkin_client::keyring::Keyring;
use welkin_client::{Chain, Config, RpcClient, Trust, call};
use welkin_modules::accounts::{Accounts, Call};
use welkin_runtime::{Amount, Hash};
use welkin_testnet::network::Network;
use welkin_testnet::network::record::Validator;

fn height(validator: &Validator) -> Option<u64> {
    block_on(welkin_testnet::network::ready::height(&validator.rpc))
}

/// Transfers, one after the other, until it is dropped; what was acknowledged is kept.
struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
    thread: Option<JoinHandle<Vec<(Hash, u64)>>>,
}

impl Load {
    fn start(net: &Net) -> Load {
        let network = net.record();
        let password = std::fs::read_to_string(network.home.join("password")).unwrap();
        let key = Keyring::new(network.home.join("keys"))
            .open("bob", &password)
            .unwrap();
        let to = network.accounts[2].address;
        let folder = network.folder.join("load");
        std::fs::create_dir_all(&folder).unwrap();
        let nodes = network
            .validators
            .iter()
            .map(|one| one.rpc.clone())
            .collect();
        let config = Config::new(nodes, folder, Trust::File(network.genesis.clone()));
        let stop = Arc::new(AtomicBool::new(false));
        let asked = stop.clone();
        let count = Arc::new(AtomicUsize::new(0));
        let counted = count.clone();
        let work = async move {
            let chain = Chain::connect(config).await.unwrap();
            let mut acknowledged = Vec::new();
            while !asked.load(Ordering::SeqCst) {
                let transfer = call::<Accounts>(&Call::Transfer {
                    to,
                    amount: Amount(1),
                });
                let sent = tokio::time::timeout(
                    Duration::from_secs(20),
                    chain.submit(&key, vec![transfer]),
                )
                .await;
                // What fails while nodes are down was not acknowledged.
                if let Ok(Ok(receipt)) = sent {
                    acknowledged.push((receipt.id, receipt.height));
                    counted.store(acknowledged.len(), Ordering::SeqCst);
                } else {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            acknowledged
        };
        Load {
            stop,
            acknowledged: count,
            thread: Some(std::thread::spawn(move || block_on(work))),
        }
    }

    fn end(mut self) -> Vec<(Hash, u64)> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

/// Every validator has every one of these transactions where it was acknowledged.
fn assert_all_there(network: &Network, acknowledged: &[(Hash, u64)]) {
    for validator in &network.validators {
        let rpc = RpcClient::new(&[&validator.rpc], Default::default()).unwrap();
        for (id, at) in acknowledged {
            let found = until("a validator has what was acknowledged", || {
                block_on(rpc.tx(id)).ok().flatten()
            });
            assert_eq!(found.value.height, *at, "{id} moved on {}", validator.name);
        }
    }
}

/// All validators have the same block at the lowest of their heights.
fn assert_no_fork(network: &Network) {
    let common = network
        .validators
        .iter()
        .map(|one| until("it answers", || height(one)))
        .min()
        .unwrap();
    let blocks: Vec<_> = network
        .validators
        .iter()
        .map(|one| {
            let rpc = RpcClient::new(&[&one.rpc], Default::default()).unwrap();
            until("it has the block", || block_on(rpc.block(common)).ok())
                .value
                .block_id
        })
        .collect();
    assert!(
        blocks.iter().all(|block| *block == blocks[0]),
        "they differ at height {common}"
    );
}

#[test]
fn one_validator_of_four_is_killed_under_load_and_signs_again_after_it_came_back() {
    let (net, _) = Net::up(&["--providers", "0"]);
    let network = net.record();
    let load = Load::start(&net);
    let (killed, others) = network.validators.split_first().unwrap();
    network.processes[&killed.name].kill().unwrap();
    let before = until("another answers", || height(&others[0]));
    until("blocks go on without it", || {
        height(&others[0]).filter(|height| *height > before + 3)
    });

    net.again(&[]);
    let network = net.record();
    let now = until("another answers", || height(&others[0]));
    until("it has caught up", || {
        height(killed).filter(|height| *height >= now)
    });
    // It signs again when the others cannot go on without it: three of four are needed.
    network.processes[&others[0].name].kill().unwrap();
    let now = until("it answers", || height(killed));
    until("it signs", || {
        height(killed).filter(|height| *height > now + 3)
    });
    net.again(&[]);
    let acknowledged = load.end();
    assert!(!acknowledged.is_empty());
    assert_all_there(&net.record(), &acknowledged);
    assert_no_fork(&net.record());
}

#[test]
fn all_four_are_killed_at_once_ten_times_and_nothing_acknowledged_is_lost() {
    let (net, _) = Net::up(&["--providers", "0"]);
    let load = Load::start(&net);
    for _ in 0..10 {
        let network = net.record();
        let before = load.acknowledged.load(Ordering::SeqCst);
        until("something is acknowledged", || {
            (load.acknowledged.load(Ordering::SeqCst) > before).then_some(())
        });
        for validator in &network.validators {
            network.processes[&validator.name]
                .signal(Signal::KILL)
                .unwrap();
        }
        for validator in &network.validators {
            assert!(network.processes[&validator.name].wait(Duration::from_secs(30)));
        }
        net.again(&[]);
    }
    let acknowledged = load.end();
    assert!(!acknowledged.is_empty());
    let network = net.record();
    assert_all_there(&network, &acknowledged);
    assert_no_fork(&network);
    // Two signatures of one validator in one place would be evidence in a block.
    let newest = until("it answers", || height(&network.validators[0]));
    let rpc = RpcClient::new(&[&network.validators[0].rpc], Default::default()).unwrap();
    for at in 1..=newest {
        let block = block_on(rpc.block(at)).unwrap().value.block;
        assert!(
            block.evidence.0.is_empty(),
            "a validator signed twice; the evidence is in block {at}"
        );
    }
}

#[test]
fn what_was_sent_before_ctrl_c_is_done_once_when_blocks_come_again() {
    let (net, _) = Net::up(&["--validators", "2", "--providers", "0"]);
    let network = net.record();
    let to = network.accounts[2].address;
    let chain = net.chain();
    let wealth = || block_on(chain.account(&to)).unwrap().answer.balance.0;
    let before = wealth();
    // Each of the two holds half of the votes.
    net.kill("validator-1");
    let words = ["tx", "accounts", "transfer"];
    let terms = ["--to", &to.to_string(), "--amount", "7"];
    let mut command = net.welkin("alice", &[&words[..], &terms[..]].concat());
    let mut running = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(running.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("it is in no block yet; waiting on") {
        line.clear();
        assert_ne!(said.read_line(&mut line).unwrap(), 0, "it ended by itself");
    }
    rustix::process::kill_process(Pid::from_child(&running), Signal::INT).unwrap();
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(130), "{rest}");
    assert!(rest.contains("may still get into a block"), "{rest}");

    net.again(&[]);
    until("it is done", || (wealth() == before + 7).then_some(()));
    let height = height(&network.validators[0]);
    until("blocks go on", || {
        (self::height(&network.validators[0]) > height).then_some(())
    });
    assert_eq!(wealth(), before + 7, "once");
}
