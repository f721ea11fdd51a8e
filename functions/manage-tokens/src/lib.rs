//! manage-tokens: makes, lists and revokes a workspace's tokens.
//!
//! A token never gives more than its maker has: no other permission, no wider
//! choice of secrets, no later end. Revoking one deletes its record: the next
//! call with it fails.

mod request;
mod schema;

use api::{
    Api, Call, Caller, Code, Need, Problem, Token, idempotency_key, json, no_content,
    openapi::{IdempotencyKey, OfWorkspace},
    outcome,
};
use axum::{extract::State, response::Response};
use envelope::kms::MakeMac;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::StatusCode;
use request::TokenRequest;
use schema::{
    ListProblems, ListedToken, MadeToken, MakeProblems, NewToken, RevokeProblems, ShownToken,
    TokenPage,
};
use std::sync::Arc;
use store::{
    Attested, AuditKind, AuditRecord, Permission, StoreError, TokenId, TokenRecord, Wanted, Which,
};
use utoipa_axum::{router::OpenApiRouter, routes};

const BODY_MAX: usize = 64 * 1024;
const PAGE: u32 = 100;
/// How many MACs of a page are checked at once.
const AT_ONCE: usize = 16;

/// What the function needs: the records, and to make the MACs of tokens.
pub struct ManageTokens {
    /// What all functions share.
    pub api: Api,
    /// Makes the MACs of tokens.
    pub token_mac: MakeMac,
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
    params(OfWorkspace, IdempotencyKey), request_body = NewToken,
    responses((status = 201, description = "The token. It is told this once.", body = MadeToken), MakeProblems)
)]
async fn make(State(this): State<Arc<ManageTokens>>, mut call: Call) -> Result<Response, Problem> {
    let key = idempotency_key(&call);
    let need = Need {
        idempotency_key: key.as_ref().ok().and_then(Option::as_deref),
        ..need(&call)
    };
    let admitted = this.api.admit(&call.headers, need).await?;
    key?;
    let body = call.body(BODY_MAX).await?;
    let request = TokenRequest::parse(&body, admitted.now)?;
    let fingerprint = call.fingerprint(&admitted.caller, &body);
    if admitted.replayed(&fingerprint)?.is_some() {
        return Err(told_once());
    }
    let record = request.within(&admitted.caller, admitted.now)?;

    let token = Token::generate(&admitted.caller.workspace);
    let record = TokenRecord {
        id: token.id(),
        ..record
    };
    let audit = this.audit(&admitted, &call, AuditKind::CreateToken, &record.id);
    // Never the token itself: what is told once is stored nowhere.
    let shown = ShownToken::from(&record);
    let remembered = admitted.remember(fingerprint, StatusCode::CREATED, &shown, None);
    this.api
        .store
        .put_token(
            &admitted.caller.workspace,
            &record,
            &this.token_mac,
            remembered.as_ref(),
            &audit,
        )
        .await
        .map_err(|error| match error {
            StoreError::Conflict(Which::Idempotency) => told_once(),
            error => error.into(),
        })?;
    let made = MadeToken {
        shown,
        token: token.tell(),
    };
    Ok(json(StatusCode::CREATED, made))
}

/// A token cannot be told again, for nobody has it but whoever heard it.
fn told_once() -> Problem {
    Problem::new(Code::Conflict).because(
        "A token was made under this Idempotency-Key, and told once. Revoke it if it is lost, and make another.",
    )
}

/// Lists the tokens that are within the caller's own reach.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace}/tokens", operation_id = "listTokens",
    params(OfWorkspace, ("after" = Option<String>, Query, description = "The `next` of the page before.")),
    responses((status = 200, description = "A page of tokens, without the tokens themselves.", body = TokenPage), ListProblems)
)]
async fn list(State(this): State<Arc<ManageTokens>>, call: Call) -> Result<Response, Problem> {
    let this = this.as_ref();
    let query = call.query(&["after"]);
    let admitted = this.api.admit(&call.headers, need(&call)).await?;
    let query = query?;
    let after = query
        .get("after")
        .map(|id| TokenId::parse(id))
        .transpose()
        .map_err(|error| Problem::invalid_id("after", error))?;
    let (tokens, next) = this.within_reach(&admitted.caller, after).await?;
    let shown = tokens.into_iter().map(|(token, attested)| async move {
        // A forged one is shown for what it is, so that it can be revoked.
        let authentic = match this.api.macs.verify(vec![attested]).passed().await {
            Ok(()) => true,
            Err(problem) if problem.code() == Code::IntegrityFailure => false,
            Err(problem) => return Err(problem),
        };
        Ok(ListedToken {
            shown: ShownToken::from(&token),
            authentic,
        })
    });
    let tokens = stream::iter(shown).buffered(AT_ONCE).try_collect().await?;
    Ok(json(StatusCode::OK, TokenPage { tokens, next }))
}

/// Revokes a token.
#[utoipa::path(
    delete, path = "/v1/workspaces/{workspace}/tokens/{id}", operation_id = "revokeToken",
    params(OfWorkspace, IdempotencyKey, ("id" = String, Path, description = "The token's id, as the list shows it.")),
    responses((status = 204, description = "The token is no more."), RevokeProblems)
)]
async fn revoke(State(this): State<Arc<ManageTokens>>, call: Call) -> Result<Response, Problem> {
    let key = idempotency_key(&call);
    let need = Need {
        idempotency_key: key.as_ref().ok().and_then(Option::as_deref),
        ..need(&call)
    };
    let admitted = this.api.admit(&call.headers, need).await?;
    key?;
    let fingerprint = call.fingerprint(&admitted.caller, &[]);
    if let Some(answer) = admitted.replayed(&fingerprint)? {
        return Ok(answer);
    }
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
    // Not verified: to take a token away is safe whoever wrote it.
    let target = this
        .api
        .store
        .find(workspace, wanted)
        .await?
        .token()?
        .ok_or_else(absent)?;
    if !admitted.caller.is_above(&target) {
        return Err(absent());
    }
    let audit = this.audit(&admitted, &call, AuditKind::DeleteToken, &id);
    let remembered = admitted.remember(fingerprint, StatusCode::NO_CONTENT, &(), None);
    let store = &this.api.store;
    if !store
        .delete_token(workspace, &id, remembered.as_ref(), &audit)
        .await?
    {
        return Err(absent());
    }
    Ok(no_content())
}

impl ManageTokens {
    /// A page of the tokens that the caller could have made. What it could not have
    /// made it does not hear of, not even by where the next page begins.
    async fn within_reach(
        &self,
        caller: &Caller,
        mut after: Option<TokenId>,
    ) -> Result<(Vec<(TokenRecord, Attested)>, Option<String>), Problem> {
        loop {
            let page = self
                .api
                .store
                .list_tokens(&caller.workspace, after.as_ref(), PAGE)
                .await?;
            let mut tokens = page.items;
            tokens.retain(|(token, _)| caller.covers(token.secrets.as_deref()));
            let Some(next) = page.next else {
                return Ok((tokens, None));
            };
            if let Some((last, _)) = tokens.last() {
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
