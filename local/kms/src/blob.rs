//! Ciphertext blobs: what Encrypt and GenerateDataKey give out, Decrypt and ReEncrypt take.
//!
//! ```text
//! version u8 | key id 16 | material id 32 | nonce 12 | ciphertext | tag 16
//! AAD: "local-kms/v1" | version, key id, material id | pairs u32 | per pair, sorted by key:
//!      length u32, key, length u32, value
//! ```
//!
//! The version is 1 under a single-Region key and 2 under a multi-Region one; the id's 16 bytes
//! are the UUID's, or those after `mrk-`.
//!
//! AES-256-GCM under the material that the header names. Everything in a blob is
//! authenticated, so is the encryption context: what does not fit is
//! InvalidCiphertextException, with no word about why. The format is this program's own;
//! AWS documents none, and says that callers must not look inside.

use crate::KmsError;
use crate::key::{KeyRecord, MULTI_REGION, Material};
use crate::state::{EncryptionContext, random};
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use zeroize::Zeroizing;

const SINGLE_REGION_KEY: u8 = 1;
const MULTI_REGION_KEY: u8 = 2;
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
    let (version, id) = match key.id.strip_prefix(MULTI_REGION) {
        Some(id) => (MULTI_REGION_KEY, id),
        None => (SINGLE_REGION_KEY, key.id.as_str()),
    };
    let id = uuid::Uuid::try_parse(id).map_err(|_| KmsError::internal())?;
    let mut blob = vec![version];
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
        let known = |version: u8| [SINGLE_REGION_KEY, MULTI_REGION_KEY].contains(&version);
        if bytes.len() < HEADER + NONCE + TAG || !known(bytes[0]) {
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
        let id = uuid::Uuid::from_slice(&self.header[1..17]).unwrap_or_default();
        match self.header[0] {
            MULTI_REGION_KEY => format!("{MULTI_REGION}{}", id.simple()),
            _ => id.to_string(),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{KeySpec, KeyState, KeyUsage, Origin};
    use proptest::prelude::*;

    fn key() -> KeyRecord {
        KeyRecord {
            id: "6f1f8a3e-4c57-4c7a-9d59-0a4f3a1b2c3d".into(),
            account: "111122223333".into(),
            region: "eu-west-1".into(),
            created: 0,
            description: String::new(),
            spec: KeySpec::Symmetric,
            usage: KeyUsage::EncryptDecrypt,
            origin: Origin::AwsKms,
            state: KeyState::Enabled,
            policy: String::new(),
            materials: vec![
                Material::generate(0, None).unwrap(),
                Material::generate(1, None).unwrap(),
            ],
            next_material: None,
            rotation: None,
            multi_region: None,
            tags: Default::default(),
            material_gone: false,
        }
    }

    fn context(pairs: &[(&str, &str)]) -> EncryptionContext {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    fn opens(key: &KeyRecord, bytes: &[u8], context: &EncryptionContext) -> Option<Vec<u8>> {
        let (plaintext, _) = Blob::parse(bytes).ok()?.open(key, context).ok()?;
        Some(plaintext.to_vec())
    }

    #[test]
    fn a_blob_opens_under_the_material_that_it_names_old_or_new() {
        let key = key();
        let context = context(&[("a", "1")]);
        for material in &key.materials {
            let blob = seal(&key, material, &context, b"secret").unwrap();
            let parsed = Blob::parse(&blob).unwrap();
            assert_eq!(parsed.key_id(), key.id);
            let (plaintext, used) = parsed.open(&key, &context).unwrap();
            assert_eq!((&plaintext[..], &used.id), (&b"secret"[..], &material.id));
        }
    }

    #[test]
    fn a_blob_with_any_bit_flipped_or_any_end_cut_off_does_not_open() {
        let key = key();
        let context = context(&[("a", "1")]);
        let blob = seal(&key, &key.materials[1], &context, b"secret").unwrap();
        for bit in 0..blob.len() * 8 {
            let mut bad = blob.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(opens(&key, &bad, &context).is_none(), "bit {bit}");
        }
        for cut in 0..blob.len() {
            assert!(opens(&key, &blob[..cut], &context).is_none(), "cut {cut}");
        }
        let mut long = blob.clone();
        long.push(0);
        assert!(opens(&key, &long, &context).is_none());
        assert!(opens(&key, &blob, &context).is_some());
    }

    #[test]
    fn a_context_that_reads_alike_but_is_divided_otherwise_does_not_open() {
        let key = key();
        let blob = seal(
            &key,
            &key.materials[0],
            &context(&[("ab", "c"), ("d", "")]),
            b"x",
        )
        .unwrap();
        for other in [
            context(&[("a", "bc"), ("d", "")]),
            context(&[("ab", "c"), ("", "d")]),
            context(&[("ab", "c")]),
            context(&[("ab", "cd")]),
            context(&[("abc", "d")]),
            context(&[]),
        ] {
            assert!(opens(&key, &blob, &other).is_none(), "{other:?}");
        }
    }

    #[test]
    fn the_same_plaintext_never_makes_the_same_blob() {
        let key = key();
        let seal = || seal(&key, &key.materials[0], &context(&[]), b"x").unwrap();
        assert_ne!(seal(), seal());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn two_contexts_have_two_aads(a: EncryptionContext, b: EncryptionContext) {
            prop_assert_eq!(a == b, aad(b"h", &a) == aad(b"h", &b));
        }

        #[test]
        fn what_comes_from_outside_never_panics(bytes: Vec<u8>) {
            let _ = opens(&key(), &bytes, &EncryptionContext::new());
        }
    }
}
