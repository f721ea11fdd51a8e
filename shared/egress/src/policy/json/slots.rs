//! The kinds of slot that one text says all about.

use super::{PolicyError, SECRET_MARK, TEXT_MAX, wrong};
use crate::policy::Injection;
use serde_json::Value;

/// How deep a pointer may go.
const POINTER_DEPTH_MAX: usize = 16;

pub(super) fn parse(kind: &str, value: &Value) -> Result<Injection, PolicyError> {
    const NAME: &str = "1 to 256 letters, digits, hyphens, dots, underscores or tildes";
    let wrong = |rule| wrong(&format!("policy.inject.{kind}"), rule);
    let text = value
        .as_str()
        .filter(|text| (1..=TEXT_MAX).contains(&text.len()));
    let of = |is: fn(u8) -> bool| text.filter(|text| text.bytes().all(is)).map(str::to_owned);
    match kind {
        "query" => of(is_unreserved)
            .map(|parameter| Injection::Query { parameter })
            .ok_or_else(|| wrong(NAME)),
        "form" => of(is_unreserved)
            .map(|field| Injection::Form { field })
            .ok_or_else(|| wrong(NAME)),
        "cookie" => of(is_token)
            .map(|name| Injection::Cookie { name })
            .ok_or_else(|| wrong("the name of a cookie: 1 to 256 characters of a token")),
        "json_pointer" => text
            .filter(|text| is_pointer(text))
            .map(|text| Injection::JsonPointer {
                pointer: text.to_owned(),
            })
            .ok_or_else(|| {
                wrong("a JSON pointer of 1 to 16 names and at most 256 bytes, such as /auth/key")
            }),
        "path" => text
            .filter(|text| is_segment(text))
            .map(|text| Injection::Path {
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
