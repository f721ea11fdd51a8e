//! What lies under a secret's name: its head.

use crate::{Revision, StoredVersion};
use envelope::{KeyArn, SecretName, SecretVersion};
use time::OffsetDateTime;

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

/// A secret and its current version. Its versions are numbered from `first` to
/// `last`; the current one is any of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveHead {
    /// The name that it lies under.
    pub name: SecretName,
    /// The current version.
    pub stored: StoredVersion,
    /// The lowest number that is this secret's: those below it were those of a secret
    /// of the same name that was deleted.
    pub first: SecretVersion,
    /// The highest number that was ever used under the name.
    pub last: SecretVersion,
    /// Goes up with every put, promotion, policy change and re-wrap.
    pub revision: Revision,
    /// When the secret was first put.
    pub created_at: OffsetDateTime,
    /// When the head was last put, promoted or given a policy.
    pub updated_at: OffsetDateTime,
}

/// What a deleted secret leaves, so that no number is used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tombstone {
    /// The highest number that was ever used under the name.
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
    /// The highest number that was ever used under the name.
    pub last: SecretVersion,
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
                last: tombstone.last,
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
        former.map_or(Some(SecretVersion::FIRST), |head| head.stamp().last.next())
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
            last: self.last,
            deleted: false,
        }
    }

    /// Whether a number is, or was, one of this secret's own.
    #[must_use]
    pub fn has_numbered(&self, version: SecretVersion) -> bool {
        (self.first..=self.last).contains(&version)
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
    /// When the head was last put, promoted or given a policy.
    pub updated_at: OffsetDateTime,
    /// From when on the current version may not be used.
    pub expires_at: Option<OffsetDateTime>,
    /// The head's revision.
    pub revision: Revision,
}
