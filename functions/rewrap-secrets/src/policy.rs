//! `PUT …/secrets/{name}/policy`: where an existing value may go, and until when.
//!
//! The data key is bound to the policy by the customer's KMS, so the change is a ReEncrypt
//! from the old policy's context to the new one's: the customer's log shows it, and without
//! the customer's key there is none. The value itself is not seen: what a put checks of a
//! value and its slot together is left to the next use, which refuses what does not fit.

use crate::{
    Afterwards, BODY_MAX, KMS_TIME, RewrapSecrets, TRIES, live, lost, may_try_again,
    schema::{ChangedPolicy, NewPolicy, PolicyProblems},
};
use api::{
    Admitted, Call, Code, Fields, Fingerprint, Need, Preconditions, Problem, current_kek,
    idempotency_key, json_at, note_secret,
    openapi::{IdempotencyKey, IfMatch, OfSecret},
    rfc3339,
};
use axum::{extract::State, response::Response};
use egress::{CanonicalPolicy, Policy};
use envelope::{
    Refusal, WrappedDataKey,
    kms::{RewrapRequest, Rewrapped},
};
use http::StatusCode;
use serde_json::Value;
use std::sync::Arc;
use store::{AuditKind, Binding, ChangePolicy, LiveHead, Permission, Revision, StoreError, Which};
use time::OffsetDateTime;

/// Changes where the current version may go.
///
/// The whole policy is replaced, and the expiry with it: one that is left out is none.
#[utoipa::path(
    put, path = "/v1/workspaces/{workspace}/secrets/{name}/policy", operation_id = "changePolicy",
    params(OfSecret, IdempotencyKey, IfMatch), request_body = NewPolicy,
    responses((status = 200, description = "The current version is bound to the new policy.", body = ChangedPolicy, headers(("etag" = String, description = "The secret's revision, in quotes."))), PolicyProblems)
)]
pub(crate) async fn change(
    State(this): State<Arc<RewrapSecrets>>,
    mut call: Call,
) -> Result<Response, Problem> {
    let preconditions = Preconditions::of(&call);
    let key = idempotency_key(&call);
    let need = Need {
        secret: Some(call.param("name")),
        idempotency_key: key.as_ref().ok().and_then(Option::as_deref),
        ..Need::new(call.param("workspace"), Permission::ManagePolicies)
    };
    let admitted = this.api.admit(&call.headers, need).await?;
    key?;
    let preconditions = preconditions?;
    let body = call.body(BODY_MAX).await?;
    let request = PolicyRequest::parse(&body, admitted.now)?;
    let fingerprint = call.fingerprint(&admitted.caller, &body);
    if let Some(answer) = admitted.replayed(&fingerprint)? {
        return Ok(answer);
    }
    admitted.not_frozen()?;
    let head = live(&admitted.records).ok_or_else(|| Problem::new(Code::NotFound))?;
    preconditions.hold(Some(head.revision))?;
    note_secret(&head.name, head.stored.version);
    this.change_policy(
        &admitted,
        &call.request_id,
        &request,
        fingerprint,
        &preconditions,
    )
    .await
}

struct PolicyRequest {
    policy: CanonicalPolicy,
    expires_at: Option<OffsetDateTime>,
}

impl PolicyRequest {
    fn parse(body: &[u8], now: OffsetDateTime) -> Result<Self, Problem> {
        let mut fields = Fields::parse(body)?;
        let policy: Value = fields.required("policy", "an object")?;
        let expires_at = fields.time("expires_at")?;
        fields.finish()?;
        if expires_at.is_some_and(|end| end <= now) {
            return Err(Problem::invalid("expires_at", "a time to come"));
        }
        let policy = Policy::parse(&policy, expires_at)
            .map_err(|error| Problem::invalid(error.field, error.rule))?;
        Ok(Self {
            policy: policy.canonical(),
            expires_at,
        })
    }
}

impl RewrapSecrets {
    /// Has KMS bind the head's data key to the new policy, and stores that. Where only a
    /// re-wrap or another key came in between, it is done once more on what is there now.
    async fn change_policy(
        &self,
        admitted: &Admitted,
        request_id: &str,
        request: &PolicyRequest,
        fingerprint: Fingerprint,
        preconditions: &Preconditions,
    ) -> Result<Response, Problem> {
        let absent = || Problem::new(Code::NotFound);
        let mut head = live(&admitted.records).ok_or_else(absent)?.clone();
        let mut binding = admitted.binding()?.clone();
        for _ in 0..TRIES {
            let mut entry = admitted.audit(AuditKind::ChangePolicy, request_id);
            entry.version = Some(head.stored.version);
            let receipt = entry.id.to_string();
            let Rewrapped { wrapped, call: kms } = self
                .bound_to(admitted, &binding, &head, &request.policy, &receipt)
                .await?;
            let answer = answer(&head, request, &wrapped, head.revision.next());
            let revision = Some(head.revision.next());
            let remembered = admitted.remember(fingerprint, StatusCode::OK, &answer, revision);
            let change = ChangePolicy {
                read: &head,
                wrapped: &wrapped,
                policy: request.policy.as_str(),
                expires_at: request.expires_at,
                binding_revision: binding.revision,
                token: &admitted.caller.id,
                idempotency: remembered.as_ref(),
                now: admitted.now,
            };
            let audit = self.audited(entry, Some(kms));
            let workspace = &admitted.caller.workspace;
            let stored = self.api.store.change_policy(workspace, &change, &audit);
            let which = match stored.await {
                Ok(revision) => return Ok(json_at(StatusCode::OK, answer, revision)),
                Err(error) => lost(error)?,
            };
            let now = match self.afterwards(admitted, None, &fingerprint).await? {
                Afterwards::Answered(answer, _) => return Ok(answer),
                Afterwards::Now(records) => records,
            };
            let again = live(&now).filter(|now| may_try_again(which, &head, now));
            match (again, &now.binding) {
                (Some(again), Some(bound)) if !preconditions.any() => {
                    head = again.clone();
                    binding = bound.clone();
                }
                _ => return Err(StoreError::Conflict(which).into()),
            }
        }
        Err(StoreError::Conflict(Which::Head).into())
    }

    /// The head's data key under the new policy's context, and under the current KEK; or
    /// under its own, where that one's Region is out of the current one's reach.
    async fn bound_to(
        &self,
        admitted: &Admitted,
        binding: &Binding,
        head: &LiveHead,
        policy: &CanonicalPolicy,
        receipt: &str,
    ) -> Result<Rewrapped, Problem> {
        let kek = current_kek(binding, self.deployment_key.as_ref())
            .ok_or_else(|| Problem::new(Code::NoWorkspaceKey))?;
        let stored = &head.stored;
        let context = |policy: &str| {
            let workspace = &admitted.caller.workspace;
            self.context(workspace, &head.name, stored.version, policy)
        };
        let (from, to) = (context(&stored.policy), context(policy.as_str()));
        let allowed = self.keks(binding);
        let under = |to_key| RewrapRequest {
            wrapped: &stored.wrapped,
            from: &from,
            to_key,
            to: &to,
            allowed: &allowed,
            receipt: Some(receipt),
            time: KMS_TIME,
        };
        let moved = match self.rewrap.rewrap(under(kek)).await {
            Err(failure) if failure.refusal == Refusal::OtherRegion => {
                self.rewrap.rewrap(under(&stored.wrapped.key)).await
            }
            moved => moved,
        };
        moved.map_err(Problem::from)
    }
}

fn answer(
    head: &LiveHead,
    request: &PolicyRequest,
    wrapped: &WrappedDataKey,
    revision: Revision,
) -> ChangedPolicy {
    ChangedPolicy {
        name: head.name.to_string(),
        version: head.stored.version.number(),
        policy: serde_json::from_str(request.policy.as_str()).unwrap_or_default(),
        wrapped_by: wrapped.key.to_string(),
        key_material_id: wrapped.material.clone(),
        expires_at: request.expires_at.map(rfc3339),
        revision: revision.number(),
    }
}
