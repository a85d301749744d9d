//! Random values of every type, as proptest strategies.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use welkin_consensus::types::*;

pub fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest::new)
}

pub fn timestamp() -> impl Strategy<Value = Timestamp> {
    let edges = prop_oneof![Just(0), Just(999_999_999), 0..1_000_000_000i32];
    (0..253_402_300_799i64, edges).prop_map(|(seconds, nanos)| Timestamp { seconds, nanos })
}

pub fn height() -> impl Strategy<Value = u64> {
    prop_oneof![1..300u64, 1..=i64::MAX as u64]
}

pub fn round() -> impl Strategy<Value = u32> {
    prop_oneof![0..3u32, 0..=i32::MAX as u32]
}

pub fn complete_id() -> impl Strategy<Value = BlockId> {
    (digest(), 1..=MAX_PARTS, digest()).prop_map(|(hash, total, parts)| BlockId {
        hash,
        part_set_header: PartSetHeader { total, hash: parts },
    })
}

pub fn block_id() -> impl Strategy<Value = BlockId> {
    prop_oneof![Just(BlockId::NIL), complete_id()]
}

pub fn address() -> impl Strategy<Value = ValidatorAddress> {
    any::<[u8; 20]>().prop_map(ValidatorAddress)
}

pub fn signature() -> impl Strategy<Value = Signature> {
    any::<[u8; 64]>().prop_map(Signature)
}

pub fn chain_id() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9-]{0,40}"
}

pub fn header() -> impl Strategy<Value = Header> {
    let hashes = [(); 7].map(|()| digest());
    let app_hash = vec(any::<u8>(), 0..=64).prop_map(AppHash);
    let first = (
        any::<u64>(),
        chain_id(),
        height(),
        timestamp(),
        complete_id(),
    );
    (first, hashes, app_hash, address()).prop_map(|(first, hashes, app_hash, proposer_address)| {
        let (app, chain_id, height, time, last_block_id) = first;
        let [
            last_commit_hash,
            data_hash,
            validators_hash,
            next,
            consensus_hash,
            results,
            evidence,
        ] = hashes;
        Header {
            version: Version {
                block: BLOCK_PROTOCOL,
                app,
            },
            chain_id,
            height,
            time,
            last_block_id,
            last_commit_hash,
            data_hash,
            validators_hash,
            next_validators_hash: next,
            consensus_hash,
            app_hash,
            last_results_hash: results,
            evidence_hash: evidence,
            proposer_address,
        }
    })
}

pub fn commit_sig() -> impl Strategy<Value = CommitSig> {
    let cast =
        (address(), timestamp(), signature()).prop_map(|(a, timestamp, signature)| CommitVote {
            validator_address: a,
            timestamp,
            signature,
        });
    (0..3u8, cast).prop_map(|(kind, cast)| match kind {
        0 => CommitSig::Absent,
        1 => CommitSig::Commit(cast),
        _ => CommitSig::Nil(cast),
    })
}

pub fn commit() -> impl Strategy<Value = Commit> {
    (height(), round(), complete_id(), vec(commit_sig(), 1..12)).prop_map(
        |(height, round, block_id, signatures)| Commit {
            height,
            round,
            block_id,
            signatures,
        },
    )
}

pub fn vote() -> impl Strategy<Value = Vote> {
    let kind = prop_oneof![Just(VoteType::Prevote), Just(VoteType::Precommit)];
    let index = 0..=i32::MAX as u32;
    (
        kind,
        height(),
        round(),
        block_id(),
        timestamp(),
        address(),
        index,
        signature(),
    )
        .prop_map(
            |(
                vote_type,
                height,
                round,
                block_id,
                timestamp,
                validator_address,
                index,
                signature,
            )| Vote {
                vote_type,
                height,
                round,
                block_id,
                timestamp,
                validator_address,
                validator_index: index,
                signature: Some(signature),
            },
        )
}

pub fn proposal() -> impl Strategy<Value = Proposal> {
    let pol_round = option::of(round());
    (
        height(),
        round(),
        pol_round,
        complete_id(),
        timestamp(),
        signature(),
    )
        .prop_map(
            |(height, round, pol_round, block_id, timestamp, signature)| Proposal {
                height,
                round,
                pol_round,
                block_id,
                timestamp,
                signature: Some(signature),
            },
        )
}

/// Keys that need not be points of the curve.
pub fn validator_set() -> impl Strategy<Value = ValidatorSet> {
    let power = prop_oneof![Just(1u64), 1..5u64, 1..1_000_000_000_000u64];
    (vec((any::<[u8; 32]>(), power), 1..12), 0..20u32).prop_map(|(members, turns)| {
        let members = members.into_iter().map(|(key, power)| ValidatorUpdate {
            public_key: PublicKey(real_key(key)),
            power,
        });
        let mut set = ValidatorSet::new(&members.collect::<Vec<_>>()).unwrap();
        set.increment_proposer_priority(turns);
        set
    })
}

/// The public key that grows from a seed; other programs refuse bytes that are no key.
pub fn real_key(seed: [u8; 32]) -> [u8; 32] {
    welkin_runtime::crypto::SigningKey::from_seed(&seed).public_key()
}

pub fn duplicate_vote() -> impl Strategy<Value = DuplicateVoteEvidence> {
    let power = 1..1_000_000_000u64;
    (vote(), vote(), power.clone(), power, timestamp()).prop_map(
        |(vote_a, vote_b, a, b, timestamp)| DuplicateVoteEvidence {
            vote_a,
            vote_b,
            total_voting_power: a,
            validator_power: b,
            timestamp,
        },
    )
}

pub fn light_block() -> impl Strategy<Value = LightBlock> {
    (header(), commit(), validator_set()).prop_map(|(header, commit, validator_set)| LightBlock {
        signed_header: SignedHeader { header, commit },
        validator_set,
    })
}

pub fn attack() -> impl Strategy<Value = LightClientAttackEvidence> {
    (
        light_block(),
        height(),
        validator_set(),
        1..1_000_000u64,
        timestamp(),
    )
        .prop_map(
            |(conflicting_block, common_height, blamed, total_voting_power, timestamp)| {
                LightClientAttackEvidence {
                    conflicting_block,
                    common_height,
                    byzantine_validators: blamed.validators().to_vec(),
                    total_voting_power,
                    timestamp,
                }
            },
        )
}

pub fn evidence() -> impl Strategy<Value = Evidence> {
    prop_oneof![
        duplicate_vote().prop_map(|evidence| Evidence::DuplicateVote(Box::new(evidence))),
        attack().prop_map(|evidence| Evidence::LightClientAttack(Box::new(evidence))),
    ]
}

pub fn block() -> impl Strategy<Value = Block> {
    let txs = vec(vec(any::<u8>(), 1..200), 0..6);
    (header(), txs, vec(evidence(), 0..3), commit()).prop_map(
        |(header, txs, evidence, last_commit)| Block {
            header,
            data: Data { txs },
            evidence: EvidenceList(evidence),
            last_commit,
        },
    )
}

/// A block that keeps its own rules: hashes match, evidence is in order.
pub fn consistent_block() -> impl Strategy<Value = Block> {
    block().prop_map(|mut block| {
        block
            .evidence
            .0
            .retain(|evidence| matches!(evidence, Evidence::DuplicateVote(_)));
        for evidence in &mut block.evidence.0 {
            let Evidence::DuplicateVote(evidence) = evidence else {
                continue;
            };
            if evidence.vote_a.block_id.key() > evidence.vote_b.block_id.key() {
                std::mem::swap(&mut evidence.vote_a, &mut evidence.vote_b);
            }
        }
        block
            .evidence
            .0
            .retain(|evidence| evidence.validate_basic().is_ok());
        block.header.last_commit_hash = block.last_commit.hash();
        block.header.data_hash = block.data.hash();
        block.header.evidence_hash = block.evidence.hash();
        block
    })
}
