//! The ways in which an upstream may give a secret back, each with a name: how it is
//! written, times what it comes in.

use super::{upstream::*, *};
use crate::{
    MARK,
    decode::tests::encoders::{brotli, deflate, gzip, raw_deflate, zstd},
    scrub::tests::forms::{Form, of_bytes, of_text},
};
use std::collections::BTreeSet;

/// How the secret is written; names of forms.
const WRITTEN: [&str; 16] = [
    "plain",
    "hex",
    "HEX",
    "hex:",
    "base64 0 0",
    "base64 1 0",
    "base64url bare 2 2",
    "base64 in lines",
    "% all",
    "% of %",
    "JSON, all \\u",
    "JSON in JSON",
    "HTML, all decimal",
    "HTML, all hex",
    "octal",
    "UTF-16LE",
];

/// What it comes in.
type Carrier = (&'static str, fn(&[u8]) -> Vec<u8>);
const CARRIERS: [Carrier; 18] = [
    ("in a body of known length", |text| {
        with(&format!("content-length: {}\r\n", text.len()), text)
    }),
    ("in a body to the end", |text| with("", text)),
    ("in chunks of one", |text| chunked("", text, 1)),
    ("in chunks of seven", |text| chunked("", text, 7)),
    ("in gzip", |text| {
        with("content-encoding: gzip\r\n", &gzip(text))
    }),
    ("in gzip, in chunks of three", |text| {
        chunked("content-encoding: x-gzip\r\n", &gzip(text), 3)
    }),
    ("in deflate", |text| {
        with("content-encoding: deflate\r\n", &deflate(text))
    }),
    ("in bare deflate", |text| {
        with("content-encoding: deflate\r\n", &raw_deflate(text))
    }),
    ("in brotli", |text| {
        with("content-encoding: br\r\n", &brotli(text))
    }),
    ("in zstd, in chunks of one", |text| {
        chunked("content-encoding: zstd\r\n", &zstd(text), 1)
    }),
    ("in brotli in gzip", |text| {
        with("content-encoding: br, gzip\r\n", &gzip(&brotli(text)))
    }),
    ("in an event", |text| {
        event("", &[b"data: ", text, b"\n\n"].concat())
    }),
    ("in an event, cut in the middle", |text| {
        let event = [b"data: ", text, b"\n\n"].concat();
        chunked(
            "content-type: text/event-stream\r\n",
            &event,
            event.len() / 2,
        )
    }),
    ("in an event in gzip", |text| {
        event(
            "content-encoding: gzip\r\n",
            &gzip(&[b"data: ", text, b"\n\n"].concat()),
        )
    }),
    ("in the body of an error", |text| {
        [b"HTTP/1.1 500 Internal Server Error\r\n\r\nno: ", text].concat()
    }),
    ("in a header", |text| {
        headed(&[b"x-echo: <", text, b">"].concat())
    }),
    ("in a redirect", |text| {
        headed(&[b"location: https://a.example/?key=", text].concat())
    }),
    ("in a trailer", |text| {
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-late\r\n\r\n0\r\nx-late: ";
        [head, text, b"\r\n\r\n"].concat()
    }),
];

fn with(headers: &str, body: &[u8]) -> Vec<u8> {
    [b"HTTP/1.1 200 OK\r\n", headers.as_bytes(), b"\r\n", body].concat()
}

fn chunked(headers: &str, body: &[u8], size: usize) -> Vec<u8> {
    let mut answer = with(&format!("{headers}transfer-encoding: chunked\r\n"), b"");
    for chunk in body.chunks(size) {
        answer.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        answer.extend_from_slice(chunk);
        answer.extend_from_slice(b"\r\n");
    }
    answer.extend_from_slice(b"0\r\n\r\n");
    answer
}

fn event(headers: &str, event: &[u8]) -> Vec<u8> {
    chunked(
        &format!("{headers}content-type: text/event-stream\r\n"),
        event,
        event.len(),
    )
}

fn headed(line: &[u8]) -> Vec<u8> {
    [
        b"HTTP/1.1 302 Found\r\ncontent-length: 0\r\n",
        line,
        b"\r\n\r\n",
    ]
    .concat()
}

fn forms() -> Vec<Form> {
    let mut forms = of_bytes(SECRET);
    forms.extend(of_text(SECRET));
    WRITTEN
        .iter()
        .map(|name| {
            let at = forms
                .iter()
                .position(|form| form.name == *name)
                .unwrap_or_else(|| panic!("no form {name}"));
            forms.swap_remove(at)
        })
        .collect()
}

/// Everything of an answer that a caller gets, one after the other.
async fn all_that_passes(answer: Vec<u8>) -> Vec<u8> {
    let (port, _seen) = upstream(answer).await;
    let answer = local(Limits::default())
        .send(get(&format!("http://up.example:{port}/")), AMPLE)
        .await
        .unwrap();
    let (_, headers, mut body) = answer.pass_on().unwrap();
    let mut all = Vec::new();
    let mut push = |headers: &HeaderMap| {
        for (name, value) in headers {
            all.extend_from_slice(name.as_str().as_bytes());
            all.extend_from_slice(value.as_bytes());
        }
    };
    push(&headers);
    let (mut whole, mut trailers) = (Vec::new(), HeaderMap::new());
    while let Some(frame) = body.frame().await {
        match frame.unwrap().into_data() {
            Ok(data) => whole.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().unwrap(),
        }
    }
    push(&trailers);
    all.extend(whole);
    all
}

#[tokio::test]
async fn in_none_of_the_named_ways_does_the_secret_come_back() {
    let mut ways = BTreeSet::new();
    for form in forms() {
        for (name, carry) in CARRIERS {
            let in_a_header =
                name.ends_with("header") || name.ends_with("redirect") || name.ends_with("trailer");
            // A header's value has no control characters.
            if in_a_header && form.text.iter().any(|b| *b < b' ') {
                continue;
            }
            let way = format!("{} {name}", form.name);
            let passed = all_that_passes(carry(&form.text)).await;
            let kept = &form.text[form.gone.clone()];
            let leaks = |what: &[u8]| passed.windows(what.len()).any(|window| window == what);
            assert!(
                !leaks(kept) && !leaks(SECRET),
                "{way}: {}",
                passed.escape_ascii()
            );
            assert!(leaks(MARK.as_bytes()), "{way}: {}", passed.escape_ascii());
            assert!(ways.insert(way), "a way has a name of its own");
        }
    }
    assert!(ways.len() >= 40, "{}", ways.len());
}
