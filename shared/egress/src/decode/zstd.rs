//! The Zstandard format (RFC 8878): frames of blocks, one after another.
//!
//! The decoder wants whole blocks, so how long one is is read here first. It gives
//! out what is older than the frame's window: of a short answer, all at its end.

use super::{Step, Undecodable};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::io::Read;

/// The largest window of a content encoding: 8 MiB (RFC 9659, section 3).
const WINDOW_MAX: u64 = 8 * 1024 * 1024;
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// A block's header, and what a block has at most (RFC 8878, section 3.1.1.2).
const BLOCK_HEADER: usize = 3;
const BLOCK_MAX: usize = 128 * 1024;

pub(super) struct Zstd {
    decoder: FrameDecoder,
    state: State,
}

enum State {
    /// Before a frame, or at the end.
    Header,
    /// Inside of a frame that nobody reads.
    Skipped(usize),
    Blocks {
        has_checksum: bool,
    },
    /// The last block is decoded, and not all of it given.
    Last {
        has_checksum: bool,
    },
}

impl Default for Zstd {
    fn default() -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(WINDOW_MAX);
        Self {
            decoder,
            state: State::Header,
        }
    }
}

impl Zstd {
    pub(super) fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, Undecodable> {
        const MORE: Step = Step { taken: 0, given: 0 };
        match self.state {
            State::Header => self.header(input),
            State::Skipped(left) => {
                let taken = left.min(input.len());
                self.state = match left - taken {
                    0 => State::Header,
                    left => State::Skipped(left),
                };
                Ok(Step { taken, given: 0 })
            }
            State::Blocks { has_checksum } => {
                let given = self.decoder.read(out).map_err(|_| Undecodable)?;
                if given > 0 {
                    return Ok(Step { taken: 0, given });
                }
                let Some((length, is_last)) = block(input, has_checksum)? else {
                    return Ok(MORE);
                };
                let Some(block) = input.get(..length) else {
                    return Ok(MORE);
                };
                self.decoder
                    .decode_blocks(block, BlockDecodingStrategy::UptoBlocks(1))
                    .map_err(|_| Undecodable)?;
                if is_last {
                    self.state = State::Last { has_checksum };
                }
                Ok(Step {
                    taken: length,
                    given: 0,
                })
            }
            State::Last { has_checksum } => {
                let given = self.decoder.read(out).map_err(|_| Undecodable)?;
                if given > 0 {
                    return Ok(Step { taken: 0, given });
                }
                if has_checksum
                    && self.decoder.get_checksum_from_data()
                        != self.decoder.get_calculated_checksum()
                {
                    return Err(Undecodable);
                }
                self.state = State::Header;
                self.header(input)
            }
        }
    }

    pub(super) fn may_end(&self) -> bool {
        matches!(self.state, State::Header)
    }

    /// A frame's header (RFC 8878, section 3.1.1.1), or a skippable frame's.
    fn header(&mut self, input: &[u8]) -> Result<Step, Undecodable> {
        const SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];
        const MORE: Step = Step { taken: 0, given: 0 };
        let Some((magic, rest)) = input.split_first_chunk::<4>() else {
            return Ok(MORE);
        };
        if magic[0] & 0xf0 == 0x50 && magic[1..] == SKIPPABLE {
            let Some(length) = rest.first_chunk::<4>() else {
                return Ok(MORE);
            };
            self.state = State::Skipped(u32::from_le_bytes(*length) as usize);
            return Ok(Step { taken: 8, given: 0 });
        }
        if *magic != MAGIC {
            return Err(Undecodable);
        }
        let Some(descriptor) = rest.first() else {
            return Ok(MORE);
        };
        let is_single = descriptor >> 5 & 1 == 1;
        let content_size = match descriptor >> 6 {
            0 => usize::from(is_single),
            flag => 1 << flag,
        };
        let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
        let taken = 5 + usize::from(!is_single) + dictionary + content_size;
        let Some(header) = input.get(..taken) else {
            return Ok(MORE);
        };
        self.decoder.reset(header).map_err(|_| Undecodable)?;
        let has_checksum = descriptor >> 2 & 1 == 1;
        self.state = State::Blocks { has_checksum };
        Ok(Step { taken, given: 0 })
    }
}

/// How long a block is with its header and, behind the last, the checksum; and
/// whether it is the last.
fn block(input: &[u8], has_checksum: bool) -> Result<Option<(usize, bool)>, Undecodable> {
    const REPEATED: usize = 1;
    let Some([b0, b1, b2]) = input.first_chunk::<BLOCK_HEADER>() else {
        return Ok(None);
    };
    let header = u32::from_le_bytes([*b0, *b1, *b2, 0]) as usize;
    let (is_last, kind, size) = (header & 1 == 1, header >> 1 & 3, header >> 3);
    if size > BLOCK_MAX {
        return Err(Undecodable);
    }
    let body = if kind == REPEATED { 1 } else { size };
    let checksum = if is_last && has_checksum { 4 } else { 0 };
    Ok(Some((BLOCK_HEADER + body + checksum, is_last)))
}
