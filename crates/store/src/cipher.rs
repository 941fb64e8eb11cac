//! Sealing and opening of records: AES-256-GCM with a random nonce in front of each.
//!
//! Random 96-bit nonces are safe for 2^32 records under one key, far more than a configuration is ever written.
//! The context (what the record is) is authenticated with it, so a record only opens where it was put.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use zeroize::Zeroizing;

use crate::error::StoreError;
use crate::key::StoreKey;

pub(crate) struct Cipher(RandomizedNonceKey);

impl Cipher {
    pub(crate) fn new(key: &StoreKey) -> Result<Self, StoreError> {
        RandomizedNonceKey::new(&AES_256_GCM, key.bytes())
            .map(Cipher)
            .map_err(|_| StoreError::Cryptography)
    }

    /// Encrypts a record for one context.
    pub(crate) fn seal(&self, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        let mut text = plain.to_vec();
        let (nonce, tag) = self
            .0
            .seal_in_place_separate_tag(Aad::from(context), &mut text)
            .map_err(|_| StoreError::Cryptography)?;
        Ok([nonce.as_ref(), text.as_slice(), tag.as_ref()].concat())
    }

    /// Decrypts a record; `None` if it was sealed with another key or for another context, or was changed since.
    pub(crate) fn open(&self, context: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, text) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut buffer = Zeroizing::new(text.to_vec());
        let length = self
            .0
            .open_in_place(Nonce::from(nonce), Aad::from(context), &mut buffer)
            .ok()?
            .len();
        buffer.truncate(length);
        Some(buffer)
    }
}
