//! One suite for the real disk and the model, then what only the model does.

use super::*;
use std::path::PathBuf;
use std::sync::Arc;

const READ_BYTES: usize = 4096;

fn on_both(test: impl Fn(&dyn Disk, &Path)) {
    let folder = tempfile::tempdir().unwrap();
    test(&RealDisk, folder.path());
    test(&ModelDisk::default(), Path::new("/data"));
}

fn read(disk: &dyn Disk, path: &Path) -> Vec<u8> {
    read_small(disk, path, READ_BYTES).unwrap()
}

#[test]
fn files_are_written_read_cut_renamed_and_removed() {
    on_both(|disk, dir| {
        let (a, b) = (dir.join("a"), dir.join("b"));
        let file = disk.open(&a, Open::Create(Mode::Private)).unwrap();
        assert!(file.is_empty().unwrap());
        file.write_at(2, b"cdef").unwrap();
        file.sync().unwrap();
        assert_eq!(file.len().unwrap(), 6);
        let mut part = [9; 3];
        assert_eq!(file.read_at(4, &mut part).unwrap(), 2);
        assert_eq!(&part, b"ef\x09");
        file.set_len(3).unwrap();
        assert_eq!(read(disk, &a), b"\0\0c");
        disk.rename(&a, &b).unwrap();
        replace_file(disk, &a, b"other", Mode::Private).unwrap();
        disk.exchange(&a, &b).unwrap();
        assert_eq!(
            (read(disk, &a), read(disk, &b)),
            (b"\0\0c".to_vec(), b"other".to_vec())
        );
        disk.remove(&a).unwrap();
        disk.sync_dir(dir).unwrap();
        assert_eq!(disk.list(dir).unwrap(), ["b"]);
        assert_eq!(
            disk.open(&a, Open::Read).err().unwrap().kind(),
            io::ErrorKind::NotFound
        );
        assert!(
            disk.open(&b, Open::Create(Mode::Private))
                .unwrap()
                .is_empty()
                .unwrap()
        );
        disk.remove(&b).unwrap();
        assert!(disk.list(dir).unwrap().is_empty());
    });
}

#[test]
fn a_file_is_replaced_and_leaves_no_other_behind() {
    on_both(|disk, dir| {
        let path = dir.join("state.json");
        replace_file(disk, &path, b"a long old text", Mode::Private).unwrap();
        replace_file(disk, &path, b"new", Mode::Private).unwrap();
        assert_eq!(read(disk, &path), b"new");
        assert_eq!(disk.list(dir).unwrap(), ["state.json"]);
        let refused = read_small(disk, &path, 2).unwrap_err().to_string();
        assert!(refused.contains("more than 2 bytes"), "{refused}");
    });
}

#[test]
fn a_replaced_file_is_old_or_new_after_any_power_cut_and_new_once_it_was_said() {
    let path = PathBuf::from("/data/state.json");
    let (old, new) = ([1; 700], [2; 900]);
    for seed in 0..500_u64 {
        let disk = ModelDisk::default();
        replace_file(&disk, &path, &old, Mode::Private).unwrap();
        disk.fail(
            [Fault::Full, Fault::Write, Fault::Sync][seed as usize % 3],
            (seed / 3 % 4) as u32,
        );
        let said = replace_file(&disk, &path, &new, Mode::Private).is_ok();
        let found = read(&disk.power_cut(seed), &path);
        assert!(found == new || (!said && found == old), "seed {seed}");
    }
}

#[test]
fn a_swapped_file_is_old_or_new_after_any_power_cut_and_new_once_it_was_said() {
    let path = PathBuf::from("/data/state.json");
    let content = |disk: &ModelDisk| read(disk, &path).trim_ascii_end().to_vec();
    for seed in 0..1000_u64 {
        let disk = ModelDisk::default();
        replace_file(&disk, &path, b"one", Mode::Private).unwrap();
        if seed % 5 == 0 {
            disk.forbid_exchange();
        }
        let open = |disk: &ModelDisk| {
            SwapFile::open(Arc::new(disk.clone()), &path, 4096)
                .unwrap()
                .0
        };
        let file = open(&disk);
        file.replace(b"two").unwrap();
        file.replace(&[b'3'; 1500]).unwrap();
        file.replace(b"four").unwrap();
        assert_eq!(content(&disk.power_cut(seed)), b"four");
        disk.fail(
            [Fault::Full, Fault::Write, Fault::Sync][seed as usize % 3],
            (seed / 3 % 3) as u32,
        );
        let said = file.replace(b"five").is_ok();
        disk.heal();
        // Some processes are killed first, and what the next one reads it may act upon.
        let read = (seed % 2 == 0).then(|| {
            drop(open(&disk));
            content(&disk)
        });
        let found = content(&disk.power_cut(seed));
        match read {
            Some(read) => assert_eq!(found, read, "seed {seed}"),
            None => assert!(
                found == b"five" || (!said && found == b"four"),
                "seed {seed}"
            ),
        }
    }
}

#[test]
fn a_power_cut_shows_every_fate_of_a_write_that_was_not_synced() {
    let path = Path::new("/data/a");
    let disk = ModelDisk::default();
    let file = disk.open(path, Open::Create(Mode::Private)).unwrap();
    let after = |seed| disk.power_cut(seed).bytes(path);
    assert!(
        (0..50).any(|seed| after(seed).is_none()),
        "the name may be lost"
    );
    disk.sync_dir(Path::new("/data")).unwrap();
    file.write_at(0, &[7; 2000]).unwrap();
    file.write_at(2000, &[8; 100]).unwrap();
    let fates: Vec<Vec<u8>> = (0..400).map(|seed| after(seed).unwrap()).collect();
    let first = |fate: &Vec<u8>| fate.get(..2000).map(<[u8]>::to_vec);
    assert!(fates.iter().any(Vec::is_empty), "all is lost");
    assert!(
        fates
            .iter()
            .any(|fate| fate.len() == 2100 && fate[..2000] == [7; 2000]),
        "all is there"
    );
    assert!(
        fates
            .iter()
            .any(|fate| fate.ends_with(&[8; 100]) && fate[..2000] == [0; 2000]),
        "reordered"
    );
    assert!(
        fates
            .iter()
            .any(|fate| !fate.is_empty() && fate.len() < 2000),
        "cut anywhere"
    );
    let torn = |fate| first(fate).is_some_and(|bytes| bytes.contains(&7) && bytes.contains(&0));
    assert!(fates.iter().any(torn), "some sectors");
    let garbage =
        |fate| first(fate).is_some_and(|bytes| bytes.iter().any(|byte| ![0, 7].contains(byte)));
    assert!(fates.iter().any(garbage), "what lay there before");
    file.sync().unwrap();
    assert!(
        (0..50).all(|seed| after(seed).unwrap().len() == 2100),
        "what is synced stays"
    );
}

#[test]
fn what_a_failed_sync_lost_is_seen_by_readers_until_the_power_is_cut() {
    let path = Path::new("/data/a");
    let lost = (0..50).any(|seed| {
        let disk = ModelDisk::default().power_cut(seed);
        let file = disk.open(path, Open::Create(Mode::Private)).unwrap();
        disk.sync_dir(Path::new("/data")).unwrap();
        file.write_at(0, b"abc").unwrap();
        disk.fail(Fault::Sync, 0);
        assert!(file.sync().is_err());
        assert!(file.sync().is_ok(), "the second sync lies");
        assert_eq!(disk.bytes(path).unwrap(), b"abc");
        disk.power_cut(seed).bytes(path).unwrap().is_empty()
    });
    assert!(lost);
}

#[test]
fn a_full_disk_refuses_more() {
    let disk = ModelDisk::new(100);
    let file = disk
        .open(Path::new("/a"), Open::Create(Mode::Private))
        .unwrap();
    file.write_at(0, &[0; 40]).unwrap();
    let why = file.write_at(40, &[0; 40]).unwrap_err();
    assert_eq!(why.kind(), io::ErrorKind::StorageFull);
    let text = Err::<(), _>(why)
        .on("write", Path::new("/a"))
        .unwrap_err()
        .to_string();
    assert!(
        text.starts_with("cannot write /a: ") && text.ends_with("and start again"),
        "{text}"
    );
}

#[test]
fn a_key_that_others_can_read_is_refused_with_the_remedy() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("priv_validator_key.json");
    let missing = read_private(&path).unwrap_err().to_string();
    assert!(missing.contains("welkind init"), "{missing}");
    replace_file(&RealDisk, &path, b"secret", Mode::Private).unwrap();
    assert_eq!(read_private(&path).unwrap(), "secret");
    for mode in [0o640, 0o604, 0o644] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let exposed = read_private(&path).unwrap_err().to_string();
        assert!(
            exposed.contains(&format!("run `chmod 600 {}`", path.display())),
            "{exposed}"
        );
    }
}
