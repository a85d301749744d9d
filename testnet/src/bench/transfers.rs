//! Signed transfers in advance: a crowd of accounts with money, and what each of them is going to send.

use super::rpc::{Connection, request};
use crate::network::Network;
use anyhow::{Context, ensure};
use hyper::body::Bytes;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use welkin_client::call;
use welkin_client::keyring::Keyring;
use welkin_client::submit::{gas_estimate, minimum_fee};
use welkin_consensus::types::Genesis;
use welkin_modules::accounts::{Accounts, Call};
use welkin_runtime::crypto::SigningKey;
use welkin_runtime::tx::{Body, MAX_CALLS, RawCall, Terms};
use welkin_runtime::{Address, Amount, ChainInfo};

/// What each account gets: enough for the fees of some thousand transfers.
const GIFT: Amount = Amount(100_000_000);
/// The price of gas in a network of this crate.
const PER_MILLION_GAS: Amount = Amount(10_000);
/// A height that no benchmark reaches.
const EXPIRY_HEIGHT: u64 = 1_000_000;
/// How long the gifts may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Accounts with money that have sent nothing yet.
pub struct Crowd {
    chain: ChainInfo,
    keys: Vec<SigningKey>,
}

impl Crowd {
    /// Makes accounts, and has the network's first test account give money to each.
    ///
    /// # Errors
    /// The network does not do it.
    pub async fn gather(network: &Network, size: usize) -> anyhow::Result<Crowd> {
        let genesis = Genesis::from_json(&std::fs::read_to_string(&network.genesis)?)?;
        let chain = ChainInfo {
            chain_id: genesis.chain_id.clone(),
            genesis_hash: genesis.hash()?,
        };
        let password = std::fs::read_to_string(network.home.join("password"))?;
        let giver = network.accounts.first().context("a test account")?;
        let giver = Keyring::new(network.home.join("keys")).open(&giver.name, &password)?;
        let keys: Vec<SigningKey> = (0..size)
            .map(|_| SigningKey::from_seed(&rand::random()))
            .collect();
        let mut connection = Connection::open(&network.validators[0].rpc).await?;
        let mut last = Value::Null;
        for (group, sequence) in keys.chunks(MAX_CALLS).zip(0..) {
            let calls = group.iter().map(|key| gift(key.address(), GIFT)).collect();
            let raw = sign(&chain, &giver, sequence, calls);
            let answer = connection
                .call("broadcast_tx_sync", json!({ "tx": super::base64(&raw) }))
                .await?;
            ensure!(answer["code"] == 0, "a gift is refused: {answer}");
            last = answer["hash"].clone();
        }
        let hash = last.as_str().context("no gift was sent")?;
        until_committed(&mut connection, hash).await?;
        Ok(Crowd { chain, keys })
    }

    /// `per_account` transfers of each account to its neighbour, as requests in rows, one for each connection. An
    /// account's transfers stand in one row, one round of all accounts after the other.
    pub fn rows(&self, rows: usize, per_account: u64, method: &str) -> Vec<Vec<Bytes>> {
        let mut made = Vec::new();
        for row in 0..rows {
            let own = (row..self.keys.len()).step_by(rows);
            let rounds = (0..per_account)
                .flat_map(|sequence| own.clone().map(move |position| (position, sequence)));
            made.push(
                rounds
                    .map(|(position, sequence)| {
                        let tx = super::base64(&self.transfer(position, sequence));
                        request(method, json!({ "tx": tx }))
                    })
                    .collect(),
            );
        }
        made
    }

    fn transfer(&self, position: usize, sequence: u64) -> Vec<u8> {
        let to = self.keys[(position + 1) % self.keys.len()].address();
        let calls = vec![gift(to, Amount(1))];
        sign(&self.chain, &self.keys[position], sequence, calls)
    }
}

fn gift(to: Address, amount: Amount) -> RawCall {
    call::<Accounts>(&Call::Transfer { to, amount })
}

fn sign(chain: &ChainInfo, key: &SigningKey, sequence: u64, calls: Vec<RawCall>) -> Vec<u8> {
    let gas_limit = gas_estimate(&calls);
    let terms = Terms {
        sequence,
        expiry_height: EXPIRY_HEIGHT,
        gas_limit,
        fee: minimum_fee(gas_limit, PER_MILLION_GAS),
    };
    Body::new(chain, key.public_key(), terms, calls)
        .sign(key)
        .encode()
}

async fn until_committed(connection: &mut Connection, hash: &str) -> anyhow::Result<()> {
    let began = Instant::now();
    let id = super::base64(&hex::decode(hash)?);
    while connection.call("tx", json!({ "hash": id })).await.is_err() {
        ensure!(began.elapsed() < PATIENCE, "the gifts are not committed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
