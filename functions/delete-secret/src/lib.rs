//! delete-secret: deletes a secret with all of its versions.
//!
//! What is deleted is ciphertext and wrapped data keys: with the wrapped keys goes the
//! only way to the values (crypto-shredding), but for copies in the table's backups, which
//! open under the same KEK until they expire or the KEK is cut. A tombstone stays, which
//! holds no more than the last version's number, so that no number is used twice.
//!
//! It holds no right to any customer's key.

use api::{
    Admitted, Api, Call, Code, Need, Preconditions, Problem, idempotency_key, no_content,
    openapi::{IdempotencyKey, IfMatch, OfSecret},
    outcome, problems,
};
use axum::{extract::State, response::Response};
use envelope::SecretName;
use http::StatusCode;
use std::sync::Arc;
use store::{AuditKind, AuditRecord, Head, Permission};
use utoipa_axum::{router::OpenApiRouter, routes};

problems!(DeleteProblems: Conflict, PreconditionFailed);

/// What the function needs: the records alone.
pub struct DeleteSecret {
    /// What all functions share.
    pub api: Api,
}

/// The function's routes.
pub fn routes(function: DeleteSecret) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(delete))
        .with_state(Arc::new(function))
}

/// Deletes a secret with all of its versions.
///
/// A frozen workspace's secrets can be deleted too: a freeze stops uses and puts.
#[utoipa::path(
    delete, path = "/v1/workspaces/{workspace}/secrets/{name}", operation_id = "deleteSecret",
    params(OfSecret, IdempotencyKey, IfMatch),
    responses((status = 204, description = "The secret is no more, nor any of its versions."), DeleteProblems)
)]
async fn delete(State(this): State<Arc<DeleteSecret>>, call: Call) -> Result<Response, Problem> {
    let preconditions = Preconditions::of(&call);
    let key = idempotency_key(&call);
    let need = Need {
        secret: Some(call.param("name")),
        idempotency_key: key.as_ref().ok().and_then(Option::as_deref),
        ..Need::new(call.param("workspace"), Permission::WriteSecrets)
    };
    let admitted = this.api.admit(&call.headers, need).await?;
    key?;
    let preconditions = preconditions?;
    let fingerprint = call.fingerprint(&admitted.caller, &[]);
    let replayed = admitted.replayed(&fingerprint)?;
    if let Some(answer) = replayed {
        // The tombstone may be all that the first time came to.
        if let (Some(name), Some(head @ Head::Deleted(_))) =
            (&admitted.secret, &admitted.records.head)
        {
            this.finish(&admitted, &call.request_id, name, head).await?;
        }
        return Ok(answer);
    }
    let absent = || Problem::new(Code::NotFound);
    let name = admitted.secret.as_ref().ok_or_else(absent)?;
    let head = admitted.records.head.as_ref().ok_or_else(absent)?;
    preconditions.hold(head.live().map(|head| head.revision))?;
    let mut entry = admitted.audit(AuditKind::Delete, &call.request_id);
    entry.version = head.live().map(|head| head.stored.version);
    let audit = AuditRecord {
        outcome: Some(outcome("ok", admitted.now, this.api.clock.now())),
        entry,
    };
    let remembered = admitted.remember(fingerprint, StatusCode::NO_CONTENT, &(), None);
    let (workspace, stamp) = (&admitted.caller.workspace, head.stamp());
    // Of a tombstone it deletes what an interrupted deletion left, and writes nothing.
    this.api
        .store
        .delete_secret(workspace, name, &stamp, remembered.as_ref(), &audit)
        .await?;
    match head {
        Head::Live(_) => Ok(no_content()),
        Head::Deleted(_) => Err(absent()),
    }
}

impl DeleteSecret {
    /// Deletes what an interrupted deletion left below a tombstone.
    async fn finish(
        &self,
        admitted: &Admitted,
        request_id: &str,
        name: &SecretName,
        head: &Head,
    ) -> Result<(), Problem> {
        let audit = admitted.audit(AuditKind::Delete, request_id);
        let (workspace, stamp) = (&admitted.caller.workspace, head.stamp());
        let store = &self.api.store;
        store
            .delete_secret(workspace, name, &stamp, None, &audit)
            .await?;
        Ok(())
    }
}
