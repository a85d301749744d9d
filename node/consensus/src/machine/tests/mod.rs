//! Tests of the machine: one validator of four, the other three played by the test.

mod bounds;
mod commit;
mod crash;
mod equivocation;
mod lock;
mod pull;
mod rounds;
mod sign_state;
mod timing;
mod valid;
mod wire;

use super::*;
use crate::files::{Decision, Refusal, SignState};
use crate::proto::Message as _;
use crate::state::{ChainState, results_hash};
use crate::types::{
    AppHash, Block, Commit, ConsensusParams, EvidenceList, PartSet, Proposal, ValidatorUpdate,
    Vote, VoteType,
};
use welkin_runtime::crypto::SigningKey;

const CHAIN_ID: &str = "bench";
const VALIDATORS: u8 = 4;

/// A block with its name and parts.
#[derive(Clone)]
struct Made {
    block: Block,
    id: BlockId,
    parts: PartSet,
}

/// A machine under test, with the keys of all four validators.
struct Bench {
    machine: Machine,
    keys: Vec<SigningKey>,
    chain: ChainState,
    signer: SignState,
    now: Timestamp,
    /// Place of the machine's validator in the set.
    own: u32,
    effects: Vec<Effect>,
    /// Everything that was written to the WAL.
    wal: Vec<Vec<u8>>,
    /// Whether blocks are found valid as soon as that is asked; else the test answers.
    validates: bool,
}

impl Bench {
    /// A machine whose turn to propose is in round `turn`, before its first height starts.
    fn sleeping(turn: u32) -> Self {
        let seeds = (1..=VALIDATORS).map(|seed| SigningKey::from_seed(&[seed; 32]));
        let seeds: Vec<_> = seeds.collect();
        let members: Vec<_> = seeds
            .iter()
            .map(|key| ValidatorUpdate {
                public_key: PublicKey(key.public_key()),
                power: 10,
            })
            .collect();
        let validators = crate::types::ValidatorSet::new(&members).unwrap();
        let mut next_validators = validators.clone();
        next_validators.increment_proposer_priority(1);
        let keys = validators.validators().iter().map(|validator| {
            let is_its = |key: &&SigningKey| key.public_key() == validator.public_key.0;
            seeds.iter().find(is_its).unwrap().clone()
        });
        let keys: Vec<_> = keys.collect();
        let genesis = Timestamp {
            seconds: 1_000_000,
            nanos: 0,
        };
        let chain = ChainState {
            chain_id: CHAIN_ID.into(),
            initial_height: 1,
            last_height: 0,
            last_block_id: BlockId::NIL,
            last_block_time: genesis,
            last_validators: None,
            validators,
            next_validators,
            consensus_params: ConsensusParams::default(),
            app_hash: AppHash(vec![1; 32]),
            last_results_hash: results_hash(&[]),
        };
        let proposer = chain.validators.at_round(turn).proposer().address;
        let (own, _) = chain.validators.by_address(&proposer).unwrap();
        let machine = Machine::new(
            Config::new(CHAIN_ID),
            Some(proposer),
            Start::after(&chain, Commit::default()),
        );
        Bench {
            machine,
            keys,
            chain,
            signer: SignState::default(),
            now: genesis.plus_nanos(1_000_000_000),
            own,
            effects: Vec::new(),
            wal: Vec::new(),
            validates: true,
        }
    }

    /// The same, woken: round 0 has started and its block is due.
    fn new(turn: u32) -> Self {
        let mut bench = Bench::sleeping(turn);
        bench.wake();
        bench
    }

    /// A machine that does not propose in the first three rounds.
    fn following() -> Self {
        Bench::new(3)
    }

    fn wake(&mut self) {
        let mut effects = Vec::new();
        self.machine.resume(self.now, &mut effects);
        self.perform(effects);
    }

    /// Handles an input, and signs and validates what is asked for.
    fn handle(&mut self, input: Input) -> Verdict {
        let mut effects = Vec::new();
        let verdict = self.machine.handle(input, self.now, &mut effects);
        self.perform(effects);
        verdict
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            self.effects.push(effect.clone());
            match effect {
                Effect::Persist(record) => self.wal.push(record),
                Effect::Sign(request) => self.sign(&request),
                Effect::Validate {
                    height, block_id, ..
                } if self.validates => {
                    self.handle(Input::Validated {
                        height,
                        block_id,
                        valid: true,
                    });
                }
                _ => {}
            }
        }
    }

    fn sign(&mut self, request: &SignRequest) {
        let signed = match request.decide(&self.signer, CHAIN_ID) {
            Ok(Decision::Sign) => {
                let key = &self.keys[self.own as usize];
                let signature = Signature(key.sign(&request.sign_bytes(CHAIN_ID)));
                self.signer = request.state_after(CHAIN_ID, signature);
                request.signed(signature)
            }
            Ok(Decision::Reuse {
                signature,
                timestamp,
            }) => request.signed_before(signature, timestamp),
            Err(why) => panic!("the signer refused {request:?}: {why}"),
        };
        self.handle(Input::Signed(signed));
    }

    /// A block with one transaction.
    fn block(&self, tx: &str) -> Made {
        self.block_with(vec![tx.as_bytes().to_vec()], Commit::default())
    }

    fn block_with(&self, txs: Vec<Vec<u8>>, last_commit: Commit) -> Made {
        let proposer = self.chain.validators.proposer().address;
        let block = self
            .chain
            .make_block(txs, EvidenceList::default(), last_commit, proposer);
        let parts = block.part_set();
        Made {
            id: block.id(&parts),
            block,
            parts,
        }
    }

    fn height(&self) -> u64 {
        self.chain.next_height()
    }

    fn key_of(&self, address: ValidatorAddress) -> &SigningKey {
        let (index, _) = self.chain.validators.by_address(&address).unwrap();
        &self.keys[index as usize]
    }

    /// The proposal of this round's proposer.
    fn proposal(&self, round: u32, made: &Made, pol_round: Option<u32>) -> Proposal {
        let proposer = self.chain.validators.at_round(round).proposer().address;
        let (height, timestamp) = (self.height(), self.now);
        let block_id = made.id;
        let mut proposal = Proposal {
            height,
            round,
            pol_round,
            block_id,
            timestamp,
            signature: None,
        };
        let bytes = proposal.sign_bytes(CHAIN_ID);
        proposal.signature = Some(Signature(self.key_of(proposer).sign(&bytes)));
        proposal
    }

    fn gossip(&mut self, message: Gossip) -> Verdict {
        self.handle(Input::Message {
            from: Peer(1),
            message,
        })
    }

    fn parts(&self, made: &Made) -> Vec<Gossip> {
        let (height, header) = (self.height(), made.parts.header());
        let parts = made.parts.parts().cloned();
        parts
            .map(|part| {
                Gossip::Part(BlockPart {
                    height,
                    header,
                    part,
                })
            })
            .collect()
    }

    fn send_parts(&mut self, made: &Made) {
        for part in self.parts(made) {
            self.gossip(part);
        }
    }

    /// The proposal and its parts arrive.
    fn propose(&mut self, round: u32, made: &Made, pol_round: Option<u32>) {
        let proposal = self.proposal(round, made, pol_round);
        self.gossip(Gossip::Proposal(proposal));
        self.send_parts(made);
    }

    /// The places of the other validators.
    fn others(&self) -> Vec<u32> {
        (0..u32::from(VALIDATORS))
            .filter(|index| *index != self.own)
            .collect()
    }

    fn vote(&self, index: u32, vote_type: VoteType, round: u32, block_id: BlockId) -> Vote {
        let vote = Vote {
            vote_type,
            height: self.height(),
            round,
            block_id,
            timestamp: self.now,
            validator_address: self.chain.validators.get(index).unwrap().address,
            validator_index: index,
            signature: None,
        };
        self.signed(vote)
    }

    fn signed(&self, vote: Vote) -> Vote {
        let key = &self.keys[vote.validator_index as usize];
        let signature = Signature(key.sign(&vote.sign_bytes(CHAIN_ID)));
        Vote {
            signature: Some(signature),
            ..vote
        }
    }

    /// So many of the other validators vote.
    fn votes(&mut self, count: usize, vote_type: VoteType, round: u32, block_id: BlockId) {
        for index in self.others().into_iter().take(count) {
            let vote = self.vote(index, vote_type, round, block_id);
            self.gossip(Gossip::Vote(vote));
        }
    }

    fn prevotes(&mut self, count: usize, round: u32, block_id: BlockId) {
        self.votes(count, VoteType::Prevote, round, block_id);
    }

    fn precommits(&mut self, count: usize, round: u32, block_id: BlockId) {
        self.votes(count, VoteType::Precommit, round, block_id);
    }

    fn certificate(&self, vote_type: VoteType, round: u32, block_id: BlockId) -> Certificate {
        let votes = self.others().into_iter().map(|index| {
            let vote = self.vote(index, vote_type, round, block_id);
            let (timestamp, signature) = (vote.timestamp, vote.signature.unwrap());
            Entry {
                validator_index: index,
                timestamp,
                signature,
            }
        });
        let (height, entries) = (self.height(), votes.collect());
        Certificate {
            vote_type,
            height,
            round,
            block_id,
            entries,
        }
    }

    fn timeout(&mut self, kind: TimeoutKind) -> Verdict {
        self.timeout_of(kind, self.machine.round())
    }

    fn timeout_of(&mut self, kind: TimeoutKind, round: u32) -> Verdict {
        let height = self.machine.height();
        self.handle(Input::Timeout(Timeout {
            height,
            round,
            kind,
        }))
    }

    /// Three precommits for nil and the wait after them: the next round starts.
    fn next_round(&mut self) {
        let round = self.machine.round();
        if self.machine.step() == Step::Propose {
            self.timeout(TimeoutKind::Propose);
        }
        if self.machine.step() == Step::Prevote {
            self.timeout(TimeoutKind::Prevote);
        }
        self.precommits(2, round, BlockId::NIL);
        self.timeout(TimeoutKind::Precommit);
        assert_eq!(self.machine.round(), round + 1);
    }

    /// What the machine itself voted in a round.
    fn cast(&self, vote_type: VoteType, round: u32) -> Option<BlockId> {
        self.own_votes().find_map(|vote| {
            (vote.vote_type == vote_type && vote.round == round).then_some(vote.block_id)
        })
    }

    fn own_votes(&self) -> impl Iterator<Item = &Vote> {
        self.effects.iter().filter_map(|effect| match effect {
            Effect::Broadcast(Gossip::Vote(vote)) if vote.validator_index == self.own => Some(vote),
            _ => None,
        })
    }

    fn prevote(&self, round: u32) -> Option<BlockId> {
        self.cast(VoteType::Prevote, round)
    }

    fn precommit(&self, round: u32) -> Option<BlockId> {
        self.cast(VoteType::Precommit, round)
    }

    /// The proposals that the machine made.
    fn own_proposals(&self) -> Vec<&Proposal> {
        let proposals = self.effects.iter().filter_map(|effect| match effect {
            Effect::Broadcast(Gossip::Proposal(proposal)) => Some(proposal),
            _ => None,
        });
        proposals.collect()
    }

    fn decided(&self) -> Option<&Decided> {
        self.effects.iter().find_map(|effect| match effect {
            Effect::Commit(decided) => Some(&**decided),
            _ => None,
        })
    }

    fn request(&self) -> Option<&ValueRequest> {
        self.effects.iter().rev().find_map(|effect| match effect {
            Effect::RequestValue(request) => Some(request),
            _ => None,
        })
    }

    fn scheduled(&self, kind: TimeoutKind, round: u32) -> bool {
        self.effects.iter().any(
            |effect| matches!(effect, Effect::Schedule(t, _) if t.kind == kind && t.round == round),
        )
    }

    fn noticed(&self, wanted: &Notice) -> bool {
        self.effects
            .iter()
            .any(|effect| matches!(effect, Effect::Notice(n) if n == wanted))
    }

    /// Applies what was decided, and hands the next height to the machine.
    fn apply(&mut self) {
        let decided = self.decided().expect("a decision").clone();
        let executed = crate::state::Executed {
            app_hash: AppHash(vec![2; 32]),
            results: vec![Default::default(); decided.block.data.txs.len()],
            validator_updates: Vec::new(),
            consensus_params: None,
        };
        self.chain = self
            .chain
            .apply(&decided.block.header, decided.block_id, &executed)
            .unwrap();
        self.effects.clear();
        self.wal.clear();
        let start = Start::after(&self.chain, decided.commit);
        self.handle(Input::Applied(Box::new(start)));
    }

    /// Time passes.
    fn pass_ms(&mut self, ms: u64) {
        self.now = self.now.plus_nanos(i128::from(ms) * 1_000_000);
    }
}
