//! What every answer has, whatever the function: a request id, a problem
//! document instead of a framework's text, one log line, and an answer even
//! where the code panics.

use crate::{Code, Problem, call::RequestId, problem::AnswerCode};
use axum::{
    Router,
    extract::{MatchedPath, Request},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    serve::ListenerExt,
};
use futures_util::FutureExt;
use http::{HeaderValue, StatusCode, header};
use std::{future::Future, io, panic::AssertUnwindSafe, time::Instant};
use tokio::net::TcpListener;
use tracing::{Instrument, field::Empty, info, info_span};
use uuid::Uuid;

/// Completes bare routes: fallbacks, then the layers.
pub fn finish(routes: Router) -> Router {
    routes
        .fallback(|| async { Problem::new(Code::NotFound) })
        .method_not_allowed_fallback(|| async { Problem::new(Code::MethodNotAllowed) })
        .layer(middleware::from_fn(observe))
}

/// Serves finished routes on a listener until `shutdown`, then lets the
/// requests that are under way end.
///
/// # Errors
/// The listener fails.
pub async fn serve(
    listener: TcpListener,
    routes: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    // The pieces of a stream are small and must not wait for one another. Only a delay
    // is at stake if the option does not hold.
    let listener = listener.tap_io(|tcp| drop(tcp.set_nodelay(true)));
    axum::serve(listener, routes)
        .with_graceful_shutdown(shutdown)
        .await
}

async fn observe(mut request: Request, next: Next) -> Response {
    let id = Uuid::now_v7().to_string();
    request.extensions_mut().insert(RequestId(id.clone()));
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("", MatchedPath::as_str)
        .to_owned();
    let span = info_span!(
        "request", request_id = id, method = %request.method(), route,
        workspace = Empty, caller = Empty, secret = Empty, version = Empty, kms_calls = Empty,
    );
    observed(&id, next.run(request)).instrument(span).await
}

/// Watches over the making of one answer: whatever happens there is one, with its
/// request's id, and one line in the log.
pub(super) async fn observed(id: &str, answer: impl Future<Output = Response>) -> Response {
    let started = Instant::now();
    let answer = AssertUnwindSafe(answer).catch_unwind().await;
    let mut response = answer.unwrap_or_else(|_| Problem::new(Code::Internal).into_response());
    // The framework's own refusals are text; ours are problems.
    if response.extensions().get::<AnswerCode>().is_none() && is_plain_refusal(&response) {
        response = Problem::new(match response.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Code::TooLarge,
            status if status.is_server_error() => Code::Internal,
            _ => Code::InvalidRequest,
        })
        .into_response();
    }
    if let Ok(id) = HeaderValue::from_str(id) {
        response.headers_mut().insert("byok-request-id", id);
    }
    let code = response
        .extensions()
        .get::<AnswerCode>()
        .map_or("ok", |code| code.0.as_str());
    info!(
        status = response.status().as_u16(),
        code,
        ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        "answered"
    );
    response
}

/// An upstream's answer says what it is by its receipt; anything else that
/// refuses in plain text comes from the framework.
fn is_plain_refusal(response: &Response) -> bool {
    (response.status().is_client_error() || response.status().is_server_error())
        && !response.headers().contains_key("byok-receipt")
        && response
            .headers()
            .get(header::CONTENT_TYPE)
            .is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"))
}
