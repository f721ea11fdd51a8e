//! The pass-through streams, both ways, over a real connection.

use crate::{
    wire::{Script, Wire, ended},
    world::{Tenant, World, code},
};
use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

const SECRET: &str = "the-secret-of-the-stream-tests";

async fn put(tenant: &Tenant<'_>, upstream: &Script, inject: Value) {
    let policy = json!({"destinations": [{"url": upstream.url("/")}], "inject": inject});
    let put = tenant
        .call(
            "PUT",
            "/secrets/thing",
            Some(json!({"value": SECRET, "policy": policy})),
        )
        .await;
    assert_eq!(put.status, 201, "{}", put.json());
}

/// A workspace whose secret `thing` may go to an upstream, as a bearer's token.
async fn people() -> (Tenant<'static>, Script) {
    let tenant = Tenant::of(World::shared()).await;
    let upstream = Script::start().await;
    put(&tenant, &upstream, json!({"bearer": true})).await;
    (tenant, upstream)
}

const EVENTS: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

#[tokio::test]
async fn an_event_reaches_the_caller_before_the_upstream_sends_the_next() {
    let (tenant, upstream) = people().await;
    let mut caller = Wire::to(&tenant).await;
    caller.ask(&tenant, "GET", "").await;
    let (mut wire, head) = upstream.asked().await;
    assert!(
        head.contains(&format!("authorization: Bearer {SECRET}")),
        "the secret goes out"
    );
    wire.say(format!("{EVENTS}9\r\ndata: 1\n\n\r\n")).await;
    let head = caller.until("\r\n\r\n").await;
    assert!(
        head.contains("text/event-stream") && head.contains("byok-receipt: "),
        "{head}"
    );
    assert!(!head.contains("content-length"), "{head}");
    caller.until("data: 1\n\n").await;
    wire.say("9\r\ndata: 2\n\n\r\n").await;
    caller.until("data: 2\n\n").await;
    wire.say("0\r\n\r\n").await;
    caller.until("\r\n0\r\n\r\n").await;
    let record = ended(&tenant, "use").await;
    assert_eq!(record["outcome"]["code"], "ok", "{record}");
    assert_eq!(record["outcome"]["upstreamStatus"], 200, "{record}");
}

#[tokio::test]
async fn a_secret_in_two_pieces_of_a_stream_is_scrubbed_all_the_same() {
    let (tenant, upstream) = people().await;
    let mut caller = Wire::to(&tenant).await;
    caller.ask(&tenant, "GET", "connection: close\r\n").await;
    let (mut wire, _) = upstream.asked().await;
    let (one, two) = SECRET.split_at(9);
    let two = format!("{two}!");
    wire.say(format!("{EVENTS}9\r\n{one}\r\n")).await;
    caller.until("\r\n\r\n").await;
    wire.say(format!("{:x}\r\n{two}\r\n0\r\n\r\n", two.len()))
        .await;
    let body = String::from_utf8(caller.rest().await).unwrap();
    assert!(
        body.contains("[byok:scrubbed]") && !body.contains(one),
        "{body}"
    );
}

#[tokio::test]
async fn a_request_goes_on_before_its_end_has_come() {
    let (tenant, upstream) = people().await;
    let mut caller = Wire::to(&tenant).await;
    caller
        .ask(&tenant, "POST", "transfer-encoding: chunked\r\n")
        .await;
    caller.say("5\r\nfirst\r\n").await;
    let (mut wire, head) = upstream.asked().await;
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    wire.until("first").await;
    caller.say("6\r\nsecond\r\n0\r\n\r\n").await;
    wire.until("second\r\n0\r\n\r\n").await;
    wire.say("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone")
        .await;
    caller.until("done").await;

    // A declared length is the upstream's, too; one that is not kept is no whole request.
    let mut caller = Wire::to(&tenant).await;
    caller.ask(&tenant, "POST", "content-length: 10\r\n").await;
    caller.say("12345").await;
    let (mut wire, head) = upstream.asked().await;
    assert!(head.contains("content-length: 10"), "{head}");
    wire.until("12345").await;
    drop(caller);
    assert_eq!(wire.rest().await, b"", "the upstream hears of no end");
    let record = ended(&tenant, "use").await;
    let code = record["outcome"]["code"].as_str().unwrap();
    assert!(["cancelled", "invalid_request"].contains(&code), "{record}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_broken_off_and_never_ended_as_if_whole() {
    let (tenant, upstream) = people().await;
    for begun in [
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegun".to_owned(),
        format!("{EVENTS}5\r\nbegun\r\n"),
        // An encoding that turns out not to be what it says.
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 5\r\n\r\nbegun".to_owned(),
    ] {
        let mut caller = Wire::to(&tenant).await;
        caller.ask(&tenant, "GET", "").await;
        let (mut wire, _) = upstream.asked().await;
        wire.say(&begun).await;
        let head = caller.until("\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        drop(wire);
        let body = String::from_utf8(caller.rest().await).unwrap();
        assert!(!body.contains("0\r\n\r\n"), "{body}");
        let record = ended(&tenant, "use").await;
        let expected = if begun.contains("gzip") {
            "response_unscrubbable"
        } else {
            "upstream_unreachable"
        };
        assert_eq!(record["outcome"]["code"], expected, "{record}");
        assert_eq!(record["outcome"]["upstreamStatus"], 200, "{record}");
    }
}

#[tokio::test]
async fn a_caller_who_goes_away_ends_the_upstreams_connection_and_is_recorded() {
    let (tenant, upstream) = people().await;
    let mut caller = Wire::to(&tenant).await;
    caller.ask(&tenant, "GET", "").await;
    let (mut wire, _) = upstream.asked().await;
    wire.say(format!("{EVENTS}9\r\ndata: 1\n\n\r\n")).await;
    caller.until("data: 1\n\n").await;
    drop(caller);
    assert_eq!(wire.rest().await, b"");
    let record = ended(&tenant, "use").await;
    assert_eq!(record["outcome"]["code"], "cancelled", "{record}");
    assert_eq!(record["outcome"]["upstreamStatus"], 200, "{record}");
    assert!(record["outcome"]["kmsRequestId"].is_string(), "{record}");
}

#[tokio::test]
async fn an_answer_without_a_body_has_the_length_that_the_upstream_said_and_no_other() {
    let (tenant, upstream) = people().await;
    for (method, answer, length) in [
        ("HEAD", "200 OK\r\ncontent-length: 1234\r\n", Some("1234")),
        ("HEAD", "200 OK\r\n", None),
        ("HEAD", "200 OK\r\ntransfer-encoding: chunked\r\n", None),
        ("GET", "204 No Content\r\n", None),
        ("DELETE", "204 No Content\r\n", None),
        ("GET", "304 Not Modified\r\netag: \"a\"\r\n", None),
        ("GET", "200 OK\r\ncontent-length: 0\r\n", Some("0")),
    ] {
        let mut caller = Wire::to(&tenant).await;
        caller.ask(&tenant, method, "connection: close\r\n").await;
        let (mut wire, _) = upstream.asked().await;
        wire.say(format!("HTTP/1.1 {answer}\r\n")).await;
        let head = caller.until("\r\n\r\n").await.to_ascii_lowercase();
        let told = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        assert_eq!(told, length, "{method} {answer}: {head}");
        let status = answer.split(' ').next().unwrap();
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{head}");
        assert!(!head.contains("byok-error") && head.contains("byok-receipt"));
        assert_eq!(caller.rest().await, b"", "{method} {answer}");
        let record = ended(&tenant, "use").await;
        assert_eq!(record["outcome"]["code"], "ok", "{record}");
        assert_eq!(record["method"], method, "{record}");
        let status: u16 = status.parse().unwrap();
        assert_eq!(record["outcome"]["upstreamStatus"], status, "{record}");
    }
}

#[tokio::test]
async fn bodies_above_what_is_collected_stream_both_ways() {
    let (tenant, upstream) = people().await;
    const PIECES: usize = 160;
    let piece = Bytes::from(vec![b'x'; 64 * 1024]);
    let pieces = (0..PIECES).map({
        let piece = piece.clone();
        move |_| Ok::<_, std::io::Error>(piece.clone())
    });
    let request = Request::builder()
        .method("POST")
        .uri(tenant.path("/via/thing/big"))
        .header("authorization", format!("Bearer {}", tenant.token))
        .body(Body::from_stream(stream::iter(pieces)))
        .unwrap();
    let router = tenant.world.stack.router.clone();
    let answer = tokio::spawn(router.oneshot(request));
    let (mut wire, _) = upstream.asked().await;
    let sent = wire.until("\r\n0\r\n\r\n").await;
    let sent = sent.bytes().filter(|byte| *byte == b'x').count();
    assert_eq!(sent, PIECES * piece.len());
    let size = PIECES * piece.len();
    wire.say(format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n"))
        .await;
    let feeding = tokio::spawn(async move {
        for _ in 0..PIECES {
            wire.say(&piece).await;
        }
        wire
    });
    let answer = answer.await.unwrap().unwrap();
    assert_eq!(answer.status(), 200);
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body.len(), size);
    drop(feeding.await.unwrap());
}

#[tokio::test]
async fn a_policy_that_changes_the_body_has_it_whole_and_up_to_a_limit() {
    let (tenant, upstream) = people().await;
    put(&tenant, &upstream, json!({"form": "client_secret"})).await;
    let mut caller = Wire::to(&tenant).await;
    caller
        .ask(
            &tenant,
            "POST",
            "content-type: application/x-www-form-urlencoded\r\ntransfer-encoding: chunked\r\n",
        )
        .await;
    caller.say("3\r\na=1\r\n0\r\n\r\n").await;
    let (mut wire, head) = upstream.asked().await;
    let body = format!("a=1&client_secret={SECRET}");
    assert!(
        head.contains(&format!("content-length: {}", body.len())),
        "{head}"
    );
    wire.until(&body).await;
    wire.say("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        .await;
    caller.until("\r\n\r\n").await;

    let large = 6 * 1024 * 1024 + 1;
    let request = Request::builder()
        .method("POST")
        .uri(tenant.path("/via/thing/big"))
        .header("authorization", format!("Bearer {}", tenant.token))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(http_body_util::Full::new(Bytes::from(vec![b'x'; large])))
        .unwrap();
    let (parts, body) = request.into_parts();
    let request = Request::from_parts(parts, Body::new(body));
    let router = tenant.world.stack.router.clone();
    let refused = router.oneshot(request).await.unwrap();
    assert_eq!(refused.status(), 413);
    assert_eq!(refused.headers()["byok-error"], "too_large");
}

#[tokio::test]
async fn what_is_refused_before_the_head_is_the_brokers_own_and_reads_no_body() {
    let (tenant, _upstream) = people().await;
    put(&tenant, &Script::start().await, json!({"bearer": true})).await;
    let mut caller = Wire::to(&tenant).await;
    let strange = tenant.token.replace("byok_", "byok_x");
    let path = tenant.path("/via/thing/v1/x");
    caller
        .say(format!(
            "POST {path} HTTP/1.1\r\nhost: broker\r\nauthorization: Bearer {strange}\r\ncontent-length: 1000000\r\n\r\n"
        ))
        .await;
    let head = caller.until("\r\n\r\n").await;
    assert!(
        head.starts_with("HTTP/1.1 401") && head.contains("byok-error: unauthenticated"),
        "{head}"
    );
    let denied = tenant.call("GET", "/via/thing/%2e%2e/x", None).await;
    assert_eq!(
        (denied.status.as_u16(), code(&denied)),
        (400, "invalid_request")
    );
}
