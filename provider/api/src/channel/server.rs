//! The provider's end on a byte stream.

use std::future::Future;
use std::pin::pin;

use futures::channel::mpsc;
use futures::future::{Either, select};
use futures::io::{ReadHalf, WriteHalf};
use futures::stream::{BoxStream, iter};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, SinkExt, StreamExt};
use welkin_modules::spec::GroupSpec;
use welkin_runtime::Hash;

use super::frame::{self, FrameError, MAX_CHUNK_BYTES, MAX_LOG_BYTES};
use super::messages::{
    Answer, Caller, ExecRequest, Input, KeptManifest, LeaseEvent, LeaseStatus, LogLine, LogQuery,
    Output, Reason, Refusal, Request,
};
use super::quote::{Addressee, Inquiry, Quote};
use super::session::{FromTenant, ProtocolError, ServerSession};
use crate::LeaseId;
use crate::delegation::{DelegationError, SignedDelegation, Verified};
use crate::manifest::Opening;

/// What a provider does for tenants. It is asked only after [`Tenancy::admit`] said yes, and only
/// for what the delegation allows; but for [`Tenancy::quote`], which is for everybody.
pub trait Tenancy: Send + Sync {
    /// Who this provider is.
    fn addressee(&self) -> Addressee;

    /// What it would bid on these groups if they were ordered now, one answer for each. They come
    /// from anybody: what they hold is bounded by a frame and nothing else, and nothing is to be
    /// kept of them.
    fn quote(
        &self,
        groups: Vec<GroupSpec>,
    ) -> impl Future<Output = Result<Vec<Quote>, Refusal>> + Send;

    /// Verifies a delegation that came over a connection of `peer`: signature and validity, that
    /// it was not used before, that the signer owns the lease, and that the lease is active in a
    /// fresh view of the chain.
    fn admit(
        &self,
        delegation: &SignedDelegation,
        peer: [u8; 32],
    ) -> impl Future<Output = Result<Verified, Refusal>> + Send;

    /// Ends when the rights on the lease end: it closed, or the stream is 24 hours old.
    fn until_ended(&self, lease: LeaseId) -> impl Future<Output = Refusal> + Send;

    /// Keeps a manifest and runs it. It is as it came: checks are the implementation's.
    fn send_manifest(
        &self,
        lease: LeaseId,
        manifest: Vec<u8>,
        opening: Opening,
    ) -> impl Future<Output = Result<Hash, Refusal>> + Send;

    /// The newest accepted manifest.
    fn get_manifest(
        &self,
        lease: LeaseId,
    ) -> impl Future<Output = Result<KeptManifest, Refusal>> + Send;

    /// The state of the lease.
    fn status(&self, lease: LeaseId) -> impl Future<Output = Result<LeaseStatus, Refusal>> + Send;

    /// The output of services.
    fn logs(
        &self,
        lease: LeaseId,
        query: LogQuery,
    ) -> impl Future<Output = Result<BoxStream<'static, Result<LogLine, Refusal>>, Refusal>> + Send;

    /// What was done for the lease.
    fn events(
        &self,
        lease: LeaseId,
        follow: bool,
    ) -> impl Future<Output = Result<BoxStream<'static, Result<LeaseEvent, Refusal>>, Refusal>> + Send;

    /// Runs a command. When `Exec` is dropped, the tenant is gone and the command has to end.
    fn exec(
        &self,
        lease: LeaseId,
        request: ExecRequest,
    ) -> impl Future<Output = Result<Exec, Refusal>> + Send;
}

/// A running command.
pub struct Exec {
    /// What it says, up to [`Output::Exit`] or [`Output::Failed`].
    pub output: BoxStream<'static, Output>,
    /// What it gets. A full channel makes the tenant wait.
    pub input: mpsc::Sender<Input>,
}

/// Has one conversation. `peer` is the key of the peer at the other end of the connection;
/// `patience` gives a future that ends when the other side had time enough to say or hear
/// something short (10 s, say); it is also how long a command may be silent before the tenant's end
/// of the stream is looked at, with an empty piece of output.
///
/// An error is a failed stream, or a tenant that did not keep to the protocol; it was told so if
/// that was possible.
pub async fn serve<S, P>(
    tenancy: &impl Tenancy,
    stream: S,
    peer: [u8; 32],
    patience: impl Fn() -> P,
) -> Result<(), FrameError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    P: Future<Output = ()>,
{
    let (reader, writer) = stream.split();
    let mut talk = Talk {
        reader,
        writer,
        session: ServerSession::new(),
    };
    let outcome = match select(pin!(talk.open(tenancy, peer)), pin!(patience())).await {
        Either::Left((outcome, _)) => outcome?,
        Either::Right(((), _)) => return Ok(()),
    };
    let (lease, request) = match outcome {
        Ok(Opened::Request(verified, request)) => (verified.lease, request),
        Ok(Opened::Inquiry(inquiry)) => {
            let answer = quotes(tenancy, inquiry, patience()).await;
            return talk.say(&answer, patience()).await;
        }
        Err(refusal) => return talk.say(&Answer::Refused(refusal), patience()).await,
    };
    let mut ended = pin!(tenancy.until_ended(lease));
    let answered = match select(pin!(answer(tenancy, lease, request)), &mut ended).await {
        Either::Left((answered, _)) => answered,
        Either::Right((refusal, _)) => Err(refusal),
    };
    match answered {
        Ok(Answered::Stream(output, input)) => talk.stream(ended, output, input, patience).await,
        Ok(Answered::Once(message)) => talk.say(&message, patience()).await,
        Err(refusal) => talk.say(&Answer::Refused(refusal), patience()).await,
    }
}

/// What a conversation is about.
enum Opened {
    Request(Verified, Request),
    Inquiry(Inquiry),
}

enum Answered {
    Once(Answer),
    Stream(BoxStream<'static, Output>, Option<mpsc::Sender<Input>>),
}

/// A stranger waits for no longer than for anything short.
async fn quotes(
    tenancy: &impl Tenancy,
    inquiry: Inquiry,
    patience: impl Future<Output = ()>,
) -> Answer {
    match select(pin!(tenancy.quote(inquiry.groups)), pin!(patience)).await {
        Either::Left((quotes, _)) => quotes.map_or_else(Answer::Refused, Answer::Quotes),
        Either::Right(((), _)) => Answer::Refused(Refusal {
            reason: Reason::Busy,
            message: "too many ask for quotes at once; try again in a moment".to_owned(),
        }),
    }
}

async fn answer(
    tenancy: &impl Tenancy,
    lease: LeaseId,
    request: Request,
) -> Result<Answered, Refusal> {
    Ok(match request {
        Request::SendManifest { manifest, opening } => {
            let manifest_hash = tenancy.send_manifest(lease, manifest, opening).await?;
            Answered::Once(Answer::Accepted { manifest_hash })
        }
        Request::GetManifest => {
            Answered::Once(Answer::Manifest(tenancy.get_manifest(lease).await?))
        }
        Request::LeaseStatus => Answered::Once(Answer::Status(tenancy.status(lease).await?)),
        Request::Logs(query) => {
            let lines = tenancy.logs(lease, query).await?;
            Answered::Stream(
                lines
                    .map(|line| line.map_or_else(Output::Failed, Output::Log))
                    .boxed(),
                None,
            )
        }
        Request::Events { follow } => {
            let events = tenancy.events(lease, follow).await?;
            Answered::Stream(
                events
                    .map(|event| event.map_or_else(Output::Failed, Output::Event))
                    .boxed(),
                None,
            )
        }
        Request::Exec(request) => {
            let Exec { output, input } = tenancy.exec(lease, request).await?;
            Answered::Stream(output, Some(input))
        }
    })
}

struct Talk<S> {
    reader: ReadHalf<S>,
    writer: WriteHalf<S>,
    session: ServerSession,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    /// The first two frames of the other side.
    async fn open(
        &mut self,
        tenancy: &impl Tenancy,
        peer: [u8; 32],
    ) -> Result<Result<Opened, Refusal>, FrameError> {
        let hello = match self.receive().await? {
            Ok(FromTenant::Hello(hello)) => hello,
            Ok(_) => return Ok(Err(ProtocolError::OutOfTurn.into())),
            Err(refusal) => return Ok(Err(refusal)),
        };
        let verified = match self.admit(tenancy, peer, hello.caller).await {
            Ok(verified) => verified,
            Err(refusal) => return Ok(Err(refusal)),
        };
        Ok(match (self.receive().await?, verified) {
            (Ok(FromTenant::Request(request)), Some(verified)) => {
                Ok(Opened::Request(verified, request))
            }
            (Ok(FromTenant::Inquiry(inquiry)), None) => Ok(Opened::Inquiry(inquiry)),
            (Ok(_), _) => Err(ProtocolError::OutOfTurn.into()),
            (Err(refusal), _) => Err(refusal),
        })
    }

    /// Lets a tenant in with its right, and a stranger, who means this provider, with none.
    async fn admit(
        &mut self,
        tenancy: &impl Tenancy,
        peer: [u8; 32],
        caller: Caller,
    ) -> Result<Option<Verified>, Refusal> {
        match caller {
            Caller::Tenant(delegation) => {
                let verified = tenancy.admit(&delegation, peer).await?;
                self.session.admit(verified.scopes)?;
                Ok(Some(verified))
            }
            Caller::Stranger(addressee) if addressee == tenancy.addressee() => {
                self.session.welcome()?;
                Ok(None)
            }
            Caller::Stranger(_) => Err(Refusal {
                reason: Reason::NotForHere,
                message: "this is another provider, or a provider on another network".to_owned(),
            }),
        }
    }

    async fn receive(&mut self) -> Result<Result<FromTenant, Refusal>, FrameError> {
        receive(&mut self.reader, &mut self.session)
            .await
            .map(|outcome| outcome.unwrap_or_else(|| Err(ProtocolError::OutOfTurn.into())))
    }

    /// The one answer to a request.
    async fn say(
        &mut self,
        answer: &Answer,
        patience: impl Future<Output = ()>,
    ) -> Result<(), FrameError> {
        let Ok(bytes) = self.session.answer(answer) else {
            return Ok(());
        };
        finish(&mut self.writer, &bytes, patience).await
    }

    /// Output until its end, the tenant's, or that of its rights; and input beside it.
    async fn stream<P: Future<Output = ()>>(
        self,
        ended: impl Future<Output = Refusal> + Unpin,
        output: BoxStream<'static, Output>,
        input: Option<mpsc::Sender<Input>>,
        patience: impl Fn() -> P,
    ) -> Result<(), FrameError> {
        let Talk {
            mut reader,
            mut writer,
            mut session,
        } = self;
        let Ok(bytes) = session.answer(&Answer::Streaming) else {
            return Ok(());
        };
        if !write(&mut writer, &bytes, patience()).await? {
            return Ok(());
        }
        let Some(mut outputs) = session.outputs() else {
            return Ok(());
        };
        let mut output = output.flat_map(|piece| iter(pieces(piece))).boxed();
        let is_command = input.is_some();
        let incoming = pin!(take_input(&mut reader, &mut session, input));
        let mut stop = select(incoming, ended);
        loop {
            let next = pin!(next_piece(&mut output, is_command.then(&patience)));
            let piece = match select(next, &mut stop).await {
                Either::Left((piece, _)) => piece.unwrap_or_else(|| outputs.end()),
                Either::Right((stopped, _)) => match stopped {
                    Either::Left((Err(error), _)) => return Err(error),
                    Either::Left((Ok(Stopped::Gone), _)) => return Ok(()),
                    Either::Left((Ok(Stopped::Refused(refusal)), _))
                    | Either::Right((refusal, _)) => Output::Failed(refusal),
                },
            };
            let Ok(bytes) = outputs.send(&piece) else {
                return Ok(());
            };
            if piece.is_last() {
                return finish(&mut writer, &bytes, patience()).await;
            }
            match select(
                pin!(write(&mut writer, &bytes, std::future::pending())),
                &mut stop,
            )
            .await
            {
                Either::Left((written, _)) => {
                    written?;
                }
                // In the middle of a frame there is no room for last words.
                Either::Right((Either::Left((Err(error), _)), _)) => return Err(error),
                Either::Right(_) => return Ok(()),
            }
        }
    }
}

async fn receive<S>(
    reader: &mut ReadHalf<S>,
    session: &mut ServerSession,
) -> Result<Option<Result<FromTenant, Refusal>>, FrameError>
where
    S: AsyncRead + Unpin,
{
    let Some(limit) = session.limit() else {
        return Ok(None);
    };
    match frame::read(reader, limit).await {
        Ok(Some(frame)) => Ok(Some(session.receive(&frame))),
        Ok(None) => Ok(None),
        Err(error @ FrameError::TooLong { .. }) => {
            let refusal = Refusal {
                reason: Reason::Malformed,
                message: error.to_string(),
            };
            Ok(Some(Err(refusal)))
        }
        Err(error) => Err(error),
    }
}

/// The next piece of output. A command that is silent says nothing now and then, in so many words: where its input is
/// full nobody reads what the tenant sends, and only a failure to write tells that the tenant is gone.
async fn next_piece(
    output: &mut BoxStream<'static, Output>,
    patience: Option<impl Future<Output = ()>>,
) -> Option<Output> {
    let Some(patience) = patience else {
        return output.next().await;
    };
    match select(output.next(), pin!(patience)).await {
        Either::Left((piece, _)) => piece,
        Either::Right(((), _)) => Some(Output::Stdout(Vec::new())),
    }
}

/// What a container wrote may be longer than a frame.
fn pieces(output: Output) -> Vec<Output> {
    let chunks = |bytes: &[u8]| -> Vec<Vec<u8>> {
        bytes.chunks(MAX_CHUNK_BYTES).map(<[u8]>::to_vec).collect()
    };
    match output {
        Output::Stdout(bytes) => chunks(&bytes).into_iter().map(Output::Stdout).collect(),
        Output::Stderr(bytes) => chunks(&bytes).into_iter().map(Output::Stderr).collect(),
        Output::Log(line) if line.text.len() > MAX_LOG_BYTES => {
            let mut rest = line.text.as_str();
            let mut list = Vec::new();
            while !rest.is_empty() {
                let end = (0..=MAX_LOG_BYTES.min(rest.len()))
                    .rev()
                    .find(|end| rest.is_char_boundary(*end))
                    .unwrap_or(rest.len());
                let (text, after) = rest.split_at(end);
                list.push(Output::Log(LogLine {
                    text: text.to_owned(),
                    ..line.clone()
                }));
                rest = after;
            }
            list
        }
        other => vec![other],
    }
}

/// Why no more is taken from the tenant.
enum Stopped {
    /// It did not keep to the protocol.
    Refused(Refusal),
    /// It closed the stream, or the connection is lost: there is nobody to hear the rest.
    Gone,
}

/// Passes input on for as long as there is any, and watches for the tenant's going where there is none. Ends only when
/// there is a reason to stop. While the command takes no input this waits with it, and does not see the tenant go.
async fn take_input<S: AsyncRead + Unpin>(
    reader: &mut ReadHalf<S>,
    session: &mut ServerSession,
    input: Option<mpsc::Sender<Input>>,
) -> Result<Stopped, FrameError> {
    let mut input = input;
    while session.limit().is_some() {
        match receive(reader, session).await? {
            Some(Ok(FromTenant::Input(piece))) => {
                let Some(sink) = &mut input else { continue };
                // A command that takes no more input goes on without.
                if sink.send(piece).await.is_err() {
                    input = None;
                }
            }
            Some(Ok(_)) => return Ok(Stopped::Refused(ProtocolError::OutOfTurn.into())),
            Some(Err(refusal)) => return Ok(Stopped::Refused(refusal)),
            // What a command's input ends with is said (`Input::StdinEnd`), so this is not it.
            None => return Ok(Stopped::Gone),
        }
    }
    Ok(match reader.read(&mut [0]).await? {
        0 => Stopped::Gone,
        _ => Stopped::Refused(ProtocolError::OutOfTurn.into()),
    })
}

/// Whether there was patience enough to write it.
async fn write(
    writer: &mut (impl AsyncWrite + Unpin),
    bytes: &[u8],
    patience: impl Future<Output = ()>,
) -> Result<bool, FrameError> {
    let writing = pin!(async {
        writer.write_all(bytes).await?;
        writer.flush().await
    });
    match select(writing, pin!(patience)).await {
        Either::Left((written, _)) => Ok(written.map(|()| true)?),
        Either::Right(((), _)) => Ok(false),
    }
}

/// Writes the last frame and closes, so that it arrives before the end of the stream does.
async fn finish(
    writer: &mut (impl AsyncWrite + Unpin),
    bytes: &[u8],
    patience: impl Future<Output = ()>,
) -> Result<(), FrameError> {
    let finishing = pin!(async {
        writer.write_all(bytes).await?;
        writer.close().await
    });
    match select(finishing, pin!(patience)).await {
        Either::Left((finished, _)) => Ok(finished?),
        Either::Right(((), _)) => Ok(()),
    }
}

impl From<DelegationError> for Refusal {
    fn from(error: DelegationError) -> Refusal {
        let reason = match error {
            DelegationError::OtherNetwork { .. }
            | DelegationError::OtherPeer
            | DelegationError::OtherProvider { .. } => Reason::NotForHere,
            DelegationError::NotYetValid { .. }
            | DelegationError::Expired { .. }
            | DelegationError::BadValidity { .. } => Reason::Expired,
            DelegationError::WeakKey | DelegationError::BadSignature => Reason::BadSignature,
            DelegationError::Replayed => Reason::Replayed,
            DelegationError::TooMany => Reason::Busy,
            DelegationError::NotTheOwner { .. } => Reason::NotTheOwner,
            DelegationError::OutOfScope { .. } => Reason::OutOfScope,
        };
        Refusal {
            reason,
            message: error.to_string(),
        }
    }
}
