use super::*;
use axum::{
    extract::{Request as Incoming, State},
    response::IntoResponse,
    routing::{any, get, post},
};
use futures_util::stream;
use http_body_util::StreamBody;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::{net::TcpListener, sync::mpsc};

/// What a runtime's API is told of one event, as it comes.
#[derive(Debug, PartialEq)]
enum Told {
    Mode(String),
    Data(Vec<u8>),
    Trailers(HeaderMap),
    End,
}

struct Api {
    events: Vec<String>,
    given: AtomicUsize,
    told: mpsc::UnboundedSender<Told>,
}

/// Runs the loop on as many events, and gives what it tells.
async fn runtime(routes: Router, events: &[&str]) -> mpsc::UnboundedReceiver<Told> {
    let (told, telling) = mpsc::unbounded_channel();
    let api = Arc::new(Api {
        events: events.iter().map(ToString::to_string).collect(),
        given: AtomicUsize::new(0),
        told,
    });
    let served = Router::new()
        .route(NEXT, get(next))
        .route(
            "/2018-06-01/runtime/invocation/{id}/response",
            post(response),
        )
        .with_state(api);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, served).await });
    let client = Client::builder().with_endpoint(format!("http://{address}").parse().unwrap());
    tokio::spawn(async move { serve(&client.build().unwrap(), &routes).await });
    telling
}

async fn next(State(api): State<Arc<Api>>) -> Response {
    let given = api.given.fetch_add(1, Ordering::SeqCst);
    match api.events.get(given) {
        Some(event) => ([(REQUEST_ID, given.to_string())], event.clone()).into_response(),
        None => http::StatusCode::GONE.into_response(),
    }
}

async fn response(State(api): State<Arc<Api>>, request: Incoming) -> http::StatusCode {
    let (head, mut body) = request.into_parts();
    assert_eq!(head.headers[CONTENT_TYPE], FORM);
    let mode = head.headers[RESPONSE_MODE].to_str().unwrap().to_owned();
    api.told.send(Told::Mode(mode)).unwrap();
    while let Some(frame) = body.frame().await {
        let told = match frame.unwrap().into_data() {
            Ok(data) => Told::Data(data.to_vec()),
            Err(frame) => Told::Trailers(frame.into_trailers().unwrap()),
        };
        api.told.send(told).unwrap();
    }
    api.told.send(Told::End).unwrap();
    http::StatusCode::ACCEPTED
}

/// All that is told of one event: the prelude, the body, the trailers.
async fn whole(told: &mut mpsc::UnboundedReceiver<Told>) -> (Value, Vec<u8>, Option<HeaderMap>) {
    assert_eq!(
        told.recv().await.unwrap(),
        Told::Mode("streaming".to_owned())
    );
    let (mut bytes, mut trailers) = (Vec::new(), None);
    loop {
        match told.recv().await.unwrap() {
            Told::Data(data) => bytes.extend(data),
            Told::Trailers(came) => trailers = Some(came),
            Told::End => break,
            Told::Mode(_) => panic!("the next one, without an end"),
        }
    }
    let at = bytes.windows(8).position(|it| it == DELIMITER).unwrap();
    let prelude = serde_json::from_slice(&bytes[..at]).unwrap();
    (prelude, bytes[at + 8..].to_vec(), trailers)
}

const EVENT: &str = r#"{"version": "2.0", "rawPath": "/", "rawQueryString": "", "headers": {},
    "requestContext": {"http": {"method": "GET", "path": "/"}}}"#;

type Pieces = Vec<Result<Frame<Bytes>, &'static str>>;

fn answering(pieces: impl Fn() -> Pieces + Clone + Send + Sync + 'static) -> Router {
    let answer = move || {
        let body = Answer::new(StreamBody::new(stream::iter(pieces())));
        async move { ([("x-of", "the answer"), ("set-cookie", "a=1")], body) }
    };
    Router::new().route("/", any(answer))
}

fn data(text: &'static str) -> Result<Frame<Bytes>, &'static str> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

#[tokio::test]
async fn an_answer_is_its_prelude_and_then_its_body() {
    let routes = answering(|| vec![data("one "), data("two")]);
    let mut told = runtime(routes, &[EVENT]).await;
    let (prelude, body, trailers) = whole(&mut told).await;
    assert_eq!(
        prelude,
        serde_json::json!({"statusCode": 200, "headers": {"x-of": "the answer"}, "cookies": ["a=1"]})
    );
    assert_eq!((&body[..], trailers), (&b"one two"[..], None));
}

#[tokio::test]
async fn the_first_piece_is_told_before_there_is_a_second() {
    let (give, pieces) = mpsc::unbounded_channel::<&'static str>();
    let pieces = Arc::new(tokio::sync::Mutex::new(pieces));
    let answer = move || {
        let pieces = Arc::clone(&pieces);
        let body = stream::unfold(pieces, |pieces| async move {
            let piece = pieces.lock().await.recv().await?;
            Some((data(piece), pieces))
        });
        async move { Answer::new(StreamBody::new(body)).into_response() }
    };
    let mut told = runtime(Router::new().route("/", any(answer)), &[EVENT]).await;
    give.send("first").unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"first") {
        match told.recv().await.unwrap() {
            Told::Data(data) => seen.extend(data),
            Told::Mode(_) => {}
            other => panic!("{other:?}"),
        }
    }
    give.send("second").unwrap();
    assert_eq!(told.recv().await.unwrap(), Told::Data(b"second".to_vec()));
    drop(give);
    assert_eq!(told.recv().await.unwrap(), Told::End);
}

#[tokio::test]
async fn a_body_that_breaks_off_fails_the_invocation_and_the_next_event_is_answered() {
    let routes = answering(|| vec![data("begun"), Err("the secret detail")]);
    let panics = move || {
        let body = stream::poll_fn(|_| -> Poll<Option<Result<Frame<Bytes>, &str>>> {
            panic!("the secret detail")
        });
        async move { Answer::new(StreamBody::new(body)).into_response() }
    };
    let routes = routes.route("/panic", any(panics));
    let panic = EVENT.replace(r#""rawPath": "/""#, r#""rawPath": "/panic""#);
    let mut told = runtime(routes, &[EVENT, &panic, "no event"]).await;
    for expected in [&b"begun"[..], b""] {
        let (_, body, trailers) = whole(&mut told).await;
        assert_eq!(body, expected, "and nothing of the error");
        let trailers = trailers.unwrap();
        assert_eq!(trailers[ERROR_TYPE], "Runtime.StreamError");
        let document = BASE64_STANDARD.decode(&trailers[ERROR_BODY]).unwrap();
        let document = String::from_utf8(document).unwrap();
        assert!(!document.contains("secret"), "{document}");
    }
    let (prelude, body, _) = whole(&mut told).await;
    assert_eq!(prelude["statusCode"], 400);
    assert_eq!(prelude["headers"]["byok-error"], "invalid_request");
    assert!(serde_json::from_slice::<Value>(&body).is_ok());
}
