//! Waiting until a network is what it should be.

use super::process::tail;
use super::record::{Network, Provider};
use anyhow::{Context, bail, ensure};
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use welkin_client::RpcClient;
use welkin_client::rpc::Limits;
use welkin_provider::daemon::{STATUS_SOCKET, Status};

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(25);
/// How long a network may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Largest status of a provider that is read.
const MAX_STATUS_BYTES: u64 = 16 << 20;

/// Waits until every validator has committed a block that it had not when this began, so that all of them take part.
///
/// # Errors
/// A process ended (with the last words of its log), or it takes too long.
pub async fn until_validators_commit(network: &Network) -> anyhow::Result<()> {
    let began = Instant::now();
    for validator in &network.validators {
        let mut first = None;
        loop {
            let height = height(&validator.rpc).await;
            let first = height.map(|height| *first.get_or_insert(height));
            if first
                .zip(height)
                .is_some_and(|(first, height)| height > first && height >= 2)
            {
                break;
            }
            check_alive(network, &validator.name)?;
            if began.elapsed() > PATIENCE {
                bail!(
                    "{} does not commit blocks; see {}",
                    validator.name,
                    network.log(&validator.name).display()
                );
            }
            tokio::time::sleep(LOOK).await;
        }
    }
    Ok(())
}

/// Whether every validator commits and every provider bids, now.
pub async fn is_ready(network: &Network) -> bool {
    for validator in &network.validators {
        if !network.is_alive(&validator.name)
            || height(&validator.rpc).await.is_none_or(|height| height < 2)
        {
            return false;
        }
    }
    for provider in &network.providers {
        if !bids(provider).await.is_ok_and(|bids| bids) {
            return false;
        }
    }
    true
}

/// The newest height of a node that answers and is not behind.
pub async fn height(rpc: &str) -> Option<u64> {
    let client = RpcClient::new(&[rpc], Limits::default()).ok()?;
    let status = client.status().await.ok()?.value;
    (!status.sync_info.catching_up).then_some(status.sync_info.latest_block_height)
}

/// Waits until every provider is registered and bids.
///
/// # Errors
/// A process ended (with the last words of its log), or it takes too long.
pub async fn until_providers_bid(network: &Network) -> anyhow::Result<()> {
    let began = Instant::now();
    for provider in &network.providers {
        let mut last = String::new();
        loop {
            match bids(provider).await {
                Ok(true) => break,
                Ok(false) => {}
                Err(why) => last = format!("{why:#}"),
            }
            check_alive(network, &provider.name)?;
            if let Some(ingress) = provider.ingress() {
                check_alive(network, &ingress)?;
            }
            if began.elapsed() > PATIENCE {
                bail!(
                    "{} does not bid ({last}); see {}",
                    provider.name,
                    network.log(&provider.name).display()
                );
            }
            tokio::time::sleep(LOOK).await;
        }
    }
    Ok(())
}

/// Waits until the faucet answers.
///
/// # Errors
/// It ended, or takes too long.
pub async fn until_faucet_answers(network: &Network) -> anyhow::Result<()> {
    let began = Instant::now();
    while super::http::over_tcp("GET", &network.faucet.url, Default::default())
        .await
        .is_err()
    {
        check_alive(network, super::record::FAUCET)?;
        ensure!(began.elapsed() < PATIENCE, "the faucet does not answer");
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// What a provider's daemon says of itself.
///
/// # Errors
/// It does not run.
pub async fn provider_status(provider: &Provider) -> anyhow::Result<Status> {
    let path = provider.home.join(STATUS_SOCKET);
    let stream = UnixStream::connect(&path)
        .await
        .with_context(|| format!("nothing listens on {}", path.display()))?;
    let mut text = Vec::new();
    stream.take(MAX_STATUS_BYTES).read_to_end(&mut text).await?;
    Ok(serde_json::from_slice(&text)?)
}

/// Whether a provider bids: it is registered before it answers here, and bids when it has looked at the chain and its
/// ingress runs and it is known that leases are kept in.
async fn bids(provider: &Provider) -> anyhow::Result<bool> {
    let status = provider_status(provider).await?;
    if let Some(why) = status.last_error {
        bail!(why);
    }
    if let Some(why) = status.fence {
        bail!(why);
    }
    Ok(status.height > 0 && status.ingress_running)
}

fn check_alive(network: &Network, process: &str) -> anyhow::Result<()> {
    let log = network.log(process);
    ensure!(
        network.is_alive(process),
        "{process} ended; the end of {}:\n{}",
        log.display(),
        tail(&log, 8)
    );
    Ok(())
}
