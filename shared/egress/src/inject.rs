//! The secret into its one slot, at the last moment.

use crate::{
    CanonicalUrl, Denied, Injection, OutboundRequest, Policy,
    scrub::{Patterns, SCRUBBABLE_MIN},
};
use bytes::Bytes;
use envelope::SecretBytes;
use http::{HeaderMap, HeaderValue, Method, header::CONTENT_TYPE, uri::PathAndQuery};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use std::sync::Arc;
use zeroize::Zeroizing;

mod body;
mod header;
mod json;
mod target;

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
    /// The caller's request already has the parameter, the field or the cookie that
    /// is the slot, or has it twice.
    #[error("the request already has what the secret goes into")]
    SlotTaken,
    /// The caller's request has no place for the slot: its body is no form, no JSON,
    /// or no JSON with a value there.
    #[error("the request has no place for the secret")]
    NoSlot,
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
    /// What the answer is searched for.
    pub(crate) patterns: Arc<Patterns>,
}

/// Puts the secret into the policy's slot, having judged the request by the policy
/// once more: there is no other way to an [`InjectedRequest`], so nothing can be
/// sent that was not judged.
///
/// A header of the slot's name that the caller sent is removed first, underscores
/// and hyphens taken for the same, as CGI does (RFC 3875, section 4.1.18), and so is
/// the value at the slot's place of a JSON body. A query parameter, form field or
/// cookie of the slot's name is an error, as servers differ in which of two wins.
///
/// # Errors
/// See [`InjectError`].
pub fn inject(
    policy: &Policy,
    request: OutboundRequest,
    secret: &SecretBytes,
) -> Result<InjectedRequest, InjectError> {
    let destination = policy.judge(&request.method, &request.url)?;
    if secret.is_empty() {
        return Err(InjectError::NotInjectable);
    }
    let secret = secret.expose_secret();
    let OutboundRequest {
        method,
        url,
        mut headers,
        mut body,
    } = request;
    let mut target = None;
    // What the secret was made into, where that can come back in forms of its own.
    let mut made = None;
    match policy.injection() {
        Injection::Header { name, format } => {
            let value = header::formatted(format, secret)?;
            // Of a longer secret every form of the value has a form of the secret in it.
            if secret.len() < SCRUBBABLE_MIN {
                made = Some(value.clone());
            }
            header::set(&mut headers, name.clone(), value)?;
        }
        Injection::Basic { username } => {
            made = Some(header::set_basic(&mut headers, username, secret)?);
        }
        Injection::Cookie { name } => header::add_cookie(&mut headers, name, secret)?,
        Injection::Query { parameter } => {
            target = Some(target::with_parameter(&url, parameter, secret)?);
        }
        Injection::Path { segment } => {
            target = Some(target::with_segment(&url, destination, segment, secret)?);
        }
        Injection::Form { field } => {
            body = body::with_field(&method, &mut headers, &body, field, secret)?;
        }
        Injection::JsonPointer { pointer } => {
            body = body::with_value(&method, &mut headers, &body, pointer, secret)?;
        }
    }
    let target = match target {
        Some(target) => target,
        None => {
            PathAndQuery::try_from(url.path_and_query()).map_err(|_| InjectError::NotInjectable)?
        }
    };
    let made: Vec<&[u8]> = made.iter().map(|made| made.as_slice()).collect();
    Ok(InjectedRequest {
        method,
        url,
        target,
        headers,
        body,
        patterns: Arc::new(Patterns::new(secret, &made)),
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
    // Only the slot is in question, so the method is one that may have a body, if there is one.
    let may_have_body = |method: &&Method| !body::is_without(method);
    let methods = destination.methods();
    let Some(method) = methods.iter().find(may_have_body).or(methods.first()) else {
        return true;
    };
    let mut headers = HeaderMap::new();
    let mut body = Bytes::new();
    if let Injection::JsonPointer { pointer } = policy.injection() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        body = json::smallest(pointer).into();
    }
    OutboundRequest::new(method.clone(), destination.url().clone(), headers, body)
        .is_ok_and(|request| inject(policy, request, secret).is_ok())
}

/// A buffer that is wiped, of parts, with room for more: one that grew would leave
/// copies behind.
fn joined(parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    with_room(parts, 0)
}

fn with_room(parts: &[&[u8]], more: usize) -> Zeroizing<Vec<u8>> {
    let length = parts.iter().map(|part| part.len()).sum::<usize>();
    let mut whole = Zeroizing::new(Vec::with_capacity(length + more));
    for part in parts {
        whole.extend_from_slice(part);
    }
    whole
}

/// Adds the secret, percent-encoded. There is room for three times its length.
fn push_encoded(to: &mut Vec<u8>, secret: &[u8], set: &'static AsciiSet) {
    for part in percent_encode(secret, set) {
        to.extend_from_slice(part.as_bytes());
    }
}

#[cfg(test)]
mod tests;
