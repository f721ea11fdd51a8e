//! The Lambda edge: one event in, one answer out.
//!
//! ```text
//! {"requestContext": {"http": …}, …}   HTTP in payload format 2.0: HTTP APIs, function URLs   -> the routes
//! anything else                        a direct invocation, a schedule, a stream              -> the function's `invoke`
//! ```
//!
//! HTTP is read and written here, not by lambda_http: that one transcodes bodies
//! by their content type, where an upstream's answer must come back byte for
//! byte; and it panics on a space in a path, on bad base64, on a bad `Host`.
//!
//! Answers are whole here; for those that stream, see [`run_streaming`].
//!
//! A handler never returns an error to the runtime, which would log it and
//! answer its text.

mod stream;

pub use stream::run_streaming;

use super::http::observed;
use crate::{Code, Problem};
use axum::{
    Router,
    body::Body,
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use futures_util::{FutureExt, future::BoxFuture};
use http::{
    HeaderMap, HeaderName, HeaderValue, Request,
    header::{COOKIE, SET_COOKIE},
};
use http_body_util::BodyExt;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value, json, value::RawValue};
use std::{collections::BTreeMap, panic::AssertUnwindSafe, sync::Arc, time::Instant};
use tower::ServiceExt;
use tracing::{Instrument, info, info_span};
use uuid::Uuid;

/// What a function does with an event that is not HTTP. Takes and gives JSON;
/// an error is a problem document.
pub type Invoke = Arc<dyn Fn(Value) -> BoxFuture<'static, Result<Value, Problem>> + Send + Sync>;

/// The most that Lambda takes as an answer, in bytes of JSON (AWS Lambda
/// Developer Guide, "Lambda quotas": 6 MB, in fact 6 MiB and 100).
const ANSWER_MAX: usize = 6 * 1024 * 1024;

// An HTTP API decodes the path, a function URL does not. What a URI cannot hold,
// or would take for the beginning of another part, is encoded again.
const IN_PATH: AsciiSet = CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`');
const IN_QUERY: AsciiSet = IN_PATH.remove(b'?');

/// Runs a function under Lambda: finished routes, and what it does when it is
/// invoked directly, if anything.
///
/// # Errors
/// The runtime's own API cannot be reached.
pub async fn run(routes: Router, invoke: Option<Invoke>) -> Result<(), Error> {
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Box<RawValue>>| {
        let (routes, invoke) = (routes.clone(), invoke.clone());
        async move { Ok::<_, Error>(answer_event(routes, invoke, event.payload.get()).await) }
    }))
    .await
}

/// Answers one event, whatever it is: a JSON text, as Lambda gives it.
pub async fn answer_event(routes: Router, invoke: Option<Invoke>, event: &str) -> Value {
    match invoke {
        Some(invoke) if serde_json::from_str::<AnyHttp>(event).is_err() => {
            invoked(invoke, event).await
        }
        // A function that has routes only is called by something that speaks HTTP,
        // and understands a refusal in that form, whatever it sent.
        _ => {
            in_event(match request(event) {
                Ok(request) => match routes.oneshot(request).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                },
                Err(problem) => refused(problem).await,
            })
            .await
        }
    }
}

/// A request that no route can be given: answered and logged as if by one.
async fn refused(problem: Problem) -> Response {
    let id = Uuid::now_v7().to_string();
    let span = info_span!("request", request_id = id, route = "");
    observed(&id, async { problem.into_response() })
        .instrument(span)
        .await
}

async fn invoked(invoke: Invoke, event: &str) -> Value {
    let span = info_span!("event", request_id = %Uuid::now_v7());
    let started = Instant::now();
    async move {
        let outcome = match serde_json::from_str(event) {
            Ok(event) => AssertUnwindSafe(async { invoke(event).await })
                .catch_unwind()
                .await
                .unwrap_or_else(|_| Err(Problem::new(Code::Internal))),
            Err(_) => Err(Problem::invalid("event", "well-formed JSON")),
        };
        let code = outcome
            .as_ref()
            .map_or_else(|problem| problem.code().as_str(), |_| "ok");
        info!(
            code,
            ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "answered"
        );
        outcome.unwrap_or_else(|problem| {
            problem.log();
            problem.document()
        })
    }
    .instrument(span)
    .await
}

/// What tells an event of HTTP from all others.
#[derive(Deserialize)]
struct AnyHttp {
    #[serde(rename = "requestContext")]
    _context: AnyContext,
}

#[derive(Deserialize)]
struct AnyContext {
    #[serde(rename = "http")]
    _http: IgnoredAny,
}

/// Payload format 2.0 (Amazon API Gateway Developer Guide, "Working with AWS
/// Lambda proxy integrations for HTTP APIs"), as far as it is the request.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HttpEvent {
    request_context: Context,
    raw_path: Option<String>,
    raw_query_string: Option<String>,
    headers: Option<BTreeMap<String, String>>,
    cookies: Option<Vec<String>>,
    body: Option<String>,
    is_base64_encoded: Option<bool>,
}

#[derive(Deserialize)]
struct Context {
    http: Http,
    stage: Option<String>,
}

#[derive(Deserialize)]
struct Http {
    method: String,
}

/// The request that an event is.
fn request(event: &str) -> Result<Request<Body>, Problem> {
    let event: HttpEvent = serde_json::from_str(event)
        .map_err(|_| Problem::invalid("event", "an HTTP request of payload format 2.0"))?;
    let malformed = || Problem::invalid("request", "a well-formed HTTP request");
    let target = event.target();
    let body = match (event.body, event.is_base64_encoded) {
        (None, _) => Body::empty(),
        (Some(text), None | Some(false)) => Body::from(text),
        (Some(text), Some(true)) => {
            Body::from(BASE64_STANDARD.decode(text).map_err(|_| malformed())?)
        }
    };
    let mut request = Request::builder()
        .method(event.request_context.http.method.as_bytes())
        .uri(target)
        .body(body)
        .map_err(|_| malformed())?;
    let cookies = event.cookies.filter(|cookies| !cookies.is_empty());
    let cookies = cookies.map(|cookies| (COOKIE.to_string(), cookies.join("; ")));
    for (name, value) in event.headers.into_iter().flatten().chain(cookies) {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| malformed())?;
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| malformed())?;
        request
            .headers_mut()
            .try_append(name, value)
            .map_err(|_| malformed())?;
    }
    Ok(request)
}

impl HttpEvent {
    /// Path and query. A named stage stands before the path, and is none of the routes'.
    fn target(&self) -> String {
        let path = self.raw_path.as_deref().unwrap_or_default();
        let path = self
            .request_context
            .stage
            .as_deref()
            .and_then(|stage| path.strip_prefix('/')?.strip_prefix(stage))
            .filter(|rest| rest.is_empty() || rest.starts_with('/'))
            .unwrap_or(path);
        let mut target = utf8_percent_encode(path, &IN_PATH).to_string();
        if !target.starts_with('/') {
            target.insert(0, '/');
        }
        if let Some(query) = self
            .raw_query_string
            .as_deref()
            .filter(|query| !query.is_empty())
        {
            target.push('?');
            target.extend(utf8_percent_encode(query, &IN_QUERY));
        }
        target
    }
}

/// An answer as payload format 2.0 has it.
async fn in_event(response: Response) -> Value {
    let (parts, body) = response.into_parts();
    let answer = match body.collect().await {
        Ok(body) => written(parts.status.as_u16(), &parts.headers, &body.to_bytes()),
        Err(_) => replaced(Problem::new(Code::Internal), &parts.headers).await,
    };
    // Lambda would put an error of its own in place of a larger one, as a 502 without our code.
    if answer.to_string().len() <= ANSWER_MAX {
        return answer;
    }
    let problem = Problem::new(Code::TooLarge).because(
        "The answer is larger than a function may give. A request was made if there is a receipt.",
    );
    replaced(problem, &parts.headers).await
}

/// A problem in place of an answer that had already been given its ids.
async fn replaced(problem: Problem, headers: &HeaderMap) -> Value {
    tracing::warn!(
        code = problem.code().as_str(),
        "the answer could not be given"
    );
    let (mut parts, body) = problem.into_response().into_parts();
    for name in ["byok-request-id", "byok-receipt"] {
        if let Some(value) = headers.get(name) {
            parts.headers.insert(name, value.clone());
        }
    }
    let body = body
        .collect()
        .await
        .map_or_else(|_| Default::default(), |body| body.to_bytes());
    written(parts.status.as_u16(), &parts.headers, &body)
}

fn written(status: u16, headers: &HeaderMap, body: &[u8]) -> Value {
    let mut answer = head(status, headers);
    let (body, encoded) = match std::str::from_utf8(body) {
        Ok(text) => (text.to_owned(), false),
        Err(_) => (BASE64_STANDARD.encode(body), true),
    };
    answer.insert("body".to_owned(), json!(body));
    answer.insert("isBase64Encoded".to_owned(), json!(encoded));
    Value::Object(answer)
}

/// What stands before an answer's body.
fn head(status: u16, headers: &HeaderMap) -> Map<String, Value> {
    let values = |name: &HeaderName| -> Vec<String> {
        headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect()
    };
    // The format has one value to a name: several are one list (RFC 9110, section
    // 5.3), but for cookies, which have a place of their own.
    let named: Map<String, Value> = headers
        .keys()
        .filter(|name| *name != SET_COOKIE)
        .map(|name| (name.to_string(), json!(values(name).join(", "))))
        .collect();
    let mut head = Map::new();
    head.insert("statusCode".to_owned(), json!(status));
    head.insert("headers".to_owned(), json!(named));
    head.insert("cookies".to_owned(), json!(values(&SET_COOKIE)));
    head
}
