//! Slots in the request's target: the path and the query.

use super::{ENCODED, InjectError, push_encoded, with_room};
use crate::{CanonicalUrl, Destination, policy::SECRET_MARK};
use bytes::Bytes;
use http::uri::PathAndQuery;
use percent_encoding::{AsciiSet, percent_decode};
use zeroize::Zeroizing;

/// The longest request target with a secret in it: 32 KiB. Servers take less.
const TARGET_MAX: usize = 32 * 1024;

/// In a path a colon is as good as encoded (RFC 3986, section 3.3), and some
/// servers, Telegram's for one, document it so.
const IN_PATH: AsciiSet = ENCODED.remove(b':');

/// Path and query with one more parameter at the end.
pub(super) fn with_parameter(
    url: &CanonicalUrl,
    parameter: &str,
    secret: &[u8],
) -> Result<PathAndQuery, InjectError> {
    if url
        .query()
        .is_some_and(|query| has_parameter(query.as_bytes(), parameter))
    {
        return Err(InjectError::SlotTaken);
    }
    let separator = match url.query() {
        None => "?",
        Some("") => "",
        Some(_) => "&",
    };
    let head = [url.path_and_query(), separator, parameter, "="].map(str::as_bytes);
    let mut target = with_room(&head, 3 * secret.len());
    push_encoded(&mut target, secret, &ENCODED);
    finished(target)
}

/// Path and query with one more segment, right behind the destination's path. The
/// caller's URL does not have it.
pub(super) fn with_segment(
    url: &CanonicalUrl,
    destination: &Destination,
    segment: &str,
    secret: &[u8],
) -> Result<PathAndQuery, InjectError> {
    // What a server may take for the end of the segment, or for another path.
    let ends =
        |b: &u8| !b.is_ascii_graphic() || matches!(b, b'/' | b'\\' | b'%' | b'?' | b'#' | b';');
    let (before, after) = segment
        .split_once(SECRET_MARK)
        .ok_or(InjectError::NotInjectable)?;
    let is_dots = |text: &[u8]| text.iter().all(|b| *b == b'.');
    if secret.iter().any(ends)
        || (is_dots(before.as_bytes()) && is_dots(secret) && is_dots(after.as_bytes()))
    {
        return Err(InjectError::NotInjectable);
    }
    let base = destination.url().path();
    let rest = url
        .path()
        .strip_prefix(base)
        .ok_or(InjectError::NotInjectable)?;
    let (slash, rest) = match rest.strip_prefix('/') {
        Some(rest) => ("/", rest),
        None if rest.is_empty() => ("", rest),
        None => ("/", rest),
    };
    let base = base.strip_suffix('/').unwrap_or(base);
    let (mark, query) = match url.query() {
        Some(query) => ("?", query),
        None => ("", ""),
    };
    let tail = [after, slash, rest, mark, query].map(str::as_bytes);
    let room = 3 * secret.len() + tail.iter().map(|part| part.len()).sum::<usize>();
    let mut target = with_room(&[base, "/", before].map(str::as_bytes), room);
    push_encoded(&mut target, secret, &IN_PATH);
    for part in tail {
        target.extend_from_slice(part);
    }
    finished(target)
}

fn finished(target: Zeroizing<Vec<u8>>) -> Result<PathAndQuery, InjectError> {
    if target.len() > TARGET_MAX {
        return Err(InjectError::NotInjectable);
    }
    PathAndQuery::from_maybe_shared(Bytes::from_owner(target))
        .map_err(|_| InjectError::NotInjectable)
}

/// Whether a query or a form has a parameter, as any server may read it: names
/// decoded, letter case ignored, `;` taken for a separator too.
pub(super) fn has_parameter(query: &[u8], parameter: &str) -> bool {
    query.split(|b| matches!(b, b'&' | b';')).any(|pair| {
        let name = pair.split(|b| *b == b'=').next().unwrap_or_default();
        let blank = |b: &u8| if *b == b'+' { b' ' } else { *b };
        let name: Vec<u8> = name.iter().map(blank).collect();
        let decoded: Vec<u8> = percent_decode(&name).collect();
        decoded
            .trim_ascii()
            .eq_ignore_ascii_case(parameter.as_bytes())
    })
}
