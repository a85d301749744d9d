//! Our encodings, hashes, sign bytes and JSON against those of the `tendermint` and
//! `tendermint-proto` crates, on random values: they read our bytes, write the same bytes, compute
//! the same hashes, and read the JSON that we print.

#![allow(
    clippy::unwrap_used,
    reason = "the lint does not see that helpers are tests"
)]

mod common;

use common::random;
use proptest::prelude::*;
use tendermint_proto::Protobuf;
use tendermint_proto::v0_38::{crypto, types as raw};
use welkin_consensus::merkle;
use welkin_consensus::types::*;

/// A generated message of `tendermint-proto`, which offers its codec only to types that wrap one.
#[derive(Clone)]
struct Raw<R>(R);

macro_rules! raw_messages {
    ($($message:ty),*) => { $(
        impl Protobuf<$message> for Raw<$message> {}
        impl From<$message> for Raw<$message> {
            fn from(message: $message) -> Self { Raw(message) }
        }
        impl From<Raw<$message>> for $message {
            fn from(Raw(message): Raw<$message>) -> Self { message }
        }
    )* };
}

raw_messages!(
    raw::Block,
    raw::Commit,
    raw::CommitSig,
    raw::ConsensusParams,
    raw::Data,
    raw::Evidence,
    raw::EvidenceList,
    raw::Header,
    raw::LightBlock,
    raw::Part,
    raw::Proposal,
    raw::ValidatorSet,
    raw::Vote,
    crypto::Proof
);

/// Passes our bytes through their reader and writer, and returns what they read.
macro_rules! through {
    ($value:expr, $theirs:ty, $message:ty) => {{
        let bytes = $value.encode();
        let read = <$theirs as Protobuf<$message>>::decode_vec(&bytes).unwrap();
        let written = <$theirs as Protobuf<$message>>::encode_vec(read.clone());
        prop_assert_eq!(hex::encode(&written), hex::encode(&bytes));
        read
    }};
}

/// Passes our bytes through their generated message, and checks that we read our own.
macro_rules! same_bytes {
    ($value:expr, $ours:ty, $message:ty) => {{
        let _ = through!($value, Raw<$message>, $message);
        prop_assert_eq!(&<$ours>::decode(&$value.encode()).unwrap(), &$value);
    }};
}

fn hash_of(theirs: tendermint::Hash) -> Digest {
    Digest::from_slice(theirs.as_bytes()).unwrap()
}

proptest! {
    #![proptest_config(common::config(64))]

    #[test]
    fn every_message_has_the_bytes_that_prost_writes(
        block in random::block(),
        light_block in random::light_block(),
        proposal in random::proposal(),
        vote in random::vote(),
    ) {
        same_bytes!(block, Block, raw::Block);
        same_bytes!(block.header, Header, raw::Header);
        same_bytes!(block.data, Data, raw::Data);
        same_bytes!(block.evidence, EvidenceList, raw::EvidenceList);
        same_bytes!(block.last_commit, Commit, raw::Commit);
        for entry in &block.last_commit.signatures {
            same_bytes!(*entry, CommitSig, raw::CommitSig);
        }
        for evidence in &block.evidence.0 {
            same_bytes!(*evidence, Evidence, raw::Evidence);
        }
        same_bytes!(light_block, LightBlock, raw::LightBlock);
        same_bytes!(light_block.validator_set, ValidatorSet, raw::ValidatorSet);
        same_bytes!(proposal, Proposal, raw::Proposal);
        same_bytes!(vote, Vote, raw::Vote);
    }

    #[test]
    fn consensus_params_have_the_bytes_that_prost_writes(
        numbers in any::<[i64; 4]>(),
        age in 0..i64::MAX,
        app in any::<u64>(),
    ) {
        let mut params = ConsensusParams::default();
        params.block.max_bytes = numbers[0];
        params.block.max_gas = numbers[1];
        params.evidence.max_age_num_blocks = numbers[2];
        params.evidence.max_bytes = numbers[3];
        params.evidence.max_age_duration_ns = age;
        params.version.app = app;
        same_bytes!(params, ConsensusParams, raw::ConsensusParams);
    }

    #[test]
    fn headers_have_the_same_hash_and_json(header in random::header()) {
        prop_assume!(header.height > 1);
        let theirs = through!(header, tendermint::block::Header, raw::Header);
        prop_assert_eq!(hash_of(theirs.hash()), header.hash());
        let json = serde_json::to_value(&header).unwrap();
        let from_json: tendermint::block::Header = serde_json::from_value(json.clone()).unwrap();
        prop_assert_eq!(&from_json, &theirs);
        prop_assert_eq!(serde_json::from_value::<Header>(json).unwrap(), header);
    }

    #[test]
    fn votes_have_the_same_sign_bytes(vote in random::vote(), chain_id in random::chain_id()) {
        // Only read: their writer leaves out the block id of a vote for nil, CometBFT's does not.
        let theirs = <tendermint::Vote as Protobuf<raw::Vote>>::decode_vec(&vote.encode()).unwrap();
        let expected = theirs.into_signable_vec(chain_id.parse().unwrap());
        prop_assert_eq!(hex::encode(vote.sign_bytes(&chain_id)), hex::encode(expected));
        let json = serde_json::to_value(&vote).unwrap();
        prop_assert_eq!(serde_json::from_value::<Vote>(json).unwrap(), vote);
    }

    #[test]
    fn proposals_have_the_same_sign_bytes(
        proposal in random::proposal(),
        chain_id in random::chain_id(),
    ) {
        let theirs = through!(proposal, tendermint::Proposal, raw::Proposal);
        let expected = theirs.into_signable_vec(chain_id.parse().unwrap());
        prop_assert_eq!(hex::encode(proposal.sign_bytes(&chain_id)), hex::encode(expected));
    }

    #[test]
    fn commits_are_read_as_the_same_entries(commit in random::commit()) {
        let Raw(message) = through!(commit, Raw<raw::Commit>, raw::Commit);
        let theirs = tendermint::block::Commit::try_from(message).unwrap();
        prop_assert_eq!(theirs.signatures.len(), commit.signatures.len());
        let json = serde_json::to_value(&commit).unwrap();
        let from_json: tendermint::block::Commit = serde_json::from_value(json.clone()).unwrap();
        prop_assert_eq!(from_json, theirs);
        prop_assert_eq!(serde_json::from_value::<Commit>(json).unwrap(), commit);
    }

    #[test]
    fn validator_sets_have_the_same_hash_order_and_proposer(set in random::validator_set()) {
        // Only read: their writer adds the total power, CometBFT's does not.
        type Theirs = tendermint::validator::Set;
        let theirs = <Theirs as Protobuf<raw::ValidatorSet>>::decode_vec(&set.encode()).unwrap();
        prop_assert_eq!(hash_of(theirs.hash()), set.hash());
        prop_assert_eq!(theirs.total_voting_power().value(), set.total_voting_power());
        let order = theirs.validators().iter().map(|v| v.address.as_bytes().to_vec());
        prop_assert!(order.eq(set.validators().iter().map(|v| v.address.0.to_vec())));
        let json = serde_json::to_value(&set).unwrap();
        let from_json: tendermint::validator::Set = serde_json::from_value(json.clone()).unwrap();
        prop_assert_eq!(from_json, theirs);
        prop_assert_eq!(serde_json::from_value::<ValidatorSet>(json).unwrap(), set);
    }

    #[test]
    fn blocks_print_json_that_others_read(block in random::consistent_block()) {
        prop_assume!(block.header.height > 1);
        prop_assert!(block.validate_basic().is_ok());
        let json = serde_json::to_value(&block).unwrap();
        prop_assert_eq!(&serde_json::from_value::<Block>(json.clone()).unwrap(), &block);
        let theirs: tendermint::Block = serde_json::from_value(json).unwrap();
        prop_assert_eq!(hash_of(theirs.header.hash()), block.hash());
        prop_assert_eq!(&theirs.data, &block.data.txs);
        prop_assert_eq!(theirs.evidence.iter().count(), block.evidence.0.len());
    }

    #[test]
    fn merkle_roots_and_proofs_are_the_same(
        leaves in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..70),
    ) {
        use tendermint::merkle::simple_hash_from_byte_vectors;
        let expected = simple_hash_from_byte_vectors::<tendermint::crypto::default::Sha256>(&leaves);
        let (root, proofs) = merkle::root_and_proofs(&leaves);
        prop_assert_eq!(root, expected);
        prop_assert_eq!(merkle::root(&leaves), expected);
        for (proof, leaf) in proofs.iter().zip(&leaves) {
            prop_assert!(proof.verify(&root, leaf).is_ok());
            same_bytes!(*proof, merkle::Proof, crypto::Proof);
        }
    }

    #[test]
    fn parts_have_the_bytes_that_prost_writes(
        seed in any::<u8>(),
        length in prop_oneof![1..100usize, 65_530..65_540usize, 131_060..200_000usize],
    ) {
        let bytes: Vec<u8> = (0..length).map(|place| seed.wrapping_mul(place as u8)).collect();
        let parts = PartSet::from_bytes(&bytes);
        for part in parts.parts() {
            same_bytes!(*part, Part, raw::Part);
        }
        prop_assert_eq!(parts.assemble(), Some(bytes));
    }

    #[test]
    fn times_are_printed_the_same(time in random::timestamp()) {
        let theirs = tendermint::Time::from_unix_timestamp(time.seconds, time.nanos as u32).unwrap();
        prop_assert_eq!(time.to_string(), theirs.to_rfc3339());
        prop_assert_eq!(time.to_string().parse::<Timestamp>().unwrap(), time);
    }
}
