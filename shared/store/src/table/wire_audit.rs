//! The audit records as items of the table `audit`, without their primary key.

use super::{
    Item, form,
    wire::{agrees, read, write},
};
use crate::{
    Actor, Audit, AuditEntry, AuditKind, AuditOutcome, AuditRecord, ReceiptId, StoreError,
};
use aws_sdk_dynamodb::types::AttributeValue;
use envelope::{SecretName, SecretVersion, WorkspaceId};
use serde::{Deserialize, Serialize};
use serde_dynamo::aws_sdk_dynamodb_1::to_attribute_value;
use std::collections::BTreeMap;
use time::OffsetDateTime;

const AUDIT: &str = "audit record";

#[derive(Serialize, Deserialize)]
struct AuditItem {
    #[serde(with = "form::text")]
    workspace: WorkspaceId,
    #[serde(with = "form::text")]
    id: ReceiptId,
    #[serde(with = "form::text")]
    kind: AuditKind,
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    #[serde(with = "form::text")]
    token: Actor,
    #[serde(with = "form::text_or_null")]
    secret: Option<SecretName>,
    #[serde(with = "form::version_or_null")]
    version: Option<SecretVersion>,
    request_id: String,
    #[serde(with = "form::or_null")]
    destination: Option<String>,
    #[serde(with = "form::or_null")]
    method: Option<String>,
    detail: BTreeMap<String, String>,
    /// Absent, not NULL, as long as it is not known: its absence is the
    /// condition of the update that adds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outcome: Option<OutcomeItem>,
}

#[derive(Serialize, Deserialize)]
struct OutcomeItem {
    code: String,
    #[serde(with = "form::or_null")]
    upstream_status: Option<u16>,
    #[serde(with = "form::or_null")]
    kms_request_id: Option<String>,
    kms_attempts: Vec<String>,
    #[serde(with = "form::or_null")]
    key_material: Option<String>,
    milliseconds: u64,
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
}

impl From<&AuditOutcome> for OutcomeItem {
    fn from(outcome: &AuditOutcome) -> Self {
        let AuditOutcome {
            code,
            upstream_status,
            kms_request_id,
            kms_attempts,
            key_material,
            milliseconds,
            at,
        } = outcome.clone();
        Self {
            code,
            upstream_status,
            kms_request_id,
            kms_attempts,
            key_material,
            milliseconds,
            at,
        }
    }
}

pub(super) fn audit_item(workspace: &WorkspaceId, audit: Audit<'_>) -> Result<Item, StoreError> {
    let AuditEntry {
        id,
        kind,
        at,
        token,
        secret,
        version,
        request_id,
        destination,
        method,
        detail,
    } = audit.entry.clone();
    let item = AuditItem {
        workspace: workspace.clone(),
        id,
        kind,
        at,
        token,
        secret,
        version,
        request_id,
        destination,
        method,
        detail,
        outcome: audit.outcome.map(OutcomeItem::from),
    };
    write(AUDIT, &item)
}

/// The attribute `outcome` alone.
pub(super) fn outcome_value(outcome: &AuditOutcome) -> Result<AttributeValue, StoreError> {
    to_attribute_value(OutcomeItem::from(outcome)).map_err(|_| StoreError::Broken(AUDIT))
}

/// `id` is what the record's place says.
pub(super) fn audit_record(
    workspace: &WorkspaceId,
    id: &str,
    item: Item,
) -> Result<AuditRecord, StoreError> {
    let item: AuditItem = read(AUDIT, item)?;
    agrees(
        AUDIT,
        item.workspace == *workspace && item.id.to_string() == id,
    )?;
    let AuditItem {
        id,
        kind,
        at,
        token,
        secret,
        version,
        request_id,
        destination,
        method,
        detail,
        ..
    } = item;
    let outcome = item.outcome.map(
        |OutcomeItem {
             code,
             upstream_status,
             kms_request_id,
             kms_attempts,
             key_material,
             milliseconds,
             at,
         }| {
            AuditOutcome {
                code,
                upstream_status,
                kms_request_id,
                kms_attempts,
                key_material,
                milliseconds,
                at,
            }
        },
    );
    let entry = AuditEntry {
        id,
        kind,
        at,
        token,
        secret,
        version,
        request_id,
        destination,
        method,
        detail,
    };
    Ok(AuditRecord { entry, outcome })
}
