//! Several fields of one secret, previews, and what suits.

use super::{signed::scrubbed, *};
use crate::{Denied, MARK, MASK, RequestStream, SCRUBBABLE_RULE, Unsuited, preview, suits};
use http_body_util::Full;

const URL: &str = "https://a.example/v1/x?a=1";

fn several() -> Policy {
    policy(json!([
        {"header": "x-api-key", "format": "Key {secret}", "field": "/keys/0/api"},
        {"basic": {"username": "me"}, "field": "/password"},
        {"cookie": "sid", "field": "/session"},
        {"query": "token", "field": "/a~1b"},
        {"path": "bot{secret}", "field": "/bot"},
        {"json_pointer": "/auth/secret", "field": "/json"},
        {"json_pointer": "/auth/id", "field": "/a~1b"},
        {"hmac": {"algorithm": "sha256", "message": "{path}{body}", "encoding": "hex", "header": "x-signature", "field": "/hmac"}},
    ]))
}

const SECRET: &str = r#"{"keys": [{"api": "api-key-0"}], "password": "p\u00e4ss-word", "session": "session-0",
    "a/b": "token\/0+1", "bot": "123456:bot", "json": "j\"s\ud83d\ude00n-000", "hmac": "hmac-key-0", "unused": "unused-0"}"#;

fn post(body: &'static str) -> OutboundRequest {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let url = CanonicalUrl::parse(URL).unwrap();
    OutboundRequest::new(
        Method::POST,
        url,
        headers,
        Bytes::from_static(body.as_bytes()),
    )
    .ok()
    .unwrap()
}

const BODY: &str = r#"{"auth": {"id": 0, "secret": null}, "n": 1}"#;

#[test]
fn each_field_goes_into_its_own_place_and_nothing_else_goes_anywhere() {
    let injected = inject(&several(), post(BODY), &secret(SECRET.as_bytes()))
        .ok()
        .unwrap();
    assert_eq!(values(&injected, "x-api-key"), ["Key api-key-0"]);
    let basic = BASE64_STANDARD.encode("me:päss-word");
    assert_eq!(
        values(&injected, "authorization"),
        [format!("Basic {basic}")]
    );
    assert_eq!(values(&injected, "cookie"), ["sid=session-0"]);
    assert_eq!(
        injected.target,
        "/v1/bot123456:bot/x?a=1&token=token%2F0%2B1"
    );
    assert_eq!(
        body(&injected),
        r#"{"auth": {"id": "token/0+1", "secret": "j\"s😀n-000"}, "n": 1}"#
    );
    let all = format!(
        "{:?}{}{}",
        injected.target,
        body(&injected),
        values(&injected, "x-signature")[0]
    );
    assert!(!all.contains("unused") && !all.contains("hmac-key"));
    // Every one of them, and what was made of them, is looked for.
    for text in [
        "api-key-0",
        "päss-word",
        &basic,
        "session-0",
        "token/0+1",
        "token%2F0%2B1",
        "123456:bot",
        "j\"s😀n-000",
        r#"j\"s\ud83d\ude00n-000"#,
        "hmac-key-0",
        &values(&injected, "x-signature")[0],
    ] {
        assert_eq!(scrubbed(&injected, text), MARK, "{text}");
    }
    assert_eq!(
        scrubbed(&injected, "nothing of it: unused"),
        "nothing of it: unused"
    );
}

#[test]
fn a_field_that_is_not_there_or_no_string_is_not_injected() {
    let policy = policy(json!({"header": "x-key", "field": "/a/b"}));
    for text in [
        "text",
        "{}",
        r#"{"a": "b"}"#,
        r#"{"a": {"b": 12345678}}"#,
        r#"{"a": {"b": null}}"#,
        r#"{"a": {"b": ""}}"#,
        r#"{"a": {"b": "12345678", "b": "87654321"}}"#,
        r#"{"a": {"b": "12345678"}"#,
        r#"{"a": {"b": "\ud83d12345678"}}"#,
        "\u{0}",
    ] {
        let injected = inject(&policy, request(URL, &[]), &secret(text.as_bytes()));
        assert_eq!(injected.err(), Some(InjectError::NotInjectable), "{text}");
        assert!(!fits(&policy, &secret(text.as_bytes())), "{text}");
    }
    let injected = inject(
        &policy,
        request(URL, &[]),
        &secret(br#" {"a":{"x":"b","b":"12345678"}} "#),
    );
    assert_eq!(values(&injected.ok().unwrap(), "x-key"), ["12345678"]);
}

#[test]
fn what_does_not_suit_is_told_by_field() {
    let suited = |policy: &Policy, text: &str| {
        suits(policy, &secret(text.as_bytes())).map_err(|Unsuited { field, rule }| (field, rule))
    };
    assert_eq!(suited(&several(), SECRET), Ok(()));
    for (from, to, field) in [
        ("\"session-0\"", "\"short\"", "/session"),
        ("\"session-0\"", "\"  1234567  \"", "/session"),
        ("\"hmac-key-0\"", "\"1234567\"", "/hmac"),
    ] {
        let short = SECRET.replace(from, to);
        assert_eq!(
            suited(&several(), &short),
            Err((Some(field.to_owned()), SCRUBBABLE_RULE))
        );
        assert!(!fits(&several(), &secret(short.as_bytes())));
    }
    let gone = SECRET.replace("\"session\"", "\"sessions\"");
    assert_eq!(
        suited(&several(), &gone).unwrap_err().0.as_deref(),
        Some("/session")
    );
    // A slot that cannot carry it names no field: which one, an attempt would tell.
    assert_eq!(
        suited(&several(), &SECRET.replace("session-0", "session;0"))
            .unwrap_err()
            .0,
        None
    );

    let sigv4 = policy(
        json!({"sigv4": {"region": "r", "service": "s", "access_key_id": "/id", "secret_access_key": "/key"}}),
    );
    assert_eq!(
        suited(&sigv4, r#"{"id": "AKID", "key": "12345678"}"#),
        Ok(())
    );
    assert_eq!(
        suited(&sigv4, r#"{"id": "AKID", "key": "1234567"}"#),
        Err((Some("/key".to_owned()), SCRUBBABLE_RULE))
    );
    assert_eq!(
        suited(&sigv4, r#"{"key": "12345678"}"#)
            .unwrap_err()
            .0
            .as_deref(),
        Some("/id")
    );
    let whole = policy(json!({"bearer": true}));
    assert_eq!(suited(&whole, "1234567"), Err((None, SCRUBBABLE_RULE)));
    assert_eq!(suited(&whole, "12345678"), Ok(()));
    assert!(suited(&whole, "12345678\n9").is_err());
    let nowhere = Policy::parse(&json!({}), None).unwrap();
    assert_eq!(suited(&nowhere, "1"), Ok(()));
}

#[test]
fn a_destination_that_mints_has_its_secrets_judged_all_the_same() {
    let policy = json!({"destinations": [{"url": "https://oauth2.googleapis.com/token", "headers": []}], "inject": {"json_pointer": "/a"}});
    let policy = Policy::parse(&policy, None).unwrap();
    assert_eq!(suits(&policy, &secret(b"12345678")), Ok(()));
    assert!(suits(&policy, &secret(b"1234567\xff8")).is_err());
}

fn text(body: PreviewBody) -> String {
    match body {
        PreviewBody::Whole(body) => String::from_utf8(body.to_vec()).unwrap(),
        PreviewBody::Streamed(length) => format!("streamed {length:?}"),
    }
}

#[test]
fn a_preview_shows_what_would_go_out_with_the_secret_masked() {
    let shown = preview(&several(), post(BODY), NOW).ok().unwrap();
    assert_eq!(shown.method, Method::POST);
    assert_eq!(
        shown.url,
        "https://a.example/v1/bot[byok:secret]/x?a=1&token=[byok:secret]"
    );
    let mut headers: Vec<_> = shown
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    headers.sort_unstable();
    let body = r#"{"auth": {"id": "[byok:secret]", "secret": "[byok:secret]"}, "n": 1}"#;
    assert_eq!(
        headers,
        [
            "accept-encoding: identity",
            "authorization: Basic [byok:secret]",
            &format!("content-length: {}", body.len()),
            "content-type: application/json",
            "cookie: sid=[byok:secret]",
            "host: a.example",
            "x-api-key: Key [byok:secret]",
            "x-signature: [byok:secret]",
        ]
    );
    assert_eq!(text(shown.body), body);
    assert_eq!(MASK, "[byok:secret]");
}

#[test]
fn a_preview_of_sigv4_has_everything_but_the_signature() {
    let policy = policy(
        json!({"sigv4": {"region": "eu-west-1", "service": "s3", "access_key_id": "/id", "secret_access_key": "/key", "session_token": "/t"}}),
    );
    let shown = preview(&policy, request(URL, &[("x-amz-acl", "private")]), NOW)
        .ok()
        .unwrap();
    assert_eq!(
        shown.headers["authorization"],
        "AWS4-HMAC-SHA256 Credential=[byok:secret]/20300101/eu-west-1/s3/aws4_request, \
         SignedHeaders=host;x-amz-acl;x-amz-content-sha256;x-amz-date;x-amz-security-token, Signature=[byok:secret]"
    );
    assert_eq!(shown.headers["x-amz-security-token"], MASK);
    assert_eq!(shown.headers["x-amz-date"], "20300101T000000Z");
}

#[test]
fn a_preview_fails_as_the_use_would() {
    let denied = request("https://b.example/v1", &[]);
    assert_eq!(
        preview(&several(), denied, NOW).err(),
        Some(InjectError::Denied(Denied::Url))
    );
    let taken = request("https://a.example/v1?api_key=1", &[]);
    assert_eq!(
        preview(&policy(json!({"query": "api_key"})), taken, NOW).err(),
        Some(InjectError::SlotTaken)
    );
    assert_eq!(
        preview(&several(), post("{}"), NOW).err(),
        Some(InjectError::NoSlot)
    );
    let form = policy(json!({"form": "key"}));
    let mut sent = post("a=1");
    sent.headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/x-www-form-urlencoded"),
    );
    assert_eq!(
        text(preview(&form, sent, NOW).ok().unwrap().body),
        "a=1&key=[byok:secret]"
    );
}

fn streamed(length: Option<u64>) -> OutboundRequest {
    let stream = RequestStream::new(Full::new(Bytes::from_static(b"body")), length);
    OutboundRequest::streamed(
        Method::POST,
        CanonicalUrl::parse(URL).unwrap(),
        HeaderMap::new(),
        stream,
    )
    .ok()
    .unwrap()
}

#[test]
fn a_body_that_streams_is_refused_where_the_whole_is_needed_and_only_there() {
    let s3 = |unsigned: bool| json!({"sigv4": {"region": "r", "service": "s3", "access_key_id": "/id", "secret_access_key": "/key", "unsigned_payload": unsigned}});
    let hmac = |message: &str| json!({"hmac": {"algorithm": "sha256", "message": message, "encoding": "hex", "header": "x-s"}});
    let keys = br#"{"id": "AKID", "key": "0123456789"}"#;
    for slot in [
        json!({"bearer": true}),
        json!({"query": "k"}),
        json!({"form": "k"}),
        json!({"json_pointer": "/k"}),
        hmac("{path}"),
        hmac("{path}{body}"),
        s3(false),
        s3(true),
    ] {
        let mut slot = slot;
        if slot.get("bearer").or(slot.get("query")).is_some() {
            slot["field"] = json!("/key");
        }
        let policy = policy(slot.clone());
        let injected = inject(&policy, streamed(None), &secret(keys));
        let expected = policy
            .needs_whole_body()
            .then_some(InjectError::StreamedBody);
        assert_eq!(injected.as_ref().err().copied(), expected, "{slot}");
        assert_eq!(
            preview(&policy, streamed(Some(4)), NOW).err(),
            expected,
            "{slot}"
        );
        if slot == s3(true) {
            assert_eq!(
                values(&injected.ok().unwrap(), "x-amz-content-sha256"),
                ["UNSIGNED-PAYLOAD"]
            );
            let whole = inject(&policy, request(URL, &[]), &secret(keys))
                .ok()
                .unwrap();
            assert_ne!(
                values(&whole, "x-amz-content-sha256"),
                ["UNSIGNED-PAYLOAD"],
                "a body that is there is signed"
            );
        }
    }
    let shown = preview(&policy(json!({"bearer": true})), streamed(Some(4)), NOW)
        .ok()
        .unwrap();
    assert_eq!(text(shown.body), "streamed Some(4)");
}

#[test]
fn only_the_headers_that_a_destination_names_go_there() {
    let with = |headers: Value| {
        let destination = json!([{"url": "https://a.example/v1", "headers": headers}]);
        let policy = Policy::parse(&json!({"destinations": destination}), None).unwrap();
        let sent = request(
            URL,
            &[
                ("accept", "a"),
                ("x-b", "b"),
                ("x_b", "c"),
                ("cookie", "d"),
                ("authorization", "mine"),
                ("traceparent", "00-1-2-01"),
            ],
        );
        let injected = inject(&policy, sent, &secret(b"12345678")).ok().unwrap();
        assert_eq!(values(&injected, "authorization"), ["Bearer 12345678"]);
        let mut names: Vec<_> = injected
            .headers
            .keys()
            .map(|it| it.as_str().to_owned())
            .collect();
        names.sort_unstable();
        names
    };
    assert_eq!(with(json!([])), ["accept-encoding", "authorization"]);
    assert_eq!(
        with(json!(["X-B"])),
        ["accept-encoding", "authorization", "x-b"]
    );
    assert_eq!(
        with(json!(["accept", "traceparent"])),
        ["accept", "accept-encoding", "authorization", "traceparent"]
    );
}

#[test]
fn the_length_of_a_body_that_is_empty_is_said_whatever_a_destination_names() {
    let policy = json!({"destinations": [{"url": "https://a.example/v1", "headers": []}]});
    let policy = Policy::parse(&policy, None).unwrap();
    let injected = inject(&policy, post(""), &secret(b"12345678"))
        .ok()
        .unwrap();
    assert_eq!(values(&injected, "content-length"), ["0"]);
}

proptest! {
    #[test]
    fn a_field_is_what_a_parser_of_json_says_it_is(value in "\\PC{1,40}|[\\x00-\\x7f]{1,40}", ascii: bool, name in "\\PC{0,8}") {
        let written = serde_json::to_string(&value).unwrap();
        let written: String = if ascii {
            let escaped = |c: char| c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
            written.chars().map(|c| if c.is_ascii() { c.to_string() } else { escaped(c) }).collect()
        } else {
            written
        };
        let text = format!("{{{}: [0, {written}]}}", serde_json::to_string(&name).unwrap());
        let pointer = format!("/{}/1", name.replace('~', "~0").replace('/', "~1"));
        let bytes = secret(text.as_bytes());
        let found = Source::Secret(&bytes).value(Some(&pointer)).ok().unwrap();
        prop_assert_eq!(found.bytes(), value.as_bytes());
    }

    /// A preview and a use differ in the secret alone.
    #[test]
    fn a_preview_is_the_use_with_the_secret_masked(key in "[a-zA-Z0-9]{8,40}") {
        let text = json!({"keys": [{"api": key}], "password": key, "session": key, "a/b": key, "bot": key, "json": key, "hmac": key}).to_string();
        let injected = inject(&several(), post(BODY), &secret(text.as_bytes())).ok().unwrap();
        let shown = preview(&several(), post(BODY), NOW).ok().unwrap();
        prop_assert_eq!(format!("https://a.example{}", injected.target).replace(&key, MASK), shown.url.as_str());
        prop_assert_eq!(body(&injected).replace(&key, MASK), text_of(&shown));
        for (name, value) in &injected.headers {
            let value = value.to_str().unwrap().replace(&key, MASK);
            match name.as_str() {
                "authorization" | "x-signature" => prop_assert!(shown.headers.contains_key(name)),
                _ => prop_assert_eq!(&shown.headers[name], &value),
            }
        }
    }
}

fn text_of(shown: &Preview) -> &str {
    match &shown.body {
        PreviewBody::Whole(body) => std::str::from_utf8(body).unwrap(),
        PreviewBody::Streamed(_) => "",
    }
}
