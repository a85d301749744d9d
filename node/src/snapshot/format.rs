//! The file: a mark, then frames of length (`u32`), CRC-32C (`u32`) and bytes; little-endian, as
//! borsh has it.
//!
//! ```text
//!   "welkin snapshot 1\n"
//!   frame: Head
//!   frame: rows, each borsh (key, value)         as many as it takes
//!   frame: BLAKE3 over the bytes of all frames before
//! ```

use std::path::{Path, PathBuf};

use borsh::{BorshDeserialize, BorshSerialize};
use welkin_runtime::Hash;
use welkin_runtime::state::{MAX_KEY_BYTES, MAX_VALUE_BYTES};

use super::SnapshotError;
use crate::disk::{Context as _, DiskFile};

const MARK: &[u8] = b"welkin snapshot 1\n";

/// A frame of rows is closed when it is longer than this.
const ROWS_BYTES: usize = 256 * 1024;

/// The longest frame that is read.
const MAX_FRAME_BYTES: usize = 4 << 20;

/// What a snapshot says of itself.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Head {
    /// The version of the state.
    pub version: u64,
    /// The root that its rows lead to.
    pub root: Hash,
    /// How many rows there are.
    pub rows: u64,
    /// What the ledger wanted to have with it.
    pub attachment: Vec<u8>,
}

/// Writes a snapshot into an empty file.
pub struct Writer<'a> {
    file: &'a dyn DiskFile,
    path: &'a Path,
    offset: u64,
    rows: Vec<u8>,
    hasher: blake3::Hasher,
}

impl<'a> Writer<'a> {
    /// Writes the head.
    pub fn start(
        file: &'a dyn DiskFile,
        path: &'a Path,
        head: &Head,
    ) -> Result<Writer<'a>, SnapshotError> {
        file.write_at(0, MARK).on("write", path)?;
        let (rows, hasher) = (Vec::with_capacity(ROWS_BYTES), blake3::Hasher::new());
        let mut writer = Writer {
            file,
            path,
            offset: MARK.len() as u64,
            rows,
            hasher,
        };
        writer.frame(&borsh::to_vec(head).expect("writing to memory does not fail"))?;
        Ok(writer)
    }

    /// Adds a row.
    pub fn row(&mut self, key: &[u8], value: &[u8]) -> Result<(), SnapshotError> {
        (key, value)
            .serialize(&mut self.rows)
            .expect("writing to memory does not fail");
        if self.rows.len() > ROWS_BYTES {
            self.close_rows()
        } else {
            Ok(())
        }
    }

    /// Writes what is left, and the hash. The file has to be synced after that.
    pub fn finish(mut self) -> Result<(), SnapshotError> {
        self.close_rows()?;
        let hash = self.hasher.finalize();
        self.frame(hash.as_bytes())
    }

    fn close_rows(&mut self) -> Result<(), SnapshotError> {
        let rows = std::mem::take(&mut self.rows);
        if rows.is_empty() {
            Ok(())
        } else {
            self.frame(&rows)
        }
    }

    fn frame(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        let length = u32::try_from(bytes.len())
            .ok()
            .filter(|_| bytes.len() <= MAX_FRAME_BYTES);
        let length = length.ok_or_else(|| damaged(self.path, "what goes with it is too long"))?;
        let check = crc32c::crc32c(bytes);
        let frame = [&length.to_le_bytes(), &check.to_le_bytes(), bytes].concat();
        self.file
            .write_at(self.offset, &frame)
            .on("write", self.path)?;
        self.offset += frame.len() as u64;
        self.hasher.update(bytes);
        Ok(())
    }
}

fn damaged(path: &Path, what: &str) -> SnapshotError {
    SnapshotError::Damaged {
        path: path.to_owned(),
        what: what.to_owned(),
    }
}

/// Reads a snapshot from its beginning, row by row. After the last row its end is checked, too; an
/// error is the last item.
pub struct Reader {
    /// What the snapshot says of itself.
    pub head: Head,
    file: Box<dyn DiskFile>,
    path: PathBuf,
    offset: u64,
    rows: std::vec::IntoIter<(Vec<u8>, Vec<u8>)>,
    left: u64,
    hasher: blake3::Hasher,
    done: bool,
}

impl Reader {
    /// Reads the head.
    pub fn start(file: Box<dyn DiskFile>, path: PathBuf) -> Result<Reader, SnapshotError> {
        let mut mark = [0; MARK.len()];
        let read = file.read_at(0, &mut mark).on("read", &path)?;
        if read != MARK.len() || mark != MARK {
            return Err(damaged(
                &path,
                "this is no snapshot, or one of another program",
            ));
        }
        let mut reader = Reader {
            head: Head {
                version: 0,
                root: Hash::default(),
                rows: 0,
                attachment: Vec::new(),
            },
            file,
            path,
            offset: MARK.len() as u64,
            rows: Vec::new().into_iter(),
            left: 0,
            hasher: blake3::Hasher::new(),
            done: false,
        };
        let head = reader.frame()?;
        reader.hasher.update(&head);
        let head = borsh::from_slice(&head).map_err(|_| reader.damaged("its head"))?;
        reader.head = head;
        reader.left = reader.head.rows;
        Ok(reader)
    }

    /// An error about this file.
    pub fn damaged(&self, what: &str) -> SnapshotError {
        damaged(&self.path, what)
    }

    fn exactly(&mut self, into: &mut [u8]) -> Result<(), SnapshotError> {
        let read = self
            .file
            .read_at(self.offset, into)
            .on("read", &self.path)?;
        if read != into.len() {
            return Err(self.damaged("it ends early"));
        }
        self.offset += read as u64;
        Ok(())
    }

    fn frame(&mut self) -> Result<Vec<u8>, SnapshotError> {
        let mut head = [0; 8];
        self.exactly(&mut head)?;
        let [a, b, c, d, check @ ..] = head;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if length > MAX_FRAME_BYTES {
            return Err(self.damaged("a frame is too long"));
        }
        let mut bytes = vec![0; length];
        self.exactly(&mut bytes)?;
        if crc32c::crc32c(&bytes) != u32::from_le_bytes(check) {
            return Err(self.damaged("a checksum does not fit"));
        }
        Ok(bytes)
    }

    fn next_row(&mut self) -> Result<Option<(Vec<u8>, Vec<u8>)>, SnapshotError> {
        if let Some(row) = self.rows.next() {
            return Ok(Some(row));
        }
        if self.left == 0 {
            return self.end().map(|()| None);
        }
        let frame = self.frame()?;
        self.hasher.update(&frame);
        let mut rest = frame.as_slice();
        let mut rows = Vec::new();
        while !rest.is_empty() {
            let (key, value): (Vec<u8>, Vec<u8>) =
                BorshDeserialize::deserialize(&mut rest).map_err(|_| self.damaged("a row"))?;
            if key.len() > MAX_KEY_BYTES || value.len() > MAX_VALUE_BYTES {
                return Err(self.damaged("a row is too long"));
            }
            rows.push((key, value));
        }
        self.left = match self.left.checked_sub(rows.len() as u64) {
            Some(left) if !rows.is_empty() => left,
            _ => return Err(self.damaged("the number of rows")),
        };
        self.rows = rows.into_iter();
        Ok(self.rows.next())
    }

    /// The hash over all, and nothing after it.
    fn end(&mut self) -> Result<(), SnapshotError> {
        let hash = self.frame()?;
        if hash != self.hasher.finalize().as_bytes() {
            return Err(self.damaged("the hash over all of it"));
        }
        let mut more = [0];
        match self
            .file
            .read_at(self.offset, &mut more)
            .on("read", &self.path)?
        {
            0 => Ok(()),
            _ => Err(self.damaged("it goes on after its end")),
        }
    }
}

impl Iterator for Reader {
    type Item = Result<(Vec<u8>, Vec<u8>), SnapshotError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let row = self.next_row().transpose();
        self.done = !matches!(row, Some(Ok(_)));
        row
    }
}
