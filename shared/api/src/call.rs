//! A request as a use case sees it.

use crate::{Problem, body::too_large};
use axum::{
    Json,
    body::Body,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use envelope::SecretBytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use serde::Serialize;
use std::{collections::BTreeMap, time::Duration};

/// How long a caller may take to send its body.
const BODY_TIME: Duration = Duration::from_secs(30);

/// The id of one request: the answer's header `byok-request-id`, the log line
/// and the audit record carry it.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) String);

/// One request: its parts, and its body unread.
pub struct Call {
    /// The method.
    pub method: Method,
    /// The target, as the edge got it.
    pub uri: Uri,
    /// The headers. They hold the caller's token: never log them.
    pub headers: HeaderMap,
    /// The request's id.
    pub request_id: String,
    params: BTreeMap<String, String>,
    body: Body,
}

impl<S: Send + Sync> FromRequest<S> for Call {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        // A parameter that is not UTF-8 names nothing that exists.
        let params = Path::<BTreeMap<String, String>>::from_request_parts(&mut parts, state)
            .await
            .map_or_else(|_| BTreeMap::new(), |Path(params)| params);
        let request_id = parts
            .extensions
            .get::<RequestId>()
            .map(|id| id.0.clone())
            .unwrap_or_default();
        Ok(Self {
            method: parts.method,
            uri: parts.uri,
            headers: parts.headers,
            request_id,
            params,
            body,
        })
    }
}

impl Call {
    /// A parameter of the route's path, decoded; empty, and so of no grammar, if it was malformed.
    #[must_use]
    pub fn param(&self, name: &str) -> &str {
        self.params.get(name).map_or("", String::as_str)
    }

    /// The query's parameters, each of which must be known and given once.
    ///
    /// # Errors
    /// `invalid_request`, naming the parameter.
    pub fn query(&self, known: &[&'static str]) -> Result<BTreeMap<&'static str, String>, Problem> {
        let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(&self.uri) else {
            return Err(Problem::invalid("query", "well-formed parameters"));
        };
        let mut found = BTreeMap::new();
        for (name, value) in pairs {
            let Some(name) = known.iter().find(|known| **known == name) else {
                return Err(Problem::invalid(
                    "query",
                    format!("only {} are known here", known.join(", ")),
                ));
            };
            if found.insert(*name, value).is_some() {
                return Err(Problem::invalid(*name, "given once"));
            }
        }
        Ok(found)
    }

    /// A header that must be text and given once, if it is there.
    ///
    /// # Errors
    /// `invalid_request`, naming the header.
    pub fn header(&self, name: &'static str) -> Result<Option<&str>, Problem> {
        let mut values = self.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => value
                .to_str()
                .map(Some)
                .map_err(|_| Problem::invalid(name, "visible ASCII")),
            _ => Err(Problem::invalid(name, "given once")),
        }
    }

    /// Reads the body, which is then gone from the call. A use case asks for it only
    /// once the caller is admitted.
    ///
    /// # Errors
    /// `too_large` above `limit` bytes; `invalid_request` if it breaks off or takes
    /// longer than half a minute.
    pub async fn body(&mut self, limit: usize) -> Result<Bytes, Problem> {
        let announced = usize::try_from(self.body.size_hint().lower()).unwrap_or(limit);
        let mut read = Vec::with_capacity(announced.min(limit));
        self.read_into(&mut read, limit).await?;
        Ok(Bytes::from(read))
    }

    /// Reads a body that holds a secret, into one buffer that never moves and is
    /// wiped when it is dropped. What the edge itself buffered is out of reach.
    ///
    /// # Errors
    /// As [`body`](Self::body).
    pub async fn secret_body(&mut self, limit: usize) -> Result<SecretBytes, Problem> {
        let mut read = Vec::with_capacity(limit);
        let outcome = self.read_into(&mut read, limit).await;
        let read = SecretBytes::new(read);
        outcome.map(|()| read)
    }

    /// The body as it arrives, for who passes it on. A use case asks for it only once
    /// the caller is admitted.
    pub fn into_body(self) -> Body {
        self.body
    }

    async fn read_into(&mut self, read: &mut Vec<u8>, limit: usize) -> Result<(), Problem> {
        let mut body = std::mem::take(&mut self.body);
        let broken = || Problem::invalid("body", "whole, and of a length as announced");
        let frames = async {
            while let Some(frame) = body.frame().await {
                if let Ok(data) = frame.map_err(|_| broken())?.into_data() {
                    if read.len() + data.len() > limit {
                        return Err(too_large(limit));
                    }
                    read.extend_from_slice(&data);
                }
            }
            Ok(())
        };
        tokio::time::timeout(BODY_TIME, frames)
            .await
            .unwrap_or_else(|_| Err(Problem::invalid("body", "sent within half a minute")))
    }
}

/// An answer in JSON. Answers of the broker are nobody's to cache.
pub fn json(status: StatusCode, body: impl Serialize) -> Response {
    let mut response = (status, Json(body)).into_response();
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
