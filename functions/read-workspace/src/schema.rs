//! What is shown, as types: the answers are written with them, and the API's
//! document is made from them.

mod policy;

pub(crate) use policy::{LintProblems, PolicyDraft, PolicyReport, ShownFinding, ShownKeyPolicy};

use api::{openapi::Policy, problems};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

problems!(ReadProblems:);

/// The workspace's key, and what it was last seen to be.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ShownKey {
    /// Null: no key is bound.
    pub(crate) key: Option<String>,
    /// Earlier keys, under which secrets may still lie.
    pub(crate) former: Vec<String>,
    pub(crate) revision: u64,
    #[schema(format = DateTime)]
    pub(crate) changed_at: String,
    /// Advice, from the last call that told: a use always asks KMS live.
    #[schema(value_type = KeyState)]
    pub(crate) state: &'static str,
    #[schema(format = DateTime)]
    pub(crate) since: Option<String>,
    /// `strict`: the key serves this workspace alone; `permissive`: others could bind it, too.
    pub(crate) grade: Option<&'static str>,
    /// When it was last proved, by `PUT /key` or `POST /key/checks`.
    #[schema(format = DateTime)]
    pub(crate) checked_at: Option<String>,
    /// The calls that showed it.
    pub(crate) evidence: Option<String>,
    /// The probes of the last proof, as its answer had them.
    #[schema(value_type = Vec<Object>)]
    pub(crate) probes: Vec<Value>,
    pub(crate) frozen: bool,
    /// What sits under which key; null for a token that reaches some secrets only.
    pub(crate) usage: Option<KeyUsage>,
}

/// What sits under which key.
#[derive(Serialize, ToSchema)]
pub(crate) struct KeyUsage {
    /// Whether all was counted; otherwise there is at least so much.
    pub(crate) complete: bool,
    pub(crate) keys: Vec<UsedKey>,
    pub(crate) former: Vec<FormerKey>,
}

/// What sits under one key's material.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UsedKey {
    pub(crate) key: String,
    pub(crate) key_material_id: Option<String>,
    /// Secrets whose current version does.
    pub(crate) secrets: u64,
    /// Versions that do, the current ones included.
    pub(crate) versions: u64,
}

/// Whether a former key is still needed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FormerKey {
    pub(crate) key: String,
    /// Versions that still sit under it, as far as they were counted.
    pub(crate) versions: u64,
    #[serde(rename = "safe_to_disable")]
    pub(crate) safe_to_disable: bool,
    /// Why, for a person.
    pub(crate) because: String,
}

/// A secret's versions.
#[derive(Serialize, ToSchema)]
pub(crate) struct VersionPage {
    pub(crate) current: ShownVersion,
    pub(crate) earlier: Vec<ShownVersion>,
    /// What to ask on from, with `after`; null at the end. A page may be short before it.
    pub(crate) next: Option<u32>,
    /// The secret's revision.
    pub(crate) revision: u64,
}

/// A version's circumstances.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ShownVersion {
    pub(crate) version: u32,
    #[schema(format = DateTime)]
    pub(crate) put_at: String,
    #[schema(format = DateTime)]
    pub(crate) expires_at: Option<String>,
    /// The ARN of the key that wraps its data key.
    pub(crate) wrapped_by: String,
    pub(crate) key_material_id: Option<String>,
    /// Not null: it is gone for good.
    #[schema(format = DateTime)]
    pub(crate) revoked_at: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "documentation of KeyStateName")]
pub(crate) enum KeyState {
    Unbound,
    Active,
    AccessDenied,
    Disabled,
    PendingDeletion,
    MaterialMissing,
    NotFound,
}

/// A page of secrets.
#[derive(Serialize, ToSchema)]
pub(crate) struct SecretPage {
    pub(crate) secrets: Vec<ShownSecret>,
    /// What to ask on from, with `after`; null at the end. A page may be short before it.
    pub(crate) next: Option<String>,
}

/// A secret's circumstances.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ShownSecret {
    pub(crate) name: String,
    pub(crate) version: u32,
    /// The ARN of the key that wraps its data key.
    pub(crate) wrapped_by: String,
    pub(crate) key_material_id: Option<String>,
    #[schema(value_type = Policy)]
    pub(crate) policy: Value,
    #[schema(format = DateTime)]
    pub(crate) updated_at: String,
    #[schema(format = DateTime)]
    pub(crate) expires_at: Option<String>,
    pub(crate) revision: u64,
}

/// A page of one day's audit records.
#[derive(Serialize, ToSchema)]
pub(crate) struct AuditPage {
    #[schema(format = Date)]
    pub(crate) day: String,
    pub(crate) records: Vec<ShownAudit>,
    /// What to ask on from, with `after`; null at the end. A page may be short before it.
    pub(crate) next: Option<String>,
}

/// Something that changed or used something.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ShownAudit {
    /// The receipt's id, where it was a use.
    pub(crate) id: String,
    #[schema(example = "use")]
    pub(crate) kind: &'static str,
    #[schema(format = DateTime)]
    pub(crate) at: String,
    /// The id of the token, or who else it was.
    pub(crate) by: String,
    pub(crate) secret: Option<String>,
    pub(crate) version: Option<u32>,
    /// The `byok-request-id` of the request.
    pub(crate) request_id: String,
    /// Where the secret went, without the query.
    pub(crate) destination: Option<String>,
    pub(crate) method: Option<String>,
    pub(crate) detail: BTreeMap<String, String>,
    /// Null: a use that was under way, or broke off after the secret may have left.
    pub(crate) outcome: Option<ShownOutcome>,
}

/// How it went.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ShownOutcome {
    /// `ok`, or the code of the problem.
    pub(crate) code: String,
    pub(crate) upstream_status: Option<u16>,
    /// The call's request id, as the customer's log has it.
    pub(crate) kms_request_id: Option<String>,
    /// Those of earlier attempts.
    pub(crate) kms_attempts: Vec<String>,
    pub(crate) key_material_id: Option<String>,
    pub(crate) milliseconds: u64,
    #[schema(format = DateTime)]
    pub(crate) at: String,
}
