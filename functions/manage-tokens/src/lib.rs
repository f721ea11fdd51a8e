//! manage-tokens: makes, lists and revokes a workspace's tokens.
//!
//! A token never gives more than its maker has: no other permission, no wider
//! choice of secrets, no later end. Revoking one deletes its record: the next
//! call with it fails.

mod request;

use api::{Api, Call, Code, Need, Problem, Token, json, outcome, rfc3339};
use axum::{extract::State, response::Response};
use http::StatusCode;
use request::TokenRequest;
use serde_json::{Value, json};
use std::sync::Arc;
use store::{AuditKind, AuditRecord, Permission, TokenId, TokenRecord, Wanted};
use utoipa_axum::{router::OpenApiRouter, routes};

const BODY_MAX: usize = 64 * 1024;
const PAGE: u32 = 100;

/// What the function needs: the records alone.
pub struct ManageTokens {
    /// What all functions share.
    pub api: Api,
}

/// The function's routes.
pub fn routes(function: ManageTokens) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(make, list))
        .routes(routes!(revoke))
        .with_state(Arc::new(function))
}

fn need(call: &Call) -> Need<'_> {
    Need {
        workspace: call.param("workspace"),
        permissions: &[Permission::ManageTokens],
        ..Need::default()
    }
}

/// Makes a token, told once.
#[utoipa::path(
    post, path = "/v1/workspaces/{workspace}/tokens", operation_id = "makeToken",
    params(("workspace" = String, Path)),
    responses((status = 201, description = "The token. It is told this once."))
)]
async fn make(State(this): State<Arc<ManageTokens>>, mut call: Call) -> Result<Response, Problem> {
    let body = call.body(BODY_MAX).await;
    let admitted = this.api.admit(&call.headers, need(&call)).await?;
    let request = TokenRequest::parse(&body?, admitted.now)?;
    let record = request.within(&admitted.caller, admitted.now)?;

    let token = Token::generate(&admitted.caller.workspace);
    let record = TokenRecord {
        id: token.id(),
        ..record
    };
    let audit = this.audit(&admitted, &call, AuditKind::CreateToken, &record.id);
    this.api
        .store
        .put_token(&admitted.caller.workspace, &record, &audit)
        .await?;
    let mut body = shown(&record);
    body["token"] = json!(token.tell());
    Ok(json(StatusCode::CREATED, body))
}

/// Lists the tokens that are within the caller's own reach.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace}/tokens", operation_id = "listTokens",
    params(("workspace" = String, Path), ("after" = Option<String>, Query)),
    responses((status = 200, description = "A page of tokens, without the tokens themselves."))
)]
async fn list(State(this): State<Arc<ManageTokens>>, call: Call) -> Result<Response, Problem> {
    let query = call.query(&["after"]);
    let admitted = this.api.admit(&call.headers, need(&call)).await?;
    let query = query?;
    let after = query
        .get("after")
        .map(|id| TokenId::parse(id))
        .transpose()
        .map_err(|error| Problem::invalid_id("after", error))?;
    let page = this
        .api
        .store
        .list_tokens(&admitted.caller.workspace, after.as_ref(), PAGE)
        .await?;
    let tokens: Vec<Value> = page
        .items
        .iter()
        .filter(|token| admitted.caller.covers(token.secrets.as_deref()))
        .map(shown)
        .collect();
    Ok(json(
        StatusCode::OK,
        json!({"tokens": tokens, "next": page.next}),
    ))
}

/// Revokes a token.
#[utoipa::path(
    delete, path = "/v1/workspaces/{workspace}/tokens/{id}", operation_id = "revokeToken",
    params(("workspace" = String, Path), ("id" = String, Path)),
    responses((status = 204, description = "The token is no more."))
)]
async fn revoke(State(this): State<Arc<ManageTokens>>, call: Call) -> Result<Response, Problem> {
    let admitted = this.api.admit(&call.headers, need(&call)).await?;
    let absent = || Problem::new(Code::NotFound);
    let id = TokenId::parse(call.param("id")).map_err(|_| absent())?;
    let workspace = &admitted.caller.workspace;
    let wanted = Wanted {
        token: &id,
        secret: None,
        version: None,
        idempotency: None,
        state: false,
    };
    let target = this
        .api
        .store
        .read(workspace, wanted)
        .await?
        .token
        .ok_or_else(absent)?;
    if !admitted.caller.covers(target.secrets.as_deref()) {
        return Err(absent());
    }
    let audit = this.audit(&admitted, &call, AuditKind::DeleteToken, &id);
    if !this.api.store.delete_token(workspace, &id, &audit).await? {
        return Err(absent());
    }
    let mut response = json(StatusCode::NO_CONTENT, Value::Null);
    *response.body_mut() = axum::body::Body::empty();
    response.headers_mut().remove(http::header::CONTENT_TYPE);
    Ok(response)
}

impl ManageTokens {
    fn audit(
        &self,
        admitted: &api::Admitted,
        call: &Call,
        kind: AuditKind,
        token: &TokenId,
    ) -> AuditRecord {
        let mut entry = admitted.audit(kind, &call.request_id);
        entry.detail.insert("token".to_owned(), token.to_string());
        AuditRecord {
            entry,
            outcome: Some(outcome("ok", admitted.now, self.api.clock.now())),
        }
    }
}

fn shown(token: &TokenRecord) -> Value {
    json!({
        "id": token.id.as_str(),
        "permissions": token.permissions.iter().map(|permission| permission.as_str()).collect::<Vec<_>>(),
        "secrets": token.secrets.as_ref().map(|list| list.iter().map(ToString::to_string).collect::<Vec<_>>()),
        "expiresAt": token.expires_at.map(rfc3339),
        "createdAt": rfc3339(token.created_at),
        "createdBy": token.created_by.as_ref().map(TokenId::as_str),
        "label": token.label,
    })
}
