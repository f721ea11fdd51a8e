//! What is put where in a request.

use super::{HmacSlot, SigV4Slot};
use http::HeaderName;

/// One injection: a slot, and what of the secret goes into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Injection {
    pub(super) slot: Slot,
    pub(super) field: Option<String>,
}

impl Injection {
    /// Where it goes.
    #[must_use]
    pub fn slot(&self) -> &Slot {
        &self.slot
    }

    /// Which field of a JSON secret (RFC 6901) goes there, a string; `None` for the
    /// secret as it is. SigV4 names its fields itself.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }
}

/// A place in a request. More kinds may follow.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Slot {
    /// A header: `{"header": "authorization", "format": "Bearer {secret}"}`, for which
    /// `{"bearer": true}` is short.
    Header {
        /// The header's name, in lower case.
        name: HeaderName,
        /// Its value in visible ASCII, with `{secret}` in it exactly once.
        format: String,
    },
    /// The password of HTTP Basic (RFC 7617): `{"basic": {"username": "user"}}`.
    Basic {
        /// The user name beside the password; printable ASCII without a colon.
        username: String,
    },
    /// A query parameter: `{"query": "api_key"}`.
    Query {
        /// The parameter's name, of unreserved characters (RFC 3986, section 2.3).
        parameter: String,
    },
    /// A cookie: `{"cookie": "session"}`.
    Cookie {
        /// The cookie's name, a token (RFC 6265, section 4.1.1).
        name: String,
    },
    /// A field of a form that the caller sends: `{"form": "client_secret"}`.
    Form {
        /// The field's name, of unreserved characters.
        field: String,
    },
    /// In the place of a value of the JSON that the caller sends:
    /// `{"json_pointer": "/auth/key"}`.
    JsonPointer {
        /// Where (RFC 6901); never the whole.
        pointer: String,
    },
    /// One more segment of the path, right behind the destination's own:
    /// `{"path": "bot{secret}"}`. To a destination `https://api.example.com/v1` a use
    /// of `…/v1/send` goes out as `/v1/bot<secret>/send`.
    Path {
        /// The segment, of unreserved characters, with `{secret}` in it exactly once.
        segment: String,
    },
    /// A signature over the request, keyed by the secret: `{"hmac": {…}}`.
    Hmac(HmacSlot),
    /// AWS's signature, version 4: `{"sigv4": {…}}`.
    SigV4(SigV4Slot),
}

impl Slot {
    /// Whether a request's body is changed for it, or goes into a signature.
    pub(super) fn needs_whole_body(&self) -> bool {
        match self {
            Self::Form { .. } | Self::JsonPointer { .. } => true,
            Self::Hmac(hmac) => hmac.signs_body(),
            Self::SigV4(sigv4) => !sigv4.unsigned_payload(),
            Self::Header { .. }
            | Self::Basic { .. }
            | Self::Query { .. }
            | Self::Cookie { .. }
            | Self::Path { .. } => false,
        }
    }
}
