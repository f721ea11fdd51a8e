//! An upstream that gives the secret back, in every way that it has.

use super::{upstream::*, *};
use crate::{
    CollectedAnswer, MARK,
    decode::tests::encoders::{brotli, deflate, gzip, raw_deflate, zstd},
    scrub::tests::forms::{Form, of_bytes, of_text},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use http_body::Body;
use tokio::io::AsyncWriteExt;

fn forms() -> Vec<Form> {
    let mut forms = of_bytes(SECRET);
    forms.extend(of_text(SECRET));
    forms
}

fn in_chunks(body: &[u8], size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in body.chunks(size) {
        out.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

fn answer(headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}

async fn reflected(answer: Vec<u8>) -> Result<CollectedAnswer, EgressError> {
    exchange(Limits::default(), answer).await
}

type Encoder = fn(&[u8]) -> Vec<u8>;
const ENCODERS: [(&str, Encoder); 5] = [
    ("gzip", gzip),
    ("deflate", deflate),
    ("deflate", raw_deflate),
    ("br", brotli),
    ("zstd", zstd),
];

#[tokio::test]
async fn no_form_of_the_secret_comes_back_in_a_body() {
    let forms = forms();
    assert!(forms.len() > 80);
    for (turn, form) in forms.iter().enumerate() {
        let body = [b"{\"echo\": \"", &form.text[..], b"\"}\n"].concat();
        let kept = [
            &form.text[..form.gone.start],
            MARK.as_bytes(),
            &form.text[form.gone.end..],
        ]
        .concat();
        let expected = [b"{\"echo\": \"", &kept[..], b"\"}\n"].concat();
        let (encoding, encode) = ENCODERS[turn % ENCODERS.len()];
        let encoded = encode(&body);
        for (how, answer) in [
            (
                "whole",
                answer(&format!("content-length: {}\r\n", body.len()), &body),
            ),
            ("to the end", answer("", &body)),
            (
                "by one",
                answer("transfer-encoding: chunked\r\n", &in_chunks(&body, 1)),
            ),
            (
                "by five",
                answer("transfer-encoding: chunked\r\n", &in_chunks(&body, 5)),
            ),
            (
                encoding,
                answer(
                    &format!(
                        "content-encoding: {encoding}\r\ncontent-length: {}\r\n",
                        encoded.len()
                    ),
                    &encoded,
                ),
            ),
            (
                "encoded by three",
                answer(
                    &format!("content-encoding: {encoding}\r\ntransfer-encoding: chunked\r\n"),
                    &in_chunks(&encoded, 3),
                ),
            ),
            (
                "encoded twice",
                answer(
                    &format!("content-encoding: {encoding}, gzip\r\n"),
                    &gzip(&encoded),
                ),
            ),
        ] {
            let answer = reflected(answer).await.unwrap();
            assert_eq!(
                answer.body.escape_ascii().to_string(),
                expected.escape_ascii().to_string(),
                "{} {how}",
                form.name
            );
            assert!(answer.headers.is_empty(), "{:?}", answer.headers);
        }
    }
}

#[tokio::test]
async fn no_form_of_the_secret_comes_back_in_a_header_or_a_trailer() {
    let is_value = |form: &&Form| form.text.iter().all(|b| *b >= b' ' && *b != 0x7f);
    let forms = forms();
    let forms: Vec<&Form> = forms.iter().filter(is_value).collect();
    assert!(forms.len() > 60);
    for form in forms {
        let text = String::from_utf8_lossy(&form.text);
        let kept = format!(
            "{}{MARK}{}",
            &text[..form.gone.start],
            &text[form.gone.end..]
        );
        let answer = format!(
            "HTTP/1.1 302 Found\r\nlocation: /x?key={text}&y\r\nset-cookie: a\r\nset-cookie: k={text}; Path=/\r\n\
             transfer-encoding: chunked\r\ntrailer: x-late\r\n\r\n2\r\nhi\r\n0\r\nx-late: <{text}>\r\nbyok-error: forged\r\n\
             content-encoding: gzip\r\nconnection: x\r\n\r\n"
        );
        let (port, _seen) = upstream(answer).await;
        let answer = local(Limits::default())
            .send(get(&format!("http://up.example:{port}/")), AMPLE)
            .await
            .unwrap();
        let (_, headers, mut body) = answer.pass_on().unwrap();
        assert_eq!(
            headers["location"],
            format!("/x?key={kept}&y"),
            "{}",
            form.name
        );
        let cookies: Vec<_> = headers.get_all("set-cookie").iter().collect();
        assert_eq!(cookies, ["a", &format!("k={kept}; Path=/")]);
        assert_eq!(
            body.frame().await.unwrap().unwrap().into_data().unwrap(),
            "hi"
        );
        let trailers = body
            .frame()
            .await
            .unwrap()
            .unwrap()
            .into_trailers()
            .unwrap();
        assert_eq!(trailers.len(), 1, "{trailers:?}");
        assert_eq!(trailers["x-late"], format!("<{kept}>"), "{}", form.name);
        assert!(body.frame().await.is_none());
        assert!(body.is_end_stream());
    }
}

#[tokio::test]
async fn a_header_that_is_called_like_the_secret_is_left_out() {
    let hex: String = SECRET.iter().map(|b| format!("{b:02X}")).collect();
    for name in ["CANARY-5ecret", "x-canary-5ECRET-y", &hex] {
        let answer =
            format!("HTTP/1.1 200 OK\r\n{name}: 1\r\nx-other: 2\r\ncontent-length: 0\r\n\r\n");
        let answer = reflected(answer.into_bytes()).await.unwrap();
        assert_eq!(answer.headers.len(), 1, "{name}: {:?}", answer.headers);
    }
}

#[tokio::test]
async fn the_basic_credential_does_not_come_back() {
    let pair = [b"user:", SECRET].concat();
    let basic = BASE64_STANDARD.encode(&pair);
    let body = format!("Basic {basic} {}", String::from_utf8_lossy(&pair));
    let (port, seen) = upstream(answer("", body.as_bytes())).await;
    let url = CanonicalUrl::parse(&format!("http://up.example:{port}/")).unwrap();
    let policy = json!({"destinations": [{"url": url.without_query()}], "inject": {"basic": {"username": "user"}}});
    let request = OutboundRequest::new(Method::GET, url, HeaderMap::new(), Bytes::new())
        .ok()
        .unwrap();
    let request = inject(
        &Policy::parse(&policy, None).unwrap(),
        request,
        &SecretBytes::new(SECRET.to_vec()),
        NOW,
    )
    .ok()
    .unwrap();
    let answer = local(Limits::default()).send(request, AMPLE).await.unwrap();
    assert_eq!(
        answer.collect(1000).await.unwrap().body,
        format!("Basic {MARK} {MARK}")
    );
    assert!(seen.await.unwrap().contains(&basic));
}

#[tokio::test]
async fn what_cannot_be_scrubbed_fails_closed() {
    let encoded = gzip(b"text");
    for (what, answer) in [
        ("unknown", answer("content-encoding: compress\r\n", b"x")),
        (
            "many",
            answer(
                "content-encoding: gzip\r\ncontent-encoding: gzip, gzip\r\ncontent-encoding: gzip\r\n",
                b"x",
            ),
        ),
        (
            "not gzip",
            answer("content-encoding: gzip\r\n", b"canary-5ecret"),
        ),
        (
            "cut",
            answer("content-encoding: gzip\r\n", &encoded[..encoded.len() - 1]),
        ),
        (
            "more",
            answer("content-encoding: gzip\r\n", &[&encoded, SECRET].concat()),
        ),
        (
            "in transfer",
            answer(
                "transfer-encoding: gzip, chunked\r\n",
                &in_chunks(&encoded, 100),
            ),
        ),
        (
            "a part",
            b"HTTP/1.1 206 Partial Content\r\ncontent-length: 4\r\n\r\ncana".to_vec(),
        ),
    ] {
        assert_eq!(
            reflected(answer).await.err(),
            Some(EgressError::Unscrubbable),
            "{what}"
        );
    }
    assert!(EgressError::Unscrubbable.may_have_left());
}

#[tokio::test]
async fn a_bomb_is_too_large() {
    let limits = Limits {
        response_body: 100_000,
        ..Limits::default()
    };
    let bomb = answer("content-encoding: gzip\r\n", &gzip(&vec![0; 1 << 20]));
    assert_eq!(
        exchange(limits, bomb).await.err(),
        Some(EgressError::TooLarge)
    );
}

#[tokio::test]
async fn an_encoding_without_a_body_is_nothing_to_undo() {
    for head in [
        "HTTP/1.1 204 No Content\r\ncontent-encoding: compress\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        assert_eq!(reflected(head.into()).await.unwrap().body, "", "{head}");
    }
}

#[tokio::test]
async fn events_arrive_one_by_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (next, mut asked) = tokio::sync::mpsc::channel::<()>(1);
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
        for i in 0..20 {
            asked.recv().await.unwrap();
            let event = format!(
                "data: {{\"token\": \"canary-5\", \"n\": {i}, \"all\": \"canary-5ecret\"}}\n\n"
            );
            stream
                .write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes())
                .await
                .unwrap();
        }
        stream.write_all(b"0\r\n\r\n").await.unwrap();
        stream.shutdown().await.unwrap();
    });
    let answer = local(Limits::default())
        .send(get(&format!("http://up.example:{port}/")), AMPLE)
        .await
        .unwrap();
    let (_, _, mut body) = answer.pass_on().unwrap();
    for i in 0..20 {
        // The upstream says no more until this one has arrived.
        next.send(()).await.unwrap();
        let expected =
            format!("data: {{\"token\": \"canary-5\", \"n\": {i}, \"all\": \"{MARK}\"}}\n\n");
        let mut event = Vec::new();
        while event.len() < expected.len() {
            event.extend_from_slice(&body.frame().await.unwrap().unwrap().into_data().unwrap());
        }
        assert_eq!(event, expected.as_bytes());
    }
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn an_answer_without_the_secret_comes_back_byte_for_byte() {
    let body: Vec<u8> = (0..300_000_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8)
        .collect();
    assert!(reflected(answer("", &body)).await.unwrap().body == body);
    // One that ends with what could have become the secret, too.
    let ends: &[u8] = b"ends with canary-5ecre";
    assert_eq!(reflected(answer("", ends)).await.unwrap().body, ends);
    assert_eq!(
        reflected(answer("content-encoding: gzip\r\n", &gzip(ends)))
            .await
            .unwrap()
            .body,
        ends
    );
    for (encoding, encode) in ENCODERS {
        let answer = answer(&format!("content-encoding: {encoding}\r\n"), &encode(&body));
        assert!(reflected(answer).await.unwrap().body == body, "{encoding}");
    }
}
