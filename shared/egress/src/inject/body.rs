//! Slots in the request's body.

use super::{ENCODED, InjectError, Value, joined, json, target::has_parameter, with_room};
use crate::REQUEST_BODY_MAX;
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE},
};
use zeroize::Zeroizing;

/// Methods whose bodies have no meaning (RFC 9110, section 9.3).
pub(super) fn is_without(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// A form with one more field at its end. An empty body becomes a form.
pub(super) fn with_field(
    method: &Method,
    headers: &mut HeaderMap,
    body: &[u8],
    field: &str,
    secret: &Value,
) -> Result<Bytes, InjectError> {
    const FORM: &str = "application/x-www-form-urlencoded";
    if is_without(method) {
        return Err(InjectError::NoSlot);
    }
    match kind(headers)?.as_deref() {
        Some(FORM) => {}
        None if body.is_empty() => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(FORM));
        }
        _ => return Err(InjectError::NoSlot),
    }
    if has_parameter(body, field) {
        return Err(InjectError::SlotTaken);
    }
    let separator: &[u8] = if body.is_empty() { b"" } else { b"&" };
    let mut form = with_room(
        &[body, separator, field.as_bytes(), b"="],
        3 * secret.bytes().len(),
    );
    secret.push_encoded(&mut form, &ENCODED);
    finished(headers, form)
}

/// A JSON text with the secret as a string in the place of what is at the pointer.
/// All else stays as the caller wrote it, byte for byte.
pub(super) fn with_value(
    method: &Method,
    headers: &mut HeaderMap,
    body: &[u8],
    pointer: &str,
    secret: &[u8],
) -> Result<Bytes, InjectError> {
    let is_json = |kind: &str| kind == "application/json" || kind.ends_with("+json");
    if is_without(method) || !kind(headers)?.is_some_and(|kind| is_json(&kind)) {
        return Err(InjectError::NoSlot);
    }
    let secret = std::str::from_utf8(secret).map_err(|_| InjectError::NotInjectable)?;
    let place = json::place(body, pointer)?;
    let quoted = json::quoted(secret);
    let whole = joined(&[&body[..place.start], &quoted, &body[place.end..]]);
    finished(headers, whole)
}

/// A body's media type without its parameters, in lower case. An encoded body is
/// not looked into.
fn kind(headers: &HeaderMap) -> Result<Option<String>, InjectError> {
    let mut kinds = headers.get_all(CONTENT_TYPE).iter();
    if headers.contains_key(CONTENT_ENCODING) {
        return Err(InjectError::NoSlot);
    }
    match (kinds.next(), kinds.next()) {
        (None, _) => Ok(None),
        (Some(kind), None) => {
            let kind = kind.to_str().map_err(|_| InjectError::NoSlot)?;
            let kind = kind.split(';').next().unwrap_or_default();
            Ok(Some(kind.trim().to_ascii_lowercase()))
        }
        _ => Err(InjectError::NoSlot),
    }
}

fn finished(headers: &mut HeaderMap, body: Zeroizing<Vec<u8>>) -> Result<Bytes, InjectError> {
    if body.len() > REQUEST_BODY_MAX {
        return Err(InjectError::NotInjectable);
    }
    // That of the body as it was; hyper says the new one.
    headers.remove(CONTENT_LENGTH);
    Ok(Bytes::from_owner(body))
}
