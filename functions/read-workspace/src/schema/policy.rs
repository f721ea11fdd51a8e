//! What is shown of key policies.

use api::problems;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

problems!(LintProblems: TooLarge);

/// What the customer pastes into the key's policy, or gives as a grant. Not both.
#[derive(Serialize, ToSchema)]
pub(crate) struct ShownKeyPolicy {
    /// The ARN of the broker's role.
    pub(crate) role: String,
    /// Statements of a key policy, one for each job: putting, using, moving, watching.
    #[schema(value_type = Vec<Object>)]
    pub(crate) statements: Vec<Value>,
    /// The parameters of CreateGrant.
    #[schema(value_type = Object)]
    pub(crate) grant: Value,
    /// The statement that stops every job at once.
    #[schema(value_type = Object)]
    pub(crate) cut: Value,
}

/// What is to be judged, up to 64 KiB: a policy or statements, or grants, or one of the two and grants.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "documentation; the route reads field by field")]
pub(crate) struct PolicyDraft {
    /// A whole key policy.
    #[schema(required = false)]
    policy: PolicyDocument,
    /// Statements of a key policy.
    #[schema(required = false, value_type = Vec<Object>)]
    statements: Vec<Value>,
    /// Grants, as ListGrants shows them or CreateGrant takes them.
    #[schema(required = false, value_type = Vec<Object>)]
    grants: Vec<Value>,
    /// The ARN of the key that it is for: then statements about another key are found.
    #[schema(
        required = false,
        example = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    )]
    key: String,
}

/// A key policy: an object, or its text as GetKeyPolicy gives it.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "documentation")]
enum PolicyDocument {
    Object(BTreeMap<String, Value>),
    Text(String),
}

/// The judgement.
#[derive(Serialize, ToSchema)]
pub(crate) struct PolicyReport {
    /// `strict`: the broker could work, for this workspace alone. `permissive`: it could, but
    /// more is let through than this workspace's calls. `refused`: KMS would not take it, or
    /// the broker could not put or not use. A proof of the key is what counts: `PUT /key`.
    #[schema(value_type = PolicyGrade)]
    pub(crate) grade: &'static str,
    /// At most 100.
    pub(crate) findings: Vec<ShownFinding>,
    /// How many more there are.
    pub(crate) more: usize,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "documentation of the linter's Grade")]
enum PolicyGrade {
    Strict,
    Permissive,
    Refused,
}

/// One thing that is wrong.
#[derive(Serialize, ToSchema)]
pub(crate) struct ShownFinding {
    #[schema(value_type = FindingSeverity)]
    pub(crate) severity: &'static str,
    /// Stable: programs may match on it.
    #[schema(example = "missing_workspace")]
    pub(crate) code: &'static str,
    #[serde(rename = "where")]
    #[schema(example = "statement 2 (Sid ByokUseSecrets)")]
    pub(crate) at: String,
    /// What it does, and what to do.
    pub(crate) message: String,
    /// What to put in its place: statements, or a grant's parameters. May be empty.
    #[schema(value_type = Vec<Object>)]
    pub(crate) mend: Vec<Value>,
}

/// `error`: to be mended before the key is bound. `warning`: it may be meant.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "documentation of the linter's Severity")]
enum FindingSeverity {
    Error,
    Warning,
}
