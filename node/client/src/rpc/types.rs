//! Answers of a server, in the JSON of CometBFT v0.38. Fields that nobody here needs are left out.

use serde::{Deserialize, Deserializer};
use welkin_consensus::merkle;
use welkin_consensus::state::TxOutcome;
use welkin_consensus::types::{
    AppHash, Block, BlockId, Digest, Genesis, SignedHeader, Timestamp, Validator,
};
use welkin_runtime::{Hash, ModuleError};

/// `status`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Status {
    /// Who the server is.
    pub node_info: NodeInfo,
    /// Where it stands.
    pub sync_info: SyncInfo,
}

/// Who a server says it is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct NodeInfo {
    /// Id of its key.
    pub id: String,
    /// The chain's name.
    pub network: String,
    /// Its version.
    pub version: String,
    /// Its name for people.
    pub moniker: String,
}

/// Where a server says it stands.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SyncInfo {
    /// Height of its newest block; 0 before the first.
    #[serde(deserialize_with = "natural")]
    pub latest_block_height: u64,
    /// Time of its newest block.
    pub latest_block_time: Timestamp,
    /// App hash in its newest block.
    pub latest_app_hash: AppHash,
    /// Height of the oldest block that it keeps.
    #[serde(deserialize_with = "natural", default)]
    pub earliest_block_height: u64,
    /// Whether it is behind.
    pub catching_up: bool,
}

/// `genesis`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct GenesisAnswer {
    /// The document.
    pub genesis: Genesis,
}

/// `commit`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct CommitAnswer {
    /// Header and commit.
    pub signed_header: SignedHeader,
    /// False for the newest block, whose commit may still gain votes.
    #[serde(default)]
    pub canonical: bool,
}

/// `validators`, one page.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ValidatorsPage {
    /// Their height.
    #[serde(deserialize_with = "natural")]
    pub block_height: u64,
    /// This page's validators.
    #[serde(deserialize_with = "or_null")]
    pub validators: Vec<Validator>,
    /// How many there are on all pages.
    #[serde(deserialize_with = "natural")]
    pub total: u64,
}

/// `block`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct BlockAnswer {
    /// Its name.
    pub block_id: BlockId,
    /// The block.
    pub block: Block,
}

/// `block_results`. Only what the next header's `last_results_hash` covers, and words for people.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct BlockResults {
    /// Its height.
    #[serde(deserialize_with = "natural")]
    pub height: u64,
    /// A result for each transaction.
    #[serde(deserialize_with = "or_null", default)]
    pub txs_results: Vec<TxResult>,
}

/// What came of a transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct TxResult {
    /// 0 if it succeeded.
    #[serde(default)]
    pub code: u32,
    /// The events in borsh.
    #[serde(deserialize_with = "base64_or_null", default)]
    pub data: Vec<u8>,
    /// What went wrong, for people.
    #[serde(default)]
    pub log: String,
    /// The gas limit.
    #[serde(deserialize_with = "natural", default)]
    pub gas_wanted: u64,
    /// The gas that was used.
    #[serde(deserialize_with = "natural", default)]
    pub gas_used: u64,
    /// The module that refused.
    #[serde(default)]
    pub codespace: String,
}

impl TxResult {
    /// The part that every node must agree on.
    pub fn outcome(&self) -> TxOutcome {
        TxOutcome {
            code: self.code,
            data: self.data.clone(),
            gas_wanted: self.gas_wanted.cast_signed(),
            gas_used: self.gas_used.cast_signed(),
        }
    }

    /// The refusal, if it failed.
    pub fn error(&self) -> Option<ModuleError> {
        refusal(self.code, &self.codespace, &self.log)
    }
}

/// `tx`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TxAnswer {
    /// Its id.
    #[serde(deserialize_with = "hash")]
    pub hash: Hash,
    /// Height of its block.
    #[serde(deserialize_with = "natural")]
    pub height: u64,
    /// Its place in the block.
    pub index: u32,
    /// What came of it.
    pub tx_result: TxResult,
    /// The raw transaction.
    #[serde(deserialize_with = "base64_or_null")]
    pub tx: Vec<u8>,
    /// That it stands in the block, if that was asked for.
    #[serde(default)]
    pub proof: Option<TxProof>,
}

/// That a transaction stands in a block.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TxProof {
    /// The block's `data_hash`.
    pub root_hash: Digest,
    /// The way from the transaction's id to it.
    #[serde(deserialize_with = "merkle_proof")]
    pub proof: merkle::Proof,
}

/// `broadcast_tx_sync` and `broadcast_tx_async`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct BroadcastAnswer {
    /// 0 if it was taken.
    #[serde(default)]
    pub code: u32,
    /// Why it was not, for people.
    #[serde(default)]
    pub log: String,
    /// The module that refused.
    #[serde(default)]
    pub codespace: String,
    /// Its id.
    #[serde(deserialize_with = "hash")]
    pub hash: Hash,
}

impl BroadcastAnswer {
    /// The refusal, if there was one.
    pub fn error(&self) -> Option<ModuleError> {
        refusal(self.code, &self.codespace, &self.log)
    }
}

/// `broadcast_tx_commit`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct BroadcastCommitAnswer {
    /// What the mempool said.
    pub check_tx: TxResult,
    /// What came of it, if it was taken.
    #[serde(default)]
    pub tx_result: TxResult,
    /// Its id.
    #[serde(deserialize_with = "hash")]
    pub hash: Hash,
    /// Height of its block; 0 if it is in none.
    #[serde(deserialize_with = "natural")]
    pub height: u64,
}

#[derive(Deserialize)]
pub(super) struct QueryEnvelope {
    pub(super) response: QueryAnswer,
}

/// `abci_query`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct QueryAnswer {
    /// 0 if there is an answer.
    #[serde(default)]
    pub code: u32,
    /// Why there is none, for people.
    #[serde(default)]
    pub log: String,
    /// The module that refused.
    #[serde(default)]
    pub codespace: String,
    /// The answer.
    #[serde(deserialize_with = "base64_or_null", default)]
    pub value: Vec<u8>,
    /// The state's height.
    #[serde(deserialize_with = "natural", default)]
    pub height: u64,
    /// The proof, if one was asked for.
    #[serde(rename = "proofOps", default)]
    pub proof: Option<ProofOps>,
}

impl QueryAnswer {
    /// The refusal, if there was one.
    pub fn error(&self) -> Option<ModuleError> {
        refusal(self.code, &self.codespace, &self.log)
    }

    /// The witness, if there is exactly one.
    pub fn witness(&self) -> Option<&[u8]> {
        match self.proof.as_ref()?.ops.as_slice() {
            [op] if op.kind == WITNESS => Some(&op.data),
            _ => None,
        }
    }
}

/// The kind of a proof that shows all state that an answer depends on.
pub const WITNESS: &str = "welkin:witness";

/// Steps of a proof.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ProofOps {
    /// The steps.
    #[serde(deserialize_with = "or_null")]
    pub ops: Vec<ProofOp>,
}

/// A step of a proof.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ProofOp {
    /// What kind of proof it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its bytes.
    #[serde(deserialize_with = "base64_or_null")]
    pub data: Vec<u8>,
}

/// Longest message of a server that is passed on, in characters.
const MAX_MESSAGE_CHARS: usize = 500;

/// Words of a server as they may be shown: short, and without control characters.
pub(crate) fn shown(text: &str) -> String {
    let plain = text.chars().filter(|c| !c.is_control());
    plain.take(MAX_MESSAGE_CHARS).collect()
}

fn refusal(code: u32, codespace: &str, log: &str) -> Option<ModuleError> {
    (code != 0).then(|| ModuleError {
        module: shown(codespace),
        code,
        message: shown(log),
    })
}

fn natural<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    use serde::de::Error as _;
    let text = String::deserialize(from)?;
    let number: i64 = text.parse().map_err(D::Error::custom)?;
    u64::try_from(number).map_err(|_| D::Error::custom("a number is negative"))
}

fn or_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::<Vec<T>>::deserialize(from)?.unwrap_or_default())
}

fn base64_or_null<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    let text = Option::<String>::deserialize(from)?.unwrap_or_default();
    from_base64(&text).map_err(serde::de::Error::custom)
}

fn hash<'de, D: Deserializer<'de>>(from: D) -> Result<Hash, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map_err(serde::de::Error::custom)
}

fn merkle_proof<'de, D: Deserializer<'de>>(from: D) -> Result<merkle::Proof, D::Error> {
    use serde::de::Error as _;
    #[derive(Deserialize)]
    struct Shape {
        #[serde(deserialize_with = "natural")]
        total: u64,
        #[serde(deserialize_with = "natural")]
        index: u64,
        leaf_hash: String,
        #[serde(deserialize_with = "or_null", default)]
        aunts: Vec<String>,
    }
    let shape = Shape::deserialize(from)?;
    if shape.aunts.len() > merkle::MAX_AUNTS {
        return Err(D::Error::custom("a Merkle proof has too many hashes"));
    }
    let bytes = |text: &String| -> Result<[u8; 32], D::Error> {
        let bytes = from_base64(text).map_err(D::Error::custom)?;
        let exact = <[u8; 32]>::try_from(bytes.as_slice());
        exact.map_err(|_| D::Error::custom("a hash has not 32 bytes"))
    };
    Ok(merkle::Proof {
        total: shape.total,
        index: shape.index,
        leaf_hash: bytes(&shape.leaf_hash)?,
        aunts: shape.aunts.iter().map(bytes).collect::<Result<_, _>>()?,
    })
}

pub(super) fn to_base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn from_base64(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text)
}
