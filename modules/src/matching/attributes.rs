//! Attributes: which are well formed, and which satisfy which.

use crate::spec::Attributes;

/// The longest key and the longest value, in bytes.
pub const MAX_BYTES: usize = 128;

/// What keys may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// A letter, then letters, digits and `_ / . -`.
    Plain,
    /// `*` and `?` besides, anywhere.
    Globs,
}

/// What is wrong with a set of attributes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttributeError {
    /// A key has another form.
    #[error("key {0:?} is no letter followed by at most 127 letters, digits and _ / . -")]
    Key(String),
    /// A value is too long or cannot be printed.
    #[error("the value of {0:?} is longer than 128 bytes or holds control characters")]
    Value(String),
}

/// Checks the form of all keys and values.
pub fn check(attributes: &Attributes, keys: Keys) -> Result<(), AttributeError> {
    for (key, value) in attributes {
        if !is_key(key, keys) {
            return Err(AttributeError::Key(key.chars().take(MAX_BYTES).collect()));
        }
        if value.len() > MAX_BYTES || value.chars().any(char::is_control) {
            return Err(AttributeError::Value(key.clone()));
        }
    }
    Ok(())
}

fn is_key(key: &str, keys: Keys) -> bool {
    let glob = |byte: u8| keys == Keys::Globs && (byte == b'*' || byte == b'?');
    let rest = |byte: u8| byte.is_ascii_alphanumeric() || b"_/.-".contains(&byte) || glob(byte);
    let first = key.bytes().next();
    key.len() <= MAX_BYTES
        && first.is_some_and(|byte| byte.is_ascii_alphabetic() || glob(byte))
        && key.bytes().all(rest)
}

/// Whether `key` is of the form `pattern`: `*` stands for any characters but `/`, `?` for one.
pub fn glob(pattern: &str, key: &str) -> bool {
    let (pattern, key) = (pattern.as_bytes(), key.as_bytes());
    let (mut p, mut k) = (0, 0);
    // Where the last star stands and how much of the key it has taken: the only place to return to,
    // since an earlier star can always take what a later one leaves within the same part.
    let mut star: Option<(usize, usize)> = None;
    while k < key.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, k));
                p += 1;
            }
            Some(b'?') if key[k] != b'/' => {
                p += 1;
                k += 1;
            }
            Some(byte) if *byte == key[k] => {
                p += 1;
                k += 1;
            }
            _ => match star {
                Some((at, taken)) if key[taken] != b'/' => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    k = taken + 1;
                }
                _ => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// Whether one of `offered` has a key of the form `pattern` and that value.
pub fn offers(offered: &Attributes, pattern: &str, value: &str) -> bool {
    let plain = !pattern.contains(['*', '?']);
    if plain {
        return offered.get(pattern).is_some_and(|offered| offered == value);
    }
    offered
        .iter()
        .any(|(key, offered)| offered == value && glob(pattern, key))
}

/// Whether all of `required` are among `offered`.
pub fn offers_all(offered: &Attributes, required: &Attributes) -> bool {
    required
        .iter()
        .all(|(pattern, value)| offers(offered, pattern, value))
}
