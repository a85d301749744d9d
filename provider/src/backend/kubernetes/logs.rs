//! Output of pods.

use bytes::{Bytes, BytesMut};
use futures::io::{AsyncBufRead, AsyncBufReadExt};
use futures::stream::{self, BoxStream, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;

use super::cluster::error;
use super::names::label;
use super::observe::Numbered;
use crate::backend::{BackendError, LogChunk, LogRequest};

/// The longest piece of a line that is passed on as one.
const PIECE_BYTES: usize = 16 * 1024;

/// The output of these pods, lines whole, in the order in which they come.
///
/// # Errors
/// [`BackendError`] where one of them cannot be read.
pub async fn logs(
    pods: &Api<Pod>,
    of: &[Numbered<'_>],
    request: &LogRequest,
) -> Result<BoxStream<'static, Result<LogChunk, BackendError>>, BackendError> {
    let mut streams = Vec::new();
    for numbered in of {
        let service = numbered.label(label::SERVICE);
        if request
            .service
            .as_deref()
            .is_some_and(|wanted| wanted != service)
        {
            continue;
        }
        let params = LogParams {
            container: Some(service.to_owned()),
            follow: request.follow,
            tail_lines: request.tail.map(i64::from),
            ..LogParams::default()
        };
        let name = numbered.pod.metadata.name.clone().unwrap_or_default();
        let reader = match pods.log_stream(&name, &params).await.map_err(error) {
            Ok(reader) => reader,
            // One that was not started yet has said nothing.
            Err(BackendError::Refused(_)) => continue,
            Err(cause) => return Err(cause),
        };
        let (service, replica) = (service.to_owned(), numbered.replica);
        let chunks = pieces(reader).map(move |piece| {
            piece.map(|bytes| LogChunk {
                service: service.clone(),
                replica,
                // The cluster keeps both outputs as one.
                is_stderr: false,
                bytes,
            })
        });
        streams.push(chunks.boxed());
    }
    Ok(stream::select_all(streams).boxed())
}

/// Lines with their ends; one that is too long in pieces, the last perhaps without an end.
fn pieces<R>(reader: R) -> impl futures::Stream<Item = Result<Bytes, BackendError>> + Send + 'static
where
    R: AsyncBufRead + Send + 'static,
{
    stream::try_unfold(Box::pin(reader), |mut reader| async move {
        let mut piece = BytesMut::new();
        loop {
            let there = reader
                .fill_buf()
                .await
                .map_err(|cause| BackendError::Unreachable(cause.to_string()))?;
            if there.is_empty() {
                break;
            }
            let room = &there[..there.len().min(PIECE_BYTES - piece.len())];
            let end = room.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(room.len(), |at| at + 1);
            piece.extend_from_slice(&room[..taken]);
            reader.consume_unpin(taken);
            if end.is_some() || piece.len() == PIECE_BYTES {
                break;
            }
        }
        Ok((!piece.is_empty()).then(|| (piece.freeze(), reader)))
    })
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;
    use futures::executor::block_on;

    use super::*;

    #[test]
    fn lines_come_whole_and_none_is_held_in_memory_without_end() {
        let long = "x".repeat(PIECE_BYTES + 3);
        let text = format!("one\n\ntwo\n{long}\nlast");
        // A reader that has little at a time.
        let reader =
            futures::io::BufReader::with_capacity(2, futures::io::Cursor::new(text.clone()));
        let pieces: Vec<Bytes> = block_on(pieces(reader).try_collect()).unwrap();
        assert_eq!(pieces.concat(), text.as_bytes());
        let lengths: Vec<usize> = pieces.iter().map(Bytes::len).collect();
        assert_eq!(lengths, [4, 1, 4, PIECE_BYTES, 4, 4]);
    }
}
