//! The bodies, as the API's document describes them. Answers are written with
//! these types; the parser of a request reads it field by field.

use api::problems;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

problems!(
    BindProblems: Conflict, PreconditionFailed, TooLarge, BrokerMisconfigured,
    KeyAccessDenied, KeyPermissive, KeyDisabled, KeyPendingDeletion, KeyMaterialMissing, KeyNotFound, KmsThrottled, KmsUnavailable,
);
problems!(
    CheckProblems: NoWorkspaceKey, TooLarge, AuditUnavailable, BrokerMisconfigured,
    KeyAccessDenied, KeyPermissive, KeyDisabled, KeyPendingDeletion, KeyMaterialMissing, KeyNotFound, KmsThrottled, KmsUnavailable,
);

/// The key to be bound.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "documentation; BindRequest parses")]
pub(crate) struct NewKey {
    /// The ARN of a symmetric encryption key that the customer manages, or of an alias of
    /// one, which is resolved once: the key that it names now is bound.
    #[schema(
        example = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    )]
    key: String,
    /// For a grant that was made a moment ago. At most 10.
    #[schema(required = false, max_items = 10)]
    grant_tokens: Vec<String>,
}

/// Nothing is asked for: no body, or an object without fields.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// A key that was proven to work.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProvenKey<'a> {
    pub(crate) key: &'a str,
    /// `active`: it works.
    pub(crate) state: &'static str,
    /// `strict`: it serves this workspace alone; `permissive`: others could bind it, too.
    pub(crate) grade: &'static str,
    pub(crate) probes: &'a [Probe],
    /// The binding's revision.
    pub(crate) revision: u64,
}

/// One call to the customer's KMS, and how it went.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Probe {
    pub(crate) operation: &'static str,
    /// The encryption context that it went under: `own`, `another workspace's`, `a workspace's
    /// of a similar name`, `none`. DescribeKey takes none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) context: Option<&'static str>,
    /// `done`, or of a dry run `allowed` or `denied`; of DescribeKey also `unanswered`.
    pub(crate) result: &'static str,
    /// The call's request id, as the customer's log has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kms_request_id: Option<String>,
}
