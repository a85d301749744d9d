//! What a light client believes: one step from a trusted header to another (CometBFT v0.38
//! `light/verifier.go`). Pure; which headers to ask for, and whom, is the client's business.

use crate::error::{Invalid, VerifyError};
use crate::types::{Header, LightBlock, SignedHeader, Timestamp, ValidatorSet};
use crate::verify::{Coverage, TrustLevel, verify_commit_light, verify_commit_trusting};

/// How long and how far a light client trusts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Nanoseconds for which a header can be trusted; must be below the unbonding period, after
    /// which its validators have nothing to lose.
    pub trusting_period_ns: u64,
    /// Nanoseconds that a header's time may be ahead of our clock.
    pub max_clock_drift_ns: u64,
    /// Share of the trusted validators that must have signed when headers are skipped.
    pub trust_level: TrustLevel,
}

/// Why a header was not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LightError {
    /// The trusted header is too old to follow. Start again from a newer one that you trust.
    #[error("the trusted header expired at {expired_at}")]
    Expired {
        /// When it did.
        expired_at: Timestamp,
    },
    /// Too few of the trusted validators signed. Not an attack: try a header in between.
    #[error("too few trusted validators signed: {0}")]
    NotEnoughTrust(VerifyError),
    /// The step is not of the kind that was asked for.
    #[error("header {untrusted} does not follow {trusted} as required")]
    Heights {
        /// Height of the trusted header.
        trusted: u64,
        /// Height of the new one.
        untrusted: u64,
    },
    /// The header is wrong. Whoever sent it is broken or lies.
    #[error("the header is wrong: {0}")]
    Refused(VerifyError),
}

/// Verifies the header right after `trusted`: it must have the validators that `trusted` names as
/// next, and more than 2/3 of them must have signed. Those who already hold every header between
/// know the set, so no trust level is needed.
pub fn verify_adjacent(
    trusted: &Header,
    untrusted: &LightBlock,
    options: &Options,
    now: Timestamp,
) -> Result<(), LightError> {
    let header = &untrusted.signed_header.header;
    if Some(header.height) != trusted.height.checked_add(1) {
        return Err(heights(trusted, header));
    }
    check_not_expired(trusted, options, now)?;
    check_against(trusted, untrusted, options, now)?;
    if header.validators_hash != trusted.next_validators_hash {
        return Err(refused(
            "the validators are not the ones that the trusted header names",
        ));
    }
    check_signatures(trusted, untrusted)
}

/// Verifies a later header that need not be the next one. `trusted_next_validators` are those that
/// `trusted` names as next: more than the trust level of them must have signed, and more than 2/3
/// of the new set. The latter comes last, since an attacker chooses the new set's size.
pub fn verify_non_adjacent(
    trusted: &Header,
    trusted_next_validators: &ValidatorSet,
    untrusted: &LightBlock,
    options: &Options,
    now: Timestamp,
) -> Result<(), LightError> {
    let SignedHeader { header, commit } = &untrusted.signed_header;
    if header.height <= trusted.height.saturating_add(1) {
        return Err(heights(trusted, header));
    }
    check_not_expired(trusted, options, now)?;
    if trusted_next_validators.hash() != trusted.next_validators_hash {
        return Err(refused(
            "the trusted validators are not the ones of the trusted header",
        ));
    }
    check_against(trusted, untrusted, options, now)?;
    let (level, enough) = (options.trust_level, Coverage::Enough);
    let chain_id = &trusted.chain_id;
    verify_commit_trusting(chain_id, trusted_next_validators, commit, level, enough).map_err(
        |why| match why {
            VerifyError::NotEnoughPower { .. } => LightError::NotEnoughTrust(why),
            _ => LightError::Refused(why),
        },
    )?;
    check_signatures(trusted, untrusted)
}

/// Either of the two, by the distance of the heights.
pub fn verify(
    trusted: &Header,
    trusted_next_validators: &ValidatorSet,
    untrusted: &LightBlock,
    options: &Options,
    now: Timestamp,
) -> Result<(), LightError> {
    let next = trusted.height.checked_add(1);
    if next == Some(untrusted.signed_header.header.height) {
        verify_adjacent(trusted, untrusted, options, now)
    } else {
        verify_non_adjacent(trusted, trusted_next_validators, untrusted, options, now)
    }
}

/// Verifies the header right before `trusted`, by the hash that `trusted` carries.
pub fn verify_backwards(trusted: &Header, untrusted: &Header) -> Result<(), LightError> {
    untrusted
        .validate_basic()
        .map_err(|why| LightError::Refused(why.into()))?;
    if untrusted.chain_id != trusted.chain_id {
        return Err(refused("the header is of another chain"));
    }
    if untrusted.time >= trusted.time {
        return Err(refused(
            "an older header's time is not before the newer one's",
        ));
    }
    if untrusted.hash() != trusted.last_block_id.hash {
        return Err(refused(
            "the header is not the one before the trusted header",
        ));
    }
    Ok(())
}

fn check_not_expired(
    trusted: &Header,
    options: &Options,
    now: Timestamp,
) -> Result<(), LightError> {
    let expired_at = trusted
        .time
        .plus_nanos(i128::from(options.trusting_period_ns));
    if expired_at <= now {
        Err(LightError::Expired { expired_at })
    } else {
        Ok(())
    }
}

fn check_against(
    trusted: &Header,
    untrusted: &LightBlock,
    options: &Options,
    now: Timestamp,
) -> Result<(), LightError> {
    let header = &untrusted.signed_header.header;
    untrusted
        .validate_basic(&trusted.chain_id)
        .map_err(|why| LightError::Refused(why.into()))?;
    if header.time <= trusted.time {
        return Err(refused(
            "a later header's time is not after the earlier one's",
        ));
    }
    if header.time >= now.plus_nanos(i128::from(options.max_clock_drift_ns)) {
        return Err(refused("the header is from the future"));
    }
    Ok(())
}

fn check_signatures(trusted: &Header, untrusted: &LightBlock) -> Result<(), LightError> {
    let SignedHeader { header, commit } = &untrusted.signed_header;
    let (validators, block_id) = (&untrusted.validator_set, &commit.block_id);
    let enough = Coverage::Enough;
    verify_commit_light(
        &trusted.chain_id,
        validators,
        block_id,
        header.height,
        commit,
        enough,
    )
    .map_err(LightError::Refused)
}

fn heights(trusted: &Header, untrusted: &Header) -> LightError {
    LightError::Heights {
        trusted: trusted.height,
        untrusted: untrusted.height,
    }
}

fn refused(why: &str) -> LightError {
    LightError::Refused(Invalid::new(why).into())
}
