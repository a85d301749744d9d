//! Tests of the whole runtime: random histories against a model of money, golden files, and the
//! state that benchmarks use.

mod golden;
mod histories;
mod income;
mod large;
pub(crate) mod ledger;
