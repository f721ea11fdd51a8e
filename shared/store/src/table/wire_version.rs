//! A secret's versions as items: what heads and earlier versions have in common, and
//! the earlier ones.

use super::{
    Item, form,
    wire::{agrees, read, write},
};
use crate::{EarlierVersion, StoreError, StoredVersion, ValueForm, VersionSummary};
use aws_sdk_dynamodb::types::AttributeValue;
use envelope::{KeyArn, SealedSecret, SecretName, SecretVersion, WorkspaceId, WrappedDataKey};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

const VERSION: &str = "secret version";

/// The kinds of an earlier version.
pub(super) const STORED: &str = "stored";
pub(super) const REVOKED: &str = "revoked";

/// What a revoked version has lost.
pub(super) const LOST: &[&str] = &["sealed", "wrapped"];

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

/// A version without its kind, which a head and an earlier version each have their own of.
pub(super) fn stored_item(
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

pub(super) fn stored(
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

/// The archive of a version.
pub(super) fn earlier_item(
    workspace: &WorkspaceId,
    name: &SecretName,
    stored: &StoredVersion,
) -> Result<Item, StoreError> {
    let mut item = stored_item(workspace, name, stored)?;
    item.insert("kind".to_owned(), AttributeValue::S(STORED.to_owned()));
    Ok(item)
}

/// `version` is what the record's place says.
pub(super) fn earlier(
    workspace: &WorkspaceId,
    name: &SecretName,
    version: SecretVersion,
    item: Item,
) -> Result<EarlierVersion, StoreError> {
    if is_revoked(&item)? {
        let summary = summary(workspace, name, version, item)?;
        return Ok(EarlierVersion::Revoked {
            version,
            revoked_at: summary.revoked_at.ok_or(StoreError::Broken(VERSION))?,
        });
    }
    let stored = stored(VERSION, workspace, name, item)?;
    agrees(VERSION, stored.version == version)?;
    Ok(EarlierVersion::Stored(stored))
}

/// What makes a stored version a revoked one, beside what it loses.
#[derive(Serialize)]
struct Revocation {
    kind: &'static str,
    #[serde(with = "time::serde::rfc3339")]
    revoked_at: OffsetDateTime,
}

pub(super) fn revocation(now: OffsetDateTime) -> Result<Item, StoreError> {
    let revocation = Revocation {
        kind: REVOKED,
        revoked_at: now,
    };
    write(VERSION, &revocation)
}

/// Whether an earlier version is revoked. One that says so and yet has what it should
/// have lost is broken.
pub(super) fn is_revoked(item: &Item) -> Result<bool, StoreError> {
    match item.get("kind") {
        Some(AttributeValue::S(kind)) if kind == STORED => Ok(false),
        Some(AttributeValue::S(kind)) if kind == REVOKED => {
            agrees(VERSION, !LOST.iter().any(|lost| item.contains_key(*lost)))?;
            Ok(true)
        }
        _ => Err(StoreError::Broken(VERSION)),
    }
}

/// The attributes of an earlier version that a list asks for.
pub(super) const SUMMARY: &[&str] = &[
    "kind",
    "workspace",
    "name",
    "version",
    "put_at",
    "expires_at",
    "wrapped_by",
    "material",
    "revoked_at",
];

#[derive(Deserialize)]
struct SummaryItem {
    #[serde(with = "form::text")]
    workspace: WorkspaceId,
    #[serde(with = "form::text")]
    name: SecretName,
    #[serde(with = "form::version")]
    version: SecretVersion,
    #[serde(with = "time::serde::rfc3339")]
    put_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    expires_at: Option<OffsetDateTime>,
    #[serde(with = "form::text")]
    wrapped_by: KeyArn,
    #[serde(with = "form::or_null")]
    material: Option<String>,
    /// Absent of a stored version.
    #[serde(default, with = "time::serde::rfc3339::option")]
    revoked_at: Option<OffsetDateTime>,
}

/// An earlier version as a list shows it. `version` is what the record's place says.
pub(super) fn summary(
    workspace: &WorkspaceId,
    name: &SecretName,
    version: SecretVersion,
    item: Item,
) -> Result<VersionSummary, StoreError> {
    let revoked = is_revoked(&item)?;
    let item: SummaryItem = read(VERSION, item)?;
    agrees(
        VERSION,
        item.workspace == *workspace
            && item.name == *name
            && item.version == version
            && item.revoked_at.is_some() == revoked,
    )?;
    Ok(VersionSummary {
        version,
        put_at: item.put_at,
        expires_at: item.expires_at,
        wrapped_by: item.wrapped_by,
        material: item.material,
        revoked_at: item.revoked_at,
    })
}

/// The number at the end of an earlier version's sort key.
pub(super) fn number(digits: &str) -> Result<SecretVersion, StoreError> {
    digits
        .parse()
        .ok()
        .and_then(|number| SecretVersion::new(number).ok())
        .ok_or(StoreError::Broken(VERSION))
}
