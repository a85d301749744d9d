//! One file for each command, and what they share.

pub mod completions;
pub mod deploy;
pub mod deployment;
pub mod dynamic;
pub mod expected;
pub mod keys;
pub mod lease;
pub mod market;
pub mod plan;
pub mod provider;
pub mod query;
pub mod sdl;
pub mod tx;
pub mod version;
