//! `GET …/audit`: what changed or used something, a day and a page at a time.

use crate::{ReadWorkspace, limit};
use api::{Call, Need, Problem, json, rfc3339};
use axum::{extract::State, response::Response};
use http::StatusCode;
use serde_json::{Value, json};
use std::sync::Arc;
use store::{AuditOutcome, AuditRecord, Permission, ReceiptId};
use time::{Date, macros::format_description};

/// Lists one day's audit records, in order.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace}/audit", operation_id = "listAudit",
    params(
        ("workspace" = String, Path), ("day" = Option<String>, Query),
        ("after" = Option<String>, Query), ("limit" = Option<u32>, Query)
    ),
    responses((status = 200, description = "A page of audit records of one day (UTC; default: today)."))
)]
pub(crate) async fn list(
    State(this): State<Arc<ReadWorkspace>>,
    call: Call,
) -> Result<Response, Problem> {
    let query = call.query(&["day", "after", "limit"]);
    let need = Need {
        workspace: call.param("workspace"),
        permissions: &[Permission::ReadAudit],
        ..Need::default()
    };
    let admitted = this.api.admit(&call.headers, need).await?;
    let query = query?;
    let day = match query.get("day") {
        None => admitted.now.date(),
        Some(text) => Date::parse(text, format_description!("[year]-[month]-[day]"))
            .map_err(|_| Problem::invalid("day", "a date like 2030-01-31"))?,
    };
    let after = query
        .get("after")
        .map(|id| ReceiptId::parse(id))
        .transpose()
        .map_err(|error| Problem::invalid_id("after", error))?;
    let limit = limit(query.get("limit"))?;
    let page = this
        .api
        .store
        .list_audit(&admitted.caller.workspace, day, after.as_ref(), limit)
        .await?;
    let reach = &admitted.caller.record;
    let records: Vec<Value> = page
        .items
        .iter()
        .filter(|record| match &record.entry.secret {
            Some(name) => reach.is_for(name),
            None => reach.secrets.is_none(),
        })
        .map(shown)
        .collect();
    Ok(json(
        StatusCode::OK,
        json!({"day": day.to_string(), "records": records, "next": page.next}),
    ))
}

fn shown(record: &AuditRecord) -> Value {
    let entry = &record.entry;
    json!({
        "id": entry.id.to_string(),
        "kind": entry.kind.as_str(),
        "at": rfc3339(entry.at),
        "by": entry.token.to_string(),
        "secret": entry.secret.as_ref().map(envelope::SecretName::as_str),
        "version": entry.version.map(envelope::SecretVersion::number),
        "requestId": entry.request_id,
        "destination": entry.destination,
        "method": entry.method,
        "detail": entry.detail,
        // A use without an outcome was under way, or broke off after the secret may have left.
        "outcome": record.outcome.as_ref().map(outcome),
    })
}

fn outcome(outcome: &AuditOutcome) -> Value {
    json!({
        "code": outcome.code,
        "upstreamStatus": outcome.upstream_status,
        "kmsRequestId": outcome.kms_request_id,
        "kmsAttempts": outcome.kms_attempts,
        "keyMaterialId": outcome.key_material,
        "milliseconds": outcome.milliseconds,
        "at": rfc3339(outcome.at),
    })
}
