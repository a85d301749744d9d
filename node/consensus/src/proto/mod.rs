//! A small encoder and decoder for protobuf (proto3), as gogoproto writes it.
//!
//! Scalars with their default value are left out, fields ascend, and sub-messages that gogoproto
//! marks as non-nullable are written even when they are empty. [`Message::decode`] accepts exactly
//! what [`Message::encode`] writes: a value has one encoding, so nobody can send the same vote or
//! block under two names.

mod reader;
mod writer;

pub use reader::{Reader, Value};
pub use writer::Writer;

use crate::error::DecodeError;

/// A value with a protobuf form.
pub trait Message: Sized {
    /// Writes the fields in ascending order.
    fn write(&self, to: &mut Writer);

    /// Reads the fields. It need not refuse encodings that are only unusual: `decode` does.
    fn read(bytes: &[u8]) -> Result<Self, DecodeError>;

    /// The value's bytes, without a length prefix.
    fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        self.write(&mut writer);
        writer.finish()
    }

    /// Reads a value, and refuses bytes that `encode` would not have written.
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let value = Self::read(bytes)?;
        if value.encode() == bytes {
            Ok(value)
        } else {
            Err(DecodeError::NotCanonical)
        }
    }
}
