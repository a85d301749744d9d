//! The one form of proof: the trie with what nobody asked for cut away.
//!
//! A proof lists nodes from the root on, each branch before what is left of it, that before what
//! is right of it. Whoever has the root can work out whether the list is part of that very trie;
//! then it shows, all at once, keys that are there, keys that are not, and ranges that are
//! complete. The empty list stands for the empty tree.

use borsh::io::{self, ErrorKind, Read, Write};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::crypto::blake3_hash;
use crate::state::{MAX_KEY_BYTES, MAX_VALUE_BYTES};
use crate::types::Hash;

use super::hash::{bit, branch_hash, empty_root, leaf_hash};
use super::partial::PartialState;

/// The largest encoded proof that is made or read.
pub const MAX_PROOF_BYTES: usize = 4 << 20;

/// How many branches can be open at once: each has at least one bit more than the one above.
const MAX_DEPTH: usize = MAX_KEY_BYTES * 8;

/// A node of a pruned trie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// Something that nobody asked for, by its hash.
    Stub(Hash),
    /// A key and its value.
    Leaf {
        /// The key.
        key: Vec<u8>,
        /// The value.
        value: Vec<u8>,
    },
    /// A key whose value nobody asked for: it shows that its neighbours are absent.
    Neighbour {
        /// The key.
        key: Vec<u8>,
        /// BLAKE3 of its value.
        value_hash: Hash,
    },
    /// Keys part here. The two nodes that follow, each with all that is below it, are its left
    /// and its right.
    Branch {
        /// How many bits its keys share beyond those that its own position already tells.
        skip: u16,
        /// These bits, the first one topmost, padded with zeros to whole bytes.
        bits: Vec<u8>,
    },
}

/// A part of the state tree that can be checked against its root.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize)]
pub struct Proof {
    nodes: Vec<Node>,
}

/// Why a proof proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Its bytes are not those of a proof: whoever sent it is broken or lies.
    #[error("no proof: {0}")]
    Malformed(String),
    /// It is part of another tree: whoever sent it is broken or lies.
    #[error("the proof leads to the root {found}, not to {expected}")]
    OtherRoot {
        /// The root that it leads to.
        found: Hash,
        /// The root that it was checked against.
        expected: Hash,
    },
}

fn malformed(what: &str) -> ProofError {
    ProofError::Malformed(what.into())
}

/// A branch that waits for its right side, or for both.
struct Open {
    key: Vec<u8>,
    bits: usize,
    left: Option<Hash>,
}

/// What is known of keys at a position: their first `bits` bits are those of `key`.
#[derive(Clone)]
struct Known {
    key: Vec<u8>,
    bits: usize,
}

impl Proof {
    /// A proof of these nodes; only [`Proof::verify`] says whether it proves anything.
    pub fn of(nodes: Vec<Node>) -> Proof {
        Proof { nodes }
    }

    /// Its nodes, from the root on.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        borsh::to_vec(self).expect("writing to memory does not fail")
    }

    /// The proof of these bytes, all of them.
    pub fn decode(bytes: &[u8]) -> Result<Proof, ProofError> {
        if bytes.len() > MAX_PROOF_BYTES {
            return Err(malformed("too large"));
        }
        borsh::from_slice(bytes).map_err(|error| ProofError::Malformed(error.to_string()))
    }

    /// Checks that this is a part of the tree with that root, and returns what it shows.
    ///
    /// Every step costs a hash at most, and there are as many as nodes; nothing is recursive.
    pub fn verify(&self, root: &Hash) -> Result<PartialState, ProofError> {
        let mut shown = PartialState::default();
        let found = self.walk(&mut shown)?;
        if found == *root {
            Ok(shown)
        } else {
            Err(ProofError::OtherRoot {
                found,
                expected: *root,
            })
        }
    }

    fn walk(&self, shown: &mut PartialState) -> Result<Hash, ProofError> {
        if self.nodes.is_empty() {
            return Ok(empty_root());
        }
        let mut open: Vec<Open> = Vec::new();
        let mut at = Known {
            key: Vec::new(),
            bits: 0,
        };
        let mut nodes = self.nodes.iter();
        for node in nodes.by_ref() {
            let mut hash = match node {
                Node::Branch { skip, bits } => {
                    at = at.extended(usize::from(*skip), bits)?;
                    open.push(Open {
                        key: at.key.clone(),
                        bits: at.bits,
                        left: None,
                    });
                    at = at.side(false)?;
                    continue;
                }
                Node::Stub(hash) => {
                    shown.hide(&at.key, at.bits);
                    *hash
                }
                Node::Leaf { key, value } => {
                    at.check(key)?;
                    shown.show(key.clone(), value.clone());
                    leaf_hash(key, &blake3_hash(value))
                }
                Node::Neighbour { key, value_hash } => {
                    at.check(key)?;
                    shown.hide_value(key);
                    leaf_hash(key, value_hash)
                }
            };
            // Close every branch of which both sides are known now.
            loop {
                let Some(branch) = open.last_mut() else {
                    let rest = nodes.len();
                    return if rest == 0 {
                        Ok(hash)
                    } else {
                        Err(malformed("nodes beyond its end"))
                    };
                };
                match branch.left {
                    None => {
                        branch.left = Some(hash);
                        let known = Known {
                            key: branch.key.clone(),
                            bits: branch.bits,
                        };
                        at = known.side(true)?;
                        break;
                    }
                    Some(left) => {
                        hash = branch_hash(&branch.key, branch.bits, &left, &hash);
                        open.pop();
                    }
                }
            }
        }
        Err(malformed("it ends within a branch"))
    }
}

impl Known {
    /// With the bits of a branch at this position.
    fn extended(&self, skip: usize, bits: &[u8]) -> Result<Known, ProofError> {
        let total = self.bits + skip;
        // Both sides need at least one bit more.
        if total >= MAX_DEPTH || bits.len() != skip.div_ceil(8) {
            return Err(malformed("a branch of a wrong length"));
        }
        let mut next = self.clone();
        for index in 0..skip {
            next.push(bit(bits, index));
        }
        let padding = bits
            .last()
            .map_or(0, |last| last & low_bits(bits.len() * 8 - skip));
        if padding != 0 {
            return Err(malformed("a branch with more bits than it says"));
        }
        Ok(next)
    }

    /// One side of a branch at this position.
    fn side(mut self, right: bool) -> Result<Known, ProofError> {
        if self.bits >= MAX_DEPTH {
            return Err(malformed("a branch of a wrong length"));
        }
        self.push(right);
        Ok(self)
    }

    fn push(&mut self, one: bool) {
        if self.bits.is_multiple_of(8) {
            self.key.push(0);
        }
        let last = self.key.len() - 1;
        self.key[last] |= u8::from(one) << (7 - self.bits % 8);
        self.bits += 1;
    }

    /// Whether `key` may stand at this position.
    fn check(&self, key: &[u8]) -> Result<(), ProofError> {
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            return Err(malformed("a key of a wrong length"));
        }
        let shared = super::hash::common_bits(&self.key, key);
        if key.len() * 8 < self.bits || shared < self.bits {
            return Err(malformed("a key at a wrong position"));
        }
        Ok(())
    }
}

/// A byte with that many ones at its low end; fewer than eight.
fn low_bits(count: usize) -> u8 {
    !(0xff_u16 << count) as u8
}

const STUB: u8 = 0;
const LEAF: u8 = 1;
const NEIGHBOUR: u8 = 2;
const BRANCH: u8 = 3;

impl BorshSerialize for Node {
    fn serialize<W: Write>(&self, writer: &mut W) -> io::Result<()> {
        match self {
            Node::Stub(hash) => (STUB, hash).serialize(writer),
            Node::Leaf { key, value } => (LEAF, key, value).serialize(writer),
            Node::Neighbour { key, value_hash } => (NEIGHBOUR, key, value_hash).serialize(writer),
            Node::Branch { skip, bits } => {
                (BRANCH, skip).serialize(writer)?;
                // Their number follows from `skip`.
                writer.write_all(bits)
            }
        }
    }
}

/// By hand, because every length is bounded before anything of that length is allocated.
impl BorshDeserialize for Node {
    fn deserialize_reader<R: Read>(reader: &mut R) -> io::Result<Node> {
        match u8::deserialize_reader(reader)? {
            STUB => Ok(Node::Stub(Hash::deserialize_reader(reader)?)),
            LEAF => {
                let key = bounded(reader, MAX_KEY_BYTES)?;
                Ok(Node::Leaf {
                    key,
                    value: bounded(reader, MAX_VALUE_BYTES)?,
                })
            }
            NEIGHBOUR => {
                let key = bounded(reader, MAX_KEY_BYTES)?;
                Ok(Node::Neighbour {
                    key,
                    value_hash: Hash::deserialize_reader(reader)?,
                })
            }
            BRANCH => {
                let skip = u16::deserialize_reader(reader)?;
                if usize::from(skip) >= MAX_DEPTH {
                    return Err(io::Error::new(
                        ErrorKind::InvalidData,
                        "a branch is too long",
                    ));
                }
                let mut bits = vec![0; usize::from(skip).div_ceil(8)];
                reader.read_exact(&mut bits)?;
                Ok(Node::Branch { skip, bits })
            }
            _ => Err(io::Error::new(
                ErrorKind::InvalidData,
                "a node of an unknown kind",
            )),
        }
    }
}

impl BorshDeserialize for Proof {
    fn deserialize_reader<R: Read>(reader: &mut R) -> io::Result<Proof> {
        let count = u32::deserialize_reader(reader)? as usize;
        // The smallest node is a branch that skips nothing.
        if count > MAX_PROOF_BYTES / 3 {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                "a proof of too many nodes",
            ));
        }
        // What is allocated grows with what was read, never with what was announced; and it is no
        // long row of branches, each three bytes, with nothing below them.
        let mut nodes = Vec::new();
        let mut awaited = usize::from(count > 0);
        for _ in 0..count {
            let node = Node::deserialize_reader(reader)?;
            match (awaited, &node) {
                (1..=MAX_DEPTH, Node::Branch { .. }) => awaited += 1,
                (1.., Node::Stub(_) | Node::Leaf { .. } | Node::Neighbour { .. }) => awaited -= 1,
                _ => return Err(io::Error::new(ErrorKind::InvalidData, "not one trie")),
            }
            nodes.push(node);
        }
        Ok(Proof { nodes })
    }
}

fn bounded<R: Read>(reader: &mut R, limit: usize) -> io::Result<Vec<u8>> {
    let length = u32::deserialize_reader(reader)? as usize;
    if length > limit {
        return Err(io::Error::new(
            ErrorKind::InvalidData,
            "a key or a value is too long",
        ));
    }
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}
