//! put-secret: seals a new version of a secret.
//!
//! ```text
//! admit (token, binding, freeze, head, idempotency in one read) -> parse
//!       -> at once: GenerateDataKey at the customer's KMS, under name, version and
//!          policy; the MACs of token and binding
//!       -> seal -> one transaction: head, archive, conditions, idempotency, audit
//! ```
//!
//! It can make data keys and cannot open them: it holds [`Wrap`] alone.

mod request;
mod schema;

use api::{
    Admitted, Api, Call, Code, Fingerprint, Need, Preconditions, Problem, Verifying, current_kek,
    idempotency_key, json_at, note_secret,
    openapi::{IdempotencyKey, IfMatch, OfSecret},
};
use axum::{extract::State, response::Response};
use envelope::{EncryptionContext, KeyArn, Place, SecretName, kms::Wrap, seal};
use http::{HeaderValue, StatusCode, header};
use request::PutRequest;
use schema::{NewVersion, PutProblems, PutVersion};
use std::{sync::Arc, time::Duration};
use store::{
    AuditKind, AuditOutcome, AuditRecord, Head, Permission, PutSecret as Put, Revision, StoreError,
    StoredVersion, Wanted, Which,
};
use utoipa_axum::{router::OpenApiRouter, routes};

/// The largest body: 64 KiB of value, escaped or in base64, beside the largest policy.
const BODY_MAX: usize = 512 * 1024;
/// How long KMS may take, retries included.
const KMS_TIME: Duration = Duration::from_secs(8);
/// How often a version is stored where re-wraps and changes of policy get in between.
const TRIES: u32 = 4;

/// What the function needs: to make data keys, and the records.
pub struct PutSecret {
    /// What all functions share.
    pub api: Api,
    /// Makes data keys.
    pub wrap: Wrap,
    /// The deployment's own KEK, for a workspace whose binding says that it has none.
    pub deployment_key: Option<KeyArn>,
}

/// The function's routes.
pub fn routes(function: PutSecret) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(put))
        .with_state(Arc::new(function))
}

/// Puts a new version.
#[utoipa::path(
    put, path = "/v1/workspaces/{workspace}/secrets/{name}", operation_id = "putSecret",
    params(
        OfSecret, IdempotencyKey, IfMatch,
        ("If-None-Match" = Option<String>, Header, description = "`*`: only if there is no such secret.", pattern = "^\\*$"),
    ),
    request_body = NewVersion,
    responses(
        (status = 201, description = "The new version is sealed and stored.", body = PutVersion, headers(("etag" = String, description = "The secret's revision, in quotes."))),
        PutProblems,
    )
)]
async fn put(State(this): State<Arc<PutSecret>>, mut call: Call) -> Result<Response, Problem> {
    let preconditions = Preconditions::of(&call);
    let key = idempotency_key(&call);
    let need = Need {
        secret: Some(call.param("name")),
        idempotency_key: key.as_ref().ok().and_then(Option::as_deref),
        ..Need::new(call.param("workspace"), Permission::WriteSecrets)
    };
    let (admitted, verifying) = this.api.admit_beside(&call.headers, need).await?;
    let put = async {
        key?;
        let preconditions = preconditions?;
        let body = call.secret_body(BODY_MAX).await?;
        // EXPOSE: parsed in place; the value goes into a secret of its own.
        let request = PutRequest::parse(body.expose_secret(), admitted.now)?;
        drop(body);
        let of = Request {
            id: &call.request_id,
            if_match: call.headers.get(header::IF_MATCH),
        };
        this.put(&admitted, &verifying, of, request, preconditions)
            .await
    };
    verifying.answer(put).await
}

/// What a put needs of its request beside the body.
struct Request<'a> {
    id: &'a str,
    if_match: Option<&'a HeaderValue>,
}

impl PutSecret {
    async fn put(
        &self,
        admitted: &Admitted,
        verifying: &Verifying,
        of: Request<'_>,
        request: PutRequest,
        preconditions: Preconditions,
    ) -> Result<Response, Problem> {
        let Some(name) = admitted.secret.clone() else {
            return Err(Problem::invalid(
                "name",
                "1 to 128 lower-case letters, digits, dots, underscores or hyphens, beginning with a letter or digit",
            ));
        };
        let fingerprint = request.fingerprint(&admitted.caller, &name, of.if_match);
        if let Some(answer) = admitted.replayed(&fingerprint)? {
            return Ok(answer);
        }
        admitted.not_frozen()?;
        let former = admitted.records.head.as_ref();
        preconditions.hold(live(former))?;
        let binding = admitted.binding()?;
        let Some(kek) = current_kek(binding, self.deployment_key.as_ref()) else {
            return Err(Problem::new(Code::NoWorkspaceKey));
        };
        let Some(version) = Head::next_version(former) else {
            return Err(
                Problem::new(Code::Conflict).because("This secret has had its last version.")
            );
        };
        note_secret(&name, version);

        let place = Place {
            broker: self.api.broker.clone(),
            workspace: admitted.caller.workspace.clone(),
            name: name.clone(),
            version,
        };
        let context = EncryptionContext::new(&place, &request.policy.digest());
        let made = self.wrap.generate(kek, &context, &[], KMS_TIME);
        // KMS and the MACs are asked at once; nothing is sealed before these have passed.
        let (made, passed) = tokio::join!(made, verifying.passed());
        passed?;
        let made = made?;
        let new = StoredVersion {
            version,
            sealed: seal(made.key, &place, &request.value),
            wrapped: made.wrapped,
            policy: request.policy.as_str().to_owned(),
            form: request.form,
            put_at: admitted.now,
            expires_at: request.expires_at,
        };
        let audit = self.audit(admitted, of.id, &new, made.call);
        self.store(admitted, &name, &new, fingerprint, &audit, &preconditions)
            .await
    }

    /// Stores the version. Where only a re-wrap or a change of policy came in between, the
    /// number and the wrap are still right, and it is tried once more on what is there now.
    async fn store(
        &self,
        admitted: &Admitted,
        name: &SecretName,
        new: &StoredVersion,
        fingerprint: Fingerprint,
        audit: &AuditRecord,
        preconditions: &Preconditions,
    ) -> Result<Response, Problem> {
        let binding = admitted.binding()?.revision;
        let mut former = admitted.records.head.clone();
        for _ in 0..TRIES {
            let revision = Head::next_revision(former.as_ref());
            let answer = answer(name, new, revision);
            let idempotency =
                admitted.remember(fingerprint, StatusCode::CREATED, &answer, Some(revision));
            let put = Put {
                name,
                former: former.as_ref(),
                new,
                binding_revision: binding,
                token: &admitted.caller.id,
                idempotency: idempotency.as_ref(),
                now: admitted.now,
            };
            let workspace = &admitted.caller.workspace;
            let which = match self.api.store.put_secret(workspace, &put, audit).await {
                Ok(revision) => return Ok(json_at(StatusCode::CREATED, answer, revision)),
                Err(StoreError::Conflict(which)) => which,
                Err(error) => return Err(error.into()),
            };
            let lost = || Problem::from(StoreError::Conflict(which));
            let wanted = Wanted {
                token: &admitted.caller.id,
                secret: Some(name),
                version: None,
                idempotency: admitted.idempotency.as_ref(),
                state: false,
            };
            let records = self.api.read_again(&admitted.caller, wanted).await?;
            // The same request may have won elsewhere: then its answer is the answer.
            let known = records.idempotency.as_ref();
            if let Some(known) = known.filter(|known| !known.is_expired(admitted.now)) {
                return admitted.caller.replay(known, &fingerprint);
            }
            let same_number = Head::next_version(records.head.as_ref()) == Some(new.version);
            if which != Which::Head || !same_number || preconditions.any() {
                return Err(lost());
            }
            former = records.head;
        }
        Err(StoreError::Conflict(Which::Head).into())
    }
    fn audit(
        &self,
        admitted: &Admitted,
        request_id: &str,
        new: &StoredVersion,
        kms: envelope::kms::KmsCall,
    ) -> AuditRecord {
        let mut entry = admitted.audit(AuditKind::Put, request_id);
        entry.version = Some(new.version);
        let outcome = AuditOutcome {
            kms_request_id: Some(kms.request_id),
            kms_attempts: kms.earlier,
            key_material: kms.material,
            ..api::outcome("ok", admitted.now, self.api.clock.now())
        };
        AuditRecord {
            entry,
            outcome: Some(outcome),
        }
    }
}

fn live(head: Option<&Head>) -> Option<Revision> {
    head.and_then(Head::live).map(|head| head.revision)
}

fn answer(name: &SecretName, new: &StoredVersion, revision: Revision) -> PutVersion {
    PutVersion {
        name: name.to_string(),
        version: new.version.number(),
        wrapped_by: new.wrapped.key.to_string(),
        key_material_id: new.wrapped.material.clone(),
        revision: revision.number(),
    }
}
