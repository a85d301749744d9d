//! What a lease's containers wrote.

use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptionsBuilder;
use futures::StreamExt;
use futures::stream::{BoxStream, select_all};

use super::engine::{Engine, error};
use super::objects::Object;
use crate::backend::{BackendError, LogChunk, LogRequest};

/// The output of these containers: each in its own order, several as they come.
pub(super) fn of(
    engine: &Engine,
    objects: Vec<Object>,
    request: &LogRequest,
) -> Result<BoxStream<'static, Result<LogChunk, BackendError>>, BackendError> {
    let wanted: Vec<Object> = objects
        .into_iter()
        .filter(|object| {
            request
                .service
                .as_ref()
                .is_none_or(|service| *service == object.service)
        })
        .collect();
    if wanted.is_empty() {
        let what = request
            .service
            .as_ref()
            .map_or("the lease".to_owned(), |s| format!("the service {s:?}"));
        return Err(BackendError::Missing(what));
    }
    let tail = request
        .tail
        .map_or("all".to_owned(), |lines| lines.to_string());
    let streams = wanted.into_iter().map(|object| {
        let options = LogsOptionsBuilder::default()
            .follow(request.follow)
            .stdout(true)
            .stderr(true)
            .tail(&tail)
            .build();
        let (service, replica) = (object.service, object.replica);
        engine
            .api
            .logs(&object.id, Some(options))
            .map(move |output| {
                let output = output.map_err(error)?;
                let is_stderr = matches!(output, LogOutput::StdErr { .. });
                Ok(LogChunk {
                    service: service.clone(),
                    replica,
                    is_stderr,
                    bytes: output.into_bytes(),
                })
            })
    });
    Ok(select_all(streams.map(StreamExt::boxed)).boxed())
}
