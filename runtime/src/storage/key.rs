//! Typed keys as bytes that sort alike.

use crate::crypto::sha256;
use crate::types::{Address, Amount, Hash, Time};

/// A key of fixed width whose bytes sort as its values do.
///
/// Fixed width makes keys prefix-free, and lets a tuple be the parts one after the other. A string
/// that a user chooses is no key; its hash is ([`TextKey`]), so that nobody can shape the state
/// tree.
pub trait KeyCodec: Clone + Ord {
    /// Bytes of every encoded key.
    const WIDTH: usize;

    /// Appends exactly [`KeyCodec::WIDTH`] bytes.
    fn encode(&self, out: &mut Vec<u8>);

    /// Takes exactly [`KeyCodec::WIDTH`] bytes from the front; `None` where they are missing or
    /// are no such key.
    fn decode(input: &mut &[u8]) -> Option<Self>;

    /// The form of the key, for the metadata.
    fn form() -> String;
}

/// This key is what every `K` with the same first parts begins with, so that a range of a map can
/// be asked for by it. Tuples are prefixed by their first parts; a module states it for its own
/// key types.
pub trait KeyPrefix<K: KeyCodec>: KeyCodec {}

fn take<const N: usize>(input: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = input.split_first_chunk::<N>()?;
    *input = rest;
    Some(*head)
}

macro_rules! integer_keys {
    ($($type:ident),*) => {$(
        impl KeyCodec for $type {
            const WIDTH: usize = size_of::<$type>();

            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }

            fn decode(input: &mut &[u8]) -> Option<Self> {
                take(input).map($type::from_be_bytes)
            }

            fn form() -> String {
                stringify!($type).to_owned()
            }
        }
    )*};
}
integer_keys!(u8, u16, u32, u64, u128);

impl<const N: usize> KeyCodec for [u8; N] {
    const WIDTH: usize = N;

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn decode(input: &mut &[u8]) -> Option<Self> {
        take(input)
    }

    fn form() -> String {
        format!("{N} bytes")
    }
}

impl KeyCodec for bool {
    const WIDTH: usize = 1;

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn decode(input: &mut &[u8]) -> Option<Self> {
        match take::<1>(input)? {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }

    fn form() -> String {
        "bool".to_owned()
    }
}

impl KeyCodec for () {
    const WIDTH: usize = 0;

    fn encode(&self, _out: &mut Vec<u8>) {}

    fn decode(_input: &mut &[u8]) -> Option<Self> {
        Some(())
    }

    fn form() -> String {
        "none".to_owned()
    }
}

macro_rules! wrapper_keys {
    ($($type:ident($inner:ty)),*) => {$(
        impl KeyCodec for $type {
            const WIDTH: usize = <$inner>::WIDTH;

            fn encode(&self, out: &mut Vec<u8>) {
                self.0.encode(out);
            }

            fn decode(input: &mut &[u8]) -> Option<Self> {
                <$inner>::decode(input).map($type)
            }

            fn form() -> String {
                stringify!($type).to_owned()
            }
        }
    )*};
}
wrapper_keys!(
    Address([u8; 20]),
    Hash([u8; 32]),
    Amount(u64),
    Time(u64),
    TextKey(Hash)
);

/// A text as a key: its SHA-256. The text itself belongs into the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TextKey(pub Hash);

impl TextKey {
    /// The key of this text.
    pub fn of(text: &str) -> TextKey {
        TextKey(sha256(text.as_bytes()))
    }
}

macro_rules! tuple_keys {
    ($($part:ident $field:tt),*) => {
        impl<$($part: KeyCodec),*> KeyCodec for ($($part,)*) {
            const WIDTH: usize = 0 $(+ $part::WIDTH)*;

            fn encode(&self, out: &mut Vec<u8>) {
                $(self.$field.encode(out);)*
            }

            fn decode(input: &mut &[u8]) -> Option<Self> {
                Some(($($part::decode(input)?,)*))
            }

            fn form() -> String {
                format!("({})", [$($part::form()),*].join(", "))
            }
        }
    };
}
tuple_keys!(A 0, B 1);
tuple_keys!(A 0, B 1, C 2);
tuple_keys!(A 0, B 1, C 2, D 3);

impl<A: KeyCodec, B: KeyCodec> KeyPrefix<(A, B)> for A {}
impl<A: KeyCodec, B: KeyCodec, C: KeyCodec> KeyPrefix<(A, B, C)> for A {}
impl<A: KeyCodec, B: KeyCodec, C: KeyCodec> KeyPrefix<(A, B, C)> for (A, B) {}
impl<A: KeyCodec, B: KeyCodec, C: KeyCodec, D: KeyCodec> KeyPrefix<(A, B, C, D)> for A {}
impl<A: KeyCodec, B: KeyCodec, C: KeyCodec, D: KeyCodec> KeyPrefix<(A, B, C, D)> for (A, B) {}
impl<A: KeyCodec, B: KeyCodec, C: KeyCodec, D: KeyCodec> KeyPrefix<(A, B, C, D)> for (A, B, C) {}

/// Makes a struct a key of its fields, one after the other, as if it were a tuple of them.
///
/// ```
/// #[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
/// struct GroupId {
///     deployment: u64,
///     group: u32,
/// }
/// welkin_runtime::struct_key!(GroupId { deployment: u64, group: u32 });
/// ```
#[macro_export]
macro_rules! struct_key {
    ($name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        impl $crate::KeyCodec for $name {
            const WIDTH: usize = 0 $(+ <$type as $crate::KeyCodec>::WIDTH)*;

            fn encode(&self, out: &mut Vec<u8>) {
                $($crate::KeyCodec::encode(&self.$field, out);)*
            }

            fn decode(input: &mut &[u8]) -> Option<Self> {
                Some($name { $($field: <$type as $crate::KeyCodec>::decode(input)?),* })
            }

            fn form() -> String {
                stringify!($name).to_owned()
            }
        }
    };
}
