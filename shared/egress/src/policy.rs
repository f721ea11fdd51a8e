//! A secret's destination policy: where it may go, and in which slot.
//!
//! ```json
//! {"destinations": [{"url": "https://api.example.com/v1/", "methods": ["GET", "POST"]}],
//!  "inject": {"header": "authorization", "format": "Bearer {secret}"},
//!  "reveal": false}
//! ```
//!
//! The canonical form (RFC 8785) is what is stored and digested; the digest is
//! part of the customer's KMS context, so a wider policy opens nothing.

use crate::{CanonicalUrl, UrlError};
use envelope::PolicyDigest;
use http::{HeaderName, Method};
use serde_json::Value;
use time::OffsetDateTime;

mod json;

pub(crate) use json::{METHODS, SECRET_MARK};

/// Where a secret may go, in which slot, whether its value may be shown, and
/// until when. By default nowhere, as a bearer token, no, and for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    destinations: Vec<Destination>,
    inject: Injection,
    reveal: bool,
    expires_at: Option<OffsetDateTime>,
}

/// A URL that covers all below it, and the methods that may be used there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    url: CanonicalUrl,
    methods: Vec<Method>,
}

impl Destination {
    /// The URL that a request's must lie under; it has no query.
    #[must_use]
    pub fn url(&self) -> &CanonicalUrl {
        &self.url
    }

    /// The methods, each once, in a fixed order.
    #[must_use]
    pub fn methods(&self) -> &[Method] {
        &self.methods
    }
}

/// The slot of a request that the secret is put into. More kinds will follow.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Injection {
    /// A header: `{"header": "authorization", "format": "Bearer {secret}"}`.
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
}

/// A policy's canonical text: the exact bytes that are stored and digested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanonicalPolicy(String);

impl CanonicalPolicy {
    /// The text, JSON as RFC 8785 writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the customer's KMS context says of the policy.
    #[must_use]
    pub fn digest(&self) -> PolicyDigest {
        PolicyDigest::of(self.0.as_bytes())
    }
}

/// A policy breaks a rule. Names the field and the rule, never the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {rule}")]
pub struct PolicyError {
    /// Which field, such as `policy.destinations[0].url`.
    pub field: String,
    /// The rule that it must follow.
    pub rule: &'static str,
}

/// Why a policy does not let its secret go there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No destination covers the URL.
    #[error("no destination of the policy covers this URL")]
    Url,
    /// A destination covers the URL, none with this method.
    #[error("the policy does not allow this method there")]
    Method,
}

impl Policy {
    /// Takes the policy of a put's body, and the expiry that stands beside it.
    ///
    /// Every field may be left out. No methods named means GET, HEAD, POST, PUT,
    /// PATCH, DELETE and OPTIONS. At most 16 destinations with 16 methods each,
    /// 2 KiB per URL, 16 KiB for the canonical form.
    ///
    /// # Errors
    /// A field is unknown or breaks its rule.
    pub fn parse(value: &Value, expires_at: Option<OffsetDateTime>) -> Result<Self, PolicyError> {
        json::parse(value, expires_at)
    }

    /// The one text that says exactly this: URLs canonical, defaults written out,
    /// methods in a fixed order, the expiry in UTC.
    #[must_use]
    pub fn canonical(&self) -> CanonicalPolicy {
        CanonicalPolicy(json::write(self))
    }

    /// Reads a stored policy.
    ///
    /// # Errors
    /// The text is not, byte for byte, what [`canonical`](Self::canonical) writes:
    /// a second spelling of a policy would have a second digest.
    pub fn from_canonical(text: &str) -> Result<Self, PolicyError> {
        json::read(text)
    }

    /// Whether the secret may go to a URL with a method, and by which destination.
    ///
    /// Scheme, host and port are equal; the path begins with the destination's,
    /// whole segments at a time; the query is free.
    ///
    /// # Errors
    /// It may not.
    pub fn judge(&self, method: &Method, url: &CanonicalUrl) -> Result<&Destination, Denied> {
        let mut denied = Denied::Url;
        for destination in self.destinations.iter().filter(|it| it.url.covers(url)) {
            if destination.methods.contains(method) {
                return Ok(destination);
            }
            denied = Denied::Method;
        }
        Err(denied)
    }

    /// The URL that a pass-through goes to: the first destination's, joined with
    /// what stood after the secret's name, still percent-encoded. Nothing stands
    /// for the destination itself. The result has yet to be judged, for its method.
    ///
    /// # Errors
    /// There is no destination, the joined URL is refused, or it leads out of the
    /// destination.
    pub fn via(&self, path_and_query: &str) -> Result<CanonicalUrl, UrlError> {
        let base = &self
            .destinations
            .first()
            .ok_or(UrlError::NoDestination)?
            .url;
        let mut joined = base.as_str().to_owned();
        if !(path_and_query.is_empty() || path_and_query.starts_with('?') || joined.ends_with('/'))
        {
            joined.push('/');
        }
        joined.push_str(path_and_query);
        let url = CanonicalUrl::parse(&joined)?;
        if base.covers(&url) {
            Ok(url)
        } else {
            Err(UrlError::Outside)
        }
    }

    /// The destinations; a pass-through goes to the first.
    #[must_use]
    pub fn destinations(&self) -> &[Destination] {
        &self.destinations
    }

    /// The slot that the secret is put into.
    #[must_use]
    pub fn injection(&self) -> &Injection {
        &self.inject
    }

    /// Whether the secret's value may be given back to a caller.
    #[must_use]
    pub fn reveal(&self) -> bool {
        self.reveal
    }

    /// From when on the secret is used no more, in UTC.
    #[must_use]
    pub fn expires_at(&self) -> Option<OffsetDateTime> {
        self.expires_at
    }
}

#[cfg(test)]
mod tests;
