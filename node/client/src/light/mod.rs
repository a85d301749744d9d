//! Which headers are true.
//!
//! ```text
//!   genesis validators ──► header: same validators, more than 2/3 signed ──► kept
//!            │
//!            └─ another set at that height: halve the distance until a header is found that the
//!               known set signed and that names the other set as next; go on from there
//! ```
//!
//! So headers are looked at one after the other only where the set changed, and each step is the
//! adjacent one of Tendermint's light client. What was verified is kept in a file, and the highest
//! verified height never goes back.

mod file;
mod trusted;

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use welkin_consensus::types::{Genesis, Header, SignedHeader, Timestamp, ValidatorSet};
use welkin_consensus::verify::{Coverage, verify_commit_light};
use welkin_runtime::{ChainInfo, Hash, Time};

use crate::error::ClientError;
use crate::files;
use crate::rpc::{Answered, RpcClient, is_future};

pub use trusted::{Anchor, Conflict, Trusted};

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// How often the file is written at most; the first header, and the last, are written at once.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// How a light client works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LightConfig {
    /// How far a header's time may be ahead of this machine's clock.
    pub max_clock_drift_ms: u64,
    /// Verified headers that are kept.
    pub max_headers: usize,
    /// How long is waited for a block that is not there yet.
    pub wait_ms: u64,
}

impl Default for LightConfig {
    fn default() -> Self {
        LightConfig {
            max_clock_drift_ms: 10_000,
            max_headers: 100,
            wait_ms: 30_000,
        }
    }
}

/// A header that more than 2/3 of the right validators signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedHeader(Header);

impl VerifiedHeader {
    /// Its height.
    pub fn height(&self) -> u64 {
        self.0.height
    }

    /// The block's time.
    pub fn time(&self) -> Time {
        self.0.time.to_runtime().unwrap_or_default()
    }

    /// The root of the state after the block before.
    pub fn app_hash(&self) -> Option<Hash> {
        self.0.app_hash.0.as_slice().try_into().ok().map(Hash)
    }

    /// All of it.
    pub fn header(&self) -> &Header {
        &self.0
    }
}

/// Verifies headers, and keeps what it verified.
pub struct LightClient {
    rpc: RpcClient,
    chain: ChainInfo,
    config: LightConfig,
    file: PathBuf,
    state: Mutex<State>,
}

struct State {
    trusted: Trusted,
    is_saved: bool,
    last_saved: Option<Instant>,
}

impl LightClient {
    /// A light client of the network of `genesis`, which keeps what it verifies in `file`.
    ///
    /// # Errors
    /// [`ClientError::Usage`] for a genesis without sense, [`ClientError::File`] for a damaged file.
    pub fn open(
        rpc: RpcClient,
        genesis: &Genesis,
        file: impl Into<PathBuf>,
        config: LightConfig,
    ) -> Result<LightClient, ClientError> {
        let wrong = |error: welkin_consensus::error::Invalid| ClientError::Usage(error.to_string());
        let genesis_hash = genesis.hash().map_err(wrong)?;
        let first = Anchor::new(
            genesis.initial_height,
            genesis.validator_set().map_err(wrong)?,
        );
        let empty = Trusted::new(genesis_hash, first, config.max_headers);
        let file = file.into();
        let trusted = file::load(&file, &empty)?.unwrap_or(empty);
        let chain = ChainInfo {
            chain_id: genesis.chain_id.clone(),
            genesis_hash,
        };
        Ok(LightClient {
            rpc,
            chain,
            config,
            file,
            state: Mutex::new(State {
                trusted,
                is_saved: true,
                last_saved: None,
            }),
        })
    }

    /// The highest height whose header was ever verified; 0 before the first. It never goes back.
    pub fn highest(&self) -> u64 {
        self.state().trusted.highest()
    }

    /// Height of the first block.
    pub fn initial_height(&self) -> u64 {
        self.state().trusted.initial_height()
    }

    /// The verified header of a height; waits for a block that is not there yet, as long as the
    /// configuration says.
    ///
    /// # Errors
    /// [`ClientError::Verification`] when a server lies, [`ClientError::TimedOut`] when the block
    /// does not come, [`ClientError::Unreachable`] when no server answers.
    pub async fn header(&self, height: u64) -> Result<VerifiedHeader, ClientError> {
        let wait = Duration::from_millis(self.config.wait_ms);
        self.header_within(height, wait).await
    }

    /// [`LightClient::header`] with another patience.
    ///
    /// # Errors
    /// As there.
    pub async fn header_within(
        &self,
        height: u64,
        wait: Duration,
    ) -> Result<VerifiedHeader, ClientError> {
        if height < self.initial_height() {
            let message = format!(
                "the first block of the chain has height {}",
                self.initial_height()
            );
            return Err(ClientError::Usage(message));
        }
        if let Some(header) = self.state().trusted.header(height) {
            return Ok(VerifiedHeader(header.clone()));
        }
        let target = self.fetch(height, wait).await?;
        loop {
            let anchor = self.state().trusted.anchor(height).clone();
            if target.value.header.validators_hash == anchor.hash {
                let header = self.accept(&anchor, target)?;
                self.save_if_due().await?;
                return Ok(header);
            }
            if anchor.height == height {
                let claimed = format!("other validators at height {height}");
                let proven = "the header before names their hash".to_owned();
                return Err(ClientError::lie(target.by, claimed, proven));
            }
            self.find_change(&anchor, height).await?;
        }
    }

    /// Writes what was verified to the file now.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn flush(&self) -> Result<(), ClientError> {
        let mut state = self.state();
        if state.is_saved {
            return Ok(());
        }
        state.is_saved = true;
        state.last_saved = Some(Instant::now());
        let snapshot = state.trusted.clone();
        drop(state);
        file::save(&self.file, snapshot)
    }

    /// Finds a height above the anchor's and not above `height` at which the set changed, and makes
    /// it an anchor. Some header up to `height` is said to have another set than the anchor's.
    async fn find_change(&self, anchor: &Anchor, height: u64) -> Result<(), ClientError> {
        let (mut same, mut other) = (anchor.height, height);
        while other - same > 1 {
            let middle = same + (other - same) / 2;
            let found = self.fetch_existing(middle).await?;
            if found.value.header.validators_hash == anchor.hash {
                self.accept(anchor, found)?;
                same = middle;
            } else {
                other = middle;
            }
        }
        let known = self.state().trusted.header(same).cloned();
        let last = match known {
            Some(header) => header,
            None => {
                let found = self.fetch_existing(same).await?;
                self.accept(anchor, found)?.0
            }
        };
        let Answered { value, by, .. } = self.rpc.validators(other).await?;
        let set = ValidatorSet::from_validators(value, None).map_err(|error| {
            ClientError::lie(&by, format!("validators of {other}"), error.to_string())
        })?;
        let next = Anchor::new(other, set);
        if next.hash != last.next_validators_hash {
            let claimed = format!("validators with hash {} at height {other}", next.hash);
            let proven = format!("header {same} names {}", last.next_validators_hash);
            return Err(ClientError::lie(by, claimed, proven));
        }
        if next.hash == anchor.hash {
            let claimed = format!("that the validators change at height {other}");
            return Err(ClientError::lie(
                by,
                claimed,
                format!("header {same} says they stay"),
            ));
        }
        let mut state = self.state();
        state.trusted.add_anchor(next);
        state.is_saved = false;
        Ok(())
    }

    /// Verifies a header that claims to have the anchor's validators, and remembers it.
    fn accept(
        &self,
        anchor: &Anchor,
        found: Answered<SignedHeader>,
    ) -> Result<VerifiedHeader, ClientError> {
        let Answered { value, by, .. } = found;
        let drift = i128::from(self.config.max_clock_drift_ms) * 1_000_000;
        let latest = now().plus_nanos(drift);
        verify(&self.chain.chain_id, anchor, &value, latest).map_err(|why| {
            let claimed = format!(
                "header {} at height {}",
                value.header.hash(),
                value.header.height
            );
            ClientError::lie(&by, claimed, why)
        })?;
        let mut state = self.state();
        state
            .trusted
            .add_header(value.header.clone())
            .map_err(|conflict| {
                let claimed = format!(
                    "header {} at height {}",
                    value.header.hash(),
                    value.header.height
                );
                ClientError::lie(&by, claimed, conflict.to_string())
            })?;
        state.is_saved = false;
        Ok(VerifiedHeader(value.header))
    }

    async fn fetch_existing(&self, height: u64) -> Result<Answered<SignedHeader>, ClientError> {
        self.fetch(height, Duration::from_millis(self.config.wait_ms))
            .await
    }

    /// Asks for header and commit of a height until a server has them.
    async fn fetch(
        &self,
        height: u64,
        wait: Duration,
    ) -> Result<Answered<SignedHeader>, ClientError> {
        let began = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            match self.rpc.commit(height).await {
                Ok(answer) => return self.asked_for(height, answer.map(|a| a.signed_header)),
                Err(error) if is_future(&error) => {
                    if began.elapsed() >= wait {
                        let what = format!("block {height}");
                        let waited = began.elapsed();
                        return Err(ClientError::TimedOut { what, waited });
                    }
                    self.rpc.prefer_another();
                }
                Err(error) => return Err(error),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn asked_for(
        &self,
        height: u64,
        answer: Answered<SignedHeader>,
    ) -> Result<Answered<SignedHeader>, ClientError> {
        let (header, ours) = (&answer.value.header, &self.chain.chain_id);
        if header.chain_id != *ours {
            let claimed = format!("to serve {ours}");
            let other: String = header.chain_id.chars().take(50).collect();
            let proven = format!("its blocks are of {other:?}; name a server of this network");
            return Err(ClientError::lie(answer.by, claimed, proven));
        }
        if header.height != height {
            let claimed = format!("that header {} is header {height}", header.height);
            return Err(ClientError::lie(answer.by, claimed, "it is another one"));
        }
        Ok(answer)
    }

    async fn save_if_due(&self) -> Result<(), ClientError> {
        let snapshot = {
            let mut state = self.state();
            let is_due = state.last_saved.is_none_or(|at| at.elapsed() >= SAVE_EVERY);
            if state.is_saved || !is_due {
                return Ok(());
            }
            state.is_saved = true;
            state.last_saved = Some(Instant::now());
            state.trusted.clone()
        };
        let file = self.file.clone();
        let saved = tokio::task::spawn_blocking(move || file::save(&file, snapshot)).await;
        let saved =
            saved.unwrap_or_else(|error| Err(files::unusable(&self.file, error.to_string())));
        if saved.is_err() {
            self.state().is_saved = false;
        }
        saved
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whoever panicked while holding this had not begun to change anything.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for LightClient {
    fn drop(&mut self) {
        if let Err(error) = self.flush() {
            tracing::warn!(target: crate::rpc::LOG, %error, "verified headers were not saved");
        }
    }
}

/// Whether the anchor's validators signed the header. The error says what is proven instead.
fn verify(
    chain_id: &str,
    anchor: &Anchor,
    signed: &SignedHeader,
    latest: Timestamp,
) -> Result<(), String> {
    let SignedHeader { header, commit } = signed;
    let words = |error: welkin_consensus::error::Invalid| error.to_string();
    signed.validate_basic(chain_id).map_err(words)?;
    if header.validators_hash != anchor.hash {
        return Err("its validators are not those of its height".to_owned());
    }
    if header.time >= latest {
        return Err(format!(
            "its time {} lies in the future of this clock",
            header.time
        ));
    }
    let (validators, block_id) = (&anchor.validators, &commit.block_id);
    let enough = Coverage::Enough;
    verify_commit_light(
        chain_id,
        validators,
        block_id,
        header.height,
        commit,
        enough,
    )
    .map_err(|error| error.to_string())
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanos = since.map_or(0, |since| since.as_nanos());
    Timestamp::from_unix_nanos(i128::try_from(nanos).unwrap_or(i128::MAX))
}
