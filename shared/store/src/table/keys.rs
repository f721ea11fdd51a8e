//! Where each record lies.

use super::Item;
use crate::{IdempotencyId, ReceiptId, TokenId};
use aws_sdk_dynamodb::types::AttributeValue;
use envelope::{SecretName, SecretVersion, WorkspaceId};
use time::Date;

pub(super) const BINDING: &str = "KEY";
pub(super) const FREEZE: &str = "FREEZE";
pub(super) const STATE: &str = "STATE";
/// What the sort keys of all heads begin with.
pub(super) const HEADS: &str = "S#";
/// What the sort keys of all tokens begin with.
pub(super) const TOKENS: &str = "T#";

/// The partition of everything about a workspace but its audit records.
pub(super) fn workspace(workspace: &WorkspaceId) -> String {
    format!("W#{workspace}")
}

pub(super) fn head(name: &SecretName) -> String {
    format!("{HEADS}{name}")
}

/// Padded, so that versions lie in the order of their numbers.
pub(super) fn version(name: &SecretName, version: SecretVersion) -> String {
    format!("V#{name}#{:07}", version.number())
}

pub(super) fn token(id: &TokenId) -> String {
    format!("{TOKENS}{id}")
}

pub(super) fn idempotency(id: &IdempotencyId) -> String {
    format!("I#{}", id.as_str())
}

/// The partition of one shard of a workspace's day.
pub(super) fn audit_shard(workspace: &WorkspaceId, day: Date, shard: u8) -> String {
    // `Date` displays as year-month-day, four digits and two each up to the year 9999.
    format!("W#{workspace}#{day}#{shard}")
}

pub(super) fn audit(workspace: &WorkspaceId, id: &ReceiptId) -> String {
    audit_shard(workspace, id.day(), id.shard())
}

/// A record's primary key.
pub(super) fn primary(pk: &str, sk: &str) -> Item {
    Item::from([
        ("pk".to_owned(), AttributeValue::S(pk.to_owned())),
        ("sk".to_owned(), AttributeValue::S(sk.to_owned())),
    ])
}

/// A record with its primary key.
pub(super) fn placed(pk: &str, sk: &str, mut item: Item) -> Item {
    item.extend(primary(pk, sk));
    item
}
