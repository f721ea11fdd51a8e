//! A place in a JSON text, found without writing the text anew.

use super::InjectError;
use serde::de::IgnoredAny;
use std::ops::Range;
use zeroize::Zeroizing;

/// Where the value at a pointer (RFC 6901) stands in a JSON text.
///
/// The text is checked as a whole first. A name that stands twice in an object on
/// the way is refused: servers differ in which of the two wins.
pub(super) fn place(text: &[u8], pointer: &str) -> Result<Range<usize>, InjectError> {
    serde_json::from_slice::<IgnoredAny>(text).map_err(|_| InjectError::NoSlot)?;
    let mut reader = Reader { text, at: 0 };
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        reader.enter(&token)?;
    }
    let start = reader.next_at();
    reader.pass();
    Ok(start..reader.at)
}

/// A string as JSON (RFC 8259, section 7), in a buffer that is wiped.
pub(super) fn quoted(text: &str) -> Zeroizing<Vec<u8>> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    // A control character takes six bytes.
    let mut quoted = Zeroizing::new(Vec::with_capacity(2 + 6 * text.len()));
    quoted.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => quoted.extend([b'\\', byte]),
            0..=0x1f => {
                quoted.extend(b"\\u00");
                quoted.extend([byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)]));
            }
            _ => quoted.push(byte),
        }
    }
    quoted.push(b'"');
    quoted
}

/// What a string of JSON says, in a buffer that is wiped; `None` if it is no string, or
/// one with half a character in it.
pub(super) fn unquoted(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let inner = text.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    // No escape is shorter than what it stands for.
    let mut said = Zeroizing::new(Vec::with_capacity(inner.len()));
    let mut rest = inner;
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'\\' {
            said.push(*first);
            continue;
        }
        let (escape, after) = rest.split_first()?;
        rest = after;
        let plain = match escape {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let (c, after) = character(rest)?;
                rest = after;
                said.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            byte => *byte,
        };
        said.push(plain);
    }
    Some(said)
}

/// A character by its four digits, or by two times four where it is written in two
/// halves (RFC 8259, section 7).
fn character(text: &[u8]) -> Option<(char, &[u8])> {
    let unit = |text: &[u8]| {
        let digits = std::str::from_utf8(text.get(..4)?).ok()?;
        u32::from_str_radix(digits, 16).ok()
    };
    let (high, rest) = (unit(text)?, text.get(4..)?);
    if let Some(c) = char::from_u32(high) {
        return Some((c, rest));
    }
    let low = unit(rest.strip_prefix(b"\\u")?)?;
    if !(0xd800..0xdc00).contains(&high) || !(0xdc00..0xe000).contains(&low) {
        return None;
    }
    let c = char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))?;
    Some((c, rest.get(6..)?))
}

/// The smallest text with a value at each of these pointers, of which none is within
/// another.
pub(super) fn smallest<'a>(pointers: impl Iterator<Item = &'a str>) -> Vec<u8> {
    use serde_json::{Map, Value};
    let mut root = Value::Object(Map::new());
    for pointer in pointers {
        let mut at = &mut root;
        for token in pointer.split('/').skip(1) {
            let name = token.replace("~1", "/").replace("~0", "~");
            if !at.is_object() {
                *at = Value::Object(Map::new());
            }
            at = &mut at[name];
        }
    }
    root.to_string().into_bytes()
}

/// Goes through a text that is known to be JSON.
struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    /// Past blanks, commas and colons, which a valid text has where they belong.
    fn next_at(&mut self) -> usize {
        while let Some(b' ' | b'\t' | b'\n' | b'\r' | b',' | b':') = self.text.get(self.at) {
            self.at += 1;
        }
        self.at
    }

    fn next(&mut self) -> Option<u8> {
        let at = self.next_at();
        self.text.get(at).copied()
    }

    /// To the member or element of the value that begins here.
    fn enter(&mut self, token: &str) -> Result<(), InjectError> {
        match self.next() {
            Some(b'{') => self.enter_object(token),
            Some(b'[') => self.enter_array(token),
            _ => Err(InjectError::NoSlot),
        }
    }

    fn enter_object(&mut self, token: &str) -> Result<(), InjectError> {
        self.at += 1;
        let mut found = None;
        while let Some(b'"') = self.next() {
            let start = self.at;
            self.pass();
            let name: String = serde_json::from_slice(&self.text[start..self.at])
                .map_err(|_| InjectError::NoSlot)?;
            let value = self.next_at();
            if name == token && found.replace(value).is_some() {
                return Err(InjectError::SlotTaken);
            }
            self.pass();
        }
        self.at = found.ok_or(InjectError::NoSlot)?;
        Ok(())
    }

    fn enter_array(&mut self, token: &str) -> Result<(), InjectError> {
        let index: usize = token.parse().map_err(|_| InjectError::NoSlot)?;
        // RFC 6901, section 4: no sign, no leading zeros.
        if index.to_string() != token {
            return Err(InjectError::NoSlot);
        }
        self.at += 1;
        for _ in 0..index {
            if let Some(b']') | None = self.next() {
                return Err(InjectError::NoSlot);
            }
            self.pass();
        }
        match self.next() {
            Some(b']') | None => Err(InjectError::NoSlot),
            Some(_) => Ok(()),
        }
    }

    /// Past the value that begins here.
    fn pass(&mut self) {
        let mut depth = 0_usize;
        while let Some(byte) = self.next() {
            self.at += 1;
            match byte {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.saturating_sub(1),
                b'"' => self.pass_string(),
                _ => {
                    let word =
                        |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
                    self.at += self.text[self.at..].iter().take_while(word).count();
                }
            }
            if depth == 0 {
                return;
            }
        }
    }

    /// Past the rest of a string, behind its opening quote.
    fn pass_string(&mut self) {
        while let Some(byte) = self.text.get(self.at) {
            self.at += match byte {
                b'\\' => 2,
                _ => 1,
            };
            if *byte == b'"' {
                return;
            }
        }
    }
}
