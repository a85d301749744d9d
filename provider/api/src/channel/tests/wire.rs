//! Bytes: fixed, bounded, and harmless when they are wrong.

use std::fmt::Write;

use borsh::BorshSerialize;

use super::*;
use crate::channel::session::{ClientSession, FromTenant, ProtocolError, ServerSession};
use crate::delegation::Scope;
use crate::manifest::{Opening, Salt};

fn requests() -> Vec<Request> {
    vec![
        Request::SendManifest {
            manifest: vec![1, 2, 3],
            opening: Opening {
                index: 0,
                salt: Salt([4; 32]),
                siblings: vec![Hash([5; 32])],
            },
        },
        Request::GetManifest,
        Request::LeaseStatus,
        Request::Logs(LogQuery {
            services: vec!["web".to_owned()],
            follow: true,
            tail: Some(10),
        }),
        Request::Events { follow: false },
        Request::Exec(shell(true, true)),
    ]
}

fn refusal(reason: Reason) -> Refusal {
    Refusal {
        reason,
        message: "no".to_owned(),
    }
}

fn answers() -> Vec<Answer> {
    vec![
        Answer::Refused(refusal(Reason::LeaseClosed)),
        Answer::Accepted {
            manifest_hash: Hash([1; 32]),
        },
        Answer::Manifest(KeptManifest {
            manifest: vec![1],
            salt: Salt([2; 32]),
        }),
        Answer::Status(status()),
        Answer::Streaming,
        Answer::Quotes(vec![
            Quote::Rate(Amount(7)),
            Quote::Declined(vec!["no".to_owned()]),
        ]),
    ]
}

fn inquiry() -> Inquiry {
    Inquiry {
        groups: vec![group(1), group(2)],
    }
}

fn outputs() -> Vec<Output> {
    vec![
        Output::Stdout(b"out".to_vec()),
        Output::Stderr(b"err".to_vec()),
        Output::Log(LogLine {
            service: "web".to_owned(),
            replica: 1,
            time: Some(Time(5)),
            stderr: false,
            text: "GET /".to_owned(),
        }),
        Output::Event(LeaseEvent {
            time: Time(6),
            severity: Severity::Warning,
            service: None,
            name: "image-pulled".to_owned(),
            message: "pulled".to_owned(),
        }),
        Output::Exit { code: 7 },
        Output::End,
        Output::Failed(refusal(Reason::Internal)),
    ]
}

fn inputs() -> Vec<Input> {
    vec![
        Input::Stdin(b"in".to_vec()),
        Input::StdinEnd,
        Input::Resize(TerminalSize {
            columns: 100,
            rows: 30,
        }),
    ]
}

fn list<T: BorshSerialize + std::fmt::Debug>(text: &mut String, kind: &str, messages: &[T]) {
    for message in messages {
        let bytes: String = borsh::to_vec(message)
            .unwrap()
            .iter()
            .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        let shown = format!("{message:?}");
        let name = shown.split(|c: char| !c.is_alphanumeric()).next().unwrap();
        writeln!(text, "{kind} {name} {bytes}").unwrap();
    }
}

#[test]
fn the_bytes_of_every_message_are_fixed() {
    let mut text = String::new();
    list(&mut text, "hello", &[hello(Scopes::all()), stranger()]);
    list(&mut text, "request", &requests());
    list(&mut text, "inquiry", &[inquiry()]);
    list(&mut text, "answer", &answers());
    list(&mut text, "output", &outputs());
    list(&mut text, "input", &inputs());
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/channel-v2.txt");
    crate::golden::check(std::path::Path::new(path), &text);
}

fn admitted(scopes: Scopes) -> ServerSession {
    let mut session = ServerSession::new();
    session
        .receive(&borsh::to_vec(&hello(scopes)).unwrap())
        .unwrap();
    session.admit(scopes).unwrap();
    session
}

#[test]
fn a_stranger_gets_little_attention_and_only_a_sender_may_send_much() {
    let mut session = ServerSession::new();
    assert_eq!(session.limit(), Some(1_024));
    session
        .receive(&borsh::to_vec(&hello(Scopes::all())).unwrap())
        .unwrap();
    assert_eq!(
        session.limit(),
        None,
        "nothing is read while the delegation is checked"
    );
    assert_eq!(
        admitted(Scopes::of([Scope::Shell])).limit(),
        Some(64 * 1024)
    );
    assert_eq!(
        admitted(Scopes::of([Scope::SendManifest])).limit(),
        Some(516 * 1024)
    );
    let mut longest = delegation(Scopes::all());
    longest.delegation.chain_id = "x".repeat(50);
    let longest = Hello {
        caller: Caller::Tenant(Box::new(longest)),
        ..hello(Scopes::all())
    };
    assert!(borsh::to_vec(&longest).unwrap().len() < 1_024);
}

fn welcomed() -> ServerSession {
    let mut session = ServerSession::new();
    session
        .receive(&borsh::to_vec(&stranger()).unwrap())
        .unwrap();
    assert_eq!(session.limit(), None, "first the stranger is told apart");
    session.welcome().unwrap();
    session
}

#[test]
fn a_stranger_may_inquire_once_and_nothing_else() {
    assert_eq!(welcomed().limit(), Some(64 * 1024));
    for request in requests() {
        let bytes = borsh::to_vec(&request).unwrap();
        assert!(welcomed().receive(&bytes).is_err(), "{request:?}");
    }
    let bytes = borsh::to_vec(&inquiry()).unwrap();
    let mut session = welcomed();
    assert_eq!(
        session.receive(&bytes).unwrap(),
        FromTenant::Inquiry(inquiry())
    );
    assert_eq!(session.limit(), None);
    assert!(session.receive(&bytes).is_err());
    for answer in answers() {
        let fits = matches!(&answer, Answer::Refused(_) | Answer::Quotes(_));
        let mut session = welcomed();
        session.receive(&bytes).unwrap();
        assert_eq!(session.answer(&answer).is_ok(), fits, "{answer:?}");
        assert!(session.outputs().is_none());
    }

    // The two kinds of callers come in by doors of their own.
    let mut session = ServerSession::new();
    session
        .receive(&borsh::to_vec(&stranger()).unwrap())
        .unwrap();
    assert_eq!(session.admit(Scopes::all()), Err(ProtocolError::OutOfTurn));
    let mut session = ServerSession::new();
    let tenant = borsh::to_vec(&hello(Scopes::all())).unwrap();
    session.receive(&tenant).unwrap();
    assert_eq!(session.welcome(), Err(ProtocolError::OutOfTurn));
    assert!(admitted(Scopes::all()).receive(&bytes).is_err());
}

#[test]
fn a_stranger_gets_one_bounded_quote_for_each_group() {
    let hears = |quotes: Vec<Quote>| {
        let (mut client, _) = ClientSession::inquire(ADDRESSEE, &inquiry());
        assert_eq!(client.limit(), Some(64 * 1024));
        let heard = client.receive(&borsh::to_vec(&Answer::Quotes(quotes)).unwrap());
        heard.is_ok() && client.limit().is_none()
    };
    let rate = Quote::Rate(Amount(1));
    let declined = |count, length| Quote::Declined(vec!["x".repeat(length); count]);
    assert!(hears(vec![rate.clone(), declined(6, MAX_REASON_BYTES)]));
    assert!(hears(vec![rate.clone(), declined(MAX_REASONS, 1)]));
    for bad in [
        declined(7, MAX_REASON_BYTES),
        declined(1, MAX_REASON_BYTES + 1),
        declined(MAX_REASONS + 1, 1),
    ] {
        assert!(!hears(vec![rate.clone(), bad]));
    }
    assert!(!hears(vec![rate.clone()]));
    assert!(!hears(vec![rate.clone(), rate.clone(), rate]));
}

#[test]
fn reasons_are_cut_to_what_an_answer_may_hold_and_say_so() {
    let mut random = crate::golden::Random(7);
    for _ in 0..2_000 {
        let count = random.below(80);
        let reasons: Vec<String> = (0..count)
            .map(|_| "é".repeat(1 + random.below(if count < 40 { 600 } else { 4 })))
            .collect();
        let quote = Quote::declined(reasons.clone());
        assert!(quote.is_bounded(), "{quote:?}");
        let Quote::Declined(kept) = quote else {
            panic!("a no became a rate");
        };
        let last = kept.last().map(String::as_str).unwrap_or_default();
        match last.strip_prefix("and ") {
            Some(rest) => {
                let left_out: usize = rest.strip_suffix(" more").unwrap().parse().unwrap();
                assert_eq!(kept.len() - 1 + left_out, count);
            }
            None => assert_eq!(kept.len(), count),
        }
        for (kept, reason) in kept.iter().zip(&reasons) {
            let start = kept.strip_suffix(" ...").unwrap_or(kept);
            assert!(reason.starts_with(start) || kept.as_str() == last);
        }
    }
}

#[test]
fn every_request_needs_its_scope() {
    for request in requests() {
        let bytes = borsh::to_vec(&request).unwrap();
        let mut session = admitted(Scopes::of([request.scope()]));
        assert_eq!(
            session.receive(&bytes).unwrap(),
            FromTenant::Request(request.clone())
        );
        let others = [
            Scope::SendManifest,
            Scope::GetManifest,
            Scope::Status,
            Scope::Logs,
            Scope::Events,
            Scope::Shell,
            Scope::Forward,
        ]
        .into_iter()
        .filter(|scope| *scope != request.scope());
        let refusal = admitted(Scopes::of(others)).receive(&bytes).unwrap_err();
        assert_eq!(refusal.reason, Reason::OutOfScope);
    }
}

#[test]
fn another_version_is_named_whatever_follows_it() {
    let mut bytes = 1_u16.to_le_bytes().to_vec();
    bytes.extend(b"who knows");
    let refusal = ServerSession::new().receive(&bytes).unwrap_err();
    assert_eq!(refusal.reason, Reason::UnknownVersion);
    assert!(
        refusal.message.contains("version 1 of"),
        "{}",
        refusal.message
    );
    assert_eq!(
        ServerSession::new().receive(&[1]).unwrap_err().reason,
        Reason::Malformed
    );
}

#[test]
fn nobody_speaks_out_of_turn() {
    let mut session = ServerSession::new();
    assert_eq!(
        session.answer(&Answer::Streaming),
        Err(ProtocolError::OutOfTurn)
    );
    assert_eq!(session.admit(Scopes::all()), Err(ProtocolError::OutOfTurn));
    let mut session = admitted(Scopes::all());
    session
        .receive(&borsh::to_vec(&Request::LeaseStatus).unwrap())
        .unwrap();
    assert_eq!(
        session.answer(&Answer::Streaming),
        Err(ProtocolError::OutOfTurn)
    );
    assert!(session.outputs().is_none());
    session.answer(&Answer::Status(status())).unwrap();
    let again = session.answer(&Answer::Refused(refusal(Reason::Internal)));
    assert_eq!(again, Err(ProtocolError::OutOfTurn));
}

fn streaming(request: &Request) -> ServerSession {
    let mut session = admitted(Scopes::all());
    session.receive(&borsh::to_vec(request).unwrap()).unwrap();
    session.answer(&Answer::Streaming).unwrap();
    session
}

#[test]
fn input_is_taken_only_where_it_was_announced() {
    let stdin = borsh::to_vec(&Input::Stdin(b"x".to_vec())).unwrap();
    let end = borsh::to_vec(&Input::StdinEnd).unwrap();
    let resize = borsh::to_vec(&Input::Resize(TerminalSize {
        columns: 1,
        rows: 1,
    }))
    .unwrap();
    let mut with_stdin = streaming(&Request::Exec(shell(false, true)));
    assert!(with_stdin.receive(&stdin).is_ok());
    assert!(with_stdin.receive(&resize).is_err());
    assert!(with_stdin.receive(&end).is_ok());
    assert_eq!(
        with_stdin.limit(),
        None,
        "after the end of input nothing is read"
    );
    assert!(with_stdin.receive(&stdin).is_err());
    let mut with_tty = streaming(&Request::Exec(shell(true, false)));
    assert!(with_tty.receive(&resize).is_ok());
    assert!(with_tty.receive(&stdin).is_err());
    assert_eq!(streaming(&Request::Exec(shell(false, false))).limit(), None);
    assert_eq!(streaming(&Request::Logs(LogQuery::default())).limit(), None);
    let long = borsh::to_vec(&Input::Stdin(vec![0; MAX_CHUNK_BYTES + 1])).unwrap();
    assert!(
        streaming(&Request::Exec(shell(false, true)))
            .receive(&long)
            .is_err()
    );
}

#[test]
fn a_provider_answers_what_was_asked() {
    for request in requests() {
        for answer in answers() {
            let (mut client, _) = ClientSession::open(delegation(Scopes::all()), &request);
            let bytes = borsh::to_vec(&answer).unwrap();
            let fits = matches!(
                (&request, &answer),
                (_, Answer::Refused(_))
                    | (Request::SendManifest { .. }, Answer::Accepted { .. })
                    | (Request::GetManifest, Answer::Manifest(_))
                    | (Request::LeaseStatus, Answer::Status(_))
                    | (
                        Request::Logs(_) | Request::Events { .. } | Request::Exec(_),
                        Answer::Streaming
                    )
            );
            assert_eq!(
                client.receive(&bytes).is_ok(),
                fits,
                "{request:?} {answer:?}"
            );
            let goes_on = fits && answer == Answer::Streaming;
            assert_eq!(fits && client.limit().is_some(), goes_on);
        }
    }
}

#[test]
fn both_ends_agree_on_what_a_stream_may_carry() {
    for request in [
        Request::Logs(LogQuery::default()),
        Request::Events { follow: true },
        Request::Exec(shell(true, false)),
        Request::Exec(shell(false, false)),
    ] {
        for output in outputs() {
            let mut provider = streaming(&request).outputs().unwrap();
            let (mut client, _) = ClientSession::open(delegation(Scopes::all()), &request);
            client
                .receive(&borsh::to_vec(&Answer::Streaming).unwrap())
                .unwrap();
            let sent = provider.send(&output);
            let received = client.receive(&borsh::to_vec(&output).unwrap());
            assert_eq!(sent.is_ok(), received.is_ok(), "{request:?} {output:?}");
            if sent.is_ok() && output.is_last() {
                assert_eq!(provider.send(&output), Err(ProtocolError::OutOfTurn));
                assert_eq!(client.limit(), None);
            }
        }
    }
}

#[test]
fn mutated_frames_never_panic() {
    let mut random = crate::golden::Random(42);
    let mut frames: Vec<Vec<u8>> = requests()
        .iter()
        .map(|message| borsh::to_vec(message).unwrap())
        .collect();
    frames.extend(
        outputs()
            .iter()
            .map(|message| borsh::to_vec(message).unwrap()),
    );
    frames.extend(
        answers()
            .iter()
            .map(|message| borsh::to_vec(message).unwrap()),
    );
    frames.extend(
        inputs()
            .iter()
            .map(|message| borsh::to_vec(message).unwrap()),
    );
    let right = delegation(Scopes::all());
    let opening = borsh::to_vec(&hello(Scopes::all())).unwrap();
    frames.push(opening.clone());
    frames.push(borsh::to_vec(&stranger()).unwrap());
    frames.push(borsh::to_vec(&inquiry()).unwrap());
    let admitted = || {
        let mut session = ServerSession::new();
        session.receive(&opening).unwrap();
        session.admit(Scopes::all()).unwrap();
        session
    };
    let exec = borsh::to_vec(&Request::Exec(shell(true, true))).unwrap();
    for _ in 0..20_000 {
        let mut frame = frames[random.below(frames.len())].clone();
        for _ in 0..=random.below(4) {
            random.change(&mut frame);
        }
        let _ = ServerSession::new().receive(&frame);
        let _ = admitted().receive(&frame);
        let _ = welcomed().receive(&frame);
        let _ = ClientSession::inquire(ADDRESSEE, &inquiry())
            .0
            .receive(&frame);
        let mut running = admitted();
        running.receive(&exec).unwrap();
        running.answer(&Answer::Streaming).unwrap();
        let _ = running.receive(&frame);
        for request in [Request::LeaseStatus, Request::Exec(shell(false, true))] {
            let (mut client, _) = ClientSession::open(right.clone(), &request);
            let _ = client.receive(&frame);
            let (mut client, _) = ClientSession::open(right.clone(), &request);
            if client
                .receive(&borsh::to_vec(&Answer::Streaming).unwrap())
                .is_ok()
            {
                let _ = client.receive(&frame);
            }
        }
    }
}
