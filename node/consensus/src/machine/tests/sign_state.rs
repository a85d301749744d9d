//! What may be signed after what.

use super::*;

fn vote(vote_type: VoteType, height: u64, round: u32, tag: u8) -> SignRequest {
    let bench = Bench::sleeping(3);
    let id = if tag == 0 {
        BlockId::NIL
    } else {
        bench.block(&tag.to_string()).id
    };
    let vote = bench.vote(0, vote_type, 1, id);
    SignRequest::Vote(Vote {
        height,
        round,
        signature: None,
        ..vote
    })
}

fn proposal(height: u64, round: u32, tag: u8, pol_round: Option<u32>) -> SignRequest {
    let bench = Bench::sleeping(3);
    let made = bench.block(&tag.to_string());
    let proposal = bench.proposal(0, &made, None);
    SignRequest::Proposal(Proposal {
        height,
        round,
        pol_round,
        signature: None,
        ..proposal
    })
}

fn later(request: &SignRequest) -> SignRequest {
    match request.clone() {
        SignRequest::Proposal(p) => SignRequest::Proposal(Proposal {
            timestamp: p.timestamp.plus_nanos(7),
            ..p
        }),
        SignRequest::Vote(v) => SignRequest::Vote(Vote {
            timestamp: v.timestamp.plus_nanos(7),
            ..v
        }),
    }
}

#[test]
fn what_may_be_signed_after_what() {
    use VoteType::{Precommit, Prevote};
    #[derive(Debug, PartialEq)]
    enum Answer {
        Fresh,
        Again,
        Past,
        Different,
    }
    let cases = [
        (
            vote(Prevote, 5, 2, 1),
            vote(Prevote, 5, 2, 1),
            Answer::Again,
        ),
        (
            vote(Prevote, 5, 2, 1),
            later(&vote(Prevote, 5, 2, 1)),
            Answer::Again,
        ),
        (
            vote(Prevote, 5, 2, 0),
            later(&vote(Prevote, 5, 2, 0)),
            Answer::Again,
        ),
        (
            vote(Prevote, 5, 2, 1),
            vote(Prevote, 5, 2, 2),
            Answer::Different,
        ),
        (
            vote(Prevote, 5, 2, 1),
            vote(Prevote, 5, 2, 0),
            Answer::Different,
        ),
        (
            vote(Prevote, 5, 2, 1),
            vote(Precommit, 5, 2, 2),
            Answer::Fresh,
        ),
        (
            vote(Precommit, 5, 2, 1),
            vote(Prevote, 5, 2, 1),
            Answer::Past,
        ),
        (
            vote(Precommit, 5, 2, 1),
            proposal(5, 2, 1, None),
            Answer::Past,
        ),
        (
            vote(Precommit, 5, 2, 1),
            proposal(5, 3, 1, None),
            Answer::Fresh,
        ),
        (
            vote(Precommit, 5, 2, 1),
            vote(Prevote, 5, 1, 1),
            Answer::Past,
        ),
        (
            vote(Precommit, 5, 2, 1),
            vote(Precommit, 4, 9, 1),
            Answer::Past,
        ),
        (
            vote(Precommit, 5, 2, 1),
            vote(Prevote, 6, 0, 1),
            Answer::Fresh,
        ),
        (
            proposal(5, 2, 1, None),
            later(&proposal(5, 2, 1, None)),
            Answer::Again,
        ),
        (
            proposal(5, 2, 1, None),
            proposal(5, 2, 2, None),
            Answer::Different,
        ),
        (
            proposal(5, 2, 1, None),
            proposal(5, 2, 1, Some(1)),
            Answer::Different,
        ),
        (
            proposal(5, 2, 1, None),
            vote(Prevote, 5, 2, 1),
            Answer::Fresh,
        ),
    ];
    for (first, second, expected) in cases {
        let bytes = first.sign_bytes(CHAIN_ID);
        let signature = Signature([9; 64]);
        let state = SignState::after(&first, bytes, signature);
        let answer = match state.check(&second, CHAIN_ID) {
            Permit::Fresh(bytes) => {
                assert_eq!(bytes, second.sign_bytes(CHAIN_ID));
                Answer::Fresh
            }
            Permit::Again(signed) => {
                assert_eq!(
                    signed,
                    first.signed(signature),
                    "with the time of the first"
                );
                Answer::Again
            }
            Permit::Refused(Conflict::Past) => Answer::Past,
            Permit::Refused(Conflict::Different) => Answer::Different,
        };
        assert_eq!(answer, expected, "{second:?} after {first:?}");
    }
}

#[test]
fn an_empty_state_allows_the_first_signature() {
    let request = proposal(1, 0, 1, None);
    assert!(matches!(
        SignState::default().check(&request, CHAIN_ID),
        Permit::Fresh(_)
    ));
}

#[test]
fn a_state_of_another_chain_or_with_damaged_bytes_allows_nothing_at_its_place() {
    let request = vote(VoteType::Prevote, 5, 2, 1);
    let foreign = SignState::after(&request, request.sign_bytes("other"), Signature([9; 64]));
    let damaged = SignState::after(&request, vec![0xff; 12], Signature([9; 64]));
    let cut = SignState::after(&request, Vec::new(), Signature([9; 64]));
    for state in [foreign, damaged, cut] {
        assert_eq!(
            state.check(&request, CHAIN_ID),
            Permit::Refused(Conflict::Different)
        );
    }
}
