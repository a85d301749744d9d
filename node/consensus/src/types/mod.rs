//! Tendermint's data types: protobuf bytes, JSON and hashes as CometBFT v0.38 has them.

mod block;
mod block_id;
mod commit;
mod evidence;
mod header;
mod keys;
mod params;
mod part_set;
mod proposal;
mod time;
mod validator;
mod validator_set;
mod vote;

pub use block::{Block, Data};
pub use block_id::{BlockId, Digest, PartSetHeader};
pub use commit::{Commit, CommitSig, CommitVote};
pub use evidence::{
    DuplicateVoteEvidence, Evidence, EvidenceList, LightBlock, LightClientAttackEvidence,
    Misbehaviour, MisbehaviourKind, SignedHeader,
};
pub use header::{AppHash, Header, Version};
pub use keys::{PublicKey, Signature, ValidatorAddress};
pub use params::{AbciParams, BlockParams, ConsensusParams, EvidenceParams, ValidatorParams, VersionParams};
pub use part_set::{Part, PartSet};
pub use proposal::Proposal;
pub use time::Timestamp;
pub use validator::{Validator, ValidatorUpdate};
pub use validator_set::ValidatorSet;
pub use vote::{Vote, VoteType};
