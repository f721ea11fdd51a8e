//! The bodies, as the API's document describes them. The answer is written with
//! its type; the parser of the request reads it field by field.

use api::{openapi::Policy, problems};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

problems!(
    PutProblems: Conflict, NoWorkspaceKey, PreconditionFailed, TooLarge, WorkspaceFrozen,
    KeyAccessDenied, KeyDisabled, KeyPendingDeletion, KeyMaterialMissing, KeyNotFound, KmsThrottled, KmsUnavailable,
);

/// A new version. Exactly one of `value`, `value_base64` and `value_json`, of 1 byte to 64 KiB.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "documentation; PutRequest parses")]
pub(crate) struct NewVersion {
    #[schema(required = false, write_only)]
    value: String,
    /// RFC 4648, section 4, with padding.
    #[schema(required = false, write_only, format = Byte)]
    value_base64: String,
    /// Kept exactly as it is written, blanks included.
    #[schema(required = false, write_only)]
    value_json: Value,
    policy: Policy,
    /// From when on this version is used no more.
    #[schema(required = false, format = DateTime)]
    expires_at: String,
}

/// A version that was put.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PutVersion {
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
