//! Reading an SDL file, and what is made of it.

use std::io::{ErrorKind, Read};
use std::path::Path;

use welkin_client::Chain;
use welkin_modules::deployment::types::Nonce;
use welkin_provider_api::manifest::{Built, Commitment, build, commit, derive_salt};
use welkin_provider_api::sdl::{self, Sdl, Severity, Strictness};
use welkin_runtime::Hash;
use welkin_runtime::crypto::SigningKey;

use crate::failure::{Failure, Outcome};
use crate::output::say;

/// A file as it was read, once.
pub struct Source {
    /// What it says.
    pub sdl: Sdl,
    /// The hash of its bytes.
    pub content: Hash,
}

/// Reads and checks a file; remarks that are no errors are said.
///
/// # Errors
/// The file cannot be read, or is not accepted: where, why, and what to do.
pub fn read(path: &Path, strict: bool) -> Outcome<Source> {
    let bytes = bytes(path)?;
    let strictness = if strict {
        Strictness::Strict
    } else {
        Strictness::Lenient
    };
    let sdl = sdl::parse(&path.display().to_string(), &bytes, strictness)?;
    // What no manifest can be made of is an error for who makes one, and said there.
    let mut remarks = sdl.warnings.clone();
    remarks
        .items
        .retain(|one| one.severity == Severity::Warning);
    if !remarks.is_empty() {
        say(remarks.to_string());
    }
    let content = welkin_runtime::crypto::blake3_hash(&bytes);
    Ok(Source { sdl, content })
}

/// The bytes of a file. What is no file, like a device that never ends, is read as far as a file could be long.
///
/// # Errors
/// It cannot be read, or is longer than an SDL file may be.
fn bytes(path: &Path) -> Outcome<Vec<u8>> {
    let limit = sdl::MAX_BYTES as u64;
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(limit + 1).read_to_end(&mut bytes))
        .map_err(|error| unreadable(path, &error))?;
    if bytes.len() as u64 > limit {
        let text = format!(
            "{}:1:1: error: the file has more than {limit} bytes, and an SDL file has at most \
             those\n  \
             help: move large data out of the file, into the image or a volume",
            path.display()
        );
        return Err(Failure::usage(text));
    }
    Ok(bytes)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    let help = match error.kind() {
        ErrorKind::NotFound => "give the path of an SDL file; this one is not there",
        ErrorKind::IsADirectory => "give the path of the SDL file in it",
        ErrorKind::PermissionDenied => "make the file readable for this user",
        _ => "give the path of an SDL file that can be read",
    };
    let path = path.display();
    Failure::usage(format!("{path}: {error}\n  help: {help}"))
}

/// The manifests and groups of a file.
///
/// # Errors
/// Its prices are in another money, or something in it cannot be put into a manifest.
pub fn groups(sdl: &Sdl, price_as_uwlk: bool) -> Outcome<Vec<Built>> {
    sdl.check_denomination(price_as_uwlk)?;
    Ok(build(sdl)?)
}

/// The commitment to the groups' manifests, with salts that only this account can make.
pub fn commitment(groups: &[Built], chain: &Chain, key: &SigningKey, nonce: &Nonce) -> Commitment {
    let (genesis, owner) = (chain.info().genesis_hash, key.address());
    commit(groups.iter().map(|group| {
        let salt = derive_salt(
            key.seed(),
            &genesis,
            &owner,
            &nonce.0,
            &group.manifest.group,
        );
        (&group.manifest, salt)
    }))
}
