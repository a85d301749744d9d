//! What a tenant and a provider say to each other.
//!
//! ```text
//!   app.yaml                                                              provider
//!      |  sdl: bounded YAML tree with positions -> typed document            ^
//!      |       -> groups, checked as a whole                                 |
//!      v                                                                     |
//!   manifest: one GroupManifest per group  ---- channel: SendManifest -------+
//!      |      (what to run, with secrets)        over a private peer stream  |
//!      |                                         opened by a `delegation`    | checks: opening against
//!      +--> GroupSpec   (what to offer for: on chain)                        | the hash on chain, fit
//!      +--> commitment  (one hash: on chain)  <------------------------------+ against the leased group
//! ```
//!
//! # What always holds
//!
//! - Everything here is data and functions of data: no clock, no disk, no socket. The two ends of
//!   the [`channel`] are given a byte stream and the time.
//! - Whatever comes from outside is bounded before it is allocated, and decoding the same bytes
//!   gives one value, whose encoding is those bytes.
//! - What a tenant says about a container is chosen from a list of allowed things. A manifest has
//!   no way to ask for privileges, devices, host paths, host networks or labels.
//! - Secrets (environment, registry passwords) are in manifests only, and no `Debug` shows them.
//!
//! # What is not here, on purpose
//!
//! The chain's own types and rules (`welkin-modules`), the connection and who may open one
//! (`welkin-p2p`), and running anything (`welkin-provider`).

pub mod channel;
pub mod delegation;
pub mod manifest;
pub mod sdl;

pub use welkin_modules::ids::LeaseId;

#[cfg(test)]
mod golden;
