//! The secret into its slots, at the last moment.
//!
//! First what carries the secret itself, in the policy's order; then the signatures,
//! over the request as it goes out, HMACs before SigV4.

use crate::{
    CanonicalUrl, Denied, Destination, Injection, OutboundRequest, Policy, Slot,
    request::RequestBody,
    scrub::{Patterns, SCRUBBABLE_MIN},
};
use envelope::SecretBytes;
use http::{HeaderMap, Method, uri::PathAndQuery};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};
use source::{Source, Value};
use std::sync::Arc;
use target::Target;
use time::OffsetDateTime;
use zeroize::Zeroizing;

mod body;
mod header;
mod hmac;
mod json;
mod preview;
mod sigv4;
mod source;
mod suits;
mod target;

pub use preview::{Preview, PreviewBody, preview};
pub use source::MASK;
pub use suits::{Unsuited, fits, suits};

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
    /// The body streams, and the policy needs it as a whole
    /// ([`Policy::needs_whole_body`]).
    #[error("the policy needs the request's body as a whole")]
    StreamedBody,
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
    pub(crate) body: RequestBody,
    /// What the answer is searched for.
    pub(crate) patterns: Arc<Patterns>,
}

/// Puts the secret into the policy's slots, having judged the request by the policy
/// once more: there is no other way to an [`InjectedRequest`], so nothing can be
/// sent that was not judged. Signatures are of the time `now`.
///
/// Headers that the destination does not let pass are dropped first. A header of a
/// slot's name that the caller sent is removed, underscores and hyphens taken for the
/// same, as CGI does (RFC 3875, section 4.1.18), and so is the value at the slot's
/// place of a JSON body. A query parameter, form field or cookie of a slot's name is
/// an error, as servers differ in which of two wins.
///
/// # Errors
/// See [`InjectError`].
pub fn inject(
    policy: &Policy,
    request: OutboundRequest,
    secret: &SecretBytes,
    now: OffsetDateTime,
) -> Result<InjectedRequest, InjectError> {
    let request = policy.restrict(request)?;
    let destination = policy.judge(&request.method, &request.url)?;
    let draft = fill(policy, destination, request, &Source::Secret(secret), now)?;
    let target = draft.target.finished()?;
    let secrets: Vec<&[u8]> = draft.secrets.iter().map(|it| it.as_slice()).collect();
    let derived: Vec<&[u8]> = draft.derived.iter().map(|it| it.as_slice()).collect();
    Ok(InjectedRequest {
        method: draft.method,
        url: draft.url,
        target,
        headers: draft.headers,
        body: draft.body,
        patterns: Arc::new(Patterns::new(&secrets, &derived)),
    })
}

/// A request on its way to be sent.
struct Draft {
    method: Method,
    url: CanonicalUrl,
    target: Target,
    headers: HeaderMap,
    body: RequestBody,
    /// What was put somewhere, or signed with: looked for in the answer.
    secrets: Vec<Zeroizing<Vec<u8>>>,
    /// What was made of it, where that can come back in forms of its own.
    derived: Vec<Zeroizing<Vec<u8>>>,
}

/// Fills the slots of a request that was judged.
fn fill(
    policy: &Policy,
    destination: &Destination,
    request: OutboundRequest,
    source: &Source<'_>,
    now: OffsetDateTime,
) -> Result<Draft, InjectError> {
    let OutboundRequest {
        method,
        url,
        headers,
        body,
    } = request;
    let mut draft = Draft {
        target: Target::of(&url),
        method,
        url,
        headers,
        body,
        secrets: Vec::new(),
        derived: Vec::new(),
    };
    for injection in policy.injections() {
        place(injection, destination, &mut draft, source)?;
    }
    for injection in policy.injections() {
        if let Slot::Hmac(slot) = injection.slot() {
            hmac::sign(slot, injection.field(), &mut draft, source, now)?;
        }
    }
    for injection in policy.injections() {
        if let Slot::SigV4(slot) = injection.slot() {
            sigv4::sign(slot, &mut draft, source, now)?;
        }
    }
    Ok(draft)
}

/// Puts the secret itself, or a field of it, where it goes.
fn place(
    injection: &Injection,
    destination: &Destination,
    draft: &mut Draft,
    source: &Source<'_>,
) -> Result<(), InjectError> {
    let value = match injection.slot() {
        Slot::Hmac(_) | Slot::SigV4(_) => return Ok(()),
        _ => source.value(injection.field())?,
    };
    let Draft {
        method,
        target,
        headers,
        body,
        derived,
        ..
    } = draft;
    match injection.slot() {
        Slot::Header { name, format } => {
            let formatted = header::formatted(format, value.bytes())?;
            // Of a longer secret every form of the value has a form of the secret in it.
            if value.bytes().len() < SCRUBBABLE_MIN {
                derived.push(formatted.clone());
            }
            header::set(headers, name.clone(), formatted)?;
        }
        Slot::Basic { username } => {
            derived.push(header::set_basic(headers, username, &value)?);
        }
        Slot::Cookie { name } => header::add_cookie(headers, name, value.bytes())?,
        Slot::Query { parameter } => target.add_parameter(parameter, &value)?,
        Slot::Path { segment } => target.add_segment(destination, segment, &value)?,
        Slot::Form { field } => {
            *body = body::with_field(method, headers, body.whole()?, field, &value)?.into();
        }
        Slot::JsonPointer { pointer } => {
            let secret = value.bytes();
            *body = body::with_value(method, headers, body.whole()?, pointer, secret)?.into();
        }
        Slot::Hmac(_) | Slot::SigV4(_) => {}
    }
    draft.secrets.push(value.into_bytes());
    Ok(())
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

#[cfg(test)]
mod tests;
