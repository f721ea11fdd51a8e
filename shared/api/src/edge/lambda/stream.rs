//! The Lambda edge of a function whose answers stream: the runtime's loop, and an answer
//! in the form that a function URL with `InvokeMode: RESPONSE_STREAM` takes.
//!
//! ```text
//! {"statusCode", "headers", "cookies"} 8 zero bytes  the body, piece by piece  [trailers: an error]
//! ```
//!
//! `lambda_runtime` has such a loop. But it writes an error that comes within a stream
//! into the body, as text, and then ends the body as if it were whole. Here it goes into
//! the trailers that Lambda has for it, by which the invocation has failed (AWS Lambda
//! Developer Guide, "Building a custom runtime", response streaming).

use super::{head, refused, request};
use crate::{Code, Problem};
use axum::{Router, body::Body as Answer, response::Response};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request,
    header::{CONTENT_TYPE, TRAILER},
};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use lambda_runtime::Error;
use lambda_runtime_api_client::{Client, body::Body as Sent};
use serde_json::Value;
use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};
use tower::ServiceExt;
use tracing::{debug, warn};

const NEXT: &str = "/2018-06-01/runtime/invocation/next";
const REQUEST_ID: &str = "lambda-runtime-aws-request-id";
const RESPONSE_MODE: &str = "lambda-runtime-function-response-mode";
const FORM: &str = "application/vnd.awslambda.http-integration-response";
const ERROR_TYPE: HeaderName = HeaderName::from_static("lambda-runtime-function-error-type");
const ERROR_BODY: HeaderName = HeaderName::from_static("lambda-runtime-function-error-body");
/// Between the prelude and the body.
const DELIMITER: [u8; 8] = [0; 8];

/// Runs a function under Lambda whose answers stream: finished routes alone.
///
/// # Errors
/// The runtime's own API cannot be reached.
pub async fn run_streaming(routes: Router) -> Result<(), Error> {
    serve(&Client::builder().build()?, &routes).await
}

async fn serve(runtime: &Client, routes: &Router) -> Result<(), Error> {
    loop {
        let next = Request::get(NEXT).body(Sent::empty())?;
        let (head, event) = runtime.call(next).await?.into_parts();
        let event = event.collect().await?.to_bytes();
        if !head.status.is_success() {
            return Err("the runtime's API has no next event".into());
        }
        let Some(id) = head.headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()) else {
            return Err("an event has no id".into());
        };
        let answer = streamed(answer(routes, &event).await);
        let told = Request::post(format!("/2018-06-01/runtime/invocation/{id}/response"))
            .header(RESPONSE_MODE, "streaming")
            .header(CONTENT_TYPE, FORM)
            .header(TRAILER, ERROR_TYPE)
            .header(TRAILER, ERROR_BODY)
            .body(Sent::new(answer))?;
        // Whoever asked may have gone away: then the next event is not to blame.
        match runtime.call(told).await {
            Ok(answered) if answered.status().is_success() => {}
            Ok(answered) => warn!(
                status = answered.status().as_u16(),
                "Lambda did not take an answer"
            ),
            Err(error) => debug!(error, "an answer broke off"),
        }
    }
}

async fn answer(routes: &Router, event: &[u8]) -> Response {
    let request = std::str::from_utf8(event)
        .map_err(|_| Problem::invalid("event", "well-formed JSON"))
        .and_then(request);
    match request {
        Ok(request) => match routes.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        },
        Err(problem) => refused(problem).await,
    }
}

/// An answer as Lambda takes it.
fn streamed(response: Response) -> Streamed {
    let (parts, body) = response.into_parts();
    let prelude = Value::Object(head(parts.status.as_u16(), &parts.headers));
    Streamed {
        before: VecDeque::from([
            Bytes::from(prelude.to_string()),
            Bytes::from_static(&DELIMITER),
        ]),
        body: Some(body),
    }
}

/// The prelude, then the body; an error in it becomes Lambda's trailers.
struct Streamed {
    /// The prelude and the delimiter, each in a chunk of its own: `cargo lambda watch`
    /// reads no others.
    before: VecDeque<Bytes>,
    /// Gone once it has ended: what it carries is let go then.
    body: Option<Answer>,
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        if let Some(piece) = this.before.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        loop {
            let Some(body) = &mut this.body else {
                return Poll::Ready(None);
            };
            // A panic would take the runtime's connection with it.
            let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(body).poll_frame(cx)));
            let frame = match polled {
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(frame)) => frame,
                Err(_) => Some(Err(axum::Error::new(Broken))),
            };
            match frame {
                Some(Ok(frame)) if frame.is_data() => return Poll::Ready(Some(Ok(frame))),
                // A function URL has no place for an upstream's trailers.
                Some(Ok(_)) => {}
                None => this.body = None,
                Some(Err(_)) => {
                    this.body = None;
                    return Poll::Ready(Some(Ok(Frame::trailers(failure()))));
                }
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the body could not be made")]
struct Broken;

/// What tells Lambda that a stream broke off. Why is in the audit trail.
fn failure() -> HeaderMap {
    let document = Problem::new(Code::Internal)
        .because("The answer broke off.")
        .document();
    let mut trailers = HeaderMap::new();
    trailers.insert(ERROR_TYPE, HeaderValue::from_static("Runtime.StreamError"));
    let body = BASE64_STANDARD.encode(document.to_string());
    if let Ok(body) = HeaderValue::from_str(&body) {
        trailers.insert(ERROR_BODY, body);
    }
    trailers
}

#[cfg(test)]
mod tests;
