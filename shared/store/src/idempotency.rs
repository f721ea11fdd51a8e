//! What a request under an `Idempotency-Key` was answered with.

use crate::IdempotencyId;
use time::OffsetDateTime;

/// What a write under an `Idempotency-Key` was answered with, stored in the write's
/// own transaction, so that the same request gets the same answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyRecord {
    /// Its name.
    pub id: IdempotencyId,
    /// An HMAC of the request, computed by the caller under a key that the table does not hold.
    pub fingerprint: [u8; 32],
    /// The answer's HTTP status.
    pub status: u16,
    /// The answer's body, JSON. Nothing secret.
    pub answer: String,
    /// The answer's entity tag, if it had one.
    pub etag: Option<String>,
    /// An HMAC of all the rest, computed by the caller under the same key: so that nobody
    /// who writes the table can make an answer up, keep one alive or give it to another request.
    pub answer_mac: [u8; 32],
    /// From when on it counts no more; stored in whole seconds.
    pub expires_at: OffsetDateTime,
}

impl IdempotencyRecord {
    /// Whether it counts no more. The store's own condition on a write is the same.
    #[must_use]
    pub fn is_expired(&self, now: OffsetDateTime) -> bool {
        self.expires_at.unix_timestamp() <= now.unix_timestamp()
    }
}
