//! A secret's records as items: versions, heads, tombstones, lists, idempotency.

use super::{
    Item, form,
    wire::{agrees, read, write},
};
use crate::{
    Head, IdempotencyId, IdempotencyRecord, LiveHead, Revision, SecretSummary, StoreError,
    StoredVersion, Tombstone, ValueForm,
};
use aws_sdk_dynamodb::types::AttributeValue;
use envelope::{KeyArn, SealedSecret, SecretName, SecretVersion, WorkspaceId, WrappedDataKey};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

const HEAD: &str = "secret";
const VERSION: &str = "secret version";
const IDEMPOTENCY: &str = "idempotency record";

/// What a head and an earlier version have in common.
#[derive(Serialize, Deserialize)]
struct VersionItem {
    #[serde(with = "form::text")]
    workspace: WorkspaceId,
    #[serde(with = "form::text")]
    name: SecretName,
    #[serde(with = "form::version")]
    version: SecretVersion,
    sealed: form::Bytes,
    wrapped: form::Bytes,
    #[serde(with = "form::text")]
    wrapped_by: KeyArn,
    #[serde(with = "form::or_null")]
    material: Option<String>,
    policy: String,
    #[serde(with = "form::text")]
    form: ValueForm,
    #[serde(with = "time::serde::rfc3339")]
    put_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    expires_at: Option<OffsetDateTime>,
}

pub(super) fn version_item(
    workspace: &WorkspaceId,
    name: &SecretName,
    stored: &StoredVersion,
) -> Result<Item, StoreError> {
    let item = VersionItem {
        workspace: workspace.clone(),
        name: name.clone(),
        version: stored.version,
        sealed: form::Bytes(stored.sealed.as_bytes().to_vec()),
        wrapped: form::Bytes(stored.wrapped.ciphertext.clone()),
        wrapped_by: stored.wrapped.key.clone(),
        material: stored.wrapped.material.clone(),
        policy: stored.policy.clone(),
        form: stored.form,
        put_at: stored.put_at,
        expires_at: stored.expires_at,
    };
    write(VERSION, &item)
}

pub(super) fn version(
    workspace: &WorkspaceId,
    name: &SecretName,
    version: SecretVersion,
    item: Item,
) -> Result<StoredVersion, StoreError> {
    let stored = stored(VERSION, workspace, name, item)?;
    agrees(VERSION, stored.version == version)?;
    Ok(stored)
}

fn stored(
    kind: &'static str,
    workspace: &WorkspaceId,
    name: &SecretName,
    item: Item,
) -> Result<StoredVersion, StoreError> {
    let item: VersionItem = read(kind, item)?;
    agrees(
        kind,
        item.workspace == *workspace && item.name == *name && !item.wrapped.0.is_empty(),
    )?;
    Ok(StoredVersion {
        version: item.version,
        sealed: SealedSecret::from_bytes(item.sealed.0),
        wrapped: WrappedDataKey {
            ciphertext: item.wrapped.0,
            key: item.wrapped_by,
            material: item.material,
        },
        policy: item.policy,
        form: item.form,
        put_at: item.put_at,
        expires_at: item.expires_at,
    })
}

const LIVE: &str = "live";
const DELETED: &str = "deleted";

/// What a live head has beside its version.
#[derive(Serialize, Deserialize)]
struct LiveItem {
    kind: String,
    #[serde(with = "form::revision")]
    revision: Revision,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
}

#[derive(Serialize, Deserialize)]
struct TombstoneItem {
    kind: String,
    #[serde(with = "form::text")]
    workspace: WorkspaceId,
    #[serde(with = "form::text")]
    name: SecretName,
    #[serde(with = "form::version")]
    version: SecretVersion,
    #[serde(with = "form::revision")]
    revision: Revision,
    #[serde(with = "time::serde::rfc3339")]
    deleted_at: OffsetDateTime,
}

pub(super) fn live_item(workspace: &WorkspaceId, head: &LiveHead) -> Result<Item, StoreError> {
    let live = LiveItem {
        kind: LIVE.to_owned(),
        revision: head.revision,
        created_at: head.created_at,
        updated_at: head.updated_at,
    };
    let mut item = version_item(workspace, &head.name, &head.stored)?;
    item.extend(write(HEAD, &live)?);
    Ok(item)
}

pub(super) fn tombstone_item(
    workspace: &WorkspaceId,
    name: &SecretName,
    tombstone: &Tombstone,
) -> Result<Item, StoreError> {
    let item = TombstoneItem {
        kind: DELETED.to_owned(),
        workspace: workspace.clone(),
        name: name.clone(),
        version: tombstone.last,
        revision: tombstone.revision,
        deleted_at: tombstone.deleted_at,
    };
    write(HEAD, &item)
}

pub(super) fn head(
    workspace: &WorkspaceId,
    name: &SecretName,
    item: Item,
) -> Result<Head, StoreError> {
    if is_deleted(&item)? {
        let item: TombstoneItem = read(HEAD, item)?;
        agrees(HEAD, item.workspace == *workspace && item.name == *name)?;
        return Ok(Head::Deleted(Tombstone {
            last: item.version,
            revision: item.revision,
            deleted_at: item.deleted_at,
        }));
    }
    let LiveItem {
        kind: _,
        revision,
        created_at,
        updated_at,
    } = read(HEAD, item.clone())?;
    let stored = stored(HEAD, workspace, name, item)?;
    Ok(Head::Live(LiveHead {
        name: name.clone(),
        stored,
        revision,
        created_at,
        updated_at,
    }))
}

fn is_deleted(item: &Item) -> Result<bool, StoreError> {
    match item.get("kind") {
        Some(AttributeValue::S(kind)) if kind == LIVE => Ok(false),
        Some(AttributeValue::S(kind)) if kind == DELETED => Ok(true),
        _ => Err(StoreError::Broken(HEAD)),
    }
}

/// The attributes of a head that a list asks for.
pub(super) const SUMMARY: &[&str] = &[
    "kind",
    "workspace",
    "name",
    "version",
    "wrapped_by",
    "material",
    "policy",
    "updated_at",
    "expires_at",
    "revision",
];

#[derive(Deserialize)]
struct SummaryItem {
    #[serde(with = "form::text")]
    workspace: WorkspaceId,
    #[serde(with = "form::text")]
    name: SecretName,
    #[serde(with = "form::version")]
    version: SecretVersion,
    #[serde(with = "form::text")]
    wrapped_by: KeyArn,
    #[serde(with = "form::or_null")]
    material: Option<String>,
    policy: String,
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    expires_at: Option<OffsetDateTime>,
    #[serde(with = "form::revision")]
    revision: Revision,
}

/// A head as a list shows it; `None` for a tombstone. `name` is what its place says.
pub(super) fn summary(
    workspace: &WorkspaceId,
    name: &str,
    item: Item,
) -> Result<Option<SecretSummary>, StoreError> {
    if is_deleted(&item)? {
        return Ok(None);
    }
    let item: SummaryItem = read(HEAD, item)?;
    agrees(
        HEAD,
        item.workspace == *workspace && item.name.as_str() == name,
    )?;
    Ok(Some(SecretSummary {
        name: item.name,
        version: item.version,
        wrapped_by: item.wrapped_by,
        material: item.material,
        policy: item.policy,
        updated_at: item.updated_at,
        expires_at: item.expires_at,
        revision: item.revision,
    }))
}

/// The attribute `ttl` is the expiry itself: what the condition of a put reads
/// and what DynamoDB sweeps by.
#[derive(Serialize, Deserialize)]
struct IdempotencyItem {
    fingerprint: form::Bytes,
    #[serde(with = "form::version")]
    version: SecretVersion,
    #[serde(with = "form::text")]
    wrapped_by: KeyArn,
    #[serde(with = "form::or_null")]
    material: Option<String>,
    #[serde(with = "form::revision")]
    revision: Revision,
    ttl: i64,
}

pub(super) fn idempotency_item(record: &IdempotencyRecord) -> Result<Item, StoreError> {
    let item = IdempotencyItem {
        fingerprint: form::Bytes(record.fingerprint.to_vec()),
        version: record.version,
        wrapped_by: record.wrapped_by.clone(),
        material: record.material.clone(),
        revision: record.revision,
        ttl: record.expires_at.unix_timestamp(),
    };
    write(IDEMPOTENCY, &item)
}

pub(super) fn idempotency(id: &IdempotencyId, item: Item) -> Result<IdempotencyRecord, StoreError> {
    let item: IdempotencyItem = read(IDEMPOTENCY, item)?;
    let broken = |_| StoreError::Broken(IDEMPOTENCY);
    Ok(IdempotencyRecord {
        id: id.clone(),
        fingerprint: item
            .fingerprint
            .0
            .try_into()
            .map_err(|_| StoreError::Broken(IDEMPOTENCY))?,
        version: item.version,
        wrapped_by: item.wrapped_by,
        material: item.material,
        revision: item.revision,
        expires_at: OffsetDateTime::from_unix_timestamp(item.ttl).map_err(broken)?,
    })
}
