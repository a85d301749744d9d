//! Whole networks on one machine: of real processes, measured, and simulated.
//!
//! ```text
//!   up.sh, down.sh ──> network: build the folder ─> start welkind, the faucet, an engine, providers ─> wait until ready
//!   cluster.sh ──────> cluster: Kubernetes from our own build: certificates, namespaces, programs ─> nodes ready
//!   bench.sh ────────> bench:   bring networks up, load them, print figures beside a peer's
//!   check.sh ────────> tests/:  tidy (house rules), processes (networks from outside), planted_bugs
//!           └────────> simulate: consensus machines, faults and clocks from a seed; the same run for the same seed
//! ```
//!
//! Invariants:
//! - A network is its folder: `testnet.json` in it names every process and port, and is written before a process is
//!   started and after it is known to run, so that `down` finds all of them after any crash.
//! - Nothing is ended that the record does not name, by process id and start time.
//! - Networks of different names share nothing: ports, address ranges and engines are claimed under a lock.
//!
//! Not here: what the processes do. The simulator drives the machine of `node/consensus` and none of the node around it.

pub mod bench;
pub mod cluster;
pub mod network;
pub mod simulate;
