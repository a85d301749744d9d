//! The frame, seen through two small modules.

mod blocks;
mod checks;
mod demo;
mod descriptions;
mod queries;
