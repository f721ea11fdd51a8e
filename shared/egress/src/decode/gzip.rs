//! The gzip format (RFC 1952): members, one after another.

use super::{Step, Undecodable, codec::inflate};
use flate2::{Crc, Decompress};

/// The longest header of a member: a file's name and comment are in it.
const HEADER_MAX: usize = 64 * 1024;

pub(super) struct Gzip {
    state: State,
}

enum State {
    /// Before a member, or at the end.
    Header,
    Body(Box<Decompress>, Crc),
    /// Before a member's checksum and length.
    Trailer(Crc),
}

impl Default for Gzip {
    fn default() -> Self {
        Self {
            state: State::Header,
        }
    }
}

impl Gzip {
    pub(super) fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, Undecodable> {
        match &mut self.state {
            State::Header => match header(input)? {
                Some(taken) => {
                    let decoder = Box::new(Decompress::new(false));
                    self.state = State::Body(decoder, Crc::new());
                    Ok(Step { taken, given: 0 })
                }
                None if input.len() > HEADER_MAX => Err(Undecodable),
                None => Ok(Step { taken: 0, given: 0 }),
            },
            State::Body(decoder, crc) => {
                let (step, over) = inflate(decoder, input, out)?;
                crc.update(&out[..step.given]);
                if over {
                    let crc = std::mem::take(crc);
                    self.state = State::Trailer(crc);
                    if step.taken == 0 && step.given == 0 {
                        return self.step(input, out);
                    }
                }
                Ok(step)
            }
            State::Trailer(crc) => {
                let Some((trailer, _)) = input.split_first_chunk::<8>() else {
                    return Ok(Step { taken: 0, given: 0 });
                };
                let [c0, c1, c2, c3, l0, l1, l2, l3] = *trailer;
                let is_same = u32::from_le_bytes([c0, c1, c2, c3]) == crc.sum()
                    && u32::from_le_bytes([l0, l1, l2, l3]) == crc.amount();
                self.state = State::Header;
                if is_same {
                    Ok(Step { taken: 8, given: 0 })
                } else {
                    Err(Undecodable)
                }
            }
        }
    }

    pub(super) fn may_end(&self) -> bool {
        matches!(self.state, State::Header)
    }
}

/// How long a member's header is, if all of it is there (RFC 1952, section 2.3).
fn header(input: &[u8]) -> Result<Option<usize>, Undecodable> {
    const HAS_CHECKSUM: u8 = 2;
    const HAS_EXTRA: u8 = 4;
    const HAS_NAME: u8 = 8;
    const HAS_COMMENT: u8 = 16;
    const RESERVED: u8 = 0xe0;
    let expected = [0x1f, 0x8b, 8];
    if input
        .iter()
        .zip(expected)
        .any(|(is, expected)| *is != expected)
    {
        return Err(Undecodable);
    }
    let Some(flags) = input.get(3) else {
        return Ok(None);
    };
    if flags & RESERVED != 0 {
        return Err(Undecodable);
    }
    let mut end = 10;
    if flags & HAS_EXTRA != 0 {
        let Some([low, high]) = input.get(end..end + 2) else {
            return Ok(None);
        };
        end += 2 + usize::from(u16::from_le_bytes([*low, *high]));
    }
    for has_text in [flags & HAS_NAME, flags & HAS_COMMENT] {
        if has_text != 0 {
            let text = input.get(end..).unwrap_or_default();
            match text.iter().position(|b| *b == 0) {
                Some(at) => end += at + 1,
                None => return Ok(None),
            }
        }
    }
    if flags & HAS_CHECKSUM != 0 {
        end += 2;
    }
    Ok((input.len() >= end).then_some(end))
}
