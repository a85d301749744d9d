//! A provider that is killed: applications answer all the while, and what was closed meanwhile is gone, alone.

use crate::harness::{Net, block_on, no_engine, run, try_fetch, until};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use welkin_testnet::network::engine::IMAGE;
use welkin_testnet::network::http::over_socket;
use welkin_testnet::network::sources;

/// Between two requests of a visitor.
const PAUSE: Duration = Duration::from_millis(10);

/// Somebody who fetches a URL again and again, until it is dropped.
pub struct Visitor {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    thread: Option<JoinHandle<Vec<String>>>,
}

impl Visitor {
    pub fn start(url: &str) -> Visitor {
        let (stop, answered) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let (asked, count, url) = (stop.clone(), answered.clone(), url.to_owned());
        let visit = move || {
            let mut failures = Vec::new();
            while !asked.load(Ordering::SeqCst) {
                match try_fetch(&url) {
                    Ok(_) => drop(count.fetch_add(1, Ordering::SeqCst)),
                    Err(why) => failures.push(why),
                }
                std::thread::sleep(PAUSE);
            }
            failures
        };
        Visitor {
            stop,
            answered,
            thread: Some(std::thread::spawn(visit)),
        }
    }

    /// Waits until it got so many answers more.
    pub fn answered(&self, more: usize) {
        let before = self.answered.load(Ordering::SeqCst);
        until("a visitor is answered", || {
            (self.answered.load(Ordering::SeqCst) >= before + more).then_some(())
        });
    }

    /// Ends it; the requests that got no page.
    pub fn failures(mut self) -> Vec<String> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

/// The ids of containers with when they started, of one lease or of all.
pub fn identities(containers: &[Value], lease: Option<&str>) -> Vec<(String, String)> {
    let mut found: Vec<_> = containers
        .iter()
        .filter(|one| lease.is_none_or(|lease| one["Labels"]["welkin.lease"] == lease))
        .map(|one| (one["Id"].to_string(), one["Created"].to_string()))
        .collect();
    found.sort();
    found
}

/// A container of another provider on the same engine; its id.
fn of_somebody_else(net: &Net, like: &Value) -> String {
    let mut labels = like["Labels"].clone();
    labels["welkin.instance"] = json!("0123456789ab");
    let body = json!({ "Image": IMAGE, "Cmd": ["/hello", "web"], "Labels": labels });
    let socket = net.record().engine.unwrap().socket;
    let body = body.to_string().into();
    let made = block_on(over_socket(&socket, "POST", "/containers/create", body)).unwrap();
    made.json().unwrap()["Id"].as_str().unwrap().to_owned()
}

fn exists(net: &Net, container: &str) -> bool {
    let socket = net.record().engine.unwrap().socket;
    let path = format!("/containers/{container}/json");
    block_on(over_socket(&socket, "GET", &path, Default::default()))
        .unwrap()
        .status
        .is_success()
}

#[test]
fn applications_answer_while_their_provider_is_dead_and_of_two_only_the_closed_one_is_gone_after_its_start()
 {
    if no_engine("the provider's death") {
        return;
    }
    let (net, _) = Net::up(&["--validators", "1"]);
    let closed = net.deploy();
    let hello = sources().join("apps/hello/hello.yaml");
    let kept = net.deploy_as("bob", &hello, &[]);
    let provider = net.provider();
    let before = net.containers(&provider);
    let strange = of_somebody_else(&net, &before[0]);
    let kept_before = identities(&before, Some(&kept.leases[0]));
    assert_eq!((before.len(), kept_before.len()), (4, 2));
    let visitor = Visitor::start(&kept.urls[0]);
    let leaving = Visitor::start(&closed.urls[0]);

    net.kill(&provider.name);
    visitor.answered(20);
    run(&mut net.welkin("alice", &["deployment", "close", &closed.deployment]));
    leaving.answered(20);
    assert_eq!(leaving.failures(), [""; 0], "nobody was there to end it");

    let log = net.log(&provider.name);
    let began = Instant::now();
    net.start_daemon(&provider);
    until("the closed deployment is gone", || {
        let there = net.containers(&provider);
        identities(&there, Some(&closed.leases[0]))
            .is_empty()
            .then_some(())
    });
    let seconds = began.elapsed().as_secs_f64();
    eprintln!(
        "gone {seconds:.1} s after the provider's start:\n{}",
        log.text()
    );
    let network_gone = || !networks(&net).contains(&closed.leases[0].replace('/', "-"));
    until("so is its network", || network_gone().then_some(()));
    net.again(&[]);
    run(&mut net.welkin("bob", &["lease", "status", &kept.leases[0]]));
    let logs = run(&mut net.welkin("bob", &["lease", "logs", &kept.leases[0]]));
    assert!(logs.contains("listening"), "{logs}");

    visitor.answered(20);
    assert_eq!(visitor.failures(), [""; 0]);
    let after = net.containers(&provider);
    assert_eq!(identities(&after, None), kept_before);
    assert!(exists(&net, &strange), "another provider's container stays");
    assert!(try_fetch(&closed.urls[0]).is_err());
}

fn networks(net: &Net) -> String {
    let socket = net.record().engine.unwrap().socket;
    let listed = block_on(over_socket(&socket, "GET", "/networks", Default::default()));
    let names: Vec<String> = listed.unwrap().json().unwrap().as_array().unwrap()[..]
        .iter()
        .map(|one| one["Name"].to_string())
        .collect();
    names.join(" ")
}
