//! The name of an enum's variant, as serde writes it.
//!
//! Errors and events are named by their own derives, so that no table of names can fall behind.

use std::fmt;

use serde::Serialize;
use serde::ser::{Error, Impossible, Serializer};

/// The serialised name of `value`'s variant; empty when it is not an enum.
pub(crate) fn variant<T: Serialize>(value: &T) -> &'static str {
    match value.serialize(VariantName) {
        Ok(name) => name,
        Err(Found(name)) => name,
    }
}

/// Ends serialisation at the first thing that it meets. Variants with named fields would have to
/// return a serializer for them; they "fail" with the name instead.
struct VariantName;

#[derive(Debug)]
struct Found(&'static str);

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Found {}

impl Error for Found {
    fn custom<T: fmt::Display>(_message: T) -> Self {
        Found("")
    }
}

/// Everything that is not an enum has no variant.
macro_rules! nameless {
    ($($method:ident($($argument:ty),*) -> $output:ty;)*) => {
        $(fn $method(self, $(_: $argument),*) -> Result<$output, Found> {
            Err(Found(""))
        })*
    };
}

impl Serializer for VariantName {
    type Ok = &'static str;
    type Error = Found;
    type SerializeSeq = Impossible<&'static str, Found>;
    type SerializeTuple = Impossible<&'static str, Found>;
    type SerializeTupleStruct = Impossible<&'static str, Found>;
    type SerializeTupleVariant = Impossible<&'static str, Found>;
    type SerializeMap = Impossible<&'static str, Found>;
    type SerializeStruct = Impossible<&'static str, Found>;
    type SerializeStructVariant = Impossible<&'static str, Found>;

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
    ) -> Result<&'static str, Found> {
        Ok(name)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: &T,
    ) -> Result<&'static str, Found> {
        Ok(name)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Found> {
        Err(Found(name))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Found> {
        Err(Found(name))
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<&'static str, Found> {
        Err(Found(""))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: &T,
    ) -> Result<&'static str, Found> {
        Err(Found(""))
    }

    nameless! {
        serialize_bool(bool) -> &'static str;
        serialize_i8(i8) -> &'static str;
        serialize_i16(i16) -> &'static str;
        serialize_i32(i32) -> &'static str;
        serialize_i64(i64) -> &'static str;
        serialize_u8(u8) -> &'static str;
        serialize_u16(u16) -> &'static str;
        serialize_u32(u32) -> &'static str;
        serialize_u64(u64) -> &'static str;
        serialize_f32(f32) -> &'static str;
        serialize_f64(f64) -> &'static str;
        serialize_char(char) -> &'static str;
        serialize_str(&str) -> &'static str;
        serialize_bytes(&[u8]) -> &'static str;
        serialize_none() -> &'static str;
        serialize_unit() -> &'static str;
        serialize_unit_struct(&'static str) -> &'static str;
        serialize_seq(Option<usize>) -> Self::SerializeSeq;
        serialize_tuple(usize) -> Self::SerializeTuple;
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
        serialize_map(Option<usize>) -> Self::SerializeMap;
        serialize_struct(&'static str, usize) -> Self::SerializeStruct;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        AllUnit,
        OneField(u8),
        TwoFields(u8, u8),
        NamedFields { a: u8 },
    }

    #[test]
    fn every_kind_of_variant_has_its_serialised_name() {
        assert_eq!(variant(&Kind::AllUnit), "all_unit");
        assert_eq!(variant(&Kind::OneField(1)), "one_field");
        assert_eq!(variant(&Kind::TwoFields(1, 2)), "two_fields");
        assert_eq!(variant(&Kind::NamedFields { a: 1 }), "named_fields");
        assert_eq!(variant(&5u8), "");
        assert_eq!(variant(&Some(Kind::AllUnit)), "");
    }
}
