//! The files of a folder: finding, creating, opening, judging and removing them.

use super::format::{SEGMENT_HEADER_BYTES, SegmentHeader};
use super::scan::{self, Visitor};
use super::{LOG_TARGET, Position, Record, SegmentInfo, SegmentsConfig, Tail};
use crate::disk::{Context as _, Disk, DiskFile, Mode, Open, StorageError};
use std::path::PathBuf;
use std::sync::Arc;

/// Where a folder lies and how it is read.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    pub disk: Arc<dyn Disk>,
    pub path: PathBuf,
    pub config: SegmentsConfig,
}

impl Folder {
    /// Path of a file.
    pub fn segment(&self, number: u32) -> PathBuf {
        self.path
            .join(format!("{number:08}.{}", self.config.extension))
    }

    /// Path of a file that the owner keeps beside a segment.
    pub fn beside(&self, number: u32, extension: &str) -> PathBuf {
        self.path.join(format!("{number:08}.{extension}"))
    }

    /// Reads one record of a file with this salt.
    pub fn read(&self, at: Position, salt: u64) -> Result<Record, StorageError> {
        let path = self.segment(at.segment);
        let file = self.disk.open(&path, Open::Read).on("open", &path)?;
        let len = file.len().on("look at", &path)?;
        let mut payload = Vec::new();
        match scan::read_record(
            &*file,
            len,
            at,
            salt,
            self.config.max_record_bytes,
            &mut payload,
        ) {
            Ok(Ok(header)) => {
                let offset = at.offset + header.total_bytes() as u32;
                let next = Position {
                    segment: at.segment,
                    offset,
                };
                Ok(Record {
                    kind: header.kind,
                    height: header.height,
                    payload,
                    next,
                })
            }
            Ok(Err(what)) => Err(self.damaged(at.segment, at.offset.into(), what.to_owned())),
            Err(why) => Err(why).on("read", &path),
        }
    }

    /// The error for a bad record.
    pub fn damaged(&self, number: u32, offset: u64, what: String) -> StorageError {
        let (path, remedy) = (self.segment(number), self.config.remedy);
        StorageError::Damaged {
            path,
            offset,
            what,
            remedy,
        }
    }

    /// The numbers of the files, without a gap.
    pub(super) fn numbers(&self) -> Result<Vec<u32>, StorageError> {
        let names = self.disk.list(&self.path).on("list", &self.path)?;
        let number = |name: &String| {
            let digits = name
                .strip_suffix(self.config.extension)?
                .strip_suffix('.')?;
            (digits.len() == 8).then(|| digits.parse().ok())?
        };
        let numbers: Vec<u32> = names.iter().filter_map(number).collect();
        match numbers.windows(2).find(|pair| pair[0] + 1 != pair[1]) {
            Some(pair) => Err(self.damaged(pair[0] + 1, 0, "the file is missing".to_owned())),
            None => Ok(numbers),
        }
    }

    /// The last file holds no record before its header is synced: without a header it is what a
    /// power cut left of its creation.
    pub(super) fn remove_half_created(&self, numbers: &mut Vec<u32>) -> Result<(), StorageError> {
        let Some(newest) = numbers.last().copied() else {
            return Ok(());
        };
        let path = self.segment(newest);
        let file = self.disk.open(&path, Open::Read).on("open", &path)?;
        let len = file.len().on("look at", &path)?;
        let header = scan::read_segment_header(&*file).on("read", &path)?;
        if len <= SEGMENT_HEADER_BYTES && header.is_none() {
            self.remove(newest)?;
            numbers.pop();
        }
        Ok(())
    }

    pub(super) fn remove(&self, number: u32) -> Result<(), StorageError> {
        let path = self.segment(number);
        self.disk.remove(&path).on("remove", &path)?;
        self.disk
            .sync_dir(&self.path)
            .on("sync the folder", &self.path)
    }

    pub(super) fn create(&self, number: u32) -> Result<Tail, StorageError> {
        let path = self.segment(number);
        let SegmentsConfig {
            magic,
            genesis,
            salt,
            ..
        } = self.config;
        let salt = salt.wrapping_add(u64::from(number));
        let header = SegmentHeader {
            magic,
            number,
            salt,
            genesis,
        };
        let file = self
            .disk
            .open(&path, Open::Create(Mode::Private))
            .on("create", &path)?;
        file.write_at(0, &header.encode()).on("write", &path)?;
        file.sync().on("sync", &path)?;
        self.disk
            .sync_dir(&self.path)
            .on("sync the folder", &self.path)?;
        let bytes = SEGMENT_HEADER_BYTES;
        Ok(Tail {
            number,
            salt,
            file,
            written: bytes,
            synced: bytes,
        })
    }

    pub(super) fn open_segment(
        &self,
        number: u32,
        how: Open,
    ) -> Result<(Box<dyn DiskFile>, SegmentInfo), StorageError> {
        let path = self.segment(number);
        let file = self.disk.open(&path, how).on("open", &path)?;
        let bytes = file.len().on("look at", &path)?;
        let header = scan::read_segment_header(&*file).on("read", &path)?;
        let bad = |what: &str| Err(self.damaged(number, 0, what.to_owned()));
        let Some(header) = header else {
            return bad("the header is not readable");
        };
        if header.magic != self.config.magic {
            return bad("this is another kind of file");
        }
        if header.genesis != self.config.genesis {
            let (expected, found) = (
                hex::encode(self.config.genesis),
                hex::encode(header.genesis),
            );
            return Err(StorageError::OtherNetwork {
                path,
                expected,
                found,
            });
        }
        if header.number != number {
            return bad("the file was renamed");
        }
        if bytes > u64::from(u32::MAX) {
            return bad("the file is too long");
        }
        Ok((
            file,
            SegmentInfo {
                number,
                bytes,
                salt: header.salt,
            },
        ))
    }

    pub(super) fn open_tail(
        &self,
        number: u32,
        visitor: &mut dyn Visitor,
    ) -> Result<Tail, StorageError> {
        let (file, info) = self.open_segment(number, Open::Write)?;
        let path = self.segment(number);
        let end = self.scan(&*file, &info, visitor)?;
        if let Some(what) = end.bad {
            let max_record_bytes = self.config.max_record_bytes;
            let claim = scan::claimed_as_synced(&*file, &info, end.good_bytes, max_record_bytes);
            if claim.on("read", &path)? {
                return Err(self.damaged(number, end.good_bytes, what));
            }
            tracing::warn!(
                target: LOG_TARGET,
                file = %path.display(), offset = end.good_bytes, lost_bytes = info.bytes - end.good_bytes,
                "cut the torn end of a file; nothing in it was acknowledged"
            );
            file.set_len(end.good_bytes).on("cut", &path)?;
        }
        scan::rewrite(&*file, end.known_synced..end.good_bytes).on("write", &path)?;
        file.sync().on("sync", &path)?;
        let bytes = end.good_bytes;
        Ok(Tail {
            number,
            salt: info.salt,
            file,
            written: bytes,
            synced: bytes,
        })
    }

    pub(super) fn scan(
        &self,
        file: &dyn DiskFile,
        info: &SegmentInfo,
        visitor: &mut dyn Visitor,
    ) -> Result<scan::End, StorageError> {
        let path = self.segment(info.number);
        scan::scan(file, info, self.config.max_record_bytes, visitor).on("read", &path)
    }
}
