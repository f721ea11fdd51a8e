//! Where each record lies.

use super::Item;
use crate::{IdempotencyId, JobId, ReceiptId, TokenId};
use aws_sdk_dynamodb::types::AttributeValue;
use envelope::{SecretName, SecretVersion, WorkspaceId};
use time::Date;

pub(super) const BINDING: &str = "KEY";
pub(super) const FREEZE: &str = "FREEZE";
pub(super) const STATE: &str = "STATE";
/// What the sort keys of all heads begin with.
pub(super) const HEADS: &str = "S#";
/// What the sort keys of all earlier versions begin with.
pub(super) const EARLIER: &str = "V#";
/// What the sort keys of all tokens begin with.
pub(super) const TOKENS: &str = "T#";
/// What the sort keys of all jobs begin with.
pub(super) const JOBS: &str = "J#";
/// The partition that tells which job lives in which workspace, under the workspace's id.
pub(super) const LIVE_JOBS: &str = "JOBS";

/// The partition of everything about a workspace but its audit records.
pub(super) fn workspace(workspace: &WorkspaceId) -> String {
    format!("W#{workspace}")
}

pub(super) fn head(name: &SecretName) -> String {
    format!("{HEADS}{name}")
}

/// Padded, so that versions lie in the order of their numbers.
pub(super) fn version(name: &SecretName, version: SecretVersion) -> String {
    format!("{}{:07}", versions(name), version.number())
}

/// What the sort keys of a secret's earlier versions begin with.
pub(super) fn versions(name: &SecretName) -> String {
    format!("{EARLIER}{name}#")
}

pub(super) fn job(id: &JobId) -> String {
    format!("{JOBS}{id}")
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
