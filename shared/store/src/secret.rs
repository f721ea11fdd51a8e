//! A secret's records: its head, its earlier versions, and what a put writes.

use crate::{IdempotencyId, Revision, TokenId, names::named};
use envelope::{KeyArn, SealedSecret, SecretName, SecretVersion, WrappedDataKey};
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

/// What lies under a secret's name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "a request holds one of them, and nearly all are live"
)]
pub enum Head {
    /// A secret and its current version.
    Live(LiveHead),
    /// A secret was deleted; its numbers stay used.
    Deleted(Tombstone),
}

/// A secret and its current version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveHead {
    /// The name that it lies under.
    pub name: SecretName,
    /// The current version.
    pub stored: StoredVersion,
    /// Goes up with every put, policy change and re-wrap.
    pub revision: Revision,
    /// When the secret was first put.
    pub created_at: OffsetDateTime,
    /// When the head was last written.
    pub updated_at: OffsetDateTime,
}

/// What a deleted secret leaves, so that no number is used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tombstone {
    /// The last number that was used.
    pub last: SecretVersion,
    /// Goes on from the deleted head's.
    pub revision: Revision,
    /// When it was deleted.
    pub deleted_at: OffsetDateTime,
}

/// Which head was read: what a deletion is conditional on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadStamp {
    /// The head's revision.
    pub revision: Revision,
    /// The last number that was used.
    pub version: SecretVersion,
    /// Whether it is a tombstone.
    pub deleted: bool,
}

impl Head {
    /// Which head this is.
    #[must_use]
    pub fn stamp(&self) -> HeadStamp {
        match self {
            Self::Live(head) => head.stamp(),
            Self::Deleted(tombstone) => HeadStamp {
                revision: tombstone.revision,
                version: tombstone.last,
                deleted: true,
            },
        }
    }

    /// The secret, if it is not deleted.
    #[must_use]
    pub fn live(&self) -> Option<&LiveHead> {
        match self {
            Self::Live(head) => Some(head),
            Self::Deleted(_) => None,
        }
    }

    /// The number that a put over this head has; `None` when all are used up.
    #[must_use]
    pub fn next_version(former: Option<&Self>) -> Option<SecretVersion> {
        former.map_or(Some(SecretVersion::FIRST), |head| {
            head.stamp().version.next()
        })
    }

    /// The revision that a put over this head makes.
    #[must_use]
    pub fn next_revision(former: Option<&Self>) -> Revision {
        former
            .map_or(Revision::ZERO, |head| head.stamp().revision)
            .next()
    }
}

impl LiveHead {
    /// Which head this is.
    #[must_use]
    pub fn stamp(&self) -> HeadStamp {
        HeadStamp {
            revision: self.revision,
            version: self.stored.version,
            deleted: false,
        }
    }
}

/// A secret in a list: its head without the sealed bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretSummary {
    /// Its name.
    pub name: SecretName,
    /// Its current version.
    pub version: SecretVersion,
    /// The KEK that the current version sits under.
    pub wrapped_by: KeyArn,
    /// Which of the KEK's key material, if KMS said.
    pub material: Option<String>,
    /// The current version's destination policy.
    pub policy: String,
    /// When the head was last written.
    pub updated_at: OffsetDateTime,
    /// From when on the current version may not be used.
    pub expires_at: Option<OffsetDateTime>,
    /// The head's revision.
    pub revision: Revision,
}

/// A put, sealed and wrapped, with all that it is conditional on.
#[derive(Debug, Clone, Copy)]
pub struct PutSecret<'a> {
    /// The secret's name.
    pub name: &'a SecretName,
    /// What was read under the name; it must still be there.
    pub former: Option<&'a Head>,
    /// The new version; its number is [`Head::next_version`] of `former`.
    pub new: &'a StoredVersion,
    /// The revision of the binding whose KEK it was wrapped under.
    pub binding_revision: Revision,
    /// The token that put it, which must still exist.
    pub token: &'a TokenId,
    /// The record of the request's `Idempotency-Key`, if it had one.
    pub idempotency: Option<&'a IdempotencyRecord>,
    /// The time of the put.
    pub now: OffsetDateTime,
}

/// What a put under an `Idempotency-Key` made, so that the same request gets
/// the same answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyRecord {
    /// Its name.
    pub id: IdempotencyId,
    /// An HMAC of the request, computed by the caller under a key that the table does not hold.
    pub fingerprint: [u8; 32],
    /// The version that the put made.
    pub version: SecretVersion,
    /// The KEK that it was wrapped under.
    pub wrapped_by: KeyArn,
    /// Which of the KEK's key material, if KMS said.
    pub material: Option<String>,
    /// The head's revision after the put.
    pub revision: Revision,
    /// From when on it counts no more; stored in whole seconds.
    pub expires_at: OffsetDateTime,
}

impl IdempotencyRecord {
    /// Whether it counts no more. The store's own condition on a put is the same.
    #[must_use]
    pub fn is_expired(&self, now: OffsetDateTime) -> bool {
        self.expires_at.unix_timestamp() <= now.unix_timestamp()
    }
}
