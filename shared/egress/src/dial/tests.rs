use super::*;
use crate::{AddressDenied, OutboundRequest, Policy, REQUEST_BODY_MAX, Resolving, inject};
use bytes::Bytes;
use envelope::SecretBytes;
use http::Method;
use http_body_util::BodyExt;
use serde_json::json;
use tokio::{io::AsyncReadExt, net::TcpListener, sync::oneshot};
use upstream::*;

mod hostile;
mod reflect;
mod stream;
mod upstream;
mod ways;

#[tokio::test]
async fn the_upstream_sees_the_injected_request_and_nothing_of_the_way_there() {
    let (port, seen) = upstream("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await;
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("host", "evil.example"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("te", "trailers"),
        ("transfer-encoding", "chunked"),
        ("authorization", "Bearer of-the-caller"),
        ("x-forwarded-for", "1.2.3.4"),
        ("accept-encoding", "gzip"),
        ("accept", "text/plain"),
    ] {
        headers.append(name, HeaderValue::from_static(value));
    }
    let url = format!("http://Up.Example:{port}/v1/../v1/x?a=b");
    let request = injected(Method::POST, &url, headers, b"{secret}");
    let answer = local(Limits::default()).send(request, AMPLE).await.unwrap();
    let answer = answer.collect(100).await.unwrap();
    assert_eq!(
        (answer.status, &*answer.body),
        (StatusCode::OK, b"hi".as_slice())
    );
    let seen = seen.await.unwrap();
    let (head, body) = seen.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    assert_eq!(lines.next(), Some("POST /v1/x?a=b HTTP/1.1"));
    assert_eq!(lines.next(), Some(&*format!("host: up.example:{port}")));
    let mut rest: Vec<_> = lines.collect();
    rest.sort_unstable();
    assert_eq!(
        rest,
        [
            "accept-encoding: identity",
            "accept: text/plain",
            "authorization: Bearer canary-5ecret",
            "content-length: 8"
        ]
    );
    assert_eq!(body, "{secret}");
}

#[tokio::test]
async fn a_post_without_a_body_says_so() {
    let (port, seen) = upstream("HTTP/1.1 204 No Content\r\n\r\n").await;
    let request = injected(
        Method::POST,
        &format!("http://up.example:{port}/"),
        HeaderMap::new(),
        b"",
    );
    local(Limits::default())
        .send(request, AMPLE)
        .await
        .unwrap()
        .collect(0)
        .await
        .unwrap();
    assert!(seen.await.unwrap().contains("\r\ncontent-length: 0\r\n"));
}

#[tokio::test]
async fn a_secret_in_the_query_goes_out_on_the_request_line() {
    let (port, seen) = upstream("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let url = CanonicalUrl::parse(&format!("http://up.example:{port}/v1?a=%2f")).unwrap();
    let policy =
        json!({"destinations": [{"url": url.without_query()}], "inject": {"query": "key"}});
    let policy = Policy::parse(&policy, None).unwrap();
    let request = OutboundRequest::new(Method::GET, url, HeaderMap::new(), Bytes::new())
        .ok()
        .unwrap();
    let request = inject(&policy, request, &SecretBytes::new(b"a b".to_vec()), NOW)
        .ok()
        .unwrap();
    local(Limits::default()).send(request, AMPLE).await.unwrap();
    assert!(
        seen.await
            .unwrap()
            .starts_with("GET /v1?a=%2F&key=a%20b HTTP/1.1\r\n")
    );
}

#[tokio::test]
async fn a_redirect_comes_back_as_it_is() {
    let answer =
        "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n";
    let answer = exchange(Limits::default(), answer).await.unwrap();
    assert_eq!(answer.status, StatusCode::FOUND);
    assert_eq!(answer.headers["location"], "http://169.254.169.254/");
}

#[tokio::test]
async fn an_answer_loses_what_is_the_connections_or_the_brokers() {
    let answer = exchange(
        Limits::default(),
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n\
         HTTP/1.1 200 OK\r\nconnection: close, x-hop\r\nx-hop: 1\r\nkeep-alive: 1\r\nbyok-receipt: forged\r\n\
         byok-error: forged\r\ntransfer-encoding: chunked\r\ntrailer: x-late\r\nset-cookie: a\r\nset-cookie: b\r\n\r\n\
         2\r\nhi\r\n3\r\n yo\r\n0\r\nx-late: 1\r\n\r\n",
    )
    .await
    .unwrap();
    assert_eq!(answer.body, "hi yo");
    let left: Vec<_> = answer
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    assert_eq!(left, [("set-cookie", "a"), ("set-cookie", "b")]);
}

#[tokio::test]
async fn the_length_of_an_answer_to_head_is_news() {
    let (port, _seen) = upstream("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n").await;
    let request = injected(
        Method::HEAD,
        &format!("http://up.example:{port}/"),
        HeaderMap::new(),
        b"",
    );
    let answer = local(Limits::default())
        .send(request, AMPLE)
        .await
        .unwrap()
        .collect(0)
        .await
        .unwrap();
    assert_eq!(
        (&answer.headers["content-length"], answer.body.len()),
        (&HeaderValue::from(99), 0)
    );
}

#[tokio::test]
async fn what_is_not_http_or_breaks_off_is_a_protocol_error() {
    for answer in [
        "",
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhi",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nhi",
    ] {
        assert_eq!(
            exchange(Limits::default(), answer).await.err(),
            Some(EgressError::Protocol),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn an_answer_over_a_limit_is_refused() {
    let limits = || Limits {
        response_body: 10,
        response_headers: 9000,
        response_header_count: 5,
        ..Limits::default()
    };
    let ok = "HTTP/1.1 200 OK\r\n";
    for (answer, expected) in [
        (format!("{ok}content-length: 10\r\n\r\n0123456789"), None),
        (
            format!("{ok}content-length: 11\r\n\r\n"),
            Some(EgressError::TooLarge),
        ),
        (format!("{ok}\r\n0123456789a"), Some(EgressError::TooLarge)),
        (
            format!(
                "{ok}transfer-encoding: chunked\r\n\r\n6\r\n012345\r\n6\r\n012345\r\n0\r\n\r\n"
            ),
            Some(EgressError::TooLarge),
        ),
        (format!("{ok}{}\r\n", "x: y\r\n".repeat(5)), None),
        (
            format!("{ok}{}\r\n", "x: y\r\n".repeat(6)),
            Some(EgressError::TooLarge),
        ),
        (
            format!("{ok}x: {}\r\n\r\n", "y".repeat(20_000)),
            Some(EgressError::TooLarge),
        ),
    ] {
        assert_eq!(
            exchange(limits(), answer.clone()).await.err(),
            expected,
            "{:.60}",
            answer
        );
    }
    let (port, _seen) = upstream(format!("{ok}content-length: 5\r\n\r\n01234")).await;
    let answer = local(limits())
        .send(get(&format!("http://up.example:{port}/")), AMPLE)
        .await
        .unwrap();
    assert_eq!(answer.collect(4).await.err(), Some(EgressError::TooLarge));
}

#[tokio::test]
async fn a_head_over_the_limit_is_refused_below_hypers_own_buffer_too() {
    let limits = |response_headers| Limits {
        response_headers,
        ..Limits::default()
    };
    let answer = format!("HTTP/1.1 204 No Content\r\nx: {}\r\n\r\n", "y".repeat(100));
    assert_eq!(exchange(limits(105), answer.clone()).await.err(), None);
    assert_eq!(
        exchange(limits(104), answer).await.err(),
        Some(EgressError::TooLarge)
    );
}

#[tokio::test]
async fn a_caller_that_goes_away_stops_the_request_halfway() {
    const BODY: &[u8] = &[b'x'; REQUEST_BODY_MAX];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (begun, has_begun) = oneshot::channel();
    let (left, has_left) = oneshot::channel();
    let reader = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_u8().await.unwrap();
        begun.send(()).unwrap();
        has_left.await.unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        rest.len()
    });
    let dialler = local(Limits::default());
    let request = injected(
        Method::POST,
        &format!("http://up.example:{port}/"),
        HeaderMap::new(),
        BODY,
    );
    tokio::select! {
        _ = dialler.send(request, AMPLE) => panic!("nobody answered"),
        begun = has_begun => begun.unwrap(),
    }
    left.send(()).unwrap();
    assert!(
        reader.await.unwrap() < BODY.len(),
        "the rest was sent for nobody"
    );
}

#[tokio::test]
async fn a_body_over_the_limit_ends_with_an_error_and_then_for_good() {
    let (port, _seen) = upstream("HTTP/1.1 200 OK\r\n\r\n0123456789abc").await;
    let limits = Limits {
        response_body: 3,
        ..Limits::default()
    };
    let answer = local(limits)
        .send(get(&format!("http://up.example:{port}/")), AMPLE)
        .await
        .unwrap();
    let (_, _, mut body) = answer.pass_on().unwrap();
    assert_eq!(
        body.frame().await.unwrap().err(),
        Some(EgressError::TooLarge)
    );
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn a_request_over_the_limit_is_not_sent() {
    let limits = Limits {
        request_body: 3,
        ..Limits::default()
    };
    let request = injected(
        Method::POST,
        "http://up.example:1/",
        HeaderMap::new(),
        b"0123",
    );
    assert_eq!(
        local(limits).send(request, AMPLE).await.err(),
        Some(EgressError::RequestTooLarge)
    );
}

#[tokio::test]
async fn an_upstream_that_says_nothing_times_out_and_is_hung_up_on() {
    let (port, is_gone) = stalling(b"").await;
    let limits = Limits {
        first_byte: Duration::from_millis(200),
        ..Limits::default()
    };
    let sent = local(limits)
        .send(get(&format!("http://up.example:{port}/")), AMPLE)
        .await;
    assert_eq!(sent.err(), Some(EgressError::FirstByteTimeout));
    is_gone.await.unwrap();
}

#[tokio::test]
async fn an_upstream_that_stalls_in_its_body_times_out_within_the_callers_time() {
    let (port, is_gone) = stalling(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhi").await;
    let time = Duration::from_secs(1);
    let answer = local(Limits::default())
        .send(get(&format!("http://up.example:{port}/")), time)
        .await
        .unwrap();
    assert_eq!(answer.collect(100).await.err(), Some(EgressError::Timeout));
    is_gone.await.unwrap();
}

#[tokio::test]
async fn a_caller_that_goes_away_closes_the_upstream() {
    let (port, is_gone) = stalling(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhi").await;
    let dialler = local(Limits::default());
    let answer = dialler
        .send(get(&format!("http://up.example:{port}/")), AMPLE)
        .await
        .unwrap();
    let (_, _, mut body) = answer.pass_on().unwrap();
    assert_eq!(
        body.frame().await.unwrap().unwrap().into_data().unwrap(),
        "hi"
    );
    drop(body);
    is_gone.await.unwrap();
}

#[tokio::test]
async fn a_name_is_looked_up_once_and_the_address_judged_is_the_one_dialled() {
    let (port, _seen) = upstream("HTTP/1.1 204 No Content\r\n\r\n").await;
    // A second lookup would go to an address where nobody is.
    let resolver = Scripted::new(&[&["127.0.0.1"], &["127.0.0.9"], &["169.254.169.254"]]);
    let dialler = dialler("127.0.0.0/8", Limits::default(), resolver.clone());
    let sent = dialler
        .send(get(&format!("http://up.example:{port}/")), AMPLE)
        .await;
    assert_eq!(sent.ok().unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(resolver.asked(), 1);
}

#[tokio::test]
async fn one_refused_address_of_a_name_refuses_the_use() {
    let (port, seen) = upstream("").await;
    for (answers, expected) in [
        (["127.0.0.1", "10.0.0.1"], AddressDenied::NotPublic),
        (["10.0.0.1", "127.0.0.1"], AddressDenied::NotPublic),
        (["127.0.0.1", "169.254.169.254"], AddressDenied::Never),
        (["127.0.0.1", "::ffff:127.0.0.1"], AddressDenied::NotPublic),
        (["127.0.0.1", "8.8.8.8"], AddressDenied::PlainHttp),
    ] {
        let dialler = dialler("127.0.0.0/8", Limits::default(), Scripted::new(&[&answers]));
        let sent = dialler
            .send(get(&format!("http://up.example:{port}/")), AMPLE)
            .await;
        assert_eq!(
            sent.err(),
            Some(EgressError::AddressDenied(expected)),
            "{answers:?}"
        );
    }
    let public_and_private = Scripted::new(&[&["8.8.8.8", "10.0.0.1"]]);
    let sent = dialler("", Limits::default(), public_and_private)
        .send(get("https://up.example/"), AMPLE)
        .await;
    assert_eq!(
        sent.err(),
        Some(EgressError::AddressDenied(AddressDenied::NotPublic))
    );
    assert!(!seen.is_finished(), "nobody was dialled");
}

#[tokio::test]
async fn literal_addresses_are_judged_as_well() {
    let resolver = Scripted::new(&[]);
    let dialler = dialler("127.0.0.0/8", Limits::default(), resolver.clone());
    for (url, expected) in [
        (
            "http://169.254.169.254/latest/meta-data/",
            AddressDenied::Never,
        ),
        ("https://[fd00:ec2::254]/", AddressDenied::Never),
        ("https://10.0.0.1/", AddressDenied::NotPublic),
        ("https://[::1]/", AddressDenied::NotPublic),
        ("https://[::ffff:127.0.0.1]/", AddressDenied::NotPublic),
        ("http://8.8.8.8/", AddressDenied::PlainHttp),
    ] {
        let sent = dialler.send(get(url), AMPLE).await;
        assert_eq!(
            sent.err(),
            Some(EgressError::AddressDenied(expected)),
            "{url}"
        );
    }
    assert_eq!(resolver.asked(), 0);
}

#[tokio::test]
async fn what_cannot_be_reached_says_no_more_than_how_far_it_came() {
    let nobody = local(Limits::default());
    let port = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let sent = nobody
        .send(get(&format!("http://up.example:{port}/")), AMPLE)
        .await;
    assert_eq!(sent.err(), Some(EgressError::Connect));
    for answers in [Scripted::new(&[]), Scripted::new(&[&[]])] {
        let sent = dialler("127.0.0.0/8", Limits::default(), answers)
            .send(get("https://up.example/"), AMPLE)
            .await;
        assert_eq!(sent.err(), Some(EgressError::Resolve));
    }
}

#[tokio::test]
async fn a_lookup_that_hangs_runs_into_the_connect_limit() {
    struct Hanging;
    impl Resolve for Hanging {
        fn resolve<'a>(&'a self, _host: &'a str, _port: u16) -> Resolving<'a> {
            Box::pin(std::future::pending())
        }
    }
    let limits = Limits {
        connect: Duration::from_millis(20),
        ..Limits::default()
    };
    let sent = dialler("", limits, Arc::new(Hanging))
        .send(get("https://up.example/"), AMPLE)
        .await;
    assert_eq!(sent.err(), Some(EgressError::ConnectTimeout));
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_does_not_connect() {
    let (port, _seen) = upstream("HTTP/1.1 204 No Content\r\n\r\n").await;
    let resolver = Scripted::new(&[&["127.0.0.77", "127.0.0.1"]]);
    let dialler = dialler("127.0.0.0/8", Limits::default(), resolver);
    assert!(
        dialler
            .send(get(&format!("http://up.example:{port}/")), AMPLE)
            .await
            .is_ok()
    );
}

#[test]
fn a_use_can_run_on_any_thread() {
    fn is_send<T: Send>(_: T) {}
    static_assertions::assert_impl_all!(Dialler: Send, Sync, Clone);
    static_assertions::assert_impl_all!(UpstreamAnswer: Send);
    static_assertions::assert_not_impl_any!(UpstreamAnswer: std::fmt::Debug, Clone);
    is_send(local(Limits::default()).send(get("http://up.example/"), AMPLE));
    is_send(|answer: UpstreamAnswer| answer.collect(1));
}

#[test]
fn without_a_root_there_is_no_dialler() {
    let resolver = Scripted::new(&[]);
    let made = Dialler::new(
        AddressGuard::default(),
        Limits::default(),
        resolver,
        Roots::Given(Vec::new()),
    );
    assert_eq!(made.err(), Some(RootsError));
}

#[test]
fn only_what_went_wrong_after_the_connection_may_have_let_the_secret_out() {
    assert!(EgressError::Timeout.may_have_left() && EgressError::TooLarge.may_have_left());
    assert!(!EgressError::ConnectTimeout.may_have_left() && !EgressError::Tls.may_have_left());
    assert!(!EgressError::AddressDenied(AddressDenied::Never).may_have_left());
}

#[tokio::test]
async fn tls_is_spoken_to_the_name_that_was_judged() {
    let (root, key) = throwaway();
    let (port, name) = tls_upstream(key, b"http/1.1").await;
    let dialler = dialler_with(
        "127.0.0.0/8",
        Limits::default(),
        Scripted::new(&[&["127.0.0.1"]]),
        root,
    );
    let answer = dialler
        .send(get(&format!("https://UP.example:{port}/")), AMPLE)
        .await
        .unwrap();
    assert_eq!(answer.collect(10).await.unwrap().body, "hi");
    assert_eq!(name.await.unwrap().as_deref(), Some("up.example"));
}

#[tokio::test]
async fn tls_that_cannot_be_trusted_carries_nothing() {
    // An unknown root, another name, a literal address that is not in the certificate, another protocol.
    let (other_root, _) = throwaway();
    for (host, trusted, alpn) in [
        ("up.example", false, b"http/1.1".as_slice()),
        ("other.example", true, b"http/1.1"),
        ("127.0.0.1", true, b"http/1.1"),
        ("up.example", true, b"h2"),
    ] {
        let (root, key) = throwaway();
        let (port, name) = tls_upstream(key, alpn).await;
        let root = if trusted { root } else { other_root.clone() };
        let dialler = dialler_with(
            "127.0.0.0/8",
            Limits::default(),
            Scripted::new(&[&["127.0.0.1"]]),
            root,
        );
        let sent = dialler
            .send(get(&format!("https://{host}:{port}/")), AMPLE)
            .await;
        assert_eq!(sent.err(), Some(EgressError::Tls), "{host} {trusted}");
        assert_eq!(name.await.ok().flatten(), None);
    }
}
