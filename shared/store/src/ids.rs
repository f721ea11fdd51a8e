//! The names of records that belong to this room.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use envelope::InvalidId;
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};

/// The name of a token's record: SHA-256 of the token, as 43 characters of
/// base64url. The token itself is never stored.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(String);

impl TokenId {
    /// The id of a token, from the token's own bytes.
    #[must_use]
    pub fn of_token(token: &[u8]) -> Self {
        Self(BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(token)))
    }

    /// Takes untrusted text.
    ///
    /// # Errors
    /// The text is not 32 bytes in base64url.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        match BASE64_URL_SAFE_NO_PAD.decode(text) {
            Ok(bytes) if bytes.len() == 32 => Ok(Self(text.to_owned())),
            _ => Err(InvalidId {
                kind: "token id",
                rule: "43 characters of base64url",
            }),
        }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TokenId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::parse(text)
    }
}

/// The name of an idempotency record: one caller's `Idempotency-Key`, so that
/// two tokens' equal keys are two records.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyId(String);

impl IdempotencyId {
    /// SHA-256 over the token's id and the key, each prefixed by its length as
    /// a 64-bit big-endian number.
    #[must_use]
    pub fn of(token: &TokenId, key: &str) -> Self {
        let mut hash = Sha256::new();
        for part in [token.as_str(), key] {
            let length = u64::try_from(part.len()).expect("a length has at most 64 bits");
            hash.update(length.to_be_bytes());
            hash.update(part);
        }
        Self(BASE64_URL_SAFE_NO_PAD.encode(hash.finalize()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How often a record was written: the condition of the next write. Goes up by
/// one and never back, at most 2^53 so that it survives every JSON reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(u64);

impl Revision {
    /// The revision of a binding that has never been changed.
    pub const ZERO: Self = Self(0);
    const MAX: u64 = 1 << 53;

    /// Takes an untrusted number.
    ///
    /// # Errors
    /// The number is above 2^53.
    pub fn new(number: u64) -> Result<Self, InvalidId> {
        if number <= Self::MAX {
            Ok(Self(number))
        } else {
            Err(InvalidId {
                kind: "revision",
                rule: "a whole number up to 2^53",
            })
        }
    }

    /// The revision of the next write.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_id_is_the_sha_256_of_the_token() {
        assert_eq!(
            TokenId::of_token(b"").as_str(),
            "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
        );
        assert_eq!(
            TokenId::parse(TokenId::of_token(b"x").as_str()),
            Ok(TokenId::of_token(b"x"))
        );
    }

    #[test]
    fn what_is_not_32_bytes_of_base64url_is_no_token_id() {
        let id = TokenId::of_token(b"").to_string();
        for text in [
            "",
            &id[1..],
            &format!("{id}A"),
            &id.replace('-', "+"),
            &format!("{}V", &id[..42]),
            &format!("{id}="),
        ] {
            assert!(TokenId::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn one_key_of_two_tokens_names_two_records() {
        let (a, b) = (TokenId::of_token(b"a"), TokenId::of_token(b"b"));
        assert_ne!(IdempotencyId::of(&a, "k"), IdempotencyId::of(&b, "k"));
        assert_ne!(IdempotencyId::of(&a, "k"), IdempotencyId::of(&a, "kk"));
        assert_eq!(IdempotencyId::of(&a, "k").as_str().len(), 43);
    }

    #[test]
    fn a_revision_never_overflows() {
        assert!(Revision::new(u64::MAX).is_err());
        assert_eq!(
            Revision::new(1 << 53).unwrap().next().number(),
            (1 << 53) + 1
        );
    }
}
