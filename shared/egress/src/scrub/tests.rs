use super::*;
use base64::{Engine, prelude::BASE64_STANDARD};
use forms::{of_bytes, of_text};
use proptest::prelude::*;

pub(crate) mod forms;

/// Everything that some escape is for.
const SPECIAL: &[u8] = "s\"k</\\&'%é +=?\n€-😀{Zz9}".as_bytes();
const PLAIN: &[u8] = b"sk_live_51H8x+Yz/QkTq09ab-CdEfGhIjKlMnOp";

fn scrubber(secret: &[u8], derived: &[&[u8]]) -> Scrubber {
    Scrubber::new(&SecretBytes::new(secret.to_vec()), derived)
}

fn through<'a>(scrubber: &mut Scrubber, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in pieces {
        out.extend_from_slice(&scrubber.push(Bytes::copy_from_slice(piece)).unwrap());
    }
    out.extend_from_slice(&scrubber.finish().unwrap());
    out
}

fn scrubbed(secret: &[u8], text: &[u8]) -> String {
    String::from_utf8_lossy(&through(&mut scrubber(secret, &[]), [text])).into_owned()
}

fn all_forms(secret: &[u8]) -> Vec<forms::Form> {
    let mut forms = of_bytes(secret);
    if std::str::from_utf8(secret).is_ok() {
        forms.extend(of_text(secret));
    }
    forms
}

fn shown(text: &[u8]) -> String {
    text.escape_ascii().to_string()
}

#[test]
fn every_form_is_found_wherever_it_is_split() {
    for secret in [
        PLAIN,
        SPECIAL,
        b"8 bytes!",
        &[0, 255, 1, 254, 2, 253, 3, 252, 251],
    ] {
        for form in all_forms(secret) {
            let text = [b"<before>|", &form.text[..], b"|<after>"].concat();
            let expected = [
                b"<before>|",
                &form.text[..form.gone.start],
                MARK.as_bytes(),
                &form.text[form.gone.end..],
                b"|<after>",
            ]
            .concat();
            for at in 0..=text.len() {
                let out = through(&mut scrubber(secret, &[]), [&text[..at], &text[at..]]);
                assert_eq!(
                    shown(&out),
                    shown(&expected),
                    "{} split at {at}: {}",
                    form.name,
                    shown(&text)
                );
            }
            let out = through(&mut scrubber(secret, &[]), text.chunks(1));
            assert_eq!(shown(&out), shown(&expected), "{} byte by byte", form.name);
            assert!(
                scrubber(secret, &[])
                    .push(text.into())
                    .unwrap()
                    .ends_with(b"after>"),
                "{}: what follows is not held back",
                form.name
            );
        }
    }
}

#[test]
fn there_are_more_than_forty_forms() {
    assert!(all_forms(PLAIN).len() > 80);
}

#[test]
fn what_is_nearly_the_secret_passes() {
    for form in all_forms(PLAIN) {
        for at in 0..form.text.len() {
            let mut text = form.text.clone();
            text.remove(at);
            let out = through(&mut scrubber(PLAIN, &[]), [&text[..]]);
            // A separator, or padding, or what only the neighbours of the secret wrote, may be missing.
            assert!(
                out == text || String::from_utf8_lossy(&out).contains(MARK),
                "{} without {at}",
                form.name
            );
            if form.name == "plain" || form.name == "hex" || form.name == "base64 bare 0 0" {
                assert_eq!(shown(&out), shown(&text), "{} without {at}", form.name);
            }
        }
    }
}

#[test]
fn nothing_is_held_back_that_cannot_be_the_secret() {
    let mut scrubber = scrubber(PLAIN, &[]);
    for event in [
        "data: {\"text\": \"hello\"}\n\n",
        "data: ok\n\n",
        ": ping s\r\n\r\n",
        "data: 100%\n\n",
    ] {
        assert_eq!(scrubber.push(event.into()).unwrap(), event);
        assert_eq!(scrubber.held(), 0);
    }
    // Whatever an event ends with.
    for end in b' '..0x7f {
        for newline in ["\n\n", "\r\n\r\n"] {
            let event = format!("data: {}{newline}", char::from(end));
            assert_eq!(scrubber.push(event.clone().into()).unwrap(), event);
        }
    }
    // As long as it can be, and no longer.
    assert_eq!(scrubber.push("data: sk_live_".into()).unwrap(), "data: ");
    assert_eq!(scrubber.held(), 8);
    assert_eq!(scrubber.push("50\n\n".into()).unwrap(), "sk_live_50\n\n");
    assert_eq!(scrubber.held(), 0);
}

#[test]
fn what_passes_untouched_is_not_copied() {
    let piece = Bytes::from_static(b"nothing of interest.");
    let at = piece.as_ptr();
    assert_eq!(scrubber(PLAIN, &[]).push(piece).unwrap().as_ptr(), at);
}

#[test]
fn what_is_held_is_bounded_by_the_longest_form() {
    let secret = [b'x'; 64];
    let mut scrubber = scrubber(&secret, &[]);
    for _ in 0..1000 {
        // A run of blanks inside of base64, escapes without an end, separators.
        for text in [
            "eHh4eHh4eHh4\n        ",
            "%2525252525",
            "\\\\\\\\\\\\\\\\",
            "&#00000000000000",
            "&amp;amp;amp;amp;",
            "78:78:",
        ] {
            scrubber.push(text.into()).unwrap();
            assert!(scrubber.held() < 2048, "{text} {}", scrubber.held());
        }
    }
}

#[test]
fn forms_that_overlap_leave_nothing_between_them() {
    let secret = b"abcabcabc";
    assert_eq!(
        scrubbed(secret, b"-abcabcabcabcabc-abc"),
        format!("-{MARK}-abc")
    );
    assert_eq!(scrubbed(secret, b"abcabcabcabcabcabc"), MARK);
    assert_eq!(
        scrubbed(PLAIN, &[PLAIN, PLAIN].concat()),
        format!("{MARK}{MARK}")
    );
    // The end of the plain one is the beginning of a base64 one.
    let secret = b"YWJjZGVmZ2hp";
    let text = [&secret[..], BASE64_STANDARD.encode(secret).as_bytes()].concat();
    assert!(!scrubbed(secret, &text).contains("WVdK"));
    let mut byte_by_byte = scrubber(b"abcabcabc", &[]);
    let out = through(&mut byte_by_byte, b"-abcabcabcabcabc-abc".chunks(1));
    assert_eq!(shown(&out), format!("-{MARK}-abc"));
}

#[test]
fn a_derived_credential_is_found_whole_and_in_its_own_forms() {
    let pair = b"user:sk_live_51H8x";
    let mut given = scrubber(b"sk_live_51H8x", &[pair]);
    let basic = format!(
        "Basic {}|user:sk_live_51H8x|sk_live_51H8x",
        BASE64_STANDARD.encode(pair)
    );
    let out = through(&mut given, [basic.as_bytes()]);
    assert_eq!(shown(&out), format!("Basic {MARK}|{MARK}|{MARK}"));
    // A secret that is too short itself may have been made into something long enough.
    let mut short = scrubber(b"abc", &[b"Bearer abc"]);
    assert_eq!(
        through(&mut short, [&b"Bearer abc, abc"[..]]),
        format!("{MARK}, abc").into_bytes()
    );
}

#[test]
fn a_secret_is_found_without_the_blanks_at_its_ends() {
    assert_eq!(
        scrubbed(b"  sk_live_1234\n", b"<sk_live_1234>"),
        format!("<{MARK}>")
    );
    assert!(!scrubbable(&SecretBytes::new(b"  1234567 \n".to_vec())));
    assert!(!scrubbable(&SecretBytes::new(b"1234567".to_vec())));
    assert!(scrubbable(&SecretBytes::new(b"12345678".to_vec())));
}

#[test]
fn an_answer_that_begins_like_the_secret_everywhere_is_given_up() {
    let secret = [&[b'a'; 60_000][..], b"b"].concat();
    let mut scrubber = scrubber(&secret, &[]);
    let piece = Bytes::from(vec![b'a'; 1 << 20]);
    let begun = std::time::Instant::now();
    assert_eq!(scrubber.push(piece).err(), Some(TooMuchWork));
    assert!(begun.elapsed() < std::time::Duration::from_secs(20));
}

#[test]
fn long_secrets_are_found_in_small_pieces() {
    let secret: Vec<u8> = (0..20_000_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    for form in of_bytes(&secret)
        .into_iter()
        .filter(|form| form.name.ends_with(['n', 'x', '0']))
    {
        let out = through(&mut scrubber(&secret, &[]), form.text.chunks(100));
        let left = form.text.len() - form.gone.len() + MARK.len();
        assert_eq!(out.len(), left, "{}", form.name);
    }
}

#[test]
fn nothing_secret_can_be_printed_or_doubled() {
    static_assertions::assert_not_impl_any!(Scrubber: std::fmt::Debug, Clone);
    static_assertions::assert_not_impl_any!(Patterns: std::fmt::Debug, Clone);
    static_assertions::assert_impl_all!(Scrubber: Send);
}

/// Random pieces of a text.
fn pieces<'a>(text: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
    at.sort_unstable();
    at.insert(0, 0);
    at.push(text.len());
    at.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect()
}

/// Texts in which escapes begin everywhere.
fn surroundings() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        prop::collection::vec(
            prop::sample::select(&b"%\\&#u0x41;+ =\n\r{}\"a"[..]),
            0..200
        ),
        "[ -~\\n]{0,200}".prop_map(String::into_bytes),
    ]
}

fn cuts() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    prop::collection::vec(any::<prop::sample::Index>(), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn no_form_gets_past(
        seed in prop::collection::vec(any::<u8>(), 8..60), is_text in any::<bool>(), pick in any::<prop::sample::Index>(),
        before in surroundings(), after in surroundings(), cuts in cuts(),
    ) {
        // Ends that are no blanks, and enough variety not to stand in the surroundings by chance.
        let mut secret = b"\x01k".to_vec();
        if is_text {
            secret.extend(String::from_utf8_lossy(&seed).bytes());
        } else {
            secret.extend(seed);
        }
        secret.extend(b"Z\x02");
        let forms = all_forms(&secret);
        let form = pick.get(&forms);
        let text = [&before[..], b"|\x03", &form.text, b"\x03|", &after].concat();
        let expected = [&before[..], b"|\x03", &form.text[..form.gone.start], MARK.as_bytes(), &form.text[form.gone.end..], b"\x03|", &after].concat();
        let out = through(&mut scrubber(&secret, &[]), pieces(&text, &cuts));
        prop_assert_eq!(shown(&out), shown(&expected), "{} of {}", form.name, shown(&secret));
    }

    #[test]
    fn what_has_no_secret_in_it_comes_back_byte_for_byte(
        secret in prop::collection::vec(any::<u8>(), 8..60), text in surroundings(), more in surroundings(), cuts in cuts(),
    ) {
        let secret = [b"\x01unlikely", &secret[..], b"Z\x02"].concat();
        // With beginnings and ends of the secret in it.
        let text = [&text[..], &secret[..secret.len() - 1], b"|", &more, b"|", &secret[1..], &text].concat();
        let out = through(&mut scrubber(&secret, &[]), pieces(&text, &cuts));
        prop_assert_eq!(shown(&out), shown(&text));
    }
}

/// More targets than the filter has bits.
#[test]
fn several_secrets_are_looked_for_at_once() {
    let secrets: Vec<Vec<u8>> = (0..12)
        .map(|i| format!("{i}-secret-{i}é-{}", 7 * i).into_bytes())
        .collect();
    let given: Vec<&[u8]> = secrets.iter().map(Vec::as_slice).collect();
    let patterns = Arc::new(Patterns::new(&given, &[b"user:derived-0"]));
    assert!(patterns.count() > 62);
    for secret in &secrets {
        for form in all_forms(secret) {
            let text = [b"<|", &form.text[..], b"|>"].concat();
            let out = through(&mut Scrubber::of(patterns.clone()), text.chunks(5));
            let expected = [
                b"<|",
                &form.text[..form.gone.start],
                MARK.as_bytes(),
                &form.text[form.gone.end..],
                b"|>",
            ]
            .concat();
            assert_eq!(shown(&out), shown(&expected), "{}", form.name);
        }
    }
    let text = secrets.concat();
    let out = through(&mut Scrubber::of(patterns), text.chunks(3));
    assert_eq!(shown(&out), MARK.repeat(12));
}

#[test]
fn the_same_secret_twice_is_looked_for_once() {
    let once = Patterns::new(&[PLAIN], &[]).count();
    assert_eq!(
        Patterns::new(&[PLAIN, b" short ", PLAIN], &[PLAIN]).count(),
        once
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// What the fuzz target `scrubber` holds as well.
    #[test]
    fn where_an_answer_is_cut_changes_nothing(
        secret in prop_oneof![prop::collection::vec(any::<u8>(), 8..40), prop::collection::vec(prop::sample::select(&b"aA%5c2\\u0&#;x="[..]), 8..20)],
        text in prop::collection::vec(prop_oneof![Just(None), any::<u8>().prop_map(Some), prop::sample::select(&b"aA%5c2\\u0&#;x=\n"[..]).prop_map(Some)], 0..120),
        cuts in cuts(),
    ) {
        prop_assume!(scrubbable(&SecretBytes::new(secret.clone())));
        let mut sent = Vec::new();
        for byte in &text {
            match byte {
                None => sent.extend_from_slice(&secret),
                Some(byte) => sent.push(*byte),
            }
        }
        let whole = through(&mut scrubber(&secret, &[]), [&sent[..]]);
        let pieced = through(&mut scrubber(&secret, &[]), pieces(&sent, &cuts));
        prop_assert_eq!(shown(&whole), shown(&pieced));
        let trimmed = secret.trim_ascii();
        if trimmed.iter().all(|b| !MARK.as_bytes().contains(b)) {
            prop_assert!(!whole.windows(trimmed.len()).any(|window| window == trimmed));
        }
    }
}
