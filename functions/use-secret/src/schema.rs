//! The bodies, as the API's document describes them. Answers are written with
//! these types; the parser of a request reads it field by field.

use crate::perform::Receipt;
use api::{openapi::Policy, problems};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};
use std::collections::BTreeMap;
use utoipa::ToSchema;

problems!(
    UseProblems: DestinationDenied, MintingEndpointDenied, Busy, VersionRevoked, Conflict, SecretExpired, TooLarge, WorkspaceFrozen,
    KeyAccessDenied, KeyDisabled, KeyPendingDeletion, KeyMaterialMissing, KeyNotFound, KmsThrottled, KmsUnavailable,
    UpstreamUnreachable, ResponseUnscrubbable, AuditUnavailable, UpstreamTimeout,
);
problems!(
    RevealProblems: DestinationDenied, Busy, VersionRevoked, SecretExpired, TooLarge, WorkspaceFrozen,
    KeyAccessDenied, KeyDisabled, KeyPendingDeletion, KeyMaterialMissing, KeyNotFound, KmsThrottled, KmsUnavailable,
    AuditUnavailable,
);
problems!(ShowProblems: KmsThrottled, KmsUnavailable);

/// A use: the request that the secret is put into.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "documentation; use_route parses")]
pub(crate) struct NewUse {
    request: Outbound,
    /// An earlier version, whose policy must then allow the request as well.
    #[schema(required = false, minimum = 1, maximum = 9_999_999)]
    version: u32,
    /// How long the use may take.
    #[schema(required = false, minimum = 100, maximum = 20_000)]
    timeout_ms: u32,
    /// Only answer what would be sent. False, if left out.
    #[schema(required = false)]
    dry_run: bool,
}

/// At most one of `body` and `body_base64`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "documentation; use_route parses")]
struct Outbound {
    #[schema(example = "POST")]
    method: String,
    /// Absolute, and within the secret's policy.
    #[schema(example = "https://api.example.com/v1/charges")]
    url: String,
    #[schema(required = false)]
    headers: BTreeMap<String, OneOrMore>,
    #[schema(required = false)]
    body: String,
    /// RFC 4648, section 4, with padding.
    #[schema(required = false, format = Byte)]
    body_base64: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "documentation; use_route parses")]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// What a use answers.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum UseAnswer {
    Used(Used),
    Previewed(Previewed),
}

/// What would be sent.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Previewed {
    /// Always true.
    pub(crate) dry_run: bool,
    pub(crate) version: u32,
    pub(crate) request: PreviewedRequest,
}

/// A request with `[byok:secret]` wherever the secret, a field of it or a signature would stand.
#[derive(Serialize, ToSchema)]
pub(crate) struct PreviewedRequest {
    pub(crate) method: String,
    pub(crate) url: String,
    /// All of them, `host` among them.
    #[schema(value_type = BTreeMap<String, OneOrMore>)]
    pub(crate) headers: Map<String, Value>,
    /// If it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) body: Option<String>,
    /// If it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) body_base64: Option<String>,
}

/// What a reveal may ask for. The body may be left out.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "documentation; reveal parses")]
pub(crate) struct NewReveal {
    /// An earlier version, whose policy must then say `reveal` as well.
    #[schema(required = false, minimum = 1, maximum = 9_999_999)]
    version: u32,
}

/// A secret's value, in the one of three forms that it was put in.
#[derive(Serialize, ToSchema)]
pub(crate) struct Revealed {
    pub(crate) name: String,
    pub(crate) version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<String>,
    #[schema(format = Byte)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value_base64: Option<String>,
    #[schema(value_type = Value, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value_json: Option<Box<RawValue>>,
    pub(crate) receipt: ShownReceipt,
}

/// The upstream's answer, and the receipt.
#[derive(Serialize, ToSchema)]
pub(crate) struct Used {
    /// The upstream's own status.
    pub(crate) status: u16,
    /// A text, or a list of texts where a name stands more than once.
    #[schema(value_type = BTreeMap<String, OneOrMore>)]
    pub(crate) headers: Map<String, Value>,
    /// If it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) body: Option<String>,
    /// If it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) body_base64: Option<String>,
    pub(crate) receipt: ShownReceipt,
}

/// What ties the use to the audit trail, and to the customer's own log.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ShownReceipt {
    /// Also in the header `byok-receipt`.
    pub(crate) id: String,
    /// The request id of the Decrypt, as the customer's log has it.
    pub(crate) kms_request_id: String,
    pub(crate) version: u32,
    pub(crate) milliseconds: u64,
}

impl ShownReceipt {
    pub(crate) fn of(receipt: &Receipt) -> Self {
        Self {
            id: receipt.id.to_string(),
            kms_request_id: receipt.kms.request_id.clone(),
            version: receipt.version.number(),
            milliseconds: receipt.milliseconds,
        }
    }
}

/// A secret as it lies, and whether it could be opened now.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AtRest {
    pub(crate) name: String,
    pub(crate) version: u32,
    /// How the value was put.
    #[schema(value_type = Form)]
    pub(crate) form: &'static str,
    /// The sealed value.
    #[schema(format = Byte)]
    pub(crate) ciphertext: String,
    /// Its data key, under the customer's key.
    #[schema(format = Byte)]
    pub(crate) wrapped_key: String,
    /// The ARN of the customer's key.
    pub(crate) wrapped_by: String,
    pub(crate) key_material_id: Option<String>,
    /// Asked of KMS just now, for this very data key.
    pub(crate) broker_can_decrypt: bool,
    pub(crate) kms: Verdict,
    #[schema(value_type = Policy)]
    pub(crate) policy: Value,
    #[schema(format = DateTime)]
    pub(crate) put_at: String,
    #[schema(format = DateTime)]
    pub(crate) expires_at: Option<String>,
    pub(crate) revision: u64,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "documentation of ValueForm")]
enum Form {
    Text,
    Json,
    Bytes,
}

/// What KMS said.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Verdict {
    pub(crate) request_id: Option<String>,
    /// The code that a use would answer with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) refused: Option<&'static str>,
}
