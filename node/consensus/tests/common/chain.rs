//! A chain of validators who can sign, honestly or not.

use welkin_consensus::state::{ChainState, Executed, TxOutcome};
use welkin_consensus::types::*;
use welkin_runtime::crypto::SigningKey;

pub const CHAIN_ID: &str = "test-chain";

/// Validators whose keys grow from their numbers.
pub struct Validators {
    keys: Vec<SigningKey>,
}

impl Validators {
    pub fn new(count: u8) -> Self {
        Validators {
            keys: (0..count)
                .map(|number| SigningKey::from_seed(&[number + 1; 32]))
                .collect(),
        }
    }

    pub fn genesis(&self, powers: &[u64]) -> Genesis {
        let members = self.keys.iter().zip(powers).enumerate();
        Genesis {
            genesis_time: "2024-01-01T00:00:00Z".parse().unwrap(),
            chain_id: CHAIN_ID.to_owned(),
            initial_height: 1,
            consensus_params: ConsensusParams::default(),
            validators: members
                .map(|(number, (key, power))| member(key, *power, number))
                .collect(),
            app_hash: AppHash::default(),
            app_state: serde_json::Value::Null,
        }
    }

    pub fn state(&self, powers: &[u64]) -> ChainState {
        ChainState::from_genesis(&self.genesis(powers), AppHash(vec![7; 32])).unwrap()
    }

    pub fn update(&self, number: usize, power: u64) -> ValidatorUpdate {
        ValidatorUpdate {
            public_key: PublicKey(self.keys[number].public_key()),
            power,
        }
    }

    pub fn key_of(&self, address: &ValidatorAddress) -> &SigningKey {
        let mut keys = self.keys.iter();
        keys.find(|key| PublicKey(key.public_key()).address() == *address)
            .unwrap()
    }

    pub fn sign(&self, vote: &mut Vote) {
        let key = self.key_of(&vote.validator_address);
        vote.signature = Some(Signature(key.sign(&vote.sign_bytes(CHAIN_ID))));
    }

    /// A precommit of the member of `set` at `index`.
    pub fn precommit(
        &self,
        set: &ValidatorSet,
        index: u32,
        height: u64,
        block_id: BlockId,
        time: Timestamp,
    ) -> Vote {
        let mut vote = Vote {
            vote_type: VoteType::Precommit,
            height,
            round: 0,
            block_id,
            timestamp: time,
            validator_address: set.get(index).unwrap().address,
            validator_index: index,
            signature: None,
        };
        self.sign(&mut vote);
        vote
    }

    /// A commit in which every member does as `conduct` says: vote for the block, for nil, or be
    /// absent, each a second after the one before.
    pub fn commit(
        &self,
        set: &ValidatorSet,
        height: u64,
        block_id: BlockId,
        time: Timestamp,
        conduct: &[Conduct],
    ) -> Commit {
        let entries = (0..).zip(conduct).map(|(index, conduct)| {
            let voted = match conduct {
                Conduct::Absent => return CommitSig::Absent,
                Conduct::Commit => block_id,
                Conduct::Nil => BlockId::NIL,
            };
            let time = time.plus_nanos(i128::from(index) * 1_000_000_000);
            CommitSig::of_vote(&self.precommit(set, index, height, voted, time), &block_id)
        });
        Commit {
            height,
            round: 0,
            block_id,
            signatures: entries.collect(),
        }
    }

    /// Makes the next block, lets everybody sign it, and moves on.
    pub fn advance(
        &self,
        state: &ChainState,
        last_commit: Commit,
        updates: Vec<ValidatorUpdate>,
    ) -> Step {
        let proposer = state.validators.proposer().address;
        let txs = vec![state.next_height().to_be_bytes().to_vec()];
        let block = state.make_block(txs, EvidenceList::default(), last_commit, proposer);
        let id = block.id(&block.part_set());
        let executed = Executed {
            app_hash: AppHash(vec![block.header.height as u8; 32]),
            results: vec![TxOutcome {
                code: 1,
                data: vec![2],
                gas_wanted: 3,
                gas_used: 4,
            }],
            validator_updates: updates,
            consensus_params: None,
        };
        let next = state.apply(&block.header, id, &executed).unwrap();
        let time = block.header.time.plus_nanos(1_000_000_000);
        let everybody = vec![Conduct::Commit; state.validators.len()];
        let commit = self.commit(&state.validators, block.header.height, id, time, &everybody);
        Step {
            block,
            id,
            commit,
            next,
        }
    }
}

/// What a validator does in the deciding round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    Absent,
    Commit,
    Nil,
}

/// One height of a chain.
pub struct Step {
    pub block: Block,
    pub id: BlockId,
    pub commit: Commit,
    pub next: ChainState,
}

impl Step {
    pub fn light_block(&self) -> LightBlock {
        LightBlock {
            signed_header: SignedHeader {
                header: self.block.header.clone(),
                commit: self.commit.clone(),
            },
            validator_set: self.next.last_validators.clone().unwrap(),
        }
    }
}

fn member(key: &SigningKey, power: u64, number: usize) -> GenesisValidator {
    let public_key = PublicKey(key.public_key());
    GenesisValidator {
        address: public_key.address(),
        public_key,
        power,
        name: format!("v{number}"),
    }
}

pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    welkin_runtime::crypto::sha256(bytes).0
}
