//! One content encoding, undone step by step.

use super::{Step, Undecodable, gzip::Gzip, zstd::Zstd};
use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::{Decompress, FlushDecompress, Status};

type Brotli = BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>;

pub(super) enum Codec {
    Gzip(Gzip),
    Deflate(Deflate),
    Brotli(Box<Compressed<Brotli>>),
    Zstd(Box<Zstd>),
}

/// A decoder, and how far it is.
pub(super) struct Compressed<D> {
    decoder: D,
    begun: bool,
    over: bool,
}

/// `deflate` is the zlib format (RFC 9110, section 8.4.1.2); some servers send it bare.
pub(super) enum Deflate {
    Unknown,
    Known(Compressed<Box<Decompress>>),
}

impl Codec {
    pub(super) fn gzip() -> Self {
        Self::Gzip(Gzip::default())
    }

    pub(super) fn deflate() -> Self {
        Self::Deflate(Deflate::Unknown)
    }

    pub(super) fn brotli() -> Self {
        let memory = StandardAlloc::default;
        let mut decoder = BrotliState::new(memory(), memory(), memory());
        // A window of up to 16 MiB (RFC 7932); the larger ones are no content encoding.
        decoder.large_window = false;
        Self::Brotli(Box::new(Compressed {
            decoder,
            begun: false,
            over: false,
        }))
    }

    pub(super) fn zstd() -> Self {
        Self::Zstd(Box::default())
    }

    /// Takes some input and gives some output; neither means that it takes more input.
    pub(super) fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, Undecodable> {
        match self {
            Self::Gzip(gzip) => gzip.step(input, out),
            Self::Deflate(deflate) => deflate.step(input, out),
            Self::Brotli(brotli) => brotli.step(input, out),
            Self::Zstd(zstd) => zstd.step(input, out),
        }
    }

    /// Whether the input may end here.
    pub(super) fn may_end(&self) -> bool {
        match self {
            Self::Gzip(gzip) => gzip.may_end(),
            Self::Deflate(Deflate::Unknown) => true,
            Self::Deflate(Deflate::Known(known)) => known.over,
            Self::Brotli(brotli) => brotli.over || !brotli.begun,
            Self::Zstd(zstd) => zstd.may_end(),
        }
    }
}

/// One step of a bare or zlib-framed deflate stream, and whether that was its end.
pub(super) fn inflate(
    decoder: &mut Decompress,
    input: &[u8],
    out: &mut [u8],
) -> Result<(Step, bool), Undecodable> {
    let (read, written) = (decoder.total_in(), decoder.total_out());
    let status = decoder
        .decompress(input, out, FlushDecompress::None)
        .map_err(|_| Undecodable)?;
    // Neither is more than the length of its slice.
    let step = Step {
        taken: (decoder.total_in() - read) as usize,
        given: (decoder.total_out() - written) as usize,
    };
    Ok((step, status == Status::StreamEnd))
}

impl Deflate {
    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, Undecodable> {
        match self {
            Self::Unknown => {
                let [first, second, ..] = *input else {
                    return Ok(Step { taken: 0, given: 0 });
                };
                // RFC 1950, section 2.2: method 8, and a multiple of 31. No bare stream of
                // a known encoder begins so.
                let has_frame =
                    first & 15 == 8 && u16::from_be_bytes([first, second]).is_multiple_of(31);
                *self = Self::Known(Compressed {
                    decoder: Box::new(Decompress::new(has_frame)),
                    begun: true,
                    over: false,
                });
                self.step(input, out)
            }
            Self::Known(known) if known.over => nothing_left(input),
            Self::Known(known) => {
                let (step, over) = inflate(&mut known.decoder, input, out)?;
                known.over = over;
                Ok(step)
            }
        }
    }
}

impl Compressed<Brotli> {
    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, Undecodable> {
        if self.over {
            return nothing_left(input);
        }
        self.begun |= !input.is_empty();
        let (mut left, mut taken) = (input.len(), 0);
        let (mut room, mut given, mut total) = (out.len(), 0, 0);
        let result = BrotliDecompressStream(
            &mut left,
            &mut taken,
            input,
            &mut room,
            &mut given,
            out,
            &mut total,
            &mut self.decoder,
        );
        match result {
            BrotliResult::ResultFailure => return Err(Undecodable),
            BrotliResult::ResultSuccess => self.over = true,
            BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
        }
        Ok(Step { taken, given })
    }
}

/// What stands behind the end of a stream would be read by nobody, or by someone.
fn nothing_left(input: &[u8]) -> Result<Step, Undecodable> {
    if input.is_empty() {
        Ok(Step { taken: 0, given: 0 })
    } else {
        Err(Undecodable)
    }
}
