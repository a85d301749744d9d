//! Tendermint's data types: protobuf bytes, JSON and hashes as CometBFT v0.38 has them.
//!
//! Protobuf is the [`Message`] trait (`encode`, `decode`), JSON is serde.

mod block;
mod block_id;
mod commit;
mod evidence;
mod evidence_proto;
mod genesis;
mod header;
mod keys;
mod light_block;
mod params;
mod part_set;
mod proposal;
mod proposer;
mod time;
mod validator;
mod validator_set;
mod vote;

pub use crate::proto::Message;
pub use block::{Block, Data, MAX_TXS};
pub use block_id::{BlockId, Digest, PartSetHeader};
pub use commit::{Commit, CommitSig, CommitVote, MAX_VOTES};
pub use evidence::{
    DuplicateVoteEvidence, Evidence, EvidenceList, LightClientAttackEvidence, Misbehaviour,
    MisbehaviourKind,
};
pub use genesis::{Genesis, GenesisValidator};
pub use header::{
    AppHash, BLOCK_PROTOCOL, Header, MAX_APP_HASH_BYTES, MAX_CHAIN_ID_BYTES, Version,
};
pub use keys::{PublicKey, Signature, ValidatorAddress};
pub use light_block::{LightBlock, SignedHeader};
pub use params::{
    AbciParams, BlockParams, ConsensusParams, ED25519_KEY_TYPE, EvidenceParams, ValidatorParams,
    VersionParams,
};
pub use part_set::{Added, MAX_BLOCK_BYTES, MAX_PARTS, PART_BYTES, Part, PartSet};
pub use proposal::Proposal;
pub use time::Timestamp;
pub use validator::{Validator, ValidatorUpdate};
pub use validator_set::{MAX_TOTAL_VOTING_POWER, ValidatorSet};
pub use vote::{Vote, VoteType};
