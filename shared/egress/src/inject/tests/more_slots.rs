//! Cookies, forms, JSON and paths.

use super::*;

fn post(url: &str, kind: &[&'static str], body: &'static str) -> OutboundRequest {
    let mut map = HeaderMap::new();
    for kind in kind {
        map.append(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    let url = CanonicalUrl::parse(url).unwrap();
    OutboundRequest::new(Method::POST, url, map, Bytes::from_static(body.as_bytes()))
        .ok()
        .unwrap()
}

const URL: &str = "https://a.example/v1";
const FORM: &str = "application/x-www-form-urlencoded";

#[test]
fn a_cookie_joins_those_of_the_caller_in_one_header() {
    let policy = policy(json!({"cookie": "sid"}));
    for (sent, expected) in [
        (&[][..], "sid=s3cr=et"),
        (
            &[("cookie", "a=1; my-sid=2;")],
            "a=1; my-sid=2; sid=s3cr=et",
        ),
        (
            &[("cookie", "a=1"), ("cookie", " b={secret} ")],
            "a=1; b={secret}; sid=s3cr=et",
        ),
        (&[("cookie", "")], "sid=s3cr=et"),
    ] {
        let injected = inject(&policy, request(URL, sent), &secret(b"s3cr=et"))
            .ok()
            .unwrap();
        assert_eq!(values(&injected, "cookie"), [expected]);
        assert!(injected.headers["cookie"].is_sensitive());
    }
    for sent in [
        "sid=1",
        "a=1; sid=",
        "a=1;SID",
        "a=1, sid=2",
        "s%69d=1",
        " sid =1",
        "sid",
    ] {
        let injected = inject(&policy, request(URL, &[("cookie", sent)]), &secret(b"s"));
        assert_eq!(injected.err(), Some(InjectError::SlotTaken), "{sent}");
    }
    for bytes in ["a b", "a;b=c", "a,b", "\"a\"", "a\\b", "a\n", "é", ""] {
        let injected = inject(&policy, request(URL, &[]), &secret(bytes.as_bytes()));
        assert_eq!(injected.err(), Some(InjectError::NotInjectable), "{bytes}");
    }
}

#[test]
fn a_form_field_comes_last_and_the_rest_stays_as_it_is() {
    let policy = policy(json!({"form": "key"}));
    for (kind, sent, expected) in [
        (&[FORM][..], "", "key=a%26b%3D%20%C3%A9%0A"),
        (&[], "", "key=a%26b%3D%20%C3%A9%0A"),
        (
            &[FORM],
            "a=%2f&b={secret}",
            "a=%2f&b={secret}&key=a%26b%3D%20%C3%A9%0A",
        ),
        (
            &["Application/X-WWW-Form-urlencoded ; charset=utf-8"],
            "a",
            "a&key=a%26b%3D%20%C3%A9%0A",
        ),
    ] {
        let injected = inject(
            &policy,
            post(URL, kind, sent),
            &secret("a&b= é\n".as_bytes()),
        )
        .ok()
        .unwrap();
        assert_eq!(body(&injected), expected);
        let kinds = values(&injected, "content-type");
        assert!(kinds.len() == 1 && kinds[0].to_lowercase().starts_with(FORM));
        assert!(
            !injected.headers.contains_key(CONTENT_LENGTH),
            "the old length would cut the new body off"
        );
        assert_eq!(injected.target, "/v1");
    }
    for sent in ["key=1", "a=1&key", "a;key=1", "k%65y=1", "KEY=1", "+key=1"] {
        let injected = inject(&policy, post(URL, &[FORM], sent), &secret(b"s"));
        assert_eq!(injected.err(), Some(InjectError::SlotTaken), "{sent}");
    }
    for (kind, sent) in [
        (&[][..], "a=1"),
        (&["application/json"], ""),
        (&["multipart/form-data"], ""),
        (&[FORM, FORM], ""),
    ] {
        let injected = inject(&policy, post(URL, kind, sent), &secret(b"s"));
        assert_eq!(injected.err(), Some(InjectError::NoSlot), "{kind:?}");
    }
    let injected = inject(&policy, request(URL, &[]), &secret(b"s"));
    assert_eq!(injected.err(), Some(InjectError::NoSlot), "a GET");
    let mut encoded = post(URL, &[FORM], "");
    encoded
        .headers
        .insert("content-encoding", HeaderValue::from_static("gzip"));
    assert_eq!(
        inject(&policy, encoded, &secret(b"s")).err(),
        Some(InjectError::NoSlot)
    );
}

#[test]
fn a_value_of_json_is_replaced_and_no_other_byte_is() {
    let key = "a\"b\\c\n\u{1}é</";
    let quoted = r#""a\"b\\c\u000a\u0001é</""#;
    for (pointer, sent, expected) in [
        ("/a", r#"{"a":null}"#, "{\"a\":@}"),
        (
            "/a",
            " {\n\"x\" : 1e400, \"a\" : { \"a\": [1,\"}\"] } ,\"z\":0.10}\n",
            " {\n\"x\" : 1e400, \"a\" : @ ,\"z\":0.10}\n",
        ),
        (
            "/a/b/1",
            r#"{"b":{"a":1},"a":{"b":[ -1.5e3 , true,"x\"]"]}}"#,
            r#"{"b":{"a":1},"a":{"b":[ -1.5e3 , @,"x\"]"]}}"#,
        ),
        (
            "/a~1b/m~0n",
            r#"{"a/b":{"m~n":"{secret}"}}"#,
            r#"{"a/b":{"m~n":@}}"#,
        ),
        (
            "/a",
            r#"{"\u0061":12345678901234567890123}"#,
            r#"{"\u0061":@}"#,
        ),
        ("//", r#"{"":{"":false}}"#, r#"{"":{"":@}}"#),
        ("/0", r#"["",[]]"#, "[@,[]]"),
        (
            "/x",
            r#"{"y":{"x":1,"x":2},"x":"","z":[{"x":3}]}"#,
            r#"{"y":{"x":1,"x":2},"x":@,"z":[{"x":3}]}"#,
        ),
    ] {
        let policy = policy(json!({"json_pointer": pointer}));
        let injected = inject(
            &policy,
            post(URL, &["application/json"], sent),
            &secret(key.as_bytes()),
        )
        .ok()
        .unwrap();
        assert_eq!(body(&injected), expected.replace('@', quoted), "{pointer}");
    }
}

#[test]
fn a_body_without_the_place_is_refused() {
    let inject_at = |pointer: &str, kind, sent| {
        let policy = policy(json!({"json_pointer": pointer}));
        inject(&policy, post(URL, kind, sent), &secret(b"s")).err()
    };
    let json = &["application/json; charset=utf-8"][..];
    for (pointer, sent, expected) in [
        ("/a", r#"{"a":1,"a":2}"#, InjectError::SlotTaken),
        ("/a", r#"{"a":1,"\u0061":2}"#, InjectError::SlotTaken),
        ("/a/b", r#"{"a":{"b":1},"a":{}}"#, InjectError::SlotTaken),
        ("/a", "{}", InjectError::NoSlot),
        ("/a", "[1]", InjectError::NoSlot),
        ("/a", "\"a\"", InjectError::NoSlot),
        ("/a", "", InjectError::NoSlot),
        ("/a", r#"{"a":1"#, InjectError::NoSlot),
        ("/a", r#"{"a":1}}"#, InjectError::NoSlot),
        ("/a", r#"{"b":{"a":1}}"#, InjectError::NoSlot),
        ("/a", r#"{"b":"a"}"#, InjectError::NoSlot),
        ("/1", "[0]", InjectError::NoSlot),
        ("/-", "[0]", InjectError::NoSlot),
        ("/00", "[0]", InjectError::NoSlot),
        ("/+0", "[0]", InjectError::NoSlot),
        ("/a/b", r#"{"a":1}"#, InjectError::NoSlot),
    ] {
        assert_eq!(
            inject_at(pointer, json, sent),
            Some(expected),
            "{pointer} {sent}"
        );
    }
    assert_eq!(
        inject_at("/a", &["application/vnd.api+json"], r#"{"a":1}"#),
        None
    );
    for kind in [&[][..], &["text/plain"], &["application/jsonp"]] {
        assert_eq!(
            inject_at("/a", kind, r#"{"a":1}"#),
            Some(InjectError::NoSlot),
            "{kind:?}"
        );
    }
    let policy = policy(json!({"json_pointer": "/a"}));
    let bytes = inject(&policy, post(URL, json, r#"{"a":1}"#), &secret(b"\xff"));
    assert_eq!(
        bytes.err(),
        Some(InjectError::NotInjectable),
        "no text, so no JSON"
    );
}

#[test]
fn a_segment_goes_right_behind_the_destinations_path() {
    for (destination, segment, url, target) in [
        (
            "https://t.example/",
            "bot{secret}",
            "https://t.example/send?x=%2f",
            "/bot12:aB%21/send?x=%2F",
        ),
        (
            "https://t.example",
            "bot{secret}",
            "https://t.example/",
            "/bot12:aB%21",
        ),
        (
            "https://t.example/v1",
            "{secret}",
            "https://t.example/v1",
            "/v1/12:aB%21",
        ),
        (
            "https://t.example/v1",
            "{secret}",
            "https://t.example/v1/",
            "/v1/12:aB%21/",
        ),
        (
            "https://t.example/v1",
            "{secret}",
            "https://t.example/v1/a/b",
            "/v1/12:aB%21/a/b",
        ),
        (
            "https://t.example/v1/",
            "k-{secret}.x",
            "https://t.example/v1/a/",
            "/v1/k-12:aB%21.x/a/",
        ),
        (
            "https://t.example/v1/",
            "{secret}",
            "https://t.example/v1/?q",
            "/v1/12:aB%21?q",
        ),
    ] {
        let policy = Policy::parse(
            &json!({"destinations": [{"url": destination}], "inject": {"path": segment}}),
            None,
        )
        .unwrap();
        let injected = inject(&policy, request(url, &[]), &secret(b"12:aB!"))
            .ok()
            .unwrap();
        assert_eq!(injected.target, target, "{destination} {url}");
    }
}

#[test]
fn a_secret_that_leaves_its_segment_is_refused() {
    let segment = |segment: &str, bytes: &[u8]| {
        inject(
            &policy(json!({"path": segment})),
            request(URL, &[]),
            &secret(bytes),
        )
        .err()
    };
    for bytes in [
        "a/b", "a\\b", "a%2fb", "a?b", "a#b", "a;b", "a b", "a\n", "é", ".", "..", "...", "",
    ] {
        assert_eq!(
            segment("{secret}", bytes.as_bytes()),
            Some(InjectError::NotInjectable),
            "{bytes}"
        );
    }
    assert_eq!(segment(".{secret}", b"."), Some(InjectError::NotInjectable));
    assert_eq!(segment("x{secret}", b".."), None);
    assert_eq!(
        segment("{secret}", &[b'a'; 40_000]),
        Some(InjectError::NotInjectable)
    );
}

#[test]
fn whether_a_secret_fits_is_known_when_it_is_put() {
    for (slot, good, bad) in [
        (json!({"cookie": "c"}), &b"key"[..], Some(&b"a;b"[..])),
        (json!({"form": "f"}), b"a\n\xff", None),
        (json!({"json_pointer": "/a/0/~0b"}), b"a\n", Some(b"\xff")),
        (json!({"path": "{secret}"}), b"key", Some(b"a/b")),
    ] {
        assert!(fits(&policy(slot.clone()), &secret(good)), "{slot}");
        if let Some(bad) = bad {
            assert!(!fits(&policy(slot.clone()), &secret(bad)), "{slot}");
        }
        assert!(!fits(&policy(slot), &secret(b"")));
    }
}

proptest! {
    #[test]
    fn whatever_the_secret_the_json_says_it_and_nothing_else_changed(text in "\\PC{1,60}|[\\x00-\\x7f]{1,40}") {
        let policy = policy(json!({"json_pointer": "/a/1"}));
        let sent = r#"{"b":"x","a":[1,{"c":2},3]}"#;
        let injected = inject(&policy, post(URL, &["application/json"], sent), &secret(text.as_bytes())).ok().unwrap();
        let said: Value = serde_json::from_str(&body(&injected)).unwrap();
        prop_assert_eq!(said, json!({"b": "x", "a": [1, text, 3]}));
    }

    #[test]
    fn whatever_the_secret_the_form_says_it(bytes in prop::collection::vec(any::<u8>(), 1..60)) {
        let injected = inject(&policy(json!({"form": "f"})), post(URL, &[FORM], "a=b"), &secret(&bytes)).ok().unwrap();
        let form = body(&injected);
        let value = form.as_bytes().strip_prefix(b"a=b&f=").unwrap();
        let decoded: Vec<u8> = percent_decode(value).collect();
        prop_assert_eq!(decoded, bytes);
    }
}
