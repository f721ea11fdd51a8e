//! A secret's destination policy: where it may go, and in which slot.
//!
//! ```json
//! {"destinations": [{"url": "https://api.example.com/v1/", "methods": ["GET", "POST"],
//!                    "headers": ["content-type"], "mint": true}],
//!  "inject": {"header": "authorization", "format": "Bearer {secret}"},
//!  "reveal": false}
//! ```
//!
//! `inject` is one injection, or a list of them that each take a field of a JSON
//! secret; `slot` lists their kinds.
//!
//! The canonical form (RFC 8785) is what is stored and digested; the digest is
//! part of the customer's KMS context, so a wider policy opens nothing.

use crate::{CanonicalUrl, OutboundRequest, UrlError, headers, minting};
use envelope::PolicyDigest;
use http::{
    HeaderName, Method,
    header::{ACCEPT_ENCODING, CONTENT_LENGTH},
};
use serde_json::Value;
use time::OffsetDateTime;

mod json;
mod signing;
mod slot;
mod template;

pub(crate) use json::{METHODS, SECRET_MARK};
pub use signing::{HmacAlgorithm, HmacEncoding, HmacSlot, SigV4Slot, Timestamp, TimestampForm};
pub use slot::{Injection, Slot};
pub use template::Template;
pub(crate) use template::{Mark, Piece};

/// Where a secret may go, in which slot, whether its value may be shown, and
/// until when. By default nowhere, as a bearer token, no, and for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    destinations: Vec<Destination>,
    /// At least one.
    inject: Vec<Injection>,
    reveal: bool,
    expires_at: Option<OffsetDateTime>,
}

/// A URL that covers all below it, and the methods that may be used there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    url: CanonicalUrl,
    methods: Vec<Method>,
    /// Sorted, each once. `None`: all that a caller may send at all.
    headers: Option<Vec<HeaderName>>,
    mint: bool,
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

    /// The headers that a caller may send there, in lower case and sorted; `None` if
    /// the policy does not choose. What the broker sets itself is not among them.
    #[must_use]
    pub fn headers(&self) -> Option<&[HeaderName]> {
        self.headers.as_deref()
    }

    /// Whether endpoints there that give out credentials may be asked.
    #[must_use]
    pub fn mint(&self) -> bool {
        self.mint
    }
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
    /// The endpoint gives out credentials, and no destination that covers it says
    /// `"mint": true`.
    #[error("the policy does not allow asking for a new credential there")]
    Minting,
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

    /// Whether the secret may go to a URL with a method, and by which destination: the
    /// first that allows it.
    ///
    /// Scheme, host and port are equal; the path begins with the destination's,
    /// whole segments at a time; the query is free. An endpoint that gives out
    /// credentials takes a destination that says so.
    ///
    /// # Errors
    /// It may not.
    pub fn judge(&self, method: &Method, url: &CanonicalUrl) -> Result<&Destination, Denied> {
        let mut denied = Denied::Url;
        for destination in self.destinations.iter().filter(|it| it.url.covers(url)) {
            if !destination.methods.contains(method) {
                if denied == Denied::Url {
                    denied = Denied::Method;
                }
            } else if !destination.mint && self.mints(destination, method, url) {
                denied = Denied::Minting;
            } else {
                return Ok(destination);
            }
        }
        Err(denied)
    }

    /// A request without the headers that its destination does not let pass. What the
    /// broker sets itself stays. [`inject`](crate::inject) does it for its own policy;
    /// a request that has to satisfy another one as well is restricted by that first.
    ///
    /// # Errors
    /// The policy does not let the secret go there.
    pub fn restrict(&self, mut request: OutboundRequest) -> Result<OutboundRequest, Denied> {
        let destination = self.judge(&request.method, &request.url)?;
        if let Some(allowed) = &destination.headers {
            let brokers = [ACCEPT_ENCODING, CONTENT_LENGTH];
            headers::remove_where(&mut request.headers, |name| {
                !allowed.contains(name) && !brokers.contains(name)
            });
        }
        Ok(request)
    }

    /// Whether what goes out asks for a credential: as the caller wrote the URL, or
    /// with the segment in it that the policy adds.
    fn mints(&self, destination: &Destination, method: &Method, url: &CanonicalUrl) -> bool {
        let with_segment = |segment: &str| {
            let base = destination.url.path();
            let rest = &url.path()[base.len()..];
            let base = base.trim_end_matches('/');
            let path = format!("{base}/{segment}/{}", rest.trim_start_matches('/'));
            minting::mints_at(url, &path, method)
        };
        minting::mints_credentials(url, method)
            || self.inject.iter().any(|it| match &it.slot {
                Slot::Path { segment } => with_segment(&segment.replace(SECRET_MARK, "x")),
                _ => false,
            })
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

    /// What is put where; at least one.
    #[must_use]
    pub fn injections(&self) -> &[Injection] {
        &self.inject
    }

    /// Whether a request's body has to be there as a whole before it can go out: it is
    /// changed, or signed. Otherwise it may stream.
    #[must_use]
    pub fn needs_whole_body(&self) -> bool {
        self.inject.iter().any(|it| it.slot.needs_whole_body())
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
