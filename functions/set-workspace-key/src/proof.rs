//! The proof that a key works for a workspace, and for no other.

use crate::{SetWorkspaceKey, fence::Fence, schema::Probe};
use api::{Code, Problem};
use envelope::{
    EncryptionContext, Job, KeyArn, KeyName, KeyPolicy, KmsFailure, KmsOperation, Refusal,
    WorkspaceId,
    kms::{KeyDescription, KeyState, KmsCall, UnwrapRequest},
};
use serde_json::json;
use std::time::Duration;
use store::{AuditOutcome, Grade};
use time::OffsetDateTime;

/// How long each call of the proof may take.
pub(crate) const CALL: Duration = Duration::from_secs(5);

/// A key that works: the calls that showed it, and how well it is fenced.
pub(crate) struct Proof {
    /// The key itself, where it was named by an alias.
    pub(crate) key: KeyArn,
    pub(crate) grade: Grade,
    probes: Vec<Probe>,
    generate: String,
    decrypt: String,
    material: Option<String>,
}

impl Proof {
    /// The calls, for the answer.
    pub(crate) fn probes(&self) -> &[Probe] {
        &self.probes
    }

    /// The calls, for the record.
    pub(crate) fn probes_json(&self) -> String {
        serde_json::to_string(&self.probes).unwrap_or_default()
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
    /// Proves a key for a workspace. The calls that a context can fence come first, and
    /// as dry runs: where the key is another's, its owner's log shows denials alone.
    pub(crate) async fn prove(
        &self,
        name: &KeyName,
        workspace: &WorkspaceId,
        grant_tokens: &[String],
    ) -> Result<Proof, Problem> {
        let resolved = self.resolve(name, workspace, grant_tokens).await?;
        let name = KeyName::from(resolved.clone());
        let mut probes = match self.ask_own(&name, workspace, grant_tokens).await {
            Ok(probes) => probes,
            Err(failure) => {
                return Err(self.explain(failure, &name, workspace, grant_tokens).await);
            }
        };
        let fence = self.ask_fence(&name, workspace, grant_tokens).await?;
        let grade = fence.grade();
        if grade == Grade::Permissive && !self.accepts_permissive {
            return Err(self.too_open(&fence, workspace));
        }
        probes.extend(fence.probes);

        let (made, opened) = self.round_trip(&resolved, workspace, grant_tokens).await?;
        probes.push(done(KmsOperation::GenerateDataKey, &made));
        probes.push(done(KmsOperation::Decrypt, &opened));
        probes.push(
            match self.inspect.describe(&name, grant_tokens, CALL).await {
                Ok(description) => {
                    refuse_wrong_kind(&description)?;
                    Probe {
                        operation: KmsOperation::DescribeKey.as_str(),
                        context: None,
                        result: "allowed",
                        kms_request_id: Some(description.request_id),
                    }
                }
                // Looking at a key is not needed to use it; without it nobody can warn of its end.
                Err(failure) => Probe {
                    operation: KmsOperation::DescribeKey.as_str(),
                    context: None,
                    result: match failure.refusal {
                        Refusal::AccessDenied => "denied",
                        _ => "unanswered",
                    },
                    kms_request_id: failure.request_ids.last().cloned(),
                },
            },
        );
        Ok(Proof {
            key: resolved,
            grade,
            probes,
            generate: made.request_id,
            decrypt: opened.request_id,
            material: opened.material,
        })
    }

    /// The key behind a name. An alias is looked at only if it does the workspace's own
    /// jobs: no context goes with DescribeKey, so none could fence it. The record keeps the
    /// key's own ARN, so that nobody can point the alias elsewhere afterwards.
    async fn resolve(
        &self,
        name: &KeyName,
        workspace: &WorkspaceId,
        grant_tokens: &[String],
    ) -> Result<KeyArn, Problem> {
        if let KeyName::Key(key) = name {
            return Ok(key.clone());
        }
        if let Err(failure) = self.ask_own(name, workspace, grant_tokens).await {
            return Err(self.explain(failure, name, workspace, grant_tokens).await);
        }
        match self.inspect.describe(name, grant_tokens, CALL).await {
            Ok(description) => Ok(description.arn),
            Err(failure) => Err(self.explain(failure, name, workspace, grant_tokens).await),
        }
    }

    /// Makes a data key under the workspace's own context and unwraps it again.
    async fn round_trip(
        &self,
        key: &KeyArn,
        workspace: &WorkspaceId,
        grant_tokens: &[String],
    ) -> Result<(KmsCall, KmsCall), Problem> {
        let context = EncryptionContext::probe(&self.api.broker, workspace);
        let name = KeyName::from(key.clone());
        let made = match self.wrap.generate(key, &context, grant_tokens, CALL).await {
            Ok(made) => made,
            Err(failure) => {
                return Err(self.explain(failure, &name, workspace, grant_tokens).await);
            }
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
            Err(failure) => {
                return Err(self.explain(failure, &name, workspace, grant_tokens).await);
            }
        };
        if !opened.key.is_same_as(&made.key) {
            return Err(Problem::new(Code::IntegrityFailure)
                .from_source("KMS unwrapped another data key than it made"));
        }
        Ok((made.call, opened.call))
    }

    /// A key that serves others, too: which jobs, and the statements that mend it.
    fn too_open(&self, fence: &Fence, workspace: &WorkspaceId) -> Problem {
        let policy = self.policy(workspace);
        let open: Vec<&Probe> = fence
            .probes
            .iter()
            .filter(|probe| probe.result == "allowed")
            .collect();
        let mend: Vec<_> = fence
            .open
            .iter()
            .map(|job| policy.statement(*job))
            .collect();
        Problem::new(Code::KeyPermissive)
            .because(
                "Whoever knows its ARN could bind it to another workspace. Nothing was stored.",
            )
            .with("grade", Grade::Permissive.as_str())
            .with("open", json!(open))
            .with("mendingStatements", mend)
    }

    fn policy<'a>(&'a self, workspace: &'a WorkspaceId) -> KeyPolicy<'a> {
        KeyPolicy {
            role: &self.broker_role,
            broker: &self.api.broker,
            workspace,
        }
    }

    /// Turns a refused call into words that the customer can act on.
    async fn explain(
        &self,
        failure: KmsFailure,
        key: &KeyName,
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
        if refusal == Refusal::AccessDenied
            && let Some(job) = Job::of(operation)
        {
            problem = problem.with("missingStatement", self.policy(workspace).statement(job));
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

fn done(operation: KmsOperation, call: &KmsCall) -> Probe {
    Probe {
        operation: operation.as_str(),
        context: Some("own"),
        result: "done",
        kms_request_id: Some(call.request_id.clone()),
    }
}

fn wrong_kind() -> Problem {
    Problem::invalid(
        "key",
        "a symmetric encryption key (SYMMETRIC_DEFAULT, ENCRYPT_DECRYPT) that the customer manages",
    )
}
