//! How sealing, opening and KMS calls fail.

use std::fmt;

/// Stored bytes are not what this place holds: wrong format, commitment, place
/// or tag. One answer for all of them, with no detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the record does not open")]
pub struct IntegrityError;

/// What a KMS call's failure means. Only the first five are a definite answer
/// about the key; nothing else may change what is believed of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The grant or the policy is gone, or never was: `AccessDeniedException`.
    AccessDenied,
    /// The key is disabled: `DisabledException`.
    Disabled,
    /// The key is scheduled for deletion: `KMSInvalidStateException`, and DescribeKey says so.
    PendingDeletion,
    /// Its imported material expired or was deleted: `KMSInvalidStateException`, and DescribeKey says so.
    MaterialMissing,
    /// There is no such key: `NotFoundException`.
    NotFound,
    /// Too many calls; asked again until the call's time was used up.
    Throttled,
    /// A timeout, a lost connection or a fault inside KMS; asked again until the call's time was used up.
    Unavailable,
    /// KMS says that the blob is not of this key and context, or answered for
    /// another key or with another length than was asked.
    Integrity,
    /// KMS says that the request or the key's kind is wrong for this operation.
    Unsupported,
    /// The fault is the broker's own: its credentials, which KMS does not know, its
    /// rights at AWS, without which no customer's consent helps, or the
    /// deployment's own keys.
    Misconfigured,
    /// KMS works in one Region at a time, and there is no key of the workspace in
    /// the Region asked that can read what lies in the other. Nothing was asked.
    OtherRegion,
}

impl Refusal {
    /// Whether this is a definite answer of KMS about the key, as opposed to a
    /// fault that says nothing of it.
    #[must_use]
    pub fn is_definite(self) -> bool {
        match self {
            Self::AccessDenied
            | Self::Disabled
            | Self::PendingDeletion
            | Self::MaterialMissing
            | Self::NotFound => true,
            Self::Throttled
            | Self::Unavailable
            | Self::Integrity
            | Self::Unsupported
            | Self::Misconfigured
            | Self::OtherRegion => false,
        }
    }

    /// Whether the same call may succeed a moment later.
    #[must_use]
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Throttled | Self::Unavailable)
    }
}

/// A KMS operation, by the name that CloudTrail gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KmsOperation {
    /// `GenerateDataKey`: a put.
    GenerateDataKey,
    /// `Decrypt`: a use.
    Decrypt,
    /// `DescribeKey`: a look at the key.
    DescribeKey,
    /// `ReEncrypt`: a move to another key, key material or context. Key policies and
    /// grants name its two halves, `ReEncryptFrom` and `ReEncryptTo`.
    ReEncrypt,
    /// `GenerateMac`, with the deployment's own keys.
    GenerateMac,
    /// `VerifyMac`, with the deployment's own keys.
    VerifyMac,
}

impl KmsOperation {
    /// The operation's name without the prefix `kms:`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GenerateDataKey => "GenerateDataKey",
            Self::Decrypt => "Decrypt",
            Self::DescribeKey => "DescribeKey",
            Self::ReEncrypt => "ReEncrypt",
            Self::GenerateMac => "GenerateMac",
            Self::VerifyMac => "VerifyMac",
        }
    }
}

impl fmt::Display for KmsOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A KMS call that did not give what was asked. Holds no key name, no message
/// of KMS and nothing secret.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{operation} failed: {refusal:?} ({})", .code.as_deref().unwrap_or("no code"))]
pub struct KmsFailure {
    /// What was asked of KMS.
    pub operation: KmsOperation,
    /// What the failure means.
    pub refusal: Refusal,
    /// KMS's own error code, where an answer came.
    pub code: Option<String>,
    /// The request ids of all attempts, in order, where an answer came.
    pub request_ids: Vec<String>,
}
