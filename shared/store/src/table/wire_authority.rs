//! Records that give authority as items: one text of JSON, the MAC over its exact
//! bytes, and beside them only what DynamoDB itself needs.
//!
//! ```text
//! body  S   the record's JSON text
//! mac   B   the MAC over its place and its bytes
//! ```
//!
//! What stands beside the body is derived from it. The record is read from the body
//! alone; one that its own attributes contradict is [`StoreError::Broken`].

use super::Item;
use crate::{Attested, StoreError};
use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use envelope::{AuthorityRecord, RecordKind, kms::MakeMac};
use serde::{Serialize, de::DeserializeOwned};
use std::time::Duration;

const BODY: &str = "body";
const MAC: &str = "mac";
/// How long making a MAC may take, with all attempts.
const MAC_TIME: Duration = Duration::from_secs(5);

/// The item of a record: its body, its MAC, and what stands beside them.
///
/// # Errors
/// The MAC could not be made.
pub(super) async fn item<T: Serialize>(
    kind: &'static str,
    (pk, sk): (&str, &str),
    record: &T,
    beside: Item,
    mac: &MakeMac,
) -> Result<Item, StoreError> {
    let body = serde_json::to_string(record).map_err(|_| StoreError::Broken(kind))?;
    let bytes = body.as_bytes();
    let mac = mac
        .make(&AuthorityRecord { pk, sk, bytes }, MAC_TIME)
        .await
        .map_err(StoreError::Unattested)?;
    let mut item = beside;
    item.insert(BODY.to_owned(), AttributeValue::S(body));
    item.insert(MAC.to_owned(), AttributeValue::B(Blob::new(mac)));
    Ok(item)
}

/// The record of a body; a field that it does not know makes it unreadable.
pub(super) fn record<T: DeserializeOwned>(
    kind: &'static str,
    item: &Item,
) -> Result<T, StoreError> {
    match item.get(BODY) {
        Some(AttributeValue::S(body)) => {
            serde_json::from_str(body).map_err(|_| StoreError::Broken(kind))
        }
        _ => Err(StoreError::Broken(kind)),
    }
}

/// Refuses an item of which an attribute is another than its body makes it.
/// `absent` are those that this body leaves out.
pub(super) fn repeats(
    kind: &'static str,
    item: &Item,
    beside: &Item,
    absent: &[&str],
) -> Result<(), StoreError> {
    let same = beside
        .iter()
        .all(|(name, value)| item.get(name) == Some(value))
        && !absent.iter().any(|name| item.contains_key(*name));
    super::wire::agrees(kind, same)
}

/// An item's bytes and MAC as they are.
pub(super) fn attested(kind: RecordKind, pk: &str, sk: &str, item: &Item) -> Attested {
    let bytes = match item.get(BODY) {
        Some(AttributeValue::S(body)) => body.as_bytes().to_vec(),
        _ => Vec::new(),
    };
    let mac = match item.get(MAC) {
        Some(AttributeValue::B(mac)) => mac.as_ref().to_vec(),
        _ => Vec::new(),
    };
    Attested {
        kind,
        pk: pk.to_owned(),
        sk: sk.to_owned(),
        bytes,
        mac,
    }
}
