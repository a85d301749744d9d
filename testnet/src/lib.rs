//! Whole networks: of real processes (`network`), and simulated ones of the consensus machine (`simulate`).

pub mod network;
pub mod simulate;
