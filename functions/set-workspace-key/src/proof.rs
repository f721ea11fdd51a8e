//! The proof that a key works for a workspace.

use crate::{SetWorkspaceKey, schema::Probe};
use api::{Code, Problem};
use envelope::{
    EncryptionContext, KeyArn, KeyPolicy, KmsFailure, KmsOperation, Refusal, WorkspaceId,
    kms::{KeyDescription, KeyState, UnwrapRequest},
};
use std::time::Duration;
use store::AuditOutcome;
use time::OffsetDateTime;

/// How long each call of the proof may take.
const CALL: Duration = Duration::from_secs(5);

/// A key that works: the calls that showed it.
pub(crate) struct Proof {
    generate: String,
    decrypt: String,
    material: Option<String>,
    /// Looking at a key is not needed to use it; without it nobody can warn of its end.
    describe: Result<String, String>,
}

impl Proof {
    /// The calls, for the answer.
    pub(crate) fn probes(&self) -> Vec<Probe> {
        let allowed = |operation: KmsOperation, request_id: &str| Probe {
            operation: operation.as_str(),
            result: "allowed".to_owned(),
            kms_request_id: Some(request_id.to_owned()),
        };
        let describe = match &self.describe {
            Ok(request_id) => allowed(KmsOperation::DescribeKey, request_id),
            Err(why) => Probe {
                operation: KmsOperation::DescribeKey.as_str(),
                result: why.clone(),
                kms_request_id: None,
            },
        };
        vec![
            allowed(KmsOperation::GenerateDataKey, &self.generate),
            allowed(KmsOperation::Decrypt, &self.decrypt),
            describe,
        ]
    }

    /// The evidence that is stored beside the state.
    pub(crate) fn evidence(&self) -> String {
        format!(
            "GenerateDataKey {}; Decrypt {}",
            self.generate, self.decrypt
        )
    }

    /// The audit record's end.
    pub(crate) fn outcome(&self, began: OffsetDateTime, now: OffsetDateTime) -> AuditOutcome {
        AuditOutcome {
            kms_request_id: Some(self.decrypt.clone()),
            kms_attempts: vec![self.generate.clone()],
            key_material: self.material.clone(),
            ..api::outcome("ok", began, now)
        }
    }
}

impl SetWorkspaceKey {
    /// Makes a data key under the workspace's own context and unwraps it again;
    /// then looks at the key, to refuse one that is of the wrong kind.
    pub(crate) async fn prove(
        &self,
        key: &KeyArn,
        workspace: &WorkspaceId,
        grant_tokens: &[String],
    ) -> Result<Proof, Problem> {
        let context = EncryptionContext::probe(&self.api.broker, workspace);
        let made = match self.wrap.generate(key, &context, grant_tokens, CALL).await {
            Ok(made) => made,
            Err(failure) => return Err(self.explain(failure, key, workspace, grant_tokens).await),
        };
        let request = UnwrapRequest {
            wrapped: &made.wrapped,
            context: &context,
            allowed: std::slice::from_ref(key),
            receipt: None,
            grant_tokens,
            time: CALL,
        };
        let opened = match self.unwrap.unwrap(request).await {
            Ok(opened) => opened,
            Err(failure) => return Err(self.explain(failure, key, workspace, grant_tokens).await),
        };
        if !opened.key.is_same_as(&made.key) {
            return Err(Problem::new(Code::IntegrityFailure)
                .from_source("KMS unwrapped another data key than it made"));
        }
        let describe = match self.inspect.describe(key, grant_tokens, CALL).await {
            Ok(description) => {
                refuse_wrong_kind(&description)?;
                Ok(description.request_id)
            }
            Err(failure) if failure.refusal == Refusal::AccessDenied => Err("denied".to_owned()),
            Err(_) => Err("unanswered".to_owned()),
        };
        Ok(Proof {
            generate: made.call.request_id,
            decrypt: opened.call.request_id,
            material: opened.call.material,
            describe,
        })
    }

    /// Turns a refused call into words that the customer can act on.
    async fn explain(
        &self,
        failure: KmsFailure,
        key: &KeyArn,
        workspace: &WorkspaceId,
        grant_tokens: &[String],
    ) -> Problem {
        let operation = failure.operation;
        let (refusal, request_ids) = (failure.refusal, failure.request_ids.clone());
        if refusal == Refusal::Unsupported {
            // KMS says that the key cannot do this; a look at it says why.
            let why = match self.inspect.describe(key, grant_tokens, CALL).await {
                Ok(description) => refuse_wrong_kind(&description).err(),
                Err(_) => None,
            };
            return why.unwrap_or_else(wrong_kind);
        }
        let mut problem = Problem::from(failure);
        if refusal.is_definite() {
            problem = problem
                .because(format!("KMS refused {operation}. Nothing was stored."))
                .with("operation", operation.as_str())
                .with("kmsRequestIds", request_ids);
        }
        if refusal == Refusal::AccessDenied {
            let policy = KeyPolicy {
                role: &self.broker_role,
                broker: &self.api.broker,
                workspace,
            };
            problem = problem.with("missingStatement", policy.statement(operation));
        }
        problem
    }
}

/// A key that works but must not be bound, or a key that cannot work.
fn refuse_wrong_kind(description: &KeyDescription) -> Result<(), Problem> {
    let refuse = |rule: &str| Err(Problem::invalid("key", rule));
    if description.manager == "AWS" {
        return refuse(
            "a key that the customer manages; this one is managed by AWS, so its policy cannot be changed",
        );
    }
    if description.usage == "GENERATE_VERIFY_MAC" {
        return refuse("a symmetric encryption key; this one is an HMAC key");
    }
    if description.usage != "ENCRYPT_DECRYPT" {
        return refuse("a key whose usage is ENCRYPT_DECRYPT; this one signs or agrees on keys");
    }
    if description.spec != "SYMMETRIC_DEFAULT" {
        return refuse("a symmetric encryption key; this one is asymmetric");
    }
    // It worked a moment ago: whoever owns it was quicker.
    match description.state {
        KeyState::Enabled => Ok(()),
        KeyState::Disabled => Err(Problem::new(Code::KeyDisabled)),
        KeyState::PendingDeletion => Err(Problem::new(Code::KeyPendingDeletion)),
        KeyState::PendingImport => Err(Problem::new(Code::KeyMaterialMissing)),
        KeyState::Transient => Err(Problem::new(Code::KmsUnavailable)),
    }
}

fn wrong_kind() -> Problem {
    Problem::invalid(
        "key",
        "a symmetric encryption key (SYMMETRIC_DEFAULT, ENCRYPT_DECRYPT) that the customer manages",
    )
}
