//! set-workspace-key: binds a workspace to its KMS key, after proving that the
//! key works.
//!
//! The proof is the very calls that puts and uses will make, under the
//! workspace's own encryption context with `byok:secret = $probe`: a data key is
//! made and unwrapped again. Only then is the key looked at. A proof that fails
//! stores nothing, and says which call KMS refused and which statement of the
//! key policy would allow it.

mod proof;
mod schema;

use api::{Api, Call, Code, Fields, Need, Problem, json, openapi::OfWorkspace};
use axum::{extract::State, response::Response};
use envelope::{
    KeyArn,
    kms::{Inspect, Unwrap, Wrap},
};
use http::StatusCode;
use schema::{BindProblems, CheckProblems, NewKey, Nothing, ProvenKey};
use std::sync::Arc;
use store::{AuditKind, AuditRecord, BindKey, Permission};
use utoipa_axum::{router::OpenApiRouter, routes};

const BODY_MAX: usize = 64 * 1024;
/// How many former keys a binding keeps: each may still be needed to open something.
const FORMER_MAX: usize = 32;
/// KMS takes at most this many grant tokens in a call (AWS KMS API Reference, `GrantTokens`).
const GRANT_TOKENS_MAX: usize = 10;

/// What the function needs: to make, open and look at keys, for the proof.
pub struct SetWorkspaceKey {
    /// What all functions share.
    pub api: Api,
    /// Makes the probe's data key.
    pub wrap: Wrap,
    /// Opens it again.
    pub unwrap: Unwrap,
    /// Looks at the key.
    pub inspect: Inspect,
    /// The ARN of the deployment's `broker` role, which the customer's policy names.
    pub broker_role: String,
}

/// The function's routes.
pub fn routes(function: SetWorkspaceKey) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(bind))
        .routes(routes!(check))
        .with_state(Arc::new(function))
}

/// Binds a key.
#[utoipa::path(
    put, path = "/v1/workspaces/{workspace}/key", operation_id = "bindKey",
    params(OfWorkspace), request_body = NewKey,
    responses((status = 200, description = "The key works and is now the workspace's current one.", body = ProvenKey), BindProblems)
)]
async fn bind(
    State(this): State<Arc<SetWorkspaceKey>>,
    mut call: Call,
) -> Result<Response, Problem> {
    let need = Need::new(call.param("workspace"), Permission::ManageKey);
    let admitted = this.api.admit(&call.headers, need).await?;
    let request = BindRequest::parse(&call.body(BODY_MAX).await?)?;
    let workspace = &admitted.caller.workspace;
    let binding = admitted.binding()?;

    if binding.former.len() >= FORMER_MAX && !binding.keys().contains(&request.key) {
        return Err(Problem::new(Code::Conflict).because("The workspace has had too many keys."));
    }
    let proof = this
        .prove(&request.key, workspace, &request.grant_tokens)
        .await?;
    let change = BindKey {
        read: binding.clone(),
        key: request.key.clone(),
        evidence: proof.evidence(),
        now: admitted.now,
    };
    let mut entry = admitted.audit(AuditKind::BindKey, &call.request_id);
    entry
        .detail
        .insert("key".to_owned(), request.key.to_string());
    let audit = AuditRecord {
        entry,
        outcome: Some(proof.outcome(admitted.now, this.api.clock.now())),
    };
    let revision = this.api.store.bind_key(workspace, &change, &audit).await?;
    Ok(json(
        StatusCode::OK,
        ProvenKey {
            key: request.key.to_string(),
            state: "active",
            probes: proof.probes(),
            revision: revision.number(),
        },
    ))
}

/// Proves the current key again.
#[utoipa::path(
    post, path = "/v1/workspaces/{workspace}/key/checks", operation_id = "checkKey",
    params(OfWorkspace), request_body = Option<Nothing>,
    responses((status = 200, description = "The key works.", body = ProvenKey), CheckProblems)
)]
async fn check(
    State(this): State<Arc<SetWorkspaceKey>>,
    mut call: Call,
) -> Result<Response, Problem> {
    let need = Need::new(call.param("workspace"), Permission::ManageKey);
    let admitted = this.api.admit(&call.headers, need).await?;
    Fields::parse(&call.body(BODY_MAX).await?)?.finish()?;
    let binding = admitted.binding()?;
    let Some(key) = &binding.current else {
        return Err(Problem::new(Code::NoWorkspaceKey));
    };

    let workspace = &admitted.caller.workspace;
    let entry = admitted.audit(AuditKind::CheckKey, &call.request_id);
    this.api
        .store
        .begin_use(workspace, &entry)
        .await
        .map_err(|error| Problem::new(Code::AuditUnavailable).from_source(error))?;
    let proof = this.prove(key, workspace, &[]).await;
    let outcome = match &proof {
        Ok(proof) => proof.outcome(admitted.now, this.api.clock.now()),
        Err(problem) => api::outcome(problem.code().as_str(), admitted.now, this.api.clock.now()),
    };
    this.api
        .store
        .finish_use(workspace, &entry.id, &outcome)
        .await?;
    let proof = proof?;
    Ok(json(
        StatusCode::OK,
        ProvenKey {
            key: key.to_string(),
            state: "active",
            probes: proof.probes(),
            revision: binding.revision.number(),
        },
    ))
}

struct BindRequest {
    key: KeyArn,
    grant_tokens: Vec<String>,
}

impl BindRequest {
    fn parse(body: &[u8]) -> Result<Self, Problem> {
        let mut fields = Fields::parse(body)?;
        let key: String = fields.required("key", "the ARN of a KMS key")?;
        let grant_tokens: Vec<String> = fields
            .optional("grant_tokens", "a list of texts")?
            .unwrap_or_default();
        fields.finish()?;
        let key = KeyArn::parse(&key).map_err(|error| Problem::invalid_id("key", error))?;
        if grant_tokens.len() > GRANT_TOKENS_MAX
            || grant_tokens
                .iter()
                .any(|token| !(1..=8192).contains(&token.len()))
        {
            return Err(Problem::invalid(
                "grant_tokens",
                "up to 10 grant tokens of up to 8192 characters each",
            ));
        }
        Ok(Self { key, grant_tokens })
    }
}
