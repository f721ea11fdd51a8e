use super::{header::set as set_header, *};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{
    HeaderValue,
    header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE},
};
use percent_encoding::percent_decode;
use proptest::prelude::*;
use serde_json::{Value, json};

fn inject(
    policy: &Policy,
    request: OutboundRequest,
    secret: &SecretBytes,
) -> Result<InjectedRequest, InjectError> {
    super::inject(policy, request, secret, NOW)
}

const NOW: OffsetDateTime = time::macros::datetime!(2030-01-01 00:00 UTC);

fn policy(slot: Value) -> Policy {
    Policy::parse(
        &json!({"destinations": [{"url": "https://a.example/v1"}], "inject": slot}),
        None,
    )
    .unwrap()
}

fn request(url: &str, headers: &[(&'static str, &'static str)]) -> OutboundRequest {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, HeaderValue::from_static(value));
    }
    let url = CanonicalUrl::parse(url).unwrap();
    OutboundRequest::new(Method::GET, url, map, Bytes::from_static(b"{secret}"))
        .ok()
        .unwrap()
}

fn secret(bytes: &[u8]) -> SecretBytes {
    SecretBytes::new(bytes.to_vec())
}

fn body(injected: &InjectedRequest) -> String {
    let body = injected.body.whole().expect("it does not stream");
    String::from_utf8_lossy(body).into_owned()
}

fn values(injected: &InjectedRequest, name: &str) -> Vec<String> {
    injected
        .headers
        .get_all(name)
        .iter()
        .map(|value| value.to_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_header_slot_replaces_the_callers_own_and_touches_nothing_else() {
    let policy = policy(json!({"header": "x-api-key", "format": "Key {secret}!"}));
    let request = request(
        "https://a.example/v1/{secret}"
            .replace(['{', '}'], "_")
            .as_str(),
        &[
            ("x-api-key", "mine"),
            ("x-api-key", "mine too"),
            ("x_api_key", "mine"),
            ("x-note", "{secret}"),
        ],
    );
    let injected = inject(&policy, request, &secret(b"s3cr{secret}et"))
        .ok()
        .unwrap();
    assert_eq!(values(&injected, "x-api-key"), ["Key s3cr{secret}et!"]);
    assert!(injected.headers["x-api-key"].is_sensitive());
    assert!(
        !injected.headers.contains_key("x_api_key"),
        "CGI servers would join it with ours"
    );
    assert_eq!(values(&injected, "x-note"), ["{secret}"]);
    assert_eq!(body(&injected), "{secret}");
    assert_eq!(injected.target, "/v1/_secret_");
}

#[test]
fn a_basic_slot_carries_the_secret_as_its_password() {
    // RFC 7617, section 2.
    let policy = policy(json!({"basic": {"username": "Aladdin"}}));
    let request = request("https://a.example/v1", &[("authorization", "Bearer mine")]);
    let injected = inject(&policy, request, &secret(b"open sesame"))
        .ok()
        .unwrap();
    assert_eq!(
        values(&injected, "authorization"),
        ["Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="]
    );
    assert!(injected.headers["authorization"].is_sensitive());
}

#[test]
fn a_query_slot_comes_last_and_percent_encoded() {
    let policy = policy(json!({"query": "api_key"}));
    for (url, target) in [
        ("https://a.example/v1", "/v1?api_key=a%26b%3D%20%2F%C3%A9~"),
        ("https://a.example/v1?", "/v1?api_key=a%26b%3D%20%2F%C3%A9~"),
        (
            "https://a.example/v1?x=%2f",
            "/v1?x=%2F&api_key=a%26b%3D%20%2F%C3%A9~",
        ),
        (
            "https://a.example/v1?my_api_key=1",
            "/v1?my_api_key=1&api_key=a%26b%3D%20%2F%C3%A9~",
        ),
    ] {
        let injected = inject(&policy, request(url, &[]), &secret("a&b= /é~".as_bytes()))
            .ok()
            .unwrap();
        assert_eq!(injected.target, target, "{url}");
    }
}

#[test]
fn a_taken_query_slot_is_refused_however_it_is_spelled() {
    let policy = policy(json!({"query": "api_key"}));
    for query in [
        "api_key=1",
        "a=1&api_key=",
        "api_key",
        "api%5fkey=1",
        "%61pi_key=1",
        "API_KEY=1",
        "a;api_key=1",
        "+api_key=1",
        "&&api_key",
    ] {
        let request = request(&format!("https://a.example/v1?{query}"), &[]);
        assert_eq!(
            inject(&policy, request, &secret(b"s")).err(),
            Some(InjectError::SlotTaken),
            "{query}"
        );
    }
}

#[test]
fn a_secret_that_does_not_fit_its_slot_is_refused_without_a_reason() {
    let header = json!({"header": "x-api-key"});
    let basic = json!({"basic": {"username": "u"}});
    let query = json!({"query": "k"});
    for (slot, bytes) in [
        (&header, b"".as_slice()),
        (&header, b"key\n"),
        (&header, b"a\r\nx-evil: 1"),
        (&header, b"a\0b"),
        (&header, b"a\tb"),
        (&header, b"a\x7f"),
        (&header, "clé".as_bytes()),
        (&header, b" key"),
        (&header, b"key "),
        (&basic, b""),
        (&basic, b"key\n"),
        (&query, b""),
        (&query, &[b'%'; 11 * 1024]),
    ] {
        let injected = inject(
            &policy(slot.clone()),
            request("https://a.example/v1", &[]),
            &secret(bytes),
        );
        assert_eq!(
            injected.err(),
            Some(InjectError::NotInjectable),
            "{slot} {:?}",
            &bytes[..bytes.len().min(20)]
        );
    }
}

#[test]
fn a_request_with_a_secret_can_be_neither_printed_nor_doubled() {
    static_assertions::assert_not_impl_any!(InjectedRequest: std::fmt::Debug, std::fmt::Display, Clone);
    static_assertions::assert_not_impl_any!(OutboundRequest: std::fmt::Debug, Clone);
}

#[test]
fn the_wiped_buffers_are_the_ones_that_are_sent() {
    let mut headers = HeaderMap::new();
    let value = joined(&[b"a buffer of our own"]);
    let at = value.as_ptr();
    set_header(&mut headers, AUTHORIZATION, value).unwrap();
    assert_eq!(
        headers[AUTHORIZATION].as_bytes().as_ptr(),
        at,
        "http made a copy that nobody wipes"
    );
    let target = joined(&[b"/a/buffer?of=our-own"]);
    let at = target.as_ptr();
    let target = PathAndQuery::from_maybe_shared(Bytes::from_owner(target)).unwrap();
    assert_eq!(
        http::Uri::from(target).path().as_ptr(),
        at,
        "http made a copy that nobody wipes"
    );
}

#[test]
fn nothing_is_injected_into_a_request_that_the_policy_denies() {
    let policy = policy(json!({"header": "x-api-key"}));
    let elsewhere = inject(
        &policy,
        request("https://evil.example/v1", &[]),
        &secret(b"s"),
    );
    assert_eq!(elsewhere.err(), Some(InjectError::Denied(Denied::Url)));
}

mod list;
mod more_slots;
mod signed;

proptest! {
    #[test]
    fn whatever_the_secret_the_header_is_one_line_with_exactly_it(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let injected = inject(&policy(json!({"header": "x-k", "format": "T {secret}"})), request("https://a.example/v1", &[]), &secret(&bytes));
        if let Ok(injected) = injected {
            let expected = [b"T ", bytes.as_slice()].concat();
            prop_assert_eq!(injected.headers["x-k"].as_bytes(), expected);
            prop_assert!(bytes.iter().all(|b| (0x20..0x7f).contains(b)));
        }
    }

    #[test]
    fn whatever_the_secret_the_basic_pair_decodes_to_it(bytes in prop::collection::vec(0x20_u8..0x7f, 1..80)) {
        let injected = inject(&policy(json!({"basic": {"username": "u"}})), request("https://a.example/v1", &[]), &secret(&bytes)).ok().unwrap();
        let value = injected.headers["authorization"].as_bytes();
        prop_assert_eq!(BASE64_STANDARD.decode(&value[6..]).unwrap(), [b"u:", bytes.as_slice()].concat());
    }

    #[test]
    fn whatever_the_secret_the_parameter_decodes_to_it(bytes in prop::collection::vec(any::<u8>(), 1..80)) {
        let injected = inject(&policy(json!({"query": "k"})), request("https://a.example/v1?a=b", &[]), &secret(&bytes)).ok().unwrap();
        let value = injected.target.query().unwrap().strip_prefix("a=b&k=").unwrap();
        prop_assert!(!value.contains(['&', '#', '+', '=', ';']));
        let decoded: Vec<u8> = percent_decode(value.as_bytes()).collect();
        prop_assert_eq!(decoded, bytes);
    }
}
