//! The sealed format.
//!
//! ```text
//! version u8 | suite u8 | commitment 32 | nonce 12 | ciphertext | tag 16
//!
//! encryption key = HKDF-Expand-SHA-256(DEK, "byok/v1/encrypt" | suite)   32 bytes
//! commitment     = HKDF-Expand-SHA-256(DEK, "byok/v1/commit"  | suite)   32 bytes
//! ```
//!
//! Version 1, suite 1: AES-256-GCM (NIST SP 800-38D), random nonce. A data key
//! from KMS is uniform, so HKDF's extract step is left out (RFC 5869, section
//! 3.3). The commitment is compared, in constant time, before anything is
//! decrypted: AES-GCM alone does not commit to its key, so that one ciphertext
//! could open under two keys.

use crate::{DataKey, IntegrityError, Place, SECRET_MAX, SecretBytes, wipe::wipe};
use aes_gcm::{
    Aes256Gcm,
    aead::{AeadInOut, KeyInit},
};
use hkdf::Hkdf;
use sha2::Sha256;
use subtle::ConstantTimeEq;

const VERSION: u8 = 1;
const SUITE: u8 = 1;
const COMMITMENT: usize = 32;
const NONCE: usize = 12;
const TAG: usize = 16;
const HEADER: usize = 2 + COMMITMENT + NONCE;

/// A secret's bytes under its data key, in the stored format. Parsed only by [`open`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSecret(Vec<u8>);

impl SealedSecret {
    /// Takes stored bytes, unjudged.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Seals a value for one place. Takes the data key: one key, one seal.
///
/// # Panics
/// If the value is longer than [`SECRET_MAX`], since the result would never open;
/// or if the operating system gives no randomness.
#[must_use]
pub fn seal(key: DataKey, place: &Place, value: &SecretBytes) -> SealedSecret {
    assert!(
        value.len() <= SECRET_MAX,
        "a value's length is checked where it is received"
    );
    let mut nonce = [0; NONCE];
    getrandom::fill(&mut nonce).expect("the operating system gives randomness");
    seal_with_nonce(&key, place, value.expose_secret(), &nonce)
}

fn seal_with_nonce(
    key: &DataKey,
    place: &Place,
    value: &[u8],
    nonce: &[u8; NONCE],
) -> SealedSecret {
    let keys = Keys::derive(key, SUITE);
    let mut bytes = Vec::with_capacity(HEADER + value.len() + TAG);
    bytes.extend_from_slice(&[VERSION, SUITE]);
    bytes.extend_from_slice(&keys.commitment);
    bytes.extend_from_slice(nonce);
    bytes.extend_from_slice(value);
    let tag = aead_seal(
        &keys.encryption,
        nonce,
        &place.aad(VERSION, SUITE),
        &mut bytes[HEADER..],
    );
    bytes.extend_from_slice(&tag);
    SealedSecret(bytes)
}

/// Opens a sealed secret in the place where it was found.
///
/// # Errors
/// Anything about it is not as it was sealed.
pub fn open(
    sealed: &SealedSecret,
    key: DataKey,
    place: &Place,
) -> Result<SecretBytes, IntegrityError> {
    let bytes = sealed.0.as_slice();
    let [version, suite, rest @ ..] = bytes else {
        return Err(IntegrityError);
    };
    if (*version, *suite) != (VERSION, SUITE) {
        return Err(IntegrityError);
    }
    let (commitment, rest) = rest
        .split_first_chunk::<COMMITMENT>()
        .ok_or(IntegrityError)?;
    let (nonce, rest) = rest.split_first_chunk::<NONCE>().ok_or(IntegrityError)?;
    let (ciphertext, tag) = rest.split_last_chunk::<TAG>().ok_or(IntegrityError)?;
    if ciphertext.len() > SECRET_MAX {
        return Err(IntegrityError);
    }

    let keys = Keys::derive(&key, *suite);
    if !bool::from(keys.commitment.ct_eq(commitment)) {
        return Err(IntegrityError);
    }
    let mut value = ciphertext.to_vec();
    // On a wrong tag the buffer is the ciphertext still, or noise: nothing to wipe, yet `value` is dropped unread.
    aead_open(
        &keys.encryption,
        nonce,
        &place.aad(*version, *suite),
        &mut value,
        tag,
    )?;
    Ok(SecretBytes::new(value))
}

/// What a data key is turned into for one suite.
struct Keys {
    encryption: [u8; 32],
    commitment: [u8; COMMITMENT],
}

impl Keys {
    fn derive(key: &DataKey, suite: u8) -> Self {
        let mut keys = Self {
            encryption: [0; 32],
            commitment: [0; COMMITMENT],
        };
        let expand =
            Hkdf::<Sha256>::from_prk(key.bytes()).expect("a data key has SHA-256's length");
        for (label, output) in [
            (b"byok/v1/encrypt".as_slice(), &mut keys.encryption),
            (b"byok/v1/commit", &mut keys.commitment),
        ] {
            expand
                .expand_multi_info(&[label, &[suite]], output)
                .expect("one block is within HKDF's limit");
        }
        keys
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        wipe(&mut self.encryption);
    }
}

/// Encrypts a buffer in place, and gives its tag.
fn aead_seal(key: &[u8; 32], nonce: &[u8; NONCE], aad: &[u8], buffer: &mut [u8]) -> [u8; TAG] {
    // The key is borrowed, not converted: a converted copy would stay on the stack.
    Aes256Gcm::new(key.into())
        .encrypt_inout_detached(nonce.into(), aad, buffer.into())
        .expect("a secret is far below the 64 GiB that GCM can take")
        .into()
}

/// Decrypts a buffer in place, if the tag is right.
fn aead_open(
    key: &[u8; 32],
    nonce: &[u8; NONCE],
    aad: &[u8],
    buffer: &mut [u8],
    tag: &[u8; TAG],
) -> Result<(), IntegrityError> {
    Aes256Gcm::new(key.into())
        .decrypt_inout_detached(nonce.into(), aad, buffer.into(), tag.into())
        .map_err(|_| IntegrityError)
}

#[cfg(test)]
#[path = "seal_tests.rs"]
mod tests;
