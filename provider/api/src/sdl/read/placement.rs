//! `profiles.placement.NAME` and `deployment.SERVICE`.

use super::super::diagnostics::{Spanned, quoted};
use super::super::document::{Named, Placed, Placement, Price};
use super::super::fields::{Field, Reader, Unknown};
use super::super::quantity::{Decimal, NumberError};
use super::{named, number_or_zero, optional_text, text_map, texts_or_none};

pub(super) fn placement(reader: &mut Reader, field: &Field<'_>, path: &str) -> Placement {
    let fields = reader.fields(field, path, "pricing: {...}");
    fields.expect_only(
        reader,
        &["attributes", "signedBy", "pricing"],
        Unknown::Ignored,
    );
    let mut placement = Placement::default();
    if let Some(attributes) = fields.get("attributes") {
        let entry = reader.fields(
            &attributes,
            &fields.path_of("attributes"),
            "region: eu-west",
        );
        placement.attributes = text_map(reader, &entry)
            .into_iter()
            .map(|(key, text)| (key, text.value))
            .collect();
    }
    if let Some(signed_by) = fields.get("signedBy") {
        let entry = reader.fields(
            &signed_by,
            &fields.path_of("signedBy"),
            "anyOf: [welkin1...]",
        );
        entry.expect_only(reader, &["allOf", "anyOf"], Unknown::Ignored);
        placement.all_of = texts_or_none(reader, &entry, "allOf");
        placement.any_of = texts_or_none(reader, &entry, "anyOf");
    }
    placement.pricing = named(
        reader,
        fields.get("pricing"),
        &fields.path_of("pricing"),
        price,
    );
    placement
}

fn price(reader: &mut Reader, field: &Field<'_>, path: &str) -> Price {
    let zero = Spanned {
        value: Decimal::default(),
        at: field.key_at,
    };
    let nothing = Spanned {
        value: String::new(),
        at: field.key_at,
    };
    if field.node.is_null() {
        return Price {
            amount: zero,
            denom: nothing,
        };
    }
    let fields = reader.fields(field, path, "{denom: uwlk, amount: 100}");
    fields.expect_only(reader, &["amount", "denom"], Unknown::Ignored);
    let denom = optional_text(reader, &fields, "denom").unwrap_or(nothing);
    let amount = fields.get("amount").unwrap_or(*field);
    let place = fields.path_of("amount");
    let at = amount.at();
    let remedy = "write micro-tokens for a block of 6 s, as digits with or without a point, as \
        in `amount: 100`";
    let text = match fields.get("amount") {
        Some(amount) => reader
            .written(&amount, &place, "a price", remedy)
            .unwrap_or_default(),
        None => "",
    };
    let value = match Decimal::parse_amount(text) {
        Ok(value) if value.is_zero() => {
            reader.error(at, &place, "the price is 0; nobody can bid on that", remedy);
            Decimal::default()
        }
        Ok(value) => value,
        Err(NumberError::NotANumber) if text.is_empty() => {
            reader.error(at, &place, "there is no amount", remedy);
            Decimal::default()
        }
        Err(error) => {
            reader.error(
                at,
                &place,
                format!("{} {}", quoted(text), error.cause("a price")),
                remedy,
            );
            Decimal::default()
        }
    };
    Price {
        amount: Spanned { value, at },
        denom,
    }
}

pub(super) fn placed(reader: &mut Reader, field: &Field<'_>, path: &str) -> Named<Placed> {
    named(reader, Some(*field), path, |reader, entry, path| {
        let fields = reader.fields(entry, path, "{profile: web, count: 1}");
        fields.expect_only(reader, &["profile", "count"], Unknown::Ignored);
        let missing = Spanned {
            value: String::new(),
            at: entry.key_at,
        };
        Placed {
            profile: optional_text(reader, &fields, "profile").unwrap_or(missing),
            count: number_or_zero(reader, &fields, "count"),
        }
    })
}
