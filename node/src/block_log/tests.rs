use super::*;
use crate::disk::ModelDisk;
use std::path::PathBuf;

const DIR: &str = "/data/blocks";

fn config() -> BlockLogConfig {
    BlockLogConfig {
        max_segment_bytes: 1024,
        max_record_bytes: 4096,
        ..BlockLogConfig::new([7; 32], 11)
    }
}

fn try_open(disk: &ModelDisk) -> Result<BlockLog, StorageError> {
    BlockLog::open(Arc::new(disk.clone()), Path::new(DIR), &config())
}

fn open(disk: &ModelDisk) -> BlockLog {
    try_open(disk).unwrap()
}

fn file(number: u32, extension: &str) -> PathBuf {
    PathBuf::from(format!("{DIR}/{number:08}.{extension}"))
}

fn block_of(height: u64) -> Vec<u8> {
    vec![height as u8; 100 + height as usize % 7]
}

/// Appends block and results; the validator set changes every ten heights.
fn append(log: &BlockLog, height: u64) {
    let set = format!("set of {height}").into_bytes();
    let block = block_of(height);
    let validators = (height % 10 == 1).then_some(set.as_slice());
    log.append(
        height,
        &NewBlock {
            block: &block,
            commit: &height.to_le_bytes(),
            validators,
        },
    )
    .unwrap();
    log.append_results(height, &[height as u8; 20]).unwrap();
}

fn filled(disk: &ModelDisk, heights: RangeInclusive<u64>) -> BlockLog {
    let log = open(disk);
    heights.for_each(|height| append(&log, height));
    log.sync().unwrap();
    log
}

/// Everything from these heights is there, and nothing else.
fn check(log: &BlockLog, heights: RangeInclusive<u64>) {
    assert_eq!(log.heights(), Some(heights.clone()));
    for height in heights.clone() {
        let read = log.read(height).unwrap().unwrap();
        assert_eq!(read.block, block_of(height));
        assert_eq!(read.commit, height.to_le_bytes());
        assert_eq!(
            log.read_results(height).unwrap().unwrap(),
            [height as u8; 20]
        );
        let changed = (height - 1) / 10 * 10 + 1;
        let (stored, set) = log.read_validators(height).unwrap().unwrap();
        assert_eq!(set, format!("set of {changed}").into_bytes());
        assert!((changed..=height).contains(&stored));
    }
    for height in [heights.start() - 1, heights.end() + 1] {
        assert_eq!(log.read(height).unwrap(), None);
        assert_eq!(log.read_results(height).unwrap(), None);
        assert_eq!(log.read_validators(height).unwrap(), None);
    }
    log.verify().unwrap();
}

#[test]
fn blocks_results_and_validator_sets_are_read_back_from_many_files() {
    let disk = ModelDisk::default();
    let log = filled(&disk, 1..=55);
    check(&log, 1..=55);
    drop(log);
    check(&open(&disk.power_cut(1)), 1..=55);
    assert!(disk.list(Path::new(DIR)).unwrap().len() > 10);
}

#[test]
fn an_empty_log_takes_any_first_height_and_then_only_the_next() {
    let disk = ModelDisk::default();
    let log = open(&disk);
    assert_eq!(
        (log.heights(), log.height(), log.synced_height()),
        (None, 0, 0)
    );
    let block = NewBlock {
        block: b"b",
        commit: b"c",
        validators: None,
    };
    assert!(matches!(
        log.append_results(1, b""),
        Err(StorageError::OutOfOrder { .. })
    ));
    log.append(1000, &block).unwrap();
    assert_eq!((log.height(), log.synced_height()), (1000, 0));
    for wrong in [999, 1000, 1002] {
        let refused = log.append(wrong, &block);
        assert!(matches!(
            refused,
            Err(StorageError::OutOfOrder { expected: 1001, .. })
        ));
    }
    assert_eq!(log.sync().unwrap(), 1000);
    assert_eq!(log.read_validators(1000).unwrap(), None);
    assert_eq!(open(&disk.power_cut(4)).heights(), Some(1000..=1000));
}

#[test]
fn one_sync_covers_sixty_four_blocks() {
    let disk = ModelDisk::default();
    let mut config = config();
    config.max_segment_bytes = 1 << 20;
    let log = BlockLog::open(Arc::new(disk.clone()), Path::new(DIR), &config).unwrap();
    let before = disk.syncs();
    (1..=64).for_each(|height| append(&log, height));
    assert_eq!(log.sync().unwrap(), 64);
    assert_eq!(disk.syncs(), before + 1);
}

#[test]
fn side_indexes_that_are_missing_torn_or_foreign_are_made_again() {
    let disk = ModelDisk::default();
    drop(filled(&disk, 1..=30));
    let golden = disk.bytes(&file(2, "index")).unwrap();
    for change in [
        Box::new(|bytes: &mut Vec<u8>| bytes.truncate(10)) as Box<dyn FnOnce(&mut Vec<u8>)>,
        Box::new(|bytes| bytes[20] ^= 1),
        Box::new(Vec::clear),
        Box::new({
            let other = disk.bytes(&file(3, "index")).unwrap();
            move |bytes| *bytes = other
        }),
    ] {
        disk.damage(&file(2, "index"), change);
        check(&open(&disk), 1..=30);
        assert_eq!(disk.bytes(&file(2, "index")).unwrap(), golden);
    }
    disk.remove(&file(1, "index")).unwrap();
    check(&open(&disk), 1..=30);
}

#[test]
fn a_side_index_spares_the_reading_of_a_sealed_file_and_each_read_still_checks() {
    let disk = ModelDisk::default();
    drop(filled(&disk, 1..=30));
    disk.damage(&file(1, "blocks"), |bytes| bytes[64 + 40] ^= 1);
    let log = open(&disk);
    for told in [log.read(1).unwrap_err(), log.verify().unwrap_err()] {
        let told = told.to_string();
        assert!(
            told.starts_with("/data/blocks/00000001.blocks is damaged at byte 64: "),
            "{told}"
        );
        assert!(told.contains("welkind unsafe-reset"), "{told}");
    }
    assert!(log.read(2).unwrap().is_some());
    drop(log);
    disk.remove(&file(1, "index")).unwrap();
    assert!(matches!(
        try_open(&disk),
        Err(StorageError::Damaged { offset: 64, .. })
    ));
}

#[test]
fn pruning_removes_whole_files_and_keeps_the_validator_set_in_force() {
    let disk = ModelDisk::default();
    let log = filled(&disk, 1..=58);
    log.prune(1).unwrap();
    check(&log, 1..=58);
    log.prune(37).unwrap();
    let base = *log.heights().unwrap().start();
    assert!((31..=37).contains(&base), "{base}");
    check(&log, base..=58);
    assert_eq!(log.read(base - 1).unwrap(), None);
    drop(log);
    let log = open(&disk.power_cut(3));
    check(&log, base..=58);
    log.prune(u64::MAX).unwrap();
    assert_eq!(log.height(), 58, "the newest file stays");
    append(&log, 59);
    assert_eq!(log.height(), 59);
}

#[test]
fn the_validator_set_is_at_the_head_of_a_file_that_begins_with_results() {
    let disk = ModelDisk::default();
    let log = open(&disk);
    let block = NewBlock {
        block: &[1; 800],
        commit: b"",
        validators: Some(b"set"),
    };
    log.append(1, &block).unwrap();
    log.append_results(1, &[1; 500]).unwrap();
    log.append(
        2,
        &NewBlock {
            validators: None,
            ..block
        },
    )
    .unwrap();
    log.sync().unwrap();
    log.prune(2).unwrap();
    assert_eq!(log.heights(), Some(2..=2));
    assert_eq!(log.read_validators(2).unwrap(), Some((2, b"set".to_vec())));
    drop(log);
    assert_eq!(
        open(&disk).read_validators(2).unwrap(),
        Some((2, b"set".to_vec()))
    );
}

#[test]
fn readers_and_a_writer_go_on_at_once() {
    let disk = ModelDisk::default();
    let log = filled(&disk, 1..=10);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    while log.height() < 200 {
                        let newest = log.height();
                        if let Some(read) = log.read(newest).unwrap() {
                            assert_eq!(read.block, block_of(newest));
                        }
                    }
                })
            })
            .collect();
        for height in 11..=200 {
            append(&log, height);
            if height % 20 == 0 {
                log.sync().unwrap();
                log.prune(height - 10).unwrap();
            }
        }
        readers
            .into_iter()
            .for_each(|reader| reader.join().unwrap());
    });
}

#[test]
fn the_bytes_of_a_block_log_are_these() {
    let disk = ModelDisk::default();
    let log = open(&disk);
    log.append(
        1,
        &NewBlock {
            block: b"bb",
            commit: b"c",
            validators: Some(b"v"),
        },
    )
    .unwrap();
    log.append_results(1, b"r").unwrap();
    let bytes = disk.bytes(&file(1, "blocks")).unwrap();
    assert_eq!(hex::encode(&bytes[..8]), "776c6b626c6b0001");
    // Two records: the block with its commit and validator set as borsh, and the results.
    let golden = concat!(
        "a3c4acda13ed65d2110000000100000001000000000000004000000000000000",
        "020000006262010000006301010000007648b2c357ab77dec201000000020000",
        "000100000000000000400000000000000072",
    );
    assert_eq!(hex::encode(&bytes[64..]), golden);
}
