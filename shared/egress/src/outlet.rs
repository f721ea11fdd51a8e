//! The one way from an upstream to a caller: every header, every byte of a body
//! and every trailer passes here, decoded first and then scrubbed.

use crate::{
    EgressError,
    decode::Decoding,
    scrub::{Patterns, Scrubber, TooMuchWork},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use std::sync::Arc;

pub(crate) struct Outlet {
    patterns: Arc<Patterns>,
    decoding: Option<Decoding>,
    scrubber: Scrubber,
    /// Scrubbed and not yet taken.
    ready: Option<Bytes>,
    end: End,
}

#[derive(PartialEq, Eq)]
enum End {
    NotYet,
    /// The upstream has said all.
    Came,
    /// And all of it has passed.
    Passed,
}

impl From<TooMuchWork> for EgressError {
    fn from(_: TooMuchWork) -> Self {
        Self::Unscrubbable
    }
}

impl Outlet {
    /// The way out for one answer. `headers` say how its body is encoded; of a body
    /// that is, at most `limit` bytes come out.
    pub(crate) fn new(
        patterns: Arc<Patterns>,
        headers: Option<&HeaderMap>,
        limit: usize,
    ) -> Result<Self, EgressError> {
        let decoding = match headers {
            Some(headers) => Decoding::of(headers, limit)?,
            None => None,
        };
        Ok(Self {
            scrubber: Scrubber::of(patterns.clone()),
            patterns,
            decoding,
            ready: None,
            end: End::NotYet,
        })
    }

    /// Whether the body leaves in another encoding than it came in.
    pub(crate) fn decodes(&self) -> bool {
        self.decoding.is_some()
    }

    /// The headers, their values scrubbed. One whose name is the secret is left out.
    pub(crate) fn headers(&self, headers: &HeaderMap) -> Result<HeaderMap, EgressError> {
        let mut passed = HeaderMap::with_capacity(headers.len());
        for (name, value) in headers {
            // Names come in lower case, whatever was sent.
            if self.patterns.are_in_lower_case(name.as_str().as_bytes())
                || self.scrub(name.as_str().as_bytes())? != name.as_str()
            {
                continue;
            }
            let mut scrubbed = HeaderValue::from_maybe_shared(self.scrub(value.as_bytes())?)
                .map_err(|_| EgressError::Protocol)?;
            scrubbed.set_sensitive(value.is_sensitive());
            passed.append(name.clone(), scrubbed);
        }
        Ok(passed)
    }

    fn scrub(&self, text: &[u8]) -> Result<Bytes, EgressError> {
        let mut scrubber = Scrubber::of(self.patterns.clone());
        let begun = scrubber.push(Bytes::copy_from_slice(text))?;
        let rest = scrubber.finish()?;
        Ok(match (begun.is_empty(), rest.is_empty()) {
            (_, true) => begun,
            (true, false) => rest,
            (false, false) => [begun, rest].concat().into(),
        })
    }

    /// Takes the next piece of the body. Only once what was ready has been pulled.
    pub(crate) fn push(&mut self, piece: Bytes) -> Result<(), EgressError> {
        match &mut self.decoding {
            Some(decoding) => decoding.push(&piece),
            None => self.ready = Some(self.scrubber.push(piece)?),
        }
        Ok(())
    }

    /// The body has ended.
    pub(crate) fn end(&mut self) {
        self.end = End::Came;
        if let Some(decoding) = &mut self.decoding {
            decoding.end();
        }
    }

    /// The next piece that may pass; `None` if it takes more of the body, or all has passed.
    pub(crate) fn pull(&mut self) -> Result<Option<Bytes>, EgressError> {
        if let Some(ready) = self.ready.take().filter(|ready| !ready.is_empty()) {
            return Ok(Some(ready));
        }
        if let Some(decoding) = &mut self.decoding {
            while let Some(piece) = decoding.pull()? {
                let passed = self.scrubber.push(piece)?;
                if !passed.is_empty() {
                    return Ok(Some(passed));
                }
            }
        }
        if self.end != End::Came {
            return Ok(None);
        }
        self.end = End::Passed;
        let rest = self.scrubber.finish()?;
        Ok((!rest.is_empty()).then_some(rest))
    }

    /// Whether all has passed.
    pub(crate) fn is_over(&self) -> bool {
        self.end == End::Passed
    }
}

#[cfg(test)]
mod tests;
