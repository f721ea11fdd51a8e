//! Slots in the request's headers.

use super::{InjectError, Value, joined};
use crate::{headers, policy::SECRET_MARK};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{AUTHORIZATION, COOKIE},
};
use percent_encoding::percent_decode;
use zeroize::Zeroizing;

/// A header's value, by its format.
pub(super) fn formatted(format: &str, secret: &[u8]) -> Result<Zeroizing<Vec<u8>>, InjectError> {
    let (before, after) = format
        .split_once(SECRET_MARK)
        .ok_or(InjectError::NotInjectable)?;
    Ok(joined(&[before.as_bytes(), secret, after.as_bytes()]))
}

/// Sets HTTP Basic, and gives the pair back that it is made of.
pub(super) fn set_basic(
    headers: &mut HeaderMap,
    username: &str,
    secret: &Value,
) -> Result<Zeroizing<Vec<u8>>, InjectError> {
    if secret.is_mask() {
        let value = joined(&[b"Basic ", secret.bytes()]);
        set(headers, AUTHORIZATION, value)?;
        return Ok(Zeroizing::default());
    }
    let secret = secret.bytes();
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
    set(headers, AUTHORIZATION, value)?;
    Ok(pair)
}

/// Adds a cookie to those that the caller sent, all in one header (RFC 6265, section 5.4).
pub(super) fn add_cookie(
    headers: &mut HeaderMap,
    name: &str,
    secret: &[u8],
) -> Result<(), InjectError> {
    if !secret.iter().all(|b| is_cookie_octet(*b)) {
        return Err(InjectError::NotInjectable);
    }
    let mut parts: Vec<&[u8]> = Vec::new();
    for value in headers.get_all(COOKIE) {
        if has_cookie(value.as_bytes(), name) {
            return Err(InjectError::SlotTaken);
        }
        let value = value.as_bytes().trim_ascii();
        let value = value.strip_suffix(b";").unwrap_or(value);
        if !value.is_empty() {
            parts.extend([value, b"; "]);
        }
    }
    parts.extend([name.as_bytes(), b"=", secret]);
    let value = joined(&parts);
    set(headers, COOKIE, value)
}

/// RFC 6265, section 4.1.1: visible ASCII without quotes, commas, semicolons and backslashes.
fn is_cookie_octet(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\')
}

/// Whether there is a cookie of a name, as any server may read it: commas taken for
/// separators too (RFC 2109), names decoded, letter case ignored.
fn has_cookie(value: &[u8], name: &str) -> bool {
    value.split(|b| matches!(b, b';' | b',')).any(|pair| {
        let written = pair.split(|b| *b == b'=').next().unwrap_or_default();
        let decoded: Vec<u8> = percent_decode(written).collect();
        decoded.trim_ascii().eq_ignore_ascii_case(name.as_bytes())
    })
}

/// Visible ASCII with blanks inside: anything else is obsolete or ends a header
/// (RFC 9110, section 5.5).
pub(super) fn set(
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
