//! Frames: a length in 4 bytes, big endian, and as many bytes.

use std::io;

use borsh::BorshSerialize;
use futures::{AsyncRead, AsyncReadExt};

use crate::manifest::MAX_MANIFEST_BYTES;

/// The longest piece of standard input or output in a frame.
pub const MAX_CHUNK_BYTES: usize = 32 * 1024;
/// The longest text of a log line or an event.
pub const MAX_LOG_BYTES: usize = 16 * 1024;

/// From somebody of whom nothing is known yet.
pub(super) const HELLO_LIMIT: usize = 1_024;
/// From a tenant that may not send manifests.
pub(super) const REQUEST_LIMIT: usize = 64 * 1024;
/// From a stranger: the groups of one deployment.
pub(super) const INQUIRY_LIMIT: usize = 64 * 1024;
/// From a tenant that may: the manifest and its opening.
pub(super) const MANIFEST_LIMIT: usize = MAX_MANIFEST_BYTES + 4 * 1024;
/// Input or output of a command, a log line, an event.
pub(super) const STREAM_LIMIT: usize = 64 * 1024;
/// The answer to an inquiry.
pub(super) const QUOTES_LIMIT: usize = 64 * 1024;
/// Any other answer: a manifest, or the state of many services.
pub(super) const ANSWER_LIMIT: usize = 1024 * 1024;

/// Why no frame could be read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The stream failed, or ended within a frame.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// Longer than what may come now.
    #[error("a message of {length} bytes came, where at most {limit} are accepted")]
    TooLong {
        /// Its length.
        length: usize,
        /// The most that is accepted at this point.
        limit: usize,
    },
}

/// A message as a frame.
pub(super) fn encode(message: &impl BorshSerialize) -> Vec<u8> {
    let mut frame = vec![0; 4];
    borsh::to_writer(&mut frame, message).expect("writing to a vector cannot fail");
    let length = u32::try_from(frame.len() - 4).expect("messages are far shorter than 4 GiB");
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame
}

/// The next frame; none if the stream ended before it.
pub(super) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    limit: usize,
) -> Result<Option<Vec<u8>>, FrameError> {
    let mut header = [0; 4];
    let mut have = 0;
    while have < header.len() {
        match stream.read(&mut header[have..]).await? {
            0 if have == 0 => return Ok(None),
            0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            count => have += count,
        }
    }
    let length = u32::from_be_bytes(header) as usize;
    if length > limit {
        return Err(FrameError::TooLong { length, limit });
    }
    // Room is made for what came, not for what was announced.
    let mut body = Vec::new();
    stream.take(length as u64).read_to_end(&mut body).await?;
    if body.len() < length {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(Some(body))
}
