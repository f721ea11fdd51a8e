//! Signatures, against published examples where there are any.

use super::*;
use time::macros::datetime;

fn sent(
    inject: Value,
    method: Method,
    url: &str,
    headers: &[(&'static str, &'static str)],
    body: &'static [u8],
    value: Value,
    now: OffsetDateTime,
) -> Result<InjectedRequest, InjectError> {
    let url = CanonicalUrl::parse(url).unwrap();
    let base = format!("{}://{}/", url.scheme().as_str(), url.authority());
    let policy = json!({"destinations": [{"url": base, "mint": true}], "inject": inject});
    let policy = Policy::parse(&policy, None).unwrap();
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, HeaderValue::from_static(value));
    }
    let request = OutboundRequest::new(method, url, map, Bytes::from_static(body))
        .ok()
        .unwrap();
    let value = match value {
        Value::String(text) => text,
        value => value.to_string(),
    };
    crate::inject(&policy, request, &secret(value.as_bytes()), now)
}

fn hmac(algorithm: &str, message: &str, encoding: &str, more: Value) -> Value {
    let mut hmac = json!({"algorithm": algorithm, "message": message, "encoding": encoding, "header": "x-signature"});
    for (name, value) in more.as_object().unwrap() {
        hmac[name] = value.clone();
    }
    json!({"hmac": hmac})
}

#[test]
fn an_hmac_is_the_published_one() {
    // RFC 4231, section 4.3; and GitHub's "Validating webhook deliveries".
    for (algorithm, key, body, expected) in [
        (
            "sha256",
            "Jefe",
            &b"what do ya want for nothing?"[..],
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            "sha512",
            "Jefe",
            b"what do ya want for nothing?",
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        ),
        (
            "sha256",
            "It's a Secret to Everybody",
            b"Hello, World!",
            "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
        ),
    ] {
        let slot = hmac(
            algorithm,
            "{body}",
            "hex",
            json!({"format": "sig={signature}"}),
        );
        let injected = sent(
            slot,
            Method::POST,
            "https://a.example/",
            &[],
            body,
            json!(key),
            NOW,
        )
        .ok()
        .unwrap();
        assert_eq!(
            values(&injected, "x-signature"),
            [format!("sig={expected}")]
        );
        assert!(injected.headers["x-signature"].is_sensitive());
        assert_eq!(
            injected.body.whole().ok(),
            Some(body),
            "what was signed is what is sent"
        );
    }
}

#[test]
fn an_hmac_signs_the_request_as_it_goes_out() {
    const KEY: &str = "whsec_0123456789";
    let slot = hmac(
        "sha256",
        "{timestamp}.{method}.{path}.{body}",
        "hex",
        json!({"format": "t={timestamp},v1={signature}"}),
    );
    let injected = sent(
        slot,
        Method::POST,
        "https://a.example/v1/x",
        &[("x-signature", "mine"), ("x_signature", "mine")],
        b"{\"a\":1}",
        json!(KEY),
        NOW,
    )
    .ok()
    .unwrap();
    assert_eq!(values(&injected, "x-signature"), [EXPECTED_HEX]);
    assert!(!injected.headers.contains_key("x_signature"));

    // Beside another field that goes into the query first; the time in a header of its own.
    let list = json!([
        hmac(
            "sha512",
            "{method}\n{host}\n{target}\n{timestamp}",
            "base64",
            json!({"field": "/key", "timestamp": {"header": "x-time", "form": "rfc3339"}}),
        ),
        {"query": "api_key", "field": "/id"},
    ]);
    let secret = json!({"key": KEY, "id": "tok_0123456789"});
    let injected = sent(
        list,
        Method::POST,
        "https://a.example:8443/v1/x?b=2",
        &[("x-time", "mine")],
        b"",
        secret,
        NOW,
    )
    .ok()
    .unwrap();
    assert_eq!(injected.target, "/v1/x?b=2&api_key=tok_0123456789");
    assert_eq!(
        values(&injected, "x-signature"),
        [
            "lfWM9kfyBZQEh0+1lgVZDcNy53caL85z7cBQdSJcYX73zOUMampc1Hf5jAwyinKDuevPERKWWbuRnypgx84rEg=="
        ]
    );
    assert_eq!(values(&injected, "x-time"), ["2030-01-01T00:00:00Z"]);

    let slot = hmac(
        "sha256",
        "{timestamp}",
        "hex",
        json!({"timestamp": {"header": "x-time", "form": "unix_ms"}}),
    );
    let now = datetime!(2030-01-01 00:00:00.123_9 UTC);
    let injected = sent(
        slot,
        Method::GET,
        "https://a.example/",
        &[],
        b"",
        json!(KEY),
        now,
    )
    .ok()
    .unwrap();
    assert_eq!(values(&injected, "x-time"), ["1893456000123"]);
    assert_eq!(
        values(&injected, "x-signature"),
        ["6fa700a5facfd4dd4d20c40a125202249af766a7465e92d8fb764e165c409443"]
    );
}

const EXPECTED_HEX: &str =
    "t=1893456000,v1=507faaa2830ceeb674f0fda22067074cc74b299a1385f9240018336fabe44d07";

fn aws(service: &str, more: Value) -> Value {
    let mut sigv4 = json!({"region": "us-east-1", "service": service, "access_key_id": "/id", "secret_access_key": "/key"});
    for (name, value) in more.as_object().unwrap() {
        sigv4[name] = value.clone();
    }
    json!({"sigv4": sigv4})
}

#[test]
fn sigv4_is_the_published_one() {
    // Amazon S3 API Reference, "Examples: Signature Calculations"; and AWS's test suite
    // for Signature Version 4: get-vanilla, get-vanilla-query-order-key-case, and
    // post-sts-header-before.
    let s3 =
        json!({"id": "AKIAIOSFODNN7EXAMPLE", "key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"});
    const TOKEN: &str = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";
    let suite = json!({"id": "AKIDEXAMPLE", "key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "token": TOKEN});
    let of_s3 = datetime!(2013-05-24 00:00 UTC);
    let of_suite = datetime!(2015-08-30 12:36 UTC);
    for (slot, method, url, secret, now, signed, signature) in [
        (
            aws("s3", json!({})),
            Method::GET,
            "https://examplebucket.s3.amazonaws.com/?lifecycle",
            &s3,
            of_s3,
            "host;x-amz-content-sha256;x-amz-date",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            aws("s3", json!({})),
            Method::GET,
            "https://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J",
            &s3,
            of_s3,
            "host;x-amz-content-sha256;x-amz-date",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
        (
            aws("service", json!({})),
            Method::GET,
            "https://example.amazonaws.com/",
            &suite,
            of_suite,
            "host;x-amz-date",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            aws("service", json!({})),
            Method::GET,
            "https://example.amazonaws.com/?Param2=value2&Param1=value1",
            &suite,
            of_suite,
            "host;x-amz-date",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (
            aws("service", json!({"session_token": "/token"})),
            Method::POST,
            "https://example.amazonaws.com/",
            &suite,
            of_suite,
            "host;x-amz-date;x-amz-security-token",
            "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
        ),
    ] {
        let injected = sent(slot, method, url, &[], b"", secret.clone(), now)
            .ok()
            .unwrap();
        let authorization = values(&injected, "authorization");
        let expected = format!(", SignedHeaders={signed}, Signature={signature}");
        assert!(
            authorization.len() == 1 && authorization[0].ends_with(&expected),
            "{url} {authorization:?}"
        );
        assert!(injected.headers["authorization"].is_sensitive());
        assert_eq!(
            injected.headers.contains_key("x-amz-security-token"),
            signed.contains("token")
        );
    }
}

/// What is signed, in the words of the Authorization header.
fn signature(
    url: &str,
    slot: Value,
    headers: &[(&'static str, &'static str)],
) -> (String, InjectedRequest) {
    let secret = json!({"id": "AKIDEXAMPLE", "key": "0123456789"});
    let injected = sent(slot, Method::PUT, url, headers, b"body", secret, NOW)
        .ok()
        .unwrap();
    (values(&injected, "authorization")[0].clone(), injected)
}

#[test]
fn s3_takes_a_path_as_it_is_and_the_hash_of_the_body() {
    let (_, injected) = signature(
        "https://b.s3.amazonaws.com/a//b/x%20y",
        aws("s3", json!({})),
        &[],
    );
    assert_eq!(
        values(&injected, "x-amz-content-sha256"),
        ["230d8358dc8e8890b4c58deeb62912ee2f20357ae92a5cc861b98e68fe31acb5"],
        "the SHA-256 of `body`"
    );
    assert_eq!(injected.target, "/a//b/x%20y");
    // Two spellings of one key are one key to S3, and so of one signature; nothing is encoded twice.
    let of = |path: &str, service: &str| {
        signature(
            &format!("https://b.s3.amazonaws.com{path}"),
            aws(service, json!({})),
            &[],
        )
        .0
    };
    assert_eq!(of("/a:b@c", "s3"), of("/a%3Ab%40c", "s3"));
    assert_ne!(of("/a:b@c", "sqs"), of("/a%3Ab%40c", "sqs"));
    assert_ne!(
        of("/a//b", "s3"),
        of("/a/b", "s3"),
        "empty segments are part of a key"
    );
    assert_eq!(of("/a//b", "sqs"), of("/a/b", "sqs"));
    let (_, injected) = signature(
        "https://sqs.eu-west-1.amazonaws.com/",
        aws("sqs", json!({})),
        &[],
    );
    assert!(!injected.headers.contains_key("x-amz-content-sha256"));
}

#[test]
fn the_clients_own_signature_is_discarded_and_its_other_headers_are_signed() {
    let (authorization, injected) = signature(
        "https://b.s3.amazonaws.com/k",
        aws("s3", json!({})),
        &[
            ("authorization", "AWS4-HMAC-SHA256 Credential=mine"),
            ("x-amz-date", "20000101T000000Z"),
            ("x-amz-security-token", "mine"),
            ("x_amz_security_token", "mine"),
            ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
            ("x-amz-acl", "private"),
            ("content-type", "text/plain"),
            ("user-agent", "some-sdk"),
        ],
    );
    assert!(
        authorization.starts_with(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20300101/us-east-1/s3/aws4_request, \
             SignedHeaders=content-type;host;x-amz-acl;x-amz-content-sha256;x-amz-date, Signature="
        ),
        "{authorization}"
    );
    assert_eq!(values(&injected, "authorization").len(), 1);
    assert_eq!(values(&injected, "x-amz-date"), ["20300101T000000Z"]);
    assert_eq!(values(&injected, "x-amz-acl"), ["private"]);
    assert_eq!(values(&injected, "user-agent"), ["some-sdk"]);
    assert!(!injected.headers.contains_key("x-amz-security-token"));
    assert!(!injected.headers.contains_key("x_amz_security_token"));
}

#[test]
fn what_is_signed_otherwise_already_is_refused() {
    let secret = json!({"id": "AKIDEXAMPLE", "key": "0123456789"});
    let get = |query: &str, headers: &[(&'static str, &'static str)]| {
        let url = format!("https://b.s3.amazonaws.com/k?{query}");
        sent(
            aws("s3", json!({})),
            Method::PUT,
            &url,
            headers,
            b"x",
            secret.clone(),
            NOW,
        )
        .err()
    };
    for query in [
        "X-Amz-Signature=x",
        "a=1&x-amz-credential=y",
        "X%2DAmz-Algorithm=",
        "AWSAccessKeyId=AKID",
    ] {
        assert_eq!(get(query, &[]), Some(InjectError::SlotTaken), "{query}");
    }
    assert_eq!(
        get("", &[("content-encoding", "gzip, aws-chunked")]),
        Some(InjectError::NoSlot)
    );
    assert_eq!(get("x-id=PutObject", &[("content-encoding", "gzip")]), None);
}

#[test]
fn a_secret_without_what_is_signed_with_does_not_fit() {
    for secret in [
        json!({"id": "AKID"}),
        json!({"key": "0123456789"}),
        json!("text"),
        json!({"id": "a/b", "key": "0123456789"}),
    ] {
        let injected = sent(
            aws("s3", json!({})),
            Method::GET,
            "https://a.example/",
            &[],
            b"",
            secret.clone(),
            NOW,
        );
        assert_eq!(injected.err(), Some(InjectError::NotInjectable), "{secret}");
    }
}

#[test]
fn what_was_signed_with_and_the_signature_are_looked_for_in_the_answer() {
    let secret = json!({"id": "AKIDEXAMPLE", "key": "0123456789abc", "token": "tok/en+0123456789"});
    let slot = aws("s3", json!({"session_token": "/token"}));
    let injected = sent(
        slot,
        Method::GET,
        "https://a.example/",
        &[],
        b"",
        secret,
        NOW,
    )
    .ok()
    .unwrap();
    let authorization = values(&injected, "authorization")[0].clone();
    let signature = authorization.split_once("Signature=").unwrap().1.to_owned();
    let encoded = BASE64_STANDARD.encode("0123456789abc");
    for text in [
        "0123456789abc",
        "tok/en+0123456789",
        "tok%2Fen%2B0123456789",
        &encoded,
        &signature,
    ] {
        assert_eq!(scrubbed(&injected, text), MARK, "{text}");
    }
    assert_eq!(
        scrubbed(&injected, "AKIDEXAMPLE"),
        "AKIDEXAMPLE",
        "it is no secret, and S3's errors name it"
    );

    let slot = hmac("sha256", "{body}", "hex", json!({}));
    let injected = sent(
        slot,
        Method::POST,
        "https://a.example/",
        &[],
        b"x",
        json!("whsec_0123456789"),
        NOW,
    )
    .ok()
    .unwrap();
    let signature = values(&injected, "x-signature")[0].clone();
    for text in [
        "whsec_0123456789",
        &signature,
        &signature.to_uppercase().to_lowercase(),
    ] {
        assert_eq!(scrubbed(&injected, text), MARK, "{text}");
    }
}

pub(super) fn scrubbed(injected: &InjectedRequest, text: &str) -> String {
    let mut scrubber = crate::Scrubber::of(injected.patterns.clone());
    let begun = scrubber
        .push(Bytes::copy_from_slice(text.as_bytes()))
        .unwrap();
    let rest = scrubber.finish().unwrap();
    String::from_utf8([begun, rest].concat()).unwrap()
}

use crate::MARK;
