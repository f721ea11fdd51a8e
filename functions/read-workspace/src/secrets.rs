//! `GET …/secrets`: the secrets' names and circumstances, a page at a time.

use crate::{ReadWorkspace, limit};
use api::{Call, Need, Problem, json, rfc3339};
use axum::{extract::State, response::Response};
use envelope::SecretName;
use http::StatusCode;
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Permission, SecretSummary};

/// Lists the workspace's secrets.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace}/secrets", operation_id = "listSecrets",
    params(("workspace" = String, Path), ("after" = Option<String>, Query), ("limit" = Option<u32>, Query)),
    responses((status = 200, description = "A page of secrets that the token reaches."))
)]
pub(crate) async fn list(
    State(this): State<Arc<ReadWorkspace>>,
    call: Call,
) -> Result<Response, Problem> {
    let query = call.query(&["after", "limit"]);
    let need = Need {
        workspace: call.param("workspace"),
        permissions: &[Permission::Read],
        ..Need::default()
    };
    let admitted = this.api.admit(&call.headers, need).await?;
    let query = query?;
    let after = query
        .get("after")
        .map(|name| SecretName::parse(name))
        .transpose()
        .map_err(|error| Problem::invalid_id("after", error))?;
    let page = this
        .api
        .store
        .list_secrets(
            &admitted.caller.workspace,
            after.as_ref(),
            limit(query.get("limit"))?,
        )
        .await?;
    // A token that reaches only some secrets sees only those: a page may then be short, and `next` goes on.
    let secrets: Vec<Value> = page
        .items
        .iter()
        .filter(|secret| admitted.caller.record.is_for(&secret.name))
        .map(shown)
        .collect();
    Ok(json(
        StatusCode::OK,
        json!({"secrets": secrets, "next": page.next}),
    ))
}

fn shown(secret: &SecretSummary) -> Value {
    json!({
        "name": secret.name.as_str(),
        "version": secret.version.number(),
        "wrappedBy": secret.wrapped_by.as_str(),
        "keyMaterialId": secret.material,
        "policy": serde_json::from_str::<Value>(&secret.policy).unwrap_or(Value::Null),
        "updatedAt": rfc3339(secret.updated_at),
        "expiresAt": secret.expires_at.map(rfc3339),
        "revision": secret.revision.number(),
    })
}
