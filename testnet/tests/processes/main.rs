//! Whole networks of real processes, from outside: with the binaries that people run, by the commands that they type.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod behaviours;
mod deletes_nothing;
mod demo;
mod deposit;
mod harness;
mod isolation;
mod lifecycle;
mod provider_death;
mod secrets;
mod tenants;
mod validators;
