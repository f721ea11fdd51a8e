//! `GET …/secrets/{name}/versions`: a secret's versions and their circumstances.

use crate::{
    ReadWorkspace, limit,
    schema::{ReadProblems, ShownVersion, VersionPage},
};
use api::{Call, Code, Need, Problem, json, openapi::OfSecret, rfc3339};
use axum::{extract::State, response::Response};
use envelope::SecretVersion;
use http::StatusCode;
use std::sync::Arc;
use store::{Head, LiveHead, Permission, VersionSummary};

/// Lists a secret's versions, the current one on every page, then the earlier ones.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace}/secrets/{name}/versions", operation_id = "listVersions",
    params(
        OfSecret,
        ("after" = Option<u32>, Query, description = "The `next` of the page before.", minimum = 1, maximum = 9999999),
        ("limit" = Option<u32>, Query, description = "50, if left out.", minimum = 1, maximum = 100),
    ),
    responses((status = 200, description = "The current version, and a page of the earlier ones by number.", body = VersionPage), ReadProblems)
)]
pub(crate) async fn list(
    State(this): State<Arc<ReadWorkspace>>,
    call: Call,
) -> Result<Response, Problem> {
    let query = call.query(&["after", "limit"]);
    let need = Need {
        secret: Some(call.param("name")),
        ..Need::new(call.param("workspace"), Permission::Read)
    };
    let admitted = this.api.admit(&call.headers, need).await?;
    let query = query?;
    let wrong = || Problem::invalid("after", "a whole number from 1 to 9999999");
    let after = match query.get("after") {
        None => None,
        Some(text) => {
            let number = text.parse().map_err(|_| wrong())?;
            Some(SecretVersion::new(number).map_err(|_| wrong())?)
        }
    };
    let limit = limit(query.get("limit"))?;
    let head = admitted.records.head.as_ref().and_then(Head::live);
    let head = head.ok_or_else(|| Problem::new(Code::NotFound))?;
    let workspace = &admitted.caller.workspace;
    let page = this
        .api
        .store
        .list_versions(workspace, head, after, limit)
        .await?;
    let shown = VersionPage {
        current: current(head),
        earlier: page.items.iter().map(earlier).collect(),
        next: page.next.and_then(|next| next.parse().ok()),
        revision: head.revision.number(),
    };
    Ok(json(StatusCode::OK, shown))
}

fn current(head: &LiveHead) -> ShownVersion {
    let stored = &head.stored;
    ShownVersion {
        version: stored.version.number(),
        put_at: rfc3339(stored.put_at),
        expires_at: stored.expires_at.map(rfc3339),
        wrapped_by: stored.wrapped.key.to_string(),
        key_material_id: stored.wrapped.material.clone(),
        revoked_at: None,
    }
}

fn earlier(version: &VersionSummary) -> ShownVersion {
    ShownVersion {
        version: version.version.number(),
        put_at: rfc3339(version.put_at),
        expires_at: version.expires_at.map(rfc3339),
        wrapped_by: version.wrapped_by.to_string(),
        key_material_id: version.material.clone(),
        revoked_at: version.revoked_at.map(rfc3339),
    }
}
