//! How a caller hears of an error: `application/problem+json` (RFC 9457), a
//! stable code, and the header `byok-error`, so that a program cannot mistake
//! the broker's error for the upstream's.

use axum::response::{IntoResponse, Response};
use envelope::{InvalidId, KmsFailure, Refusal};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;
use std::{error::Error, fmt::Write};
use store::StoreError;

/// Every code that the broker can answer. Stable: programs match on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The request is malformed; `field` says where.
    InvalidRequest,
    /// No token, or none that is known and unexpired.
    Unauthenticated,
    /// The caller may use the secret, but not there.
    DestinationDenied,
    /// The destination is allowed, but what lies there makes new credentials.
    MintingEndpointDenied,
    /// Absent, another workspace's, or not permitted: which, is not told.
    NotFound,
    /// There is such a path, but not with this method.
    MethodNotAllowed,
    /// Someone else changed it first, or the request contradicts an earlier one.
    Conflict,
    /// No key is bound to the workspace yet.
    NoWorkspaceKey,
    /// The version that was asked for has expired.
    SecretExpired,
    /// The version that was asked for was revoked, and is gone for good.
    VersionRevoked,
    /// `If-Match` or `If-None-Match` does not hold.
    PreconditionFailed,
    /// A body, a value or an answer is over its limit.
    TooLarge,
    /// The workspace is frozen at the broker.
    WorkspaceFrozen,
    /// The customer's KMS refuses: the grant or the policy is gone.
    KeyAccessDenied,
    /// The key works, but its policy or grant does not fence it to this workspace.
    KeyPermissive,
    /// The customer's key is disabled.
    KeyDisabled,
    /// The customer's key is scheduled for deletion.
    KeyPendingDeletion,
    /// The customer's key has no material: it expired or was deleted.
    KeyMaterialMissing,
    /// The customer's key does not exist.
    KeyNotFound,
    /// KMS throttles.
    KmsThrottled,
    /// The workspace has as many calls under way as its share allows.
    Busy,
    /// A record is not what was stored there.
    IntegrityFailure,
    /// A fault of the broker's own.
    Internal,
    /// The upstream cannot be reached, or does not speak HTTP.
    UpstreamUnreachable,
    /// The upstream's answer cannot be searched for the secret, so none of it is passed on.
    ResponseUnscrubbable,
    /// KMS cannot be reached, or is at fault.
    KmsUnavailable,
    /// The broker's own rights or keys are not in order: the operator's to mend, and no
    /// revocation.
    BrokerMisconfigured,
    /// The audit trail cannot be written, so nothing was done.
    AuditUnavailable,
    /// The table cannot be reached.
    StoreUnavailable,
    /// The upstream took too long.
    UpstreamTimeout,
}

impl Code {
    /// All of them.
    pub const ALL: [Self; 30] = [
        Self::InvalidRequest,
        Self::Unauthenticated,
        Self::DestinationDenied,
        Self::MintingEndpointDenied,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Conflict,
        Self::NoWorkspaceKey,
        Self::SecretExpired,
        Self::VersionRevoked,
        Self::PreconditionFailed,
        Self::TooLarge,
        Self::WorkspaceFrozen,
        Self::KeyAccessDenied,
        Self::KeyPermissive,
        Self::KeyDisabled,
        Self::KeyPendingDeletion,
        Self::KeyMaterialMissing,
        Self::KeyNotFound,
        Self::KmsThrottled,
        Self::Busy,
        Self::IntegrityFailure,
        Self::Internal,
        Self::UpstreamUnreachable,
        Self::ResponseUnscrubbable,
        Self::KmsUnavailable,
        Self::BrokerMisconfigured,
        Self::AuditUnavailable,
        Self::StoreUnavailable,
        Self::UpstreamTimeout,
    ];

    /// The code's HTTP status, its name, and what it says to a person.
    const fn parts(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::InvalidRequest => (400, "invalid_request", "The request is not valid."),
            Self::Unauthenticated => (401, "unauthenticated", "A valid token is needed."),
            Self::DestinationDenied => (
                403,
                "destination_denied",
                "The secret's policy does not allow this destination.",
            ),
            Self::MintingEndpointDenied => (
                403,
                "minting_endpoint_denied",
                "This endpoint makes new credentials, and the secret's policy does not name it.",
            ),
            Self::NotFound => (404, "not_found", "There is nothing here for this token."),
            Self::MethodNotAllowed => (
                405,
                "method_not_allowed",
                "This path does not take this method.",
            ),
            Self::Conflict => (
                409,
                "conflict",
                "Another change came first. Read again, then try again.",
            ),
            Self::NoWorkspaceKey => (
                409,
                "no_workspace_key",
                "The workspace has no key yet. Bind one first.",
            ),
            Self::SecretExpired => (
                410,
                "secret_expired",
                "This version of the secret has expired.",
            ),
            Self::VersionRevoked => (
                410,
                "version_revoked",
                "This version of the secret was revoked.",
            ),
            Self::PreconditionFailed => (
                412,
                "precondition_failed",
                "The precondition of the request does not hold.",
            ),
            Self::TooLarge => (
                413,
                "too_large",
                "Something in the request or its answer is too large.",
            ),
            Self::WorkspaceFrozen => (423, "workspace_frozen", "The workspace is frozen."),
            Self::KeyAccessDenied => (
                424,
                "key_access_denied",
                "The customer's KMS denies the use of the key.",
            ),
            Self::KeyPermissive => (
                424,
                "key_permissive",
                "The key works, but it is not fenced to this workspace.",
            ),
            Self::KeyDisabled => (424, "key_disabled", "The customer's key is disabled."),
            Self::KeyPendingDeletion => (
                424,
                "key_pending_deletion",
                "The customer's key is scheduled for deletion.",
            ),
            Self::KeyMaterialMissing => (
                424,
                "key_material_missing",
                "The customer's key has no key material.",
            ),
            Self::KeyNotFound => (424, "key_not_found", "The customer's key does not exist."),
            Self::KmsThrottled => (429, "kms_throttled", "KMS throttles. Try again later."),
            Self::Busy => (
                429,
                "busy",
                "Too many calls of this workspace are under way.",
            ),
            Self::IntegrityFailure => (
                500,
                "integrity_failure",
                "A stored record is not what was stored. Nothing was opened.",
            ),
            Self::Internal => (500, "internal", "A fault of the broker's own."),
            Self::UpstreamUnreachable => (
                502,
                "upstream_unreachable",
                "The upstream could not be reached.",
            ),
            Self::ResponseUnscrubbable => (
                502,
                "response_unscrubbable",
                "The upstream's answer could not be searched for the secret, so it was withheld.",
            ),
            Self::KmsUnavailable => (
                503,
                "kms_unavailable",
                "KMS could not be reached. Nothing is known to be wrong with the key.",
            ),
            Self::BrokerMisconfigured => (
                503,
                "broker_misconfigured",
                "The broker's own rights to KMS are not in order. Nothing is known to be wrong with the key.",
            ),
            Self::AuditUnavailable => (
                503,
                "audit_unavailable",
                "The audit trail could not be written, so nothing was done.",
            ),
            Self::StoreUnavailable => (
                503,
                "store_unavailable",
                "The broker's table could not be reached.",
            ),
            Self::UpstreamTimeout => (504, "upstream_timeout", "The upstream took too long."),
        }
    }

    /// The HTTP status.
    ///
    /// # Panics
    /// Never: every status of the table is one.
    #[must_use]
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.parts().0).expect("the table holds statuses only")
    }

    /// The stable name, as in `byok-error`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.parts().1
    }

    /// What it says to a person.
    #[must_use]
    pub const fn title(self) -> &'static str {
        self.parts().2
    }

    /// After how many seconds a retry makes sense, where one does.
    const fn retry_after(self) -> Option<&'static str> {
        match self {
            Self::KmsThrottled
            | Self::Busy
            | Self::KmsUnavailable
            | Self::AuditUnavailable
            | Self::StoreUnavailable => Some("1"),
            _ => None,
        }
    }
}

/// An error on its way to the caller. What is public is in it by name; the
/// private source goes to the log and no further.
#[derive(Debug)]
pub struct Problem {
    code: Code,
    detail: Option<String>,
    field: Option<String>,
    more: serde_json::Map<String, serde_json::Value>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Problem {
    /// A problem that its code says all about.
    #[must_use]
    pub fn new(code: Code) -> Self {
        Self {
            code,
            detail: None,
            field: None,
            more: serde_json::Map::new(),
            source: None,
        }
    }

    /// A malformed request: which field, and the rule that it must follow.
    /// Never the value.
    #[must_use]
    pub fn invalid(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self {
            field: Some(field.into()),
            ..Self::new(Code::InvalidRequest)
        }
        .because(rule)
    }

    /// An id in a request that is not of its grammar.
    #[must_use]
    pub fn invalid_id(field: impl Into<String>, error: InvalidId) -> Self {
        Self::invalid(field, error.rule)
    }

    /// Adds a sentence for the caller. It must not tell a value, an ARN or a message of AWS.
    #[must_use]
    pub fn because(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds a member of the problem document (RFC 9457, section 3.2).
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    /// Keeps what went wrong, for the log.
    #[must_use]
    pub fn from_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// The document of RFC 9457.
    #[must_use]
    pub fn document(&self) -> serde_json::Value {
        let mut document = serde_json::Map::new();
        document.insert(
            "type".into(),
            json!(format!("urn:byok:problem:{}", self.code.as_str())),
        );
        document.insert("title".into(), json!(self.code.title()));
        document.insert("status".into(), json!(self.code.status().as_u16()));
        document.insert("code".into(), json!(self.code.as_str()));
        if let Some(detail) = &self.detail {
            document.insert("detail".into(), json!(detail));
        }
        if let Some(field) = &self.field {
            document.insert("field".into(), json!(field));
        }
        document.extend(self.more.clone());
        serde_json::Value::Object(document)
    }

    /// Writes the private source to the log: as an error where someone should
    /// look today, as a warning where a customer cut their key.
    pub fn log(&self) {
        let mut source = String::new();
        let mut next: Option<&dyn Error> =
            self.source.as_deref().map(|source| source as &dyn Error);
        while let Some(error) = next {
            let _ = write!(
                source,
                "{}{error}",
                if source.is_empty() { "" } else { ": " }
            );
            next = error.source();
        }
        let code = self.code.as_str();
        match self.code {
            Code::IntegrityFailure | Code::Internal | Code::BrokerMisconfigured => {
                tracing::error!(code, source, "needs someone to look")
            }
            Code::KeyAccessDenied
            | Code::KeyDisabled
            | Code::KeyPendingDeletion
            | Code::KeyMaterialMissing
            | Code::KeyNotFound
            | Code::KmsThrottled
            | Code::KmsUnavailable
            | Code::AuditUnavailable
            | Code::StoreUnavailable
            | Code::UpstreamUnreachable
            | Code::ResponseUnscrubbable
            | Code::UpstreamTimeout => tracing::warn!(
                code,
                source,
                "refused by something that the broker stands on"
            ),
            _ => {}
        }
    }
}

/// An answer's problem code, left in its extensions for the log line.
#[derive(Clone, Copy)]
pub(crate) struct AnswerCode(pub(crate) Code);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.log();
        let mut response = (self.code.status(), self.document().to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert("byok-error", HeaderValue::from_static(self.code.as_str()));
        if let Some(seconds) = self.code.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        if self.code == Code::Unauthenticated {
            // Basic as well: git and curl send the token of a URL only where it is asked for.
            for scheme in ["Bearer realm=\"byok\"", "Basic realm=\"byok\""] {
                headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
            }
        }
        response.extensions_mut().insert(AnswerCode(self.code));
        response
    }
}

impl From<KmsFailure> for Problem {
    fn from(failure: KmsFailure) -> Self {
        let code = match failure.refusal {
            Refusal::AccessDenied => Code::KeyAccessDenied,
            Refusal::Disabled => Code::KeyDisabled,
            Refusal::PendingDeletion => Code::KeyPendingDeletion,
            Refusal::MaterialMissing => Code::KeyMaterialMissing,
            Refusal::NotFound => Code::KeyNotFound,
            Refusal::Throttled => Code::KmsThrottled,
            Refusal::Unavailable => Code::KmsUnavailable,
            Refusal::Integrity => Code::IntegrityFailure,
            Refusal::Misconfigured => Code::BrokerMisconfigured,
            Refusal::OtherRegion => Code::Conflict,
            Refusal::Unsupported => Code::Internal,
        };
        let problem = match failure.refusal {
            Refusal::OtherRegion => Self::new(code).because(
                "KMS re-wraps within one Region alone. Put the secret anew, or bind a replica of its key first.",
            ),
            _ => Self::new(code),
        };
        problem.from_source(failure)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if let StoreError::Unattested(failure) = error {
            return failure.into();
        }
        let code = match &error {
            StoreError::Conflict(store::Which::Frozen) => Code::WorkspaceFrozen,
            StoreError::Conflict(store::Which::Token) => Code::Unauthenticated,
            StoreError::Conflict(_) => Code::Conflict,
            StoreError::Broken(_) => Code::IntegrityFailure,
            StoreError::TooLarge => Code::TooLarge,
            StoreError::Unavailable(_) => Code::StoreUnavailable,
            StoreError::Unattested(_) => Code::Internal,
        };
        Self::new(code).from_source(error)
    }
}
