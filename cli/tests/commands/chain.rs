//! Exit codes against a real chain: what it refuses, what is not there, who does not answer.

use crate::support::{Chain, Ran, WEALTH, address, run, sample, welkin};

fn balance(chain: &Chain, account: &str) -> u64 {
    let whose = address(account).to_string();
    let answer = chain.json(
        "alice",
        &["query", "accounts", "account", "--address", &whose],
    );
    answer["answer"]["balance"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap()
}

#[test]
fn each_kind_of_failure_has_its_exit_code() {
    let chain = Chain::start();
    let to = address("bob").to_string();
    let alice = |words: &[&str]| -> Ran { chain.run("alice", words) };

    // 4: the chain refuses, with its module's words; only a transaction that stands in a block pays a fee.
    let much = (2 * WEALTH).to_string();
    let overdrawn = alice(&["tx", "accounts", "transfer", "--to", &to, "--amount", &much]);
    let said = overdrawn.failure(4);
    assert!(
        said.contains("accounts: ") && said.contains("uwlk are needed"),
        "{said}"
    );
    assert_eq!(balance(&chain, "bob"), WEALTH, "nothing moved");
    assert!(
        alice(&["deployment", "close", "7"])
            .failure(4)
            .contains("deployment: ")
    );
    // From a key that the chain has never heard of.
    let home = chain.path("stranger");
    let mut add = chain.welkin("stranger", &["keys", "add", "stranger"]);
    run(add.env("WELKIN_HOME", &home)).data();
    let mut send = chain.welkin(
        "stranger",
        &["tx", "accounts", "transfer", "--to", &to, "--amount", "1"],
    );
    let unknown = run(send.env("WELKIN_HOME", &home));
    assert!(unknown.failure(4).contains("runtime: "), "{}", unknown.err);

    // 3: there is no such thing.
    for words in [
        &["deployment", "show", "7"][..],
        &["lease", "status", "7/1/1"],
        &["provider", "show", &to],
        &["keys", "show", "nobody"],
    ] {
        alice(words).failure(3);
    }
    let mut nobody = chain.welkin(
        "nobody",
        &["tx", "accounts", "transfer", "--to", &to, "--amount", "1"],
    );
    run(&mut nobody).failure(3);

    // 2: the call does not fit its type.
    alice(&[
        "tx", "accounts", "transfer", "--to", "nobody", "--amount", "1",
    ])
    .failure(2);

    // After all of that the chain goes on.
    alice(&["tx", "accounts", "transfer", "--to", &to, "--amount", "5"]).data();
    assert_eq!(balance(&chain, "bob"), WEALTH + 5);
}

#[test]
fn a_chain_that_does_not_answer_or_is_another_is_a_failure_that_names_it() {
    let chain = Chain::start();
    chain.run("alice", &["provider", "list"]).data();
    let silent = run(chain
        .welkin("alice", &["provider", "list"])
        .env("WELKIN_NODE", "http://127.0.0.1:1"));
    assert!(
        silent.failure(1).contains("http://127.0.0.1:1"),
        "{}",
        silent.err
    );
    // Another network's folder.
    let other = Chain::start();
    let mut strange = other.welkin("alice", &["provider", "list"]);
    let refused = run(strange.env("WELKIN_HOME", chain.path("home")));
    assert!(
        refused.failure(1).contains("use another folder"),
        "{}",
        refused.err
    );
}

#[test]
fn a_shell_fails_with_255_and_says_the_code_that_it_would_have_been() {
    let chain = Chain::start();
    let ran = chain.run("alice", &["lease", "shell", "7/1/1", "--", "true"]);
    assert_eq!((ran.code, ran.out.as_str()), (255, ""));
    assert!(ran.err.contains("(code 3)"), "{}", ran.err);
}

#[test]
fn a_context_names_the_network_and_flags_go_before_it() {
    let chain = Chain::start();
    let home = chain.path("contexts");
    std::fs::create_dir_all(&home).unwrap();
    let genesis = chain.path("node/config/genesis.json");
    let text = format!(
        "current = \"here\"\n[contexts.here]\nnode = \"{}\"\ngenesis = \"{}\"\n[contexts.away]\nnode = \"http://127.0.0.1:1\"\ngenesis = \"{}\"\n",
        chain.url(),
        genesis.display(),
        genesis.display()
    );
    std::fs::write(home.join("config.toml"), text).unwrap();
    let ask = |words: &[&str]| {
        let mut command = welkin(&[&["query", "accounts", "supply"], words].concat());
        command.env("WELKIN_HOME", &home);
        command
    };
    run(&mut ask(&[])).data();
    run(ask(&[]).env("WELKIN_CONTEXT", "away")).failure(1);
    run(ask(&[])
        .env("WELKIN_CONTEXT", "away")
        .env("WELKIN_NODE", chain.url()))
    .data();
    let file = sample("minimal.yaml");
    let mut plan = welkin(&["plan", "-o", "json"]);
    assert_eq!(
        run(plan.arg(file).env("WELKIN_HOME", &home)).json()["accepted"],
        true
    );
}
