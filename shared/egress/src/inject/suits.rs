//! Whether a secret is one that a policy can carry: asked when it is put, so that one
//! with a line end in it is refused then and not at every use.

use super::{Source, body, fill, json};
use crate::{OutboundRequest, Policy, SCRUBBABLE_MIN, SCRUBBABLE_RULE, Slot, scrubbable};
use bytes::Bytes;
use envelope::SecretBytes;
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
use time::OffsetDateTime;

/// Why a secret does not suit a policy. Says nothing about it but that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {rule}", field.as_deref().unwrap_or("the secret"))]
pub struct Unsuited {
    /// Which field of a JSON secret, as the policy names it; `None` for the secret.
    pub field: Option<String>,
    /// The rule that it must follow.
    pub rule: &'static str,
}

/// Whether a policy's slots can carry a secret, and the scrubber find it. Without a
/// destination there is nothing to carry it to.
///
/// # Errors
/// The first rule that is broken, and by which field.
pub fn suits(policy: &Policy, secret: &SecretBytes) -> Result<(), Unsuited> {
    if policy.destinations().is_empty() {
        return Ok(());
    }
    let source = Source::Secret(secret);
    for injection in policy.injections() {
        match injection.slot() {
            Slot::SigV4(sigv4) => {
                // The access key id is no secret.
                field(&source, sigv4.access_key_id(), 1)?;
                field(&source, sigv4.secret_access_key(), SCRUBBABLE_MIN)?;
                if let Some(token) = sigv4.session_token() {
                    field(&source, token, SCRUBBABLE_MIN)?;
                }
            }
            _ => match injection.field() {
                Some(pointer) => field(&source, pointer, SCRUBBABLE_MIN)?,
                None if !scrubbable(secret) => return Err(unsuited(None, SCRUBBABLE_RULE)),
                None => {}
            },
        }
    }
    if carried(policy, secret) {
        Ok(())
    } else {
        Err(unsuited(
            None,
            "bytes that the slots of its policy can carry: a header takes visible ASCII, without a line end",
        ))
    }
}

/// Whether a policy's slots can carry a secret: its fields are there, long enough to be
/// scrubbed, and without bytes that a slot cannot have. Whether a secret that has no
/// fields is long enough, [`scrubbable`] says; [`suits`] says it all, and why not.
#[must_use]
pub fn fits(policy: &Policy, secret: &SecretBytes) -> bool {
    let names_fields = policy
        .injections()
        .iter()
        .any(|it| it.field().is_some() || matches!(it.slot(), Slot::SigV4(_)));
    if names_fields {
        suits(policy, secret).is_ok()
    } else {
        carried(policy, secret)
    }
}

/// A string of the secret, and at least so long without the blanks at its ends.
fn field(source: &Source<'_>, pointer: &str, least: usize) -> Result<(), Unsuited> {
    match source.value(Some(pointer)) {
        Err(_) => Err(unsuited(
            Some(pointer),
            "a string of the JSON that the secret is, not empty",
        )),
        Ok(value) if value.bytes().trim_ascii().len() < least => {
            Err(unsuited(Some(pointer), SCRUBBABLE_RULE))
        }
        Ok(_) => Ok(()),
    }
}

fn unsuited(field: Option<&str>, rule: &'static str) -> Unsuited {
    Unsuited {
        field: field.map(str::to_owned),
        rule,
    }
}

/// Tries it, on the emptiest request there is.
fn carried(policy: &Policy, secret: &SecretBytes) -> bool {
    let Some(destination) = policy.destinations().first() else {
        return true;
    };
    // Only the slots are in question, so the method is one that may have a body, if there is one.
    let may_have_body = |method: &&http::Method| !body::is_without(method);
    let methods = destination.methods();
    let Some(method) = methods.iter().find(may_have_body).or(methods.first()) else {
        return true;
    };
    let mut headers = HeaderMap::new();
    let mut body = Bytes::new();
    let pointers: Vec<&str> = policy
        .injections()
        .iter()
        .filter_map(|it| match it.slot() {
            Slot::JsonPointer { pointer } => Some(pointer.as_str()),
            _ => None,
        })
        .collect();
    if !pointers.is_empty() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        body = json::smallest(pointers.into_iter()).into();
    }
    let url = destination.url().clone();
    let Ok(request) = OutboundRequest::new(method.clone(), url, headers, body) else {
        return false;
    };
    let source = Source::Secret(secret);
    fill(
        policy,
        destination,
        request,
        &source,
        OffsetDateTime::UNIX_EPOCH,
    )
    .and_then(|draft| draft.target.finished())
    .is_ok()
}
