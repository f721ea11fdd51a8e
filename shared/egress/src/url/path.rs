//! The path and the query of a URL: what the request line carries.

use super::UrlError;

/// Normalizes a path: percent-encoding first (RFC 3986, section 6.2.2), then dot
/// segments (section 5.2.4). Segments that some server may read otherwise after
/// decoding once more, or after cutting parameters off, are refused.
pub(super) fn normalize(raw: &str) -> Result<String, UrlError> {
    let mut kept: Vec<String> = Vec::new();
    // What stands before the first slash is empty: the authority ended there.
    let mut segments = raw.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let dots = matches!(segment, "." | "..");
        if segment == ".." {
            kept.pop();
        }
        if !dots {
            kept.push(normalize_segment(segment)?);
        } else if segments.peek().is_none() {
            // `/a/..` names the directory that is left, with its slash.
            kept.push(String::new());
        }
    }
    if kept.is_empty() {
        kept.push(String::new());
    }
    let path = format!("/{}", kept.join("/"));
    // Read as an authority by whoever resolves it as a reference (RFC 3986, section 4.2).
    if path.starts_with("//") {
        return Err(UrlError::Segment);
    }
    Ok(path)
}

/// A query stays as it is but for the case of its percent-encoding.
pub(super) fn normalize_query(raw: &str) -> Result<String, UrlError> {
    let mut query = String::with_capacity(raw.len());
    for piece in pieces(raw) {
        match piece? {
            Piece::Plain(b'"' | b'<' | b'>') => return Err(UrlError::Character),
            Piece::Plain(byte) if byte.is_ascii_graphic() => query.push(char::from(byte)),
            Piece::Plain(_) => return Err(UrlError::Character),
            // A string's end in C, in a text that promises no more than bytes.
            Piece::Encoded(0) => return Err(UrlError::Encoding),
            Piece::Encoded(byte) => push_encoded(byte, &mut query),
        }
    }
    Ok(query)
}

fn normalize_segment(raw: &str) -> Result<String, UrlError> {
    let mut segment = String::with_capacity(raw.len());
    let mut decoded = Vec::with_capacity(raw.len());
    for piece in pieces(raw) {
        match piece? {
            Piece::Plain(byte) if is_segment_byte(byte) => {
                segment.push(char::from(byte));
                decoded.push(byte);
            }
            Piece::Plain(_) => return Err(UrlError::Character),
            // An encoded separator or dot: one server sees a name, the next a path.
            Piece::Encoded(b'/' | b'\\' | b'.' | 0..=0x1f | 0x7f) => {
                return Err(UrlError::Encoding);
            }
            Piece::Encoded(byte) => {
                decoded.push(byte);
                if is_unreserved(byte) {
                    segment.push(char::from(byte));
                } else {
                    push_encoded(byte, &mut segment);
                }
            }
        }
    }
    // An overlong form such as C0 AF is not UTF-8; C1 controls are.
    let decoded = std::str::from_utf8(&decoded).map_err(|_| UrlError::Encoding)?;
    if decoded.chars().any(char::is_control) || has_escape(decoded) {
        return Err(UrlError::Encoding);
    }
    if looks_like_dots(decoded) {
        return Err(UrlError::Segment);
    }
    Ok(segment)
}

/// Whether a decoded text would decode once more: `%252f` is `%2f` here.
fn has_escape(decoded: &str) -> bool {
    decoded
        .as_bytes()
        .windows(3)
        .any(|w| w[0] == b'%' && w[1].is_ascii_hexdigit() && w[2].is_ascii_hexdigit())
}

/// Whether some server takes a decoded segment for a dot segment or an empty one:
/// what servlet containers leave of `..;x`, of `;x`, Windows of `.. ` and of
/// `...`, and gateways that decode first of `..?x`.
fn looks_like_dots(decoded: &str) -> bool {
    let name = decoded
        .split([';', '?', '#'])
        .next()
        .unwrap_or_default()
        .trim();
    if name.is_empty() {
        return decoded.starts_with(';');
    }
    name.bytes().all(|b| b == b'.')
}

enum Piece {
    Plain(u8),
    Encoded(u8),
}

/// Splits a text into plain bytes and percent-encoded ones.
fn pieces(text: &str) -> impl Iterator<Item = Result<Piece, UrlError>> {
    let mut bytes = text.bytes();
    std::iter::from_fn(move || match bytes.next()? {
        b'%' => match (bytes.next().and_then(hex), bytes.next().and_then(hex)) {
            (Some(high), Some(low)) => Some(Ok(Piece::Encoded(high << 4 | low))),
            _ => Some(Err(UrlError::Encoding)),
        },
        byte => Some(Ok(Piece::Plain(byte))),
    })
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

fn push_encoded(byte: u8, to: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    to.push('%');
    to.push(char::from(DIGITS[usize::from(byte >> 4)]));
    to.push(char::from(DIGITS[usize::from(byte & 15)]));
}

/// RFC 3986, section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// `pchar` of RFC 3986, section 3.3, without the percent sign.
fn is_segment_byte(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'!' | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
                | b':'
                | b'@'
        )
}
