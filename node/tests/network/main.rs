//! Four validators in one process, over real sockets and real files.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod harness;

mod blocks;
mod restarts;
