//! Block log, WAL and sign state on the operating system's files, as a node uses them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use welkin_consensus::files::{PrivValidatorKey, Step};
use welkin_node::block_log::{BlockLog, BlockLogConfig, NewBlock};
use welkin_node::disk::{Disk, RealDisk, StorageError};
use welkin_node::lock::FolderLock;
use welkin_node::sign_state::Signer;
use welkin_node::wal::{Wal, WalConfig};
use welkin_runtime::crypto::SigningKey;

const GENESIS: [u8; 32] = [7; 32];

fn disk() -> Arc<dyn Disk> {
    Arc::new(RealDisk)
}

fn blocks(data: &Path, genesis: [u8; 32]) -> Result<BlockLog, StorageError> {
    let mut config = BlockLogConfig::new(genesis, 5);
    config.max_segment_bytes = 10_000;
    BlockLog::open(disk(), &data.join("blocks"), &config)
}

#[test]
fn what_was_written_is_there_when_the_files_are_opened_again() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let lock = Arc::new(FolderLock::acquire(&RealDisk, &data).unwrap());
    let state = data.join("priv_validator_state.json");
    Signer::create_state(&RealDisk, &state).unwrap();
    let key = PrivValidatorKey(SigningKey::from_seed(&[3; 32]));

    let log = blocks(&data, GENESIS).unwrap();
    let wal = || Wal::open(disk(), &data.join("wal"), &WalConfig::new(GENESIS, 5)).unwrap();
    let mut open_wal = wal();
    let mut signer = Signer::open(disk(), &state, key.clone(), lock.clone()).unwrap();
    for height in 1..=40 {
        let (block, validators) = (vec![height as u8; 600], Some(b"set".as_slice()));
        log.append(
            height,
            &NewBlock {
                block: &block,
                commit: b"commit",
                validators,
            },
        )
        .unwrap();
        log.append_results(height, b"results").unwrap();
        log.sync().unwrap();
        open_wal.append_end_height(height).unwrap();
        open_wal.append(1, b"vote").unwrap();
        open_wal.sync().unwrap();
        // A proposal's sign bytes would do as well: what is new is signed whatever it says.
        signer.sign(height, 0, Step::Precommit, b"bytes").unwrap();
    }
    let signed = signer.state().clone();
    drop((log, open_wal, signer));

    let log = blocks(&data, GENESIS).unwrap();
    assert_eq!(log.heights(), Some(1..=40));
    log.verify().unwrap();
    let wal = wal();
    assert_eq!((wal.last_end_height(), wal.replay().count()), (Some(40), 1));
    assert_eq!(
        Signer::open(disk(), &state, key, lock).unwrap().state(),
        &signed
    );
    let private = [
        state,
        data.join("blocks/00000001.blocks"),
        data.join("wal/00000001.wal"),
    ];
    for path in private {
        assert_eq!(
            fs::metadata(path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}

#[test]
fn a_torn_end_is_cut_and_damage_is_told_with_file_offset_and_remedy() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("blocks/00000001.blocks");
    let log = blocks(home.path(), GENESIS).unwrap();
    for height in 1..=3 {
        log.append(
            height,
            &NewBlock {
                block: &[1; 50],
                commit: b"c",
                validators: None,
            },
        )
        .unwrap();
        log.sync().unwrap();
    }
    drop(log);
    let whole = fs::read(&file).unwrap();

    fs::write(&file, &whole[..whole.len() - 10]).unwrap();
    assert_eq!(blocks(home.path(), GENESIS).unwrap().height(), 2);

    let mut damaged = whole.clone();
    damaged[64 + 40] ^= 1;
    fs::write(&file, &damaged).unwrap();
    let told = blocks(home.path(), GENESIS).err().unwrap().to_string();
    let begin = format!(
        "{} is damaged at byte 64: a record does not match",
        file.display()
    );
    assert!(
        told.starts_with(&begin) && told.contains("`welkind unsafe-reset`"),
        "{told}"
    );
    assert_eq!(fs::read(&file).unwrap(), damaged, "nothing was touched");

    fs::write(&file, &whole).unwrap();
    let told = blocks(home.path(), [8; 32]).err().unwrap();
    assert!(matches!(told, StorageError::OtherNetwork { .. }), "{told}");
    assert_eq!(blocks(home.path(), GENESIS).unwrap().height(), 3);
}
