//! Which cluster has which number, and with it which addresses, node ports and names.

use super::layout::{CLUSTERS, Layout};
use crate::network::claims;
use anyhow::Context;
use std::path::{Path, PathBuf};

/// The folder of claims of this user.
pub fn folder() -> PathBuf {
    claims::folder_of("clusters")
}

/// Takes a number for the cluster that is to be built in `owner`.
///
/// # Errors
/// All are taken.
pub fn claim(claims: &Path, owner: &Path) -> anyhow::Result<u8> {
    let numbers: Vec<u8> = (0..CLUSTERS).collect();
    let name = |number: u8| number.to_string();
    claims::claim(claims, owner, &numbers, name, is_free)?.with_context(|| {
        format!(
            "there are {CLUSTERS} clusters on this machine already; see {}",
            claims.display()
        )
    })
}

/// Whether nothing on the machine has a name of this cluster.
fn is_free(number: u8) -> bool {
    let layout = Layout { number };
    let bridge = Path::new("/sys/class/net").join(layout.bridge());
    !bridge.exists() && !layout.mounted().exists()
}

/// The number that is claimed for a folder.
pub fn number_of(claims: &Path, owner: &Path) -> Option<u8> {
    let is_own = |number: &u8| {
        let text = std::fs::read_to_string(claims.join(number.to_string()));
        text.is_ok_and(|text| Path::new(&text) == owner)
    };
    (0..CLUSTERS).find(is_own)
}
