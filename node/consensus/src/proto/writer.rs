//! Writes protobuf fields.

use super::Message;

/// Collects the bytes of one message. Fields are to be written in ascending order.
#[derive(Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
}

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH_DELIMITED: u64 = 2;

impl Writer {
    /// An empty message.
    pub fn new() -> Self {
        Writer::default()
    }

    /// The bytes.
    pub fn finish(self) -> Vec<u8> {
        self.out
    }

    /// The bytes behind their length, as streams and sign bytes have them.
    pub fn finish_delimited(self) -> Vec<u8> {
        let mut framed = Writer {
            out: Vec::with_capacity(self.out.len() + 5),
        };
        framed.varint(self.out.len() as u64);
        framed.out.extend_from_slice(&self.out);
        framed.out
    }

    /// A `uint64`, `uint32` or enum; left out if 0.
    pub fn uint(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.key(field, VARINT);
            self.varint(value);
        }
    }

    /// An `int64` or `int32`; left out if 0, ten bytes if negative.
    pub fn int(&mut self, field: u32, value: i64) {
        self.uint(field, value.cast_unsigned());
    }

    /// An `sfixed64`; left out if 0.
    pub fn sfixed64(&mut self, field: u32, value: i64) {
        if value != 0 {
            self.key(field, FIXED64);
            self.out.extend_from_slice(&value.to_le_bytes());
        }
    }

    /// `bytes`; left out if empty.
    pub fn bytes(&mut self, field: u32, value: &[u8]) {
        if !value.is_empty() {
            self.repeated_bytes(field, value);
        }
    }

    /// A `string`; left out if empty.
    pub fn string(&mut self, field: u32, value: &str) {
        self.bytes(field, value.as_bytes());
    }

    /// One element of `repeated bytes`; written even if empty.
    pub fn repeated_bytes(&mut self, field: u32, value: &[u8]) {
        self.key(field, LENGTH_DELIMITED);
        self.varint(value.len() as u64);
        self.out.extend_from_slice(value);
    }

    /// A sub-message, or one element of repeated sub-messages; written even if empty.
    pub fn message(&mut self, field: u32, value: &impl Message) {
        self.repeated_bytes(field, &value.encode());
    }

    fn key(&mut self, field: u32, wire_type: u64) {
        self.varint(u64::from(field) << 3 | wire_type);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out.push((value as u8 & 0x7f) | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }
}
