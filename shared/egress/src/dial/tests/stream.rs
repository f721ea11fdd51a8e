//! Bodies that stream, out and back, and the time that they may take.

use super::{upstream::*, *};
use crate::{MARK, RequestStream};
use http_body::{Body, Frame};
use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{io::AsyncWriteExt, sync::mpsc};

/// A body that a test gives piece by piece.
struct Fed(mpsc::UnboundedReceiver<Result<Bytes, ()>>);

impl Body for Fed {
    type Data = Bytes;
    type Error = ();

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ()>>> {
        self.0
            .poll_recv(cx)
            .map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

type Feed = mpsc::UnboundedSender<Result<Bytes, ()>>;

fn fed() -> (Feed, Fed) {
    let (feed, fed) = mpsc::unbounded_channel();
    (feed, Fed(fed))
}

/// So many bytes, in pieces, without ever holding them together.
struct Many(usize);

impl Body for Many {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        static PIECE: [u8; 16 * 1024] = [b'x'; 16 * 1024];
        let length = self.0.min(PIECE.len());
        self.0 -= length;
        Poll::Ready((length > 0).then(|| Ok(Frame::data(Bytes::from_static(&PIECE[..length])))))
    }
}

fn streamed<B>(method: Method, port: u16, body: B, length: Option<u64>) -> InjectedRequest
where
    B: Body<Data = Bytes> + Send + 'static,
{
    let url = CanonicalUrl::parse(&format!("http://up.example:{port}/")).unwrap();
    let policy = Policy::parse(&json!({"destinations": [{"url": url.as_str()}]}), None).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("content-length", HeaderValue::from_static("7"));
    let body = RequestStream::new(body, length);
    let request = OutboundRequest::streamed(method, url, headers, body)
        .ok()
        .unwrap();
    inject(&policy, request, &SecretBytes::new(SECRET.to_vec()), NOW)
        .ok()
        .unwrap()
}

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// Reads until what was read ends so.
async fn read_to(stream: &mut (impl AsyncRead + Unpin), end: &str) -> String {
    let mut seen = Vec::new();
    while !seen.ends_with(end.as_bytes()) {
        assert_ne!(
            stream.read_buf(&mut seen).await.unwrap(),
            0,
            "no {end} in {}",
            String::from_utf8_lossy(&seen)
        );
    }
    String::from_utf8(seen).unwrap()
}

/// A request's head, and not a byte more.
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        seen.push(stream.read_u8().await.unwrap());
    }
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[tokio::test]
async fn a_body_goes_on_as_it_arrives() {
    for (method, length, framing, first, rest) in [
        (
            Method::POST,
            Some(10),
            "content-length: 10",
            "first",
            "other",
        ),
        (
            Method::POST,
            None,
            "transfer-encoding: chunked",
            "5\r\nfirst\r\n",
            "5\r\nother\r\n0\r\n\r\n",
        ),
        (
            Method::GET,
            None,
            "transfer-encoding: chunked",
            "5\r\nfirst\r\n",
            "5\r\nother\r\n0\r\n\r\n",
        ),
        (
            Method::GET,
            Some(10),
            "content-length: 10",
            "first",
            "other",
        ),
    ] {
        let (listener, port) = listener().await;
        let (feed, body) = fed();
        let (begun, has_begun) = oneshot::channel();
        let upstream = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let head = read_to(&mut stream, first).await;
            // Only now there is more of it.
            begun.send(()).unwrap();
            read_to(&mut stream, rest).await;
            stream.write_all(OK).await.unwrap();
            head
        });
        let dialler = local(Limits::default());
        let request = streamed(method, port, body, length);
        let use_ =
            tokio::spawn(async move { dialler.send(request, AMPLE).await?.collect(100).await });
        feed.send(Ok("first".into())).unwrap();
        has_begun.await.unwrap();
        feed.send(Ok("other".into())).unwrap();
        drop(feed);
        assert_eq!(use_.await.unwrap().ok().unwrap().body, "hi");
        let head = upstream.await.unwrap();
        assert!(head.contains(&format!("\r\n{framing}\r\n")), "{head}");
        assert_eq!(
            head.matches("content-length").count() + head.matches("transfer-encoding").count(),
            1,
            "{head}"
        );
    }
}

#[tokio::test]
async fn an_answer_may_begin_while_the_request_goes_on() {
    let (listener, port) = listener().await;
    let (feed, body) = fed();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        read_head(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 30\r\n\r\n")
            .await
            .unwrap();
        for _ in 0..3 {
            let mut piece = [0; 10];
            stream.read_exact(&mut piece).await.unwrap();
            stream.write_all(&piece).await.unwrap();
        }
    });
    let answer = local(Limits::default())
        .send(streamed(Method::POST, port, body, Some(30)), AMPLE)
        .await
        .unwrap();
    let (_, _, mut body) = answer.pass_on().unwrap();
    // None of these ends like a beginning of the secret, which would be held back.
    for piece in ["01234567.\n", "abcdefgh.\n", "<-------.\n"] {
        feed.send(Ok(piece.into())).unwrap();
        let mut echoed = Vec::new();
        while echoed.len() < 10 {
            echoed.extend_from_slice(&body.frame().await.unwrap().unwrap().into_data().unwrap());
        }
        assert_eq!(echoed, piece.as_bytes());
    }
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn a_body_that_is_not_what_it_says_is_the_callers_fault() {
    for (length, pieces, expected) in [
        (
            Some(10),
            &[Ok("0123456789a")][..],
            EgressError::RequestBroken,
        ),
        (
            Some(10),
            &[Ok("01234"), Ok("56789a")],
            EgressError::RequestBroken,
        ),
        (Some(10), &[Ok("012345678")], EgressError::RequestBroken),
        (
            Some(10),
            &[Ok("01234"), Err(())],
            EgressError::RequestBroken,
        ),
        (None, &[Err(())], EgressError::RequestBroken),
        (
            None,
            &[Ok("0123456789"), Ok("0")],
            EgressError::RequestTooLarge,
        ),
        (Some(11), &[], EgressError::RequestTooLarge),
    ] {
        let (port, _gone) = stalling(b"").await;
        let (feed, body) = fed();
        for piece in pieces {
            feed.send(piece.map(Bytes::from_static_str)).unwrap();
        }
        drop(feed);
        let limits = Limits {
            request_body: 10,
            ..Limits::default()
        };
        let sent = local(limits)
            .send(streamed(Method::POST, port, body, length), AMPLE)
            .await;
        assert_eq!(sent.err(), Some(expected), "{length:?} {pieces:?}");
    }
    assert!(
        EgressError::RequestBroken.may_have_left() && EgressError::RequestTooLarge.may_have_left()
    );
}

/// For tables of texts.
trait FromStaticStr {
    fn from_static_str(text: &'static str) -> Bytes;
}

impl FromStaticStr for Bytes {
    fn from_static_str(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }
}

#[tokio::test]
async fn a_body_of_its_declared_length_passes_to_the_last_byte_and_no_limit_is_one() {
    const SIZE: usize = REQUEST_BODY_MAX + 1;
    let (listener, port) = listener().await;
    let upstream = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_head(&mut stream).await;
        let mut piece = vec![0; 1 << 16];
        let mut seen = 0;
        while seen < SIZE {
            seen += stream.read(&mut piece).await.unwrap();
        }
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {SIZE}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b'y'; SIZE]).await.unwrap();
        seen
    });
    let dialler = local(Limits::default());
    let sent = dialler
        .send(
            streamed(Method::PUT, port, Many(SIZE), Some(SIZE as u64)),
            AMPLE,
        )
        .await;
    assert_eq!(
        sent.err(),
        Some(EgressError::RequestTooLarge),
        "by default there is one"
    );
    let dialler = local(Limits::default());
    let request = streamed(Method::PUT, port, Many(SIZE), Some(SIZE as u64));
    let answer = dialler
        .send_within(request, AMPLE, &Limits::streamed())
        .await
        .unwrap();
    assert_eq!(answer.collect(usize::MAX).await.unwrap().body.len(), SIZE);
    assert_eq!(upstream.await.unwrap(), SIZE);
}

#[tokio::test]
async fn a_caller_that_stands_still_is_told_so_and_not_the_upstream() {
    let (port, is_gone) = stalling(b"").await;
    let (feed, body) = fed();
    feed.send(Ok("begun".into())).unwrap();
    let limits = Limits {
        idle: millis(200),
        first_byte: millis(50),
        ..Limits::default()
    };
    let sent = local(limits)
        .send(streamed(Method::POST, port, body, None), AMPLE)
        .await;
    assert_eq!(sent.err(), Some(EgressError::RequestBroken));
    drop((feed, is_gone));
}

#[tokio::test]
async fn the_time_to_the_first_byte_begins_with_the_last_of_the_request() {
    let (listener, port) = listener().await;
    let (feed, body) = fed();
    let (next, mut asked) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        for i in 0..6 {
            next.send(()).unwrap();
            read_to(&mut stream, &format!("piece {i}\r\n")).await;
        }
        // All but the end has come: then there is no more to wait for, and no answer.
        assert_eq!(stream.read_u8().await.ok(), Some(b'0'));
        while stream.read_u8().await.is_ok() {}
    });
    let limits = Limits {
        first_byte: millis(300),
        ..Limits::default()
    };
    let begun = Instant::now();
    let feeding = tokio::spawn(async move {
        for i in 0..6 {
            asked.recv().await.unwrap();
            // Together longer than the limit.
            tokio::time::sleep(millis(100)).await;
            feed.send(Ok(format!("piece {i}").into())).unwrap();
        }
    });
    let sent = local(limits)
        .send(streamed(Method::POST, port, body, None), AMPLE)
        .await;
    assert_eq!(sent.err(), Some(EgressError::FirstByteTimeout));
    assert!(begun.elapsed() >= millis(900), "{:?}", begun.elapsed());
    feeding.await.unwrap();
}

#[tokio::test]
async fn an_upstream_that_takes_a_long_body_slowly_is_not_late() {
    const SIZE: usize = 32 << 20;
    let (listener, port) = listener().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_head(&mut stream).await;
        let mut piece = vec![0; 2 << 20];
        for _ in 0..SIZE / piece.len() {
            stream.read_exact(&mut piece).await.unwrap();
            tokio::time::sleep(millis(100)).await;
        }
        stream.write_all(OK).await.unwrap();
    });
    // Less than all of it takes, and far more than a piece.
    let limits = Limits {
        first_byte: millis(1000),
        request_body: SIZE,
        ..Limits::default()
    };
    let body = streamed(Method::POST, port, Many(SIZE), Some(SIZE as u64));
    let answer = local(limits).send(body, AMPLE).await.unwrap();
    assert_eq!(answer.collect(2).await.unwrap().body, "hi");
}

#[tokio::test]
async fn an_upstream_that_takes_nothing_runs_out_of_time() {
    let (listener, port) = listener().await;
    let limits = Limits {
        first_byte: millis(300),
        request_body: usize::MAX,
        ..Limits::default()
    };
    let sent = local(limits)
        .send(streamed(Method::POST, port, Many(usize::MAX), None), AMPLE)
        .await;
    assert_eq!(sent.err(), Some(EgressError::FirstByteTimeout));
    drop(listener);
}

#[tokio::test]
async fn each_limit_in_time_has_an_error_of_its_own() {
    let begun = Instant::now();
    let get = |port: u16| get(&format!("http://up.example:{port}/"));
    let ample = Limits::streamed();
    let (port, gone) = stalling(b"").await;
    let total = ample.clone().with_total(millis(200));
    assert_eq!(
        local(total).send(get(port), AMPLE).await.err(),
        Some(EgressError::Timeout)
    );
    gone.await.unwrap();
    let (port, gone) = stalling(b"").await;
    let first = ample.clone().with_first_byte(millis(200));
    assert_eq!(
        local(ample.clone())
            .send_within(get(port), AMPLE, &first)
            .await
            .err(),
        Some(EgressError::FirstByteTimeout)
    );
    gone.await.unwrap();
    let (port, gone) = stalling(b"").await;
    assert_eq!(
        local(ample.clone())
            .send(get(port), millis(200))
            .await
            .err(),
        Some(EgressError::Timeout),
        "the caller's own"
    );
    gone.await.unwrap();
    let (port, gone) = stalling(b"HTTP/1.1 200 OK\r\n\r\nhi").await;
    let idle = Limits {
        idle: millis(200),
        ..ample
    };
    let answer = local(idle).send(get(port), AMPLE).await.unwrap();
    let (_, _, mut body) = answer.pass_on().unwrap();
    assert_eq!(
        body.frame().await.unwrap().unwrap().into_data().unwrap(),
        "hi"
    );
    assert_eq!(
        body.frame().await.unwrap().err(),
        Some(EgressError::Timeout)
    );
    gone.await.unwrap();
    // Each of its own limit, and none of what the caller had left.
    assert!(begun.elapsed() < AMPLE / 2, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_caller_that_reads_slowly_is_not_an_upstream_that_stands_still() {
    let (port, _seen) = upstream("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await;
    let limits = Limits {
        idle: millis(100),
        ..Limits::default()
    };
    let answer = local(limits)
        .send(get(&format!("http://up.example:{port}/")), AMPLE)
        .await
        .unwrap();
    let (_, _, mut body) = answer.pass_on().unwrap();
    tokio::time::sleep(millis(300)).await;
    assert_eq!(
        body.frame().await.unwrap().unwrap().into_data().unwrap(),
        "hi"
    );
    tokio::time::sleep(millis(300)).await;
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn a_refusal_that_comes_early_is_an_answer() {
    let (listener, port) = listener().await;
    let (feed, body) = fed();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_head(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 413 Payload Too Large\r\ncontent-length: 3\r\n\r\nno!")
            .await
            .unwrap();
    });
    let answer = local(Limits::default())
        .send(streamed(Method::POST, port, body, None), AMPLE)
        .await
        .unwrap();
    let answer = answer.collect(10).await.unwrap();
    assert_eq!((answer.status.as_u16(), &*answer.body), (413, &b"no!"[..]));
    drop(feed);
}

#[tokio::test]
async fn dropping_the_body_of_an_answer_stops_the_request_as_well() {
    let (listener, port) = listener().await;
    let (feed, body) = fed();
    let (gone, is_gone) = oneshot::channel();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_head(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\n\r\nhi")
            .await
            .unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        gone.send(()).unwrap();
    });
    let answer = local(Limits::default())
        .send(streamed(Method::POST, port, body, None), AMPLE)
        .await
        .unwrap();
    let (_, _, mut body) = answer.pass_on().unwrap();
    assert_eq!(
        body.frame().await.unwrap().unwrap().into_data().unwrap(),
        "hi"
    );
    drop(body);
    is_gone.await.unwrap();
    // And with it the caller's own body.
    feed.closed().await;
}

#[tokio::test]
async fn a_body_that_breaks_off_behind_the_head_of_its_answer_is_the_callers_fault() {
    let (listener, port) = listener().await;
    let (feed, body) = fed();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_head(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\n\r\nhi")
            .await
            .unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    });
    let answer = local(Limits::default())
        .send(streamed(Method::POST, port, body, None), AMPLE)
        .await
        .unwrap();
    let (_, _, mut body) = answer.pass_on().unwrap();
    assert_eq!(
        body.frame().await.unwrap().unwrap().into_data().unwrap(),
        "hi"
    );
    feed.send(Err(())).unwrap();
    assert_eq!(
        body.frame().await.unwrap().err(),
        Some(EgressError::RequestBroken)
    );
}

#[tokio::test]
async fn compressed_events_arrive_one_by_one_too() {
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;
    let (listener, port) = listener().await;
    let (next, mut asked) = mpsc::unbounded_channel::<()>();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\n\r\n")
            .await
            .unwrap();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        for i in 0..10 {
            asked.recv().await.unwrap();
            write!(encoder, "data: {i} canary-5ecret\n\n").unwrap();
            encoder.flush().unwrap();
            stream
                .write_all(&std::mem::take(encoder.get_mut()))
                .await
                .unwrap();
        }
        stream.write_all(&encoder.finish().unwrap()).await.unwrap();
    });
    let answer = local(Limits::streamed())
        .send(get(&format!("http://up.example:{port}/")), AMPLE)
        .await
        .unwrap();
    let (_, headers, mut body) = answer.pass_on().unwrap();
    assert_eq!(headers["content-type"], "text/event-stream");
    for i in 0..10 {
        next.send(()).unwrap();
        let expected = format!("data: {i} {MARK}\n\n");
        let mut event = Vec::new();
        while event.len() < expected.len() {
            event.extend_from_slice(&body.frame().await.unwrap().unwrap().into_data().unwrap());
        }
        assert_eq!(String::from_utf8(event).unwrap(), expected);
    }
    assert!(body.frame().await.is_none());
}
