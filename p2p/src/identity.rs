//! Who a peer is: an ed25519 key, seen by others as a [`PeerId`].
//!
//! A peer id of an ed25519 key holds the key itself (libp2p peer-ids specification: "inline"
//! multihash), so the two convert into each other without a table.

use std::str::FromStr;

use libp2p::identity::{PublicKey, ed25519};
pub use libp2p::{Multiaddr, PeerId, identity::Keypair};

/// The protobuf header of an ed25519 public key: type 1, then 32 bytes of data.
const KEY_HEADER: [u8; 4] = [0x08, 0x01, 0x12, 0x20];

/// What was wrong with a key, a peer id or an address that somebody gave us.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The 32 bytes are no point on the curve.
    #[error("these 32 bytes are not an ed25519 public key")]
    NotAKey,
    /// The text is no peer id.
    #[error("`{0}` is not a peer id (expected something like 12D3KooW...)")]
    NotAPeerId(String),
    /// The peer id belongs to another kind of key.
    #[error("peer {0} does not use an ed25519 key, the only kind that is accepted")]
    OtherKind(PeerId),
    /// The text is no multiaddress.
    #[error("`{0}` is not an address (expected something like /ip4/127.0.0.1/tcp/26656)")]
    NotAnAddress(String),
    /// The address lacks the identity of the peer that is expected there.
    #[error(
        "address {0} does not end in /p2p/PEER_ID, so nobody could tell whether \
         the right peer answers"
    )]
    NoPeerId(Multiaddr),
}

/// The identity made from the 32 secret bytes of an ed25519 key (the seed, as `node_key.json`
/// starts with it).
#[must_use]
pub fn keypair_from_secret(secret: [u8; 32]) -> Keypair {
    Keypair::ed25519_from_bytes(secret).expect("any 32 bytes are an ed25519 seed")
}

/// The peer id of an ed25519 public key.
///
/// # Errors
/// [`IdentityError::NotAKey`] if the bytes are no valid key.
pub fn peer_id_of_key(public_key: &[u8; 32]) -> Result<PeerId, IdentityError> {
    let key = ed25519::PublicKey::try_from_bytes(public_key).map_err(|_| IdentityError::NotAKey)?;
    Ok(PublicKey::from(key).to_peer_id())
}

/// The ed25519 public key inside a peer id.
///
/// # Errors
/// [`IdentityError::OtherKind`] if the peer uses another kind of key.
pub fn key_of_peer_id(peer: &PeerId) -> Result<[u8; 32], IdentityError> {
    let multihash: &libp2p::multihash::Multihash<64> = peer.as_ref();
    let digest = multihash.digest();
    match digest.split_first_chunk::<4>() {
        Some((header, key)) if *header == KEY_HEADER && multihash.code() == 0 => {
            key.try_into().map_err(|_| IdentityError::OtherKind(*peer))
        }
        _ => Err(IdentityError::OtherKind(*peer)),
    }
}

/// Reads a peer id in its usual base58 text form; its inverse is `to_string`.
///
/// # Errors
/// [`IdentityError::NotAPeerId`], or [`IdentityError::OtherKind`] if the key is not ed25519.
pub fn parse_peer_id(text: &str) -> Result<PeerId, IdentityError> {
    let peer = PeerId::from_str(text).map_err(|_| IdentityError::NotAPeerId(text.to_owned()))?;
    key_of_peer_id(&peer).map(|_| peer)
}

/// Reads a multiaddress.
///
/// # Errors
/// [`IdentityError::NotAnAddress`] if it is none.
pub fn parse_address(text: &str) -> Result<Multiaddr, IdentityError> {
    text.parse()
        .map_err(|_| IdentityError::NotAnAddress(text.to_owned()))
}

/// Splits an address that ends in `/p2p/PEER_ID` into the identity and the place.
///
/// # Errors
/// [`IdentityError::NoPeerId`] if the identity is missing.
pub fn split_address(address: &Multiaddr) -> Result<(PeerId, Multiaddr), IdentityError> {
    let mut place = address.clone();
    match place.pop() {
        Some(libp2p::multiaddr::Protocol::P2p(peer)) => Ok((peer, place)),
        _ => Err(IdentityError::NoPeerId(address.clone())),
    }
}

/// The form of a genesis hash in protocol names: its first eight bytes in hex.
///
/// Eight bytes keep networks apart by accident; nothing that is signed depends on them.
#[must_use]
pub fn network_name(genesis_hash: &[u8; 32]) -> String {
    genesis_hash[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_the_way_through_a_peer_id_and_its_text() {
        let keypair = keypair_from_secret([7; 32]);
        let peer = keypair.public().to_peer_id();
        let key = key_of_peer_id(&peer).unwrap();
        assert_eq!(peer_id_of_key(&key).unwrap(), peer);
        assert_eq!(parse_peer_id(&peer.to_string()).unwrap(), peer);
        assert!(peer.to_string().starts_with("12D3KooW"));
    }

    #[test]
    fn a_peer_id_of_the_specification_gives_its_key() {
        // RFC 8032 test 1: the key of this seed is d75a9801...
        let secret = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let bytes: Vec<u8> = (0..32)
            .map(|i| u8::from_str_radix(&secret[2 * i..2 * i + 2], 16).unwrap())
            .collect();
        let peer = keypair_from_secret(bytes.try_into().unwrap())
            .public()
            .to_peer_id();
        assert_eq!(
            key_of_peer_id(&peer).unwrap()[..4],
            [0xd7, 0x5a, 0x98, 0x01]
        );
    }

    #[test]
    fn a_hashed_peer_id_is_refused() {
        // An RSA peer id of the libp2p specification.
        let text = "QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC";
        assert!(matches!(
            parse_peer_id(text),
            Err(IdentityError::OtherKind(_))
        ));
        assert!(matches!(
            parse_peer_id("nobody"),
            Err(IdentityError::NotAPeerId(_))
        ));
    }

    #[test]
    fn an_address_must_name_its_peer() {
        let peer = keypair_from_secret([1; 32]).public().to_peer_id();
        let address = parse_address(&format!("/ip4/127.0.0.1/tcp/1/p2p/{peer}")).unwrap();
        let (found, place) = split_address(&address).unwrap();
        assert_eq!(
            (found, place.to_string().as_str()),
            (peer, "/ip4/127.0.0.1/tcp/1")
        );
        assert!(split_address(&place).is_err());
    }
}
