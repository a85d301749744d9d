//! Reading a file from its beginning, and judging its end.

use super::format::{RECORD_HEADER_BYTES, RecordHeader, SEGMENT_HEADER_BYTES, SegmentHeader};
use super::{Position, SegmentInfo};
use crate::disk::DiskFile;
use std::io;
use std::ops::Range;

/// Bytes that the search for later records reads at once.
const WINDOW_BYTES: usize = 64 * 1024;

/// Sees each record when a folder is opened.
pub(crate) trait Visitor {
    /// Whether the visitor already knows what is in this sealed file, so that it is not read.
    fn knows(&mut self, segment: &SegmentInfo) -> bool;

    /// A record. An error says why the owner cannot have written it here.
    fn record(&mut self, at: Position, header: &RecordHeader, payload: &[u8])
    -> Result<(), String>;

    /// All records of a sealed file were shown.
    fn sealed(&mut self, segment: &SegmentInfo);
}

/// Where the good records of a file end.
pub(super) struct End {
    pub good_bytes: u64,
    /// So much of the file was synced, by what the good records say.
    pub known_synced: u64,
    /// What comes after them, if it is not the end of the file.
    pub bad: Option<String>,
}

pub(super) fn scan(
    file: &dyn DiskFile,
    info: &SegmentInfo,
    max_record_bytes: u32,
    visitor: &mut dyn Visitor,
) -> io::Result<End> {
    let mut payload = Vec::new();
    let (mut good_bytes, mut known_synced) = (SEGMENT_HEADER_BYTES, 0);
    while good_bytes < info.bytes {
        let at = Position {
            segment: info.number,
            offset: good_bytes as u32,
        };
        let read = read_record(
            file,
            info.bytes,
            at,
            info.salt,
            max_record_bytes,
            &mut payload,
        )?;
        let taken = read.map_err(str::to_owned).and_then(|header| {
            visitor.record(at, &header, &payload)?;
            Ok(header)
        });
        match taken {
            Ok(header) => {
                good_bytes += header.total_bytes();
                known_synced = known_synced.max(header.synced);
            }
            Err(what) => {
                return Ok(End {
                    good_bytes,
                    bad: Some(what),
                    known_synced,
                });
            }
        }
    }
    Ok(End {
        good_bytes,
        bad: None,
        known_synced,
    })
}

/// Reads a record into `payload`; the inner error says what is wrong with it.
pub(super) fn read_record(
    file: &dyn DiskFile,
    file_bytes: u64,
    at: Position,
    salt: u64,
    max_record_bytes: u32,
    payload: &mut Vec<u8>,
) -> io::Result<Result<RecordHeader, &'static str>> {
    let offset = u64::from(at.offset);
    let mut bytes = [0; RECORD_HEADER_BYTES as usize];
    if file.read_at(offset, &mut bytes)? < bytes.len() {
        return Ok(Err("the file ends in the header of a record"));
    }
    let Some(header) = RecordHeader::decode(&bytes, salt, at) else {
        return Ok(Err("the header of a record does not match its checksum"));
    };
    if header.length > max_record_bytes {
        return Ok(Err("a record is longer than records may be"));
    }
    if offset + header.total_bytes() > file_bytes {
        return Ok(Err("the file ends in a record"));
    }
    payload.resize(header.length as usize, 0);
    let read = file.read_at(offset + RECORD_HEADER_BYTES, payload)?;
    if read < payload.len() || !header.matches(payload) {
        return Ok(Err("a record does not match its checksum"));
    }
    Ok(Ok(header))
}

/// Whether a record after the bad one at `bad` says that the bad one was synced.
pub(super) fn claimed_as_synced(
    file: &dyn DiskFile,
    info: &SegmentInfo,
    bad: u64,
    max_record_bytes: u32,
) -> io::Result<bool> {
    let mut window = vec![0; WINDOW_BYTES];
    let mut offset = bad + 1;
    while offset + RECORD_HEADER_BYTES <= info.bytes {
        let read = file.read_at(offset, &mut window)?;
        for (ahead, bytes) in window[..read]
            .windows(RECORD_HEADER_BYTES as usize)
            .enumerate()
        {
            let at = Position {
                segment: info.number,
                offset: (offset + ahead as u64) as u32,
            };
            let bytes = bytes
                .try_into()
                .expect("a window has the length of a header");
            let later = RecordHeader::decode(bytes, info.salt, at)
                .filter(|header| header.length <= max_record_bytes);
            if later.is_some_and(|header| header.synced > bad) {
                return Ok(true);
            }
        }
        // The next window begins where no whole header was left in this one.
        offset += (read as u64).saturating_sub(RECORD_HEADER_BYTES - 1).max(1);
    }
    Ok(false)
}

/// Writes the bytes over with themselves, so that the next sync really takes them to the disk. A
/// process that was killed may have left bytes that only the kernel's memory holds, and if a sync
/// failed before, the kernel takes them for written: a sync alone would not notice.
pub(super) fn rewrite(file: &dyn DiskFile, range: Range<u64>) -> io::Result<()> {
    let mut window = vec![0; WINDOW_BYTES];
    let mut offset = range.start;
    while offset < range.end {
        let wanted = WINDOW_BYTES.min((range.end - offset) as usize);
        let read = file.read_at(offset, &mut window[..wanted])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.write_at(offset, &window[..read])?;
        offset += read as u64;
    }
    Ok(())
}

/// None if the file does not begin with a header.
pub(super) fn read_segment_header(file: &dyn DiskFile) -> io::Result<Option<SegmentHeader>> {
    let mut bytes = [0; SEGMENT_HEADER_BYTES as usize];
    let read = file.read_at(0, &mut bytes)?;
    Ok((read == bytes.len())
        .then(|| SegmentHeader::decode(&bytes))
        .flatten())
}
