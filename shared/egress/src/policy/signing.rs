//! The two kinds of slot that carry no secret but a signature made with it.

use super::{Mark, Template};
use http::HeaderName;

/// The hash of an HMAC (RFC 2104).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HmacAlgorithm {
    /// `sha256`.
    Sha256,
    /// `sha512`.
    Sha512,
}

/// How an HMAC is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HmacEncoding {
    /// `hex`: digits in lower case.
    Hex,
    /// `base64`: the standard alphabet, padded (RFC 4648, section 4).
    Base64,
}

/// How the time of a signature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampForm {
    /// `unix`: seconds since 1970.
    Unix,
    /// `unix_ms`: milliseconds since 1970.
    UnixMs,
    /// `rfc3339`: `2030-01-01T00:00:00Z`, whole seconds in UTC.
    Rfc3339,
}

/// When a signature was made, and where that is told beside the signature's format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timestamp {
    pub(super) header: Option<HeaderName>,
    pub(super) form: TimestampForm,
}

impl Timestamp {
    /// A header of its own, if it has one.
    #[must_use]
    pub fn header(&self) -> Option<&HeaderName> {
        self.header.as_ref()
    }

    /// How it is written, in the message as in the header.
    #[must_use]
    pub fn form(&self) -> TimestampForm {
        self.form
    }
}

/// An HMAC over parts of the request, in a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HmacSlot {
    pub(super) algorithm: HmacAlgorithm,
    pub(super) message: Template,
    pub(super) encoding: HmacEncoding,
    pub(super) header: HeaderName,
    pub(super) format: Template,
    pub(super) timestamp: Option<Timestamp>,
}

impl HmacSlot {
    /// Its hash.
    #[must_use]
    pub fn algorithm(&self) -> HmacAlgorithm {
        self.algorithm
    }

    /// What is signed.
    #[must_use]
    pub fn message(&self) -> &Template {
        &self.message
    }

    /// How the signature is written.
    #[must_use]
    pub fn encoding(&self) -> HmacEncoding {
        self.encoding
    }

    /// The header that the signature goes into.
    #[must_use]
    pub fn header(&self) -> &HeaderName {
        &self.header
    }

    /// That header's value, with `{signature}` in it exactly once.
    #[must_use]
    pub fn format(&self) -> &Template {
        &self.format
    }

    /// The time of the signature, if it is told at all.
    #[must_use]
    pub fn timestamp(&self) -> Option<&Timestamp> {
        self.timestamp.as_ref()
    }

    /// Whether the body is signed.
    pub(crate) fn signs_body(&self) -> bool {
        self.message.count(Mark::Body) > 0
    }
}

/// AWS's Signature Version 4 (IAM User Guide, "Create a signed AWS API request"), in
/// headers. Region and service are the policy's, the date is the broker's clock's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigV4Slot {
    pub(super) region: String,
    pub(super) service: String,
    pub(super) access_key_id: String,
    pub(super) secret_access_key: String,
    pub(super) session_token: Option<String>,
    pub(super) unsigned_payload: bool,
}

impl SigV4Slot {
    /// The Region that is signed for.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The service that is signed for, by its signing name.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// Where in the JSON secret the access key id stands. It is no secret.
    #[must_use]
    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    /// Where in the JSON secret the key stands.
    #[must_use]
    pub fn secret_access_key(&self) -> &str {
        &self.secret_access_key
    }

    /// Where in the JSON secret a session token stands, if it has one.
    #[must_use]
    pub fn session_token(&self) -> Option<&str> {
        self.session_token.as_deref()
    }

    /// Whether a body that streams may go out unsigned. One that is there as a whole is
    /// signed in any case.
    #[must_use]
    pub fn unsigned_payload(&self) -> bool {
        self.unsigned_payload
    }

    /// S3 has the payload's hash in a header, and takes a path as it is (Amazon S3 API
    /// Reference, "Signature Calculations for the Authorization Header").
    pub(crate) fn is_s3(&self) -> bool {
        is_s3(&self.service)
    }
}

pub(super) fn is_s3(service: &str) -> bool {
    matches!(service, "s3" | "s3-object-lambda" | "s3-outposts")
}
