//! The records as items of the table `broker`, without their primary key.
//!
//! Each of them says whose it is, too. That is no authority: a record is what
//! lies at its place. But one that contradicts its place is [`StoreError::Broken`].

use super::{Item, form};
use crate::{
    Binding, Freeze, Head, IdempotencyId, IdempotencyRecord, KeyStateName, KeyStateRecord,
    LiveHead, Permission, Revision, SecretPattern, SecretSummary, StoreError, StoredVersion,
    TokenId, TokenRecord, Tombstone, ValueForm,
};
use aws_sdk_dynamodb::types::AttributeValue;
use envelope::{KeyArn, SealedSecret, SecretName, SecretVersion, WorkspaceId, WrappedDataKey};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_dynamo::aws_sdk_dynamodb_1::{from_item, to_item};
use std::collections::BTreeSet;
use time::{Duration, OffsetDateTime};

/// What is read back to the caller when an item is no record of its kind.
const BINDING: &str = "key binding";
const FREEZE: &str = "freeze";
const STATE: &str = "key state";
const HEAD: &str = "secret";
const VERSION: &str = "secret version";
const TOKEN: &str = "token";
const IDEMPOTENCY: &str = "idempotency record";

/// An item of a wire struct.
pub(super) fn write<T: Serialize>(kind: &'static str, record: &T) -> Result<Item, StoreError> {
    to_item(record).map_err(|_| StoreError::Broken(kind))
}

/// A wire struct of an item; attributes that it does not know are ignored.
pub(super) fn read<T: DeserializeOwned>(kind: &'static str, item: Item) -> Result<T, StoreError> {
    // serde_dynamo panics on an attribute type that this SDK does not know.
    agrees(kind, item.values().all(is_of_known_type))?;
    from_item(item).map_err(|_| StoreError::Broken(kind))
}

/// Refuses a record that contradicts its place.
pub(super) fn agrees(kind: &'static str, with_its_place: bool) -> Result<(), StoreError> {
    if with_its_place { Ok(()) } else { Err(StoreError::Broken(kind)) }
}

fn is_of_known_type(value: &AttributeValue) -> bool {
    match value {
        AttributeValue::L(values) => values.iter().all(is_of_known_type),
        AttributeValue::M(values) => values.values().all(is_of_known_type),
        value => !value.is_unknown(),
    }
}

#[derive(Serialize, Deserialize)]
struct BindingItem {
    #[serde(with = "form::text")]
    workspace: WorkspaceId,
    #[serde(with = "form::text_or_null")]
    current: Option<KeyArn>,
    #[serde(with = "form::texts")]
    former: Vec<KeyArn>,
    #[serde(with = "form::revision")]
    revision: Revision,
    #[serde(with = "time::serde::rfc3339")]
    changed_at: OffsetDateTime,
}

pub(super) fn binding_item(workspace: &WorkspaceId, binding: &Binding) -> Result<Item, StoreError> {
    let Binding { current, former, revision, changed_at } = binding.clone();
    write(BINDING, &BindingItem { workspace: workspace.clone(), current, former, revision, changed_at })
}

pub(super) fn binding(workspace: &WorkspaceId, item: Item) -> Result<Binding, StoreError> {
    let BindingItem { workspace: own, current, former, revision, changed_at } = read(BINDING, item)?;
    agrees(BINDING, own == *workspace)?;
    Ok(Binding { current, former, revision, changed_at })
}

#[derive(Deserialize)]
struct FreezeItem {
    frozen: bool,
    #[serde(with = "time::serde::rfc3339")]
    since: OffsetDateTime,
    by: String,
    reason: String,
}

pub(super) fn freeze(item: Item) -> Result<Freeze, StoreError> {
    let FreezeItem { frozen, since, by, reason } = read(FREEZE, item)?;
    Ok(Freeze { frozen, since, by, reason })
}

#[derive(Serialize, Deserialize)]
struct StateItem {
    #[serde(with = "form::text")]
    state: KeyStateName,
    #[serde(with = "time::serde::rfc3339")]
    since: OffsetDateTime,
    evidence: String,
}

pub(super) fn state_item(record: &KeyStateRecord) -> Result<Item, StoreError> {
    let KeyStateRecord { state, since, evidence } = record.clone();
    write(STATE, &StateItem { state, since, evidence })
}

pub(super) fn state(item: Item) -> Result<KeyStateRecord, StoreError> {
    let StateItem { state, since, evidence } = read(STATE, item)?;
    Ok(KeyStateRecord { state, since, evidence })
}

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
    agrees(kind, item.workspace == *workspace && item.name == *name && !item.wrapped.0.is_empty())?;
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

pub(super) fn head(workspace: &WorkspaceId, name: &SecretName, item: Item) -> Result<Head, StoreError> {
    if is_deleted(&item)? {
        let item: TombstoneItem = read(HEAD, item)?;
        agrees(HEAD, item.workspace == *workspace && item.name == *name)?;
        return Ok(Head::Deleted(Tombstone {
            last: item.version,
            revision: item.revision,
            deleted_at: item.deleted_at,
        }));
    }
    let LiveItem { kind: _, revision, created_at, updated_at } = read(HEAD, item.clone())?;
    let stored = stored(HEAD, workspace, name, item)?;
    Ok(Head::Live(LiveHead { name: name.clone(), stored, revision, created_at, updated_at }))
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
    "kind", "workspace", "name", "version", "wrapped_by", "material", "policy", "updated_at", "expires_at",
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
    agrees(HEAD, item.workspace == *workspace && item.name.as_str() == name)?;
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

#[derive(Serialize, Deserialize)]
struct TokenItem {
    #[serde(with = "form::text")]
    workspace: WorkspaceId,
    #[serde(with = "form::text")]
    id: TokenId,
    #[serde(with = "form::texts")]
    permissions: BTreeSet<Permission>,
    #[serde(with = "form::patterns")]
    secrets: Option<Vec<SecretPattern>>,
    #[serde(with = "form::expiry")]
    expires_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "form::text_or_null")]
    created_by: Option<TokenId>,
    #[serde(with = "form::or_null")]
    label: Option<String>,
}

/// A token's item. DynamoDB sweeps it a day after it expired.
pub(super) fn token_item(workspace: &WorkspaceId, token: &TokenRecord) -> Result<Item, StoreError> {
    let TokenRecord { id, permissions, secrets, expires_at, created_at, created_by, label } = token.clone();
    let workspace = workspace.clone();
    let mut item = write(
        TOKEN,
        &TokenItem { workspace, id, permissions, secrets, expires_at, created_at, created_by, label },
    )?;
    if let Some(at) = token.expires_at {
        let swept = at.unix_timestamp().saturating_add(Duration::DAY.whole_seconds());
        item.insert("ttl".to_owned(), AttributeValue::N(swept.to_string()));
    }
    Ok(item)
}

/// `id` is what the token's place says.
pub(super) fn token(workspace: &WorkspaceId, id: &str, item: Item) -> Result<TokenRecord, StoreError> {
    let item: TokenItem = read(TOKEN, item)?;
    agrees(TOKEN, item.workspace == *workspace && item.id.as_str() == id)?;
    let TokenItem { id, permissions, secrets, expires_at, created_at, created_by, label, .. } = item;
    Ok(TokenRecord { id, permissions, secrets, expires_at, created_at, created_by, label })
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
        fingerprint: item.fingerprint.0.try_into().map_err(|_| StoreError::Broken(IDEMPOTENCY))?,
        version: item.version,
        wrapped_by: item.wrapped_by,
        material: item.material,
        revision: item.revision,
        expires_at: OffsetDateTime::from_unix_timestamp(item.ttl).map_err(broken)?,
    })
}
