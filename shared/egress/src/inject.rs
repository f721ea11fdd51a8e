//! The secret into its one slot, at the last moment.

use crate::{
    CanonicalUrl, Denied, Injection, OutboundRequest, Policy, headers, policy::SECRET_MARK,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use envelope::SecretBytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header::AUTHORIZATION, uri::PathAndQuery};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};
use zeroize::Zeroizing;

/// The longest request target with a secret in it: 32 KiB. Servers take less.
const TARGET_MAX: usize = 32 * 1024;

/// Unreserved characters stay as they are (RFC 3986, section 2.3).
const ENCODED: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Why a secret was not injected. Nothing was sent, and the reason says nothing
/// about the secret but that it does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InjectError {
    /// The policy does not let the secret go there.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The slot cannot carry a secret of these bytes, or the secret is empty.
    #[error("the secret does not fit into its slot")]
    NotInjectable,
    /// The caller's request already has the query parameter that is the slot.
    #[error("the request already has the parameter that the secret goes into")]
    SlotTaken,
}

/// A request with the secret in it: it can be sent, and nothing else. It has
/// neither Debug nor Clone.
///
/// The buffers that were formatted here are wiped when the last reference to them
/// goes, which includes hyper's, since header values and request targets are
/// shared, not copied. What hyper writes to the connection it copies into its own
/// write buffer, and TLS into its records; neither is wiped.
pub struct InjectedRequest {
    pub(crate) method: Method,
    pub(crate) url: CanonicalUrl,
    /// What goes onto the request line; differs from the URL's if the slot is there.
    pub(crate) target: PathAndQuery,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Puts the secret into the policy's slot, having judged the request by the policy
/// once more: there is no other way to an [`InjectedRequest`], so nothing can be
/// sent that was not judged.
///
/// A header of the slot's name that the caller sent is removed first, underscores
/// and hyphens taken for the same, as CGI does (RFC 3875, section 4.1.18); a query
/// parameter of the slot's name is an error, as servers differ in which of two wins.
///
/// # Errors
/// See [`InjectError`].
pub fn inject(
    policy: &Policy,
    request: OutboundRequest,
    secret: &SecretBytes,
) -> Result<InjectedRequest, InjectError> {
    policy.judge(&request.method, &request.url)?;
    if secret.is_empty() {
        return Err(InjectError::NotInjectable);
    }
    let OutboundRequest {
        method,
        url,
        mut headers,
        body,
    } = request;
    let mut target = None;
    match policy.injection() {
        Injection::Header { name, format } => {
            let (before, after) = format
                .split_once(SECRET_MARK)
                .ok_or(InjectError::NotInjectable)?;
            let secret = secret.expose_secret();
            let value = joined(&[before.as_bytes(), secret, after.as_bytes()]);
            set_header(&mut headers, name.clone(), value)?;
        }
        Injection::Basic { username } => {
            let secret = secret.expose_secret();
            // RFC 7617, section 2: no control characters in either of them.
            if secret.iter().any(u8::is_ascii_control) {
                return Err(InjectError::NotInjectable);
            }
            let pair = joined(&[username.as_bytes(), b":", secret]);
            let mut value = joined(&[b"Basic ", &vec![b'='; pair.len().div_ceil(3) * 4]]);
            let written = BASE64_STANDARD
                .encode_slice(&*pair, &mut value[6..])
                .expect("four bytes for every three have room");
            debug_assert_eq!(written + 6, value.len());
            set_header(&mut headers, AUTHORIZATION, value)?;
        }
        Injection::Query { parameter } => {
            if url
                .query()
                .is_some_and(|query| has_parameter(query, parameter))
            {
                return Err(InjectError::SlotTaken);
            }
            target = Some(with_parameter(&url, parameter, secret.expose_secret())?);
        }
    }
    let target = match target {
        Some(target) => target,
        None => {
            PathAndQuery::try_from(url.path_and_query()).map_err(|_| InjectError::NotInjectable)?
        }
    };
    Ok(InjectedRequest {
        method,
        url,
        target,
        headers,
        body,
    })
}

/// Whether a policy's slot can carry a secret at all: asked when it is put, so that
/// a secret with a line end in it is refused then and not at every use. Without a
/// destination there is nothing to carry it to.
#[must_use]
pub fn fits(policy: &Policy, secret: &SecretBytes) -> bool {
    let Some(destination) = policy.destinations().first() else {
        return true;
    };
    let Some(method) = destination.methods().first() else {
        return true;
    };
    OutboundRequest::new(method.clone(), destination.url().clone(), HeaderMap::new(), Bytes::new())
        .is_ok_and(|request| inject(policy, request, secret).is_ok())
}

/// Visible ASCII with blanks inside: anything else is obsolete or ends a header
/// (RFC 9110, section 5.5).
fn set_header(
    headers: &mut HeaderMap,
    name: HeaderName,
    value: Zeroizing<Vec<u8>>,
) -> Result<(), InjectError> {
    let visible = value.iter().all(|b| *b == b' ' || b.is_ascii_graphic());
    if !visible || value.trim_ascii().len() != value.len() {
        return Err(InjectError::NotInjectable);
    }
    let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(value))
        .map_err(|_| InjectError::NotInjectable)?;
    value.set_sensitive(true);
    headers::remove_where(headers, |other| headers::same(other, &name));
    headers.insert(name, value);
    Ok(())
}

/// Path and query with one more parameter at the end.
fn with_parameter(
    url: &CanonicalUrl,
    parameter: &str,
    secret: &[u8],
) -> Result<PathAndQuery, InjectError> {
    let separator = match url.query() {
        None => "?",
        Some("") => "",
        Some(_) => "&",
    };
    let head = [url.path_and_query(), separator, parameter, "="];
    // Room for all at once: a buffer that grew would leave copies behind.
    let room = head.iter().map(|part| part.len()).sum::<usize>() + 3 * secret.len();
    let mut target = Zeroizing::new(Vec::with_capacity(room));
    for part in head {
        target.extend_from_slice(part.as_bytes());
    }
    for part in percent_encode(secret, &ENCODED) {
        target.extend_from_slice(part.as_bytes());
    }
    if target.len() > TARGET_MAX {
        return Err(InjectError::NotInjectable);
    }
    PathAndQuery::from_maybe_shared(Bytes::from_owner(target))
        .map_err(|_| InjectError::NotInjectable)
}

/// Whether a query has a parameter, as any server may read it: names decoded,
/// letter case ignored, `;` taken for a separator too.
fn has_parameter(query: &str, parameter: &str) -> bool {
    query.split(['&', ';']).any(|pair| {
        let name = pair.split('=').next().unwrap_or_default().replace('+', " ");
        let decoded: Vec<u8> = percent_decode(name.as_bytes()).collect();
        decoded
            .trim_ascii()
            .eq_ignore_ascii_case(parameter.as_bytes())
    })
}

fn joined(parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let mut whole = Zeroizing::new(Vec::with_capacity(
        parts.iter().map(|part| part.len()).sum(),
    ));
    for part in parts {
        whole.extend_from_slice(part);
    }
    whole
}

#[cfg(test)]
mod tests;
