//! Whether evidence is true (CometBFT v0.38 `evidence/verify.go`). What the chain knows about the
//! evidence's height is passed in; looking it up is the node's business.

use crate::error::{Invalid, VerifyError, ensure};
use crate::types::{
    DuplicateVoteEvidence, Evidence, EvidenceParams, LightClientAttackEvidence, SignedHeader,
    Timestamp, Validator, ValidatorSet,
};
use crate::verify::{Coverage, TrustLevel, verify_commit_light, verify_commit_trusting};

/// What the chain knows about the height of the evidence.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Header and commit of the evidence's height ([`Evidence::height`]).
    pub common: &'a SignedHeader,
    /// Validators of that height.
    pub validators: &'a ValidatorSet,
    /// For an attack on light clients: header and commit of the false block's height or, if the
    /// chain has not come so far, the newest ones. Not looked at for duplicate votes.
    pub trusted: &'a SignedHeader,
}

/// Where the chain stands.
#[derive(Clone, Copy, Debug)]
pub struct Tip<'a> {
    /// The chain's name.
    pub chain_id: &'a str,
    /// Height of the last block.
    pub last_height: u64,
    /// Its time.
    pub last_time: Timestamp,
    /// For how long evidence counts.
    pub params: &'a EvidenceParams,
}

/// Whether the evidence is recent, true and describes the offender as the chain knows him. That it
/// was not punished before is the caller's to know ([`Evidence::hash`]).
pub fn verify_evidence(
    evidence: &Evidence,
    tip: &Tip<'_>,
    known: &Known<'_>,
) -> Result<(), VerifyError> {
    evidence.validate_basic()?;
    let header = &known.common.header;
    ensure(
        header.height == evidence.height(),
        "the known header is not of the evidence's height",
    )?;
    ensure(
        evidence.time() == header.time,
        "the evidence has another time than its block",
    )?;
    let expired = is_expired(evidence.height(), header.time, tip);
    ensure(!expired, "the evidence is too old")?;
    match evidence {
        Evidence::DuplicateVote(evidence) => Ok(verify_duplicate_vote(
            evidence,
            tip.chain_id,
            known.validators,
        )?),
        Evidence::LightClientAttack(evidence) => verify_attack(evidence, known),
    }
}

/// Evidence expires only when it is too old both in blocks and in time, so that neither a fast
/// chain nor a halted one lets offenders go.
pub fn is_expired(height: u64, time: Timestamp, tip: &Tip<'_>) -> bool {
    let age_ns = tip.last_time.unix_nanos() - time.unix_nanos();
    let age_blocks = i128::from(tip.last_height) - i128::from(height);
    age_ns > i128::from(tip.params.max_age_duration_ns)
        && age_blocks > i128::from(tip.params.max_age_num_blocks)
}

/// Whether one validator of this set really signed both votes, for different blocks.
pub fn verify_duplicate_vote(
    evidence: &DuplicateVoteEvidence,
    chain_id: &str,
    validators: &ValidatorSet,
) -> Result<(), Invalid> {
    let (a, b) = (&evidence.vote_a, &evidence.vote_b);
    let same_step = (a.height, a.round, a.vote_type) == (b.height, b.round, b.vote_type);
    ensure(
        same_step,
        "the votes are not for one height, round and type",
    )?;
    let same_voter = a.validator_address == b.validator_address;
    ensure(same_voter, "the votes are of two validators")?;
    ensure(a.block_id != b.block_id, "the votes are for the same block")?;
    let found = validators.by_address(&a.validator_address);
    let (_, voter) = found.ok_or_else(|| Invalid::new("the voter was not a validator then"))?;
    let power = evidence.validator_power == voter.voting_power;
    ensure(power, "the evidence gives the voter another power")?;
    let total = evidence.total_voting_power == validators.total_voting_power();
    ensure(total, "the evidence gives another total power")?;
    a.verify(chain_id, &voter.public_key)?;
    b.verify(chain_id, &voter.public_key)
}

/// Whether validators really signed a block that is not the chain's.
fn verify_attack(
    evidence: &LightClientAttackEvidence,
    known: &Known<'_>,
) -> Result<(), VerifyError> {
    let trusted = &known.trusted.header;
    let chain_id = &trusted.chain_id;
    let conflicting = &evidence.conflicting_block;
    let SignedHeader {
        header: claimed,
        commit,
    } = &conflicting.signed_header;
    ensure(
        trusted.height <= claimed.height,
        "the known header is above the false one",
    )?;

    if known.common.header.height != claimed.height {
        let (common, level) = (known.validators, TrustLevel::ONE_THIRD);
        verify_commit_trusting(chain_id, common, commit, level, Coverage::All)?;
    } else {
        ensure(
            trusted.height == claimed.height,
            "the known header is not of the block's height",
        )?;
        let made_up = evidence.header_is_made_up(trusted);
        ensure(
            !made_up,
            "the false header has no common height below it, yet is made up",
        )?;
    }
    let (signers, id) = (&conflicting.validator_set, &commit.block_id);
    verify_commit_light(chain_id, signers, id, claimed.height, commit, Coverage::All)?;

    if trusted.height < claimed.height {
        // A header from beyond the tip is false if the chain's time has already passed its own.
        ensure(claimed.time <= trusted.time, "the block may still come")?;
    } else {
        ensure(
            trusted.hash() != claimed.hash(),
            "the block is the chain's own",
        )?;
    }
    let total = evidence.total_voting_power == known.validators.total_voting_power();
    ensure(total, "the evidence gives another total power")?;
    let blamed = evidence.blamed(known.validators, known.trusted);
    let same = named(&blamed).eq(named(&evidence.byzantine_validators));
    Ok(ensure(
        same,
        "the evidence blames others than those who can be blamed",
    )?)
}

fn named(validators: &[Validator]) -> impl Iterator<Item = (crate::types::ValidatorAddress, u64)> {
    validators
        .iter()
        .map(|validator| (validator.address, validator.voting_power))
}
