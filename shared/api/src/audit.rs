//! Audit records of what a caller asked for.

use crate::Admitted;
use envelope::{SecretName, SecretVersion};
use std::collections::BTreeMap;
use store::{Actor, AuditEntry, AuditKind, AuditOutcome, ReceiptId};
use time::OffsetDateTime;

impl Admitted {
    /// The record of one request of this caller, with a fresh id.
    #[must_use]
    pub fn audit(&self, kind: AuditKind, request_id: &str) -> AuditEntry {
        AuditEntry {
            id: ReceiptId::new(self.now),
            kind,
            at: self.now,
            token: Actor::Token(self.caller.id.clone()),
            secret: self.secret.clone(),
            version: None,
            request_id: request_id.to_owned(),
            destination: None,
            method: None,
            detail: BTreeMap::new(),
        }
    }
}

/// How something went that made no upstream call.
#[must_use]
pub fn outcome(code: &str, began: OffsetDateTime, now: OffsetDateTime) -> AuditOutcome {
    AuditOutcome {
        code: code.to_owned(),
        upstream_status: None,
        kms_request_id: None,
        kms_attempts: Vec::new(),
        key_material: None,
        milliseconds: u64::try_from((now - began).whole_milliseconds()).unwrap_or(0),
        at: now,
    }
}

/// What a log line says of the secret at hand.
pub fn note_secret(name: &SecretName, version: SecretVersion) {
    let span = tracing::Span::current();
    span.record("secret", name.as_str());
    span.record("version", version.number());
}
