//! How a request and its response look on their stream.
//!
//! ```text
//! request   protocol u8 | length u32 (big endian) | body
//! response  protocol u8 | status u8 | length u32 (big endian) | body
//! ```
//! The length is checked against the protocol's limit before anything is allocated, and memory
//! grows only with the bytes that really arrive.

use std::io;

use bytes::Bytes;
use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use libp2p::request_response;
use libp2p::swarm::StreamProtocol;

use super::types::Protocol;
use crate::conduct::Offence;

/// Memory grows in steps of this size while a body arrives.
const STEP_BYTES: usize = 64 * 1024;

/// A question on the wire; or what is wrong with it, so that this reaches whoever keeps count of
/// it: libp2p keeps errors of reading a request to itself.
pub(crate) type Incoming = Result<WireRequest, Offence>;

/// A question.
#[derive(Debug)]
pub(crate) struct WireRequest {
    pub(crate) protocol: Protocol,
    pub(crate) body: Bytes,
}

/// An answer on the wire.
#[derive(Debug)]
pub(crate) enum WireResponse {
    Answer { protocol: Protocol, body: Bytes },
    Busy,
    Refused,
}

const ANSWER: u8 = 0;
const BUSY: u8 = 1;
const REFUSED: u8 = 2;

/// How the other side broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    #[error("unknown protocol or status")]
    Unknown,
    #[error("more bytes announced than the protocol allows")]
    Oversized,
}

impl Violation {
    const fn offence(self) -> Offence {
        match self {
            Self::Unknown => Offence::Malformed,
            Self::Oversized => Offence::Oversized,
        }
    }
}

impl From<Violation> for io::Error {
    fn from(violation: Violation) -> Self {
        Self::new(io::ErrorKind::InvalidData, violation)
    }
}

/// What the other side did, if this error is its fault (and not a lost connection).
pub(crate) fn offence_of(error: &io::Error) -> Option<Offence> {
    let violation = error.get_ref()?.downcast_ref::<Violation>()?;
    Some(violation.offence())
}

/// The codec; it has no state.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Codec;

async fn read_body<T>(io: &mut T, limit: usize) -> io::Result<Bytes>
where
    T: AsyncRead + Unpin + Send,
{
    let mut length = [0; 4];
    io.read_exact(&mut length).await?;
    let length = u32::from_be_bytes(length) as usize;
    if length > limit {
        return Err(Violation::Oversized.into());
    }
    let mut body = Vec::new();
    while body.len() < length {
        let start = body.len();
        let step = (length - start).min(STEP_BYTES);
        body.resize(start + step, 0);
        io.read_exact(&mut body[start..]).await?;
    }
    Ok(body.into())
}

async fn read_protocol<T>(io: &mut T) -> io::Result<Protocol>
where
    T: AsyncRead + Unpin + Send,
{
    let mut number = [0];
    io.read_exact(&mut number).await?;
    Protocol::from_number(number[0]).ok_or_else(|| Violation::Unknown.into())
}

async fn read_request<T>(io: &mut T) -> io::Result<WireRequest>
where
    T: AsyncRead + Unpin + Send,
{
    let protocol = read_protocol(io).await?;
    let body = read_body(io, protocol.max_request_bytes()).await?;
    Ok(WireRequest { protocol, body })
}

async fn write<T>(io: &mut T, head: &[u8], body: &[u8]) -> io::Result<()>
where
    T: AsyncWrite + Unpin + Send,
{
    let length = u32::try_from(body.len()).map_err(|_| Violation::Oversized)?;
    let mut start = Vec::with_capacity(head.len() + 4);
    start.extend_from_slice(head);
    start.extend_from_slice(&length.to_be_bytes());
    io.write_all(&start).await?;
    io.write_all(body).await
}

impl request_response::Codec for Codec {
    type Protocol = StreamProtocol;
    type Request = Incoming;
    type Response = WireResponse;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Incoming>
    where
        T: AsyncRead + Unpin + Send,
    {
        match read_request(io).await {
            Ok(request) => Ok(Ok(request)),
            Err(error) => offence_of(&error).map(Err).ok_or(error),
        }
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<WireResponse>
    where
        T: AsyncRead + Unpin + Send,
    {
        let protocol = read_protocol(io).await?;
        let mut status = [0];
        io.read_exact(&mut status).await?;
        match status[0] {
            ANSWER => {
                let body = read_body(io, protocol.max_response_bytes()).await?;
                Ok(WireResponse::Answer { protocol, body })
            }
            BUSY => Ok(WireResponse::Busy),
            REFUSED => Ok(WireResponse::Refused),
            _ => Err(Violation::Unknown.into()),
        }
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        request: Incoming,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        // Only requests are ever handed in for sending.
        let request = request.map_err(|_| Violation::Unknown)?;
        write(io, &[request.protocol.number()], &request.body).await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        response: WireResponse,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        match response {
            WireResponse::Answer { protocol, body } => {
                write(io, &[protocol.number(), ANSWER], &body).await
            }
            WireResponse::Busy => write(io, &[0, BUSY], &[]).await,
            WireResponse::Refused => write(io, &[0, REFUSED], &[]).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use futures::io::Cursor;
    use libp2p::request_response::Codec as _;

    use super::*;

    const NAME: StreamProtocol = StreamProtocol::new("/test");

    fn read(bytes: &[u8]) -> io::Result<Incoming> {
        block_on(Codec.read_request(&NAME, &mut Cursor::new(bytes)))
    }

    #[test]
    fn a_request_reads_back_and_its_bytes_are_fixed() {
        let mut wire = Cursor::new(Vec::new());
        let request = WireRequest {
            protocol: Protocol::Votes,
            body: Bytes::from_static(b"abc"),
        };
        block_on(Codec.write_request(&NAME, &mut wire, Ok(request))).unwrap();
        let wire = wire.into_inner();
        assert_eq!(wire, b"\x01\x00\x00\x00\x03abc");
        let read = read(&wire).unwrap().unwrap();
        assert_eq!(
            (read.protocol, &read.body[..]),
            (Protocol::Votes, &b"abc"[..])
        );
    }

    #[test]
    fn a_length_above_the_limit_is_refused_before_the_body() {
        let outcome = read(b"\x00\xff\xff\xff\xff").unwrap();
        assert_eq!(outcome.unwrap_err(), Offence::Oversized);
        let limit = u32::try_from(Protocol::Status.max_request_bytes()).unwrap();
        let mut bytes = vec![0];
        bytes.extend_from_slice(&(limit + 1).to_be_bytes());
        assert!(matches!(read(&bytes), Ok(Err(Offence::Oversized))));
    }

    #[test]
    fn an_unknown_protocol_is_malformed_and_a_short_body_is_nobodys_fault() {
        assert!(matches!(read(b"\x77"), Ok(Err(Offence::Malformed))));
        assert!(read(b"\x00\x00\x00\x00\x05ab").is_err());
    }

    #[test]
    fn responses_read_back() {
        let body = Bytes::from(vec![7; 3 * STEP_BYTES + 1]);
        let cases = [
            WireResponse::Answer {
                protocol: Protocol::Blocks,
                body: body.clone(),
            },
            WireResponse::Busy,
            WireResponse::Refused,
        ];
        for case in cases {
            let wanted = format!("{case:?}");
            let mut wire = Cursor::new(Vec::new());
            block_on(Codec.write_response(&NAME, &mut wire, case)).unwrap();
            wire.set_position(0);
            let read = block_on(Codec.read_response(&NAME, &mut wire)).unwrap();
            assert_eq!(format!("{read:?}"), wanted);
        }
    }

    #[test]
    fn random_bytes_never_panic() {
        for seed in 0u32..2_000 {
            let bytes = blake3::hash(&seed.to_le_bytes());
            let _ = read(bytes.as_bytes());
            let _ = block_on(Codec.read_response(&NAME, &mut Cursor::new(bytes.as_bytes())));
        }
    }
}
