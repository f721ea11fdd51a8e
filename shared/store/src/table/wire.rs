//! How records become items and items records, without their primary key; and
//! the binding, the freeze and the state.
//!
//! What gives authority or holds a secret says whose it is, too. That is no
//! authority: a record is what lies at its place. But one that contradicts its
//! place is [`StoreError::Broken`].

use super::{Item, form, keys, wire_authority};
use crate::{Binding, Freeze, Grade, KeyStateName, KeyStateRecord, Revision, StoreError};
use aws_sdk_dynamodb::types::AttributeValue;
use envelope::{KeyArn, WorkspaceId, kms::MakeMac};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_dynamo::aws_sdk_dynamodb_1::{from_item, to_item};
use time::OffsetDateTime;

/// What an error calls an item that is no record of its kind.
const BINDING: &str = "key binding";
const FREEZE: &str = "freeze";
const STATE: &str = "key state";

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
    if with_its_place {
        Ok(())
    } else {
        Err(StoreError::Broken(kind))
    }
}

fn is_of_known_type(value: &AttributeValue) -> bool {
    match value {
        AttributeValue::L(values) => values.iter().all(is_of_known_type),
        AttributeValue::M(values) => values.values().all(is_of_known_type),
        value => !value.is_unknown(),
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BindingBody {
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

pub(super) async fn binding_item(
    workspace: &WorkspaceId,
    binding: &Binding,
    mac: &MakeMac,
) -> Result<Item, StoreError> {
    let Binding {
        current,
        former,
        revision,
        changed_at,
    } = binding.clone();
    let body = BindingBody {
        workspace: workspace.clone(),
        current,
        former,
        revision,
        changed_at,
    };
    let pk = keys::workspace(workspace);
    wire_authority::item(BINDING, (&pk, keys::BINDING), &body, beside(revision), mac).await
}

/// What the conditions of writes read.
fn beside(revision: Revision) -> Item {
    Item::from([(
        "revision".to_owned(),
        AttributeValue::N(revision.to_string()),
    )])
}

pub(super) fn binding(workspace: &WorkspaceId, item: &Item) -> Result<Binding, StoreError> {
    let BindingBody {
        workspace: own,
        current,
        former,
        revision,
        changed_at,
    } = wire_authority::record(BINDING, item)?;
    agrees(BINDING, own == *workspace)?;
    wire_authority::repeats(BINDING, item, &beside(revision), &[])?;
    Ok(Binding {
        current,
        former,
        revision,
        changed_at,
    })
}

#[derive(Serialize, Deserialize)]
struct FreezeItem {
    frozen: bool,
    #[serde(with = "time::serde::rfc3339")]
    since: OffsetDateTime,
    by: String,
    reason: String,
}

pub(super) fn freeze_item(freeze: &Freeze) -> Result<Item, StoreError> {
    let Freeze {
        frozen,
        since,
        by,
        reason,
    } = freeze.clone();
    write(
        FREEZE,
        &FreezeItem {
            frozen,
            since,
            by,
            reason,
        },
    )
}

pub(super) fn freeze(item: Item) -> Result<Freeze, StoreError> {
    let FreezeItem {
        frozen,
        since,
        by,
        reason,
    } = read(FREEZE, item)?;
    Ok(Freeze {
        frozen,
        since,
        by,
        reason,
    })
}

#[derive(Serialize, Deserialize)]
struct StateItem {
    #[serde(with = "form::text")]
    state: KeyStateName,
    #[serde(with = "time::serde::rfc3339")]
    since: OffsetDateTime,
    evidence: String,
    #[serde(with = "form::text_or_null")]
    grade: Option<Grade>,
    probes: String,
    #[serde(with = "time::serde::rfc3339")]
    checked_at: OffsetDateTime,
}

pub(super) fn state_item(record: &KeyStateRecord) -> Result<Item, StoreError> {
    let KeyStateRecord {
        state,
        since,
        evidence,
        grade,
        probes,
        checked_at,
    } = record.clone();
    write(
        STATE,
        &StateItem {
            state,
            since,
            evidence,
            grade,
            probes,
            checked_at,
        },
    )
}

pub(super) fn state(item: Item) -> Result<KeyStateRecord, StoreError> {
    let StateItem {
        state,
        since,
        evidence,
        grade,
        probes,
        checked_at,
    } = read(STATE, item)?;
    Ok(KeyStateRecord {
        state,
        since,
        evidence,
        grade,
        probes,
        checked_at,
    })
}
