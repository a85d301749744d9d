//! One rule after the other.

use super::*;
use crate::manifest::build;

#[test]
fn the_plain_file_is_fine_in_every_respect() {
    let sdl = parse("app.yaml", PLAIN.as_bytes(), Strictness::Strict).unwrap();
    assert_eq!(sdl.check_denomination(false), Ok(()));
    let built = build(&sdl).unwrap();
    assert_eq!(built.len(), 1);
    assert_eq!(built[0].spec.resources[0].max_rate_uwlk_per_hour.0, 60_000);
    assert_eq!(built[0].manifest.services[0].expose[0].external_port, 80);
}

#[test]
fn an_unknown_nested_key_is_a_warning_with_a_suggestion() {
    let sdl = accepted("    image:", "    comand: [a]\n    image:");
    assert_eq!(
        sdl.warnings.to_string(),
        "app.yaml:4:5: warning: services.web.comand: unknown key `comand` has no effect\n  \
         help: did you mean `command`?"
    );
}

#[test]
fn a_version_that_nobody_knows_is_a_warning_which_names_those_that_are_known() {
    for version in ["9.0", "2.2", "3"] {
        let to = format!("version: \"{version}\"");
        let said = accepted("version: \"2.0\"", &to).warnings.to_string();
        assert!(
            said.contains(&format!("`{version}` is not known")),
            "{said}"
        );
        assert!(said.contains("`version: \"2.0\"` or `\"2.1\"`"), "{said}");
        let text = PLAIN.replace("version: \"2.0\"", &to);
        let strict = parse("app.yaml", text.as_bytes(), Strictness::Strict);
        assert!(strict.unwrap_err().to_string().contains("error: version"));
    }
    for version in ["2.1", "2.1.3", "v2.1"] {
        let to = format!("version: \"{version}\"");
        let sdl = accepted("version: \"2.0\"", &to);
        assert!(sdl.warnings.is_empty(), "{}", sdl.warnings);
    }
}

/// What is replaced by what, and what the cause and the remedy hold then.
type Wrong = (&'static str, &'static str, &'static str, &'static str);

fn check_remedies(cases: &[Wrong]) {
    for (from, to, cause, remedy) in cases {
        let said = refused(from, to);
        let (head, help) = said.split_once("help: ").unwrap();
        assert!(head.contains(cause), "{to}: {said}");
        assert!(help.contains(remedy), "{to}: {said}");
        // An example that names the key is taken in the place of what was refused.
        let key = from.split(' ').next().unwrap();
        let example = help.split('`').nth(1).filter(|text| text.starts_with(key));
        if let Some(example) = example {
            assert!(changed(from, example).is_ok(), "{example}");
        }
    }
}

#[test]
fn the_remedy_for_a_size_is_one_that_would_be_taken() {
    let memory = "size: 512Mi";
    check_remedies(&[
        (memory, "size: 512mb", "`512mb` is not a size", "`512Mi`"),
        (memory, "size: 16Ei", "`16Ei` is too large", "as in `512Mi`"),
        (memory, "size: 0", "too little", "`memory: {size: 512Mi}`"),
        (memory, "size: 3Ti", "too much", "`memory: {size: 512Mi}`"),
        ("size: 1Gi", "size: 1Mi", "is too little", "`size: 1Gi`"),
        (
            "units: 0.5",
            "units: 0",
            "too little",
            "`cpu: {units: 0.5}`",
        ),
    ]);
}

#[test]
fn the_remedy_for_a_count_a_port_and_a_price_is_one_that_would_be_taken() {
    let (price, fine) = ("amount: 100", "amount: 0.1234567890123456789");
    check_remedies(&[
        ("count: 1", "count: 0", "the count is 0", "`count: 1`"),
        ("count: 1", "count: \"3\"", "not the text `3`", "`count: 1`"),
        ("port: 80", "port: http", "not `http`", "`port: 80`"),
        (price, "amount: 99999999", "too high", "`amount: 10000000`"),
        (price, "amount: 1e3", "is not a price", "`amount: 100`"),
        (price, fine, "18 digits", "`amount: 100`"),
    ]);
}

#[test]
fn an_unknown_top_level_key_is_an_error() {
    assert_eq!(
        refused("profiles:", "x: 1\nprofile:"),
        "app.yaml:9:1: error: x: unknown key `x`\n  help: remove it, or use one of: version, \
         services, profiles, deployment, endpoints, reclamation, include"
    );
    let likely = refused("deployment:", "deployments:");
    assert!(likely.ends_with("did you mean `deployment`?"), "{likely}");
}

#[test]
fn cpu_gpu_and_storage_attributes_are_strict() {
    assert!(refused("units: 0.5", "unit: 0.5").contains("unknown key `unit`"));
    let attribute = "size: 1Gi\n          attributes: {speed: high}";
    assert!(refused("size: 1Gi", attribute).contains("unknown key `speed`"));
    let architecture = "units: 0.5\n          attributes: {os: linux}";
    assert!(refused("units: 0.5", architecture).contains("unknown key `os`"));
}

#[test]
fn names_that_lead_nowhere_are_told_with_the_nearest() {
    let profile = refused("profile: web", "profile: wbe");
    assert!(
        profile.starts_with("app.yaml:28:16: error: deployment.web.eu"),
        "{profile}"
    );
    assert!(profile.ends_with("did you mean `web`?"), "{profile}");
    assert!(refused("    eu:\n      prof", "    us:\n      prof").contains("placement profile"));
    assert!(refused("  web:\n    eu", "  app:\n    eu").contains("no service `app`"));
    let price = refused(
        "        web:\n          denom",
        "        app:\n          denom",
    );
    assert!(price.contains("price for compute profile `web`"), "{price}");
}

#[test]
fn yaml_as_people_write_it_is_understood() {
    for yes in ["yes", "on", "y", "True", "TRUE", "\"yes\""] {
        let sdl = accepted("global: true", &format!("global: {yes}"));
        assert!(sdl.groups[0].services[0].expose[0].global, "{yes}");
    }
    for other in ["\"true\"", "1", "Yes", "si"] {
        assert!(refused("global: true", &format!("global: {other}")).contains("`true` or `false`"));
    }
    for port in ["0x50", "0o120", "0120", "8_0", "80.0", "+80"] {
        let sdl = accepted("port: 80", &format!("port: {port}"));
        assert_eq!(sdl.groups[0].services[0].expose[0].port, 80, "{port}");
    }
    assert!(refused("port: 80", "port: \"80\"").contains("the text `80`"));
    let numbers = accepted(
        "    image: nginx:1.29",
        "    image: nginx\n    args: [1, true, 1.50]",
    );
    assert_eq!(numbers.groups[0].services[0].args, ["1", "true", "1.50"]);
    let nothing = accepted(
        "    image: nginx:1.29",
        "    image: nginx\n    env:\n    args: [~, a]",
    );
    assert_eq!(nothing.groups[0].services[0].args, ["a"]);
    let text = refused(
        "    image: nginx:1.29",
        "    image: nginx\n    command: sleep 1",
    );
    assert!(
        text.contains("a list is expected here, not `sleep 1`"),
        "{text}"
    );
    let pair = refused(
        "    image: nginx:1.29",
        "    image: nginx\n    env:\n      - A: b",
    );
    assert!(
        pair.contains("services.web.env[0]: a single value is expected"),
        "{pair}"
    );
    let twice = refused("    image: nginx:1.29", "    image: a\n    image: b");
    assert!(twice.contains("given before, at line 4"), "{twice}");
}

#[test]
fn anchors_and_merges_are_followed() {
    let from = "        cpu:\n          units: 0.5\n        memory:\n          size: 512Mi\n";
    let to = "        cpu: &cpu\n          units: 0.5\n        memory: {<<: *size}\n";
    let text = PLAIN
        .replace(from, to)
        .replace("services:", "services: # here");
    let text = text.replace(
        "        storage:\n          size: 1Gi",
        "        storage: *missing",
    );
    assert!(lenient(&text).is_err());
    let merged =
        "        memory: &size\n          size: 1Gi\n        storage:\n          <<: *size\n";
    let from = "        memory:\n          size: 512Mi\n        storage:\n          size: 1Gi\n";
    let sdl = accepted(from, merged);
    assert_eq!(sdl.groups[0].units[0].resources.storage[0].bytes, 1 << 30);
    let own = merged.replace("<<: *size", "<<: *size\n          size: 2Gi");
    let sdl = accepted(from, &own);
    assert_eq!(sdl.groups[0].units[0].resources.storage[0].bytes, 2 << 30);
}

#[test]
fn a_second_document_is_not_read() {
    let sdl = lenient(&format!("{PLAIN}---\n: [broken\n")).unwrap();
    assert!(
        sdl.warnings.to_string().contains("a second document"),
        "{}",
        sdl.warnings
    );
}

#[test]
fn a_file_that_is_no_description_is_refused() {
    for (text, said) in [
        ("", "the file is empty"),
        ("# nothing\n", "the file is empty"),
        ("just text", "a mapping is expected"),
        ("[1]", "a mapping is expected"),
        ("services: {}\n", "names no version"),
        ("version: 1.0\n", "version `1.0` is not supported"),
        ("version: \"2.0\"\n", "nothing is deployed"),
        ("version: \"2.0\"\nservices: [a\n", "not YAML"),
    ] {
        let remarks = lenient(text).unwrap_err();
        assert!(remarks.to_string().contains(said), "{text}: {remarks}");
    }
    let remarks = parse(
        "app.yaml",
        b"version: \"2.0\"\nx: \xff\n",
        Strictness::Lenient,
    );
    assert!(
        remarks
            .unwrap_err()
            .to_string()
            .starts_with("app.yaml:2:4: error: the file is not")
    );
}

#[test]
fn prices_in_other_money_are_read_but_not_paid_unless_told() {
    let sdl = accepted("denom: uwlk", "denom: uakt");
    let said = sdl.check_denomination(false).unwrap_err().to_string();
    assert!(said.starts_with("app.yaml:23:18: error: "), "{said}");
    assert!(
        said.contains("`uakt`") && said.contains("--price-as-uwlk"),
        "{said}"
    );
    assert_eq!(sdl.check_denomination(true), Ok(()));
    assert_eq!(
        build(&sdl).unwrap()[0].spec.resources[0]
            .max_rate_uwlk_per_hour
            .0,
        60_000
    );
}

#[test]
fn a_price_below_one_micro_token_an_hour_cannot_be_paid() {
    let hourly = |amount: &str| {
        let sdl = accepted("amount: 100", &format!("amount: {amount}"));
        build(&sdl).map(|built| built[0].spec.resources[0].max_rate_uwlk_per_hour.0)
    };
    assert_eq!(hourly("0.0017"), Ok(1));
    assert_eq!(hourly("0.5"), Ok(300));
    assert_eq!(hourly("1.999999"), Ok(1_199));
    let said = hourly("0.0016").unwrap_err().to_string();
    assert!(said.starts_with("app.yaml:24:19: error: "), "{said}");
}

#[test]
fn what_no_provider_would_run_is_read_but_not_built() {
    let name = "    image: \"<your image>\"";
    let sdl = accepted("    image: nginx:1.29", name);
    assert!(
        sdl.warnings
            .to_string()
            .contains("is not the name of an image")
    );
    let said = build(&sdl).unwrap_err().to_string();
    assert!(
        said.starts_with("app.yaml:4:12: error: services.web.image"),
        "{said}"
    );
    let auditor = "    eu:\n      signedBy: {anyOf: [akash1365yvmc4s7awdyj3n2sav7xfx76adc6dnmlx63]}\n      pricing";
    let sdl = accepted("    eu:\n      pricing", auditor);
    let said = build(&sdl).unwrap_err().to_string();
    assert!(
        said.contains("app.yaml:21:26: error") && said.contains("signedBy"),
        "{said}"
    );
}

#[test]
fn version_2_1_shares_units_and_2_0_does_not() {
    let two = PLAIN
        .replace("profiles:", "  api:\n    image: api\nprofiles:")
        .replace(
            "deployment:",
            "deployment:\n  api:\n    eu: {profile: web, count: 3}",
        );
    let separate = lenient(&two).unwrap();
    assert_eq!(separate.groups[0].units.len(), 2);
    let shared = lenient(&two.replace("\"2.0\"", "\"2.1\"")).unwrap();
    assert_eq!(shared.groups[0].units.len(), 1);
    assert_eq!(shared.groups[0].units[0].count, 4);
    assert!(
        shared.groups[0]
            .services
            .iter()
            .all(|service| service.unit == 1)
    );
}

#[test]
fn every_error_of_a_stage_is_told_at_once() {
    let text = PLAIN
        .replace("512Mi", "512mb")
        .replace("units: 0.5", "units: half");
    let remarks = lenient(&text).unwrap_err();
    let lines: Vec<usize> = remarks.items.iter().map(|item| item.at.line).collect();
    assert_eq!(lines, [14, 16]);
}

#[test]
fn leased_addresses_are_declared_used_and_not_shared_by_port() {
    let with_ip = |to: &str, rest: &str| {
        lenient(
            &PLAIN
                .replace("- global: true", to)
                .replace("deployment:", rest),
        )
    };
    let declared = "endpoints:\n  blog:\n    kind: ip\ndeployment:";
    let sdl = with_ip("- {global: true, ip: blog}", declared).unwrap();
    assert_eq!(sdl.groups[0].units[0].endpoints.len(), 2);
    let unused = with_ip("- global: true", declared).unwrap_err().to_string();
    assert!(unused.contains("endpoint `blog` is not used"), "{unused}");
    let undeclared = with_ip("- {global: true, ip: blgo}", declared)
        .unwrap_err()
        .to_string();
    assert!(undeclared.contains("did you mean `blog`?"), "{undeclared}");
    let local = with_ip("- {ip: blog}", declared).unwrap_err().to_string();
    assert!(local.contains("without `global: true`"), "{local}");
    let twice = with_ip(
        "- {global: true, ip: blog}\n          - {global: true, ip: blog}",
        declared,
    );
    assert!(
        twice
            .unwrap_err()
            .to_string()
            .contains("is taken by service `web`")
    );
    let kind = with_ip(
        "- {global: true, ip: blog}",
        &declared.replace("ip\n", "port\n"),
    );
    assert!(
        kind.unwrap_err()
            .to_string()
            .contains("`port` is not a kind")
    );
}

#[test]
fn a_host_name_belongs_to_one_expose() {
    let with = |accept: &str| changed("port: 80", &format!("port: 80\n        accept: [{accept}]"));
    assert!(with("www.example.com").is_ok());
    assert!(
        with("\"*.example.com\"")
            .unwrap_err()
            .to_string()
            .contains("wildcard")
    );
    assert!(
        with("a.com, a.com")
            .unwrap_err()
            .to_string()
            .contains("asked for twice")
    );
    let address = with("127.0.0.1").unwrap();
    assert!(build(&address).is_err());
}

#[test]
fn a_service_that_is_placed_nowhere_need_not_exist() {
    // Found by mutation: numbering leased addresses looked it up.
    assert!(changed("deployment:\n", "deployment:\n  ghost:\n").is_ok());
    assert!(changed("deployment:\n", "deployment:\n  ghost: {}\n").is_ok());
}

#[test]
fn names_are_refused_if_the_existing_parsers_do_and_else_before_anything_is_sent() {
    let service = |name: &str| {
        lenient(
            &PLAIN
                .replace("services:\n  web:", &format!("services:\n  {name}:"))
                .replace("deployment:\n  web:", &format!("deployment:\n  {name}:")),
        )
    };
    for name in [
        "Web",
        "we_b",
        "1web",
        "web-",
        "\"../etc\"",
        "\"a\\nb\"",
        "\"{}\"",
        "wеb",
        "\"\"",
    ] {
        let said = service(name).unwrap_err().to_string();
        assert!(
            said.contains("app.yaml:3:3: error") && said.contains("cannot name"),
            "{said}"
        );
    }
    let long = service(&"w".repeat(64)).unwrap();
    assert!(build(&long).is_err());
    let place = |name: &str| lenient(&PLAIN.replace("    eu:", &format!("    {name}:")));
    assert!(place("\"\"").is_err());
    assert!(build(&place("\"../eu\"").unwrap()).is_err());
    assert!(refused("denom: uwlk", "denom: \"u k\"").contains("not the name of a money"));
    assert!(refused("denom: uwlk", "denom:").contains("no money"));
    let gpu = "        gpu: {units: 1, attributes: {vendor: {nvidia: [{model: RTX 4090}]}}}\n";
    let said = refused("        memory:\n", &format!("{gpu}        memory:\n"));
    assert!(
        said.contains("`RTX 4090` is not the name of a model"),
        "{said}"
    );
}
