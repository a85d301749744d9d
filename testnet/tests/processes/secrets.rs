//! What only tenant and provider may know: a canary in a manifest is nowhere on the chain, and not with the other
//! group's provider.
//!
//! Each search is shown to see: what is public of the same file is found in the same places.

use crate::harness::{Net, block_on, no_engine, run};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use std::path::Path;
use welkin_client::Chain;
use welkin_provider::backend::Instance;
use welkin_provider::config::Config;
use welkin_provider::daemon::identity;
use welkin_provider::manifests::{Manifests, SealingKey};
use welkin_testnet::network::http::{over_socket, over_tcp};
use welkin_testnet::network::record::Provider;

/// Two groups, each for one provider's region, each with a secret of its own.
pub fn sdl(public: &str, secrets: [&str; 2]) -> String {
    let service = |name: &str, secret: &str| {
        format!(
            "  {name}:\n    image: welkin.local/hello:1\n    command: [\"/hello\", \"web\"]\n    \
             env:\n      - SECRET={secret}\n    expose:\n      - port: 8080\n        as: 80\n        \
             to:\n          - global: true\n"
        )
    };
    let placement = |name: &str, region: &str| {
        format!(
            "    {name}:\n      attributes:\n        region: {region}\n      pricing:\n        small:\n          \
             denom: uwlk\n          amount: 1000\n"
        )
    };
    let deployed = |name: &str, group: &str| {
        format!("  {name}:\n    {group}:\n      profile: small\n      count: 1\n")
    };
    let (first, second) = (format!("{public}-a"), format!("{public}-b"));
    format!(
        "version: \"2.0\"\nservices:\n{}{}profiles:\n  compute:\n    small:\n      resources:\n        \
         cpu:\n          units: 0.1\n        memory:\n          size: 64Mi\n        storage:\n          size: 64Mi\n  \
         placement:\n{}{}deployment:\n{}{}",
        service("left", secrets[0]),
        service("right", secrets[1]),
        placement(&first, "local-0"),
        placement(&second, "local-1"),
        deployed("left", &first),
        deployed("right", &second),
    )
}

/// A word that nobody else uses.
fn word() -> String {
    format!("canary{}", hex::encode(rand::random::<[u8; 12]>()))
}

/// How a word looks in bytes, in hexadecimal digits, and in base64 wherever it begins.
struct Sought(Vec<String>);

impl Sought {
    fn of(word: &str) -> Sought {
        let mut forms = vec![word.into(), hex::encode(word), hex::encode_upper(word)];
        for shift in 0..3 {
            let text = BASE64.encode([&b"   "[..shift], word.as_bytes()].concat());
            // The ends depend on the neighbours.
            forms.push(text[4..text.len() - 4].into());
        }
        Sought(forms)
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        // The forms are ASCII, which this leaves as it is.
        let text = String::from_utf8_lossy(bytes);
        self.0.iter().any(|form| text.contains(form))
    }
}

/// The files below a folder in which the word is.
fn files_with(folder: &Path, sought: &Sought) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files_with(&path, sought));
        } else if kind.is_file() && std::fs::read(&path).is_ok_and(|bytes| sought.is_in(&bytes)) {
            found.push(path.display().to_string());
        }
    }
    found
}

/// Every answer about every block.
fn answers(net: &Net, chain: &Chain) -> Vec<u8> {
    let rpc = &net.record().validators[0].rpc;
    let newest = block_on(chain.rpc().status()).unwrap().value;
    let mut all = Vec::new();
    for height in 1..=newest.sync_info.latest_block_height {
        for method in ["block", "block_results", "commit", "validators"] {
            let url = format!("{rpc}/{method}?height={height}");
            all.extend_from_slice(
                &block_on(over_tcp("GET", &url, Default::default()))
                    .unwrap()
                    .body,
            );
        }
    }
    for method in ["status", "genesis", "net_info", "health"] {
        let url = format!("{rpc}/{method}");
        all.extend_from_slice(
            &block_on(over_tcp("GET", &url, Default::default()))
                .unwrap()
                .body,
        );
    }
    all
}

/// Everything that the engine tells of a provider's containers.
fn inspected(net: &Net, provider: &Provider) -> Vec<u8> {
    let socket = net.record().engine.unwrap().socket;
    let containers = net.containers(provider);
    assert_eq!(containers.len(), 1);
    let id = containers[0]["Id"].as_str().unwrap();
    let path = format!("/containers/{id}/json");
    let answer = block_on(over_socket(&socket, "GET", &path, Default::default())).unwrap();
    answer.body.to_vec()
}

/// The only manifest that a provider can open.
fn opened(net: &Net, chain: &Chain, provider: &Provider) -> Vec<u8> {
    let config = Config::read(&provider.config, &Default::default()).unwrap();
    let key = identity(&config).unwrap().key;
    let instance = Instance {
        genesis: chain.info().genesis_hash,
        provider: provider.address,
    };
    let others = net.record().providers;
    let mut found = Vec::new();
    for one in others {
        let folder = one.home.join("manifests");
        let seal = SealingKey::derive(key.seed());
        let kept = Manifests::open(folder, instance.clone(), seal).unwrap();
        for lease in kept.leases().unwrap() {
            let versions = kept.versions(lease).unwrap();
            // What another provider sealed does not open.
            if let Ok(Some(kept)) = kept.get(lease, versions.accepted.unwrap()) {
                found.push(kept.manifest);
            }
        }
    }
    assert_eq!(found.len(), 1);
    found.remove(0)
}

#[test]
fn a_secret_of_a_manifest_is_nowhere_on_the_chain_and_only_with_the_provider_of_its_group() {
    if no_engine("the secrets of manifests") {
        return;
    }
    let (net, _) = Net::up(&["--validators", "2", "--providers", "2"]);
    let (public, secrets) = (word(), [word(), word()]);
    let file = net.folder().join("two-groups.yaml");
    std::fs::write(&file, sdl(&public, [&secrets[0], &secrets[1]])).unwrap();
    let deployed = net.deploy_as("alice", &file, &[]);
    assert_eq!(deployed.leases.len(), 2);
    for lease in &deployed.leases {
        run(&mut net.welkin("alice", &["lease", "logs", lease]));
    }
    let chain = net.chain();
    let (public, sought) = (
        Sought::of(&public),
        [Sought::of(&secrets[0]), Sought::of(&secrets[1])],
    );
    let network = net.record();

    let answers = answers(&net, &chain);
    assert!(public.is_in(&answers), "the search does not see");
    // Stopped, so that what was only in memory is in the files as well.
    net.down(&[]);
    for validator in &network.validators {
        let log = std::fs::read(network.log(&validator.name)).unwrap();
        assert!(
            !files_with(&validator.home, &public).is_empty(),
            "the search does not see"
        );
        for secret in &sought {
            assert_eq!(files_with(&validator.home, secret), [""; 0]);
            assert!(!secret.is_in(&log), "the log of {}", validator.name);
            assert!(!secret.is_in(&answers), "an answer of the RPC");
        }
    }
    net.again(&[]);

    for (index, provider) in network.providers.iter().enumerate() {
        let (own, other) = (&sought[index], &sought[1 - index]);
        let inspected = inspected(&net, provider);
        assert!(own.is_in(&inspected) && !other.is_in(&inspected));
        let manifest = opened(&net, &chain, provider);
        assert!(own.is_in(&manifest) && !other.is_in(&manifest));
        for secret in &sought {
            assert_eq!(files_with(&provider.home, secret), [""; 0], "sealed");
            let log = std::fs::read(network.log(&provider.name)).unwrap();
            assert!(!secret.is_in(&log), "the log of {}", provider.name);
        }
    }
}
