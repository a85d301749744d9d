//! Evidence: of double votes and of attacks on light clients.

#![allow(
    clippy::unwrap_used,
    reason = "the lint does not see that helpers are tests"
)]

mod common;

use common::chain::{CHAIN_ID, Conduct, Step, Validators};
use welkin_consensus::error::VerifyError;
use welkin_consensus::misbehaviour::{Known, Tip, is_expired, verify_evidence};
use welkin_consensus::types::*;

struct Fixture {
    validators: Validators,
    steps: Vec<Step>,
    params: EvidenceParams,
}

impl Fixture {
    /// A chain of five blocks by four validators of power 10.
    fn new() -> Self {
        let validators = Validators::new(4);
        let (mut state, mut commit, mut steps) =
            (validators.state(&[10; 4]), Commit::default(), Vec::new());
        for _ in 0..5 {
            let step = validators.advance(&state, commit, Vec::new());
            (state, commit) = (step.next.clone(), step.commit.clone());
            steps.push(step);
        }
        Fixture {
            validators,
            steps,
            params: ConsensusParams::default().evidence,
        }
    }

    fn signed_header(&self, height: u64) -> SignedHeader {
        self.steps[height as usize - 1].light_block().signed_header
    }

    fn set(&self) -> &ValidatorSet {
        &self.steps[0].next.validators
    }

    fn verify(&self, evidence: &Evidence, trusted: u64) -> Result<(), VerifyError> {
        let tip = Tip {
            chain_id: CHAIN_ID,
            last_height: 5,
            last_time: self.steps[4].block.header.time,
            params: &self.params,
        };
        let common = self.signed_header(evidence.height());
        let trusted = self.signed_header(trusted);
        let known = Known {
            common: &common,
            validators: self.set(),
            trusted: &trusted,
        };
        verify_evidence(evidence, &tip, &known)
    }

    fn double_vote(&self) -> DuplicateVoteEvidence {
        let time = self.steps[1].block.header.time;
        let vote = |block| self.validators.precommit(self.set(), 1, 2, block, time);
        DuplicateVoteEvidence::new(vote(block_id(9)), vote(block_id(3)), time, self.set())
            .expect("the voter is in the set")
    }

    /// A false block at `height`, made from the true one by `change`, signed as `conduct` says.
    fn false_block(&self, height: u64, conduct: &[Conduct], change: fn(&mut Header)) -> LightBlock {
        let mut header = self.signed_header(height).header;
        change(&mut header);
        let id = BlockId {
            hash: header.hash(),
            ..block_id(5)
        };
        let commit = self
            .validators
            .commit(self.set(), header.height, id, header.time, conduct);
        LightBlock {
            signed_header: SignedHeader { header, commit },
            validator_set: self.set().clone(),
        }
    }

    fn attack(&self, block: LightBlock, common: u64, trusted: u64) -> LightClientAttackEvidence {
        let mut evidence = LightClientAttackEvidence {
            conflicting_block: block,
            common_height: common,
            byzantine_validators: Vec::new(),
            total_voting_power: self.set().total_voting_power(),
            timestamp: self.signed_header(common).header.time,
        };
        evidence.byzantine_validators = evidence.blamed(self.set(), &self.signed_header(trusted));
        evidence
    }

    fn verify_attack(
        &self,
        evidence: &LightClientAttackEvidence,
        trusted: u64,
    ) -> Result<(), VerifyError> {
        self.verify(
            &Evidence::LightClientAttack(Box::new(evidence.clone())),
            trusted,
        )
    }
}

fn block_id(byte: u8) -> BlockId {
    let hash = Digest::new([byte; 32]);
    BlockId {
        hash,
        part_set_header: PartSetHeader { total: 1, hash },
    }
}

#[test]
fn a_double_vote_is_evidence_whichever_way_it_was_seen() {
    let fixture = Fixture::new();
    let evidence = fixture.double_vote();
    assert_eq!(
        evidence.vote_a.block_id,
        block_id(3),
        "the smaller block id comes first"
    );
    let wrapped = Evidence::DuplicateVote(Box::new(evidence.clone()));
    assert_eq!(fixture.verify(&wrapped, 2), Ok(()));
    let told = wrapped.misbehaviours();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].kind, MisbehaviourKind::DuplicateVote);
    assert_eq!(told[0].validator_address, evidence.vote_a.validator_address);
    assert_eq!(
        (
            told[0].validator_power,
            told[0].total_voting_power,
            told[0].height
        ),
        (10, 40, 2)
    );
}

#[test]
fn false_evidence_of_a_double_vote_is_refused() {
    let fixture = Fixture::new();
    type Change = (&'static str, fn(&Fixture, &mut DuplicateVoteEvidence));
    let changes: [Change; 11] = [
        ("another height", |f, e| {
            e.vote_b.height = 3;
            f.validators.sign(&mut e.vote_b);
        }),
        ("another round", |f, e| {
            e.vote_b.round = 1;
            f.validators.sign(&mut e.vote_b);
        }),
        ("another type", |f, e| {
            e.vote_b.vote_type = VoteType::Prevote;
            f.validators.sign(&mut e.vote_b);
        }),
        ("another voter", |f, e| {
            e.vote_b.validator_address = f.set().get(2).unwrap().address;
            f.validators.sign(&mut e.vote_b);
        }),
        ("the same block", |_, e| e.vote_b = e.vote_a.clone()),
        ("the wrong order", |_, e| {
            std::mem::swap(&mut e.vote_a, &mut e.vote_b)
        }),
        ("a forged signature", |_, e| {
            e.vote_b.signature = e.vote_a.signature
        }),
        ("no signature", |_, e| e.vote_b.signature = None),
        ("another power", |_, e| e.validator_power = 11),
        ("another total", |_, e| e.total_voting_power = 41),
        ("another time", |_, e| e.timestamp.nanos += 1),
    ];
    for (what, change) in changes {
        let mut evidence = fixture.double_vote();
        change(&fixture, &mut evidence);
        let evidence = Evidence::DuplicateVote(Box::new(evidence));
        assert!(fixture.verify(&evidence, 2).is_err(), "{what} was accepted");
    }
}

#[test]
fn evidence_expires_only_when_old_in_blocks_and_in_time() {
    let params = EvidenceParams {
        max_age_num_blocks: 10,
        max_age_duration_ns: 1_000,
        max_bytes: 1,
    };
    let time = |nanos| Timestamp { seconds: 0, nanos };
    let expired = |height, nanos| {
        let tip = Tip {
            chain_id: CHAIN_ID,
            last_height: 100,
            last_time: time(5_000),
            params: &params,
        };
        is_expired(height, time(nanos), &tip)
    };
    assert!(!expired(90, 4_000));
    assert!(!expired(1, 4_000), "old in blocks only");
    assert!(!expired(90, 0), "old in time only");
    assert!(
        !expired(89, 4_000) && !expired(90, 3_999),
        "exactly at one limit"
    );
    assert!(expired(89, 3_999), "past both limits");
    assert!(!expired(u64::MAX, 0), "from the future");
}

#[test]
fn a_made_up_header_blames_whoever_signed_it() {
    let fixture = Fixture::new();
    let conduct = [
        Conduct::Commit,
        Conduct::Commit,
        Conduct::Commit,
        Conduct::Absent,
    ];
    let block = fixture.false_block(4, &conduct, |header| header.app_hash = AppHash(vec![6; 32]));
    let evidence = fixture.attack(block, 2, 4);
    assert_eq!(evidence.byzantine_validators.len(), 3);
    assert_eq!(fixture.verify_attack(&evidence, 4), Ok(()));
    let wrapped = Evidence::LightClientAttack(Box::new(evidence.clone()));
    assert_eq!(wrapped.misbehaviours().len(), 3);

    let mut other_signers = evidence.clone();
    let everybody = [Conduct::Commit; 4];
    other_signers.conflicting_block = fixture.false_block(4, &everybody, |header| {
        header.app_hash = AppHash(vec![6; 32])
    });
    let other = Evidence::LightClientAttack(Box::new(other_signers));
    assert_eq!(wrapped.hash(), other.hash(), "one attack, one hash");
    assert!(fixture.verify(&other, 4).is_err(), "it blames too few");
}

#[test]
fn an_equivocation_blames_whoever_signed_both_blocks() {
    let fixture = Fixture::new();
    let conduct = [
        Conduct::Commit,
        Conduct::Nil,
        Conduct::Commit,
        Conduct::Commit,
    ];
    let block = fixture.false_block(4, &conduct, |header| {
        header.data_hash = Digest::new([1; 32])
    });
    let evidence = fixture.attack(block, 4, 4);
    assert_eq!(evidence.byzantine_validators.len(), 3);
    assert_eq!(fixture.verify_attack(&evidence, 4), Ok(()));
}

#[test]
fn an_amnesia_attack_blames_nobody() {
    let fixture = Fixture::new();
    let change = |header: &mut Header| header.data_hash = Digest::new([1; 32]);
    let mut block = fixture.false_block(4, &[Conduct::Commit; 4], change);
    let commit = &mut block.signed_header.commit;
    commit.round = 1;
    for index in 0..4u32 {
        let mut vote = commit.vote(index).unwrap();
        fixture.validators.sign(&mut vote);
        commit.signatures[index as usize] = CommitSig::of_vote(&vote, &commit.block_id);
    }
    let evidence = fixture.attack(block, 4, 4);
    assert!(evidence.byzantine_validators.is_empty());
    assert_eq!(fixture.verify_attack(&evidence, 4), Ok(()));
}

/// GHSA-jqfc-687g-59pw: a made-up header from above the tip, whose time has already passed.
#[test]
fn a_forward_lunatic_attack_is_evidence_once_its_time_has_passed() {
    let fixture = Fixture::new();
    let early = fixture.false_block(5, &[Conduct::Commit; 4], |header| {
        header.height = 9;
        header.app_hash = AppHash(vec![6; 32]);
    });
    let evidence = fixture.attack(early, 2, 5);
    assert_eq!(fixture.verify_attack(&evidence, 5), Ok(()));
    let late = fixture.false_block(5, &[Conduct::Commit; 4], |header| {
        header.height = 9;
        header.app_hash = AppHash(vec![6; 32]);
        header.time.seconds += 1;
    });
    let evidence = fixture.attack(late, 2, 5);
    assert!(fixture.verify_attack(&evidence, 5).is_err());
}

#[test]
fn false_evidence_of_an_attack_is_refused() {
    let fixture = Fixture::new();
    let made_up = |header: &mut Header| header.app_hash = AppHash(vec![6; 32]);
    let genuine = fixture.attack(fixture.false_block(4, &[Conduct::Commit; 4], made_up), 2, 4);
    assert_eq!(fixture.verify_attack(&genuine, 4), Ok(()));
    type Change = (&'static str, fn(&mut LightClientAttackEvidence));
    let changes: [Change; 8] = [
        ("another total", |e| e.total_voting_power += 1),
        ("another time", |e| e.timestamp.seconds += 1),
        ("a common height above the block", |e| e.common_height = 5),
        ("no height in common", |e| e.common_height = 4),
        ("too few blamed", |e| e.byzantine_validators.truncate(1)),
        ("another power", |e| {
            e.byzantine_validators[0].voting_power += 1
        }),
        ("a forged signature", |e| {
            let entry = &mut e.conflicting_block.signed_header.commit.signatures[3];
            if let CommitSig::Commit(cast) = entry {
                cast.signature.0[0] ^= 1;
            }
        }),
        ("another header", |e| {
            e.conflicting_block.signed_header.header.time.nanos += 1
        }),
    ];
    for (what, change) in changes {
        let mut evidence = genuine.clone();
        change(&mut evidence);
        assert!(
            fixture.verify_attack(&evidence, 4).is_err(),
            "{what} was accepted"
        );
    }
    let own = fixture.attack(fixture.steps[3].light_block(), 2, 4);
    assert!(
        fixture.verify_attack(&own, 4).is_err(),
        "the chain's own block was accepted"
    );
    let two = [
        Conduct::Commit,
        Conduct::Commit,
        Conduct::Absent,
        Conduct::Absent,
    ];
    let weak = fixture.attack(fixture.false_block(4, &two, made_up), 2, 4);
    assert!(
        fixture.verify_attack(&weak, 4).is_err(),
        "half of the power was accepted"
    );
}
