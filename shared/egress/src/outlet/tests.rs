use super::*;
use crate::{
    MARK,
    decode::tests::encoders::{brotli, deflate, gzip, raw_deflate, zstd},
    scrub::tests::forms::{of_bytes, of_text},
};
use http::header::CONTENT_ENCODING;
use proptest::prelude::*;

type Encoder = fn(&[u8]) -> Vec<u8>;
const ENCODERS: [(&str, Encoder); 6] = [
    ("identity", <[u8]>::to_vec),
    ("gzip", gzip),
    ("deflate", deflate),
    ("deflate", raw_deflate),
    ("br", brotli),
    ("zstd", zstd),
];

/// A whole answer's way out: what is encoded so, in pieces that end there.
fn out(
    secrets: &[&[u8]],
    encoder: &(&'static str, Encoder),
    text: &[u8],
    cuts: &[prop::sample::Index],
) -> Vec<u8> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoder.0));
    let patterns = Arc::new(Patterns::new(secrets, &[]));
    let mut outlet = Outlet::new(patterns, Some(&headers), usize::MAX).unwrap();
    let sent = (encoder.1)(text);
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(sent.len() + 1)).collect();
    at.extend([0, sent.len()]);
    at.sort_unstable();
    let mut passed = Vec::new();
    for pair in at.windows(2) {
        outlet
            .push(Bytes::copy_from_slice(&sent[pair[0]..pair[1]]))
            .unwrap();
        while let Some(piece) = outlet.pull().unwrap() {
            passed.extend_from_slice(&piece);
        }
    }
    outlet.end();
    while let Some(piece) = outlet.pull().unwrap() {
        passed.extend_from_slice(&piece);
    }
    assert!(outlet.is_over());
    passed
}

fn cuts() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    prop::collection::vec(any::<prop::sample::Index>(), 0..12)
}

fn surroundings() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        prop::collection::vec(
            prop::sample::select(&b"%\\&#u0x41;+ =\n\r{}\"a"[..]),
            0..300
        ),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// Random secrets, two at once, in every form, every encoding, any surroundings, cut
    /// anywhere.
    #[test]
    fn no_answer_gives_a_secret_away(
        seed in "[ -~é€]{8,40}", other in prop::collection::vec(any::<u8>(), 8..40), pick in any::<prop::sample::Index>(),
        which in any::<prop::sample::Index>(), before in surroundings(), after in surroundings(), cuts in cuts(),
    ) {
        let secret = format!("\x01k{seed}Z\x02");
        let other = [b"\x04q", &other[..], b"Y\x05"].concat();
        let mut forms = of_bytes(secret.as_bytes());
        forms.extend(of_text(secret.as_bytes()));
        forms.extend(of_bytes(&other));
        let form = pick.get(&forms);
        let text = [&before[..], b"|\x03", &form.text, b"\x03|", &after].concat();
        let expected = [&before[..], b"|\x03", &form.text[..form.gone.start], MARK.as_bytes(), &form.text[form.gone.end..], b"\x03|", &after].concat();
        let encoder = which.get(&ENCODERS);
        let passed = out(&[secret.as_bytes(), &other], encoder, &text, &cuts);
        prop_assert_eq!(passed.escape_ascii().to_string(), expected.escape_ascii().to_string(), "{} {}", form.name, encoder.0);
    }

    #[test]
    fn an_answer_without_a_secret_is_the_same_byte_for_byte(
        secret in prop::collection::vec(any::<u8>(), 8..60), which in any::<prop::sample::Index>(),
        text in surroundings(), more in surroundings(), cuts in cuts(),
    ) {
        let secret = [b"\x01unlikely", &secret[..], b"Z\x02"].concat();
        let text = [&text[..], &secret[..secret.len() - 1], b"|", &more, b"|", &secret[1..], &text].concat();
        let passed = out(&[&secret], which.get(&ENCODERS), &text, &cuts);
        prop_assert_eq!(passed.escape_ascii().to_string(), text.escape_ascii().to_string());
    }
}
