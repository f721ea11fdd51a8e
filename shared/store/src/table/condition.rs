//! The conditions of writes.

use super::{Item, wire_version};
use crate::{Freeze, JobId, JobState, Revision, StoreError};
use aws_sdk_dynamodb::types::AttributeValue;
use envelope::{SecretVersion, WrappedDataKey};
use std::collections::HashMap;
use time::OffsetDateTime;

/// A condition expression with its names and values. Attributes are named
/// through placeholders: many of ours are reserved words of DynamoDB.
pub(super) struct Condition {
    pub(super) expression: String,
    pub(super) names: Option<HashMap<String, String>>,
    pub(super) values: Option<Item>,
}

impl Condition {
    /// There is no such record.
    pub(super) fn absent() -> Self {
        Self::bare("attribute_not_exists(pk)")
    }

    /// There is such a record.
    pub(super) fn exists() -> Self {
        Self::bare("attribute_exists(pk)")
    }

    /// The record is the one that was read.
    pub(super) fn revision(read: Revision) -> Self {
        Self::compared("#c0 = :c0", [("revision", number(read))])
    }

    /// The workspace is not frozen: no record, or one that says so. A record
    /// that does not say is taken for a freeze.
    pub(super) fn not_frozen() -> Self {
        Self::compared(
            "attribute_not_exists(pk) OR #c0 = :c0",
            [("frozen", AttributeValue::Bool(false))],
        )
    }

    /// The freeze is the one that was read, or there is none as there was none.
    pub(super) fn freeze(read: Option<&Freeze>) -> Result<Self, StoreError> {
        let Some(read) = read else {
            return Ok(Self::absent());
        };
        let mut item = super::wire::freeze_item(read)?;
        let mut own = |name| (name, item.remove(name).expect("a freeze says so"));
        Ok(Self::compared(
            "#c0 = :c0 AND #c1 = :c1",
            [own("frozen"), own("since")],
        ))
    }

    /// There is no such idempotency record, or it has expired; as
    /// [`IdempotencyRecord::is_expired`](crate::IdempotencyRecord::is_expired).
    pub(super) fn absent_or_expired(now: OffsetDateTime) -> Self {
        let now = AttributeValue::N(now.unix_timestamp().to_string());
        Self::compared("attribute_not_exists(pk) OR #c0 <= :c0", [("ttl", now)])
    }

    /// The head is the one that was read, with the wrap that was read.
    pub(super) fn head_with(read: Revision, wrapped: &WrappedDataKey) -> Self {
        Self::compared(
            "#c0 = :c0 AND #c1 = :c1",
            [("revision", number(read)), ("wrapped", wrap(wrapped))],
        )
    }

    /// The earlier version has the wrap that was read: it is there, and not revoked.
    pub(super) fn earlier_with(wrapped: &WrappedDataKey) -> Self {
        Self::compared("#c0 = :c0", [("wrapped", wrap(wrapped))])
    }

    /// The earlier version is there, and not revoked.
    pub(super) fn earlier_stored() -> Self {
        Self::compared("#c0 = :c0", [("kind", text(wire_version::STORED))])
    }

    /// The secret lives, a number is not below its first, and is not the current
    /// version's. A tombstone has no first number.
    pub(super) fn live_beside(version: SecretVersion) -> Self {
        Self::compared(
            "#c0 <= :c0 AND #c1 <> :c1",
            [("first", number(version)), ("version", number(version))],
        )
    }

    /// The job is the one that was read, and has not ended.
    pub(super) fn live_job(read: Revision) -> Self {
        let state = |state: JobState| ("state", text(state.as_str()));
        Self::compared(
            "#c0 = :c0 AND (#c1 = :c1 OR #c2 = :c2)",
            [
                ("revision", number(read)),
                state(JobState::Running),
                state(JobState::Paused),
            ],
        )
    }

    /// This job is the one that lives in the workspace.
    pub(super) fn lives(job: &JobId) -> Self {
        Self::compared("#c0 = :c0", [("job", text(&job.to_string()))])
    }

    fn bare(expression: &str) -> Self {
        Self {
            expression: expression.to_owned(),
            names: None,
            values: None,
        }
    }

    /// `#c0` and `:c0` are the first attribute's name and value, and so on.
    fn compared<const N: usize>(expression: &str, with: [(&str, AttributeValue); N]) -> Self {
        let (mut names, mut values) = (HashMap::new(), Item::new());
        for (n, (name, value)) in with.into_iter().enumerate() {
            names.insert(format!("#c{n}"), name.to_owned());
            values.insert(format!(":c{n}"), value);
        }
        Self {
            expression: expression.to_owned(),
            names: Some(names),
            values: Some(values),
        }
    }
}

fn number(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn wrap(wrapped: &WrappedDataKey) -> AttributeValue {
    AttributeValue::B(aws_sdk_dynamodb::primitives::Blob::new(
        wrapped.ciphertext.clone(),
    ))
}
