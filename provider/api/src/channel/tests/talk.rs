//! Whole conversations over a pipe, with a provider that does little.

use std::future::{Future, pending, ready};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use futures::channel::{mpsc, oneshot};
use futures::io::{AsyncReadExt, AsyncWriteExt};
use futures::stream::{BoxStream, iter};
use tokio::io::DuplexStream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

use super::*;
use crate::delegation::{NonceCache, Verified};
use crate::manifest::{Opening, Salt};

type Pipe = Compat<DuplexStream>;

fn pipe() -> (Pipe, Pipe) {
    // Small, so that writing has to wait for reading.
    let (a, b) = tokio::io::duplex(256);
    (a.compat(), b.compat())
}

/// Pieces of input of which a command that takes none leaves one in the way of all that comes after it.
const STUCK_PIECES: usize = 3;

/// A provider that echoes.
#[derive(Default)]
struct Echo {
    nonces: Mutex<NonceCache>,
    lease_ends: Mutex<Option<oneshot::Receiver<()>>>,
    asked: AtomicBool,
}

impl Tenancy for Echo {
    fn addressee(&self) -> Addressee {
        ADDRESSEE
    }

    async fn quote(&self, groups: Vec<GroupSpec>) -> Result<Vec<Quote>, Refusal> {
        self.asked.store(true, Ordering::SeqCst);
        if groups[0].name == "slow" {
            pending::<()>().await;
        }
        let quote = |group: &GroupSpec| match group.resources[0].count {
            0 => Quote::declined((0..100).map(|number| format!("{number}: {}", "é".repeat(500)))),
            u32::MAX => Quote::Declined(vec!["x".repeat(MAX_REASON_BYTES + 1)]),
            count => Quote::Rate(Amount(u64::from(count) * 10)),
        };
        Ok(groups.iter().map(quote).collect())
    }

    async fn admit(
        &self,
        delegation: &SignedDelegation,
        peer: [u8; 32],
    ) -> Result<Verified, Refusal> {
        let chain = welkin_runtime::ChainInfo {
            chain_id: "welkin-test".to_owned(),
            genesis_hash: Hash([5; 32]),
        };
        let expected = crate::delegation::Expected {
            chain: &chain,
            peer,
            provider: PROVIDER,
            now: Time(1),
        };
        let verified = delegation.verify(&expected)?;
        verified.require_owner(SigningKey::from_seed(&[1; 32]).address())?;
        self.nonces.lock().unwrap().accept(delegation, Time(1))?;
        Ok(verified)
    }

    fn until_ended(&self, _: LeaseId) -> impl Future<Output = Refusal> + Send {
        let ends = self.lease_ends.lock().unwrap().take();
        async move {
            match ends {
                Some(ends) => drop(ends.await),
                None => pending().await,
            }
            Refusal {
                reason: Reason::LeaseClosed,
                message: "the lease has ended".to_owned(),
            }
        }
    }

    async fn send_manifest(
        &self,
        _: LeaseId,
        manifest: Vec<u8>,
        opening: Opening,
    ) -> Result<Hash, Refusal> {
        self.asked.store(true, Ordering::SeqCst);
        Ok(crate::manifest::group_commitment(&manifest, &opening.salt))
    }

    async fn get_manifest(&self, _: LeaseId) -> Result<KeptManifest, Refusal> {
        let message = "no manifest was sent yet".to_owned();
        Err(Refusal {
            reason: Reason::NoManifest,
            message,
        })
    }

    async fn status(&self, _: LeaseId) -> Result<LeaseStatus, Refusal> {
        Ok(status())
    }

    async fn logs(
        &self,
        _: LeaseId,
        query: LogQuery,
    ) -> Result<BoxStream<'static, Result<LogLine, Refusal>>, Refusal> {
        let line = |number: u32| LogLine {
            service: "web".to_owned(),
            replica: 0,
            time: None,
            stderr: false,
            text: "x".repeat(number as usize * 10_000),
        };
        let lines = iter((0..query.tail.unwrap_or(3)).map(line).map(Ok));
        Ok(match query.follow {
            true => lines.chain(futures::stream::pending()).boxed(),
            false => lines.boxed(),
        })
    }

    async fn events(
        &self,
        _: LeaseId,
        _: bool,
    ) -> Result<BoxStream<'static, Result<LeaseEvent, Refusal>>, Refusal> {
        let message = "the log of events was lost".to_owned();
        Ok(iter([Err(Refusal {
            reason: Reason::Internal,
            message,
        })])
        .boxed())
    }

    async fn exec(&self, _: LeaseId, request: ExecRequest) -> Result<Exec, Refusal> {
        let (sender, mut receiver) = mpsc::channel::<Input>(STUCK_PIECES - 2);
        let takes_input = request.stdin;
        let is_stuck = request.command[0] == "stuck";
        let output = async_stream(move |out| async move {
            if is_stuck {
                pending::<()>().await;
            }
            let mut code = i32::from(!takes_input) * 7;
            if takes_input {
                while let Some(input) = receiver.next().await {
                    match input {
                        Input::Stdin(bytes) => drop(out.unbounded_send(Output::Stdout(bytes))),
                        Input::Resize(size) => code = i32::from(size.columns),
                        Input::StdinEnd => break,
                    }
                }
            }
            drop(out.unbounded_send(Output::Exit { code }));
        });
        Ok(Exec {
            output,
            input: sender,
        })
    }
}

/// A stream that a task fills.
fn async_stream<F: Future<Output = ()> + Send + 'static>(
    fill: impl FnOnce(mpsc::UnboundedSender<Output>) -> F,
) -> BoxStream<'static, Output> {
    let (sender, receiver) = mpsc::unbounded();
    tokio::spawn(fill(sender));
    receiver.boxed()
}

/// What a client does while the provider serves it.
async fn converse<T>(provider: &Echo, client: impl AsyncFnOnce(ChannelClient<Pipe>) -> T) -> T {
    let (near, far) = pipe();
    let mut nonced = delegation(Scopes::all());
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    nonced.delegation.nonce[..8]
        .copy_from_slice(&NEXT.fetch_add(1, Ordering::SeqCst).to_le_bytes());
    let signed = nonced.delegation.sign(&SigningKey::from_seed(&[1; 32]));
    let talk = client(ChannelClient::new(near, signed));
    let (answer, served) = futures::join!(talk, serve(provider, far, PEER, pending));
    served.unwrap();
    answer
}

#[tokio::test]
async fn a_manifest_is_handed_over_and_status_comes_back() {
    let provider = Echo::default();
    let opening = Opening {
        index: 0,
        salt: Salt([1; 32]),
        siblings: Vec::new(),
    };
    let manifest = vec![7; crate::manifest::MAX_MANIFEST_BYTES];
    let expected = crate::manifest::group_commitment(&manifest, &opening.salt);
    let accepted = converse(&provider, async |client| {
        client.send_manifest(manifest, opening).await
    })
    .await;
    assert_eq!(accepted.unwrap(), expected);
    let got = converse(&provider, async |client| client.status().await).await;
    assert_eq!(got.unwrap(), status());
    let error = converse(&provider, async |client| client.get_manifest().await).await;
    assert!(matches!(error, Err(ChannelError::Refused(r)) if r.reason == Reason::NoManifest));
}

#[tokio::test]
async fn a_command_gets_its_input_and_says_how_it_ended() {
    let provider = Echo::default();
    let (echoed, code) = converse(&provider, async |client| {
        let (mut outputs, mut inputs) = client.exec(shell(true, true)).await.unwrap();
        let long = vec![b'x'; 3 * MAX_CHUNK_BYTES + 5];
        let send = async {
            inputs.stdin(&long).await.unwrap();
            inputs
                .resize(TerminalSize {
                    columns: 99,
                    rows: 1,
                })
                .await
                .unwrap();
            inputs.stdin_end().await.unwrap();
            assert!(inputs.stdin(b"more").await.is_err(), "input has ended");
            long.len()
        };
        let read = async {
            let mut echoed = 0;
            loop {
                match outputs.next().await.unwrap() {
                    Some(Output::Stdout(bytes)) => echoed += bytes.len(),
                    Some(Output::Exit { code }) => break (echoed, code),
                    other => panic!("{other:?}"),
                }
            }
        };
        let (sent, (echoed, code)) = futures::join!(send, read);
        assert_eq!(outputs.next().await.unwrap(), None);
        (sent == echoed, code)
    })
    .await;
    assert!(echoed);
    assert_eq!(code, 99);
}

#[tokio::test]
async fn a_command_without_input_needs_none() {
    let code = converse(&Echo::default(), async |client| {
        let (mut outputs, _inputs) = client.exec(shell(false, false)).await.unwrap();
        outputs.next().await.unwrap()
    })
    .await;
    assert_eq!(code, Some(Output::Exit { code: 7 }));
}

#[tokio::test]
async fn logs_come_in_order_and_long_lines_in_pieces() {
    let lengths = converse(&Echo::default(), async |client| {
        let query = LogQuery {
            tail: Some(4),
            ..LogQuery::default()
        };
        let mut outputs = client.logs(query).await.unwrap();
        let mut lengths = Vec::new();
        while let Some(output) = outputs.next().await.unwrap() {
            match output {
                Output::Log(line) => lengths.push(line.text.len()),
                Output::End => {}
                other => panic!("{other:?}"),
            }
        }
        lengths
    })
    .await;
    assert_eq!(lengths, [0, 10_000, 16_384, 3_616, 16_384, 13_616]);
}

#[tokio::test]
async fn a_failure_in_the_middle_is_told() {
    let error = converse(&Echo::default(), async |client| {
        client.events(true).await.unwrap().next().await.unwrap_err()
    })
    .await;
    assert!(matches!(error, ChannelError::Refused(r) if r.message.contains("was lost")));
}

#[tokio::test]
async fn an_open_stream_ends_with_the_lease() {
    let provider = Echo::default();
    let (end, ends) = oneshot::channel();
    *provider.lease_ends.lock().unwrap() = Some(ends);
    let error = converse(&provider, async |client| {
        let query = LogQuery {
            follow: true,
            tail: Some(1),
            ..LogQuery::default()
        };
        let mut outputs = client.logs(query).await.unwrap();
        assert!(matches!(
            outputs.next().await.unwrap(),
            Some(Output::Log(_))
        ));
        end.send(()).unwrap();
        outputs.next().await.unwrap_err()
    })
    .await;
    assert!(matches!(error, ChannelError::Refused(r) if r.reason == Reason::LeaseClosed));
}

/// What a stranger hears who means `addressee`.
async fn inquire(
    provider: &Echo,
    addressee: Addressee,
    groups: Vec<GroupSpec>,
) -> Result<Vec<Quote>, ChannelError> {
    let (near, far) = pipe();
    let Addressee {
        genesis_hash,
        provider: address,
    } = addressee;
    let client = ChannelClient::quote(near, genesis_hash, address, groups);
    let (quotes, served) = futures::join!(client, serve(provider, far, PEER, pending));
    served.unwrap();
    quotes
}

#[tokio::test]
async fn anybody_hears_what_the_provider_would_bid_on_each_group_of_a_deployment() {
    let provider = Echo::default();
    let groups = (0..MAX_QUOTED_GROUPS as u32).map(group).collect();
    let quotes = inquire(&provider, ADDRESSEE, groups).await.unwrap();
    assert_eq!(quotes.len(), MAX_QUOTED_GROUPS);
    assert_eq!(quotes[7], Quote::Rate(Amount(70)));
    assert!(matches!(&quotes[0], Quote::Declined(reasons) if reasons.len() > 1));
    // The longest answer there can be fits.
    let longest = inquire(&provider, ADDRESSEE, vec![group(0); MAX_QUOTED_GROUPS]).await;
    assert_eq!(longest.unwrap(), vec![quotes[0].clone(); MAX_QUOTED_GROUPS]);
}

#[tokio::test]
async fn a_stranger_who_means_another_provider_or_network_learns_nothing() {
    let provider = Echo::default();
    let others = [
        Addressee {
            provider: Address([4; 20]),
            ..ADDRESSEE
        },
        Addressee {
            genesis_hash: Hash([4; 32]),
            ..ADDRESSEE
        },
    ];
    for other in others {
        let error = inquire(&provider, other, vec![group(1)]).await;
        assert!(matches!(error, Err(ChannelError::Refused(r)) if r.reason == Reason::NotForHere));
    }
    assert!(!provider.asked.load(Ordering::SeqCst));
}

#[tokio::test]
async fn an_inquiry_is_for_some_groups_and_not_for_too_many_or_too_long_ones() {
    let provider = Echo::default();
    for groups in [Vec::new(), vec![group(1); MAX_QUOTED_GROUPS + 1]] {
        let error = inquire(&provider, ADDRESSEE, groups).await.unwrap_err();
        assert!(
            matches!(&error, ChannelError::Refused(r) if r.message.contains("1 to 20 groups")),
            "{error}"
        );
    }
    let mut long = group(1);
    long.name = "x".repeat(64 * 1024);
    let error = inquire(&provider, ADDRESSEE, vec![long]).await.unwrap_err();
    assert!(
        matches!(&error, ChannelError::Refused(r) if r.message.contains("at most 65536")),
        "{error}"
    );
    assert!(!provider.asked.load(Ordering::SeqCst));
    // An answer beyond its own bounds does not leave the provider.
    let error = inquire(&provider, ADDRESSEE, vec![group(u32::MAX)]).await;
    assert!(matches!(error, Err(ChannelError::Closed)));
}

#[tokio::test]
async fn a_stranger_waits_for_a_quote_no_longer_than_the_provider_has_patience() {
    let provider = Echo::default();
    let slow = GroupSpec {
        name: "slow".to_owned(),
        ..group(1)
    };
    let (near, far) = pipe();
    let client = ChannelClient::quote(near, ADDRESSEE.genesis_hash, PROVIDER, vec![slow]);
    let waits = AtomicUsize::new(0);
    // There is time enough to ask and to answer, and none in between.
    let patience = || {
        let is_over = waits.fetch_add(1, Ordering::SeqCst) == 1;
        async move {
            if !is_over {
                pending::<()>().await;
            }
        }
    };
    let (quotes, served) = futures::join!(client, serve(&provider, far, PEER, patience));
    served.unwrap();
    assert!(matches!(quotes, Err(ChannelError::Refused(r)) if r.reason == Reason::Busy));
}

async fn refused(provider: &Echo, peer: [u8; 32], delegation: SignedDelegation) -> Reason {
    let (near, far) = pipe();
    let client = ChannelClient::new(near, delegation).status();
    let (answer, served) = futures::join!(client, serve(provider, far, peer, pending));
    served.unwrap();
    match answer {
        Err(ChannelError::Refused(refusal)) => refusal.reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_delegation_opens_one_stream_of_one_peer() {
    let provider = Echo::default();
    let signed = delegation(Scopes::all());
    assert_eq!(
        refused(&provider, [8; 32], signed.clone()).await,
        Reason::NotForHere
    );
    let (near, far) = pipe();
    let client = ChannelClient::new(near, signed.clone()).status();
    let (answer, _) = futures::join!(client, serve(&provider, far, PEER, pending));
    assert!(answer.is_ok());
    assert_eq!(
        refused(&provider, PEER, signed.clone()).await,
        Reason::Replayed
    );
    let other = signed
        .delegation
        .clone()
        .sign(&SigningKey::from_seed(&[2; 32]));
    assert_eq!(refused(&provider, PEER, other).await, Reason::NotTheOwner);
    let mut forged = signed;
    forged.delegation.nonce = [1; 16];
    assert_eq!(refused(&provider, PEER, forged).await, Reason::BadSignature);
}

#[tokio::test]
async fn who_says_nothing_or_too_much_is_left() {
    let provider = Echo::default();
    let (_near, far) = pipe();
    let silent = serve(&provider, far, PEER, || ready(())).await;
    assert!(silent.is_ok());
    let (mut near, far) = pipe();
    let write = async {
        near.write_all(&u32::MAX.to_be_bytes()).await.unwrap();
        let mut answer = Vec::new();
        near.read_to_end(&mut answer).await.unwrap();
        answer
    };
    let (answer, served) = futures::join!(write, serve(&provider, far, PEER, pending));
    served.unwrap();
    let refusal = borsh::from_slice::<Answer>(&answer[4..]).unwrap();
    assert!(
        matches!(&refusal, Answer::Refused(r) if r.message.contains("4294967295")),
        "{refusal:?}"
    );
    assert!(!provider.asked.load(Ordering::SeqCst));
}

/// Serves a client that asks and goes, and waits until the provider has noticed.
async fn ask_and_go(client: impl AsyncFnOnce(ChannelClient<Pipe>)) {
    ask_and_go_with(pending, client).await;
}

async fn ask_and_go_with<P: Future<Output = ()>>(
    patience: impl Fn() -> P,
    client: impl AsyncFnOnce(ChannelClient<Pipe>),
) {
    let provider = Echo::default();
    let (near, far) = pipe();
    let client = client(ChannelClient::new(near, delegation(Scopes::all())));
    let both = futures::future::join(client, serve(&provider, far, PEER, patience));
    let ((), served) = tokio::time::timeout(Duration::from_secs(60), both)
        .await
        .expect("the conversation is over");
    // However it shows on this kind of pipe.
    drop(served);
}

#[tokio::test]
async fn what_a_tenant_asked_for_ends_when_it_goes_though_there_is_nothing_to_tell_it() {
    ask_and_go(async |client| drop(client.exec(shell(false, true)).await.unwrap())).await;
    ask_and_go(async |client| {
        let (outputs, mut inputs) = client.exec(shell(true, true)).await.unwrap();
        inputs.stdin_end().await.unwrap();
        drop((outputs, inputs));
    })
    .await;
    ask_and_go(async |client| {
        let query = LogQuery {
            follow: true,
            tail: Some(0),
            ..LogQuery::default()
        };
        drop(client.logs(query).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn a_command_that_takes_no_input_ends_when_its_tenant_goes() {
    let waits = AtomicUsize::new(0);
    // There is time enough to ask and to answer; then the command is silent.
    let patience = || {
        let is_over = waits.fetch_add(1, Ordering::SeqCst) > 1;
        async move {
            match is_over {
                true => tokio::task::yield_now().await,
                false => pending().await,
            }
        }
    };
    ask_and_go_with(patience, async |client| {
        let stuck = ExecRequest {
            command: vec!["stuck".to_owned()],
            ..shell(false, true)
        };
        let (mut outputs, mut inputs) = client.exec(stuck).await.unwrap();
        for _ in 0..STUCK_PIECES {
            inputs.stdin(b"y").await.unwrap();
        }
        let silence = outputs.next().await.unwrap();
        assert_eq!(silence, Some(Output::Stdout(Vec::new())));
    })
    .await;
}

#[tokio::test]
async fn a_tenant_that_talks_where_nothing_is_to_be_said_is_told_so() {
    let provider = Echo::default();
    let (mut near, far) = pipe();
    let query = LogQuery {
        follow: true,
        tail: Some(0),
        ..LogQuery::default()
    };
    let (_, bytes) = session::ClientSession::open(delegation(Scopes::all()), &Request::Logs(query));
    let client = async {
        near.write_all(&bytes).await.unwrap();
        near.write_all(b"hello?").await.unwrap();
        let mut answer = Vec::new();
        near.read_to_end(&mut answer).await.unwrap();
        answer
    };
    let (answer, served) = futures::join!(client, serve(&provider, far, PEER, pending));
    served.unwrap();
    let start = 4 + borsh::to_vec(&Answer::Streaming).unwrap().len();
    let last = borsh::from_slice::<Output>(&answer[start + 4..]).unwrap();
    assert!(matches!(last, Output::Failed(refusal) if refusal.reason == Reason::Malformed));
}

#[tokio::test]
async fn a_provider_that_goes_away_is_an_error() {
    let (near, far) = pipe();
    drop(far);
    let client = ChannelClient::new(near, delegation(Scopes::all()));
    assert!(matches!(client.status().await, Err(ChannelError::Frame(_))));
}
