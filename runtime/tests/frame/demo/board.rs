use borsh::{BorshDeserialize, BorshSerialize};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use welkin_runtime::execute::ValidatorUpdate;
use welkin_runtime::{
    Address, Amount, Coded, Ctx, Index, IndexedMap, Item, Module, Result, StorageItem, Time,
};

use super::{MINUTE, purse};

/// Notes that one block takes down, at most.
const REMOVED_PER_BLOCK: usize = 2;

const BY_END: Index<u64, Note, Time> =
    Index::new("board/note_by_end", [2, 2], "Notes by end.", |_, note| {
        Some(note.end)
    });
const BY_AUTHOR: Index<u64, Note, Address> = Index::new(
    "board/note_by_author",
    [2, 3],
    "Notes by author.",
    |_, note| Some(note.author),
);
const NOTES: IndexedMap<u64, Note> =
    IndexedMap::new("board/note", [2, 1], "The notes.", &[&BY_END, &BY_AUTHOR]);
const NEXT: Item<u64> = Item::new("board/next", [2, 4], "The number of the next note.");

#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
pub struct Note {
    /// Who wrote it.
    pub author: Address,
    /// What it says.
    pub text: String,
    /// When it falls off.
    pub end: Time,
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Call {
    /// Pays 5 and puts up a note.
    Post {
        /// What it says.
        text: String,
    } = 1,
    /// Reads notes until the gas is used up, and hides it.
    ReadForever = 2,
    /// Names the caller's key a validator.
    BecomeValidator {
        /// The key.
        public_key: [u8; 32],
    } = 3,
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Query {
    /// The notes of an author.
    By {
        /// The author.
        author: Address,
        /// The note after which the list begins.
        #[serde(default)]
        after: Option<u64>,
    } = 1,
    /// The time of the newest block.
    Now = 2,
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Answer {
    /// The notes, at most ten.
    By(Vec<Note>) = 1,
    /// The time.
    Now(Time) = 2,
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Event {
    /// A note was put up.
    Posted {
        /// Its number.
        number: u64,
    } = 1,
    /// A note fell off.
    Removed {
        /// Its number.
        number: u64,
    } = 2,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Error {
    /// A note must say something.
    EmptyText = 1,
    /// This note cannot be taken down.
    Glued = 2,
}

impl Coded for Error {
    const MODULE: &'static str = Board::NAME;
    fn code(self) -> u32 {
        self as u32
    }
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Genesis {}

pub struct Board;

impl Module for Board {
    const NAME: &'static str = "board";
    const DOC: &'static str = "Notes that fall off.";
    const STORAGE: &'static [StorageItem] =
        &[NOTES.info(), BY_END.info(), BY_AUTHOR.info(), NEXT.info()];

    type Genesis = Genesis;
    type Call = Call;
    type Query = Query;
    type Answer = Answer;
    type Event = Event;
    type Error = Error;

    fn genesis(_ctx: &mut Ctx, _genesis: Genesis) -> Result<()> {
        Ok(())
    }

    fn call(ctx: &mut Ctx, call: Call) -> Result<()> {
        match call {
            Call::Post { text } => post(ctx, text),
            Call::ReadForever => {
                while NEXT.get(ctx).is_ok() {}
                Ok(())
            }
            Call::BecomeValidator { public_key } => {
                ctx.update_validator(ValidatorUpdate {
                    public_key,
                    power: 1,
                });
                ctx.update_validator(ValidatorUpdate {
                    public_key,
                    power: 2,
                });
                Ok(())
            }
        }
    }

    fn query(ctx: &Ctx, query: Query) -> Result<Answer> {
        match query {
            Query::By { author, after } => {
                let numbers = BY_AUTHOR.page_at(ctx, &author, after.as_ref(), 10)?;
                let mut notes = Vec::new();
                for number in numbers {
                    notes.extend(NOTES.get(ctx, &number)?);
                }
                Ok(Answer::By(notes))
            }
            Query::Now => Ok(Answer::Now(ctx.time())),
        }
    }

    fn end_block(ctx: &mut Ctx) {
        let now = ctx.time();
        let Some(due) = ctx.attempt("looking for old notes", |ctx| {
            BY_END.up_to(ctx, &now, REMOVED_PER_BLOCK)
        }) else {
            return;
        };
        if due.len() == REMOVED_PER_BLOCK {
            ctx.report_due_work();
        }
        for (_, number) in due {
            ctx.attempt("taking down a note", |ctx| remove(ctx, number));
        }
    }
}

fn post(ctx: &mut Ctx, text: String) -> Result<()> {
    let author = ctx.sender()?;
    let number = NEXT.get_or_default(ctx)?;
    NEXT.set(ctx, &(number + 1))?;
    let end = ctx.time().saturating_add(MINUTE);
    NOTES.insert(
        ctx,
        &number,
        &Note {
            author,
            text: text.clone(),
            end,
        },
    )?;
    ctx.emit::<Board>(Event::Posted { number })?;
    purse::transfer(ctx, author, Address::of_module(Board::NAME), Amount(5))?;
    // Last on purpose: what was written before has to go.
    if text.is_empty() {
        Err(Error::EmptyText.into())
    } else {
        Ok(())
    }
}

fn remove(ctx: &mut Ctx, number: u64) -> Result<()> {
    let note = NOTES.get(ctx, &number)?;
    NOTES.remove(ctx, &number)?;
    ctx.emit::<Board>(Event::Removed { number })?;
    match note {
        Some(note) if note.text == "glued" => Err(Error::Glued.into()),
        _ => Ok(()),
    }
}
