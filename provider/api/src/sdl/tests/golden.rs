//! Files whose contents are part of what we promise.

use std::path::Path;

/// Compares with the file, or writes it when `UPDATE_GOLDEN` is set.
pub(super) fn check(path: &Path, actual: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, actual).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(actual, expected, "run again with UPDATE_GOLDEN=1 and review the difference");
}
