//! How imported material travels: under an RSA key that KMS makes for one import.
//!
//! The private key is not kept here. It travels in the import token, sealed, and comes back
//! with the wrapped material:
//!
//! ```text
//! nonce 12 | AES-256-GCM of: valid to, milliseconds i64 | algorithm u8 | slot u16 long |
//!            private key, PKCS #8
//! AAD: "local-kms/v1 import token"; the key is the state directory's own
//! ```
//!
//! RSAES_OAEP_SHA_256 and RSAES_OAEP_SHA_1 (RFC 8017, 7.1, without a label) are done;
//! RSA_AES_KEY_WRAP is not.

use crate::KmsError;
use crate::key::Secret;
use crate::state::random;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm, OaepPrivateDecryptingKey,
    PrivateDecryptingKey,
};
use zeroize::Zeroizing;

const NONCE: usize = 12;
const AAD: &[u8] = b"local-kms/v1 import token";

/// `AlgorithmSpec`, as far as it is done here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    OaepSha1,
    OaepSha256,
}

impl Algorithm {
    /// # Errors
    ///
    /// ValidationException for what is none; UnsupportedOperationException for what is not done.
    pub(crate) fn parse(name: &str) -> Result<Self, KmsError> {
        match name {
            "RSAES_OAEP_SHA_1" => Ok(Self::OaepSha1),
            "RSAES_OAEP_SHA_256" => Ok(Self::OaepSha256),
            "RSAES_PKCS1_V1_5"
            | "RSA_AES_KEY_WRAP_SHA_1"
            | "RSA_AES_KEY_WRAP_SHA_256"
            | "SM2PKE" => Err(KmsError::unsupported(format!(
                "This KMS does not unwrap {name}."
            ))),
            other => Err(KmsError::validation(format!(
                "1 validation error detected: Value '{other}' at 'wrappingAlgorithm' failed to \
                 satisfy constraint: Member must be a wrapping algorithm"
            ))),
        }
    }

    fn oaep(self) -> &'static OaepAlgorithm {
        match self {
            Self::OaepSha1 => &OAEP_SHA1_MGF1SHA1,
            Self::OaepSha256 => &OAEP_SHA256_MGF1SHA256,
        }
    }
}

/// The size of a `WrappingKeySpec`.
///
/// # Errors
///
/// ValidationException for what is none; UnsupportedOperationException for what is not done.
pub(crate) fn parse_spec(name: &str) -> Result<KeySize, KmsError> {
    match name {
        "RSA_2048" => Ok(KeySize::Rsa2048),
        "RSA_3072" => Ok(KeySize::Rsa3072),
        "RSA_4096" => Ok(KeySize::Rsa4096),
        "SM2" => Err(KmsError::unsupported("This KMS has no SM2 keys.")),
        other => Err(KmsError::validation(format!(
            "1 validation error detected: Value '{other}' at 'wrappingKeySpec' failed to \
             satisfy constraint: Member must satisfy enum value set: [RSA_2048, RSA_3072, \
             RSA_4096, SM2]"
        ))),
    }
}

/// A public key and the token that goes with it.
pub(crate) struct Parameters {
    /// SubjectPublicKeyInfo (RFC 5280), DER.
    pub(crate) public_key: Vec<u8>,
    pub(crate) token: Vec<u8>,
}

/// Makes a wrapping key for the KMS key at `slot`.
pub(crate) fn parameters(
    secret: &Secret,
    slot: &str,
    algorithm: Algorithm,
    size: KeySize,
    valid_to: i64,
) -> Result<Parameters, KmsError> {
    let internal = |_| KmsError::internal();
    let private = PrivateDecryptingKey::generate(size).map_err(internal)?;
    let der: PublicKeyX509Der<'_> = private.public_key().as_der().map_err(internal)?;
    let public_key = der.as_ref().to_vec();
    let pkcs8: Pkcs8V1Der<'_> = private.as_der().map_err(internal)?;
    let mut plain = Zeroizing::new(valid_to.to_be_bytes().to_vec());
    plain.push(match algorithm {
        Algorithm::OaepSha1 => 1,
        Algorithm::OaepSha256 => 2,
    });
    let length = u16::try_from(slot.len()).map_err(|_| KmsError::internal())?;
    plain.extend_from_slice(&length.to_be_bytes());
    plain.extend_from_slice(slot.as_bytes());
    plain.extend_from_slice(pkcs8.as_ref());
    let nonce = random::<NONCE>()?;
    let payload = Payload {
        msg: &plain,
        aad: AAD,
    };
    let sealed = cipher(secret)?
        .encrypt(&Nonce::from(*nonce), payload)
        .map_err(|_| KmsError::internal())?;
    let mut token = nonce.to_vec();
    token.extend_from_slice(&sealed);
    Ok(Parameters { public_key, token })
}

/// The material that was wrapped for the KMS key at `slot`.
///
/// # Errors
///
/// InvalidImportTokenException where the token is none, or another key's;
/// ExpiredImportTokenException at its date and after; InvalidCiphertextException where the
/// material is not wrapped under the token's key and algorithm.
pub(crate) fn unwrap(
    secret: &Secret,
    slot: &str,
    token: &[u8],
    wrapped: &[u8],
    now: i64,
) -> Result<Zeroizing<Vec<u8>>, KmsError> {
    let bad = KmsError::invalid_import_token;
    let (nonce, sealed) = token.split_first_chunk::<NONCE>().ok_or_else(bad)?;
    let payload = Payload {
        msg: sealed,
        aad: AAD,
    };
    let plain = cipher(secret)?
        .decrypt(&Nonce::from(*nonce), payload)
        .map_err(|_| bad())?;
    let plain = Zeroizing::new(plain);
    let (valid_to, rest) = plain.split_first_chunk::<8>().ok_or_else(bad)?;
    let (algorithm, rest) = rest.split_first().ok_or_else(bad)?;
    let (length, rest) = rest.split_first_chunk::<2>().ok_or_else(bad)?;
    let (named, pkcs8) = rest
        .split_at_checked(usize::from(u16::from_be_bytes(*length)))
        .ok_or_else(bad)?;
    if named != slot.as_bytes() {
        return Err(bad());
    }
    if now >= i64::from_be_bytes(*valid_to) {
        return Err(KmsError::expired_import_token());
    }
    let algorithm = match algorithm {
        1 => Algorithm::OaepSha1,
        2 => Algorithm::OaepSha256,
        _ => return Err(bad()),
    };
    let private = PrivateDecryptingKey::from_pkcs8(pkcs8).map_err(|_| bad())?;
    let private = OaepPrivateDecryptingKey::new(private).map_err(|_| bad())?;
    let mut out = Zeroizing::new(vec![0; private.min_output_size()]);
    let material = private
        .decrypt(algorithm.oaep(), wrapped, &mut out, None)
        .map_err(|_| KmsError::invalid_ciphertext())?;
    Ok(Zeroizing::new(material.to_vec()))
}

fn cipher(secret: &Secret) -> Result<Aes256Gcm, KmsError> {
    Aes256Gcm::new_from_slice(&secret.0).map_err(|_| KmsError::internal())
}
