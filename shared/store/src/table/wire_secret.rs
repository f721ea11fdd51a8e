//! A secret's head as an item: live, or a tombstone; and as a list shows it.

use super::{
    Item, form,
    wire::{agrees, read, write},
    wire_version::{stored, stored_item},
};
use crate::{Head, LiveHead, Revision, SecretSummary, StoreError, Tombstone};
use aws_sdk_dynamodb::types::AttributeValue;
use envelope::{KeyArn, SecretName, SecretVersion, WorkspaceId};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

const HEAD: &str = "secret";
/// The kinds of a head.
const LIVE: &str = "live";
const DELETED: &str = "deleted";

/// What a live head has beside its version.
#[derive(Serialize, Deserialize)]
struct LiveItem {
    kind: String,
    #[serde(with = "form::version")]
    first: SecretVersion,
    #[serde(with = "form::version")]
    last: SecretVersion,
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
    last: SecretVersion,
    #[serde(with = "form::revision")]
    revision: Revision,
    #[serde(with = "time::serde::rfc3339")]
    deleted_at: OffsetDateTime,
}

pub(super) fn live_item(workspace: &WorkspaceId, head: &LiveHead) -> Result<Item, StoreError> {
    let live = LiveItem {
        kind: LIVE.to_owned(),
        first: head.first,
        last: head.last,
        revision: head.revision,
        created_at: head.created_at,
        updated_at: head.updated_at,
    };
    let mut item = stored_item(workspace, &head.name, &head.stored)?;
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
        last: tombstone.last,
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
            last: item.last,
            revision: item.revision,
            deleted_at: item.deleted_at,
        }));
    }
    let LiveItem {
        kind: _,
        first,
        last,
        revision,
        created_at,
        updated_at,
    } = read(HEAD, item.clone())?;
    let stored = stored(HEAD, workspace, name, item)?;
    let head = LiveHead {
        name: name.clone(),
        stored,
        first,
        last,
        revision,
        created_at,
        updated_at,
    };
    agrees(HEAD, head.has_numbered(head.stored.version))?;
    Ok(Head::Live(head))
}

pub(super) fn is_deleted(item: &Item) -> Result<bool, StoreError> {
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
