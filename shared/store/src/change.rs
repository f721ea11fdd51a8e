//! What is written to a secret, with all that each write is conditional on.

use crate::{Head, IdempotencyRecord, LiveHead, Revision, StoredVersion, TokenId};
use envelope::{SecretName, SecretVersion, WrappedDataKey};
use time::OffsetDateTime;

/// A put, sealed and wrapped.
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

/// A change of where the current version may go, and until when.
#[derive(Debug, Clone, Copy)]
pub struct ChangePolicy<'a> {
    /// The head as it was read; it must still be there.
    pub read: &'a LiveHead,
    /// The same data key, bound to the new policy.
    pub wrapped: &'a WrappedDataKey,
    /// The new destination policy: the exact canonical bytes that the wrap is bound to.
    pub policy: &'a str,
    /// From when on the version may not be used.
    pub expires_at: Option<OffsetDateTime>,
    /// The revision of the binding whose KEK it was wrapped under.
    pub binding_revision: Revision,
    /// The token that changes it, which must still exist.
    pub token: &'a TokenId,
    /// The record of the request's `Idempotency-Key`, if it had one.
    pub idempotency: Option<&'a IdempotencyRecord>,
    /// The time of the change.
    pub now: OffsetDateTime,
}

/// An earlier version that becomes the current one again, under its own number.
#[derive(Debug, Clone, Copy)]
pub struct Promote<'a> {
    /// The head as it was read; it must still be there. Its version is archived.
    pub head: &'a LiveHead,
    /// The earlier version as it was read; its wrap must still be there.
    pub version: &'a StoredVersion,
    /// The same data key, wrapped for this promotion under the binding's current KEK:
    /// a version that comes back under a former one could slip past a re-wrap.
    pub wrapped: &'a WrappedDataKey,
    /// The revision of the binding whose KEK it was wrapped under.
    pub binding_revision: Revision,
    /// The token that promotes it, which must still exist.
    pub token: &'a TokenId,
    /// The record of the request's `Idempotency-Key`, if it had one.
    pub idempotency: Option<&'a IdempotencyRecord>,
    /// The time of the promotion.
    pub now: OffsetDateTime,
}

/// A revocation of an earlier version.
#[derive(Debug, Clone, Copy)]
pub struct RevokeVersion<'a> {
    /// The secret's name.
    pub name: &'a SecretName,
    /// The version, which must not be the current one.
    pub version: SecretVersion,
    /// The token that revokes it, which must still exist.
    pub token: &'a TokenId,
    /// The record of the request's `Idempotency-Key`, if it had one.
    pub idempotency: Option<&'a IdempotencyRecord>,
    /// The time of the revocation.
    pub now: OffsetDateTime,
}
