//! One URL for the check, the Host header, TLS and the dialling alike.
//!
//! ```text
//! https :// api.example.com :8443 /v1/items ?page=2
//! scheme    host             port  path      query
//! ```
//!
//! A destination check is worth what the agreement between the checker and the
//! upstream is worth. So this grammar is narrower than RFC 3986 and far narrower
//! than what browsers accept (WHATWG URL): whatever two parsers are known to read
//! in two ways is refused, not repaired. What is left has one form, and parsing
//! that form gives it back unchanged.

use std::{fmt, net::IpAddr};

mod host;
mod path;

/// The longest URL, as written and in canonical form: 8 KiB.
const URL_MAX: usize = 8 * 1024;

/// How the upstream is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// HTTP over TLS, port 443 unless another is named.
    Https,
    /// Plain HTTP, port 80 unless another is named.
    Http,
}

impl Scheme {
    /// The scheme's name, in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Https => 443,
            Self::Http => 80,
        }
    }
}

/// Whom the upstream is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A DNS name: lower case, punycode, no trailing dot.
    Domain(String),
    /// A literal address.
    Ip(IpAddr),
}

/// Why a text is not a URL that a secret may be sent to. Never holds the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UrlError {
    /// Longer than 8 KiB, as written or in canonical form.
    TooLong,
    /// A control character, white space, a backslash, or a character that a URL
    /// has to percent-encode (RFC 3986, section 2).
    Character,
    /// Not `http://` or `https://`, with exactly two slashes.
    Scheme,
    /// User name or password before the host.
    UserInfo,
    /// A fragment, which is never sent and so says nothing.
    Fragment,
    /// The host is empty, percent-encoded, has a trailing dot, an empty label, a
    /// zone id, or is no DNS name at all.
    Host,
    /// An IPv4 address in any spelling but four plain decimal numbers.
    Ipv4Spelling,
    /// The port is empty, zero, above 65535, or has leading zeros.
    Port,
    /// A `%` without two hexadecimal digits, an encoded NUL, or, in the path, an
    /// encoded control character, slash, backslash, dot or percent-escape, or
    /// bytes that are not UTF-8.
    Encoding,
    /// A path segment that some servers take for `.` or `..`, or a path that
    /// begins with two slashes.
    Segment,
    /// The pass-through's path leads out of the destination.
    Outside,
    /// The policy names no destination that a pass-through could go to.
    NoDestination,
}

impl UrlError {
    /// The rule that was broken, in words.
    #[must_use]
    pub fn rule(self) -> &'static str {
        match self {
            Self::TooLong => "a URL has at most 8 KiB",
            Self::Character => {
                "a URL has no white space, backslash or control character, and outside of its host only ASCII"
            }
            Self::Scheme => "a URL begins with https:// (http:// is for allowed networks)",
            Self::UserInfo => "a URL has no user name or password",
            Self::Fragment => "a URL has no fragment",
            Self::Host => {
                "a URL's host is a DNS name without a trailing dot, or a plain IP address"
            }
            Self::Ipv4Spelling => "an IPv4 address is written as four decimal numbers",
            Self::Port => "a URL's port is a number from 1 to 65535, without leading zeros",
            Self::Encoding => {
                "a percent-encoding is complete and hides no slash, dot, percent-escape or control character"
            }
            Self::Segment => "a path has no segment that servers could read in two ways",
            Self::Outside => "the path stays inside the destination",
            Self::NoDestination => "the policy names a destination",
        }
    }
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rule())
    }
}

impl std::error::Error for UrlError {}

/// A URL in its one canonical form.
///
/// Scheme and host in lower case, the default port left out, dot segments
/// resolved, percent-encoding in upper case with unreserved characters decoded in
/// the path. The query stays as written but for the case of its percent-encoding.
/// The form is a fixed point: parsing [`as_str`](Self::as_str) gives it again.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CanonicalUrl {
    text: String,
    scheme: Scheme,
    host: Host,
    port: u16,
    /// Where in the text the authority, the path and the query's `?` begin.
    authority_at: usize,
    path_at: usize,
    query_at: usize,
}

impl CanonicalUrl {
    /// Takes untrusted text.
    ///
    /// A host outside of ASCII becomes punycode (UTS 46, as browsers do); anything
    /// else outside of ASCII has to come percent-encoded. A trailing dot of the
    /// host is refused rather than dropped, since Host header, certificate and
    /// resolver would each treat it differently.
    ///
    /// # Errors
    /// The text is not of the grammar; see [`UrlError`].
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if text.len() > URL_MAX {
            return Err(UrlError::TooLong);
        }
        // The url crate drops tabs and newlines and turns backslashes silently.
        if text
            .chars()
            .any(|c| c.is_control() || c.is_whitespace() || c == '\\')
        {
            return Err(UrlError::Character);
        }
        if text.contains('#') {
            return Err(UrlError::Fragment);
        }
        let (scheme, rest) = split_scheme(text)?;
        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (raw_path, raw_query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        let (host, port) = host::parse(authority)?;
        let port = port.unwrap_or(scheme.default_port());

        let mut canonical = String::with_capacity(text.len() + 8);
        canonical.push_str(scheme.as_str());
        canonical.push_str("://");
        let authority_at = canonical.len();
        host::write(&host, &mut canonical);
        if port != scheme.default_port() {
            canonical.push(':');
            canonical.push_str(&port.to_string());
        }
        let path_at = canonical.len();
        canonical.push_str(&path::normalize(raw_path)?);
        let query_at = canonical.len();
        if let Some(query) = raw_query {
            canonical.push('?');
            canonical.push_str(&path::normalize_query(query)?);
        }
        if canonical.len() > URL_MAX {
            return Err(UrlError::TooLong);
        }
        let url = Self {
            text: canonical,
            scheme,
            host,
            port,
            authority_at,
            path_at,
            query_at,
        };
        url.second_opinion()?;
        Ok(url)
    }

    /// What a second, independent parser (WHATWG's algorithm) makes of the
    /// canonical form: it must see the same host, port and path, or the URL is one
    /// that two parsers read in two ways. No text is known that gets this far and
    /// is; the check stands for those that are not.
    fn second_opinion(&self) -> Result<(), UrlError> {
        let other = ::url::Url::parse(&self.text).map_err(|_| UrlError::Host)?;
        let same_host = match (other.host(), &self.host) {
            (Some(::url::Host::Domain(theirs)), Host::Domain(ours)) => theirs == ours,
            (Some(::url::Host::Ipv4(theirs)), Host::Ip(ours)) => IpAddr::V4(theirs) == *ours,
            (Some(::url::Host::Ipv6(theirs)), Host::Ip(ours)) => IpAddr::V6(theirs) == *ours,
            _ => false,
        };
        if !same_host
            || other.scheme() != self.scheme.as_str()
            || other.port_or_known_default() != Some(self.port)
            || !other.username().is_empty()
            || other.password().is_some()
        {
            return Err(UrlError::Host);
        }
        if other.path() != self.path() || other.fragment().is_some() {
            return Err(UrlError::Segment);
        }
        Ok(())
    }

    /// How the upstream is spoken to.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Whom the upstream is: what is resolved, dialled and named in TLS.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port that is dialled.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Host and port as the Host header has them, the default port left out.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.text[self.authority_at..self.path_at]
    }

    /// Path and query as the request line has them.
    #[must_use]
    pub fn path_and_query(&self) -> &str {
        &self.text[self.path_at..]
    }

    /// The path; it begins with a slash.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.text[self.path_at..self.query_at]
    }

    /// The query without its question mark, if there is one.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.text.get(self.query_at + 1..)
    }

    /// The whole URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The URL up to its query: what records may keep.
    #[must_use]
    pub fn without_query(&self) -> &str {
        &self.text[..self.query_at]
    }

    /// Whether `other` lies under this URL: same scheme, host and port, and a path
    /// that begins with this one's, whole segments at a time. `/v1` covers `/v1`
    /// and `/v1/x`, not `/v1evil`; `/v1/` covers `/v1/` and `/v1/x`, not `/v1`.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.scheme == other.scheme
            && self.host == other.host
            && self.port == other.port
            && other.path().strip_prefix(self.path()).is_some_and(|rest| {
                self.path().ends_with('/') || rest.is_empty() || rest.starts_with('/')
            })
    }
}

/// Without the query, in which callers put what they should not.
impl fmt::Debug for CanonicalUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CanonicalUrl({})", self.without_query())
    }
}

fn split_scheme(text: &str) -> Result<(Scheme, &str), UrlError> {
    let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
    if scheme.eq_ignore_ascii_case("https") {
        Ok((Scheme::Https, rest))
    } else if scheme.eq_ignore_ascii_case("http") {
        Ok((Scheme::Http, rest))
    } else {
        Err(UrlError::Scheme)
    }
}

#[cfg(test)]
pub(crate) mod tests;
