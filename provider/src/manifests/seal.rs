//! The seal: XChaCha20-Poly1305 under a key of the provider's.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rand::RngCore;
use zeroize::Zeroizing;

const NONCE_BYTES: usize = 24;

/// The key under which a provider seals what tenants sent. It has no `Debug`, so that it cannot be logged.
pub struct SealingKey(Zeroizing<[u8; 32]>);

impl SealingKey {
    /// Derived from the provider's account key, for this purpose alone.
    pub fn derive(provider_secret: &[u8; 32]) -> SealingKey {
        SealingKey(Zeroizing::new(blake3::derive_key(
            "welkin provider manifest seal v1",
            provider_secret,
        )))
    }

    /// Nonce and ciphertext.
    pub fn seal(&self, plain: &[u8], associated_data: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_BYTES];
        rand::rng().fill_bytes(&mut nonce);
        let payload = Payload {
            msg: plain,
            aad: associated_data,
        };
        let mut sealed = nonce.to_vec();
        let text = self.cipher().encrypt(&XNonce::from(nonce), payload);
        sealed.extend(text.expect("a manifest is far below the cipher's limit of 256 GiB"));
        sealed
    }

    /// What was sealed; `None` where it was changed, or sealed for something else.
    pub fn open(&self, sealed: &[u8], associated_data: &[u8]) -> Option<Vec<u8>> {
        let (nonce, text) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let payload = Payload {
            msg: text,
            aad: associated_data,
        };
        self.cipher().decrypt(&XNonce::from(*nonce), payload).ok()
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.0).into())
    }
}
