//! serde and JSON schema for types that have one text form.

use std::fmt::Display;
use std::marker::PhantomData;
use std::str::FromStr;

/// serde and JSON schema by `Display` and `FromStr`.
macro_rules! as_text {
    ($type:ident, $format:literal, $description:literal) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Self, D::Error> {
                deserializer.deserialize_any(crate::text::FromText::<$type>::new($description))
            }
        }

        impl schemars::JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "format": $format,
                    "description": $description,
                })
            }
        }
    };
}
pub(crate) use as_text;

/// Reads a value from its text form; a whole number is taken as its digits.
pub(crate) struct FromText<T>(&'static str, PhantomData<T>);

impl<T> FromText<T> {
    pub(crate) fn new(description: &'static str) -> FromText<T> {
        FromText(description, PhantomData)
    }
}

impl<T> serde::de::Visitor<'_> for FromText<T>
where
    T: FromStr,
    T::Err: Display,
{
    type Value = T;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<T, E> {
        number.to_string().parse().map_err(E::custom)
    }
}

/// A whole number in its only text form: digits, no sign, no leading zero.
pub(crate) fn whole_number<T: FromStr>(text: &str) -> Option<T> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = text == "0" || !text.starts_with('0');
    if digits && canonical {
        text.parse().ok()
    } else {
        None
    }
}
