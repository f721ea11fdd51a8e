//! The Lambda edge: the events of `tests/events`, each with its expectation, and
//! what they must have in common with requests over a connection.
//!
//! ```text
//! {"what", "function"?, "event": {…} | "text": "…", "expect": …}
//!
//! function   open-workspace; all routes, if left out
//! event      {token}, {other}, {workspace} and {upstream} are filled in; a body that is an object is written as
//!            text, in base64 if the event says so; {"$repeat", "times"} and {"$headers"} stand for what is large
//! expect     {"status", "error", "body"?, "headers"?, "seen"?} of an answer in HTTP; {"answer"} of any other
//! ```

use crate::world::{Tenant, World, code, put_body};
use api::edge::{self, Invoke, answer_event};
use axum::{Router, body::Body, response::IntoResponse, routing::get};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use local::{
    Upstream,
    client::{self, Answer},
};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, fs, sync::Arc};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/events");

/// A stack of its own: events are answered on the test's own runtime.
async fn world() -> World {
    World::own(|config| config).await
}

struct Case {
    name: String,
    function: Option<String>,
    event: String,
    expect: Value,
}

/// The cases of the folder, filled in.
fn cases(fill: &[(&str, &str)]) -> Vec<Case> {
    let mut cases: Vec<Case> = fs::read_dir(FOLDER)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let mut text = fs::read_to_string(&path).unwrap();
            for (mark, with) in fill {
                text = text.replace(mark, with);
            }
            let mut case: Value = serde_json::from_str(&text).unwrap();
            let event = match case["text"].as_str() {
                Some(text) => text.to_owned(),
                None => {
                    complete(&mut case["event"]);
                    case["event"].to_string()
                }
            };
            Case {
                name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
                function: case["function"].as_str().map(str::to_owned),
                event,
                expect: case["expect"].take(),
            }
        })
        .collect();
    cases.sort_by(|one, other| one.name.cmp(&other.name));
    cases
}

fn complete(event: &mut Value) {
    for field in ["rawPath", "body"] {
        if let Some(text) = event[field]["$repeat"].as_str() {
            let times = event[field]["times"].as_u64().unwrap();
            event[field] = json!(text.repeat(usize::try_from(times).unwrap()));
        }
    }
    if let Some(count) = event["headers"]["$headers"].as_u64() {
        let headers: Map<String, Value> = (0..count)
            .map(|number| (format!("x-{number}"), json!("")))
            .collect();
        event["headers"] = Value::Object(headers);
    }
    if event["body"].is_object() {
        let text = event["body"].to_string();
        event["body"] = match event["isBase64Encoded"] {
            Value::Bool(true) => json!(BASE64_STANDARD.encode(text)),
            _ => json!(text),
        };
    }
}

/// An answer of payload format 2.0, as whoever called through it gets it.
fn answer_of(event: &Value) -> Answer {
    let fields: Vec<&str> = event
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        fields,
        [
            "body",
            "cookies",
            "headers",
            "isBase64Encoded",
            "statusCode"
        ]
    );
    let mut headers: HeaderMap = event["headers"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| {
            (
                name.parse::<HeaderName>().unwrap(),
                value.as_str().unwrap().parse::<HeaderValue>().unwrap(),
            )
        })
        .collect();
    for cookie in event["cookies"].as_array().unwrap() {
        headers.append("set-cookie", cookie.as_str().unwrap().parse().unwrap());
    }
    let body = event["body"].as_str().unwrap();
    Answer {
        status: StatusCode::from_u16(event["statusCode"].as_u64().unwrap().try_into().unwrap())
            .unwrap(),
        headers,
        body: match event["isBase64Encoded"].as_bool().unwrap() {
            true => Bytes::from(BASE64_STANDARD.decode(body).unwrap()),
            false => Bytes::from(body.to_owned()),
        },
    }
}

/// Every named field of an object is as expected.
fn holds_all(found: &Value, expected: &Value, what: &str) {
    for (name, value) in expected.as_object().into_iter().flatten() {
        assert_eq!(&found[name], value, "{what}: {name} in {found}");
    }
}

#[tokio::test]
async fn every_event_gets_the_answer_that_it_is_written_with_and_the_next_one_is_answered() {
    let world = world().await;
    let (tenant, other) = (Tenant::of(&world).await, Tenant::of(&world).await);
    let upstream = Upstream::start().await.unwrap();
    let put = json!({"value": "the-value-of-thing", "policy": {"destinations": [{"url": upstream.url("/v1/")}]}});
    let put = tenant.call("PUT", "/secrets/thing", Some(put)).await;
    assert_eq!(put.status, 201);
    let invocable: &Invoke = &world.stack.invocable["open-workspace"];
    let good = json!({
        "rawPath": tenant.path("/key"),
        "headers": {"authorization": format!("Bearer {}", tenant.token)},
        "requestContext": {"http": {"method": "GET"}},
    })
    .to_string();

    let cases = cases(&[
        ("{token}", &tenant.token),
        ("{other}", &other.token),
        ("{workspace}", tenant.workspace.as_str()),
        ("{upstream}", upstream.url("").as_str()),
    ]);
    assert!(cases.len() > 60, "{}", cases.len());
    for case in cases {
        let what = &case.name;
        let (routes, invoke) = match &case.function {
            None => (world.stack.router.clone(), None),
            Some(name) => {
                assert_eq!(name, "open-workspace");
                (edge::finish(Router::new()), Some(Arc::clone(invocable)))
            }
        };
        let answered = answer_event(routes, invoke, &case.event).await;
        if let Some(expected) = case.expect.get("answer") {
            assert!(answered.get("statusCode").is_none(), "{what}: {answered}");
            holds_all(&answered, expected, what);
        } else {
            let answer = answer_of(&answered);
            check(what, &answer, &case.expect);
            if let Some(expected) = case.expect.get("seen") {
                let seen = upstream.take().pop().unwrap();
                for (name, value) in expected.as_object().unwrap() {
                    let found = match name.as_str() {
                        "uri" => seen.uri.to_string(),
                        "body" => String::from_utf8(seen.body.to_vec()).unwrap(),
                        name => seen.header(name).to_owned(),
                    };
                    assert_eq!(found, *value, "{what}: the upstream's {name}");
                }
            }
        }
        let answered = answer_event(world.stack.router.clone(), None, &good).await;
        assert_eq!(answered["statusCode"], 200, "after {what}");
    }
}

fn check(what: &str, answer: &Answer, expected: &Value) {
    let found = format!("{what}: {} {}", answer.status, answer.json());
    assert_eq!(expected["status"], answer.status.as_u16(), "{found}");
    assert_eq!(expected["error"], code(answer), "{found}");
    assert_eq!(answer.header("byok-request-id").len(), 36, "{found}");
    if !code(answer).is_empty() {
        assert_eq!(
            answer.header("content-type"),
            "application/problem+json",
            "{found}"
        );
        assert_eq!(answer.header("cache-control"), "no-store", "{found}");
        assert_eq!(answer.json()["code"], code(answer), "{found}");
    }
    holds_all(&answer.json(), &expected["body"], what);
    for (name, there) in expected["headers"].as_object().into_iter().flatten() {
        assert_eq!(!answer.header(name).is_empty(), *there, "{found}: {name}");
    }
}

/// One request, to be sent in three ways.
struct Sent {
    method: &'static str,
    path: &'static str,
    query: &'static str,
    body: String,
}

/// What must be the same whichever way a request came: all but ids, times and numbers
/// that count the requests.
fn same(answer: &Answer) -> (u16, BTreeMap<String, String>, Value) {
    let headers = answer
        .headers
        .iter()
        .filter(|(name, _)| {
            !matches!(
                name.as_str(),
                "date" | "byok-request-id" | "byok-receipt" | "etag" | "content-length"
            )
        })
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    let mut body = answer.json();
    for counted in ["version", "revision", "receipt", "keyMaterialId"] {
        if let Some(fields) = body.as_object_mut() {
            fields.remove(counted);
        }
    }
    if let Some(date) = body.pointer_mut("/headers/date") {
        date.take();
    }
    (answer.status.as_u16(), headers, body)
}

#[tokio::test]
async fn a_request_is_answered_alike_over_a_connection_an_http_api_and_a_function_url() {
    let world = world().await;
    let tenant = Tenant::of(&world).await;
    let upstream = Upstream::start().await.unwrap();
    let sent = [
        Sent {
            method: "PUT",
            path: "/secrets/thing",
            query: "",
            body: put_body("a-value", &upstream).to_string(),
        },
        Sent {
            method: "POST",
            path: "/secrets/thing/use",
            query: "",
            body: json!({"request": {"method": "PUT", "url": upstream.url("/v1/a%20b?c=%20"), "body": "é", "headers": {"x-mine": ["1", "2"]}}})
                .to_string(),
        },
        Sent {
            method: "POST",
            path: "/via/thing/a%2Fb%20c/%E2%82%AC/%2e",
            query: "q=%3F%23&q=a+b&%00",
            body: "plain".to_owned(),
        },
        Sent {
            method: "POST",
            path: "/via/thing/b%20c/%E2%82%AC%3F%23/",
            query: "q=%3F%23&q=a+b",
            body: "plain".to_owned(),
        },
        Sent {
            method: "DELETE",
            path: "/via/thing",
            query: "",
            body: String::new(),
        },
        Sent {
            method: "GET",
            path: "/via/thing/../../up",
            query: "",
            body: String::new(),
        },
        Sent {
            method: "GET",
            path: "/secrets/a%20b%2Fc",
            query: "",
            body: String::new(),
        },
        Sent {
            method: "GET",
            path: "/secrets",
            query: "limit=%31%30&after=%74",
            body: String::new(),
        },
        Sent {
            method: "PATCH",
            path: "/key",
            query: "",
            body: String::new(),
        },
    ];
    for Sent {
        method,
        path,
        query,
        body,
    } in sent
    {
        let what = format!("{method} {path}");
        let bearer = format!("Bearer {}", tenant.token);
        let path = tenant.path(path);
        let target = format!("{path}{}{query}", if query.is_empty() { "" } else { "?" });
        let request = Request::builder()
            .method(method)
            .uri(&target)
            .header("authorization", &bearer)
            .header("accept", "*/*")
            .body(Full::new(Bytes::from(body.clone())))
            .unwrap();
        let over_http = client::send(world.stack.http, request).await.unwrap();
        let seen_over_http = upstream.take();
        for encoded in [false, true] {
            let event = json!({
                "version": "2.0", "rawPath": path, "rawQueryString": query,
                "headers": {"authorization": bearer, "accept": "*/*", "x-forwarded-for": "203.0.113.9", "x-amzn-trace-id": "Root=1"},
                "requestContext": {"stage": "$default", "http": {"method": method}},
                "body": if encoded { BASE64_STANDARD.encode(&body) } else { body.clone() },
                "isBase64Encoded": encoded,
            });
            let answered = answer_event(world.stack.router.clone(), None, &event.to_string()).await;
            assert_eq!(same(&answer_of(&answered)), same(&over_http), "{what}");
            let seen = upstream.take();
            assert_eq!(seen.len(), seen_over_http.len(), "{what}");
            for (one, other) in seen.iter().zip(&seen_over_http) {
                assert_eq!(
                    (&one.method, &one.uri, &one.headers, &one.body),
                    (&other.method, &other.uri, &other.headers, &other.body),
                    "{what}"
                );
            }
        }
    }
}

fn get_event(path: &str) -> String {
    json!({"rawPath": path, "requestContext": {"http": {"method": "GET"}}}).to_string()
}

/// A route that answers with these headers and this body.
fn fixed(headers: &'static [(&'static str, &'static [u8])], body: &'static [u8]) -> Router {
    let answer = move || async move {
        let mut response = Body::from(body).into_response();
        response.headers_mut().clear();
        for (name, value) in headers {
            let value = HeaderValue::from_bytes(value).unwrap();
            response
                .headers_mut()
                .append(HeaderName::from_static(name), value);
        }
        response
    };
    edge::finish(Router::new().route("/fixed", get(answer)))
}

#[tokio::test]
async fn a_body_comes_out_byte_for_byte_whatever_its_content_type_says() {
    for (kind, body) in [
        (&b"application/json"[..], &b"\xff\xfe\x00"[..]),
        (b"text/html; charset=iso-8859-1", b"caf\xe9"),
        (b"text/html; charset=utf-16", b"text"),
        (b"text/plain; charset=utf-8", b"\xef\xbb\xbfwith a mark"),
        (b"image/png", b"\x89PNG\r\n\x1a\n"),
        (b"image/svg+xml", b"<svg/>"),
        (b"application/octet-stream", b""),
        (b"application/octet-stream", b"text after all \0"),
    ] {
        let headers: &'static [(&str, &[u8])] = Box::leak(Box::new([("content-type", kind)]));
        for headers in [headers, &[]] {
            let event = answer_event(fixed(headers, body), None, &get_event("/fixed")).await;
            assert_eq!(answer_of(&event).body, body, "{headers:?}: {event}");
            assert_eq!(event["isBase64Encoded"], std::str::from_utf8(body).is_err());
        }
    }
}

#[tokio::test]
async fn headers_given_more_than_once_are_one_list_and_cookies_have_a_place_of_their_own() {
    let routes = fixed(
        &[
            ("www-authenticate", b"Basic"),
            ("www-authenticate", b"Bearer"),
            ("set-cookie", b"a=1; Path=/"),
            ("set-cookie", b"b=2, still b"),
            ("x-latin", b"caf\xe9"),
        ],
        b"",
    );
    let event = answer_event(routes, None, &get_event("/fixed")).await;
    assert_eq!(event["headers"]["www-authenticate"], "Basic, Bearer");
    assert_eq!(event["headers"]["x-latin"], "caf\u{fffd}");
    assert_eq!(event["cookies"], json!(["a=1; Path=/", "b=2, still b"]));
    assert!(event["headers"].get("set-cookie").is_none());
}

#[tokio::test]
async fn an_answer_that_lambda_would_not_take_becomes_a_problem_with_the_same_ids() {
    let large: &'static [u8] = Box::leak(vec![0xff; 5 * 1024 * 1024].into_boxed_slice());
    let routes = fixed(&[("byok-receipt", b"a-receipt"), ("x-more", b"x")], large);
    let answer = answer_of(&answer_event(routes, None, &get_event("/fixed")).await);
    assert_eq!((answer.status.as_u16(), code(&answer)), (413, "too_large"));
    assert_eq!(answer.header("byok-receipt"), "a-receipt");
    assert_eq!(answer.header("byok-request-id").len(), 36);
    assert!(answer.header("x-more").is_empty());
    let text: &'static [u8] = Box::leak(vec![b'a'; 5 * 1024 * 1024].into_boxed_slice());
    let answer = answer_event(fixed(&[], text), None, &get_event("/fixed")).await;
    assert_eq!(answer["statusCode"], 200);
}

#[tokio::test]
async fn a_panic_gets_an_answer_without_its_text_and_the_next_request_is_served() {
    async fn panics(method: Method) -> &'static str {
        assert!(method != Method::GET, "canary-of-a-panic");
        "no panic"
    }
    let routes = edge::finish(Router::new().route("/fixed", get(panics).post(panics)));
    let event = answer_event(routes.clone(), None, &get_event("/fixed")).await;
    assert!(!event.to_string().contains("canary"), "{event}");
    let answer = answer_of(&event);
    assert_eq!((answer.status.as_u16(), code(&answer)), (500, "internal"));
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.header("byok-request-id").len(), 36);
    let post = get_event("/fixed").replace("GET", "POST");
    assert_eq!(answer_event(routes, None, &post).await["body"], "no panic");

    // Before its future is made, and within it.
    let at_once: Invoke = Arc::new(|_| panic!("canary-of-a-panic"));
    let later: Invoke = Arc::new(|_| Box::pin(async { panic!("canary-of-a-panic") }));
    for invoke in [at_once, later] {
        let answered = answer_event(Router::new(), Some(invoke), "{}").await;
        assert_eq!(answered["code"], "internal");
        assert!(!answered.to_string().contains("canary"), "{answered}");
    }
}
