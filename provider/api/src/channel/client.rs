//! The tenant's end on a byte stream.

use std::io;

use futures::io::{ReadHalf, WriteHalf};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use welkin_modules::spec::GroupSpec;
use welkin_runtime::{Address, Hash};

use super::frame::{self, FrameError, MAX_CHUNK_BYTES};
use super::messages::{
    Answer, ExecRequest, Input, KeptManifest, LeaseStatus, LogQuery, Output, Refusal, Request,
    TerminalSize,
};
use super::quote::{Addressee, Inquiry, Quote};
use super::session::{ClientSession, FromProvider, InputSession, ProtocolError};
use crate::delegation::SignedDelegation;
use crate::manifest::Opening;

/// Why a provider did not do what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// It said no. What to do is in the refusal; asking the same again is of use only if
    /// [`Reason::is_worth_a_retry`](super::Reason::is_worth_a_retry).
    #[error("the provider refused: {0}")]
    Refused(#[from] Refusal),
    /// The connection failed: connect again and ask again.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// It does not keep to the protocol: do not trust it.
    #[error("the provider does not keep to the protocol: {0}")]
    Protocol(#[from] ProtocolError),
    /// It went away before it had said all: connect again and ask again.
    #[error("the provider closed the stream before it had answered")]
    Closed,
}

impl From<io::Error> for ChannelError {
    fn from(error: io::Error) -> ChannelError {
        ChannelError::Frame(FrameError::Io(error))
    }
}

/// One stream to a provider, ready for one request.
///
/// Each request consumes it: a stream carries one request, opened by one delegation.
#[derive(Debug)]
pub struct ChannelClient<S> {
    stream: S,
    delegation: SignedDelegation,
}

impl<S: AsyncRead + AsyncWrite + Unpin> ChannelClient<S> {
    /// Takes a fresh stream, and a delegation that was not used before.
    pub fn new(stream: S, delegation: SignedDelegation) -> ChannelClient<S> {
        ChannelClient { stream, delegation }
    }

    /// Hands a manifest over; the answer is the commitment that it matched.
    pub async fn send_manifest(
        self,
        manifest: Vec<u8>,
        opening: Opening,
    ) -> Result<Hash, ChannelError> {
        match self
            .ask(Request::SendManifest { manifest, opening })
            .await?
            .0
        {
            Answer::Accepted { manifest_hash } => Ok(manifest_hash),
            _ => Err(ProtocolError::Malformed.into()),
        }
    }

    /// Reads the manifest back.
    pub async fn get_manifest(self) -> Result<KeptManifest, ChannelError> {
        match self.ask(Request::GetManifest).await?.0 {
            Answer::Manifest(manifest) => Ok(manifest),
            _ => Err(ProtocolError::Malformed.into()),
        }
    }

    /// The state of the lease.
    pub async fn status(self) -> Result<LeaseStatus, ChannelError> {
        match self.ask(Request::LeaseStatus).await?.0 {
            Answer::Status(status) => Ok(status),
            _ => Err(ProtocolError::Malformed.into()),
        }
    }

    /// The output of services, as [`Output::Log`].
    pub async fn logs(self, query: LogQuery) -> Result<Outputs<S>, ChannelError> {
        Ok(self.ask(Request::Logs(query)).await?.1)
    }

    /// What the provider did, as [`Output::Event`].
    pub async fn events(self, follow: bool) -> Result<Outputs<S>, ChannelError> {
        Ok(self.ask(Request::Events { follow }).await?.1)
    }

    /// Runs a command.
    pub async fn exec(self, request: ExecRequest) -> Result<(Outputs<S>, Inputs<S>), ChannelError> {
        let (_, outputs, inputs) = self.ask(Request::Exec(request)).await?;
        Ok((outputs, inputs))
    }

    /// Asks a provider what it would bid on the groups of a deployment if they were ordered now:
    /// one answer for each, in their order. Nobody needs a right for it, and it binds nobody.
    ///
    /// The groups stand as they would on chain: a group's highest rate is the sum over its units of
    /// `max_rate_uwlk_per_hour` times `count`. They are looked at in turn: what the provider would
    /// give to one is not free for the next, as when it bids on their orders.
    ///
    /// # Errors
    /// [`ChannelError`]. A refusal with [`Reason::Malformed`](super::Reason::Malformed) names what
    /// the chain would not take either (or more than [`MAX_QUOTED_GROUPS`](super::MAX_QUOTED_GROUPS)
    /// groups); one that is worth a retry means that the provider makes no bids just now.
    pub async fn quote(
        stream: S,
        genesis_hash: Hash,
        provider: Address,
        groups: Vec<GroupSpec>,
    ) -> Result<Vec<Quote>, ChannelError> {
        let addressee = Addressee {
            genesis_hash,
            provider,
        };
        let opened = ClientSession::inquire(addressee, &Inquiry { groups });
        match converse(stream, opened).await?.0 {
            Answer::Quotes(quotes) => Ok(quotes),
            _ => Err(ProtocolError::Malformed.into()),
        }
    }

    async fn ask(self, request: Request) -> Result<(Answer, Outputs<S>, Inputs<S>), ChannelError> {
        converse(self.stream, ClientSession::open(self.delegation, &request)).await
    }
}

/// Says what there is to say, and hears the answer.
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    (session, bytes): (ClientSession, Vec<u8>),
) -> Result<(Answer, Outputs<S>, Inputs<S>), ChannelError> {
    let (reader, mut writer) = stream.split();
    let mut outputs = Outputs { reader, session };
    // A provider that refuses early may not read to the end; its answer tells more than the
    // failure to write.
    let written = write(&mut writer, &bytes).await;
    let answer = match (outputs.receive().await, written) {
        (Ok(Some(FromProvider::Answer(answer))), _) => answer,
        (Ok(Some(FromProvider::Output(_))), _) => {
            return Err(ProtocolError::OutOfTurn.into());
        }
        (_, Err(error)) => return Err(error.into()),
        (Ok(None), Ok(())) => return Err(ChannelError::Closed),
        (Err(error), Ok(())) => return Err(error),
    };
    if let Answer::Refused(refusal) = answer {
        return Err(refusal.into());
    }
    let inputs = Inputs {
        writer,
        session: outputs.session.inputs(),
    };
    Ok((answer, outputs, inputs))
}

async fn write(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    writer.write_all(bytes).await?;
    writer.flush().await
}

/// What comes from the provider on one stream.
#[derive(Debug)]
pub struct Outputs<S> {
    reader: ReadHalf<S>,
    session: ClientSession,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Outputs<S> {
    /// The next piece; none after the last one. [`Output::Failed`] comes as an error.
    pub async fn next(&mut self) -> Result<Option<Output>, ChannelError> {
        if self.session.limit().is_none() {
            return Ok(None);
        }
        match self.receive().await? {
            Some(FromProvider::Output(Output::Failed(refusal))) => Err(refusal.into()),
            Some(FromProvider::Output(output)) => Ok(Some(output)),
            Some(FromProvider::Answer(_)) => Err(ProtocolError::OutOfTurn.into()),
            None => Err(ChannelError::Closed),
        }
    }

    async fn receive(&mut self) -> Result<Option<FromProvider>, ChannelError> {
        let Some(limit) = self.session.limit() else {
            return Ok(None);
        };
        match frame::read(&mut self.reader, limit).await? {
            Some(frame) => Ok(Some(self.session.receive(&frame)?)),
            None => Ok(None),
        }
    }
}

/// What goes to a running command.
#[derive(Debug)]
pub struct Inputs<S> {
    writer: WriteHalf<S>,
    session: InputSession,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Inputs<S> {
    /// Standard input, of any length.
    pub async fn stdin(&mut self, bytes: &[u8]) -> Result<(), ChannelError> {
        for chunk in bytes.chunks(MAX_CHUNK_BYTES) {
            self.send(Input::Stdin(chunk.to_vec())).await?;
        }
        Ok(())
    }

    /// There is no more standard input.
    pub async fn stdin_end(&mut self) -> Result<(), ChannelError> {
        self.send(Input::StdinEnd).await
    }

    /// The terminal has a new size.
    pub async fn resize(&mut self, size: TerminalSize) -> Result<(), ChannelError> {
        self.send(Input::Resize(size)).await
    }

    async fn send(&mut self, input: Input) -> Result<(), ChannelError> {
        let frame = self.session.send(&input)?;
        Ok(write(&mut self.writer, &frame).await?)
    }
}
