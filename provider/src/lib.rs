//! The provider daemon: it bids for orders, runs the leases that it wins and serves their tenants.

pub mod backend;
pub mod bid;
pub mod firewall;
pub mod ingress;
pub mod manifests;
pub mod planner;
pub mod workload;
