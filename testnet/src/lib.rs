//! Whole networks: the simulator of consensus, and what the end-to-end tests and benchmarks share.

pub mod simulate;
