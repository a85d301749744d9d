use super::*;
use crate::disk::ModelDisk;

const DIR: &str = "/data/wal";

fn config() -> WalConfig {
    WalConfig {
        max_segment_bytes: 1024,
        max_record_bytes: 512,
        ..WalConfig::new([7; 32], 11)
    }
}

fn open(disk: &ModelDisk) -> Wal {
    Wal::open(Arc::new(disk.clone()), Path::new(DIR), &config()).unwrap()
}

fn replayed(wal: &Wal) -> Vec<(u8, Vec<u8>)> {
    wal.replay()
        .map(|record| record.map(|record| (record.kind, record.bytes)).unwrap())
        .collect()
}

fn files(disk: &ModelDisk) -> Vec<String> {
    disk.list(Path::new(DIR)).unwrap()
}

#[test]
fn replay_begins_behind_the_last_marker() {
    let disk = ModelDisk::default();
    let mut wal = open(&disk);
    assert_eq!((wal.last_end_height(), replayed(&wal).len()), (None, 0));
    wal.append(1, b"a").unwrap();
    assert_eq!(replayed(&wal), [(1, b"a".to_vec())]);
    wal.append_end_height(1).unwrap();
    wal.append(2, b"b").unwrap();
    wal.append(254, b"").unwrap();
    wal.sync().unwrap();
    drop(wal);
    let wal = open(&disk.power_cut(5));
    assert_eq!(wal.last_end_height(), Some(1));
    assert_eq!(replayed(&wal), [(2, b"b".to_vec()), (254, Vec::new())]);
}

#[test]
fn a_height_that_spans_files_is_replayed_whole_and_its_files_go_when_it_ends() {
    let disk = ModelDisk::default();
    let mut wal = open(&disk);
    let records: Vec<(u8, Vec<u8>)> = (0..20).map(|number| (1, vec![number; 200])).collect();
    for (kind, bytes) in &records {
        wal.append(*kind, bytes).unwrap();
    }
    wal.sync().unwrap();
    assert_eq!(files(&disk).len(), 5);
    assert_eq!(replayed(&wal), records);
    drop(wal);
    let mut wal = open(&disk.power_cut(1));
    assert_eq!(replayed(&wal), records);
    drop(wal);
    wal = open(&disk);
    wal.append_end_height(9).unwrap();
    assert_eq!(
        files(&disk).len(),
        5,
        "until the marker is synced the records may be needed"
    );
    wal.sync().unwrap();
    assert_eq!(files(&disk), ["00000005.wal"]);
    assert!(replayed(&wal).is_empty());
    assert_eq!(open(&disk.power_cut(2)).last_end_height(), Some(9));
}

#[test]
fn files_that_a_power_cut_brought_back_are_removed_at_opening() {
    let disk = ModelDisk::default();
    let mut wal = open(&disk);
    for _ in 0..10 {
        wal.append(1, &[0; 200]).unwrap();
    }
    wal.append_end_height(1).unwrap();
    drop(wal);
    let wal = open(&disk);
    assert_eq!(files(&disk).len(), 1);
    assert_eq!(wal.last_end_height(), Some(1));
}

#[test]
fn damage_before_the_end_says_what_a_validator_may_do() {
    let disk = ModelDisk::default();
    let mut wal = open(&disk);
    for _ in 0..3 {
        wal.append(1, b"vote").unwrap();
        wal.sync().unwrap();
    }
    drop(wal);
    disk.damage(&Path::new(DIR).join("00000001.wal"), |bytes| {
        bytes[64 + 36 + 34] ^= 1
    });
    let told = Wal::open(Arc::new(disk.clone()), Path::new(DIR), &config())
        .err()
        .unwrap()
        .to_string();
    assert!(
        told.starts_with("/data/wal/00000001.wal is damaged at byte 100: "),
        "{told}"
    );
    assert!(
        told.contains("restore the folder from a backup; or, only once"),
        "{told}"
    );
}

#[test]
#[should_panic(expected = "kinds 0 and 255 are taken")]
fn the_kind_of_the_marker_is_taken() {
    let _ = open(&ModelDisk::default()).append(KIND_END_HEIGHT, b"");
}

#[test]
fn the_bytes_of_a_wal_are_these() {
    let disk = ModelDisk::default();
    let mut wal = open(&disk);
    wal.append(1, b"vote").unwrap();
    wal.sync().unwrap();
    wal.append_end_height(3).unwrap();
    let bytes = disk.bytes(&Path::new(DIR).join("00000001.wal")).unwrap();
    assert_eq!(hex::encode(&bytes[..8]), "776c6b77616c0001");
    let golden = concat!(
        "95e86f06a0b0a1d6040000000100000000000000000000004000000000000000",
        "766f7465ae0d0d740000000000000000ff000000030000000000000064000000",
        "00000000",
    );
    assert_eq!(hex::encode(&bytes[64..]), golden);
}
