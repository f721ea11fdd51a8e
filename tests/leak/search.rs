//! What must not come out, and every form in which it might.

use base64::{
    Engine,
    prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD},
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Where a canary may be found after all.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum May {
    /// Nowhere.
    Nowhere,
    /// In answers to the caller whose data it is, but in no log and no record.
    BeAnswered,
}

struct Needle {
    bytes: Vec<u8>,
    canary: String,
    form: String,
    may: May,
}

/// Every form of every canary, to be looked for in one pass.
#[derive(Default)]
pub(crate) struct Search {
    needles: HashMap<[u8; START], Vec<Needle>>,
    known: BTreeSet<Vec<u8>>,
}

/// So many bytes tell whether a closer look is worth it.
const START: usize = 8;
/// What is lost at both ends of base64 that begins and ends within other text.
const PART: usize = 14;

impl Search {
    /// Looks for a canary from now on: for all of it, its beginning and its end.
    pub(crate) fn add(&mut self, name: &str, canary: &[u8], may: May) {
        assert!(
            canary.len() >= 2 * PART,
            "{name} is too short to be looked for"
        );
        if !self.known.insert(canary.to_vec()) {
            return;
        }
        for (part, bytes) in [
            ("all", canary),
            ("the beginning", &canary[..PART]),
            ("the end", &canary[canary.len() - PART..]),
        ] {
            for (form, bytes) in forms(bytes) {
                let start: [u8; START] = bytes[..START].try_into().unwrap();
                self.needles.entry(start).or_default().push(Needle {
                    bytes,
                    canary: name.to_owned(),
                    form: format!("{part}, {form}"),
                    may,
                });
            }
        }
    }

    /// How many canaries there are.
    pub(crate) fn canaries(&self) -> usize {
        self.known.len()
    }

    /// What is found where it must not be: each canary, and one form of it; never its text.
    pub(crate) fn find(&self, hay: &[u8], is_answer: bool) -> BTreeMap<String, String> {
        let mut found: BTreeMap<String, String> = BTreeMap::new();
        for (at, start) in hay.windows(START).enumerate() {
            let start: [u8; START] = start.try_into().unwrap();
            for needle in self.needles.get(&start).into_iter().flatten() {
                let allowed = is_answer && needle.may == May::BeAnswered;
                if allowed || !hay[at..].starts_with(&needle.bytes) {
                    continue;
                }
                // All of it says more than a part.
                let form = found.entry(needle.canary.clone()).or_default();
                if form.is_empty() || needle.form < *form {
                    form.clone_from(&needle.form);
                }
            }
        }
        found
    }
}

/// A text in every form in which a program may write it without meaning to.
fn forms(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut forms: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut add = |name: &str, text: Vec<u8>| {
        if text.len() >= START {
            forms.insert(name.to_owned(), text);
        }
    };
    let each = |by: fn(&u8) -> String, between: &str| -> Vec<u8> {
        let texts: Vec<String> = bytes.iter().map(by).collect();
        texts.join(between).into_bytes()
    };
    add("as it is", bytes.to_vec());
    add("hex", each(|b| format!("{b:02x}"), ""));
    add("HEX", each(|b| format!("{b:02X}"), ""));
    add("as a list of numbers", each(u8::to_string, ","));
    add("as a list of numbers, spaced", each(u8::to_string, ", "));
    add(
        "Debug of bytes",
        bytes.escape_ascii().to_string().into_bytes(),
    );
    for (name, escape) in [
        (
            "URL-encoded",
            (|b: &u8| format!("%{b:02X}")) as fn(&u8) -> String,
        ),
        ("url-encoded", |b: &u8| format!("%{b:02x}")),
    ] {
        for (kept, keeps) in [
            ("", (|_| false) as fn(&u8) -> bool),
            (" but for letters and digits", |b: &u8| {
                b.is_ascii_alphanumeric()
            }),
            (" but for the unreserved", |b: &u8| {
                b.is_ascii_alphanumeric() || b"-._~".contains(b)
            }),
            (" as in a path", |b: &u8| {
                b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(b)
            }),
            (" as a form", |b: &u8| {
                b.is_ascii_alphanumeric() || b"-._*".contains(b)
            }),
        ] {
            let text: String = bytes
                .iter()
                .map(|b| match keeps(b) {
                    true => char::from(*b).to_string(),
                    false if kept == " as a form" && *b == b' ' => "+".to_owned(),
                    false => escape(b),
                })
                .collect();
            add(&format!("{name}{kept}"), text.into_bytes());
        }
    }
    for (name, engine) in [
        ("base64", &BASE64_STANDARD_NO_PAD),
        ("base64url", &BASE64_URL_SAFE_NO_PAD),
    ] {
        for shift in 0..3 {
            let mut shifted = vec![0; shift];
            shifted.extend_from_slice(bytes);
            let text = engine.encode(&shifted);
            // The first characters hold bits of what stands before, the last of what follows.
            let from = (shift * 8).div_ceil(6);
            let to = shifted.len() * 8 / 6;
            add(&format!("{name} at {shift}"), text[from..to].into());
        }
    }
    let text = String::from_utf8_lossy(bytes);
    let once = escaped(&text);
    add("JSON in JSON", escaped(&once).into_bytes());
    add("JSON", once.into_bytes());
    add(
        "Debug of text",
        text.escape_debug().to_string().into_bytes(),
    );
    let utf16: String = text
        .encode_utf16()
        .map(|unit| format!("\\u{unit:04x}"))
        .collect();
    add("JSON, all escaped", utf16.into_bytes());
    forms
}

/// A text as JSON holds it, without its quotes.
fn escaped(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    json[1..json.len() - 1].to_owned()
}

#[test]
fn a_canary_is_found_in_each_form_within_other_text() {
    let canary = b"sk_\"canary\\of/the+search%and=more~0123456789";
    let mut search = Search::default();
    search.add("it", canary, May::Nowhere);
    let base64 = |before: &str| {
        let text = [before.as_bytes(), canary, b"after"].concat();
        BASE64_STANDARD_NO_PAD.encode(text).into_bytes()
    };
    let json = serde_json::json!({"a": std::str::from_utf8(canary).unwrap()}).to_string();
    for (form, hay) in [
        ("all, as it is", canary.to_vec()),
        ("the beginning, as it is", canary[..20].to_vec()),
        ("the end, as it is", canary[9..].to_vec()),
        ("all, base64 at 0", base64("")),
        ("all, base64 at 1", base64("x")),
        ("all, base64 at 2", base64("xx")),
        ("all, base64 at 0", base64("xxx")),
        (
            "all, as a list of numbers, spaced",
            format!("{canary:?}").into_bytes(),
        ),
        ("all, JSON", json.clone().into_bytes()),
        (
            "all, JSON in JSON",
            serde_json::json!(json).to_string().into_bytes(),
        ),
    ] {
        let hay = [b"before", hay.as_slice(), b"after"].concat();
        let found = search.find(&hay, true);
        // Two forms may be the same text: which of them is told does not matter.
        let part = form.split(',').next().unwrap();
        assert!(
            found.get("it").is_some_and(|found| found.starts_with(part)),
            "{form}: {found:?}"
        );
    }
    assert!(
        search
            .find(b"nothing of the kind is in here", false)
            .is_empty()
    );
}
