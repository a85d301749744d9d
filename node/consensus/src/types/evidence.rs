//! Evidence of misbehaviour.

use super::light_block::LightBlock;
use super::{CommitSig, Digest, SignedHeader, Timestamp, Validator, ValidatorAddress};
use super::{ValidatorSet, Vote};
use crate::error::{Invalid, ensure};
use crate::json;
use crate::merkle;
use crate::proto::Message;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Proof that a validator broke the rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "value")]
pub enum Evidence {
    /// Two different votes for one height, round and type.
    #[serde(rename = "tendermint/DuplicateVoteEvidence")]
    DuplicateVote(Box<DuplicateVoteEvidence>),
    /// A header signed for a light client that is not the chain's.
    #[serde(rename = "tendermint/LightClientAttackEvidence")]
    LightClientAttack(Box<LightClientAttackEvidence>),
}

/// Two different votes of one validator for one height, round and type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DuplicateVoteEvidence {
    /// The vote with the smaller block id.
    pub vote_a: Vote,
    /// The vote with the larger block id.
    pub vote_b: Vote,
    /// Total power of the set at that height.
    #[serde(rename = "TotalVotingPower", with = "json::natural")]
    pub total_voting_power: u64,
    /// The offender's power at that height.
    #[serde(rename = "ValidatorPower", with = "json::natural")]
    pub validator_power: u64,
    /// Time of the block at that height.
    #[serde(rename = "Timestamp")]
    pub timestamp: Timestamp,
}

/// A header, signed by enough validators to fool a light client, that is not the chain's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LightClientAttackEvidence {
    /// The false block.
    pub conflicting_block: LightBlock,
    /// The last height at which both agree.
    #[serde(with = "json::natural")]
    pub common_height: u64,
    /// Who signed it and can be blamed, by power (descending), then address.
    #[serde(deserialize_with = "json::or_null::deserialize")]
    pub byzantine_validators: Vec<Validator>,
    /// Total power at the common height.
    #[serde(with = "json::natural")]
    pub total_voting_power: u64,
    /// Time of the block at the common height.
    pub timestamp: Timestamp,
}

/// The evidence in a block.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "JsonEvidenceList", into = "JsonEvidenceList")]
pub struct EvidenceList(pub Vec<Evidence>);

/// What the application is told about an offender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misbehaviour {
    /// What it did.
    pub kind: MisbehaviourKind,
    /// Who did it.
    pub validator_address: ValidatorAddress,
    /// Its power at that height.
    pub validator_power: u64,
    /// When, as a height.
    pub height: u64,
    /// When, as the time of that height's block.
    pub time: Timestamp,
    /// Total power at that height.
    pub total_voting_power: u64,
}

/// What an offender did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MisbehaviourKind {
    /// Voted twice.
    DuplicateVote,
    /// Signed a false header.
    LightClientAttack,
}

impl Evidence {
    /// The height of the offence: of the votes, or the common height of an attack.
    pub fn height(&self) -> u64 {
        match self {
            Evidence::DuplicateVote(evidence) => evidence.vote_a.height,
            Evidence::LightClientAttack(evidence) => evidence.common_height,
        }
    }

    /// The time of the block at that height, as the evidence claims it.
    pub fn time(&self) -> Timestamp {
        match self {
            Evidence::DuplicateVote(evidence) => evidence.timestamp,
            Evidence::LightClientAttack(evidence) => evidence.timestamp,
        }
    }

    /// What tells evidence apart. One attack has one hash, whoever signed which copy of it.
    pub fn hash(&self) -> [u8; 32] {
        match self {
            Evidence::DuplicateVote(evidence) => Sha256::digest(evidence.encode()).into(),
            Evidence::LightClientAttack(evidence) => evidence.hash(),
        }
    }

    /// The rules that evidence must keep by itself (`ValidateBasic` of CometBFT v0.38).
    pub fn validate_basic(&self) -> Result<(), Invalid> {
        match self {
            Evidence::DuplicateVote(evidence) => evidence.validate_basic(),
            Evidence::LightClientAttack(evidence) => evidence.validate_basic(),
        }
    }

    /// What the application is told, one entry for each offender.
    pub fn misbehaviours(&self) -> Vec<Misbehaviour> {
        let told = |kind, validator_address, validator_power, total_voting_power| Misbehaviour {
            kind,
            validator_address,
            validator_power,
            height: self.height(),
            time: self.time(),
            total_voting_power,
        };
        match self {
            Evidence::DuplicateVote(e) => {
                let offender = e.vote_a.validator_address;
                let kind = MisbehaviourKind::DuplicateVote;
                vec![told(
                    kind,
                    offender,
                    e.validator_power,
                    e.total_voting_power,
                )]
            }
            Evidence::LightClientAttack(e) => {
                let kind = MisbehaviourKind::LightClientAttack;
                let offenders = e.byzantine_validators.iter();
                offenders
                    .map(|v| told(kind, v.address, v.voting_power, e.total_voting_power))
                    .collect()
            }
        }
    }

    /// The bytes that the list's hash covers: the evidence itself, not the choice around it.
    fn leaf(&self) -> Vec<u8> {
        match self {
            Evidence::DuplicateVote(evidence) => evidence.encode(),
            Evidence::LightClientAttack(evidence) => evidence.encode(),
        }
    }
}

impl DuplicateVoteEvidence {
    /// Evidence from two votes, in either order. `block_time` and `validators` are those of the
    /// votes' height. None if the voter is not in that set.
    pub fn new(
        one: Vote,
        other: Vote,
        block_time: Timestamp,
        validators: &ValidatorSet,
    ) -> Option<Self> {
        let (_, validator) = validators.by_address(&one.validator_address)?;
        let in_order = one.block_id.key() < other.block_id.key();
        let (vote_a, vote_b) = if in_order { (one, other) } else { (other, one) };
        Some(DuplicateVoteEvidence {
            vote_a,
            vote_b,
            total_voting_power: validators.total_voting_power(),
            validator_power: validator.voting_power,
            timestamp: block_time,
        })
    }

    fn validate_basic(&self) -> Result<(), Invalid> {
        self.vote_a.validate_basic()?;
        self.vote_b.validate_basic()?;
        let in_order = self.vote_a.block_id.key() < self.vote_b.block_id.key();
        ensure(
            in_order,
            "the votes of an equivocation are not in the order of their blocks",
        )
    }
}

impl LightClientAttackEvidence {
    /// Hash of the false header and the common height. Like CometBFT's, it leaves out the last
    /// byte of the header's hash.
    fn hash(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        let header = self.conflicting_block.signed_header.header.hash();
        if let Some(hash) = header.bytes() {
            bytes[..31].copy_from_slice(&hash[..31]);
        }
        Sha256::new()
            .chain_update(bytes)
            .chain_update(zigzag(self.common_height))
            .finalize()
            .into()
    }

    /// Whether the false header could not have come from the state that `trusted` came from. If it
    /// could, validators signed two valid blocks; if not, they made one up (a lunatic attack).
    pub fn header_is_made_up(&self, trusted: &super::Header) -> bool {
        let claimed = &self.conflicting_block.signed_header.header;
        trusted.validators_hash != claimed.validators_hash
            || trusted.next_validators_hash != claimed.next_validators_hash
            || trusted.consensus_hash != claimed.consensus_hash
            || trusted.app_hash != claimed.app_hash
            || trusted.last_results_hash != claimed.last_results_hash
    }

    /// Who can be blamed: for a made-up header, the members of the common set who signed it; for
    /// an equivocation, who signed both blocks in one round; for an amnesia attack (the rounds
    /// differ), nobody, since the innocent cannot be told from the guilty.
    pub fn blamed(&self, common: &ValidatorSet, trusted: &SignedHeader) -> Vec<Validator> {
        let conflicting = &self.conflicting_block;
        let commit = &conflicting.signed_header.commit;
        let signed = |entry: &CommitSig| match entry {
            CommitSig::Commit(cast) => Some(cast.validator_address),
            CommitSig::Absent | CommitSig::Nil(_) => None,
        };
        let member = |set: &ValidatorSet, address| set.by_address(&address).map(|(_, v)| v.clone());
        let mut blamed: Vec<_> = if self.header_is_made_up(&trusted.header) {
            let signers = commit.signatures.iter().filter_map(signed);
            signers
                .filter_map(|address| member(common, address))
                .collect()
        } else if trusted.commit.round == commit.round {
            let both = commit.signatures.iter().zip(&trusted.commit.signatures);
            let both = both.filter(|(_, own)| signed(own).is_some());
            let signers = both.filter_map(|(entry, _)| signed(entry));
            signers
                .filter_map(|address| member(&conflicting.validator_set, address))
                .collect()
        } else {
            Vec::new()
        };
        blamed.sort_by(|a, b| {
            b.voting_power
                .cmp(&a.voting_power)
                .then_with(|| a.address.cmp(&b.address))
        });
        blamed
    }

    fn validate_basic(&self) -> Result<(), Invalid> {
        let header = &self.conflicting_block.signed_header.header;
        ensure(
            self.total_voting_power > 0,
            "evidence of an attack has no voting power",
        )?;
        ensure(
            self.common_height > 0,
            "evidence of an attack has common height 0",
        )?;
        let before = self.common_height <= header.height;
        ensure(before, "an attack's common height is above its block")?;
        self.conflicting_block.validate_basic(&header.chain_id)
    }
}

impl EvidenceList {
    /// Merkle root over the evidence.
    pub fn hash(&self) -> Digest {
        let leaves: Vec<_> = self.0.iter().map(Evidence::leaf).collect();
        Digest::new(merkle::root(&leaves))
    }
}

/// Go's `binary.PutVarint`.
fn zigzag(height: u64) -> Vec<u8> {
    let mut value = height << 1;
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

#[derive(Serialize, Deserialize)]
struct JsonEvidenceList {
    #[serde(deserialize_with = "json::or_null::deserialize")]
    evidence: Vec<Evidence>,
}

impl From<JsonEvidenceList> for EvidenceList {
    fn from(json: JsonEvidenceList) -> Self {
        EvidenceList(json.evidence)
    }
}

impl From<EvidenceList> for JsonEvidenceList {
    fn from(list: EvidenceList) -> Self {
        JsonEvidenceList { evidence: list.0 }
    }
}
