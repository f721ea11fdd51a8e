//! The bodies, as the API's document describes them. Answers are written with
//! these types; the parser of a request reads it field by field.

use api::{openapi::Policy, problems};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

problems!(
    PolicyProblems: Conflict, NoWorkspaceKey, PreconditionFailed, TooLarge, WorkspaceFrozen, BrokerMisconfigured,
    KeyAccessDenied, KeyDisabled, KeyPendingDeletion, KeyMaterialMissing, KeyNotFound, KmsThrottled, KmsUnavailable,
);
problems!(
    VersionProblems: Conflict, NoWorkspaceKey, VersionRevoked, PreconditionFailed, TooLarge, WorkspaceFrozen,
    BrokerMisconfigured,
    KeyAccessDenied, KeyDisabled, KeyPendingDeletion, KeyMaterialMissing, KeyNotFound, KmsThrottled, KmsUnavailable,
);
problems!(StartProblems: Conflict, NoWorkspaceKey, TooLarge, BrokerMisconfigured, KmsThrottled, KmsUnavailable);
problems!(ShowProblems: BrokerMisconfigured, KmsThrottled, KmsUnavailable);
problems!(StateProblems: Conflict, TooLarge, BrokerMisconfigured, KmsThrottled, KmsUnavailable);

/// Nothing is asked for: no body, or an object without fields.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// Where the current version may go from now on.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "documentation; PolicyRequest parses")]
pub(crate) struct NewPolicy {
    policy: Policy,
    /// From when on this version is used no more; never, if left out.
    #[schema(required = false, format = DateTime)]
    expires_at: String,
}

/// A version under its new policy.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChangedPolicy {
    pub(crate) name: String,
    pub(crate) version: u32,
    #[schema(value_type = Policy)]
    pub(crate) policy: Value,
    /// The ARN of the key that wraps its data key.
    pub(crate) wrapped_by: String,
    /// Which material of that key, where KMS says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key_material_id: Option<String>,
    #[schema(format = DateTime)]
    pub(crate) expires_at: Option<String>,
    /// The secret's revision, also in `ETag`: for `If-Match`.
    pub(crate) revision: u64,
}

/// What became of an earlier version.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum ActedOn {
    Promoted(PromotedVersion),
    Revoked(RevokedVersion),
}

/// A version that is the current one again.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PromotedVersion {
    pub(crate) name: String,
    pub(crate) version: u32,
    /// The ARN of the key that wraps its data key.
    pub(crate) wrapped_by: String,
    /// Which material of that key, where KMS says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key_material_id: Option<String>,
    /// The secret's revision, also in `ETag`: for `If-Match`.
    pub(crate) revision: u64,
}

/// A version that is gone for good.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RevokedVersion {
    pub(crate) name: String,
    pub(crate) version: u32,
    #[schema(format = DateTime)]
    pub(crate) revoked_at: String,
}

/// A re-wrap to be started.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "documentation; the route reads it")]
pub(crate) struct NewRewrap {
    /// Only asks KMS whether it would, for every version, and changes nothing; false, if left out.
    #[schema(required = false)]
    dry_run: bool,
}

/// A workspace's latest re-wraps, the newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct RewrapList {
    pub(crate) rewraps: Vec<ShownRewrap>,
}

/// A re-wrap, and how far it is. What is counted are versions, earlier ones included.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ShownRewrap {
    pub(crate) id: String,
    #[schema(value_type = RewrapState)]
    pub(crate) state: &'static str,
    #[schema(value_type = RewrapPhase)]
    pub(crate) phase: &'static str,
    pub(crate) dry_run: bool,
    /// The revision of the key binding that it was started for. Another one ends it.
    pub(crate) binding_revision: u64,
    /// The ARN of the key that is bound now.
    pub(crate) key: Option<String>,
    /// What there was to begin with.
    pub(crate) total: u64,
    /// What it moved; of a dry run, what it would.
    pub(crate) moved: u64,
    /// What was under the key already; of a dry run, under whichever of its material.
    pub(crate) already: u64,
    /// What someone else changed meanwhile, and so wrapped under the key.
    pub(crate) changed: u64,
    /// What was found under the key afterwards, and KMS would move on from there.
    pub(crate) verified: u64,
    /// What could not be moved. Counted anew when the verification begins, which tries once more.
    pub(crate) failed: u64,
    /// The first 100 of these.
    pub(crate) failures: Vec<ShownFailure>,
    /// What is left to be moved.
    pub(crate) remaining: u64,
    /// Versions a second since it began to move, pauses included; null before.
    pub(crate) rate_per_second: Option<f64>,
    /// When it will be over at that rate; null if it does not go on.
    #[schema(format = DateTime)]
    pub(crate) estimated_end: Option<String>,
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
    /// When it last got on.
    #[schema(format = DateTime)]
    pub(crate) updated_at: String,
    #[schema(format = DateTime)]
    pub(crate) ended_at: Option<String>,
    /// Why it paused itself or failed, or what keeps it from getting on: a stable code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

/// A version that could not be moved.
#[derive(Serialize, ToSchema)]
pub(crate) struct ShownFailure {
    pub(crate) name: String,
    pub(crate) version: u32,
    /// A code of the API, or `other_region`: KMS re-wraps within one Region alone.
    pub(crate) reason: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "documentation of JobState")]
pub(crate) enum RewrapState {
    Running,
    Paused,
    Done,
    Failed,
    Superseded,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "documentation of JobPhase")]
pub(crate) enum RewrapPhase {
    Count,
    Heads,
    Earlier,
    VerifyHeads,
    VerifyEarlier,
    Ended,
}
