//! What a light client trusts: values in, values out.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use welkin_consensus::types::{Digest, Header, Validator, ValidatorSet};
use welkin_runtime::Hash;

/// Sets of validators that are remembered besides the first; older ones are found again if needed.
const MAX_ANCHORS: usize = 256;

/// Validators that are known to be those of a height.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The height. Nothing is said of the ones after it, until they are looked at.
    pub height: u64,
    /// Its validators.
    pub validators: Arc<ValidatorSet>,
    /// Their hash.
    pub hash: Digest,
}

/// Verified headers and the validators that verify more of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trusted {
    genesis_hash: Hash,
    first: Anchor,
    anchors: BTreeMap<u64, Anchor>,
    headers: BTreeMap<u64, Header>,
    max_headers: usize,
    highest: u64,
}

/// Two headers that cannot both be true.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Conflict(pub String);

/// The file's form.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: u32,
    genesis_hash: Hash,
    highest: u64,
    anchors: Vec<StoredAnchor>,
    headers: Vec<Header>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredAnchor {
    height: u64,
    validators: Vec<Validator>,
}

const FORMAT: u32 = 1;

impl Anchor {
    /// These validators, of this height.
    pub fn new(height: u64, validators: ValidatorSet) -> Anchor {
        let hash = validators.hash();
        Anchor {
            height,
            validators: Arc::new(validators),
            hash,
        }
    }
}

impl Trusted {
    /// Nothing but the genesis. Of verified headers the newest `max_headers` are kept.
    pub fn new(genesis_hash: Hash, first: Anchor, max_headers: usize) -> Trusted {
        Trusted {
            genesis_hash,
            first,
            anchors: BTreeMap::new(),
            headers: BTreeMap::new(),
            max_headers: max_headers.max(1),
            highest: 0,
        }
    }

    /// Height of the first block.
    pub fn initial_height(&self) -> u64 {
        self.first.height
    }

    /// The highest height whose header was ever verified; 0 before the first.
    pub fn highest(&self) -> u64 {
        self.highest
    }

    /// A verified header that is kept.
    pub fn header(&self, height: u64) -> Option<&Header> {
        self.headers.get(&height)
    }

    /// The known validators of the last height that is not above `height`.
    pub fn anchor(&self, height: u64) -> &Anchor {
        let below = self.anchors.range(..=height).next_back();
        below.map_or(&self.first, |(_, anchor)| anchor)
    }

    /// Remembers validators that a verified header named.
    pub fn add_anchor(&mut self, anchor: Anchor) {
        let height = anchor.height;
        if height > self.first.height {
            self.anchors.insert(height, anchor);
        }
        // The new one stays: whoever found it goes on from there.
        while self.anchors.len() > MAX_ANCHORS {
            let oldest = self.anchors.keys().find(|other| **other != height).copied();
            oldest.map(|oldest| self.anchors.remove(&oldest));
        }
    }

    /// Remembers a header whose commit was verified.
    ///
    /// # Errors
    /// [`Conflict`] when it contradicts one that was verified before: then validators signed twice.
    pub fn add_header(&mut self, header: Header) -> Result<(), Conflict> {
        let height = header.height;
        if let Some(known) = self.headers.get(&height)
            && known.hash() != header.hash()
        {
            let (known, new) = (known.hash(), header.hash());
            let message = format!("at height {height} the validators signed {known} and {new}");
            return Err(Conflict(message));
        }
        let before = self.headers.range(..height).next_back();
        let after = self.headers.range(height + 1..).next();
        let in_order = before.is_none_or(|(_, before)| before.time < header.time)
            && after.is_none_or(|(_, after)| header.time < after.time);
        if !in_order {
            let message = format!("the time of header {height} is not between its neighbours'");
            return Err(Conflict(message));
        }
        self.highest = self.highest.max(height);
        self.headers.insert(height, header);
        while self.headers.len() > self.max_headers {
            self.headers.pop_first();
        }
        Ok(())
    }

    /// Takes over what another process of the same user verified.
    pub fn merge(&mut self, other: Trusted) {
        self.highest = self.highest.max(other.highest);
        for anchor in other.anchors.into_values() {
            self.add_anchor(anchor);
        }
        for header in other.headers.into_values() {
            if !self.headers.contains_key(&header.height) {
                // What contradicts stays out; the next look at that height says so.
                let _ = self.add_header(header);
            }
        }
    }

    /// The file's text.
    pub fn to_json(&self) -> String {
        let anchors = self.anchors.values().map(|anchor| StoredAnchor {
            height: anchor.height,
            validators: anchor.validators.validators().to_vec(),
        });
        let stored = Stored {
            format: FORMAT,
            genesis_hash: self.genesis_hash,
            highest: self.highest,
            anchors: anchors.collect(),
            headers: self.headers.values().cloned().collect(),
        };
        serde_json::to_string(&stored).expect("plain data has a JSON form")
    }

    /// Reads the file's text. The error says what is wrong with it.
    pub fn from_json(&self, text: &str) -> Result<Trusted, String> {
        let stored: Stored = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if stored.format != FORMAT {
            return Err(format!("format {} is not known", stored.format));
        }
        if stored.genesis_hash != self.genesis_hash {
            return Err(format!(
                "it belongs to the network with genesis {}",
                stored.genesis_hash
            ));
        }
        let mut trusted = Trusted::new(self.genesis_hash, self.first.clone(), self.max_headers);
        for StoredAnchor { height, validators } in stored.anchors {
            let set = ValidatorSet::from_validators(validators, None);
            let set = set.map_err(|error| error.to_string())?;
            trusted.add_anchor(Anchor::new(height, set));
        }
        for header in stored.headers {
            trusted
                .add_header(header)
                .map_err(|error| error.to_string())?;
        }
        trusted.highest = trusted.highest.max(stored.highest);
        Ok(trusted)
    }
}

#[cfg(test)]
mod tests {
    use welkin_consensus::types::{PublicKey, ValidatorUpdate};
    use welkin_runtime::crypto::SigningKey;

    use super::*;

    fn anchor(height: u64, power: u64) -> Anchor {
        let public_key = PublicKey(SigningKey::from_seed(&[1; 32]).public_key());
        let member = ValidatorUpdate { public_key, power };
        Anchor::new(height, ValidatorSet::new(&[member]).unwrap())
    }

    #[test]
    fn of_many_anchors_the_new_one_and_the_genesis_stay() {
        let mut trusted = Trusted::new(Hash([0; 32]), anchor(1, 1), 10);
        let count = MAX_ANCHORS as u64;
        for height in 0..count {
            trusted.add_anchor(anchor(1_000 + height, 2));
        }
        trusted.add_anchor(anchor(50, 3));
        assert_eq!(trusted.anchor(60).height, 50);
        assert_eq!(trusted.anchor(49).height, 1);
        assert_eq!(trusted.anchor(5_000).height, 999 + count);
        assert_eq!(trusted.anchors.len(), MAX_ANCHORS);
    }

    #[test]
    fn the_file_gives_back_what_was_trusted_and_only_to_its_network() {
        let mut trusted = Trusted::new(Hash([0; 32]), anchor(1, 1), 10);
        trusted.add_anchor(anchor(7, 5));
        trusted.highest = 40;
        let text = trusted.to_json();
        let empty = Trusted::new(Hash([0; 32]), anchor(1, 1), 10);
        assert_eq!(empty.from_json(&text).unwrap(), trusted);
        let other = Trusted::new(Hash([9; 32]), anchor(1, 1), 10);
        assert!(other.from_json(&text).unwrap_err().contains("network"));
        assert!(
            empty
                .from_json(&text.replace("\"format\":1", "\"format\":2"))
                .is_err()
        );
    }
}
