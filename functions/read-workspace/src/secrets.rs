//! `GET …/secrets`: the secrets' names and circumstances, a page at a time.

use crate::{
    ReadWorkspace, limit,
    schema::{ReadProblems, SecretPage, ShownSecret},
};
use api::{Call, Need, Problem, json, openapi::OfWorkspace, rfc3339};
use axum::{extract::State, response::Response};
use envelope::SecretName;
use http::StatusCode;
use serde_json::Value;
use std::sync::Arc;
use store::{Permission, SecretSummary};

/// Lists the workspace's secrets.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace}/secrets", operation_id = "listSecrets",
    params(
        OfWorkspace,
        ("after" = Option<String>, Query, description = "The `next` of the page before."),
        ("limit" = Option<u32>, Query, description = "50, if left out.", minimum = 1, maximum = 100),
    ),
    responses((status = 200, description = "A page of secrets that the token reaches.", body = SecretPage), ReadProblems)
)]
pub(crate) async fn list(
    State(this): State<Arc<ReadWorkspace>>,
    call: Call,
) -> Result<Response, Problem> {
    let query = call.query(&["after", "limit"]);
    let need = Need::new(call.param("workspace"), Permission::Read);
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
            admitted.caller.record.secrets.as_deref(),
            after.as_ref(),
            limit(query.get("limit"))?,
        )
        .await?;
    let secrets = page.items.iter().map(shown).collect();
    Ok(json(
        StatusCode::OK,
        SecretPage {
            secrets,
            next: page.next,
        },
    ))
}

fn shown(secret: &SecretSummary) -> ShownSecret {
    ShownSecret {
        name: secret.name.to_string(),
        version: secret.version.number(),
        wrapped_by: secret.wrapped_by.to_string(),
        key_material_id: secret.material.clone(),
        policy: serde_json::from_str(&secret.policy).unwrap_or(Value::Null),
        updated_at: rfc3339(secret.updated_at),
        expires_at: secret.expires_at.map(rfc3339),
        revision: secret.revision.number(),
    }
}
