//! A secret's plaintext, for as long as one invocation needs it.

use crate::wipe::wipe_vec;

/// The largest value of a secret: 64 KiB.
pub const SECRET_MAX: usize = 64 * 1024;

/// A secret's plaintext bytes, wiped on drop.
///
/// It can be neither cloned, printed, compared nor serialized. Its bytes come
/// out through [`expose_secret`](Self::expose_secret) alone, so that a search for
/// that word finds every place where a secret is handled.
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    /// Takes over a buffer; its whole capacity is wiped when the value is dropped.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The plaintext. Called at the AEAD and at the upstream request; any other
    /// caller says why in a comment that begins `EXPOSE:`.
    #[must_use]
    pub fn expose_secret(&self) -> &[u8] {
        &self.0
    }

    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has no bytes at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        wipe_vec(&mut self.0);
    }
}

impl std::fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretBytes")
    }
}
