//! Snapshots of the state.
