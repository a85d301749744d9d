//! `welkin` as people and programs meet it: its words, its data, its exit codes.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod chain;
mod golden;
mod help;
mod interrupted;
mod lies;
mod offline;
mod sdl;
mod shapes;
mod support;
