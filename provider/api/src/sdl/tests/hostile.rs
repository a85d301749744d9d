//! Files that are meant to hurt.

use super::*;
use crate::sdl::{MAX_BYTES, MAX_DEPTH};

fn first(text: &str) -> String {
    lenient(text).unwrap_err().first().unwrap().cause.clone()
}

#[test]
fn two_mebibytes_are_not_read() {
    let long = format!("{PLAIN}#{}", "x".repeat(2 * MAX_BYTES));
    let remarks = lenient(&long).unwrap_err();
    assert!(
        remarks
            .to_string()
            .starts_with("app.yaml:1:1: error: the file has"),
        "{remarks}"
    );
}

#[test]
fn an_alias_bomb_is_refused_at_the_alias_that_goes_too_far() {
    let mut text = "version: \"2.0\"\nbomb0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("bomb{level}: &a{level} [{aliases}]\n"));
    }
    let remarks = lenient(&text).unwrap_err();
    let item = remarks.first().unwrap();
    assert!(
        item.cause.contains("counting what aliases stand for"),
        "{remarks}"
    );
    assert!(item.at.line > 3 && item.at.column > 10, "{remarks}");
}

#[test]
fn aliases_that_go_deep_or_in_circles_are_refused() {
    let mut text = "a0: &a0 [x]\n".to_owned();
    for level in 1..100 {
        text.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    assert!(
        first(&text).contains("levels of nesting"),
        "{}",
        first(&text)
    );
    assert!(
        first("a: &a [*a]\n").contains("inside the value"),
        "{}",
        first("a: &a [*a]\n")
    );
    assert!(first("a: *nobody\n").contains("not YAML"));
}

#[test]
fn a_hundred_levels_are_refused() {
    let flow = format!("a: {}{}", "[".repeat(100), "]".repeat(100));
    assert!(
        first(&flow).contains(&format!("more than {MAX_DEPTH} levels")),
        "{}",
        first(&flow)
    );
    let block: String = (0..100)
        .map(|level| format!("{}a:\n", " ".repeat(level)))
        .collect();
    assert!(first(&block).contains("levels"), "{}", first(&block));
}

#[test]
fn crowds_are_refused() {
    let services: String = (0..100_001).map(|n| format!("  s{n}:\n")).collect();
    let text = PLAIN.replace("services:\n", &format!("services:\n{services}"));
    assert!(first(&text).contains("more than"), "{}", first(&text));
    let key = "k".repeat(1_025);
    let long_key = first(&format!("? {key}\n: x\n"));
    assert!(long_key.contains("a key of 1025 bytes"), "{long_key}");
}

#[test]
fn text_of_a_stranger_is_shown_short_and_on_one_line() {
    let text = "version: \"2.0\"\n\"evil\\nerror: line two\\e[31m\": 1\n";
    let shown = lenient(text).unwrap_err().to_string();
    assert!(
        shown.contains("evil\\nerror") && !shown.contains('\u{1b}'),
        "{shown}"
    );
    let long = refused(
        "image: nginx:1.29",
        &format!("image: [{}]", "x".repeat(5_000)),
    );
    assert!(long.len() < 400, "{long}");
    let suffix = refused("size: 512Mi", &format!("size: {}", "9".repeat(900)));
    assert!(suffix.len() < 400, "{suffix}");
}

#[test]
fn quantities_that_do_not_fit_are_refused_where_they_stand() {
    for size in [
        "-1Gi",
        "1e308",
        "99999999999999999999Ei",
        "NaN",
        ".inf",
        "0",
        "16Ei",
        "0x10",
    ] {
        let said = refused("size: 512Mi", &format!("size: {size}"));
        assert!(
            said.starts_with("app.yaml:16:17: error: "),
            "{size}: {said}"
        );
    }
    for units in ["-1", "1e308", "0", "NaN", "\"\"", "1000000", "[1]", "0.001"] {
        let said = refused("units: 0.5", &format!("units: {units}"));
        assert!(
            said.starts_with("app.yaml:14:18: error: "),
            "{units}: {said}"
        );
    }
    for amount in [
        "0",
        "-1",
        "0.0",
        "1e3",
        "10000001",
        "\"\"",
        "18446744073709551616",
        ".5",
    ] {
        let said = refused("amount: 100", &format!("amount: {amount}"));
        assert!(
            said.starts_with("app.yaml:24:19: error: "),
            "{amount}: {said}"
        );
    }
    for count in ["0", "-1", "4294967296", "\"1\"", "many", "[1]"] {
        let said = refused("count: 1", &format!("count: {count}"));
        assert!(
            said.starts_with("app.yaml:29:14: error: "),
            "{count}: {said}"
        );
    }
}

#[test]
fn what_no_file_can_ask_for_is_told_and_refused_with_strict() {
    let keys = [
        "privileged: true",
        "cap_add: [SYS_ADMIN]",
        "volumes: [\"/:/host\"]",
        "network_mode: host",
        "pid: host",
        "devices: [/dev/kvm]",
        "security_opt: [x]",
        "sysctls: {a: 1}",
        "runtime: runc",
        "user: root",
        "nodeSelector: {a: b}",
        "tolerations: []",
        "annotations: {a: b}",
        "labels: {a: b}",
        "hostNetwork: true",
        "priorityClassName: system-node-critical",
        "serviceAccountName: x",
    ];
    for key in keys {
        let text = PLAIN.replace("    image:", &format!("    {key}\n    image:"));
        let warnings = lenient(&text).unwrap().warnings;
        let shown = warnings.to_string();
        assert!(
            shown.starts_with("app.yaml:4:5: warning: services.web."),
            "{shown}"
        );
        assert!(shown.contains("cannot be asked for"), "{shown}");
        let strict = parse("app.yaml", text.as_bytes(), Strictness::Strict).unwrap_err();
        assert!(
            strict.to_string().starts_with("app.yaml:4:5: error: "),
            "{strict}"
        );
    }
}

#[test]
fn a_short_file_cannot_become_a_long_one() {
    let variables: String = (0..1_025).map(|n| format!("      - V{n}=x\n")).collect();
    let said = refused("    image:", &format!("    env:\n{variables}    image:"));
    assert!(said.contains("1025 entries; at most 1024"), "{said}");
    let targets: String = (0..1_025).map(|_| "          - global: true\n").collect();
    let said = refused("          - global: true\n", &targets);
    assert!(said.contains("1025 entries"), "{said}");
    let many = |count: usize| {
        let places: String = (0..count)
            .map(|n| format!("    p{n}:\n      pricing: {{web: {{denom: uwlk, amount: 1}}}}\n"))
            .collect();
        let deployed: String = (0..count)
            .map(|n| format!("    p{n}: {{profile: web, count: 1}}\n"))
            .collect();
        PLAIN
            .replace("  placement:\n", &format!("  placement:\n{places}"))
            .replace(
                "deployment:\n  web:\n",
                &format!("deployment:\n  web:\n{deployed}"),
            )
    };
    assert!(lenient(&many(63)).is_ok());
    assert!(
        first(&many(64)).contains("65 placements"),
        "{}",
        first(&many(64))
    );
}

#[test]
fn ten_thousand_mistakes_are_told_as_two_hundred() {
    let keys: String = (0..10_000).map(|n| format!("    kez{n}: 1\n")).collect();
    let text = PLAIN.replace(
        "    image: nginx:1.29\n",
        &format!("{keys}    image: nginx:1.29\n"),
    );
    assert_eq!(lenient(&text).unwrap().warnings.items.len(), 200);
    let wrong = text.replace("512Mi", "512mb");
    assert!(
        lenient(&wrong).is_err(),
        "an error counts however many warnings there are"
    );
}
