//! Whose turn it is: CometBFT v0.38's proposer priority, to the bit (`types/validator_set.go`,
//! `spec/consensus/proposer-selection.md`). Every node must come to the same answer, so sums
//! saturate where CometBFT clips them and wrap where Go's integers wrap.

use super::Validator;

/// Priorities may be this many times the total power apart.
const WINDOW_FACTOR: u64 = 2;

/// Adds each one's power `times` times, each time charging the one in front with the total power.
/// Rescaling and centring happen once, before: so two calls are not always one call with the sum.
/// Returns the place of the last one chosen, which is the proposer.
pub(super) fn increment(validators: &mut [Validator], total_power: u64, times: u32) -> usize {
    rescale(validators, WINDOW_FACTOR * total_power);
    centre(validators);
    let mut chosen = 0;
    for _ in 0..times {
        for validator in validators.iter_mut() {
            let power = validator.voting_power.cast_signed();
            validator.proposer_priority = validator.proposer_priority.saturating_add(power);
        }
        chosen = foremost(validators);
        let priority = &mut validators[chosen].proposer_priority;
        *priority = priority.saturating_sub(total_power.cast_signed());
    }
    chosen
}

/// Brings priorities back into the window and around zero, as after each change of the set.
pub(super) fn rescale_and_centre(validators: &mut [Validator], total_power: u64) {
    rescale(validators, WINDOW_FACTOR * total_power);
    centre(validators);
}

/// The place of the one with the highest priority; among equals, of the lowest address.
pub(super) fn foremost(validators: &[Validator]) -> usize {
    let mut best = 0;
    for (place, validator) in validators.iter().enumerate().skip(1) {
        let leader = &validators[best];
        let ahead = validator.proposer_priority > leader.proposer_priority;
        let tied = validator.proposer_priority == leader.proposer_priority;
        if ahead || (tied && validator.address < leader.address) {
            best = place;
        }
    }
    best
}

/// The priority of a newcomer: behind everybody, so that leaving and joining again gains nothing.
/// `total_power` is the set's after the updates and before the removals.
pub(super) fn newcomer_priority(total_power: u64) -> i64 {
    let total = total_power.cast_signed();
    -(total + (total >> 3))
}

/// Divides all priorities, towards zero, if they are more than `window` apart.
fn rescale(validators: &mut [Validator], window: u64) {
    let window = window.cast_signed();
    if window <= 0 {
        return;
    }
    let distance = distance(validators);
    if distance > window {
        let ratio = distance.wrapping_add(window - 1).wrapping_div(window);
        for validator in validators {
            validator.proposer_priority = validator.proposer_priority.wrapping_div(ratio);
        }
    }
}

fn distance(validators: &[Validator]) -> i64 {
    let priorities = || {
        validators
            .iter()
            .map(|validator| validator.proposer_priority)
    };
    let (highest, lowest) = (
        priorities().max().unwrap_or(0),
        priorities().min().unwrap_or(0),
    );
    highest.wrapping_sub(lowest).wrapping_abs()
}

/// Subtracts the average, rounded down.
fn centre(validators: &mut [Validator]) {
    let average = average(validators);
    for validator in validators {
        validator.proposer_priority = validator.proposer_priority.saturating_sub(average);
    }
}

fn average(validators: &[Validator]) -> i64 {
    if validators.is_empty() {
        return 0;
    }
    let sum: i128 = validators
        .iter()
        .map(|v| i128::from(v.proposer_priority))
        .sum();
    i64::try_from(sum.div_euclid(validators.len() as i128)).expect("an average is within its range")
}

#[cfg(test)]
#[path = "proposer_tests.rs"]
pub(super) mod tests;
