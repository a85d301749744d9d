use super::*;

#[test]
fn an_address_reads_back_from_its_text() {
    let address = Address::of_key(&[7; 32]);
    let text = address.to_string();
    assert!(text.starts_with("welkin1"), "{text}");
    assert_eq!(text.parse(), Ok(address));
    assert_eq!(
        serde_json::to_string(&address).unwrap(),
        format!("{text:?}")
    );
    assert_eq!(
        serde_json::from_str::<Address>(&format!("{text:?}")).unwrap(),
        address
    );
}

#[test]
fn a_mistyped_foreign_or_short_address_says_what_is_wrong() {
    let text = Address([1; 20]).to_string();
    let mistyped = text.replace('q', "p");
    assert!(matches!(
        mistyped.parse::<Address>(),
        Err(AddressError::Malformed(_))
    ));
    assert!(matches!(
        text.to_uppercase().parse::<Address>(),
        Err(AddressError::Malformed(_))
    ));
    let hrp = bech32::Hrp::parse("cosmos").unwrap();
    let foreign = bech32::encode::<bech32::Bech32>(hrp, &[1; 20]).unwrap();
    assert_eq!(
        foreign.parse::<Address>(),
        Err(AddressError::OtherPrefix("cosmos".to_owned()))
    );
    let hrp = bech32::Hrp::parse(ADDRESS_PREFIX).unwrap();
    let short = bech32::encode::<bech32::Bech32>(hrp, &[1; 19]).unwrap();
    assert_eq!(short.parse::<Address>(), Err(AddressError::OtherLength(19)));
    let modern = bech32::encode::<bech32::Bech32m>(hrp, &[1; 20]).unwrap();
    assert!(matches!(
        modern.parse::<Address>(),
        Err(AddressError::Malformed(_))
    ));
    assert!("welkin1".repeat(1_000).parse::<Address>().is_err());
}

#[test]
fn amounts_are_written_as_text_and_read_from_text_or_number() {
    assert_eq!(
        serde_json::to_string(&Amount(u64::MAX)).unwrap(),
        "\"18446744073709551615\""
    );
    assert_eq!(
        serde_json::from_str::<Amount>("\"12\"").unwrap(),
        Amount(12)
    );
    assert_eq!(serde_json::from_str::<Amount>("12").unwrap(), Amount(12));
    for bad in [
        "-1", "1.5", "\"\"", "\"+1\"", "\" 1\"", "\"01\"", "\"1e3\"", "null", "[]",
    ] {
        assert!(serde_json::from_str::<Amount>(bad).is_err(), "{bad}");
    }
    assert!(serde_json::from_str::<Time>("\"18446744073709551616\"").is_err());
}

#[test]
fn amounts_never_wrap() {
    assert_eq!(Amount(u64::MAX).checked_add(Amount(1)), None);
    assert_eq!(Amount(1).checked_sub(Amount(2)), None);
    assert_eq!(Amount(u64::MAX).checked_mul(2), None);
    assert_eq!(Amount::checked_sum([Amount(u64::MAX), Amount(1)]), None);
    assert_eq!(Amount::checked_sum([Amount(2), Amount(3)]), Some(Amount(5)));
}

#[test]
fn a_hash_is_64_lower_case_digits() {
    let hash = Hash([0xab; 32]);
    assert_eq!(hash.to_string(), "ab".repeat(32));
    assert_eq!("ab".repeat(32).parse(), Ok(hash));
    assert_eq!("ab".repeat(31).parse::<Hash>(), Err(HashError));
}

#[test]
fn a_modules_address_is_fixed() {
    // Money lies at these addresses: a change here loses it.
    assert_eq!(
        Address::of_module("escrow").to_string(),
        "welkin1krq86vexrnx0a9wh2rchzgscn5q9pj6004wxjx"
    );
}
