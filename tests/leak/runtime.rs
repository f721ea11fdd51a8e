//! Lambda's Runtime API (AWS Lambda Developer Guide, "Using the Lambda runtime
//! API"), as far as a function needs it: so that the runtime's own logs are
//! listened to as well, with real events in its hands.

use api::edge;
use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    response::IntoResponse,
    routing::{get, post},
};
use serde_json::Value;
use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};
use tokio::{
    net::TcpListener,
    sync::{Mutex, mpsc, oneshot},
};

/// Where the runtime looks for it.
pub(crate) const ADDRESS: &str = "AWS_LAMBDA_RUNTIME_API";

/// The listener at that address, taken before anything else of this process takes a port.
static LISTENER: OnceLock<std::net::TcpListener> = OnceLock::new();

/// Takes the address.
pub(crate) fn reserve() {
    let listener = std::net::TcpListener::bind(std::env::var(ADDRESS).unwrap()).unwrap();
    listener.set_nonblocking(true).unwrap();
    LISTENER.set(listener).unwrap();
}

type Answer = oneshot::Sender<Result<Value, String>>;

/// A function under Lambda's runtime.
pub(crate) struct Function(mpsc::Sender<(String, Answer)>);

struct Api {
    events: Mutex<mpsc::Receiver<(String, Answer)>>,
    waiting: Mutex<HashMap<String, Answer>>,
}

impl Function {
    /// Starts the runtime on these routes, as a function's `main` does.
    pub(crate) async fn start(routes: Router) -> Self {
        let (events, queue) = mpsc::channel(1);
        let api = Arc::new(Api {
            events: Mutex::new(queue),
            waiting: Mutex::default(),
        });
        let served = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route(
                "/2018-06-01/runtime/invocation/{id}/response",
                post(response),
            )
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .with_state(api);
        let listener = LISTENER.get().unwrap().try_clone().unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        tokio::spawn(async move { axum::serve(listener, served).await });
        std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(edge::run(routes, None))
        });
        Self(events)
    }

    /// Gives the function one event; an error is what it told the runtime instead of an answer.
    pub(crate) async fn invoke(&self, event: String) -> Result<Value, String> {
        let (answer, answered) = oneshot::channel();
        self.0.send((event, answer)).await.unwrap();
        answered.await.unwrap()
    }
}

async fn next(State(api): State<Arc<Api>>) -> impl IntoResponse {
    let Some((event, answer)) = api.events.lock().await.recv().await else {
        return StatusCode::GONE.into_response();
    };
    let mut waiting = api.waiting.lock().await;
    let id = format!("00000000-0000-0000-0000-{:012}", waiting.len());
    waiting.insert(id.clone(), answer);
    let headers = [
        ("lambda-runtime-aws-request-id", id),
        ("lambda-runtime-deadline-ms", "4102444800000".to_owned()),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:eu-west-1:444455556666:function:all".to_owned(),
        ),
    ];
    (headers, event).into_response()
}

async fn response(State(api): State<Arc<Api>>, Path(id): Path<String>, body: String) -> StatusCode {
    answered(&api, &id, serde_json::from_str(&body).map_err(|_| body)).await
}

async fn error(State(api): State<Arc<Api>>, Path(id): Path<String>, body: String) -> StatusCode {
    answered(&api, &id, Err(body)).await
}

async fn answered(api: &Api, id: &str, answer: Result<Value, String>) -> StatusCode {
    if let Some(waiting) = api.waiting.lock().await.remove(id) {
        let _ = waiting.send(answer);
    }
    StatusCode::ACCEPTED
}
