//! One file of the model.

use super::random::Random;
use std::ops::Range;

/// What a disk writes at once: the parts of a write that tears are of this size.
const SECTOR_BYTES: usize = 512;

/// A file: what readers see, what is safe, and the changes between them.
#[derive(Debug, Default)]
pub(super) struct Inode {
    seen: Vec<u8>,
    safe: Vec<u8>,
    waiting: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl Inode {
    pub(super) fn seen(&self) -> &[u8] {
        &self.seen
    }

    pub(super) fn used_bytes(&self) -> u64 {
        let waiting = self.waiting.iter().map(|change| match change {
            Change::Write(_, bytes) => bytes.len(),
            Change::Length(_) => 0,
        });
        (self.seen.len() + waiting.sum::<usize>()) as u64
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        let offset = usize::try_from(offset).expect("a file of the model fits the memory");
        write(&mut self.seen, offset, bytes);
        self.waiting.push(Change::Write(offset, bytes.to_vec()));
    }

    pub(super) fn set_len(&mut self, len: u64) {
        let len = usize::try_from(len).expect("a file of the model fits the memory");
        self.seen.resize(len, 0);
        self.waiting.push(Change::Length(len));
    }

    pub(super) fn sync(&mut self) {
        for change in std::mem::take(&mut self.waiting) {
            change.apply(&mut self.safe);
        }
    }

    /// Some of the changes are never written, although readers see them and nothing waits.
    pub(super) fn fail_to_sync(&mut self, random: &mut Random) {
        for change in std::mem::take(&mut self.waiting) {
            if random.one_in(2) || matches!(change, Change::Length(_)) {
                change.apply(&mut self.safe);
            }
        }
    }

    pub(super) fn damage(&mut self, change: impl FnOnce(&mut Vec<u8>)) {
        self.sync();
        change(&mut self.seen);
        self.safe.clone_from(&self.seen);
    }

    /// The file that is found after a power cut.
    pub(super) fn after_power_cut(&self, random: &mut Random) -> Inode {
        let mut bytes = self.safe.clone();
        for change in &self.waiting {
            match change {
                Change::Write(offset, written) => tear(&mut bytes, *offset, written, random),
                Change::Length(_) if random.one_in(2) => {}
                Change::Length(_) => change.apply(&mut bytes),
            }
        }
        Inode {
            seen: bytes.clone(),
            safe: bytes,
            waiting: Vec::new(),
        }
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Change::Write(offset, written) => write(bytes, *offset, written),
            Change::Length(len) => bytes.resize(*len, 0),
        }
    }
}

fn write(bytes: &mut Vec<u8>, offset: usize, written: &[u8]) {
    let end = offset + written.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(written);
}

/// What is left of a write that was under way.
fn tear(bytes: &mut Vec<u8>, offset: usize, written: &[u8], random: &mut Random) {
    match random.below(8) {
        0..=2 => write(bytes, offset, written),
        3 | 4 => {}
        5 => {
            let part = random.below(written.len() as u64 + 1) as usize;
            write(bytes, offset, &written[..part]);
        }
        6 => {
            for sector in sectors(offset, written.len()) {
                if random.one_in(2) {
                    write(bytes, offset + sector.start, &written[sector]);
                }
            }
        }
        // The length was written and the bytes were not: zeros, or what lay on the disk before.
        _ => {
            let old = bytes.len();
            let end = old.max(offset + written.len());
            bytes.resize(end, 0);
            if random.one_in(2) {
                bytes[old..].fill_with(|| random.next() as u8);
            }
        }
    }
}

/// The parts of a write that lie in one sector each.
fn sectors(offset: usize, len: usize) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let end = len.min(start + SECTOR_BYTES - (offset + start) % SECTOR_BYTES);
        let sector = start..end;
        start = end;
        (!sector.is_empty()).then_some(sector)
    })
}
