//! manage-tokens: makes, lists and revokes a workspace's tokens.
//!
//! A token never gives more than its maker has: no other permission, no wider
//! choice of secrets, no later end. Revoking one deletes its record: the next
//! call with it fails.

mod request;
mod schema;

use api::{Api, Call, Caller, Code, Need, Problem, Token, json, openapi::OfWorkspace, outcome};
use axum::{extract::State, response::Response};
use http::StatusCode;
use request::TokenRequest;
use schema::{
    ListProblems, MadeToken, MakeProblems, NewToken, RevokeProblems, ShownToken, TokenPage,
};
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
    Need::new(call.param("workspace"), Permission::ManageTokens)
}

/// Makes a token, told once.
#[utoipa::path(
    post, path = "/v1/workspaces/{workspace}/tokens", operation_id = "makeToken",
    params(OfWorkspace), request_body = NewToken,
    responses((status = 201, description = "The token. It is told this once.", body = MadeToken), MakeProblems)
)]
async fn make(State(this): State<Arc<ManageTokens>>, mut call: Call) -> Result<Response, Problem> {
    let admitted = this.api.admit(&call.headers, need(&call)).await?;
    let request = TokenRequest::parse(&call.body(BODY_MAX).await?, admitted.now)?;
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
    let made = MadeToken {
        shown: ShownToken::from(&record),
        token: token.tell(),
    };
    Ok(json(StatusCode::CREATED, made))
}

/// Lists the tokens that are within the caller's own reach.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace}/tokens", operation_id = "listTokens",
    params(OfWorkspace, ("after" = Option<String>, Query, description = "The `next` of the page before.")),
    responses((status = 200, description = "A page of tokens, without the tokens themselves.", body = TokenPage), ListProblems)
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
    let (tokens, next) = this.within_reach(&admitted.caller, after).await?;
    let tokens = tokens.iter().map(ShownToken::from).collect();
    Ok(json(StatusCode::OK, TokenPage { tokens, next }))
}

/// Revokes a token.
#[utoipa::path(
    delete, path = "/v1/workspaces/{workspace}/tokens/{id}", operation_id = "revokeToken",
    params(OfWorkspace, ("id" = String, Path, description = "The token's id, as the list shows it.")),
    responses((status = 204, description = "The token is no more."), RevokeProblems)
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
    if !admitted.caller.is_above(&target) {
        return Err(absent());
    }
    let audit = this.audit(&admitted, &call, AuditKind::DeleteToken, &id);
    if !this.api.store.delete_token(workspace, &id, &audit).await? {
        return Err(absent());
    }
    let mut response = json(StatusCode::NO_CONTENT, ());
    *response.body_mut() = axum::body::Body::empty();
    response.headers_mut().remove(http::header::CONTENT_TYPE);
    Ok(response)
}

impl ManageTokens {
    /// A page of the tokens that the caller could have made. What it could not have
    /// made it does not hear of, not even by where the next page begins.
    async fn within_reach(
        &self,
        caller: &Caller,
        mut after: Option<TokenId>,
    ) -> Result<(Vec<TokenRecord>, Option<String>), Problem> {
        loop {
            let page = self
                .api
                .store
                .list_tokens(&caller.workspace, after.as_ref(), PAGE)
                .await?;
            let mut tokens = page.items;
            tokens.retain(|token| caller.covers(token.secrets.as_deref()));
            let Some(next) = page.next else {
                return Ok((tokens, None));
            };
            if let Some(last) = tokens.last() {
                let next = last.id.to_string();
                return Ok((tokens, Some(next)));
            }
            after = TokenId::parse(&next).ok();
        }
    }

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
