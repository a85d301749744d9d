//! What the tests of this crate share: random values, and validators who can sign.

#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(
    clippy::unwrap_used,
    reason = "the lint does not see that this is a test"
)]

pub mod chain;
pub mod random;

/// So many cases, or as many as `PROPTEST_CASES` says. A failing one is printed, and kept as a test
/// of its own rather than as a file.
pub fn config(cases: u32) -> proptest::test_runner::Config {
    let wished = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|number| number.parse().ok());
    let (cases, failure_persistence) = (wished.unwrap_or(cases), None);
    proptest::test_runner::Config {
        cases,
        failure_persistence,
        ..Default::default()
    }
}
