//! The tables' front door: DynamoDB's embedded server knows no callers, so this
//! says who may do what to which table. The functions' roles may do what
//! template.yaml lets them; whoever has other access keys may do everything, as
//! the account's administrator.
//!
//! It keeps what the roles did, so that a test can hold the template to it: what a
//! role may but never does is a right too many.

use crate::{cast::Role, template::rights_to_tables};
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::net::TcpStream;

/// DynamoDB takes bodies of up to 16 MB.
const BODY_MAX: usize = 16 * 1024 * 1024;

/// One thing that can be done: a table's name, and an action as in `dynamodb:PutItem`.
pub type TableRight = (String, String);

/// The front door. A clone is the same door.
#[derive(Clone)]
pub struct Tables(Arc<Door>);

struct Door {
    /// Where the embedded server is.
    inner: SocketAddr,
    /// The functions' roles: their access key ids, and their rights.
    roles: Vec<(Role, BTreeSet<TableRight>)>,
    done: Mutex<BTreeSet<(&'static str, TableRight)>>,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

impl Tables {
    /// A door to the embedded server at an address.
    pub(crate) fn before(inner: SocketAddr) -> Self {
        let roles = Role::ALL.into_iter();
        Self(Arc::new(Door {
            inner,
            roles: roles
                .filter_map(|role| Some((role, rights_to_tables(role.in_template()?))))
                .collect(),
            done: Mutex::default(),
            idle: Mutex::default(),
        }))
    }

    /// The door as routes.
    pub(crate) fn router(&self) -> Router {
        Router::new().fallback(enter).with_state(self.clone())
    }

    /// What each of the functions' roles may do, by the role's name.
    #[must_use]
    pub fn rights(&self) -> BTreeSet<(&'static str, TableRight)> {
        let rights = self.0.roles.iter();
        rights
            .flat_map(|(role, rights)| rights.iter().map(|right| (role.name(), right.clone())))
            .collect()
    }

    /// What each of the functions' roles has done since the start.
    #[must_use]
    pub fn done(&self) -> BTreeSet<(&'static str, TableRight)> {
        lock(&self.0.done).clone()
    }

    /// The right that a call lacks, if it lacks one.
    fn refuses(&self, headers: &HeaderMap, body: &[u8]) -> Option<String> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let credential = text(header::AUTHORIZATION.as_str()).unwrap_or_default();
        let mine =
            |role: &Role| credential.contains(&format!("Credential={}/", role.access_key_id()));
        let (role, rights) = self.0.roles.iter().find(|(role, _)| mine(role))?;
        let operation = text("x-amz-target").and_then(|target| target.split('.').nth(1));
        let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        for (table, action) in parts(operation.unwrap_or_default(), &body) {
            let right = (table, format!("dynamodb:{action}"));
            if !rights.contains(&right) {
                return Some(format!(
                    "User: {} is not authorized to perform: {} on resource: {}",
                    role.arn(),
                    right.1,
                    right.0
                ));
            }
            lock(&self.0.done).insert((role.name(), right));
        }
        None
    }

    async fn pass_on(&self, request: http::Request<Full<Bytes>>) -> io::Result<Response> {
        let idle = lock(&self.0.idle).pop().filter(|one| !one.is_closed());
        let mut sender = match idle {
            Some(sender) => sender,
            None => {
                let stream = TcpStream::connect(self.0.inner).await?;
                stream.set_nodelay(true)?;
                let (sender, connection) = handshake(TokioIo::new(stream))
                    .await
                    .map_err(io::Error::other)?;
                tokio::spawn(connection);
                sender
            }
        };
        sender.ready().await.map_err(io::Error::other)?;
        let answer = sender.send_request(request).await;
        let (parts, body) = answer.map_err(io::Error::other)?.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        lock(&self.0.idle).push(sender);
        Ok(Response::from_parts(parts, Body::from(body)))
    }
}

async fn enter(State(tables): State<Tables>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_MAX).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    if let Some(message) = tables.refuses(&parts.headers, &body) {
        let kind = "com.amazon.coral.service#AccessDeniedException";
        return (
            StatusCode::BAD_REQUEST,
            [(header::CONTENT_TYPE, "application/x-amz-json-1.0")],
            json!({"__type": kind, "Message": message}).to_string(),
        )
            .into_response();
    }
    let request = http::Request::from_parts(parts, Full::new(body));
    tables.pass_on(request).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "the embedded DynamoDB gave no answer");
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    })
}

/// What a call does, table by table: a transaction needs the rights of its parts
/// (DynamoDB Developer Guide, "Amazon DynamoDB transactions: how it works").
fn parts(operation: &str, body: &Value) -> BTreeSet<TableRight> {
    let name = |table: &Value| table.as_str().unwrap_or_default().to_owned();
    let list = |field: &str| body[field].as_array().cloned().unwrap_or_default();
    match operation {
        "BatchGetItem" | "BatchWriteItem" => {
            let tables = body["RequestItems"].as_object().into_iter().flatten();
            tables
                .map(|(table, _)| (table.clone(), operation.to_owned()))
                .collect()
        }
        "TransactWriteItems" | "TransactGetItems" => list("TransactItems")
            .iter()
            .flat_map(|item| item.as_object().into_iter().flatten())
            .map(|(part, call)| {
                let action = match part.as_str() {
                    "ConditionCheck" => "ConditionCheckItem".to_owned(),
                    part => format!("{part}Item"),
                };
                (name(&call["TableName"]), action)
            })
            .collect(),
        _ => [(name(&body["TableName"]), operation.to_owned())].into(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
