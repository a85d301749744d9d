use super::*;
use crate::disk::{Disk as _, Fault, ModelDisk};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const GENESIS: [u8; 32] = [7; 32];

fn folder(disk: &ModelDisk) -> Folder {
    let config = SegmentsConfig {
        magic: *b"wlktest\x01",
        extension: "test",
        genesis: GENESIS,
        salt: 0x0102_0304_0506_0708,
        max_segment_bytes: 4096,
        max_record_bytes: 1024,
        remedy: "do this",
    };
    Folder {
        disk: Arc::new(disk.clone()),
        path: PathBuf::from("/data"),
        config,
    }
}

/// The payloads that are shown at opening.
#[derive(Default)]
struct Seen(Vec<Vec<u8>>);

impl Visitor for Seen {
    fn knows(&mut self, _segment: &SegmentInfo) -> bool {
        false
    }

    fn record(&mut self, _: Position, header: &RecordHeader, payload: &[u8]) -> Result<(), String> {
        assert_eq!(header.height, self.0.len() as u64 + 1);
        self.0.push(payload.to_vec());
        Ok(())
    }

    fn sealed(&mut self, _segment: &SegmentInfo) {}
}

fn open(disk: &ModelDisk) -> Result<(Segments, Vec<Vec<u8>>), StorageError> {
    let mut seen = Seen::default();
    let segments = Segments::open(folder(disk), &mut seen)?;
    Ok((segments, seen.0))
}

/// Appends records numbered on from `done`, each batch synced.
fn append(segments: &mut Segments, done: u64, batches: &[&[&[u8]]]) {
    let mut height = done;
    for batch in batches {
        for payload in *batch {
            height += 1;
            segments.append(1, height, &[payload]).unwrap();
        }
        segments.sync().unwrap();
    }
}

/// A disk with one file of these batches.
fn written(batches: &[&[&[u8]]]) -> ModelDisk {
    let disk = ModelDisk::default();
    let (mut segments, _) = open(&disk).unwrap();
    append(&mut segments, 0, batches);
    disk
}

fn first() -> PathBuf {
    PathBuf::from("/data/00000001.test")
}

fn error(disk: &ModelDisk) -> String {
    open(disk).err().expect("an error").to_string()
}

#[test]
fn the_bytes_of_a_file_are_these() {
    let disk = written(&[&[b"abc"], &[b""]]);
    // Computed by hand from the layout in format.rs, with another implementation of CRC32C.
    let golden = concat!(
        "776c6b7465737401010000000000000009070605040302010707070707070707",
        "07070707070707070707070707070707070707070707070700000000352ee952",
        "949e3424b73f4b36030000000100000001000000000000004000000000000000",
        "6162635897587e00000000000000000100000002000000000000006300000000",
        "000000",
    );
    assert_eq!(hex::encode(disk.bytes(&first()).unwrap()), golden);
}

#[test]
fn what_was_appended_is_shown_at_opening_and_can_be_read() {
    let disk = written(&[&[b"one", b"two"], &[&[3; 1000]]]);
    let (segments, seen) = open(&disk).unwrap();
    assert_eq!(seen, [b"one".to_vec(), b"two".to_vec(), vec![3; 1000]]);
    let one = segments.read(segments.begin()).unwrap().unwrap();
    assert_eq!(
        (one.kind, one.height, one.payload.as_slice()),
        (1, 1, b"one".as_slice())
    );
    let two = segments.read(one.next).unwrap().unwrap();
    let three = segments.read(two.next).unwrap().unwrap();
    assert_eq!(three.payload, [3; 1000]);
    assert_eq!(segments.read(three.next).unwrap(), None);
}

#[test]
fn a_tail_that_is_cut_anywhere_keeps_the_whole_records_before_the_cut() {
    let whole = written(&[&[b"one"], &[b"two"], &[b"three"]])
        .bytes(&first())
        .unwrap();
    let ends = [64, 64 + 35, 64 + 70, 64 + 107];
    for len in 64..=whole.len() {
        let disk = written(&[&[b"one"], &[b"two"], &[b"three"]]);
        disk.damage(&first(), |bytes| bytes.truncate(len));
        let (mut segments, seen) = open(&disk).unwrap();
        let kept = ends.iter().filter(|end| **end <= len).count() - 1;
        assert_eq!(seen.len(), kept, "{len} bytes");
        append(&mut segments, kept as u64, &[&[b"again"]]);
        drop(segments);
        assert_eq!(open(&disk.power_cut(1)).unwrap().1.len(), kept + 1);
    }
}

#[test]
fn a_change_of_any_byte_that_a_later_record_claims_as_synced_is_an_error() {
    let middle = 64 + 35..64 + 70;
    for offset in 0..64 + 70 {
        let disk = written(&[&[b"one"], &[b"two"], &[b"three"]]);
        disk.damage(&first(), |bytes| bytes[offset] ^= 0x10);
        let bad = if middle.contains(&offset) {
            99
        } else if offset < 64 {
            0
        } else {
            64
        };
        let told = error(&disk);
        let begin = format!("/data/00000001.test is damaged at byte {bad}: ");
        assert!(
            told.starts_with(&begin) && told.ends_with("; do this"),
            "{offset}: {told}"
        );
    }
}

#[test]
fn a_change_in_the_last_record_cannot_be_told_from_a_torn_end() {
    let disk = written(&[&[b"one"], &[b"two"]]);
    disk.damage(&first(), |bytes| bytes[64 + 35 + 33] ^= 1);
    assert_eq!(open(&disk).unwrap().1, [b"one".to_vec()]);
}

#[test]
fn a_whole_record_behind_a_torn_one_of_the_same_batch_is_cut_with_it() {
    let disk = written(&[&[b"one"], &[b"two", b"three"]]);
    disk.damage(&first(), |bytes| bytes[64 + 35..64 + 70].fill(0));
    assert_eq!(open(&disk).unwrap().1, [b"one".to_vec()]);
    assert_eq!(disk.bytes(&first()).unwrap().len(), 64 + 35);
}

#[test]
fn a_record_that_somebody_hid_in_a_payload_is_no_witness() {
    // The attacker knows everything but the salt, and wants the torn end to look like damage.
    let hidden = |salt: u64| {
        let offset = 64 + 32 + 100 + 32;
        let header = RecordHeader::new(1, 9, &[], offset.into());
        header
            .encode(salt, Position { segment: 1, offset })
            .to_vec()
    };
    let salt = folder(&ModelDisk::default()).config.salt + 1;
    for (guess, believed) in [(salt ^ 1, false), (salt, true)] {
        let disk = written(&[&[&[1; 100]], &[&hidden(guess)]]);
        disk.damage(&first(), |bytes| bytes[64] ^= 1);
        // The second record itself claims that the first was synced, unless it is torn too.
        disk.damage(&first(), |bytes| bytes[64 + 132..64 + 164].fill(0));
        assert_eq!(open(&disk).is_err(), believed);
    }
}

#[test]
fn sealed_files_must_be_whole() {
    let two_files = || {
        let disk = written(&[&[b"one"], &[b"two"]]);
        let (mut segments, _) = open(&disk).unwrap();
        segments.rotate().unwrap();
        append(&mut segments, 2, &[&[b"three"]]);
        disk
    };
    assert_eq!(open(&two_files()).unwrap().1.len(), 3);
    for (change, told) in [
        (None, "is damaged at byte 99: the file ends in a record"),
        (
            Some(64 + 35 + 33),
            "is damaged at byte 99: a record does not match its checksum",
        ),
        (
            Some(64 + 35 + 3),
            "is damaged at byte 99: the header of a record does not match",
        ),
        (Some(3), "is damaged at byte 0: the header is not readable"),
    ] {
        let disk = two_files();
        disk.damage(&first(), |bytes| match change {
            None => bytes.truncate(64 + 68),
            Some(offset) => bytes[offset] ^= 1,
        });
        assert!(error(&disk).contains(told), "{}", error(&disk));
    }
}

#[test]
fn files_that_are_missing_renamed_or_of_another_kind_are_named() {
    let disk = ModelDisk::default();
    let (mut segments, _) = open(&disk).unwrap();
    for height in 1..=3 {
        segments.append(1, height, &[b"x"]).unwrap();
        segments.rotate().unwrap();
    }
    drop(segments);
    let (second, fourth) = (
        Path::new("/data/00000002.test"),
        Path::new("/data/00000004.test"),
    );
    disk.rename(second, Path::new("/data/aside")).unwrap();
    assert!(
        error(&disk).starts_with("/data/00000002.test is damaged at byte 0: the file is missing")
    );
    disk.remove(fourth).unwrap();
    disk.rename(Path::new("/data/00000003.test"), second)
        .unwrap();
    assert!(error(&disk).contains("00000002.test is damaged at byte 0: the file was renamed"));
    disk.rename(Path::new("/data/aside"), second).unwrap();
    assert_eq!(open(&disk).unwrap().1.len(), 2);

    let mut other = folder(&disk);
    other.config.magic = *b"other\0\0\0";
    let told = Segments::open(other, &mut Seen::default())
        .err()
        .unwrap()
        .to_string();
    assert!(told.contains("this is another kind of file"), "{told}");
}

#[test]
fn the_folder_of_another_network_is_refused_in_one_sentence() {
    let disk = written(&[&[b"one"]]);
    let mut other = folder(&disk);
    other.config.genesis = [8; 32];
    let told = Segments::open(other, &mut Seen::default())
        .err()
        .unwrap()
        .to_string();
    let expected = format!(
        "/data/00000001.test belongs to another network (genesis {}, not {}): use the home folder \
         of this network, or remove the old data with `welkind unsafe-reset`",
        "07".repeat(32),
        "08".repeat(32),
    );
    assert_eq!(told, expected);
    assert_eq!(open(&disk).unwrap().1.len(), 1, "nothing was touched");
}

#[test]
fn a_file_whose_creation_was_cut_short_is_created_again() {
    for len in 0..64 {
        let disk = written(&[&[b"one"]]);
        let (mut segments, _) = open(&disk).unwrap();
        segments.rotate().unwrap();
        drop(segments);
        disk.damage(Path::new("/data/00000002.test"), |bytes| {
            bytes.truncate(len)
        });
        let (mut segments, seen) = open(&disk).unwrap();
        assert_eq!(seen.len(), 1);
        assert_eq!(segments.end().segment, 1);
        segments.rotate().unwrap();
        append(&mut segments, 1, &[&[b"two"]]);
        assert_eq!(open(&disk).unwrap().1.len(), 2);
    }
}

#[test]
fn after_a_failed_write_or_sync_nothing_more_is_written_until_it_is_opened_again() {
    for fault in [Fault::Full, Fault::Write, Fault::Sync] {
        let disk = written(&[&[b"one"]]);
        let (mut segments, _) = open(&disk).unwrap();
        disk.fail(fault, 0);
        let done = segments
            .append(1, 2, &[b"two"])
            .and_then(|_| segments.sync());
        assert!(matches!(done, Err(StorageError::Io { .. })));
        for again in [segments.append(1, 2, &[b"two"]).map(drop), segments.sync()] {
            assert!(matches!(again, Err(StorageError::Stopped { .. })));
        }
        drop(segments);
        let (mut segments, seen) = open(&disk).unwrap();
        assert!(seen == [b"one".to_vec()] || seen == [b"one".to_vec(), b"two".to_vec()]);
        let height = seen.len() as u64;
        append(&mut segments, height, &[&[b"more"]]);
        drop(segments);
        assert_eq!(open(&disk.power_cut(3)).unwrap().1.len(), seen.len() + 1);
    }
}

#[test]
fn what_a_killed_process_left_unsynced_is_synced_before_it_is_believed() {
    let disk = written(&[&[b"one"]]);
    let (mut segments, _) = open(&disk).unwrap();
    segments.append(1, 2, &[b"two"]).unwrap();
    drop(segments);
    assert_eq!(open(&disk).unwrap().1.len(), 2);
    for seed in 0..50 {
        assert_eq!(open(&disk.power_cut(seed)).unwrap().1.len(), 2);
    }
}

#[test]
fn what_a_failed_sync_left_is_written_again_before_it_is_believed() {
    for seed in 0..50 {
        let disk = written(&[&[b"one"]]).power_cut(seed);
        let (mut segments, _) = open(&disk).unwrap();
        segments.append(1, 2, &[b"two"]).unwrap();
        disk.fail(Fault::Sync, 0);
        assert!(segments.sync().is_err());
        drop(segments);
        // The sync of the next opening fails as well, the one after it succeeds.
        disk.fail(Fault::Sync, 0);
        assert!(open(&disk).is_err());
        assert_eq!(open(&disk).unwrap().1.len(), 2);
        assert_eq!(open(&disk.power_cut(seed)).unwrap().1.len(), 2);
    }
}

#[test]
fn a_record_over_the_limit_is_refused_before_anything_is_written() {
    let disk = written(&[&[b"one"]]);
    let (mut segments, _) = open(&disk).unwrap();
    let refused = segments.append(1, 2, &[&[0; 1000], &[0; 25]]).unwrap_err();
    assert!(matches!(
        refused,
        StorageError::TooLarge {
            bytes: 1025,
            limit: 1024,
            ..
        }
    ));
    append(&mut segments, 1, &[&[&[0; 1024]]]);
    assert_eq!(open(&disk).unwrap().1.len(), 2);
}

#[test]
fn a_length_that_is_not_sane_allocates_nothing() {
    let disk = written(&[&[b"one"]]);
    let salt = folder(&disk).config.salt + 1;
    let mut huge = RecordHeader::new(1, 2, &[], 64);
    huge.length = u32::MAX;
    let header = huge.encode(
        salt,
        Position {
            segment: 1,
            offset: 64 + 35,
        },
    );
    disk.damage(&first(), |bytes| bytes.extend_from_slice(&header));
    assert_eq!(open(&disk).unwrap().1.len(), 1);
}

#[test]
fn nothing_appended_needs_no_sync() {
    let disk = written(&[&[b"one"]]);
    let (mut segments, _) = open(&disk).unwrap();
    let before = disk.syncs();
    segments.sync().unwrap();
    assert_eq!(disk.syncs(), before);
    append(&mut segments, 1, &[&[b"two", b"three", b"four"]]);
    assert_eq!(disk.syncs(), before + 1, "one sync covers the batch");
}
