//! Who may say what, and when: both ends of a conversation, without input and output.

use borsh::{BorshDeserialize, BorshSerialize};

use super::frame;
use super::messages::{
    Answer, Caller, Hello, Input, Output, PROTOCOL_VERSION, Reason, Refusal, Request,
};
use super::quote::{Addressee, Inquiry, MAX_QUOTED_GROUPS, Quote};
use crate::delegation::{Scope, Scopes, SignedDelegation};

/// The provider's end.
#[derive(Debug)]
pub struct ServerSession {
    state: ServerState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ServerState {
    /// Nothing was said.
    Hello,
    /// The delegation waits for its verdict.
    Admission,
    /// The delegation is good; what is asked for comes next.
    Request(Scopes),
    /// A stranger waits to hear whether the one that it means is here.
    Reception,
    /// It is; what would be ordered comes next.
    Inquiry,
    /// The request waits for its answer.
    Answer(Asked),
    /// The answer was a stream.
    Streaming(Asked),
    /// All is said.
    Ended,
}

/// What a request was for, as far as the rules depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    SendManifest,
    GetManifest,
    Status,
    Logs,
    Events,
    Exec(Channels),
    /// For so many groups.
    Quotes(usize),
}

/// What an exec request opens from tenant to provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Channels {
    stdin: bool,
    tty: bool,
}

impl Asked {
    fn of(request: &Request) -> Asked {
        match request {
            Request::SendManifest { .. } => Asked::SendManifest,
            Request::GetManifest => Asked::GetManifest,
            Request::LeaseStatus => Asked::Status,
            Request::Logs(_) => Asked::Logs,
            Request::Events { .. } => Asked::Events,
            Request::Exec(exec) => Asked::Exec(Channels {
                stdin: exec.stdin,
                tty: exec.tty,
            }),
        }
    }

    /// Whether this answers it. A refusal always does.
    fn is_answered_by(self, answer: &Answer) -> bool {
        if let (Asked::Quotes(groups), Answer::Quotes(quotes)) = (self, answer) {
            return quotes.len() == groups && quotes.iter().all(Quote::is_bounded);
        }
        matches!(
            (self, answer),
            (_, Answer::Refused(_))
                | (Asked::SendManifest, Answer::Accepted { .. })
                | (Asked::GetManifest, Answer::Manifest(_))
                | (Asked::Status, Answer::Status(_))
                | (
                    Asked::Logs | Asked::Events | Asked::Exec(_),
                    Answer::Streaming
                )
        )
    }

    /// Whether this may come on its stream.
    fn gives(self, output: &Output) -> bool {
        match (self, output) {
            (_, Output::Failed(_))
            | (Asked::Exec(_), Output::Exit { .. })
            | (Asked::Logs | Asked::Events, Output::End)
            | (Asked::Events, Output::Event(_)) => true,
            (Asked::Exec(_), Output::Stdout(bytes)) => bytes.len() <= frame::MAX_CHUNK_BYTES,
            (Asked::Exec(channels), Output::Stderr(bytes)) => {
                !channels.tty && bytes.len() <= frame::MAX_CHUNK_BYTES
            }
            (Asked::Logs, Output::Log(line)) => line.text.len() <= frame::MAX_LOG_BYTES,
            _ => false,
        }
    }

    /// What the tenant may still send.
    fn channels(self) -> Channels {
        match self {
            Asked::Exec(channels) => channels,
            _ => Channels::default(),
        }
    }
}

/// What a tenant or a stranger said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromTenant {
    /// Who it is.
    Hello(Hello),
    /// What a tenant wants.
    Request(Request),
    /// What a stranger wants to know.
    Inquiry(Inquiry),
    /// Something for the running command.
    Input(Input),
}

/// The other side, or the program on this side, broke the rules of the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// These bytes are no message that belongs here.
    #[error("a message that cannot be read, or does not belong here")]
    Malformed,
    /// A message out of turn.
    #[error("a message out of turn")]
    OutOfTurn,
}

fn decode<T: BorshDeserialize>(frame: &[u8]) -> Result<T, ProtocolError> {
    borsh::from_slice(frame).map_err(|_| ProtocolError::Malformed)
}

impl From<ProtocolError> for Refusal {
    fn from(error: ProtocolError) -> Refusal {
        Refusal {
            reason: Reason::Malformed,
            message: error.to_string(),
        }
    }
}

impl Default for ServerSession {
    fn default() -> ServerSession {
        ServerSession {
            state: ServerState::Hello,
        }
    }
}

impl ServerSession {
    /// A conversation in which nothing was said.
    pub fn new() -> ServerSession {
        ServerSession::default()
    }

    /// The longest frame that may come now; none if it is not the tenant's turn.
    pub fn limit(&self) -> Option<usize> {
        match self.state {
            ServerState::Hello => Some(frame::HELLO_LIMIT),
            ServerState::Request(scopes) if scopes.contains(Scope::SendManifest) => {
                Some(frame::MANIFEST_LIMIT)
            }
            ServerState::Request(_) => Some(frame::REQUEST_LIMIT),
            ServerState::Inquiry => Some(frame::INQUIRY_LIMIT),
            ServerState::Streaming(asked) if asked.channels() != Channels::default() => {
                Some(frame::STREAM_LIMIT)
            }
            _ => None,
        }
    }

    /// Takes a frame from the tenant.
    pub fn receive(&mut self, frame: &[u8]) -> Result<FromTenant, Refusal> {
        match self.state {
            ServerState::Hello => {
                check_version(frame)?;
                let hello: Hello = decode(frame)?;
                self.state = match hello.caller {
                    Caller::Tenant(_) => ServerState::Admission,
                    Caller::Stranger(_) => ServerState::Reception,
                };
                Ok(FromTenant::Hello(hello))
            }
            ServerState::Request(scopes) => {
                let request: Request = decode(frame)?;
                if !scopes.contains(request.scope()) {
                    let message = format!("the delegation does not allow {:?}", request.scope());
                    return Err(Refusal {
                        reason: Reason::OutOfScope,
                        message,
                    });
                }
                self.state = ServerState::Answer(Asked::of(&request));
                Ok(FromTenant::Request(request))
            }
            ServerState::Inquiry => {
                let inquiry: Inquiry = decode(frame)?;
                check_count(&inquiry)?;
                self.state = ServerState::Answer(Asked::Quotes(inquiry.groups.len()));
                Ok(FromTenant::Inquiry(inquiry))
            }
            ServerState::Streaming(asked) => {
                let input = decode(frame)?;
                let mut inputs = InputSession(asked.channels());
                inputs.take(&input)?;
                if let Asked::Exec(_) = asked {
                    self.state = ServerState::Streaming(Asked::Exec(inputs.0));
                }
                Ok(FromTenant::Input(input))
            }
            _ => Err(ProtocolError::OutOfTurn.into()),
        }
    }

    /// The delegation is good and allows these.
    pub fn admit(&mut self, scopes: Scopes) -> Result<(), ProtocolError> {
        if self.state != ServerState::Admission {
            return Err(ProtocolError::OutOfTurn);
        }
        self.state = ServerState::Request(scopes);
        Ok(())
    }

    /// The stranger means this provider and may ask.
    pub fn welcome(&mut self) -> Result<(), ProtocolError> {
        if self.state != ServerState::Reception {
            return Err(ProtocolError::OutOfTurn);
        }
        self.state = ServerState::Inquiry;
        Ok(())
    }

    /// The frame of an answer. A refusal may come at any time before the answer.
    pub fn answer(&mut self, answer: &Answer) -> Result<Vec<u8>, ProtocolError> {
        self.state = match (self.state, answer) {
            (ServerState::Streaming(_) | ServerState::Ended, _) => {
                return Err(ProtocolError::OutOfTurn);
            }
            (ServerState::Answer(asked), _) if asked.is_answered_by(answer) => match answer {
                Answer::Streaming => ServerState::Streaming(asked),
                _ => ServerState::Ended,
            },
            (_, Answer::Refused(_)) => ServerState::Ended,
            _ => return Err(ProtocolError::OutOfTurn),
        };
        Ok(frame::encode(answer))
    }

    /// What this side may send from now on, if the answer was a stream.
    pub fn outputs(&self) -> Option<OutputSession> {
        match self.state {
            ServerState::Streaming(asked) => Some(OutputSession(Some(asked))),
            _ => None,
        }
    }
}

/// The provider's output. It is apart, because it goes its own way while input comes.
#[derive(Debug)]
pub struct OutputSession(Option<Asked>);

impl OutputSession {
    /// The frame of a piece of output.
    pub fn send(&mut self, output: &Output) -> Result<Vec<u8>, ProtocolError> {
        let asked = self.0.ok_or(ProtocolError::OutOfTurn)?;
        let frame = frame::encode(output);
        if !asked.gives(output) || frame.len() - 4 > frame::STREAM_LIMIT {
            return Err(ProtocolError::Malformed);
        }
        if output.is_last() {
            self.0 = None;
        }
        Ok(frame)
    }

    /// The last piece if nothing else was the last.
    pub fn end(&self) -> Output {
        match self.0 {
            Some(Asked::Exec(_)) => Output::Failed(Refusal {
                reason: Reason::Internal,
                message: "the provider lost sight of the command".to_owned(),
            }),
            _ => Output::End,
        }
    }
}

fn check_count(inquiry: &Inquiry) -> Result<(), Refusal> {
    let count = inquiry.groups.len();
    if (1..=MAX_QUOTED_GROUPS).contains(&count) {
        return Ok(());
    }
    Err(Refusal {
        reason: Reason::Malformed,
        message: format!("an inquiry is for 1 to {MAX_QUOTED_GROUPS} groups, this one for {count}"),
    })
}

/// The version comes first, so that it can be read whatever follows.
fn check_version(frame: &[u8]) -> Result<(), Refusal> {
    let version = frame
        .first_chunk::<2>()
        .map(|bytes| u16::from_le_bytes(*bytes));
    match version {
        Some(PROTOCOL_VERSION) => Ok(()),
        Some(other) => Err(Refusal {
            reason: Reason::UnknownVersion,
            message: format!(
                "the caller's program speaks version {other} of the channel, this provider \
                 version {PROTOCOL_VERSION}"
            ),
        }),
        None => Err(ProtocolError::Malformed.into()),
    }
}

impl Output {
    /// Whether nothing follows it.
    pub fn is_last(&self) -> bool {
        matches!(self, Output::Exit { .. } | Output::End | Output::Failed(_))
    }
}

/// The tenant's end.
#[derive(Debug)]
pub struct ClientSession {
    asked: Asked,
    state: ClientState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientState {
    Waiting,
    Streaming,
    Ended,
}

/// What a provider said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromProvider {
    /// The answer.
    Answer(Answer),
    /// A piece of output.
    Output(Output),
}

impl ClientSession {
    /// Opens a conversation as a tenant; the bytes are its first two frames.
    pub fn open(delegation: SignedDelegation, request: &Request) -> (ClientSession, Vec<u8>) {
        let caller = Caller::Tenant(Box::new(delegation));
        ClientSession::begin(caller, Asked::of(request), request)
    }

    /// Opens a conversation as a stranger; the bytes are its first two frames.
    pub fn inquire(addressee: Addressee, inquiry: &Inquiry) -> (ClientSession, Vec<u8>) {
        let asked = Asked::Quotes(inquiry.groups.len());
        ClientSession::begin(Caller::Stranger(addressee), asked, inquiry)
    }

    fn begin(
        caller: Caller,
        asked: Asked,
        second: &impl BorshSerialize,
    ) -> (ClientSession, Vec<u8>) {
        let hello = Hello {
            version: PROTOCOL_VERSION,
            caller,
        };
        let mut bytes = frame::encode(&hello);
        bytes.extend(frame::encode(second));
        let state = ClientState::Waiting;
        (ClientSession { asked, state }, bytes)
    }

    /// The longest frame that may come now; none if the provider has said all.
    pub fn limit(&self) -> Option<usize> {
        match self.state {
            ClientState::Waiting => Some(match self.asked {
                Asked::Quotes(_) => frame::QUOTES_LIMIT,
                _ => frame::ANSWER_LIMIT,
            }),
            ClientState::Streaming => Some(frame::STREAM_LIMIT),
            ClientState::Ended => None,
        }
    }

    /// Takes a frame from the provider.
    pub fn receive(&mut self, frame: &[u8]) -> Result<FromProvider, ProtocolError> {
        match self.state {
            ClientState::Waiting => {
                let answer: Answer = decode(frame)?;
                if !self.asked.is_answered_by(&answer) {
                    return Err(ProtocolError::Malformed);
                }
                self.state = match answer {
                    Answer::Streaming => ClientState::Streaming,
                    _ => ClientState::Ended,
                };
                Ok(FromProvider::Answer(answer))
            }
            ClientState::Streaming => {
                let output: Output = decode(frame)?;
                if !self.asked.gives(&output) {
                    return Err(ProtocolError::Malformed);
                }
                if output.is_last() {
                    self.state = ClientState::Ended;
                }
                Ok(FromProvider::Output(output))
            }
            ClientState::Ended => Err(ProtocolError::OutOfTurn),
        }
    }

    /// What this side may send while the provider streams.
    pub fn inputs(&self) -> InputSession {
        match self.state {
            ClientState::Streaming => InputSession(self.asked.channels()),
            _ => InputSession(Channels::default()),
        }
    }
}

/// The tenant's input to a command. It is apart, because it goes its own way while output comes.
#[derive(Debug)]
pub struct InputSession(Channels);

impl InputSession {
    /// The frame of a piece of input.
    pub fn send(&mut self, input: &Input) -> Result<Vec<u8>, ProtocolError> {
        self.take(input)?;
        Ok(frame::encode(input))
    }

    fn take(&mut self, input: &Input) -> Result<(), ProtocolError> {
        let allowed = match input {
            Input::Stdin(bytes) => self.0.stdin && bytes.len() <= frame::MAX_CHUNK_BYTES,
            Input::StdinEnd => std::mem::take(&mut self.0.stdin),
            Input::Resize(_) => self.0.tty,
        };
        if allowed {
            Ok(())
        } else {
            Err(ProtocolError::OutOfTurn)
        }
    }
}
