//! `GET …/audit`: what changed or used something, a day and a page at a time.

use crate::{
    ReadWorkspace, limit,
    schema::{AuditPage, ReadProblems, ShownAudit, ShownOutcome},
};
use api::{Call, Need, Problem, json, openapi::OfWorkspace, rfc3339};
use axum::{extract::State, response::Response};
use http::StatusCode;
use std::sync::Arc;
use store::{AuditOutcome, AuditRecord, Permission, ReceiptId};
use time::{Date, macros::format_description};

/// Lists one day's audit records, in order.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace}/audit", operation_id = "listAudit",
    params(
        OfWorkspace,
        ("day" = Option<String>, Query, description = "In UTC; today, if left out.", format = Date, example = "2030-01-31"),
        ("after" = Option<String>, Query, description = "The `next` of the page before."),
        ("limit" = Option<u32>, Query, description = "50, if left out.", minimum = 1, maximum = 100),
    ),
    responses((status = 200, description = "A page of one day's audit records, in order.", body = AuditPage), ReadProblems)
)]
pub(crate) async fn list(
    State(this): State<Arc<ReadWorkspace>>,
    call: Call,
) -> Result<Response, Problem> {
    let query = call.query(&["day", "after", "limit"]);
    let need = Need::new(call.param("workspace"), Permission::ReadAudit);
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
    let records = page.items.iter().map(shown).collect();
    Ok(json(
        StatusCode::OK,
        AuditPage {
            day: day.to_string(),
            records,
            next: page.next,
        },
    ))
}

fn shown(record: &AuditRecord) -> ShownAudit {
    let entry = &record.entry;
    ShownAudit {
        id: entry.id.to_string(),
        kind: entry.kind.as_str(),
        at: rfc3339(entry.at),
        by: entry.token.to_string(),
        secret: entry.secret.as_ref().map(ToString::to_string),
        version: entry.version.map(envelope::SecretVersion::number),
        request_id: entry.request_id.clone(),
        destination: entry.destination.clone(),
        method: entry.method.clone(),
        detail: entry.detail.clone(),
        outcome: record.outcome.as_ref().map(outcome),
    }
}

fn outcome(outcome: &AuditOutcome) -> ShownOutcome {
    ShownOutcome {
        code: outcome.code.clone(),
        upstream_status: outcome.upstream_status,
        kms_request_id: outcome.kms_request_id.clone(),
        kms_attempts: outcome.kms_attempts.clone(),
        key_material_id: outcome.key_material.clone(),
        milliseconds: outcome.milliseconds,
        at: rfc3339(outcome.at),
    }
}
