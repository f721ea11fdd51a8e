//! Wraps: what a re-wrap reads of an item and writes into it. The sealed bytes are
//! never asked for.

use super::{
    Item, form,
    wire::{agrees, read, write},
    wire_secret, wire_version,
};
use crate::{Revision, StoreError, WrapItem, WrapPart, WrapPlace};
use envelope::{KeyArn, SecretName, SecretVersion, WorkspaceId, WrappedDataKey};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

const WRAP: &str = "wrap";

/// The attributes that a re-wrap asks for; an earlier version has no revision.
pub(super) const ITEM: &[&str] = &[
    "kind",
    "workspace",
    "name",
    "version",
    "revision",
    "wrapped",
    "wrapped_by",
    "material",
    "policy",
];

/// The attributes that a count asks for.
pub(super) const COUNT: &[&str] = &["kind", "wrapped_by", "material"];

#[derive(Deserialize)]
struct ReadItem {
    #[serde(with = "form::text")]
    workspace: WorkspaceId,
    #[serde(with = "form::text")]
    name: SecretName,
    #[serde(with = "form::version")]
    version: SecretVersion,
    wrapped: form::Bytes,
    #[serde(with = "form::text")]
    wrapped_by: KeyArn,
    #[serde(with = "form::or_null")]
    material: Option<String>,
    policy: String,
}

#[derive(Deserialize)]
struct RevisionItem {
    #[serde(with = "form::revision")]
    revision: Revision,
}

/// Whether an item of a part has a wrap: no tombstone, and not revoked.
fn has_wrap(part: WrapPart, item: &Item) -> Result<bool, StoreError> {
    Ok(match part {
        WrapPart::Heads => !wire_secret::is_deleted(item)?,
        WrapPart::Earlier => !wire_version::is_revoked(item)?,
    })
}

/// The wrap of an item; `None` where it has none. `place` is what follows the part's
/// prefix in its sort key.
pub(super) fn wrap(
    workspace: &WorkspaceId,
    part: WrapPart,
    place: &str,
    item: Item,
) -> Result<Option<WrapItem>, StoreError> {
    if !has_wrap(part, &item)? {
        return Ok(None);
    }
    let read_item: ReadItem = read(WRAP, item.clone())?;
    let (name, version) = (read_item.name, read_item.version);
    let (own_place, kept_in) = match part {
        WrapPart::Heads => {
            let RevisionItem { revision } = read(WRAP, item)?;
            (name.to_string(), WrapPlace::Head(revision))
        }
        WrapPart::Earlier => (
            format!("{name}#{:07}", version.number()),
            WrapPlace::Earlier,
        ),
    };
    agrees(
        WRAP,
        read_item.workspace == *workspace && own_place == place && !read_item.wrapped.0.is_empty(),
    )?;
    Ok(Some(WrapItem {
        name,
        version,
        place: kept_in,
        wrapped: WrappedDataKey {
            ciphertext: read_item.wrapped.0,
            key: read_item.wrapped_by,
            material: read_item.material,
        },
        policy: read_item.policy,
    }))
}

#[derive(Deserialize)]
struct CountItem {
    #[serde(with = "form::text")]
    wrapped_by: KeyArn,
    #[serde(with = "form::or_null")]
    material: Option<String>,
}

/// The KEK and the material of an item; `None` where it has no wrap.
pub(super) fn counted(
    part: WrapPart,
    item: Item,
) -> Result<Option<(KeyArn, Option<String>)>, StoreError> {
    if !has_wrap(part, &item)? {
        return Ok(None);
    }
    let item: CountItem = read(WRAP, item)?;
    Ok(Some((item.wrapped_by, item.material)))
}

/// A wrap's attributes.
#[derive(Serialize)]
struct NewWrap {
    wrapped: form::Bytes,
    #[serde(with = "form::text")]
    wrapped_by: KeyArn,
    #[serde(with = "form::or_null")]
    material: Option<String>,
}

/// What a move sets in an earlier version.
pub(super) fn moved(wrapped: &WrappedDataKey) -> Result<Item, StoreError> {
    let wrap = NewWrap {
        wrapped: form::Bytes(wrapped.ciphertext.clone()),
        wrapped_by: wrapped.key.clone(),
        material: wrapped.material.clone(),
    };
    write(WRAP, &wrap)
}

#[derive(Serialize)]
struct NewRevision {
    #[serde(with = "form::revision")]
    revision: Revision,
}

/// What a move sets in a head.
pub(super) fn moved_head(wrapped: &WrappedDataKey, revision: Revision) -> Result<Item, StoreError> {
    let mut item = moved(wrapped)?;
    item.extend(write(WRAP, &NewRevision { revision })?);
    Ok(item)
}

#[derive(Serialize)]
struct NewPolicy<'a> {
    policy: &'a str,
    #[serde(with = "time::serde::rfc3339::option")]
    expires_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
}

/// What a change of policy sets in a head.
pub(super) fn changed_policy(
    change: &crate::ChangePolicy<'_>,
    revision: Revision,
) -> Result<Item, StoreError> {
    let policy = NewPolicy {
        policy: change.policy,
        expires_at: change.expires_at,
        updated_at: change.now,
    };
    let mut item = moved_head(change.wrapped, revision)?;
    item.extend(write(WRAP, &policy)?);
    Ok(item)
}
