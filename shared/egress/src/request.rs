//! What of the caller's request goes on to the upstream.

use crate::{CanonicalUrl, InjectError, headers, policy::METHODS, upload::RequestStream};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method,
    header::{ACCEPT_ENCODING, CONTENT_LENGTH},
};

/// The largest body of a request that is there as a whole: 6 MiB.
pub const REQUEST_BODY_MAX: usize = 6 * 1024 * 1024;

const HEADERS_MAX: usize = 100;
const HEADERS_BYTES_MAX: usize = 32 * 1024;

/// Why a caller's request cannot be sent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// CONNECT, TRACE, or a method that no policy can allow.
    #[error("this method cannot be sent on")]
    Method,
    /// More than 100 headers, or more than 32 KiB of them.
    #[error("at most 100 headers of 32 KiB together")]
    HeadersTooLarge,
    /// The body is over 6 MiB.
    #[error("the body has at most 6 MiB")]
    BodyTooLarge,
}

/// A caller's request, reduced to what may go on. Nothing in it is the broker's
/// secret yet, and nothing in it is replaced: `{secret}` in a caller's text is text.
///
/// It has no Debug: a caller's headers and body are nobody's business.
pub struct OutboundRequest {
    pub(crate) method: Method,
    pub(crate) url: CanonicalUrl,
    pub(crate) headers: HeaderMap,
    pub(crate) body: RequestBody,
}

/// A request's body.
pub(crate) enum RequestBody {
    Whole(Bytes),
    Streamed(RequestStream),
}

impl RequestBody {
    /// All of it, to be changed or signed.
    pub(crate) fn whole(&self) -> Result<&[u8], InjectError> {
        match self {
            Self::Whole(body) => Ok(body),
            Self::Streamed(_) => Err(InjectError::StreamedBody),
        }
    }

    /// Its length in bytes, if that is known.
    pub(crate) fn known_length(&self) -> Option<u64> {
        match self {
            Self::Whole(body) => Some(body.len() as u64),
            Self::Streamed(stream) => stream.length(),
        }
    }
}

impl From<Bytes> for RequestBody {
    fn from(body: Bytes) -> Self {
        Self::Whole(body)
    }
}

impl OutboundRequest {
    /// Takes the caller's request. Dropped from its headers are
    ///
    /// - the connection's: hop-by-hop ones, those that `Connection` names, `Host`,
    ///   `Content-Length`, `Expect` (RFC 9110, section 7.6.1);
    /// - what gateways on the way put in: `Forwarded`, `X-Forwarded-*`, `Via`,
    ///   `X-Amzn-*`, `X-Amz-Cf-*`, `Proxy-*`;
    /// - the broker's: `Byok-*`, and whatever carries a broker token;
    /// - what asks for a part of an answer: it may end in the middle of the secret.
    ///
    /// `Accept-Encoding` becomes `identity`: a compressed answer is decoded before it
    /// is searched for the secret, and leaves decoded, so nobody gains by it.
    ///
    /// # Errors
    /// The method cannot be sent on, or something is over its limit.
    pub fn new(
        method: Method,
        url: CanonicalUrl,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Self, RequestError> {
        if body.len() > REQUEST_BODY_MAX {
            return Err(RequestError::BodyTooLarge);
        }
        Self::with_body(method, url, headers, body.into())
    }

    /// The same with a body that goes on as it arrives. How much of it may come, and
    /// how long that may take, the dialler's limits say. Where the policy needs the
    /// body as a whole ([`Policy::needs_whole_body`](crate::Policy::needs_whole_body)),
    /// such a request is refused.
    ///
    /// # Errors
    /// The method cannot be sent on, or the headers are over their limit.
    pub fn streamed(
        method: Method,
        url: CanonicalUrl,
        headers: HeaderMap,
        body: RequestStream,
    ) -> Result<Self, RequestError> {
        let body = match body.length() {
            Some(0) => Bytes::new().into(),
            _ => RequestBody::Streamed(body),
        };
        Self::with_body(method, url, headers, body)
    }

    fn with_body(
        method: Method,
        url: CanonicalUrl,
        mut headers: HeaderMap,
        body: RequestBody,
    ) -> Result<Self, RequestError> {
        if !METHODS.contains(&method) {
            return Err(RequestError::Method);
        }
        let size: usize = headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum();
        if headers.len() > HEADERS_MAX || size > HEADERS_BYTES_MAX {
            return Err(RequestError::HeadersTooLarge);
        }
        headers::strip_hop_by_hop(&mut headers);
        let with_token: Vec<_> = headers
            .iter()
            .filter(|(_, value)| headers::carries_token(value.as_bytes()))
            .map(|(name, _)| name.clone())
            .collect();
        headers::remove_where(&mut headers, |name| {
            !headers::may_pass(name) || headers::asks_for_part(name) || with_token.contains(name)
        });
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        // hyper leaves an empty body's length unsaid, which some servers answer with 411.
        let is_empty = matches!(&body, RequestBody::Whole(body) if body.is_empty());
        if is_empty && matches!(method, Method::POST | Method::PUT | Method::PATCH) {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        Ok(Self {
            method,
            url,
            headers,
            body,
        })
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Where it goes.
    #[must_use]
    pub fn url(&self) -> &CanonicalUrl {
        &self.url
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;

    fn url() -> CanonicalUrl {
        CanonicalUrl::parse("https://api.example.com/v1").unwrap()
    }

    fn reduced(pairs: &[(&str, &str)]) -> HeaderMap {
        let headers = pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::try_from(*name).unwrap(),
                    HeaderValue::try_from(*value).unwrap(),
                )
            })
            .fold(HeaderMap::new(), |mut map, (name, value)| {
                map.append(name, value);
                map
            });
        OutboundRequest::new(Method::GET, url(), headers, Bytes::new())
            .ok()
            .unwrap()
            .headers
    }

    #[test]
    fn only_the_callers_own_headers_go_on() {
        let token = format!("byok_acme_{}", "a".repeat(43));
        let headers = reduced(&[
            ("Host", "evil.example"),
            ("Content-Length", "5"),
            ("Transfer-Encoding", "chunked"),
            ("Connection", "keep-alive, X-Hop"),
            ("Connection", "x-hop-2 ,"),
            ("Keep-Alive", "1"),
            ("X-Hop", "1"),
            ("X-Hop-2", "1"),
            ("TE", "trailers"),
            ("Trailer", "x"),
            ("Upgrade", "websocket"),
            ("Expect", "100-continue"),
            ("Proxy-Authorization", "x"),
            ("Proxy-Anything", "x"),
            ("Byok-Receipt", "x"),
            ("Forwarded", "for=1.2.3.4"),
            ("X-Forwarded-For", "1.2.3.4"),
            ("X-Forwarded-Host", "evil.example"),
            ("X_Forwarded_Proto", "http"),
            ("Proxy-Connection", "close"),
            ("Connection", "Close, X-Hop-3,X-Hop-4"),
            ("x-hop-3", "1"),
            ("X-HOP-4", "1"),
            ("traceparent", "00-4bf9-00f0-01"),
            ("tracestate", "a=b"),
            ("X-Amzn-Trace-Id", "x"),
            ("X-Amz-Cf-Id", "x"),
            ("Via", "x"),
            ("Accept-Encoding", "gzip, br"),
            ("X-Api-Key", &token),
            ("Authorization", &format!("Bearer {token}")),
            ("Accept", "text/plain"),
            ("X-Amz-Date", "today"),
            ("X-Template", "{secret}"),
            ("Range", "bytes=0-3"),
            ("If-Range", "x"),
            ("X-MS-Range", "bytes=0-3"),
        ]);
        let mut left: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        left.sort_unstable();
        assert_eq!(
            left,
            [
                ("accept", "text/plain"),
                ("accept-encoding", "identity"),
                ("traceparent", "00-4bf9-00f0-01"),
                ("tracestate", "a=b"),
                ("x-amz-date", "today"),
                ("x-template", "{secret}"),
            ]
        );
    }

    #[test]
    fn a_name_is_dropped_whole_when_one_of_its_values_carries_a_token() {
        let token = format!("byok_acme_{}", "a".repeat(43));
        assert!(
            !reduced(&[("x-api-key", "mine"), ("x-api-key", &token)]).contains_key("x-api-key")
        );
    }

    #[test]
    fn tunnels_echoes_and_unknown_methods_are_refused() {
        for name in ["CONNECT", "TRACE", "PROPFIND", "get", "BREW"] {
            let method = Method::from_bytes(name.as_bytes()).unwrap();
            let refused = OutboundRequest::new(method, url(), HeaderMap::new(), Bytes::new()).err();
            assert_eq!(refused, Some(RequestError::Method), "{name}");
        }
    }

    #[test]
    fn a_request_over_a_limit_is_refused() {
        let new = |headers, body| OutboundRequest::new(Method::POST, url(), headers, body).err();
        let mut many = HeaderMap::new();
        for i in 0..=HEADERS_MAX {
            many.append("x-many", HeaderValue::from(i));
        }
        assert_eq!(new(many, Bytes::new()), Some(RequestError::HeadersTooLarge));
        let mut large = HeaderMap::new();
        large.insert(
            "x-large",
            HeaderValue::try_from("a".repeat(HEADERS_BYTES_MAX)).unwrap(),
        );
        assert_eq!(
            new(large, Bytes::new()),
            Some(RequestError::HeadersTooLarge)
        );
        let body = Bytes::from(vec![0; REQUEST_BODY_MAX + 1]);
        assert_eq!(
            new(HeaderMap::new(), body),
            Some(RequestError::BodyTooLarge)
        );
    }
}
