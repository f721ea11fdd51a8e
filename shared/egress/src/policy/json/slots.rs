//! The kinds of slot that carry the secret itself.

use super::{PolicyError, SECRET_MARK, TEXT_MAX, header_name, is_printable, object, wrong};
use crate::policy::Slot;
use http::header::AUTHORIZATION;
use serde_json::Value;

/// How deep a pointer may go.
const POINTER_DEPTH_MAX: usize = 16;
const POINTER: &str = "a JSON pointer of 1 to 16 names and at most 256 bytes, such as /auth/key";

/// A slot that one text says all about.
pub(super) fn parse(kind: &str, value: &Value, field: &str) -> Result<Slot, PolicyError> {
    const NAME: &str = "1 to 256 letters, digits, hyphens, dots, underscores or tildes";
    let wrong = |rule| wrong(&format!("{field}.{kind}"), rule);
    let text = value
        .as_str()
        .filter(|text| (1..=TEXT_MAX).contains(&text.len()));
    let of = |is: fn(u8) -> bool| text.filter(|text| text.bytes().all(is)).map(str::to_owned);
    match kind {
        "query" => of(is_unreserved)
            .map(|parameter| Slot::Query { parameter })
            .ok_or_else(|| wrong(NAME)),
        "form" => of(is_unreserved)
            .map(|field| Slot::Form { field })
            .ok_or_else(|| wrong(NAME)),
        "cookie" => of(is_token)
            .map(|name| Slot::Cookie { name })
            .ok_or_else(|| wrong("the name of a cookie: 1 to 256 characters of a token")),
        "json_pointer" => text
            .filter(|text| is_pointer(text))
            .map(|text| Slot::JsonPointer {
                pointer: text.to_owned(),
            })
            .ok_or_else(|| wrong(POINTER)),
        "path" => text
            .filter(|text| is_segment(text))
            .map(|text| Slot::Path {
                segment: text.to_owned(),
            })
            .ok_or_else(|| {
                wrong(
                    "one segment of a path with {secret} in it exactly once, otherwise letters, digits, hyphens, dots, underscores or tildes",
                )
            }),
        _ => Err(wrong("this field is unknown")),
    }
}

/// The slot when a policy names none.
pub(super) fn bearer() -> Slot {
    Slot::Header {
        name: AUTHORIZATION,
        format: format!("Bearer {SECRET_MARK}"),
    }
}

pub(super) fn parse_bearer(value: &Value, field: &str) -> Result<Slot, PolicyError> {
    if *value == Value::Bool(true) {
        Ok(bearer())
    } else {
        Err(wrong(&format!("{field}.bearer"), "true"))
    }
}

pub(super) fn parse_header(
    name: &Value,
    format: Option<&Value>,
    field: &str,
) -> Result<Slot, PolicyError> {
    let name = header_name(name, &format!("{field}.header"))?;
    let field = format!("{field}.format");
    let format = match format {
        None => SECRET_MARK,
        Some(Value::String(format)) => format.as_str(),
        Some(_) => return Err(wrong(&field, "a text with {secret} in it")),
    };
    if format.len() > TEXT_MAX || !is_printable(format) || format.trim() != format {
        return Err(wrong(
            &field,
            "at most 256 characters of ASCII, without blanks at its ends",
        ));
    }
    // Other braces are kept free for marks to come.
    let around: Vec<&str> = format.split(SECRET_MARK).collect();
    if around.len() != 2 || around.iter().any(|text| text.contains(['{', '}'])) {
        return Err(wrong(&field, "{secret} exactly once, and no other braces"));
    }
    Ok(Slot::Header {
        name,
        format: format.to_owned(),
    })
}

pub(super) fn parse_basic(value: &Value, field: &str) -> Result<Slot, PolicyError> {
    let field = format!("{field}.basic");
    let fields = object(value, &field, &["username"])?;
    match fields.get("username") {
        Some(Value::String(name))
            if name.len() <= TEXT_MAX && is_printable(name) && !name.contains(':') =>
        {
            Ok(Slot::Basic {
                username: name.clone(),
            })
        }
        _ => Err(wrong(
            &format!("{field}.username"),
            "a text of at most 256 printable ASCII characters, none of them a colon",
        )),
    }
}

/// The field of a JSON secret.
pub(super) fn parse_pointer(value: &Value, field: &str) -> Result<String, PolicyError> {
    value
        .as_str()
        .filter(|text| text.len() <= TEXT_MAX && is_pointer(text))
        .map(str::to_owned)
        .ok_or_else(|| wrong(field, POINTER))
}

/// RFC 3986, section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// RFC 9110, section 5.6.2, without the percent sign, which some servers decode.
fn is_token(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'&' | b'\'' | b'*' | b'+' | b'^' | b'`' | b'|'
        )
}

/// RFC 6901, section 3; without control characters, which nobody means.
fn is_pointer(text: &str) -> bool {
    let mut names = text.split('/');
    let is_escape = |rest: &str| rest.starts_with(['0', '1']);
    names.next() == Some("")
        && (1..=POINTER_DEPTH_MAX).contains(&names.count())
        && !text.chars().any(char::is_control)
        && text.split('~').skip(1).all(is_escape)
}

fn is_segment(text: &str) -> bool {
    match text.split_once(SECRET_MARK) {
        Some((before, after)) => before.bytes().chain(after.bytes()).all(is_unreserved),
        None => false,
    }
}
