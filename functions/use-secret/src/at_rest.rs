//! `GET …/secrets/{name}`: a secret as it lies, and whether it could be opened
//! now. That is asked of KMS, with a DryRun of the very blob, not remembered.

use crate::{
    UseSecret,
    perform::earlier,
    schema::{AtRest, ShowProblems, Verdict},
};
use api::{Call, Code, Need, Problem, json, note_secret, openapi::OfSecret, rfc3339};
use axum::{extract::State, response::Response};
use base64::{Engine, prelude::BASE64_STANDARD};
use envelope::{
    EncryptionContext, KmsFailure, Place, PolicyDigest, Refusal, SecretVersion, kms::UnwrapRequest,
};
use http::StatusCode;
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use store::{Head, Permission};

/// How long KMS may take.
const KMS_TIME: Duration = Duration::from_secs(5);

/// Shows a secret at rest.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace}/secrets/{name}", operation_id = "showSecret",
    params(OfSecret, ("version" = Option<u32>, Query, description = "The current one, if left out.", minimum = 1, maximum = 9_999_999)),
    responses((status = 200, description = "The secret as it is stored.", body = AtRest), ShowProblems)
)]
pub(crate) async fn show(
    State(this): State<Arc<UseSecret>>,
    call: Call,
) -> Result<Response, Problem> {
    let version = wanted_version(&call);
    let need = Need {
        secret: Some(call.param("name")),
        version: version.as_ref().ok().copied().flatten(),
        ..Need::new(call.param("workspace"), Permission::Read)
    };
    let admitted = this.api.admit(&call.headers, need).await?;
    let version = version?;
    let absent = || Problem::new(Code::NotFound);
    let name = admitted.secret.clone().ok_or_else(absent)?;
    let head = admitted
        .records
        .head
        .as_ref()
        .and_then(Head::live)
        .ok_or_else(absent)?;
    let stored = match version {
        Some(version) if version != head.stored.version => earlier(&admitted.records)?,
        _ => &head.stored,
    };
    note_secret(&name, stored.version);
    let place = Place {
        broker: this.api.broker.clone(),
        workspace: admitted.caller.workspace.clone(),
        name: name.clone(),
        version: stored.version,
    };
    let keys = this.keys(admitted.binding()?);
    let asked = this
        .unwrap
        .would_unwrap(UnwrapRequest {
            wrapped: &stored.wrapped,
            context: &EncryptionContext::new(&place, &PolicyDigest::of(stored.policy.as_bytes())),
            allowed: &keys,
            receipt: None,
            grant_tokens: &[],
            time: KMS_TIME,
        })
        .await;
    let kms = verdict(asked)?;
    Ok(json(
        StatusCode::OK,
        AtRest {
            name: name.to_string(),
            version: stored.version.number(),
            form: stored.form.as_str(),
            ciphertext: BASE64_STANDARD.encode(stored.sealed.as_bytes()),
            wrapped_key: BASE64_STANDARD.encode(&stored.wrapped.ciphertext),
            wrapped_by: stored.wrapped.key.to_string(),
            key_material_id: stored.wrapped.material.clone(),
            broker_can_decrypt: kms.refused.is_none(),
            kms,
            policy: serde_json::from_str(&stored.policy).unwrap_or(Value::Null),
            put_at: rfc3339(stored.put_at),
            expires_at: stored.expires_at.map(rfc3339),
            revision: head.revision.number(),
        },
    ))
}

/// KMS's answer. A fault that says nothing of the key is no answer.
fn verdict(asked: Result<String, KmsFailure>) -> Result<Verdict, Problem> {
    match asked {
        Ok(request_id) => Ok(Verdict {
            request_id: Some(request_id),
            refused: None,
        }),
        Err(failure) if failure.refusal.is_definite() || failure.refusal == Refusal::Integrity => {
            let request_id = failure.request_ids.last().cloned();
            let code = Problem::from(failure).code();
            Ok(Verdict {
                request_id,
                refused: Some(code.as_str()),
            })
        }
        Err(failure) => Err(failure.into()),
    }
}

fn wanted_version(call: &Call) -> Result<Option<SecretVersion>, Problem> {
    let query = call.query(&["version"])?;
    let Some(text) = query.get("version") else {
        return Ok(None);
    };
    let wrong = || Problem::invalid("version", "a whole number from 1 to 9999999");
    let number = text.parse().map_err(|_| wrong())?;
    SecretVersion::new(number).map(Some).map_err(|_| wrong())
}
