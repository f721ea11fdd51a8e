use super::*;
use proptest::prelude::*;
use serde_json::json;
use time::macros::datetime;

mod more;

fn parse(value: &Value) -> Policy {
    Policy::parse(value, None).unwrap()
}

fn to(url: &str) -> Policy {
    parse(&json!({"destinations": [{"url": url}]}))
}

fn url(text: &str) -> CanonicalUrl {
    CanonicalUrl::parse(text).unwrap()
}

#[test]
fn an_empty_policy_goes_nowhere_and_reveals_nothing() {
    let policy = parse(&json!({}));
    assert_eq!(
        policy.canonical().as_str(),
        r#"{"destinations":[],"expires_at":null,"inject":{"format":"Bearer {secret}","header":"authorization"},"reveal":false}"#
    );
    assert_eq!(
        policy.judge(&Method::GET, &url("https://api.example.com/")),
        Err(Denied::Url)
    );
    assert_eq!(policy.via("x"), Err(UrlError::NoDestination));
}

#[test]
fn the_canonical_form_writes_everything_out() {
    let policy = Policy::parse(
        &json!({
            "reveal": true,
            "inject": {"header": "X-Api-Key"},
            "destinations": [
                {"methods": ["POST", "GET", "POST"], "url": "HTTPS://API.example.com:443/v1/%7e"},
                {"url": "http://127.0.0.1:8080"},
            ],
        }),
        Some(datetime!(2030-01-01 01:00 +1)),
    )
    .unwrap();
    assert_eq!(
        policy.canonical().as_str(),
        concat!(
            r#"{"destinations":[{"methods":["GET","POST"],"url":"https://api.example.com/v1/~"},"#,
            r#"{"methods":["GET","HEAD","POST","PUT","PATCH","DELETE","OPTIONS"],"url":"http://127.0.0.1:8080/"}],"#,
            r#""expires_at":"2030-01-01T00:00:00Z","inject":{"format":"{secret}","header":"x-api-key"},"reveal":true}"#,
        )
    );
    assert_eq!(policy.expires_at(), Some(datetime!(2030-01-01 00:00 UTC)));
    assert_eq!(
        policy.canonical().digest(),
        PolicyDigest::of(policy.canonical().as_str().as_bytes())
    );
}

#[test]
fn every_kind_of_slot_comes_back_from_its_canonical_form() {
    for inject in [
        json!({"header": "cookie", "format": "session={secret}; x=1"}),
        json!({"basic": {"username": "me"}}),
        json!({"basic": {"username": ""}}),
        json!({"query": "api_key"}),
        json!({"cookie": "__Host-sid!"}),
        json!({"form": "client_secret"}),
        json!({"json_pointer": "/auth/0/~0k~1é"}),
        json!({"path": "bot{secret}"}),
    ] {
        let policy = parse(&json!({"inject": inject}));
        assert_eq!(
            Policy::from_canonical(policy.canonical().as_str()),
            Ok(policy)
        );
    }
}

#[test]
fn what_breaks_a_rule_is_refused_by_field() {
    let destination =
        |value: Value| json!({"destinations": [{"url": "https://a.example/"}, value]});
    let inject = |value: Value| json!({"inject": value});
    let long = "a".repeat(257);
    let cases = [
        (json!([]), "policy"),
        (json!(null), "policy"),
        (json!({"destination": []}), "policy.destination"),
        (json!({"expires_at": null}), "policy.expires_at"),
        (json!({"evil\n<name>": 1}), "policy.?"),
        (json!({"destinations": {}}), "policy.destinations"),
        (json!({"destinations": null}), "policy.destinations"),
        (
            json!({"destinations": vec![json!({"url": "https://a.example/"}); 17]}),
            "policy.destinations",
        ),
        (json!({"reveal": "false"}), "policy.reveal"),
        (json!({"reveal": null}), "policy.reveal"),
        (
            destination(json!("https://a.example/")),
            "policy.destinations[1]",
        ),
        (destination(json!({})), "policy.destinations[1].url"),
        (destination(json!({"url": 1})), "policy.destinations[1].url"),
        (
            destination(json!({"url": "https://a.example/?a=1"})),
            "policy.destinations[1].url",
        ),
        (
            destination(json!({"url": "https://a.example/?"})),
            "policy.destinations[1].url",
        ),
        (
            destination(json!({"url": "https://a.example/#f"})),
            "policy.destinations[1].url",
        ),
        (
            destination(json!({"url": "https://u@a.example/"})),
            "policy.destinations[1].url",
        ),
        (
            destination(json!({"url": format!("https://a.example/{}", "a".repeat(2048))})),
            "policy.destinations[1].url",
        ),
        (
            destination(json!({"url": "https://a.example/", "method": []})),
            "policy.destinations[1].method",
        ),
        (
            destination(json!({"url": "https://a.example/", "methods": []})),
            "policy.destinations[1].methods",
        ),
        (
            destination(json!({"url": "https://a.example/", "methods": "GET"})),
            "policy.destinations[1].methods",
        ),
        (
            destination(json!({"url": "https://a.example/", "methods": vec!["GET"; 17]})),
            "policy.destinations[1].methods",
        ),
        (
            destination(json!({"url": "https://a.example/", "methods": ["GET", "get"]})),
            "policy.destinations[1].methods[1]",
        ),
        (
            destination(json!({"url": "https://a.example/", "methods": ["TRACE"]})),
            "policy.destinations[1].methods[0]",
        ),
        (
            destination(json!({"url": "https://a.example/", "methods": ["CONNECT"]})),
            "policy.destinations[1].methods[0]",
        ),
        (
            destination(json!({"url": "https://a.example/", "methods": [1]})),
            "policy.destinations[1].methods[0]",
        ),
        (inject(json!("authorization")), "policy.inject"),
        (inject(json!({})), "policy.inject"),
        (inject(json!({"format": "{secret}"})), "policy.inject"),
        (
            inject(json!({"header": "a", "query": "b"})),
            "policy.inject",
        ),
        (
            inject(json!({"query": "b", "format": "{secret}"})),
            "policy.inject",
        ),
        (inject(json!({"cookies": "a"})), "policy.inject.cookies"),
        (inject(json!({"header": 1})), "policy.inject.header"),
        (inject(json!({"header": ""})), "policy.inject.header"),
        (inject(json!({"header": "a b"})), "policy.inject.header"),
        (inject(json!({"header": "a:b"})), "policy.inject.header"),
        (inject(json!({"header": "a\r\nb"})), "policy.inject.header"),
        (inject(json!({"header": long})), "policy.inject.header"),
        (
            inject(json!({"header": "a", "format": 1})),
            "policy.inject.format",
        ),
        (
            inject(json!({"header": "a", "format": ""})),
            "policy.inject.format",
        ),
        (
            inject(json!({"header": "a", "format": "Bearer"})),
            "policy.inject.format",
        ),
        (
            inject(json!({"header": "a", "format": "{secret}{secret}"})),
            "policy.inject.format",
        ),
        (
            inject(json!({"header": "a", "format": "{secret} {user}"})),
            "policy.inject.format",
        ),
        (
            inject(json!({"header": "a", "format": "{{secret}}"})),
            "policy.inject.format",
        ),
        (
            inject(json!({"header": "a", "format": "x\r\ny: {secret}"})),
            "policy.inject.format",
        ),
        (
            inject(json!({"header": "a", "format": "ä{secret}"})),
            "policy.inject.format",
        ),
        (
            inject(json!({"header": "a", "format": " {secret}"})),
            "policy.inject.format",
        ),
        (
            inject(json!({"header": "a", "format": format!("{long}{{secret}}")})),
            "policy.inject.format",
        ),
        (inject(json!({"basic": "user"})), "policy.inject.basic"),
        (inject(json!({"basic": {}})), "policy.inject.basic.username"),
        (
            inject(json!({"basic": {"username": "a:b"}})),
            "policy.inject.basic.username",
        ),
        (
            inject(json!({"basic": {"username": "a\n"}})),
            "policy.inject.basic.username",
        ),
        (
            inject(json!({"basic": {"username": "a", "password": "b"}})),
            "policy.inject.basic.password",
        ),
        (inject(json!({"query": ""})), "policy.inject.query"),
        (inject(json!({"query": "a&b"})), "policy.inject.query"),
        (inject(json!({"query": "a=b"})), "policy.inject.query"),
        (inject(json!({"query": long})), "policy.inject.query"),
        (inject(json!({"query": 1})), "policy.inject.query"),
        (inject(json!({"cookie": "a", "form": "b"})), "policy.inject"),
        (
            inject(json!({"path": "{secret}", "format": "{secret}"})),
            "policy.inject",
        ),
        (inject(json!({"cookie": ""})), "policy.inject.cookie"),
        (inject(json!({"cookie": "a=b"})), "policy.inject.cookie"),
        (inject(json!({"cookie": "a;b"})), "policy.inject.cookie"),
        (inject(json!({"cookie": "a%b"})), "policy.inject.cookie"),
        (inject(json!({"cookie": "a\n"})), "policy.inject.cookie"),
        (inject(json!({"cookie": long})), "policy.inject.cookie"),
        (inject(json!({"form": ""})), "policy.inject.form"),
        (inject(json!({"form": "a&b"})), "policy.inject.form"),
        (inject(json!({"form": "a b"})), "policy.inject.form"),
        (inject(json!({"form": ["a"]})), "policy.inject.form"),
        (
            inject(json!({"json_pointer": ""})),
            "policy.inject.json_pointer",
        ),
        (
            inject(json!({"json_pointer": "a"})),
            "policy.inject.json_pointer",
        ),
        (
            inject(json!({"json_pointer": "/a~"})),
            "policy.inject.json_pointer",
        ),
        (
            inject(json!({"json_pointer": "/a~2"})),
            "policy.inject.json_pointer",
        ),
        (
            inject(json!({"json_pointer": "/a\n"})),
            "policy.inject.json_pointer",
        ),
        (
            inject(json!({"json_pointer": "/a".repeat(17)})),
            "policy.inject.json_pointer",
        ),
        (inject(json!({"path": "bot"})), "policy.inject.path"),
        (
            inject(json!({"path": "{secret}{secret}"})),
            "policy.inject.path",
        ),
        (inject(json!({"path": "/{secret}"})), "policy.inject.path"),
        (
            inject(json!({"path": "a%2f{secret}"})),
            "policy.inject.path",
        ),
        (inject(json!({"path": "{secret};x"})), "policy.inject.path"),
    ];
    for (value, field) in cases {
        let refused = Policy::parse(&value, None).map_err(|error| error.field);
        assert_eq!(
            refused.as_ref().map(|_| ()),
            Err(&field.to_owned()),
            "{value}"
        );
    }
}

#[test]
fn the_connections_and_the_brokers_headers_are_no_slots() {
    for name in [
        "Connection",
        "Keep-Alive",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "transfer_encoding",
        "Upgrade",
        "Host",
        "Content-Length",
        "Expect",
        "Proxy-Authorization",
        "Proxy-Connection",
        "Byok-Receipt",
        "byok_error",
        "Via",
        "Forwarded",
        "X-Forwarded-For",
        "X-Amzn-Trace-Id",
        "Accept-Encoding",
    ] {
        let error = Policy::parse(&json!({"inject": {"header": name}}), None).unwrap_err();
        assert_eq!(error.field, "policy.inject.header", "{name}");
    }
}

#[test]
fn a_policy_over_16_kib_is_refused() {
    let url = format!("https://a.example/{}", "a".repeat(2000));
    let error =
        Policy::parse(&json!({"destinations": vec![json!({"url": url}); 9]}), None).unwrap_err();
    assert_eq!(error.field, "policy");
}

#[test]
fn a_refusal_never_holds_the_value() {
    let error = Policy::parse(
        &json!({"destinations": [{"url": "https://sk_live_1234@h/"}]}),
        None,
    )
    .unwrap_err();
    assert!(!format!("{error:?} {error}").contains("sk_live"));
}

#[test]
fn stored_bytes_are_read_only_in_their_one_spelling() {
    let stored = to("https://a.example/v1/").canonical();
    assert!(Policy::from_canonical(stored.as_str()).is_ok());
    for other in [
        stored.as_str().replace(',', ", "),
        format!("{}\n", stored.as_str()),
        stored
            .as_str()
            .replace("https://a.example/", "https://A.example/"),
        stored
            .as_str()
            .replace("https://a.example/", "https://a.example:443/"),
        stored
            .as_str()
            .replace(r#""reveal":false"#, r#""reveal":true,"reveal":false"#),
        stored.as_str().replace(r#","reveal":false"#, ""),
        stored.as_str().replace(r#""expires_at":null,"#, ""),
        stored
            .as_str()
            .replace("null", r#""2030-01-01T01:00:00+01:00""#),
        stored
            .as_str()
            .replace("null", r#""2030-01-01T00:00:00.000Z""#),
        stored.as_str().replace("null", "0"),
        stored
            .as_str()
            .replace(r#""GET","HEAD""#, r#""HEAD","GET""#),
        String::new(),
        "null".to_owned(),
        "{}".to_owned(),
    ] {
        assert!(Policy::from_canonical(&other).is_err(), "{other}");
    }
}

#[test]
fn a_destination_covers_whole_segments_only() {
    for (destination, request, covered) in [
        ("https://a.example/v1", "https://a.example/v1", true),
        (
            "https://a.example/v1",
            "https://a.example/v1?x=/../..",
            true,
        ),
        ("https://a.example/v1", "https://a.example/v1/", true),
        ("https://a.example/v1", "https://a.example/v1/x", true),
        ("https://a.example/v1", "https://a.example/v1evil", false),
        ("https://a.example/v1", "https://a.example/v1;x", false),
        ("https://a.example/v1", "https://a.example/v1%2Bx", false),
        ("https://a.example/v1", "https://a.example/V1", false),
        ("https://a.example/v1", "https://a.example/v", false),
        ("https://a.example/v1/", "https://a.example/v1/", true),
        ("https://a.example/v1/", "https://a.example/v1/x", true),
        ("https://a.example/v1/", "https://a.example/v1", false),
        ("https://a.example/v1/", "https://a.example/v1evil/", false),
        (
            "https://a.example/v1/",
            "https://a.example/v1/../admin",
            false,
        ),
        ("https://a.example/v1/", "https://a.example/x/../v1/y", true),
        ("https://a.example", "https://a.example/anything", true),
        ("https://a.example", "https://a.example:443/", true),
        ("https://a.example", "https://a.example:8443/", false),
        ("https://a.example", "http://a.example/", false),
        ("https://a.example", "http://a.example:443/", false),
        ("https://a.example", "https://b.a.example/", false),
        ("https://a.example", "https://a.example.evil/", false),
        ("https://a.example", "https://aXexample/", false),
    ] {
        let verdict = to(destination).judge(&Method::GET, &url(request)).is_ok();
        assert_eq!(verdict, covered, "{destination} and {request}");
    }
}

#[test]
fn a_method_counts_at_the_destination_that_names_it() {
    let policy = parse(&json!({"destinations": [
        {"url": "https://a.example/read", "methods": ["GET"]},
        {"url": "https://a.example/write", "methods": ["POST"]},
        {"url": "https://a.example/", "methods": ["DELETE"]},
    ]}));
    let judge = |method: Method, path: &str| {
        policy
            .judge(&method, &url(&format!("https://a.example{path}")))
            .map(|it| it.url().path())
    };
    assert_eq!(judge(Method::GET, "/read"), Ok("/read"));
    assert_eq!(judge(Method::DELETE, "/read"), Ok("/"));
    assert_eq!(judge(Method::GET, "/write"), Err(Denied::Method));
    assert_eq!(judge(Method::POST, "/read"), Err(Denied::Method));
    assert_eq!(judge(Method::HEAD, "/read"), Err(Denied::Method));
}

#[test]
fn a_pass_through_goes_to_the_first_destination() {
    for (base, rest, whole) in [
        (
            "https://a.example/v1/",
            "x?y=%2f",
            Ok("https://a.example/v1/x?y=%2F"),
        ),
        ("https://a.example/v1", "x", Ok("https://a.example/v1/x")),
        ("https://a.example/v1", "", Ok("https://a.example/v1")),
        ("https://a.example/v1/", "", Ok("https://a.example/v1/")),
        ("https://a.example/v1", "?a", Ok("https://a.example/v1?a")),
        (
            "https://a.example",
            "https://evil.example/",
            Ok("https://a.example/https://evil.example/"),
        ),
        (
            "https://a.example/v1",
            "x/../y",
            Ok("https://a.example/v1/y"),
        ),
        (
            "https://a.example/v1",
            "../v1/y",
            Ok("https://a.example/v1/y"),
        ),
        ("https://a.example/v1", "../admin", Err(UrlError::Outside)),
        ("https://a.example/v1/", "..", Err(UrlError::Outside)),
        ("https://a.example/v1", "../v1evil", Err(UrlError::Outside)),
        (
            "https://a.example/v1/",
            "%2e%2e/admin",
            Err(UrlError::Encoding),
        ),
        (
            "https://a.example/v1/",
            "..%2fadmin",
            Err(UrlError::Encoding),
        ),
        ("https://a.example/v1/", "..;/admin", Err(UrlError::Segment)),
        (
            "https://a.example",
            "/evil.example/",
            Err(UrlError::Segment),
        ),
        ("https://a.example/v1", "x#y", Err(UrlError::Fragment)),
        (
            "https://a.example/v1",
            "\\..\\admin",
            Err(UrlError::Character),
        ),
        (
            "https://a.example",
            "@evil.example/",
            Ok("https://a.example/@evil.example/"),
        ),
        (
            "https://a.example",
            ".evil.example/",
            Ok("https://a.example/.evil.example/"),
        ),
        (
            "https://a.example",
            ":8443/",
            Ok("https://a.example/:8443/"),
        ),
    ] {
        let via = to(base).via(rest);
        assert_eq!(
            via.as_ref()
                .map(CanonicalUrl::as_str)
                .map_err(|error| *error),
            whole,
            "{base} {rest}"
        );
    }
}

#[derive(Debug, Clone)]
struct Parts {
    urls: Vec<(String, Vec<&'static str>)>,
    inject: Value,
    reveal: bool,
    seconds: Option<i64>,
}

fn parts() -> impl Strategy<Value = Parts> {
    let methods = prop::sample::subsequence(
        vec!["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
        1..=7,
    );
    let urls = prop::collection::vec(
        (
            "https?://[a-z]{1,8}\\.example(:[1-9][0-9]{0,3})?(/[a-z0-9~]{1,6}){0,3}/?",
            methods,
        ),
        0..4,
    );
    let inject = prop_oneof![
        Just(json!({"header": "authorization", "format": "Bearer {secret}"})),
        "[a-z]{1,9}".prop_map(|name| json!({"header": format!("x-{name}")})),
        "[ -9;-~]{0,9}".prop_map(|username| json!({"basic": {"username": username}})),
        "[A-Za-z0-9._~-]{1,9}".prop_map(|name| json!({"query": name})),
    ];
    (
        urls,
        inject,
        any::<bool>(),
        prop::option::of(0_i64..253_402_300_800),
    )
        .prop_map(|(urls, inject, reveal, seconds)| Parts {
            urls,
            inject,
            reveal,
            seconds,
        })
}

/// The same policy in another spelling: hosts in capitals, paths encoded, methods
/// turned and doubled, the expiry in another offset.
fn spelled(parts: &Parts, odd: bool) -> Policy {
    let destinations: Vec<Value> = parts
        .urls
        .iter()
        .map(|(url, methods)| {
            if !odd {
                return json!({"url": url, "methods": methods});
            }
            let (origin, path) = url.split_at(
                url.match_indices('/')
                    .nth(2)
                    .map_or(url.len(), |(at, _)| at),
            );
            let path: String = path
                .chars()
                .map(|c| {
                    if c == 'a' {
                        "%61".into()
                    } else {
                        c.to_string()
                    }
                })
                .collect();
            let methods: Vec<_> = methods.iter().rev().chain(methods.iter().take(1)).collect();
            json!({"methods": methods, "url": format!("{}/./x/..{path}", origin.to_uppercase())})
        })
        .collect();
    let mut value =
        json!({"reveal": parts.reveal, "inject": parts.inject, "destinations": destinations});
    if odd && !parts.reveal {
        value.as_object_mut().unwrap().remove("reveal");
    }
    let at = parts
        .seconds
        .map(|seconds| OffsetDateTime::from_unix_timestamp(seconds).unwrap());
    let at = if odd {
        at.and_then(|at| {
            at.checked_to_offset(time::UtcOffset::from_hms(5, 30, 0).unwrap())
                .or(Some(at))
        })
    } else {
        at
    };
    Policy::parse(&value, at).unwrap()
}

proptest! {
    #[test]
    fn equal_policies_have_equal_bytes_and_come_back_from_them(parts in parts()) {
        let one = spelled(&parts, false);
        let other = spelled(&parts, true);
        prop_assert_eq!(one.canonical(), other.canonical());
        prop_assert_eq!(Policy::from_canonical(one.canonical().as_str()), Ok(one));
    }

    #[test]
    fn two_different_policies_have_different_bytes(one in parts(), other in parts()) {
        let (one, other) = (spelled(&one, false), spelled(&other, false));
        prop_assert_eq!(one == other, one.canonical() == other.canonical());
    }

    #[test]
    fn a_pass_through_never_leaves_its_destination(
        base in prop::sample::select(vec!["https://a.example", "https://a.example/v1", "https://a.example/v1/x/"]),
        rest in prop_oneof![
            "[ -~]{0,20}",
            prop::collection::vec(prop::sample::select(vec![
                "/", "..", ".", "%2e", "%2f", "%5c", "\\", ";", "//", "?", "#", "@", ":", "evil.example", "v1", "x", "%25", "%00", "\t",
            ]), 0..8).prop_map(|pieces| pieces.concat()),
        ],
    ) {
        let policy = to(base);
        if let Ok(url) = policy.via(&rest) {
            let base = policy.destinations()[0].url();
            prop_assert_eq!((url.scheme(), url.host(), url.port()), (base.scheme(), base.host(), base.port()));
            let inside = format!("{}/", base.path().trim_end_matches('/'));
            prop_assert!(url.path() == base.path() || url.path().starts_with(&inside), "{}", url.as_str());
            prop_assert!(policy.judge(&Method::GET, &url).is_ok());
        }
    }

    #[test]
    fn a_longer_last_segment_is_never_covered(more in "[a-z0-9._~;=:@%+-]{1,8}") {
        if let Ok(longer) = CanonicalUrl::parse(&format!("https://a.example/v1{more}")) {
            let policy = to("https://a.example/v1");
            prop_assert_eq!(policy.judge(&Method::GET, &longer), Err(Denied::Url));
        }
    }
}
