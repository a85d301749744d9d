//! The frame, seen through two small modules.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod blocks;
mod checks;
mod demo;
mod descriptions;
mod queries;
