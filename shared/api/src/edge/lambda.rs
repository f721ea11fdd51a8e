//! The Lambda edge: any event. Those of HTTP (API Gateway's HTTP API, function
//! URLs: payload format 2.0) go to the routes, others to the function's `invoke`.
//!
//! A handler never returns an error to the runtime, which would log it and
//! answer its text. lambda_http panics on some hostile requests (a control
//! character in the query, a bad `Host`): those get an answer, and the process
//! goes on.

use crate::{Code, Problem};
use axum::{Router, response::IntoResponse};
use futures_util::{FutureExt, future::BoxFuture};
use lambda_http::{Adapter, Service, request::LambdaRequest};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use std::{panic::AssertUnwindSafe, sync::Arc};

/// What a function does with an event that is not HTTP. Takes and gives JSON;
/// an error is a problem document.
pub type Invoke = Arc<dyn Fn(Value) -> BoxFuture<'static, Result<Value, Problem>> + Send + Sync>;

/// Runs a function under Lambda: finished routes, and what it does when it is
/// invoked directly, if anything.
///
/// # Errors
/// The runtime's own API cannot be reached.
pub async fn run(routes: Router, invoke: Option<Invoke>) -> Result<(), Error> {
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Box<RawValue>>| {
        let answer = AssertUnwindSafe(answer(routes.clone(), invoke.clone(), event)).catch_unwind();
        // Only lambda_http's own conversion can still panic: the routes' edge and `invoke` answer for themselves.
        async move { Ok::<_, Error>(answer.await.unwrap_or_else(|_| unreadable())) }
    }))
    .await
}

async fn answer(
    routes: Router,
    invoke: Option<Invoke>,
    event: LambdaEvent<Box<RawValue>>,
) -> Value {
    let (event, context) = event.into_parts();
    if serde_json::from_str::<HttpEvent>(event.get()).is_ok() {
        let Ok(request) = serde_json::from_str::<LambdaRequest>(event.get()) else {
            return unreadable();
        };
        let answer = Adapter::from(routes)
            .call(LambdaEvent::new(request, context))
            .await;
        return match answer {
            Ok(response) => serde_json::to_value(response).unwrap_or_else(|_| unreadable()),
            Err(never) => match never {},
        };
    }
    let outcome = match (invoke, serde_json::from_str(event.get())) {
        (Some(invoke), Ok(event)) => AssertUnwindSafe(invoke(event))
            .catch_unwind()
            .await
            .unwrap_or_else(|_| Err(Problem::new(Code::Internal))),
        _ => Err(Problem::invalid(
            "event",
            "an HTTP request of payload format 2.0",
        )),
    };
    outcome.unwrap_or_else(|problem| problem.document())
}

/// What tells an event of HTTP from all others.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HttpEvent {
    #[serde(rename = "requestContext")]
    _request_context: HttpContext,
}

#[derive(Deserialize)]
struct HttpContext {
    #[serde(rename = "http")]
    _http: serde::de::IgnoredAny,
}

/// The answer to a request that HTTP cannot express.
fn unreadable() -> Value {
    let problem = Problem::invalid("request", "a well-formed HTTP request");
    let body = problem.document().to_string();
    let status = problem.into_response().status().as_u16();
    json!({
        "statusCode": status,
        "headers": {
            "content-type": "application/problem+json",
            "cache-control": "no-store",
            "byok-error": Code::InvalidRequest.as_str(),
        },
        "body": body,
        "isBase64Encoded": false,
    })
}
