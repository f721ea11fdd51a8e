//! What is looked for: a text in a form, unit by unit.
//!
//! Nothing is written out: a unit of a form is computed from the text where it is
//! asked for, so there is one copy of each text to hold and to wipe.

use super::{SCRUBBABLE_MIN, escape::Value};
use zeroize::{Zeroize, Zeroizing};

/// The bytes that may begin an escape.
pub(super) const INTRODUCERS: [u8; 3] = *b"%\\&";

/// In the first filter: the byte may begin an escape, so it may stand for any.
const ANY: u32 = 1 << 31;
/// How many bits are left for targets. With more targets than that, several share one:
/// the filter lets more places pass, and each is followed from its first unit anyway.
const BITS: usize = 31;

fn bit(target: usize) -> u32 {
    1 << (target % BITS)
}

/// The targets, of so many, that bits stand for.
pub(super) fn of_bits(bits: u32, count: u8) -> impl Iterator<Item = u8> {
    (0..count).filter(move |target| bits & bit(usize::from(*target)) != 0)
}

/// How a text is written, before any escapes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As it is; a blank may be a `+` (as HTML forms write it), a line end `\r\n`.
    Plain,
    /// Two hexadecimal digits for a byte, in either case, with separators perhaps.
    Hex,
    /// Base64 in either alphabet (RFC 4648, sections 4 and 5), padded or not, in
    /// lines or not. The text began this many bits before a new character.
    Base64 { lead: usize },
}

struct Target {
    text: Zeroizing<Vec<u8>>,
    form: Form,
    /// How many units there are.
    units: usize,
}

/// Everything that is looked for in one answer, wiped on drop.
pub(crate) struct Patterns {
    targets: Vec<Target>,
    /// For every byte, the targets whose first unit it may be; and the second.
    first: Box<[u32; 256]>,
    second: Box<[u32; 256]>,
    /// The targets whose first unit a byte is, not counting what it may escape.
    literal: Box<[u32; 256]>,
}

impl Patterns {
    /// Texts under 8 bytes are left out. Of the secrets, the blanks at their ends are;
    /// and they are looked for in UTF-16 as well.
    pub(crate) fn new(secrets: &[&[u8]], derived: &[&[u8]]) -> Self {
        let mut patterns = Self {
            targets: Vec::new(),
            first: Box::new([0; 256]),
            second: Box::new([0; 256]),
            literal: Box::new([0; 256]),
        };
        for secret in secrets {
            let secret = secret.trim_ascii();
            if patterns.add_forms(secret)
                && let Ok(text) = std::str::from_utf8(secret)
            {
                for order in [u16::to_le_bytes, u16::to_be_bytes] {
                    patterns.add(text.encode_utf16().flat_map(order).collect(), Form::Plain);
                }
            }
        }
        for text in derived {
            patterns.add_forms(text);
        }
        patterns.fill_filter();
        patterns
    }

    /// Adds a text in every form, once; says whether it did.
    fn add_forms(&mut self, text: &[u8]) -> bool {
        let is_there = |it: &Target| it.form == Form::Plain && *it.text == text;
        if text.len() < SCRUBBABLE_MIN || self.targets.iter().any(is_there) {
            return false;
        }
        for form in [
            Form::Plain,
            Form::Hex,
            Form::Base64 { lead: 0 },
            Form::Base64 { lead: 2 },
            Form::Base64 { lead: 4 },
        ] {
            self.add(text.to_vec(), form);
        }
        true
    }

    fn add(&mut self, text: Vec<u8>, form: Form) {
        let units = match form {
            Form::Plain => text.len(),
            Form::Hex => 2 * text.len(),
            Form::Base64 { lead } => (8 * text.len() + lead).div_ceil(6),
        };
        self.targets.push(Target {
            text: text.into(),
            form,
            units,
        });
    }

    fn fill_filter(&mut self) {
        for byte in 0..=u8::MAX {
            let any = INTRODUCERS.contains(&byte);
            let (mut first, mut second, mut literal) = (0, ANY, 0);
            for target in 0..self.targets.len() {
                if self.takes(target, 0, byte) {
                    literal |= bit(target);
                }
                if any || self.takes(target, 0, byte) {
                    first |= bit(target);
                }
                if any || self.takes(target, 1, byte) || self.skips(target, 1, 0, byte).is_some() {
                    second |= bit(target);
                }
            }
            if any && !self.targets.is_empty() {
                first |= ANY;
            }
            self.first[usize::from(byte)] = first;
            self.second[usize::from(byte)] = second;
            self.literal[usize::from(byte)] = literal;
        }
    }

    /// Whether one of the texts itself stands in what lost its upper case.
    pub(crate) fn are_in_lower_case(&self, input: &[u8]) -> bool {
        let plain = self.targets.iter().filter(|it| it.form == Form::Plain);
        plain.into_iter().any(|Target { text, .. }| {
            input
                .windows(text.len())
                .any(|window| window.eq_ignore_ascii_case(text))
        })
    }

    /// The first place from `at` on where a form may begin, and which ones as bits.
    pub(super) fn may_begin(&self, input: &[u8], at: usize) -> Option<(usize, u32)> {
        let rest = &input[at..];
        let maybe = rest
            .windows(2)
            .position(|pair| {
                self.first[usize::from(pair[0])] & self.second[usize::from(pair[1])] != 0
            })
            .or_else(|| rest.len().checked_sub(1))?;
        let mut targets = self.first[usize::from(rest[maybe])];
        if targets & ANY == 0
            && let Some(next) = rest.get(maybe + 1)
        {
            targets &= self.second[usize::from(*next)];
        }
        (targets != 0).then_some((at + maybe, targets & !ANY))
    }

    /// How many targets there are.
    pub(super) fn count(&self) -> u8 {
        u8::try_from(self.targets.len()).unwrap_or(u8::MAX)
    }

    /// The targets that may begin with a value, as bits.
    pub(super) fn begun_by(&self, value: Value) -> u32 {
        let byte = match value {
            Value::Byte(byte) => byte,
            Value::Char(c) => {
                let mut bytes = [0; 4];
                c.encode_utf8(&mut bytes);
                bytes[0]
            }
        };
        self.literal[usize::from(byte)]
    }

    /// Whether what seems to begin an escape is, at one glance, none that a target
    /// begins with. Most are: `\n` and `\"` of JSON, the `%` of a number.
    pub(super) fn is_inert(&self, input: &[u8]) -> bool {
        /// Longer runs are left to who reads them properly.
        const RUN_MAX: usize = 16;
        let begins = |byte: u8| self.literal[usize::from(byte)] != 0;
        let hex = |byte: u8| char::from(byte).to_digit(16);
        match *input {
            [b'\\', ..] if !begins(b'\\') => {
                let run = input
                    .iter()
                    .take(RUN_MAX)
                    .take_while(|b| **b == b'\\')
                    .count();
                let stands_for = match input.get(run) {
                    None | Some(b'\\' | b'%' | b'&' | b'u' | b'U' | b'x' | b'0'..=b'3') => {
                        return false;
                    }
                    Some(b'a') => 7,
                    Some(b'b') => 8,
                    Some(b't') => b'\t',
                    Some(b'n') => b'\n',
                    Some(b'v') => 11,
                    Some(b'f') => 12,
                    Some(b'r') => b'\r',
                    Some(byte) => *byte,
                };
                !begins(stands_for)
            }
            [b'%', high, low, ..] if !begins(b'%') => match (hex(high), hex(low)) {
                (Some(high), Some(low)) => {
                    let byte = (high << 4 | low) as u8;
                    !begins(byte) && !INTRODUCERS.contains(&byte)
                }
                _ => ![high, low]
                    .iter()
                    .any(|b| *b == b'u' || INTRODUCERS.contains(b)),
            },
            [b'&', next, ..] if !begins(b'&') => {
                next != b'#' && !next.is_ascii_alphabetic() && !INTRODUCERS.contains(&next)
            }
            _ => false,
        }
    }

    /// Whether a byte can be a target's unit; after the last there is only padding.
    pub(super) fn takes(&self, target: usize, unit: usize, byte: u8) -> bool {
        let Target { text, form, units } = &self.targets[target];
        if unit >= *units {
            return byte == b'=' && matches!(form, Form::Base64 { .. });
        }
        match form {
            Form::Plain => text[unit] == byte || (text[unit] == b' ' && byte == b'+'),
            Form::Hex => {
                let nibble = text[unit / 2] >> (4 * (1 - unit % 2)) & 15;
                char::from(byte).to_digit(16) == Some(u32::from(nibble))
            }
            Form::Base64 { lead } => sextet(byte).is_some_and(|is| {
                // Bits of the neighbours are free.
                (0..6).all(|bit| {
                    let Some(at) = (6 * unit + bit).checked_sub(*lead) else {
                        return true;
                    };
                    text.get(at / 8)
                        .is_none_or(|byte| byte >> (7 - at % 8) & 1 == is >> (5 - bit) & 1)
                })
            }),
        }
    }

    /// Whether a byte may stand before a target's unit and mean nothing, having
    /// seen others that did: line ends and separators. Gives what was seen now.
    pub(super) fn skips(&self, target: usize, unit: usize, seen: u8, byte: u8) -> Option<u8> {
        const RETURN: u8 = 1;
        const LINE: u8 = 2;
        const INDENTED_MOST: u8 = LINE + 8;
        const SEPARATED: u8 = u8::MAX;
        let Target { text, form, units } = &self.targets[target];
        if unit == 0 || unit >= *units {
            return None;
        }
        match (form, seen, byte) {
            (Form::Plain, 0, b'\r') => (text[unit] == b'\n').then_some(RETURN),
            (Form::Plain, ..) => None,
            (_, 0, b'\r') => Some(RETURN),
            // One line end: two end an event, and what was before must go.
            (_, 0 | RETURN, b'\n') => Some(LINE),
            (_, LINE..INDENTED_MOST, b' ' | b'\t') => Some(seen + 1),
            (Form::Hex, 0, b':' | b'-' | b' ') if unit.is_multiple_of(2) => Some(SEPARATED),
            _ => None,
        }
    }

    /// Whether so many units are all of a target.
    pub(super) fn is_whole(&self, target: usize, units: usize) -> bool {
        units >= self.targets[target].units
    }

    /// Whether nothing can follow so many units of a target.
    pub(super) fn is_over(&self, target: usize, units: usize) -> bool {
        let target = &self.targets[target];
        match target.form {
            Form::Base64 { .. } => units >= target.units + 2,
            Form::Plain | Form::Hex => units >= target.units,
        }
    }
}

impl Drop for Patterns {
    fn drop(&mut self) {
        self.first.zeroize();
        self.second.zeroize();
        self.literal.zeroize();
    }
}

/// A base64 character's six bits, in either alphabet.
fn sextet(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}
