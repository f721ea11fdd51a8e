//! The wire: AWS JSON 1.1 in and out, and who is calling.
//!
//! The access key id and the Region are read from the credential scope of the
//! Authorization header; its signature is not checked. Every answer has
//! `x-amzn-requestid`. Nothing here knows what an operation does.

use crate::caller::Caller;
use crate::events::Origin;
use crate::ops::{Cx, Operation};
use crate::{FaultKind, KmsError, LocalKms, state, sts};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, State};
use axum::http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::net::TcpListener;
use tokio::sync::watch;

const JSON: &str = "application/x-amz-json-1.1";

/// Serves until `shutdown` is done; then lets answers under way out and ends calls that hang.
///
/// # Errors
///
/// The listener fails.
pub async fn serve(
    listener: TcpListener,
    kms: LocalKms,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (ending, ended) = watch::channel(false);
    let app = routes(kms, ended).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app)
        .with_graceful_shutdown(async move {
            shutdown.await;
            // Nobody hangs any more: no receiver is no error.
            let _ = ending.send(true);
        })
        .await
}

/// The same as a service, for a server of one's own. Calls told to hang do so for ever.
pub fn router(kms: LocalKms) -> Router {
    let (ending, ended) = watch::channel(false);
    routes(kms, ended).layer(axum::Extension(Arc::new(ending)))
}

fn routes(kms: LocalKms, ended: watch::Receiver<bool>) -> Router {
    Router::new()
        .fallback(entry)
        .with_state(Wire { kms, ended })
}

#[derive(Clone)]
struct Wire {
    kms: LocalKms,
    /// Becomes true when the server ends.
    ended: watch::Receiver<bool>,
}

async fn entry(
    State(wire): State<Wire>,
    method: Method,
    headers: HeaderMap,
    extensions: Extensions,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let Ok(id) = state::random_uuid() else {
        return answer("", &Err(KmsError::internal()));
    };
    let origin = Origin {
        source_ip: extensions
            .get::<ConnectInfo<SocketAddr>>()
            .map_or_else(|| "127.0.0.1".to_owned(), |peer| peer.0.ip().to_string()),
        user_agent: text(&headers, "user-agent").unwrap_or_default().to_owned(),
        request_id: id.to_string(),
    };
    // Too large, or cut off on its way.
    let Ok(body) = body else {
        return answer(&origin.request_id, &Err(KmsError::serialization()));
    };
    let target = text(&headers, "x-amz-target");
    if method == Method::POST && target.is_none() && sts::is_get_caller_identity(&body) {
        return caller_identity(&wire, &headers, &origin);
    }
    let operation = target
        .filter(|_| method == Method::POST)
        .and_then(|target| target.strip_prefix("TrentService."))
        .and_then(Operation::parse);
    let Some(operation) = operation else {
        return answer(&origin.request_id, &Err(KmsError::unknown_operation()));
    };
    let (caller, region) = match authenticate(&wire.kms, &headers) {
        Ok(known) => known,
        Err(error) => return answer(&origin.request_id, &Err(error)),
    };
    let fault = wire.kms.0.faults.take(operation.name());
    match fault {
        Some(FaultKind::Hang) => {
            let mut ended = wire.ended.clone();
            // An error is the sender's end, which is the server's too.
            let _ = ended.wait_for(|ended| *ended).await;
            return dropped(&origin.request_id);
        }
        Some(FaultKind::DropConnection) => return dropped(&origin.request_id),
        _ => {}
    }
    let input = serde_json::from_slice(&body).ok();
    let result = wire
        .kms
        .perform(&caller, &region, operation.name(), input, fault, &origin);
    match fault {
        Some(FaultKind::LoseAnswer) => dropped(&origin.request_id),
        _ => answer(&origin.request_id, &result),
    }
}

/// The caller and the Region: `AWS4-HMAC-SHA256 Credential=<id>/<date>/<region>/<service>/aws4_request, …`.
fn authenticate(kms: &LocalKms, headers: &HeaderMap) -> Result<(Arc<Caller>, String), KmsError> {
    let value = text(headers, "authorization").ok_or_else(KmsError::missing_token)?;
    let scope = value
        .strip_prefix("AWS4-HMAC-SHA256")
        .and_then(|rest| rest.split_once("Credential="))
        .and_then(|(_, rest)| rest.split([',', ' ']).next())
        .ok_or_else(KmsError::missing_token)?;
    let parts: Vec<&str> = scope.split('/').collect();
    let [access_key_id, _date, region, _service, "aws4_request"] = parts[..] else {
        return Err(KmsError::missing_token());
    };
    let caller = kms
        .0
        .caller(access_key_id)
        .ok_or_else(KmsError::unrecognized_client)?;
    Ok((caller, region.to_owned()))
}

fn caller_identity(wire: &Wire, headers: &HeaderMap, origin: &Origin) -> Response {
    let id = &origin.request_id;
    let (status, xml) = match authenticate(&wire.kms, headers) {
        Ok((caller, region)) => {
            let cx = Cx::new(&wire.kms.0, &caller, &region);
            match wire.kms.0.events.write_sts(&cx, origin) {
                Ok(()) => (StatusCode::OK, sts::answer(&cx, id)),
                Err(_) => (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    sts::error("InternalFailure", "", id),
                ),
            }
        }
        Err(error) => (
            StatusCode::FORBIDDEN,
            sts::error("InvalidClientTokenId", &error.message, id),
        ),
    };
    response(status, "text/xml", id, Body::from(xml))
}

fn answer(id: &str, result: &Result<serde_json::Value, KmsError>) -> Response {
    let (status, body) = match result {
        Ok(answer) => (StatusCode::OK, answer.to_string()),
        Err(error) => (
            StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            error.body().to_string(),
        ),
    };
    response(status, JSON, id, Body::from(body))
}

/// An answer that never arrives: its body fails at once, so the server closes the connection.
fn dropped(id: &str) -> Response {
    response(StatusCode::OK, JSON, id, Body::new(Broken))
}

fn response(status: StatusCode, kind: &'static str, id: &str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert("x-amzn-requestid", id);
    }
    response
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

struct Broken;

impl http_body::Body for Broken {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, io::Error>>> {
        Poll::Ready(Some(Err(io::Error::other("told to drop the connection"))))
    }
}
