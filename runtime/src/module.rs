//! What a module is, and its row in the table.
//!
//! ```text
//!   const RUNTIME: Runtime = Runtime {
//!       entries: &[entry::<Accounts>(1), entry::<Market>(4)],
//!       ...
//!   };
//! ```
//!
//! From that one list follow genesis, dispatch, hooks, queries, invariants and metadata. A row is
//! a set of function pointers, each a few lines below: what happens to a call can be followed by
//! hand from [`crate::Runtime::execute_block`] through its row into the module's `match`.

use std::fmt::Debug;

use borsh::{BorshDeserialize, BorshSerialize};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::ctx::Ctx;
use crate::error::{Coded, Result, RuntimeError};
use crate::metadata::{self, ModuleMetadata};
use crate::storage::StorageItem;

/// What calls, queries, answers and events are made of: borsh on the wire, JSON for people, a
/// schema with doc comments. Enums give their variants explicit numbers:
///
/// ```
/// # use borsh::{BorshDeserialize, BorshSerialize};
/// # use serde::{Deserialize, Serialize};
/// #[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
/// #[derive(Serialize, Deserialize, schemars::JsonSchema)]
/// #[serde(rename_all = "snake_case", deny_unknown_fields)]
/// #[borsh(use_discriminant = true)]
/// #[repr(u8)]
/// enum Call {
///     /// Counts up.
///     Increase { by: u32 } = 1,
/// }
/// ```
pub trait Data:
    BorshSerialize + BorshDeserialize + Serialize + DeserializeOwned + JsonSchema + Clone + Debug
{
}
impl<T> Data for T where
    T: BorshSerialize
        + BorshDeserialize
        + Serialize
        + DeserializeOwned
        + JsonSchema
        + Clone
        + Debug
{
}

/// Something that is true after every block, with its name. The error says what is wrong.
pub type Invariant = (&'static str, fn(&Ctx) -> std::result::Result<(), String>);

/// A module: state, calls that change it, queries that read it.
pub trait Module: 'static {
    /// The name: key in the genesis, codespace of errors, first part of storage names.
    const NAME: &'static str;

    /// What it is for, in a sentence.
    const DOC: &'static str;

    /// Every storage item that it writes; writing another one panics in debug builds.
    const STORAGE: &'static [StorageItem];

    /// What is true after every block.
    const INVARIANTS: &'static [Invariant] = &[];

    /// Its part of the genesis.
    type Genesis: Serialize + DeserializeOwned + JsonSchema;
    /// What accounts can ask it to do.
    type Call: Data;
    /// What can be asked of it.
    type Query: Data;
    /// The answers: a variant for each query, of the same name.
    type Answer: Data;
    /// What it tells.
    type Event: Data;
    /// What it refuses.
    type Error: Coded;

    /// Writes the first state. Modules come in the order of their numbers.
    fn genesis(ctx: &mut Ctx, genesis: Self::Genesis) -> Result<()>;

    /// Does what an account asks. Whatever it wrote is undone if it fails.
    fn call(ctx: &mut Ctx, call: Self::Call) -> Result<()>;

    /// Answers. May read nothing but state and the newest block's height and time, so that a
    /// client can answer the same from a proof.
    fn query(ctx: &Ctx, query: Self::Query) -> Result<Self::Answer>;

    /// Runs before the calls of each block. Bounded work; cannot fail (see [`Ctx::attempt`]).
    fn begin_block(_ctx: &mut Ctx) {}

    /// Runs after the calls of each block. Bounded work; cannot fail (see [`Ctx::attempt`]).
    fn end_block(_ctx: &mut Ctx) {}
}

/// A module's row in the table, without its types.
#[derive(Clone, Copy)]
pub struct Entry {
    /// The module's number: in transactions and storage keys, never to be changed or reused.
    pub number: u8,
    /// The module's name.
    pub name: &'static str,
    /// Its storage items.
    pub storage: &'static [StorageItem],
    /// Its invariants.
    pub invariants: &'static [Invariant],
    pub(crate) genesis: fn(&mut Ctx, &Value) -> Result<()>,
    pub(crate) check_call: fn(&[u8]) -> Result<()>,
    pub(crate) call: fn(&mut Ctx, &[u8]) -> Result<()>,
    pub(crate) query: fn(&Ctx, &[u8]) -> Result<Vec<u8>>,
    pub(crate) begin_block: fn(&mut Ctx),
    pub(crate) end_block: fn(&mut Ctx),
    pub(crate) call_json: JsonForm,
    pub(crate) query_json: JsonForm,
    pub(crate) answer_json: JsonForm,
    pub(crate) event_json: JsonForm,
    pub(crate) describe: fn(u8) -> ModuleMetadata,
}

/// The row of module `M`.
pub const fn entry<M: Module>(number: u8) -> Entry {
    Entry {
        number,
        name: M::NAME,
        storage: M::STORAGE,
        invariants: M::INVARIANTS,
        genesis: |ctx, json| {
            let genesis = <M::Genesis as serde::Deserialize>::deserialize(json)
                .map_err(|error| malformed(format!("genesis of {}: {error}", M::NAME)))?;
            M::genesis(ctx, genesis)
        },
        check_call: |bytes| decode::<M::Call>(bytes).map(drop),
        call: |ctx, bytes| M::call(ctx, decode(bytes)?),
        query: |ctx, bytes| encode(&M::query(ctx, decode(bytes)?)?),
        begin_block: M::begin_block,
        end_block: M::end_block,
        call_json: JsonForm::of::<M::Call>(),
        query_json: JsonForm::of::<M::Query>(),
        answer_json: JsonForm::of::<M::Answer>(),
        event_json: JsonForm::of::<M::Event>(),
        describe: metadata::describe::<M>,
    }
}

/// The way between borsh and JSON for one type.
#[derive(Clone, Copy)]
pub(crate) struct JsonForm {
    pub(crate) read: fn(&Value) -> Result<Vec<u8>>,
    pub(crate) write: fn(&[u8]) -> Result<Value>,
}

impl JsonForm {
    const fn of<T: Data>() -> JsonForm {
        JsonForm {
            read: |json| {
                let value = <T as serde::Deserialize>::deserialize(json).map_err(malformed)?;
                encode(&value)
            },
            write: |bytes| {
                let value: T = decode(bytes)?;
                serde_json::to_value(&value).map_err(malformed)
            },
        }
    }
}

fn malformed(detail: impl std::fmt::Display) -> crate::error::ModuleError {
    RuntimeError::MalformedCall.because(detail)
}

fn encode<T: BorshSerialize>(value: &T) -> Result<Vec<u8>> {
    borsh::to_vec(value).map_err(malformed)
}

/// Decodes `bytes`, which must be the one encoding of the value.
fn decode<T: BorshSerialize + BorshDeserialize>(bytes: &[u8]) -> Result<T> {
    let value = borsh::from_slice(bytes).map_err(malformed)?;
    if encode(&value)? != bytes {
        return Err(malformed("not in its only valid encoding"));
    }
    Ok(value)
}
