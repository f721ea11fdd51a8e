//! How the store fails.

use envelope::KmsFailure;
use std::fmt;

/// Which of a write's conditions did not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Which {
    /// The secret's head is no longer the one that was read.
    Head,
    /// The key binding is no longer the one that was read.
    Binding,
    /// The earlier version is no longer the one that was read, or is not there to be
    /// taken: revoked, deleted, or the current one.
    Version,
    /// The workspace is frozen; of a thaw: the freeze is no longer the one that was read.
    Frozen,
    /// The token no longer exists.
    Token,
    /// An unexpired record of the same `Idempotency-Key` exists.
    Idempotency,
    /// The job is no longer the one that was read, or it has ended.
    Job,
    /// The audit record exists already, has an outcome already, or is missing.
    Audit,
    /// What was to be made exists already, or what was to be deleted does not.
    Exists,
}

/// A call that did not do what it was asked. Displays no key, no name and no
/// text of the SDK.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A condition did not hold; nothing was written.
    #[error("a condition of the write does not hold: {0:?}")]
    Conflict(Which),
    /// A stored record is not readable as its kind, or contradicts its place:
    /// an integrity failure. Names the kind.
    #[error("a stored record is not a readable {0}")]
    Broken(&'static str),
    /// A record would be larger than the table takes; nothing was written.
    #[error("the record is too large")]
    TooLarge,
    /// The MAC of a record that gives authority could not be made; nothing was written.
    #[error("the record could not be authenticated")]
    Unattested(#[source] KmsFailure),
    /// Throttled, timed out, unreachable or refused. A write may or may not
    /// have landed.
    #[error("the store is unavailable")]
    Unavailable(#[source] Cause),
}

/// Why the table could not be reached, for logs: the operation, the kind of
/// failure, the service's code and request id. Never an item, a key or a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    pub(crate) operation: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) code: Option<String>,
    pub(crate) request_id: Option<String>,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} (code {}, request {})",
            self.operation,
            self.kind,
            self.code.as_deref().unwrap_or("-"),
            self.request_id.as_deref().unwrap_or("-"),
        )
    }
}

impl std::error::Error for Cause {}
