//! put-secret: seals a new version of a secret.
//!
//! ```text
//! parse -> admit (token, binding, freeze, head, idempotency in one read)
//!       -> GenerateDataKey at the customer's KMS, under name, version and policy
//!       -> seal -> one transaction: head, archive, conditions, idempotency, audit
//! ```
//!
//! It can make data keys and cannot open them: it holds [`Wrap`] alone.

mod request;
mod schema;

use api::{Admitted, Api, Call, Code, Need, Problem, json, note_secret, openapi::OfSecret};
use axum::{extract::State, response::Response};
use envelope::{EncryptionContext, Place, kms::Wrap, seal};
use http::{HeaderValue, StatusCode, header};
use request::PutRequest;
use schema::{NewVersion, PutProblems, PutVersion};
use std::{sync::Arc, time::Duration};
use store::{
    AuditKind, AuditOutcome, AuditRecord, Head, IdempotencyRecord, Permission, PutSecret as Put,
    Revision, StoreError, StoredVersion, Wanted,
};
use utoipa_axum::{router::OpenApiRouter, routes};

/// The largest body: 64 KiB of value, escaped or in base64, beside the largest policy.
const BODY_MAX: usize = 512 * 1024;
/// How long KMS may take, retries included.
const KMS_TIME: Duration = Duration::from_secs(8);
/// How long an `Idempotency-Key` is remembered.
const REMEMBERED: time::Duration = time::Duration::hours(24);

/// What the function needs: to make data keys, and the records.
pub struct PutSecret {
    /// What all functions share.
    pub api: Api,
    /// Makes data keys.
    pub wrap: Wrap,
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
        OfSecret,
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters: the same request again, within 24 hours, is answered as it was.", min_length = 1, max_length = 255),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of an earlier answer: only if nothing came in between."),
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
    let admitted = this.api.admit(&call.headers, need).await?;
    let Some(name) = admitted.secret.clone() else {
        return Err(Problem::invalid(
            "name",
            "1 to 128 lower-case letters, digits, dots, underscores or hyphens, beginning with a letter or digit",
        ));
    };
    key?;
    let preconditions = preconditions?;
    let body = call.secret_body(BODY_MAX).await?;
    // EXPOSE: parsed in place; the value goes into a secret of its own.
    let request = PutRequest::parse(body.expose_secret(), admitted.now)?;
    drop(body);
    let fingerprint =
        request.fingerprint(&admitted.caller, &name, call.headers.get(header::IF_MATCH));

    if let Some(known) = admitted
        .records
        .idempotency
        .as_ref()
        .filter(|known| !known.is_expired(admitted.now))
    {
        return replay(&name, known, &fingerprint);
    }
    admitted.not_frozen()?;
    let former = admitted.records.head.as_ref();
    preconditions.hold(former)?;
    let binding = admitted.binding()?;
    let Some(kek) = &binding.current else {
        return Err(Problem::new(Code::NoWorkspaceKey));
    };
    let Some(version) = Head::next_version(former) else {
        return Err(Problem::new(Code::Conflict).because("This secret has had its last version."));
    };
    note_secret(&name, version);

    let place = Place {
        broker: this.api.broker.clone(),
        workspace: admitted.caller.workspace.clone(),
        name: name.clone(),
        version,
    };
    let context = EncryptionContext::new(&place, &request.policy.digest());
    let made = this.wrap.generate(kek, &context, &[], KMS_TIME).await?;
    let new = StoredVersion {
        version,
        sealed: seal(made.key, &place, &request.value),
        wrapped: made.wrapped,
        policy: request.policy.as_str().to_owned(),
        form: request.form,
        put_at: admitted.now,
        expires_at: request.expires_at,
    };
    let remembered = admitted.idempotency.clone().map(|id| IdempotencyRecord {
        id,
        fingerprint,
        version,
        wrapped_by: new.wrapped.key.clone(),
        material: new.wrapped.material.clone(),
        revision: Head::next_revision(former),
        expires_at: admitted.now + REMEMBERED,
    });
    let audit = this.audit(&admitted, &call, &new, made.call);
    let put = Put {
        name: &name,
        former,
        new: &new,
        binding_revision: binding.revision,
        token: &admitted.caller.id,
        idempotency: remembered.as_ref(),
        now: admitted.now,
    };
    match this
        .api
        .store
        .put_secret(&admitted.caller.workspace, &put, &audit)
        .await
    {
        Ok(revision) => Ok(created(&name, &new, revision)),
        // The same request may have won elsewhere: then its answer is the answer.
        Err(StoreError::Conflict(which)) => match this.known(&admitted).await? {
            Some(known) => replay(&name, &known, &fingerprint),
            None => Err(StoreError::Conflict(which).into()),
        },
        Err(error) => Err(error.into()),
    }
}

impl PutSecret {
    fn audit(
        &self,
        admitted: &Admitted,
        call: &Call,
        new: &StoredVersion,
        kms: envelope::kms::KmsCall,
    ) -> AuditRecord {
        let mut entry = admitted.audit(AuditKind::Put, &call.request_id);
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

    /// The unexpired idempotency record of this request, read again.
    async fn known(&self, admitted: &Admitted) -> Result<Option<IdempotencyRecord>, Problem> {
        if admitted.idempotency.is_none() {
            return Ok(None);
        }
        let wanted = Wanted {
            token: &admitted.caller.id,
            secret: None,
            version: None,
            idempotency: admitted.idempotency.as_ref(),
            state: false,
        };
        let records = self
            .api
            .store
            .read(&admitted.caller.workspace, wanted)
            .await?;
        Ok(records
            .idempotency
            .filter(|known| !known.is_expired(admitted.now)))
    }
}

fn created(name: &envelope::SecretName, new: &StoredVersion, revision: Revision) -> Response {
    answer(
        name,
        new.version,
        &new.wrapped.key,
        new.wrapped.material.as_deref(),
        revision,
    )
}

fn replay(
    name: &envelope::SecretName,
    known: &IdempotencyRecord,
    fingerprint: &[u8; 32],
) -> Result<Response, Problem> {
    if known.fingerprint != *fingerprint {
        return Err(Problem::new(Code::Conflict)
            .because("This Idempotency-Key was used for a different request."));
    }
    Ok(answer(
        name,
        known.version,
        &known.wrapped_by,
        known.material.as_deref(),
        known.revision,
    ))
}

fn answer(
    name: &envelope::SecretName,
    version: envelope::SecretVersion,
    wrapped_by: &envelope::KeyArn,
    material: Option<&str>,
    revision: Revision,
) -> Response {
    let put = PutVersion {
        name: name.to_string(),
        version: version.number(),
        wrapped_by: wrapped_by.to_string(),
        key_material_id: material.map(str::to_owned),
        revision: revision.number(),
    };
    let mut response = json(StatusCode::CREATED, put);
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", revision.number())) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// `Idempotency-Key`: 1 to 255 visible characters of the caller's choice.
fn idempotency_key(call: &Call) -> Result<Option<String>, Problem> {
    match call.header("idempotency-key")? {
        Some(key) if !(1..=255).contains(&key.len()) => {
            Err(Problem::invalid("idempotency-key", "1 to 255 characters"))
        }
        key => Ok(key.map(str::to_owned)),
    }
}

/// `If-Match: "<revision>"` or `If-None-Match: *` (RFC 9110, section 13.1).
struct Preconditions {
    revision: Option<u64>,
    absent: bool,
}

impl Preconditions {
    fn of(call: &Call) -> Result<Self, Problem> {
        let revision = match call.header("if-match")? {
            None => None,
            Some(tag) => Some(
                tag.strip_prefix('"')
                    .and_then(|tag| tag.strip_suffix('"'))
                    .and_then(|number| number.parse().ok())
                    .ok_or_else(|| Problem::invalid("if-match", "the ETag of an earlier answer"))?,
            ),
        };
        let absent = match call.header("if-none-match")? {
            None => false,
            Some("*") => true,
            Some(_) => return Err(Problem::invalid("if-none-match", "*")),
        };
        Ok(Self { revision, absent })
    }

    fn hold(&self, head: Option<&Head>) -> Result<(), Problem> {
        let live = head.and_then(Head::live);
        let matches = self
            .revision
            .is_none_or(|wanted| live.is_some_and(|head| head.revision.number() == wanted));
        if matches && !(self.absent && live.is_some()) {
            Ok(())
        } else {
            Err(Problem::new(Code::PreconditionFailed))
        }
    }
}
