//! Ciphertext blobs: what Encrypt and GenerateDataKey give out, Decrypt and ReEncrypt take.
//!
//! ```text
//! version u8 = 1 | key id 16 | material id 32 | nonce 12 | ciphertext | tag 16
//! AAD: "local-kms/v1" | version, key id, material id | pairs u32 | per pair, sorted by key:
//!      length u32, key, length u32, value
//! ```
//!
//! AES-256-GCM under the material that the header names. Everything in a blob is
//! authenticated, so is the encryption context: what does not fit is
//! InvalidCiphertextException, with no word about why. The format is this program's own;
//! AWS documents none, and says that callers must not look inside.

use crate::KmsError;
use crate::state::{EncryptionContext, KeyRecord, Material, random};
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use zeroize::Zeroizing;

const VERSION: u8 = 1;
const HEADER: usize = 1 + 16 + 32;
const NONCE: usize = 12;
const TAG: usize = 16;

/// Encrypts under the key's current material.
pub(crate) fn seal(
    key: &KeyRecord,
    material: &Material,
    context: &EncryptionContext,
    plaintext: &[u8],
) -> Result<Vec<u8>, KmsError> {
    let id = uuid::Uuid::try_parse(&key.id).map_err(|_| KmsError::internal())?;
    let mut blob = vec![VERSION];
    blob.extend_from_slice(id.as_bytes());
    blob.extend_from_slice(&material.id_bytes());
    let nonce = random::<NONCE>()?;
    let ciphertext = cipher(material)?
        .encrypt(
            &Nonce::from(*nonce),
            Payload {
                msg: plaintext,
                aad: &aad(&blob, context),
            },
        )
        .map_err(|_| KmsError::internal())?;
    blob.extend_from_slice(&nonce[..]);
    blob.extend_from_slice(&ciphertext);
    Ok(blob)
}

/// A blob taken apart, not yet believed.
#[derive(Debug)]
pub(crate) struct Blob<'a> {
    header: &'a [u8],
    nonce: [u8; NONCE],
    ciphertext: &'a [u8],
}

impl<'a> Blob<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, KmsError> {
        let bad = KmsError::invalid_ciphertext;
        if bytes.len() < HEADER + NONCE + TAG || bytes[0] != VERSION {
            return Err(bad());
        }
        let (header, rest) = bytes.split_at(HEADER);
        let (nonce, ciphertext) = rest.split_at(NONCE);
        Ok(Self {
            header,
            nonce: nonce.try_into().map_err(|_| bad())?,
            ciphertext,
        })
    }

    /// The id of the key that the blob says it is under.
    pub(crate) fn key_id(&self) -> String {
        uuid::Uuid::from_slice(&self.header[1..17])
            .unwrap_or_default()
            .to_string()
    }

    /// The plaintext, and the material that it was under.
    pub(crate) fn open<'k>(
        &self,
        key: &'k KeyRecord,
        context: &EncryptionContext,
    ) -> Result<(Zeroizing<Vec<u8>>, &'k Material), KmsError> {
        let bad = |_| KmsError::invalid_ciphertext();
        let material = key
            .material(&self.header[17..HEADER])
            .ok_or_else(KmsError::invalid_ciphertext)?;
        let plaintext = cipher(material)?
            .decrypt(
                &Nonce::from(self.nonce),
                Payload {
                    msg: self.ciphertext,
                    aad: &aad(self.header, context),
                },
            )
            .map_err(bad)?;
        Ok((Zeroizing::new(plaintext), material))
    }
}

fn cipher(material: &Material) -> Result<Aes256Gcm, KmsError> {
    Aes256Gcm::new_from_slice(&material.secret.0).map_err(|_| KmsError::internal())
}

fn aad(header: &[u8], context: &EncryptionContext) -> Vec<u8> {
    let mut aad = b"local-kms/v1".to_vec();
    aad.extend_from_slice(header);
    let length = |n: usize, aad: &mut Vec<u8>| {
        // Requests are far smaller than 4 GiB.
        aad.extend_from_slice(&u32::try_from(n).unwrap_or(u32::MAX).to_be_bytes());
    };
    length(context.len(), &mut aad);
    for (key, value) in context {
        for part in [key, value] {
            length(part.len(), &mut aad);
            aad.extend_from_slice(part.as_bytes());
        }
    }
    aad
}
