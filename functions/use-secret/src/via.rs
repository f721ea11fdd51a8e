//! `ANY …/via/{name}/{path…}`: the pass-through. It takes the plain HTTP of the
//! upstream and gives it back, so that a program sets its SDK's base URL to here
//! and its API key to a broker token, and changes nothing else.

use crate::{
    UseSecret,
    perform::{Draft, Receipt, Target},
    schema::UseProblems,
};
use api::{Call, Need, Problem, openapi::OfSecret};
use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use egress::REQUEST_BODY_MAX;
use http::{HeaderMap, HeaderValue};
use std::sync::Arc;
use store::Permission;
use tokio::time::Instant;

/// Passes a request through.
///
/// It goes to the first destination of the secret's policy, with the path and the
/// query that follow the secret's name, and the secret put in. Without a path it
/// goes to the destination itself. Any method is taken, and judged by the policy.
#[utoipa::path(
    method(get, head, post, put, patch, delete, options),
    path = "/v1/workspaces/{workspace}/via/{name}/{path}", operation_id = "passThrough",
    params(OfSecret, ("path" = String, Path, description = "Any path, percent-encoded as the upstream is to see it, slashes included.")),
    request_body(content = inline(Option<Vec<u8>>), content_type = "*/*", description = "Whatever the upstream takes, up to 6 MiB."),
    responses(
        (status = "default", description = "The upstream's own answer, whatever its status: one without `byok-error`.", headers(("byok-receipt" = String, description = "The receipt's id."))),
        UseProblems,
    )
)]
pub(crate) async fn pass_through(
    State(this): State<Arc<UseSecret>>,
    mut call: Call,
) -> Result<Response, Problem> {
    let begun = Instant::now();
    let need = Need {
        secret: Some(call.param("name")),
        ..Need::new(call.param("workspace"), Permission::UseSecrets)
    };
    let admitted = this.api.admit(&call.headers, need).await?;
    let body = call.body(REQUEST_BODY_MAX).await?;
    let draft = Draft {
        method: call.method.clone(),
        target: Target::Via(rest_of(&call)),
        headers: call.headers.clone(),
        body,
        version: None,
        until: begun + this.time,
    };
    let (answer, receipt) = this.perform(admitted, &call.request_id, draft).await?;
    let mut response = (answer.status, Body::from(answer.body)).into_response();
    *response.headers_mut() = answer.headers;
    add_receipt(response.headers_mut(), &receipt);
    Ok(response)
}

/// Names the receipt in an answer.
pub(crate) fn add_receipt(headers: &mut HeaderMap, receipt: &Receipt) {
    if let Ok(id) = HeaderValue::from_str(&receipt.id.to_string()) {
        headers.insert("byok-receipt", id);
    }
}

/// What comes after `/via/{name}/`, with its encoding as the caller wrote it.
fn rest_of(call: &Call) -> String {
    let path = call.uri.path();
    // /v1/workspaces/{workspace}/via/{name}/rest: the sixth slash begins the rest.
    let rest = path
        .match_indices('/')
        .nth(6 - 1)
        .map_or("", |(at, _)| &path[at + 1..]);
    match call.uri.query() {
        Some(query) => format!("{rest}?{query}"),
        None => rest.to_owned(),
    }
}
