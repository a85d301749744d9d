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
#[expect(clippy::too_many_lines, reason = "a table of pairs")]
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
        let signature = Signature([9; 64]);
        let state = first.state_after(CHAIN_ID, signature);
        let answer = match second.decide(&state, CHAIN_ID) {
            Ok(Decision::Sign) => Answer::Fresh,
            Ok(Decision::Reuse {
                signature,
                timestamp,
            }) => {
                let signed = second.signed_before(signature, timestamp);
                assert_eq!(
                    signed,
                    first.signed(signature),
                    "with the time of the first"
                );
                Answer::Again
            }
            Err(Refusal::Regression { .. }) => Answer::Past,
            Err(_) => Answer::Different,
        };
        assert_eq!(answer, expected, "{second:?} after {first:?}");
    }
}

#[test]
fn an_empty_state_allows_the_first_signature() {
    let request = proposal(1, 0, 1, None);
    assert_eq!(
        request.decide(&SignState::default(), CHAIN_ID),
        Ok(Decision::Sign)
    );
}

#[test]
fn a_state_of_another_chain_or_with_damaged_bytes_allows_nothing_at_its_place() {
    let request = vote(VoteType::Prevote, 5, 2, 1);
    let good = request.state_after(CHAIN_ID, Signature([9; 64]));
    let foreign = request.state_after("other", Signature([9; 64]));
    let damaged = SignState {
        sign_bytes: vec![0xff; 12],
        ..good.clone()
    };
    let cut = SignState {
        sign_bytes: Vec::new(),
        ..good
    };
    for state in [foreign, damaged, cut] {
        assert!(request.decide(&state, CHAIN_ID).is_err());
    }
}
