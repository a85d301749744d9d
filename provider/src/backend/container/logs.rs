//! What a lease's containers wrote.
//!
//! Podman tears lines when it is asked for the last ones: it reads its file backwards, and of a line that was written in
//! two pieces it puts the first one behind the line before. Read forwards, all lines are whole. So it is asked for the
//! moment from which the last lines are, then for how many there are since, and then for these but the first too many.

use std::future::ready;

use bollard::container::LogOutput;
use bollard::query_parameters::{LogsOptions, LogsOptionsBuilder};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{BoxStream, once, select_all};

use super::engine::{Engine, error};
use super::objects::Object;
use super::spec::Dialect;
use crate::backend::{BackendError, LogChunk, LogRequest};

type Pieces = BoxStream<'static, Result<LogOutput, BackendError>>;

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
    let streams = wanted.into_iter().map(|object| {
        let (service, replica) = (object.service.clone(), object.replica);
        output(engine.clone(), object.id, request.clone()).map(move |piece| {
            let piece = piece?;
            let is_stderr = matches!(piece, LogOutput::StdErr { .. });
            Ok(LogChunk {
                service: service.clone(),
                replica,
                is_stderr,
                bytes: piece.into_bytes(),
            })
        })
    });
    Ok(select_all(streams.map(StreamExt::boxed)).boxed())
}

/// What one container wrote.
fn output(engine: Engine, container: String, request: LogRequest) -> Pieces {
    let lines = request.tail.filter(|lines| *lines > 0);
    let Some(lines) = lines.filter(|_| engine.dialect == Dialect::Podman) else {
        return pieces(&engine, &container, native(&request));
    };
    let found = async move {
        match last_lines(&engine, &container, &request, lines).await {
            Ok(found) => found,
            Err(cause) => once(ready(Err(cause))).boxed(),
        }
    };
    once(found).flatten().boxed()
}

fn pieces(engine: &Engine, container: &str, options: LogsOptions) -> Pieces {
    let written = engine.api.logs(container, Some(options));
    written.map(|piece| piece.map_err(error)).boxed()
}

/// The request in the engine's words.
fn native(request: &LogRequest) -> LogsOptions {
    let tail = request.tail;
    let tail = tail.map_or("all".to_owned(), |lines| lines.to_string());
    both().follow(request.follow).tail(&tail).build()
}

fn both() -> LogsOptionsBuilder {
    LogsOptionsBuilder::default().stdout(true).stderr(true)
}

/// The last lines, whole, and all that follow where that is wanted.
async fn last_lines(
    engine: &Engine,
    container: &str,
    request: &LogRequest,
    lines: u32,
) -> Result<Pieces, BackendError> {
    let once_with_times = LogRequest {
        follow: false,
        ..request.clone()
    };
    let with_times = LogsOptions {
        timestamps: true,
        ..native(&once_with_times)
    };
    let Some(first) = pieces(engine, container, with_times).next().await else {
        // It wrote nothing yet.
        return Ok(pieces(engine, container, native(request)));
    };
    let Some(moment) = second_of(&first?.into_bytes()) else {
        return Ok(pieces(engine, container, native(request)));
    };
    // The first piece of the first line may be from a little before.
    let since = both().tail("all").since(moment.saturating_sub(1));
    let mut counted = pieces(engine, container, since.clone().build());
    let mut there = 0u64;
    while let Some(piece) = counted.next().await {
        there += u64::from(ends_line(&piece?));
    }
    let mut skip = Skip::first(there.saturating_sub(u64::from(lines)));
    let found = pieces(engine, container, since.follow(request.follow).build());
    let found = found.filter(move |piece| {
        let is_wanted = piece.as_ref().map_or(true, |piece| skip.wants(piece));
        ready(is_wanted)
    });
    Ok(found.boxed())
}

fn ends_line(piece: &LogOutput) -> bool {
    piece.as_ref().ends_with(b"\n")
}

/// Leaves out the first lines, of standard output and standard error together.
struct Skip {
    left: u64,
    /// Of the line that is open on standard output, and on standard error: whether it is wanted.
    open: [Option<bool>; 2],
}

impl Skip {
    fn first(lines: u64) -> Skip {
        Skip {
            left: lines,
            open: [None; 2],
        }
    }

    fn wants(&mut self, piece: &LogOutput) -> bool {
        let stream = usize::from(matches!(piece, LogOutput::StdErr { .. }));
        let is_wanted = self.open[stream].unwrap_or_else(|| {
            let is_wanted = self.left == 0;
            self.left = self.left.saturating_sub(1);
            is_wanted
        });
        self.open[stream] = (!ends_line(piece)).then_some(is_wanted);
        is_wanted
    }
}

/// The second since the Unix epoch at which a line was written that begins with its moment (RFC 3339).
fn second_of(line: &Bytes) -> Option<i32> {
    let moment = std::str::from_utf8(line).ok()?.split(' ').next()?;
    let digits = |from: usize, to: usize| moment.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (digits(0, 4)?, digits(5, 7)?, digits(8, 10)?);
    let second = digits(11, 13)? * 3600 + digits(14, 16)? * 60 + digits(17, 19)?;
    let zone = &moment[19..];
    let zone = zone.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    let ahead = match zone.split_at_checked(1)? {
        ("Z", "") => 0,
        (sign @ ("+" | "-"), offset) => {
            let (hours, minutes) = offset.split_once(':')?;
            let ahead = hours.parse::<i64>().ok()? * 3600 + minutes.parse::<i64>().ok()? * 60;
            if sign == "+" { ahead } else { -ahead }
        }
        _ => return None,
    };
    // Days since the epoch, years beginning in March (Howard Hinnant, "chrono-compatible low-level date algorithms").
    let years = if month > 2 { year } else { year - 1 };
    let (era, of_era) = (years.div_euclid(400), years.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    i32::try_from(days * 86_400 + second - ahead).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_in_every_zone() {
        for (line, second) in [
            ("1970-01-01T00:00:00Z x", Some(0)),
            ("2026-11-23T20:13:49Z out-line", Some(1_795_464_829)),
            ("2026-11-23T22:13:49.123456789+02:00 x", Some(1_795_464_829)),
            ("2024-02-29T23:30:00-01:30 x", Some(1_709_254_800)),
            ("2026-11-23T20:13:49 x", None),
            ("out-line-number-7", None),
            ("", None),
        ] {
            assert_eq!(second_of(&Bytes::from(line)), second, "{line}");
        }
    }

    #[test]
    fn the_first_lines_are_left_out_with_all_their_pieces() {
        let out = |text: &str| LogOutput::StdOut {
            message: text.to_owned().into(),
        };
        let err = |text: &str| LogOutput::StdErr {
            message: text.to_owned().into(),
        };
        let written = [
            out("out-"),
            err("err-1\n"),
            out("1\n"),
            out("out-2\n"),
            err("err-"),
            out("out-3\n"),
            err("2\n"),
        ];
        let left = |skipped| {
            let mut skip = Skip::first(skipped);
            let mut text = String::new();
            for piece in written.iter().filter(|piece| skip.wants(piece)) {
                text.push_str(&String::from_utf8_lossy(piece.as_ref()));
            }
            text
        };
        assert_eq!(left(2), "out-2\nerr-out-3\n2\n");
        assert_eq!(left(4), "out-3\n");
        assert_eq!(left(9), "");
    }
}
