//! One network, read and written without believing anybody: the facade of this crate.

mod trust;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use welkin_consensus::types::Genesis;
use welkin_modules::RUNTIME;
use welkin_modules::accounts::{self, Account, Accounts as AccountsModule};
use welkin_runtime::{Address, Amount, ChainInfo, Hash, Module};

use crate::error::ClientError;
use crate::light::{LightClient, LightConfig, VerifiedHeader};
use crate::query::{self, Proven, Question, verify_answer};
use crate::rpc::socket::{self, Hint};
use crate::rpc::{Limits, RpcClient, is_future};
use crate::submit::Accounts;

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Where the genesis comes from, which is where all trust starts.
#[derive(Clone, Debug, PartialEq)]
pub enum Trust {
    /// A genesis file; its hash is pinned in the folder.
    File(PathBuf),
    /// A genesis document; its hash is pinned in the folder.
    Document(Box<Genesis>),
    /// The genesis of this hash, which any server may give.
    Hash(Hash),
    /// The one that the folder has from before.
    Pinned,
}

/// How a chain is reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// RPC servers in order of preference, as `http://host:port`.
    pub endpoints: Vec<String>,
    /// The folder where genesis and verified headers of this one network are kept.
    pub folder: PathBuf,
    /// Where the genesis comes from.
    pub trust: Trust,
    /// How long servers are waited for.
    pub limits: Limits,
    /// How headers are verified and kept.
    pub light: LightConfig,
}

impl Config {
    /// The default way to reach a chain.
    pub fn new(endpoints: Vec<String>, folder: impl Into<PathBuf>, trust: Trust) -> Config {
        Config {
            endpoints,
            folder: folder.into(),
            trust,
            limits: Limits::default(),
            light: LightConfig::default(),
        }
    }
}

/// A network. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Chain {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) rpc: RpcClient,
    light: LightClient,
    genesis: Genesis,
    pub(crate) info: ChainInfo,
    pub(crate) accounts: Accounts,
    /// The least fee for a million gas, once it was asked for.
    pub(crate) price: Mutex<Option<Amount>>,
    patience: Duration,
}

/// After which block the state is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// The newest that can be proven, not below this and not below what was seen before.
    Newest { at_least: u64 },
    /// This one.
    Exactly(u64),
}

impl Chain {
    /// A chain by its genesis and its servers. Nothing is sent before the first question, unless
    /// the genesis has to be fetched by its hash.
    ///
    /// # Errors
    /// [`ClientError::OtherNetwork`] when the folder is another network's, [`ClientError::Usage`]
    /// for addresses or a genesis without sense, [`ClientError::File`] for unreadable files.
    pub async fn connect(config: Config) -> Result<Chain, ClientError> {
        let rpc = RpcClient::new(&config.endpoints, config.limits)?;
        let (genesis, genesis_hash) = trust::genesis(&config.folder, &config.trust, &rpc).await?;
        let patience = Duration::from_millis(config.light.wait_ms);
        let file = config.folder.join("headers.json");
        let light = LightClient::open(rpc.clone(), &genesis, file, config.light)?;
        let info = ChainInfo {
            chain_id: genesis.chain_id.clone(),
            genesis_hash,
        };
        let inner = Inner {
            rpc,
            light,
            genesis,
            info,
            accounts: Accounts::default(),
            price: Mutex::default(),
            patience,
        };
        Ok(Chain {
            inner: Arc::new(inner),
        })
    }

    /// Name and genesis hash.
    pub fn info(&self) -> &ChainInfo {
        &self.inner.info
    }

    /// The genesis document.
    pub fn genesis(&self) -> &Genesis {
        &self.inner.genesis
    }

    /// The servers, for what needs no proof.
    pub fn rpc(&self) -> &RpcClient {
        &self.inner.rpc
    }

    /// The verified headers.
    pub fn light(&self) -> &LightClient {
        &self.inner.light
    }

    /// The highest height whose header was ever verified; it never goes back, also not over a
    /// restart. State after the height below it was provable.
    pub fn highest_seen(&self) -> u64 {
        self.inner.light.highest()
    }

    /// What an account has.
    ///
    /// # Errors
    /// As [`Chain::query`].
    pub async fn account(&self, address: &Address) -> Result<Proven<Account>, ClientError> {
        let query = accounts::Query::Account { address: *address };
        let pick = |answer| match answer {
            accounts::Answer::Account(account) => Some(account),
            _ => None,
        };
        self.one::<AccountsModule, _>(0, &query, pick).await
    }

    /// Asks module `M` about the newest state that can be proven. It is never older than one that
    /// was asked about before.
    ///
    /// # Errors
    /// [`ClientError::Verification`] when a server lies, [`ClientError::Stale`] when all servers
    /// lag, [`ClientError::Refused`] when the module refuses the question.
    pub async fn query<M: Module>(
        &self,
        query: &M::Query,
    ) -> Result<Proven<M::Answer>, ClientError> {
        self.query_since::<M>(0, query).await
    }

    /// Asks about the newest state that can be proven, and waits until that is the one after block
    /// `height` or a later one.
    ///
    /// # Errors
    /// As [`Chain::query`].
    pub async fn query_since<M: Module>(
        &self,
        height: u64,
        query: &M::Query,
    ) -> Result<Proven<M::Answer>, ClientError> {
        let at = At::Newest { at_least: height };
        let proven = self.ask(&Question::of::<M>(query), at).await?;
        Ok(proven.map(|bytes| query::decode::<M>(&bytes)))
    }

    /// Asks about the state after block `height`, which servers keep for a while.
    ///
    /// # Errors
    /// As [`Chain::query`].
    pub async fn query_at<M: Module>(
        &self,
        height: u64,
        query: &M::Query,
    ) -> Result<Proven<M::Answer>, ClientError> {
        let proven = self
            .ask(&Question::of::<M>(query), At::Exactly(height))
            .await?;
        Ok(proven.map(|bytes| query::decode::<M>(&bytes)))
    }

    /// Asks a module by name, JSON in and JSON out: `("accounts", {"supply": {}}, None)`.
    ///
    /// # Errors
    /// [`ClientError::Usage`] when there is no such query, else as [`Chain::query`].
    pub async fn query_json(
        &self,
        module: &str,
        query: &Value,
        height: Option<u64>,
    ) -> Result<Proven<Value>, ClientError> {
        let question = Question::from_json(module, query)?;
        let at = height.map_or(At::Newest { at_least: 0 }, At::Exactly);
        let proven = self.ask(&question, at).await?;
        let json = RUNTIME.answer_to_json(module, &proven.answer);
        let json = json.expect("the runtime wrote these bytes a moment ago");
        Ok(proven.map(|_| json))
    }

    /// The verified header of a height; waits until the block is there.
    ///
    /// # Errors
    /// As [`LightClient::header`].
    pub async fn wait_height(&self, height: u64) -> Result<VerifiedHeader, ClientError> {
        self.inner.light.header(height).await
    }

    /// Watches for new blocks. What it tells are hints; ask for what is proven.
    /// Must be called within a tokio runtime.
    pub fn subscribe_blocks(&self) -> BlockHints {
        BlockHints::new(self.rpc().clone())
    }

    async fn ask(&self, question: &Question, at: At) -> Result<Proven<Vec<u8>>, ClientError> {
        let (began, mut pause) = (Instant::now(), FIRST_PAUSE);
        let height = match at {
            At::Newest { .. } => 0,
            At::Exactly(height) => height,
        };
        loop {
            let asked = self
                .rpc()
                .abci_query(&question.path(), &question.query, height)
                .await;
            let failed = match asked {
                Ok(answer) => {
                    let (answer, by) = (answer.value, answer.by);
                    if let Some(error) = answer.error() {
                        return Err(ClientError::refused(error));
                    }
                    match self.check_height(at, answer.height, &by) {
                        Ok(()) => {
                            let next = answer.height.saturating_add(1);
                            let header = self.inner.light.header(next).await?;
                            return verify_answer(question, &answer, &header, &by);
                        }
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            let may_come = matches!(failed, ClientError::Stale { .. }) || is_future(&failed);
            if !may_come || began.elapsed() >= self.inner.patience {
                return Err(failed);
            }
            self.rpc().prefer_another();
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Whether an answer is of a height that was asked for.
    fn check_height(&self, at: At, answered: u64, by: &str) -> Result<(), ClientError> {
        match at {
            At::Exactly(height) if answered == height => Ok(()),
            At::Exactly(height) => {
                let claimed = format!("an answer about the state after block {height}");
                Err(ClientError::lie(
                    by,
                    claimed,
                    format!("it is about block {answered}"),
                ))
            }
            At::Newest { at_least } => {
                let seen = at_least.max(self.highest_seen().saturating_sub(1));
                if answered >= seen {
                    return Ok(());
                }
                let by = by.to_owned();
                Err(ClientError::Stale { answered, seen, by })
            }
        }
    }
}

/// Heights of new blocks, as hints: the newest one, once for however many came.
pub struct BlockHints {
    newest: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

impl BlockHints {
    fn new(rpc: RpcClient) -> BlockHints {
        let (send, newest) = watch::channel(0);
        let task = tokio::spawn(async move {
            let mut blocks = rpc.subscribe(socket::NEW_BLOCK);
            while let Some(hint) = blocks.next().await {
                let height = match hint {
                    Hint::Event(event) => socket::block_height(&event),
                    // What was missed meanwhile.
                    Hint::Connected { .. } => {
                        let status = rpc.status().await.ok();
                        status.map(|status| status.value.sync_info.latest_block_height)
                    }
                };
                if let Some(height) = height {
                    send.send_if_modified(|newest| {
                        let is_new = height > *newest;
                        *newest = height.max(*newest);
                        is_new
                    });
                }
                if send.is_closed() {
                    return;
                }
            }
        });
        BlockHints { newest, task }
    }

    /// Waits for a height above the one that was told last. Servers that cannot be reached are
    /// tried again; it ends with the caller's patience.
    pub async fn next(&mut self) -> u64 {
        // The task only ends when this is dropped.
        while self.newest.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        *self.newest.borrow_and_update()
    }
}

impl Drop for BlockHints {
    fn drop(&mut self) {
        self.task.abort();
    }
}
