//! A small HTTP client for loopback: the demo and the tests are clients of the
//! served port like any other.

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::{io, net::SocketAddr};
use tokio::net::TcpStream;

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON; null if it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// A header's value; empty if it is absent or no text.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

/// Sends one request over a connection of its own.
///
/// # Errors
/// No connection, or no proper answer.
pub async fn send(to: SocketAddr, mut request: Request<Full<Bytes>>) -> io::Result<Answer> {
    if let Ok(host) = to.to_string().parse() {
        request
            .headers_mut()
            .entry(http::header::HOST)
            .or_insert(host);
    }
    let stream = TcpStream::connect(to).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let driver = tokio::spawn(connection);
    let (parts, body) = sender
        .send_request(request)
        .await
        .map_err(io::Error::other)?
        .into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    driver.abort();
    Ok(Answer {
        status: parts.status,
        headers: parts.headers,
        body,
    })
}

/// Sends JSON, or nothing, with a bearer's token.
///
/// # Errors
/// No connection, or no proper answer.
pub async fn call(
    to: SocketAddr,
    method: &str,
    path: &str,
    token: &str,
    body: Option<&Value>,
) -> io::Result<Answer> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {token}"));
    if body.is_some() {
        request = request.header("content-type", "application/json");
    }
    let bytes = body
        .map(|body| Bytes::from(body.to_string()))
        .unwrap_or_default();
    send(
        to,
        request.body(Full::new(bytes)).map_err(io::Error::other)?,
    )
    .await
}
