//! An answer's content encodings, undone, so that there is something to search.
//!
//! Everything comes out in pieces of at most 64 KiB, however far a compressed
//! byte expands, and no encoding holds back more than its own window.

use crate::EgressError;
use bytes::{Buf, Bytes, BytesMut};
use codec::Codec;
use http::{HeaderMap, header::CONTENT_ENCODING};

mod codec;
mod gzip;
mod zstd;

/// The most encodings on top of one another; servers apply one.
const LAYERS_MAX: usize = 3;
/// The largest piece that comes out.
const PIECE_MAX: usize = 64 * 1024;

/// What came is not what its encoding says.
struct Undecodable;

/// What one step took of its input and gave.
struct Step {
    taken: usize,
    given: usize,
}

/// Undoes all content encodings of one answer.
pub(crate) struct Decoding {
    /// The first is the one that was applied last.
    layers: Vec<Layer>,
    /// No more input comes.
    ended: bool,
}

struct Layer {
    codec: Codec,
    input: BytesMut,
    /// How many bytes may still come out.
    left: usize,
}

impl Decoding {
    /// The encodings that the headers name (RFC 9110, section 8.4); `None` if there
    /// are none. Of each of them at most `limit` bytes come out.
    ///
    /// # Errors
    /// One is not known, or there are more than three.
    pub(crate) fn of(headers: &HeaderMap, limit: usize) -> Result<Option<Self>, EgressError> {
        let mut layers = Vec::new();
        for value in headers.get_all(CONTENT_ENCODING) {
            for name in value.as_bytes().split(|b| *b == b',') {
                let codec = match &*name.trim_ascii().to_ascii_lowercase() {
                    b"" | b"identity" => continue,
                    b"gzip" | b"x-gzip" => Codec::gzip(),
                    b"deflate" => Codec::deflate(),
                    b"br" => Codec::brotli(),
                    b"zstd" => Codec::zstd(),
                    _ => return Err(EgressError::Unscrubbable),
                };
                layers.push(Layer {
                    codec,
                    input: BytesMut::new(),
                    left: limit,
                });
            }
        }
        layers.reverse();
        match layers.len() {
            0 => Ok(None),
            1..=LAYERS_MAX => Ok(Some(Self {
                layers,
                ended: false,
            })),
            _ => Err(EgressError::Unscrubbable),
        }
    }

    /// Takes the next piece as it came.
    pub(crate) fn push(&mut self, piece: &Bytes) {
        self.layers[0].input.extend_from_slice(piece);
    }

    /// No more pieces come.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// The next decoded piece; `None` if it takes more input, or all is out.
    ///
    /// # Errors
    /// The input is not of its encoding, ends too early, goes on behind its end, or
    /// expands beyond the limit.
    pub(crate) fn pull(&mut self) -> Result<Option<Bytes>, EgressError> {
        let last = self.layers.len() - 1;
        self.pull_of(last)
    }

    fn pull_of(&mut self, layer: usize) -> Result<Option<Bytes>, EgressError> {
        let mut piece = vec![0; PIECE_MAX];
        loop {
            let Layer { codec, input, left } = &mut self.layers[layer];
            let step = codec
                .step(input, &mut piece)
                .map_err(|Undecodable| EgressError::Unscrubbable)?;
            input.advance(step.taken);
            *left = left.checked_sub(step.given).ok_or(EgressError::TooLarge)?;
            if step.given > 0 {
                piece.truncate(step.given);
                return Ok(Some(piece.into()));
            }
            if step.taken > 0 {
                continue;
            }
            // It needs more: from the layer around it, or from the upstream.
            let more = match layer.checked_sub(1) {
                Some(around) => self.pull_of(around)?,
                None => None,
            };
            let ended = self.ended;
            let Layer { codec, input, .. } = &mut self.layers[layer];
            match more {
                Some(more) => input.extend_from_slice(&more),
                // A body of no bytes at all is nobody's encoding, and harmless.
                None if !ended || (input.is_empty() && codec.may_end()) => return Ok(None),
                None => return Err(EgressError::Unscrubbable),
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
