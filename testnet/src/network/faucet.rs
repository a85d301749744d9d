//! The faucet: gives play money to whoever asks, as a service of its own process.
//!
//! `POST /fund` with `{"address": "welkin1..."}` answers with the transaction and the amount once it is committed.
//! `GET /` says what it gives. An address gets something once in a while, and all together only so often.

use super::build::KEY;
use super::record::Network;
use anyhow::{Context, ensure};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use structopt::StructOpt;
use tokio::net::TcpListener;
use welkin_client::keyring::Keyring;
use welkin_client::{Chain, Config, Trust, call};
use welkin_modules::accounts::{Accounts, Call};
use welkin_runtime::crypto::SigningKey;
use welkin_runtime::{Address, Amount};

/// What one request gets: a hundred tokens.
const GIFT: Amount = Amount(100_000_000);
/// An address gets something only so often.
const PAUSE: Duration = Duration::from_secs(10);
/// All addresses together get something only so often within [`PAUSE`].
const GIFTS: usize = 50;

/// Runs the faucet of a network; `up` does this
#[derive(Debug, StructOpt)]
pub struct FaucetCommand {
    /// The network's folder
    #[structopt(parse(from_os_str))]
    folder: PathBuf,
}

struct Faucet {
    chain: Chain,
    key: SigningKey,
    given: Mutex<Given>,
}

/// When who got something.
#[derive(Debug, Default)]
struct Given(BTreeMap<Address, Instant>);

impl Given {
    /// Notes a gift; false if it is too early for one.
    fn may(&mut self, to: Address, now: Instant) -> bool {
        self.0.retain(|_, at| now.duration_since(*at) < PAUSE);
        if self.0.len() >= GIFTS || self.0.contains_key(&to) {
            return false;
        }
        self.0.insert(to, now);
        true
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    address: Address,
}

#[derive(Serialize)]
struct Gift {
    transaction: String,
    height: u64,
    amount_uwlk: Amount,
}

impl FaucetCommand {
    /// Runs until it is ended.
    ///
    /// # Errors
    /// The network's folder is incomplete, or the port is taken.
    pub fn run(&self) -> anyhow::Result<()> {
        let network = Network::read(&self.folder)?.context("there is no network in this folder")?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(serve(&network, &self.folder.join("faucet")))
    }
}

async fn serve(network: &Network, home: &Path) -> anyhow::Result<()> {
    let password = std::fs::read_to_string(home.join("password"))?;
    let key = Keyring::new(home.join("keys")).open(KEY, &password)?;
    let nodes = network
        .validators
        .iter()
        .map(|one| one.rpc.clone())
        .collect();
    let config = Config::new(
        nodes,
        home.join("chain"),
        Trust::File(network.genesis.clone()),
    );
    let chain = Chain::connect(config).await?;
    let faucet = Arc::new(Faucet {
        chain,
        key,
        given: Mutex::default(),
    });
    let router = Router::new()
        .route("/", get(about))
        .route("/fund", post(fund))
        .layer(DefaultBodyLimit::max(1_024))
        .with_state(faucet);
    let address = network
        .faucet
        .url
        .strip_prefix("http://")
        .unwrap_or_default();
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("{address} cannot be opened"))?;
    ensure!(
        listener.local_addr()?.ip().is_loopback(),
        "the faucet serves this machine only"
    );
    Ok(axum::serve(listener, router).await?)
}

async fn about(State(faucet): State<Arc<Faucet>>) -> Json<Value> {
    Json(json!({
        "address": faucet.key.address(),
        "amount_uwlk": GIFT,
        "pause_seconds": PAUSE.as_secs(),
        "how": "POST /fund {\"address\": \"welkin1...\"}",
    }))
}

async fn fund(
    State(faucet): State<Arc<Faucet>>,
    Json(wish): Json<Wish>,
) -> Result<Json<Gift>, (StatusCode, Json<Value>)> {
    let refuse = |status, error: String| (status, Json(json!({ "error": error })));
    let may = faucet
        .given
        .lock()
        .expect("no holder panics")
        .may(wish.address, Instant::now());
    if !may {
        let text = format!(
            "once in {} s for an address, {GIFTS} times for all; try again then",
            PAUSE.as_secs()
        );
        return Err(refuse(StatusCode::TOO_MANY_REQUESTS, text));
    }
    let transfer = Call::Transfer {
        to: wish.address,
        amount: GIFT,
    };
    match faucet
        .chain
        .submit(&faucet.key, vec![call::<Accounts>(&transfer)])
        .await
    {
        Ok(receipt) => Ok(Json(Gift {
            transaction: receipt.id.to_string(),
            height: receipt.height,
            amount_uwlk: GIFT,
        })),
        Err(why) => Err(refuse(StatusCode::BAD_GATEWAY, why.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_gets_something_once_in_a_while_and_all_together_only_so_often() {
        let (mut given, now) = (Given::default(), Instant::now());
        let address = |number: u8| Address([number; 20]);
        assert!(given.may(address(0), now));
        assert!(!given.may(address(0), now + PAUSE / 2));
        assert!(given.may(address(0), now + PAUSE));
        let now = now + PAUSE * 3;
        for number in 0..50 {
            assert!(given.may(address(number), now));
        }
        assert!(!given.may(address(200), now));
        assert!(given.may(address(200), now + PAUSE));
    }
}
