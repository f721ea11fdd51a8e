//! Slots in the request's target: the path and the query.

use super::{ENCODED, InjectError, Value, joined, with_room};
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

/// What goes onto the request line.
pub(super) struct Target {
    path: Zeroizing<Vec<u8>>,
    /// Without its question mark.
    query: Option<Zeroizing<Vec<u8>>>,
}

impl Target {
    /// A URL's.
    pub(super) fn of(url: &CanonicalUrl) -> Self {
        Self {
            path: joined(&[url.path().as_bytes()]),
            query: url.query().map(|query| joined(&[query.as_bytes()])),
        }
    }

    pub(super) fn path(&self) -> &[u8] {
        &self.path
    }

    pub(super) fn query(&self) -> Option<&[u8]> {
        self.query.as_deref().map(Vec::as_slice)
    }

    /// Whether the query has a parameter, as any server may read it.
    pub(super) fn has_parameter(&self, parameter: &str) -> bool {
        self.query()
            .is_some_and(|query| has_parameter(query, parameter))
    }

    /// Adds a parameter at the end of the query.
    pub(super) fn add_parameter(
        &mut self,
        parameter: &str,
        secret: &Value,
    ) -> Result<(), InjectError> {
        if self.has_parameter(parameter) {
            return Err(InjectError::SlotTaken);
        }
        let before: &[&[u8]] = match self.query() {
            None | Some([]) => &[],
            Some(query) => &[query, b"&"],
        };
        let parts = [before, &[parameter.as_bytes(), b"="]].concat();
        let mut query = with_room(&parts, 3 * secret.bytes().len());
        secret.push_encoded(&mut query, &ENCODED);
        self.query = Some(query);
        Ok(())
    }

    /// Adds a segment right behind the destination's path. The caller's URL does not
    /// have it.
    pub(super) fn add_segment(
        &mut self,
        destination: &Destination,
        segment: &str,
        secret: &Value,
    ) -> Result<(), InjectError> {
        // What a server may take for the end of the segment, or for another path.
        let ends =
            |b: &u8| !b.is_ascii_graphic() || matches!(b, b'/' | b'\\' | b'%' | b'?' | b'#' | b';');
        let (before, after) = segment
            .split_once(SECRET_MARK)
            .ok_or(InjectError::NotInjectable)?;
        let is_dots = |text: &[u8]| text.iter().all(|b| *b == b'.');
        if secret.bytes().iter().any(ends)
            || (is_dots(before.as_bytes()) && is_dots(secret.bytes()) && is_dots(after.as_bytes()))
        {
            return Err(InjectError::NotInjectable);
        }
        let base = destination.url().path().as_bytes();
        let rest = self
            .path
            .strip_prefix(base)
            .ok_or(InjectError::NotInjectable)?;
        let (slash, rest): (&[u8], &[u8]) = match rest.strip_prefix(b"/") {
            Some(rest) => (b"/", rest),
            None if rest.is_empty() => (b"", rest),
            None => (b"/", rest),
        };
        let base = base.strip_suffix(b"/").unwrap_or(base);
        let tail = [after.as_bytes(), slash, rest];
        let room = 3 * secret.bytes().len() + tail.iter().map(|part| part.len()).sum::<usize>();
        let mut path = with_room(&[base, b"/", before.as_bytes()], room);
        secret.push_encoded(&mut path, &IN_PATH);
        for part in tail {
            path.extend_from_slice(part);
        }
        self.path = path;
        Ok(())
    }

    /// Path and query, with the question mark if there is a query.
    pub(super) fn whole(&self) -> Zeroizing<Vec<u8>> {
        match &self.query {
            None => joined(&[&self.path]),
            Some(query) => joined(&[&self.path, b"?", query]),
        }
    }

    pub(super) fn finished(&self) -> Result<PathAndQuery, InjectError> {
        let target = self.whole();
        if target.len() > TARGET_MAX {
            return Err(InjectError::NotInjectable);
        }
        PathAndQuery::from_maybe_shared(Bytes::from_owner(target))
            .map_err(|_| InjectError::NotInjectable)
    }
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
