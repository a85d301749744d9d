use super::*;

#[test]
fn times_are_printed_as_go_prints_them() {
    let cases = [
        (Timestamp::ZERO, "0001-01-01T00:00:00Z"),
        (Timestamp::default(), "1970-01-01T00:00:00Z"),
        (
            Timestamp {
                seconds: 1_709_208_000,
                nanos: 500_000_000,
            },
            "2024-02-29T12:00:00.5Z",
        ),
        (
            Timestamp {
                seconds: -1,
                nanos: 999_999_999,
            },
            "1969-12-31T23:59:59.999999999Z",
        ),
        (
            Timestamp {
                seconds: MAX_SECONDS,
                nanos: 1,
            },
            "9999-12-31T23:59:59.000000001Z",
        ),
    ];
    for (time, text) in cases {
        assert_eq!(time.to_string(), text);
        assert_eq!(text.parse::<Timestamp>().unwrap(), time);
        assert_eq!(Timestamp::decode(&time.encode()).unwrap(), time);
    }
}

#[test]
fn offsets_are_turned_into_utc() {
    let utc: Timestamp = "2024-03-01T00:30:00Z".parse().unwrap();
    assert_eq!(
        "2024-03-01T02:00:00+01:30".parse::<Timestamp>().unwrap(),
        utc
    );
    assert_eq!(
        "2024-02-29T19:30:00-05:00".parse::<Timestamp>().unwrap(),
        utc
    );
}

#[test]
fn texts_that_are_no_time_are_refused() {
    let texts = [
        "",
        "2024",
        "2024-01-01",
        "2024-01-01T00:00:00",
        "2024-01-01 00:00:00Z",
        "2023-02-29T00:00:00Z",
        "2024-13-01T00:00:00Z",
        "2024-00-01T00:00:00Z",
        "2024-01-32T00:00:00Z",
        "2024-01-01T24:00:00Z",
        "2024-01-01T00:60:00Z",
        "2024-01-01T00:00:60Z",
        "2024-01-01T00:00:00.Z",
        "2024-01-01T00:00:00.1234567890Z",
        "2024-01-01T00:00:00+24:00",
        "2024-01-01T00:00:00+1:00",
        "+024-01-01T00:00:00Z",
        "2024-01-01T00:00:00ZZ",
        "0000-01-01T00:00:00Z",
        "2024-01-01T00:00:0\u{661}Z",
        "9999-12-31T23:59:59-00:01",
        "2024-01-0\u{20ac}T00:00:00Z",
    ];
    for text in texts {
        assert!(text.parse::<Timestamp>().is_err(), "`{text}` was accepted");
    }
}

#[test]
fn dates_and_days_are_inverse_over_eight_hundred_years() {
    for days in -292_194..292_194 {
        let (year, month, day) = civil_from_days(days);
        assert_eq!(days_from_civil(year, month, day), days);
    }
}

#[test]
fn arithmetic_is_clipped_to_the_years_that_can_be_written() {
    let start = Timestamp {
        seconds: 1,
        nanos: 0,
    };
    assert_eq!(
        start.plus_nanos(-1),
        Timestamp {
            seconds: 0,
            nanos: 999_999_999
        }
    );
    assert_eq!(
        start.plus_nanos(-1_000_000_001),
        Timestamp {
            seconds: -1,
            nanos: 999_999_999
        }
    );
    assert_eq!(start.plus_nanos(i128::MAX).seconds, MAX_SECONDS);
    assert_eq!(start.plus_nanos(i128::MIN), Timestamp::ZERO);
    let runtime = start.to_runtime().unwrap();
    assert_eq!(Timestamp::from_runtime(runtime), start);
    assert_eq!(Timestamp::ZERO.to_runtime(), None);
}

#[test]
fn times_outside_their_range_are_not_read() {
    for time in [
        Timestamp {
            seconds: 0,
            nanos: -1,
        },
        Timestamp {
            seconds: 0,
            nanos: 1_000_000_000,
        },
        Timestamp {
            seconds: MAX_SECONDS + 1,
            nanos: 0,
        },
        Timestamp {
            seconds: i64::MIN,
            nanos: 0,
        },
    ] {
        assert!(Timestamp::decode(&time.encode()).is_err(), "{time:?}");
    }
}
