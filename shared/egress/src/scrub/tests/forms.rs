//! The ways in which an upstream may give a secret back.

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD},
};
use std::ops::Range;

/// A name, a text with the secret in it, and what of it must go.
pub(crate) struct Form {
    pub(crate) name: String,
    pub(crate) text: Vec<u8>,
    pub(crate) gone: Range<usize>,
}

fn whole(name: &str, text: impl Into<Vec<u8>>) -> Form {
    let text = text.into();
    Form {
        name: name.to_owned(),
        gone: 0..text.len(),
        text,
    }
}

fn each(secret: &[u8], write: impl Fn(u8) -> String) -> String {
    secret.iter().map(|b| write(*b)).collect()
}

fn chars(secret: &[u8], write: impl Fn(char) -> String) -> String {
    String::from_utf8_lossy(secret).chars().map(write).collect()
}

fn units(secret: &[u8], write: impl Fn(u16) -> String) -> String {
    String::from_utf8_lossy(secret)
        .encode_utf16()
        .map(write)
        .collect()
}

/// Every byte but these percent-encoded.
fn percent(text: &[u8], plain: &str, upper: bool) -> String {
    each(text, |b| {
        match (plain.contains(char::from(b)) && b.is_ascii(), upper) {
            (true, _) => char::from(b).to_string(),
            (false, true) => format!("%{b:02X}"),
            (false, false) => format!("%{b:02x}"),
        }
    })
}

const UNRESERVED: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

/// Forms of any bytes.
pub(crate) fn of_bytes(secret: &[u8]) -> Vec<Form> {
    let hex = each(secret, |b| format!("{b:02x}"));
    let mut forms = vec![
        whole("plain", secret),
        whole("hex", hex.clone()),
        whole("HEX", hex.to_uppercase()),
        whole(
            "hex:",
            each(secret, |b| format!(":{b:02x}"))[1..].to_owned(),
        ),
        whole(
            "hex -",
            each(secret, |b| format!("-{b:02X}"))[1..].to_owned(),
        ),
        whole(
            "hex in lines",
            hex.as_bytes()
                .chunks(7)
                .collect::<Vec<_>>()
                .join(&b"\r\n  "[..]),
        ),
        whole("%", percent(secret, UNRESERVED, true)),
        whole("% lower", percent(secret, UNRESERVED, false)),
        whole("% all", percent(secret, "", true)),
        whole("% all lower", percent(secret, "", false)),
        whole(
            "% of %",
            percent(percent(secret, "", true).as_bytes(), UNRESERVED, true),
        ),
        whole(
            "% of % of %",
            percent(
                percent(percent(secret, "", true).as_bytes(), UNRESERVED, true).as_bytes(),
                UNRESERVED,
                true,
            ),
        ),
        whole(
            "%, some",
            secret
                .iter()
                .enumerate()
                .map(|(i, b)| {
                    if i % 2 == 0 || !b.is_ascii_alphanumeric() {
                        format!("%{b:02x}")
                    } else {
                        char::from(*b).to_string()
                    }
                })
                .collect::<String>(),
        ),
        whole(
            "form",
            percent(secret, &format!("{UNRESERVED} "), true).replace(' ', "+"),
        ),
        whole("\\x", each(secret, |b| format!("\\x{b:02x}"))),
        whole("\\x upper", each(secret, |b| format!("\\x{b:02X}"))),
        whole("octal", each(secret, |b| format!("\\{b:03o}"))),
        whole("\\x in JSON", each(secret, |b| format!("\\\\x{b:02x}"))),
        whole("&# of hex", each(hex.as_bytes(), |b| format!("&#{b};"))),
    ];
    for (name, engine) in [
        ("base64", &BASE64_STANDARD),
        ("base64 bare", &BASE64_STANDARD_NO_PAD),
        ("base64url", &BASE64_URL_SAFE),
        ("base64url bare", &BASE64_URL_SAFE_NO_PAD),
    ] {
        for (before, after) in [
            (0, 0),
            (1, 0),
            (2, 0),
            (3, 0),
            (0, 1),
            (1, 1),
            (2, 2),
            (0, 2),
            (7, 5),
        ] {
            let inner = [&b"~user:~"[..before], secret, &b"\xffrest"[..after]].concat();
            let text = engine.encode(&inner);
            let from = before * 8 / 6;
            let mut to = ((before + secret.len()) * 8).div_ceil(6);
            if text[to..].bytes().all(|b| b == b'=') {
                to = text.len();
            }
            let gone = from..to;
            forms.push(Form {
                name: format!("{name} {before} {after}"),
                text: text.into(),
                gone,
            });
        }
    }
    let base64 = BASE64_STANDARD.encode(secret);
    let bare = BASE64_STANDARD_NO_PAD.encode(secret);
    forms.extend([
        whole(
            "base64 in lines",
            bare.as_bytes()
                .chunks(5)
                .collect::<Vec<_>>()
                .join(&b"\r\n"[..]),
        ),
        whole(
            "base64 in JSON lines",
            bare.as_bytes()
                .chunks(5)
                .collect::<Vec<_>>()
                .join(&b"\\n"[..]),
        ),
        whole(
            "base64 indented",
            bare.as_bytes()
                .chunks(5)
                .collect::<Vec<_>>()
                .join(&b"\n    "[..]),
        ),
        whole(
            "base64 in a query",
            percent(base64.as_bytes(), UNRESERVED, true),
        ),
        whole(
            "base64 in a query, lower",
            percent(base64.as_bytes(), UNRESERVED, false),
        ),
        whole("base64 in PHP's JSON", base64.replace('/', "\\/")),
        whole(
            "base64 in HTML",
            base64
                .replace('+', "&#43;")
                .replace('/', "&sol;")
                .replace('=', "&equals;"),
        ),
        whole(
            "base64, all \\u",
            each(base64.as_bytes(), |b| format!("\\u{b:04x}")),
        ),
    ]);
    forms
}

/// Forms of what is text, beside those of any bytes.
pub(crate) fn of_text(secret: &[u8]) -> Vec<Form> {
    let text = std::str::from_utf8(secret).unwrap();
    let json = serde_json::to_string(text).unwrap();
    let json = &json[1..json.len() - 1];
    let html = |text: &str| {
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&quot;")
            .replace('\'', "&#39;")
    };
    let ascii =
        |c: char, special: &str| c.is_ascii() && !c.is_ascii_control() && !special.contains(c);
    let u = |c: char| units(c.to_string().as_bytes(), |u| format!("\\u{u:04x}"));
    let go = chars(secret, |c| {
        if ascii(c, "<>&") && !"\"\\".contains(c) {
            c.to_string()
        } else {
            u(c)
        }
    });
    let again = serde_json::to_string(json).unwrap();
    let again = again[1..again.len() - 1].to_owned();
    let thrice = serde_json::to_string(&again).unwrap();
    vec![
        whole("JSON", json),
        whole(
            "JSON, ASCII",
            chars(json.as_bytes(), |c| {
                if c.is_ascii() { c.to_string() } else { u(c) }
            }),
        ),
        whole("JSON, PHP", json.replace('/', "\\/")),
        whole("JSON, Go", go),
        whole("JSON, all \\u", units(secret, |u| format!("\\u{u:04x}"))),
        whole(
            "JSON, all \\u upper",
            units(secret, |u| format!("\\u{u:04X}")),
        ),
        whole("JSON in JSON", again.clone()),
        whole("JSON in JSON in JSON", &thrice[1..thrice.len() - 1]),
        whole("JSON in HTML", html(json)),
        whole(
            "JSON in a query",
            percent(json.as_bytes(), UNRESERVED, true),
        ),
        whole(
            "all \\u in a query",
            percent(
                units(secret, |u| format!("\\u{u:04x}")).as_bytes(),
                UNRESERVED,
                true,
            ),
        ),
        whole("HTML", html(text)),
        whole("HTML twice", html(&html(text))),
        whole(
            "HTML in Go's JSON",
            html(text)
                .replace('\\', "\\\\")
                .replace('&', "\\u0026")
                .replace('\n', "\\n"),
        ),
        whole(
            "HTML, all decimal",
            chars(secret, |c| format!("&#{};", u32::from(c))),
        ),
        whole(
            "HTML, all hex",
            chars(secret, |c| format!("&#x{:x};", u32::from(c))),
        ),
        whole(
            "HTML, all hex upper",
            chars(secret, |c| format!("&#X{:X};", u32::from(c))),
        ),
        whole(
            "HTML, all long",
            chars(secret, |c| format!("&#{:07};", u32::from(c))),
        ),
        whole(
            "HTML, names",
            chars(secret, |c| match c {
                '!' => "&excl;".to_owned(),
                '"' => "&quot;".to_owned(),
                '#' => "&num;".to_owned(),
                '$' => "&dollar;".to_owned(),
                '%' => "&percnt;".to_owned(),
                '&' => "&amp;".to_owned(),
                '\'' => "&apos;".to_owned(),
                '/' => "&sol;".to_owned(),
                '<' => "&lt;".to_owned(),
                '=' => "&equals;".to_owned(),
                '\\' => "&bsol;".to_owned(),
                '{' => "&lcub;".to_owned(),
                c if c.is_alphanumeric() => c.to_string(),
                c => format!("&#{};", u32::from(c)),
            }),
        ),
        whole(
            "HTML in a query",
            percent(html(text).as_bytes(), UNRESERVED, true),
        ),
        whole(
            "\\u{}",
            chars(secret, |c| format!("\\u{{{:x}}}", u32::from(c))),
        ),
        whole("\\U", chars(secret, |c| format!("\\U{:08x}", u32::from(c)))),
        whole("%u", units(secret, |u| format!("%u{u:04X}"))),
        whole(
            "UTF-16LE",
            text.encode_utf16()
                .flat_map(u16::to_le_bytes)
                .collect::<Vec<_>>(),
        ),
        whole(
            "UTF-16BE",
            text.encode_utf16()
                .flat_map(u16::to_be_bytes)
                .collect::<Vec<_>>(),
        ),
        whole("CRLF", text.replace('\n', "\r\n")),
        whole(
            "shell",
            chars(secret, |c| {
                if c.is_ascii_punctuation() {
                    format!("\\{c}")
                } else {
                    c.to_string()
                }
            }),
        ),
    ]
}
