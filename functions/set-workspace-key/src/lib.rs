//! set-workspace-key: binds a workspace to its KMS key, after proving that the
//! key works and that it is fenced.
//!
//! The proof is the very calls that puts and uses will make, under the
//! workspace's own encryption context with `byok:secret = $probe`; and the same calls
//! under contexts that are not the workspace's, which must be denied. Only then is a data
//! key made and unwrapped again, and the key looked at. A proof that fails stores
//! nothing, and says which call KMS refused, or should have refused, and which statement of
//! the key policy would mend it.

mod fence;
mod proof;
mod schema;

use api::{
    Api, Call, Code, Fields, Need, Preconditions, Problem, idempotency_key, json, json_at,
    openapi::{IdempotencyKey, IfMatch, OfWorkspace},
};
use axum::{extract::State, response::Response};
use envelope::{
    KeyArn, KeyName,
    kms::{Inspect, MakeMac, Probe, Unwrap, Wrap},
};
use http::StatusCode;
use proof::Proof;
use schema::{BindProblems, CheckProblems, NewKey, Nothing, ProvenKey};
use std::sync::Arc;
use store::{AuditKind, AuditRecord, BindKey, KeyStateName, KeyStateRecord, Permission, Revision};
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
    /// Asks what the key would do for others.
    pub probe: Probe,
    /// Makes the MAC of the binding.
    pub binding_mac: MakeMac,
    /// The ARN of the deployment's `broker` role, which the customer's policy names.
    pub broker_role: String,
    /// The deployment's own KEK, which stays a former key of a workspace that began on it.
    pub deployment_key: Option<KeyArn>,
    /// Whether a key that works but is not fenced is accepted.
    pub accepts_permissive: bool,
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
    params(OfWorkspace, IdempotencyKey, IfMatch), request_body = NewKey,
    responses((status = 200, description = "The key works and is now the workspace's current one.", body = ProvenKey, headers(("etag" = String, description = "The binding's revision, in quotes."))), BindProblems)
)]
async fn bind(
    State(this): State<Arc<SetWorkspaceKey>>,
    mut call: Call,
) -> Result<Response, Problem> {
    let preconditions = Preconditions::of(&call);
    let key = idempotency_key(&call);
    let need = Need {
        idempotency_key: key.as_ref().ok().and_then(Option::as_deref),
        ..Need::new(call.param("workspace"), Permission::ManageKey)
    };
    let admitted = this.api.admit(&call.headers, need).await?;
    key?;
    let preconditions = preconditions?;
    let body = call.body(BODY_MAX).await?;
    let request = BindRequest::parse(&body)?;
    let fingerprint = call.fingerprint(&admitted.caller, &body);
    if let Some(answer) = admitted.replayed(&fingerprint)? {
        return Ok(answer);
    }
    let workspace = &admitted.caller.workspace;
    let binding = admitted.binding()?;
    preconditions.hold(Some(binding.revision))?;

    let proof = this
        .prove(&request.key, workspace, &request.grant_tokens)
        .await?;
    if binding.former.len() >= FORMER_MAX && !binding.keys().contains(&proof.key) {
        return Err(Problem::new(Code::Conflict).because("The workspace has had too many keys."));
    }
    let revision = binding.revision.next();
    let answer = proven(&proof, revision);
    let remembered = admitted.remember(fingerprint, StatusCode::OK, &answer, Some(revision));
    let change = BindKey {
        read: binding.clone(),
        key: proof.key.clone(),
        deployment_key: this.deployment_key.clone(),
        evidence: proof.evidence(),
        grade: Some(proof.grade),
        probes: proof.probes_json(),
        idempotency: remembered.as_ref(),
        now: admitted.now,
    };
    let mut entry = admitted.audit(AuditKind::BindKey, &call.request_id);
    entry.detail.insert("key".to_owned(), proof.key.to_string());
    let grade = proof.grade.as_str().to_owned();
    entry.detail.insert("grade".to_owned(), grade);
    let audit = AuditRecord {
        entry,
        outcome: Some(proof.outcome(admitted.now, this.api.clock.now())),
    };
    let store = &this.api.store;
    let revision = store
        .bind_key(workspace, &change, &this.binding_mac, &audit)
        .await?;
    Ok(json_at(StatusCode::OK, proven(&proof, revision), revision))
}

fn proven(proof: &Proof, revision: Revision) -> ProvenKey<'_> {
    ProvenKey {
        key: proof.key.as_str(),
        state: KeyStateName::Active.as_str(),
        grade: proof.grade.as_str(),
        probes: proof.probes(),
        revision: revision.number(),
    }
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
    let need = Need {
        state: true,
        ..Need::new(call.param("workspace"), Permission::ManageKey)
    };
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
    let proof = this
        .prove(&KeyName::from(key.clone()), workspace, &[])
        .await;
    let outcome = match &proof {
        Ok(proof) => proof.outcome(admitted.now, this.api.clock.now()),
        Err(problem) => api::outcome(problem.code().as_str(), admitted.now, this.api.clock.now()),
    };
    this.api
        .store
        .finish_use(workspace, &entry.id, &outcome)
        .await?;
    let proof = proof?;
    let known = admitted.records.state.as_ref();
    let since = known
        .filter(|known| known.state == KeyStateName::Active)
        .map_or(admitted.now, |known| known.since);
    let state = KeyStateRecord {
        state: KeyStateName::Active,
        since,
        evidence: proof.evidence(),
        grade: Some(proof.grade),
        probes: proof.probes_json(),
        checked_at: admitted.now,
    };
    this.api.store.note_key_state(workspace, &state).await?;
    Ok(json(StatusCode::OK, proven(&proof, binding.revision)))
}

struct BindRequest {
    key: KeyName,
    grant_tokens: Vec<String>,
}

impl BindRequest {
    fn parse(body: &[u8]) -> Result<Self, Problem> {
        let mut fields = Fields::parse(body)?;
        let key: String = fields.required("key", "the ARN of a KMS key or of an alias")?;
        let grant_tokens: Vec<String> = fields
            .optional("grant_tokens", "a list of texts")?
            .unwrap_or_default();
        fields.finish()?;
        let key = KeyName::parse(&key).map_err(|error| Problem::invalid_id("key", error))?;
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
