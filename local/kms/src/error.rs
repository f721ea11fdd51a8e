//! What KMS answers when it does not do what it was asked, under AWS's own
//! names (KMS API Reference, "Common Error Types" and each operation's "Errors").

use serde_json::{Value, json};
use std::path::PathBuf;

/// An error answer of KMS: AWS's code, a sentence, an HTTP status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct KmsError {
    /// AWS's code, as in `__type`.
    pub code: &'static str,
    /// A sentence for people. Never match on it.
    pub message: String,
    /// 400, or 500 where KMS says that the fault is its own.
    pub status: u16,
}

impl KmsError {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            status: 400,
        }
    }

    fn server(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: 500,
            ..Self::new(code, message)
        }
    }

    pub(crate) fn body(&self) -> Value {
        json!({"__type": self.code, "message": self.message})
    }

    pub(crate) fn access_denied(message: impl Into<String>) -> Self {
        Self::new("AccessDeniedException", message)
    }

    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationException", message)
    }

    /// A required member is absent, in AWS's words.
    pub(crate) fn missing(member: &str) -> Self {
        Self::validation(format!(
            "1 validation error detected: Value null at '{member}' failed to satisfy constraint: \
             Member must not be null"
        ))
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new("NotFoundException", message)
    }

    pub(crate) fn invalid_arn(message: impl Into<String>) -> Self {
        Self::new("InvalidArnException", message)
    }

    pub(crate) fn disabled(key_arn: &str) -> Self {
        Self::new("DisabledException", format!("{key_arn} is disabled."))
    }

    pub(crate) fn invalid_state(message: impl Into<String>) -> Self {
        Self::new("KMSInvalidStateException", message)
    }

    /// AWS gives this one no text, and neither do we: it tells nothing about why.
    pub(crate) fn invalid_ciphertext() -> Self {
        Self::new("InvalidCiphertextException", "")
    }

    pub(crate) fn incorrect_key() -> Self {
        Self::new(
            "IncorrectKeyException",
            "The key ID in the request does not identify a CMK that can perform this operation.",
        )
    }

    pub(crate) fn invalid_key_usage(message: impl Into<String>) -> Self {
        Self::new("InvalidKeyUsageException", message)
    }

    pub(crate) fn invalid_mac() -> Self {
        Self::new("KMSInvalidMacException", "")
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new("UnsupportedOperationException", message)
    }

    pub(crate) fn already_exists(message: impl Into<String>) -> Self {
        Self::new("AlreadyExistsException", message)
    }

    pub(crate) fn limit_exceeded(message: impl Into<String>) -> Self {
        Self::new("LimitExceededException", message)
    }

    pub(crate) fn malformed_policy(message: impl Into<String>) -> Self {
        Self::new("MalformedPolicyDocumentException", message)
    }

    pub(crate) fn invalid_grant_token() -> Self {
        Self::new("InvalidGrantTokenException", "Invalid grant token.")
    }

    pub(crate) fn invalid_grant_id() -> Self {
        Self::new("InvalidGrantIdException", "Invalid grant ID.")
    }

    pub(crate) fn invalid_alias_name(message: impl Into<String>) -> Self {
        Self::new("InvalidAliasNameException", message)
    }

    pub(crate) fn invalid_marker() -> Self {
        Self::new("InvalidMarkerException", "Could not deserialize marker.")
    }

    pub(crate) fn invalid_import_token() -> Self {
        Self::new(
            "InvalidImportTokenException",
            "The import token is invalid or belongs to another KMS key.",
        )
    }

    pub(crate) fn expired_import_token() -> Self {
        Self::new(
            "ExpiredImportTokenException",
            "The import token is expired.",
        )
    }

    /// It does not tell the material that is expected.
    pub(crate) fn incorrect_key_material() -> Self {
        Self::new(
            "IncorrectKeyMaterialException",
            "The key material is not what was expected.",
        )
    }

    pub(crate) fn tag(message: impl Into<String>) -> Self {
        Self::new("TagException", message)
    }

    pub(crate) fn dry_run() -> Self {
        Self::new(
            "DryRunOperationException",
            "The request would have succeeded, but the DryRun option is set.",
        )
    }

    pub(crate) fn serialization() -> Self {
        Self::new("SerializationException", "")
    }

    pub(crate) fn unknown_operation() -> Self {
        Self::new("UnknownOperationException", "")
    }

    pub(crate) fn missing_token() -> Self {
        Self::new(
            "MissingAuthenticationTokenException",
            "Missing Authentication Token",
        )
    }

    pub(crate) fn unrecognized_client() -> Self {
        Self::new(
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        )
    }

    pub(crate) fn throttled() -> Self {
        Self::new(
            "ThrottlingException",
            "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.",
        )
    }

    pub(crate) fn internal() -> Self {
        Self::server(
            "KMSInternalException",
            "The request failed because of an internal error.",
        )
    }

    pub(crate) fn key_unavailable() -> Self {
        Self::server(
            "KeyUnavailableException",
            "The specified KMS key was not available.",
        )
    }

    pub(crate) fn dependency_timeout() -> Self {
        Self::server(
            "DependencyTimeoutException",
            "The system timed out while trying to fulfill the request.",
        )
    }
}

/// Why a state directory or a configuration could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be created, read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is there, but is not what this program wrote. It is left as it is.
    #[error("{} is broken: {reason}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// Where, and what was expected.
        reason: String,
    },
    /// Another process works on this state directory.
    #[error("{} is in use by another process", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// A configured principal cannot be used.
    #[error("principal {arn}: {reason}")]
    Principal {
        /// As configured.
        arn: String,
        /// What is wrong with it.
        reason: String,
    },
}
