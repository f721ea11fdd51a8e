//! How a byte may be written.
//!
//! A reading of a place is one byte or character that it may stand for, and where
//! the next begins. `%41` reads as `%`, and as `A`; `%2541` as `%` twice, and as `A`.

use super::pattern::INTRODUCERS;

/// How many escapes may stand inside one another.
pub(super) const DEPTH: u8 = 3;

/// What a place may stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    Byte(u8),
    /// A character by its number; outside of ASCII.
    Char(char),
}

/// A value, and where the next one begins.
pub(super) type Reading = (Value, usize);

/// All readings of one place. There are few; more than the room are not looked at.
#[derive(Clone, Copy)]
pub(super) struct Readings {
    list: [Reading; 8],
    len: usize,
}

impl Readings {
    fn new() -> Self {
        Self {
            list: [(Value::Byte(0), 0); 8],
            len: 0,
        }
    }

    fn add(&mut self, value: Value, next: usize) {
        let reading = match value {
            Value::Char(c) if c.is_ascii() => (Value::Byte(c as u8), next),
            value => (value, next),
        };
        if self.len < self.list.len() && !self.list[..self.len].contains(&reading) {
            self.list[self.len] = reading;
            self.len += 1;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Reading> {
        self.list.into_iter().take(self.len)
    }
}

/// Reads places of an input, of which more may come.
pub(super) struct Reader<'a> {
    pub(super) input: &'a [u8],
    /// A reading went to the end of the input: with more of it there may be others.
    pub(super) at_end: bool,
    /// The place that was read last, and how: threads come to one place together.
    last: Option<(usize, Readings)>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self {
            input,
            at_end: false,
            last: None,
        }
    }

    /// What may stand at a place, at the full depth.
    pub(super) fn read_again(&mut self, at: usize) -> Readings {
        match &self.last {
            // `at_end` still says what it said.
            Some((place, readings)) if *place == at => *readings,
            _ => {
                self.at_end = false;
                let readings = self.read(at, DEPTH);
                self.last = Some((at, readings));
                readings
            }
        }
    }

    /// What may stand at a place, with so many escapes inside one another.
    pub(super) fn read(&mut self, at: usize, depth: u8) -> Readings {
        let mut found = Readings::new();
        let Some(&byte) = self.input.get(at) else {
            self.at_end = true;
            return found;
        };
        if depth == 0 || !INTRODUCERS.contains(&byte) {
            found.add(Value::Byte(byte), at + 1);
            return found;
        }
        let depth = depth - 1;
        found = self.read(at, depth);
        let is_introducer = |byte: &u8| INTRODUCERS.contains(byte);
        let escapes = |(value, _)| matches!(value, Value::Byte(byte) if is_introducer(&byte));
        // Neither does this escape begin another, nor does another stand in it.
        if depth > 0
            && !found.iter().skip(1).any(escapes)
            && !self.input.get(at + 1).is_some_and(is_introducer)
        {
            return found;
        }
        for (value, next) in { found }.iter() {
            match value {
                Value::Byte(b'%') => self.percent(next, depth, &mut found),
                Value::Byte(b'\\') => self.backslash(next, depth, &mut found),
                Value::Byte(b'&') => self.entity(next, depth, &mut found),
                _ => {}
            }
        }
        found
    }

    /// `%41` (RFC 3986), and `%u0041` as JavaScript's `escape` writes it.
    fn percent(&mut self, at: usize, depth: u8, found: &mut Readings) {
        if let Some((byte, next)) = self.hex(at, 2, depth) {
            found.add(Value::Byte(byte as u8), next);
        } else if let Some(next) = self.expect(at, depth, |b| b == b'u') {
            self.utf16(next.1, depth, b"%u", found);
        }
    }

    /// `\n`, `\"`, `\x41`, `\u0041`, `\u{41}`, `\U00000041`, `\101`: JSON (RFC 8259,
    /// section 7), JavaScript, Python, Rust, C.
    fn backslash(&mut self, at: usize, depth: u8, found: &mut Readings) {
        for (value, next) in self.read(at, depth).iter() {
            let Value::Byte(byte) = value else { continue };
            match byte {
                b'u' => match self.expect(next, depth, |b| b == b'{') {
                    Some((_, digits)) => {
                        if let Some((number, end)) = self.number(digits, 16, depth)
                            && let Some((_, end)) = self.expect(end, depth, |b| b == b'}')
                        {
                            add_char(number, end, found);
                        }
                    }
                    None => self.utf16(next, depth, b"\\u", found),
                },
                b'U' => {
                    if let Some((number, end)) = self.hex(next, 8, depth) {
                        add_char(number, end, found);
                    }
                }
                b'x' => {
                    if let Some((number, end)) = self.hex(next, 2, depth) {
                        // A byte to C and Python, a character to JavaScript.
                        found.add(Value::Byte(number as u8), end);
                        add_char(number, end, found);
                    }
                }
                b'0'..=b'3' => self.octal(at, depth, found),
                b'a' => found.add(Value::Byte(7), next),
                b'b' => found.add(Value::Byte(8), next),
                b't' => found.add(Value::Byte(b'\t'), next),
                b'n' => found.add(Value::Byte(b'\n'), next),
                b'v' => found.add(Value::Byte(11), next),
                b'f' => found.add(Value::Byte(12), next),
                b'r' => found.add(Value::Byte(b'\r'), next),
                _ if byte.is_ascii_punctuation() => found.add(value, next),
                _ => {}
            }
        }
    }

    /// `&#65;`, `&#x41;`, `&amp;` (HTML, section 13.5).
    fn entity(&mut self, at: usize, depth: u8, found: &mut Readings) {
        const NAME_MAX: usize = 8;
        if let Some((_, next)) = self.expect(at, depth, |b| b == b'#') {
            let (digits, radix) = match self.expect(next, depth, |b| b | 32 == b'x') {
                Some((_, next)) => (next, 16),
                None => (next, 10),
            };
            if let Some((number, end)) = self.number(digits, radix, depth)
                && let Some((_, end)) = self.expect(end, depth, |b| b == b';')
            {
                add_char(number, end, found);
            }
            return;
        }
        let (mut name, mut len, mut next) = ([0; NAME_MAX], 0, at);
        while let Some((byte, after)) = self.expect(next, depth, |b| b.is_ascii_alphabetic()) {
            let Some(room) = name.get_mut(len) else {
                return;
            };
            (*room, len, next) = (byte, len + 1, after);
        }
        let Some((_, end)) = self.expect(next, depth, |b| b == b';') else {
            return;
        };
        if let Some((_, byte)) = NAMED.iter().find(|(it, _)| it.as_bytes() == &name[..len]) {
            found.add(Value::Byte(*byte), end);
        }
    }

    /// Four digits, or two times four where the first are half of a character.
    fn utf16(&mut self, at: usize, depth: u8, again: &[u8; 2], found: &mut Readings) {
        let Some((high, end)) = self.hex(at, 4, depth) else {
            return;
        };
        if !(0xd800..0xdc00).contains(&high) {
            return add_char(high, end, found);
        }
        let low = self
            .expect(end, depth, |b| b == again[0])
            .and_then(|(_, next)| self.expect(next, depth, |b| b == again[1]))
            .and_then(|(_, next)| self.hex(next, 4, depth));
        if let Some((low @ 0xdc00..0xe000, end)) = low {
            add_char(
                0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00),
                end,
                found,
            );
        }
    }

    fn octal(&mut self, at: usize, depth: u8, found: &mut Readings) {
        let (mut number, mut next) = (0, at);
        for _ in 0..3 {
            match self.expect(next, depth, |b| (b'0'..=b'7').contains(&b)) {
                Some((digit, after)) => (number, next) = (number << 3 | (digit & 7), after),
                None => return,
            }
        }
        found.add(Value::Byte(number), next);
    }

    /// Exactly so many hexadecimal digits.
    fn hex(&mut self, at: usize, digits: usize, depth: u8) -> Option<(u32, usize)> {
        (0..digits).try_fold((0, at), |(number, at), _| {
            let (digit, next) = self.expect(at, depth, |b| b.is_ascii_hexdigit())?;
            Some((number << 4 | char::from(digit).to_digit(16)?, next))
        })
    }

    /// One to eight digits.
    fn number(&mut self, at: usize, radix: u32, depth: u8) -> Option<(u32, usize)> {
        let (mut number, mut next) = (0_u32, at);
        for _ in 0..8 {
            match self.expect(next, depth, |b| char::from(b).is_digit(radix)) {
                Some((digit, after)) => {
                    number = number * radix + char::from(digit).to_digit(radix)?;
                    next = after;
                }
                None => break,
            }
        }
        (next > at).then_some((number, next))
    }

    /// The first reading of a place that is such a byte.
    fn expect(&mut self, at: usize, depth: u8, is: impl Fn(u8) -> bool) -> Option<(u8, usize)> {
        match self.input.get(at) {
            Some(byte) if !INTRODUCERS.contains(byte) => {
                return is(*byte).then_some((*byte, at + 1));
            }
            _ => {}
        }
        self.read(at, depth)
            .iter()
            .find_map(|(value, next)| match value {
                Value::Byte(byte) if is(byte) => Some((byte, next)),
                _ => None,
            })
    }
}

fn add_char(number: u32, next: usize, found: &mut Readings) {
    if let Some(c) = char::from_u32(number) {
        found.add(Value::Char(c), next);
    }
}

/// HTML's names for what is ASCII (HTML, section 13.5).
const NAMED: [(&str, u8); 41] = [
    ("amp", b'&'),
    ("AMP", b'&'),
    ("lt", b'<'),
    ("LT", b'<'),
    ("gt", b'>'),
    ("GT", b'>'),
    ("quot", b'"'),
    ("QUOT", b'"'),
    ("apos", b'\''),
    ("Tab", b'\t'),
    ("NewLine", b'\n'),
    ("excl", b'!'),
    ("num", b'#'),
    ("dollar", b'$'),
    ("percnt", b'%'),
    ("lpar", b'('),
    ("rpar", b')'),
    ("ast", b'*'),
    ("midast", b'*'),
    ("plus", b'+'),
    ("comma", b','),
    ("period", b'.'),
    ("sol", b'/'),
    ("colon", b':'),
    ("semi", b';'),
    ("equals", b'='),
    ("quest", b'?'),
    ("commat", b'@'),
    ("lsqb", b'['),
    ("lbrack", b'['),
    ("bsol", b'\\'),
    ("rsqb", b']'),
    ("rbrack", b']'),
    ("Hat", b'^'),
    ("lowbar", b'_'),
    ("grave", b'`'),
    ("lcub", b'{'),
    ("lbrace", b'{'),
    ("verbar", b'|'),
    ("rcub", b'}'),
    ("rbrace", b'}'),
];
