//! The provider daemon: it bids for orders, runs the leases that it wins and serves their tenants.
//!
//! ```text
//!              chain (verified by welkin-client)             tenants (private peer channel)
//!                 │ proven looks        ▲ bids, closings          │ manifests, logs, shells
//!                 ▼                     │                         ▼
//!   ┌──────────────────────────────── daemon ────────────────────────────────────┐
//!   │ bid: what to bid on    planner: what must happen    manifests: sealed      │
//!   └───────────┬──────────────────────┬──────────────────────────┬──────────────┘
//!               ▼                      ▼                          ▼
//!        backend: containers     firewall: nftables        routes.json ──> ingress (own process) <── the world
//! ```
//!
//! Invariants:
//! - What runs is removed only on proof that its lease is over; everything that fails leaves it alone.
//! - Only objects that carry this provider's address and this chain's genesis hash are ever touched.
//! - A tenant's words become data in definitions that are made here, never options of the engine.
//! - One ledger holds bids and leases; nothing is promised twice.
//!
//! Deliberately not here: Kubernetes (another back end behind the same trait), host names of the tenant's own (their
//! proof is shown as pending), drains.

pub mod backend;
pub mod bid;
pub mod config;
pub mod daemon;
pub mod doctor;
pub mod firewall;
pub mod ingress;
pub mod manifests;
pub mod planner;
pub mod workload;
