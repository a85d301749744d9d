//! The frame that Welkin's modules are written in, and the machine that runs them.
//!
//! ```text
//!   raw transactions                genesis.json                 query (borsh or JSON)
//!         |                              |                              |
//!    tx: decode, id               execute: genesis              execute: query, with the
//!         |                              |                      reads recorded for a witness
//!    execute: check_tx                   |                              |
//!    execute: validate_block             |                              |
//!    execute: execute_block  ------------+------------------------------+
//!         |   fees and sequences, begin hooks, calls, end hooks
//!         v
//!    module: Entry -> Module  (a const table of rows with explicit numbers)
//!         |   plain matches on plain enums
//!         v
//!    ctx: Ctx  (origin, block, gas, events, layers that can be undone)
//!         |   through const handles of `storage`: Item, Map, IndexedMap, Index
//!         v
//!    state: StateRead             out: ordered Writes -> tree: root and proofs -> store: bytes
//! ```
//!
//! # What always holds
//!
//! - The same state and the same block give the same writes, results and events on every machine:
//!   no clock, no random number, no float, no map without an order.
//! - A call that fails leaves no write and no event; its fee and its sequence stay taken.
//! - A state that cannot be read decides nothing: it is a [`StateError`], never a failed
//!   transaction.
//! - Every key belongs to a listed storage item, is prefix-free, at most 128 bytes long, and sorts
//!   as its typed key does.
//! - Everything that comes from outside is bounded before it is decoded.
//!
//! # What is not here, on purpose
//!
//! No module (they live in `welkin-modules`; what the frame must know of accounts it is given as
//! [`AccountsHooks`]), no disk, no network, no task, no time other than the block's.
//! No attribute macros: a reader can follow a call from the table to the write with an editor.

pub mod crypto;
pub mod ctx;
pub mod error;
pub mod event;
pub mod execute;
pub mod metadata;
pub mod module;
pub mod state;
pub mod storage;
pub mod store;
pub mod testing;
pub mod tree;
pub mod tx;
pub mod types;

mod names;
mod overlay;

pub use ctx::{BlockInfo, Ctx, Origin};
pub use error::{Coded, ModuleError, Result, RuntimeError};
pub use event::Event;
pub use execute::{AccountsHooks, Payer, Runtime};
pub use metadata::Metadata;
pub use module::{Data, Entry, Invariant, Module, entry};
pub use state::{MapState, Read, Recorder, StateError, StateRead, Writes};
pub use storage::{Index, IndexedMap, Item, KeyCodec, KeyPrefix, Map, StorageItem, TextKey};
pub use types::{Address, Amount, ChainInfo, Hash, Time};
