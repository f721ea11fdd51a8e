//! `ANY …/via/{name}/{path…}`: the pass-through. It takes the plain HTTP of the
//! upstream and gives it back, so that a program sets its SDK's base URL to here
//! and its API key to a broker token, and changes nothing else.
//!
//! Bodies stream, both ways: a request's goes on as it arrives, unless the policy needs
//! it whole, and an answer's comes back as the upstream sends it, scrubbed as it passes.
//! After the answer's head an error cannot be told any more: the body breaks off.

use crate::{
    UseSecret,
    draft::{Draft, Payload, Target},
    perform::Receipt,
    schema::UseProblems,
};
use api::{Call, Need, Problem, openapi::OfSecret};
use axum::{body::Body, extract::State, response::Response};
use http::{HeaderMap, HeaderValue};
use std::sync::Arc;
use store::Permission;
use tokio::time::Instant;

/// Passes a request through.
///
/// It goes to the first destination of the secret's policy, with the path and the
/// query that follow the secret's name, and the secret put in. Without a path it
/// goes to the destination itself. Any method is taken, and judged by the policy.
/// The answer comes as the upstream sends it, event by event of `text/event-stream`; an
/// error after its head breaks it off.
#[utoipa::path(
    method(get, head, post, put, patch, delete, options),
    path = "/v1/workspaces/{workspace}/via/{name}/{path}", operation_id = "passThrough",
    params(OfSecret, ("path" = String, Path, description = "Any path, percent-encoded as the upstream is to see it, slashes included.")),
    request_body(content = inline(Option<Vec<u8>>), content_type = "*/*", description = "Whatever the upstream takes. It goes on as it arrives, whatever its size; where the policy changes or signs the body, up to 6 MiB."),
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
    let request_id = call.request_id.clone();
    let (admitted, verifying) = this.api.admit_beside(&call.headers, need).await?;
    let passed = async {
        let seat = this.enter(&admitted)?;
        let draft = Draft {
            method: call.method.clone(),
            target: Target::Via(rest_of(&call)),
            headers: std::mem::take(&mut call.headers),
            version: None,
            until: begun + this.stream_time,
            payload: Payload::Arriving(Box::new(call)),
        };
        this.pass(&admitted, &verifying, &request_id, draft, seat)
            .await
    };
    let (status, headers, flight, receipt) = verifying.answer(passed).await?;
    let mut response = Response::new(Body::new(flight));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    receipt.name_in(response.headers_mut());
    Ok(response)
}

impl Receipt {
    /// Names itself in an answer.
    pub(crate) fn name_in(&self, headers: &mut HeaderMap) {
        if let Ok(id) = HeaderValue::from_str(&self.id.to_string()) {
            headers.insert("byok-receipt", id);
        }
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
