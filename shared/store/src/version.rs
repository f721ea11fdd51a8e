//! The versions of a secret.

use crate::names::named;
use envelope::{KeyArn, SealedSecret, SecretVersion, WrappedDataKey};
use time::OffsetDateTime;

named! {
    /// How a value was put, and so how it is given back.
    pub enum ValueForm, "value form" {
        /// UTF-8 text.
        Text = "text",
        /// A JSON value.
        Json = "json",
        /// Bytes.
        Bytes = "bytes",
    }
}

/// One version of a secret, as it is stored: ciphertext and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredVersion {
    /// Its number.
    pub version: SecretVersion,
    /// The sealed value.
    pub sealed: SealedSecret,
    /// Its data key under the KEK.
    pub wrapped: WrappedDataKey,
    /// The destination policy: the exact canonical bytes that the wrap is bound to.
    pub policy: String,
    /// How the value was put.
    pub form: ValueForm,
    /// When it was put.
    pub put_at: OffsetDateTime,
    /// From when on it may not be used.
    pub expires_at: Option<OffsetDateTime>,
}

/// A version that is not the current one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EarlierVersion {
    /// It can be used and promoted.
    Stored(StoredVersion),
    /// It has lost its sealed bytes and its wrap for good.
    Revoked {
        /// Its number.
        version: SecretVersion,
        /// When it was revoked.
        revoked_at: OffsetDateTime,
    },
}

impl EarlierVersion {
    /// Its number.
    #[must_use]
    pub fn version(&self) -> SecretVersion {
        match self {
            Self::Stored(stored) => stored.version,
            Self::Revoked { version, .. } => *version,
        }
    }

    /// The version, if it is not revoked.
    #[must_use]
    pub fn stored(&self) -> Option<&StoredVersion> {
        match self {
            Self::Stored(stored) => Some(stored),
            Self::Revoked { .. } => None,
        }
    }
}

/// An earlier version in a list: without its sealed bytes, its wrap and its policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionSummary {
    /// Its number.
    pub version: SecretVersion,
    /// When it was put.
    pub put_at: OffsetDateTime,
    /// From when on it may not be used.
    pub expires_at: Option<OffsetDateTime>,
    /// The KEK that it sits under, or sat under when it was revoked.
    pub wrapped_by: KeyArn,
    /// Which of the KEK's key material, if KMS said.
    pub material: Option<String>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<OffsetDateTime>,
}
