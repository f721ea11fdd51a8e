//! The records of `Idempotency-Key`s as items.

use super::{
    Item, form,
    wire::{read, write},
};
use crate::{IdempotencyId, IdempotencyRecord, StoreError};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

const IDEMPOTENCY: &str = "idempotency record";

/// The attribute `ttl` is the expiry itself: what the condition of a write reads
/// and what DynamoDB sweeps by.
#[derive(Serialize, Deserialize)]
struct IdempotencyItem {
    fingerprint: form::Bytes,
    status: u16,
    answer: String,
    #[serde(with = "form::or_null")]
    etag: Option<String>,
    answer_mac: form::Bytes,
    ttl: i64,
}

pub(super) fn idempotency_item(record: &IdempotencyRecord) -> Result<Item, StoreError> {
    let item = IdempotencyItem {
        fingerprint: form::Bytes(record.fingerprint.to_vec()),
        status: record.status,
        answer: record.answer.clone(),
        etag: record.etag.clone(),
        answer_mac: form::Bytes(record.answer_mac.to_vec()),
        ttl: record.expires_at.unix_timestamp(),
    };
    write(IDEMPOTENCY, &item)
}

pub(super) fn idempotency(id: &IdempotencyId, item: Item) -> Result<IdempotencyRecord, StoreError> {
    const BROKEN: StoreError = StoreError::Broken(IDEMPOTENCY);
    let item: IdempotencyItem = read(IDEMPOTENCY, item)?;
    Ok(IdempotencyRecord {
        id: id.clone(),
        fingerprint: item.fingerprint.0.try_into().map_err(|_| BROKEN)?,
        status: item.status,
        answer: item.answer,
        etag: item.etag,
        answer_mac: item.answer_mac.0.try_into().map_err(|_| BROKEN)?,
        expires_at: OffsetDateTime::from_unix_timestamp(item.ttl).map_err(|_| BROKEN)?,
    })
}
