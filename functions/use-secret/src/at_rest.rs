//! `GET …/secrets/{name}`: a secret as it lies, and whether it could be opened
//! now. That is asked of KMS, with a DryRun of the very blob, not remembered.

use crate::UseSecret;
use api::{Call, Code, Need, Problem, json, note_secret, rfc3339};
use axum::{extract::State, response::Response};
use base64::{Engine, prelude::BASE64_STANDARD};
use envelope::{
    EncryptionContext, KmsFailure, Place, PolicyDigest, Refusal, SecretVersion, kms::UnwrapRequest,
};
use http::StatusCode;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use store::{Head, Permission};

/// How long KMS may take.
const KMS_TIME: Duration = Duration::from_secs(5);

/// Shows a secret at rest.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace}/secrets/{name}", operation_id = "showSecret",
    params(("workspace" = String, Path), ("name" = String, Path), ("version" = Option<u32>, Query)),
    responses((status = 200, description = "The secret as it is stored."))
)]
pub(crate) async fn show(
    State(this): State<Arc<UseSecret>>,
    call: Call,
) -> Result<Response, Problem> {
    let version = wanted_version(&call);
    let need = Need {
        workspace: call.param("workspace"),
        permissions: &[Permission::Read],
        secret: Some(call.param("name")),
        version: version.as_ref().ok().copied().flatten(),
        ..Need::default()
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
        Some(version) if version != head.stored.version => {
            admitted.records.version.as_ref().ok_or_else(absent)?
        }
        _ => &head.stored,
    };
    note_secret(&name, stored.version);
    let place = Place {
        broker: this.api.broker.clone(),
        workspace: admitted.caller.workspace.clone(),
        name: name.clone(),
        version: stored.version,
    };
    let keys = admitted.binding()?.keys();
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
    let (can_decrypt, kms) = verdict(asked)?;
    let policy: Value = serde_json::from_str(&stored.policy).unwrap_or(Value::Null);
    Ok(json(
        StatusCode::OK,
        json!({
            "name": name.as_str(),
            "version": stored.version.number(),
            "form": stored.form.as_str(),
            "ciphertext": BASE64_STANDARD.encode(stored.sealed.as_bytes()),
            "wrappedKey": BASE64_STANDARD.encode(&stored.wrapped.ciphertext),
            "wrappedBy": stored.wrapped.key.as_str(),
            "keyMaterialId": stored.wrapped.material,
            "brokerCanDecrypt": can_decrypt,
            "kms": kms,
            "policy": policy,
            "putAt": rfc3339(stored.put_at),
            "expiresAt": stored.expires_at.map(rfc3339),
            "revision": head.revision.number(),
        }),
    ))
}

/// KMS's answer. A fault that says nothing of the key is no answer.
fn verdict(asked: Result<String, KmsFailure>) -> Result<(bool, Value), Problem> {
    match asked {
        Ok(request_id) => Ok((true, json!({"requestId": request_id}))),
        Err(failure) if failure.refusal.is_definite() || failure.refusal == Refusal::Integrity => {
            let request_id = failure.request_ids.last().cloned();
            let code = Problem::from(failure).code();
            Ok((
                false,
                json!({"requestId": request_id, "refused": code.as_str()}),
            ))
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
