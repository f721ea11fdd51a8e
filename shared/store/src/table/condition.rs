//! The conditions of writes.

use super::Item;
use crate::Revision;
use aws_sdk_dynamodb::types::AttributeValue;
use std::collections::HashMap;
use time::OffsetDateTime;

/// A condition expression with its names and values. Attributes are named
/// through placeholders: many of ours are reserved words of DynamoDB.
pub(super) struct Condition {
    pub(super) expression: &'static str,
    pub(super) names: Option<HashMap<String, String>>,
    pub(super) values: Option<Item>,
}

impl Condition {
    /// There is no such record.
    pub(super) fn absent() -> Self {
        Self {
            expression: "attribute_not_exists(pk)",
            names: None,
            values: None,
        }
    }

    /// There is such a record.
    pub(super) fn exists() -> Self {
        Self {
            expression: "attribute_exists(pk)",
            names: None,
            values: None,
        }
    }

    /// The record is the one that was read.
    pub(super) fn revision(read: Revision) -> Self {
        Self::compared("#it = :it", "revision", AttributeValue::N(read.to_string()))
    }

    /// The workspace is not frozen: no record, or one that says so. A record
    /// that does not say is taken for a freeze.
    pub(super) fn not_frozen() -> Self {
        Self::compared(
            "attribute_not_exists(pk) OR #it = :it",
            "frozen",
            AttributeValue::Bool(false),
        )
    }

    /// There is no such idempotency record, or it has expired; as
    /// [`IdempotencyRecord::is_expired`](crate::IdempotencyRecord::is_expired).
    pub(super) fn absent_or_expired(now: OffsetDateTime) -> Self {
        let now = AttributeValue::N(now.unix_timestamp().to_string());
        Self::compared("attribute_not_exists(pk) OR #it <= :it", "ttl", now)
    }

    fn compared(expression: &'static str, attribute: &str, value: AttributeValue) -> Self {
        Self {
            expression,
            names: Some(HashMap::from([("#it".to_owned(), attribute.to_owned())])),
            values: Some(Item::from([(":it".to_owned(), value)])),
        }
    }
}
