//! The Kubernetes back end: what a lease is in a cluster.
//!
//! ```text
//!   LeaseSpec ── objects ──> namespace, policies, quota, secrets, workloads, Services, Ingress ── admit ──> the cluster
//! ```
//!
//! One namespace for each lease, closed to all but its own, the resolver, the internet and the ways in that its manifest
//! opens. Everything carries the instance's labels, by which it is known again.
//!
//! Deliberately not here: operators and definitions of our own in the cluster. What runs is plain Kubernetes, so that
//! `kubectl` shows all of it. Not here yet: sending the objects, so no provider can be configured for it.

pub mod admit;
pub mod inventory;
pub mod names;
pub mod objects;
pub mod settings;
