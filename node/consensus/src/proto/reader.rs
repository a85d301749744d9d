//! Reads protobuf fields.

use super::Message;
use crate::error::DecodeError;

/// Walks over the fields of one message.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    message: &'static str,
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A variable-length integer.
    Varint(u64),
    /// Eight bytes, little-endian.
    Fixed64(u64),
    /// Bytes, a string or a sub-message.
    Bytes(&'a [u8]),
}

impl<'a> Reader<'a> {
    /// Reads `bytes` as the message of this name (for errors).
    pub fn new(message: &'static str, bytes: &'a [u8]) -> Self {
        Reader {
            rest: bytes,
            message,
        }
    }

    /// Reads bytes that stand behind their length, as sign bytes do.
    pub fn delimited(message: &'static str, bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(message, bytes);
        let length = reader.varint()?;
        if length != reader.rest.len() as u64 {
            return Err(DecodeError::Truncated);
        }
        Ok(reader)
    }

    /// The next field, or none at the end.
    pub fn next_field(&mut self) -> Result<Option<(u32, Value<'a>)>, DecodeError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let field =
            u32::try_from(key >> 3).map_err(|_| DecodeError::OutOfRange("a field number"))?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => {
                let bytes = self.take(8)?;
                Value::Fixed64(u64::from_le_bytes(
                    bytes.try_into().expect("eight were taken"),
                ))
            }
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| DecodeError::Truncated)?;
                Value::Bytes(self.take(length)?)
            }
            _ => return Err(DecodeError::WireType),
        };
        Ok(Some((field, value)))
    }

    /// The error for a field that the message does not have.
    pub fn unknown(&self, field: u32) -> DecodeError {
        DecodeError::UnknownField {
            message: self.message,
            field,
        }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(DecodeError::Varint);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Varint)
    }
}

impl<'a> Value<'a> {
    /// As `uint64`.
    pub fn uint(self) -> Result<u64, DecodeError> {
        match self {
            Value::Varint(value) => Ok(value),
            _ => Err(DecodeError::WireType),
        }
    }

    /// As `uint32`.
    pub fn uint32(self, what: &'static str) -> Result<u32, DecodeError> {
        u32::try_from(self.uint()?).map_err(|_| DecodeError::OutOfRange(what))
    }

    /// As `int64`.
    pub fn int(self) -> Result<i64, DecodeError> {
        Ok(self.uint()?.cast_signed())
    }

    /// As an `int64` that must not be negative.
    pub fn natural(self, what: &'static str) -> Result<u64, DecodeError> {
        u64::try_from(self.int()?).map_err(|_| DecodeError::OutOfRange(what))
    }

    /// As an `int32` that must not be negative.
    pub fn natural32(self, what: &'static str) -> Result<u32, DecodeError> {
        let value = i32::try_from(self.int()?).map_err(|_| DecodeError::OutOfRange(what))?;
        u32::try_from(value).map_err(|_| DecodeError::OutOfRange(what))
    }

    /// As bytes.
    pub fn bytes(self) -> Result<&'a [u8], DecodeError> {
        match self {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(DecodeError::WireType),
        }
    }

    /// As a fixed number of bytes.
    pub fn array<const N: usize>(self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let bytes = self.bytes()?;
        bytes.try_into().map_err(|_| DecodeError::Length {
            what,
            got: bytes.len(),
        })
    }

    /// As a string of at most `max` bytes.
    pub fn string(self, what: &'static str, max: usize) -> Result<String, DecodeError> {
        let bytes = self.bytes()?;
        if bytes.len() > max {
            return Err(DecodeError::Length {
                what,
                got: bytes.len(),
            });
        }
        let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::OutOfRange(what))?;
        Ok(text.to_owned())
    }

    /// As a sub-message.
    pub fn message<M: Message>(self) -> Result<M, DecodeError> {
        M::read(self.bytes()?)
    }
}
