//! use-secret: opens a secret and injects it into one outbound request.
//!
//! Four routes share one [use](mod@perform): `POST …/use`, which takes the request in
//! JSON; the pass-through `ANY …/via/{name}/{path…}`, which takes it as it is and
//! streams; `POST …/reveal`, which tells the value where the policy says so; and
//! `GET …/secrets/{name}`, which shows a secret at rest and asks KMS whether it
//! would open it now, without opening it.
//!
//! On AWS they are two functions: `use-secret` behind the HTTP API, whose answers are
//! whole, and `use-secret-stream` behind a function URL, which has the pass-through alone.
//!
//! It can open data keys and cannot make them: it holds [`Unwrap`] alone. But for a
//! reveal the caller never sees the secret, and nothing secret is formed before the
//! request has passed the secret's policy.

mod at_rest;
mod bulkhead;
mod deployed;
mod draft;
mod flight;
mod intent;
mod perform;
mod reveal;
mod schema;
mod use_route;
mod via;

pub use bulkhead::{Bulkhead, Seats};
pub use deployed::deployed;

use api::Api;
use axum::routing::any;
use egress::Dialler;
use envelope::{KeyArn, kms::Unwrap};
use std::{sync::Arc, time::Duration};
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The pass-through's route, which has any method. The same without a path, and
/// with an empty one, reaches the destination's own URL.
pub const VIA: &str = "/v1/workspaces/{workspace}/via/{name}/{*path}";

#[derive(OpenApi)]
#[openapi(paths(via::pass_through))]
struct Via;

/// The pass-through, for the API's document: each method is an operation with an
/// id of its own.
fn via_document() -> utoipa::openapi::OpenApi {
    let mut document = Via::openapi();
    for item in document.paths.paths.values_mut() {
        for (method, operation) in [
            ("Get", &mut item.get),
            ("Head", &mut item.head),
            ("Post", &mut item.post),
            ("Put", &mut item.put),
            ("Patch", &mut item.patch),
            ("Delete", &mut item.delete),
            ("Options", &mut item.options),
        ] {
            if let Some(operation) = operation {
                operation.operation_id = Some(format!("passThrough{method}"));
            }
        }
    }
    document
}

/// What the function needs: to open data keys, to send requests, and the records.
pub struct UseSecret {
    /// What all functions share.
    pub api: Api,
    /// Opens data keys.
    pub unwrap: Unwrap,
    /// The deployment's own KEK, for a workspace whose binding says that it has none.
    pub deployment_key: Option<KeyArn>,
    /// Sends requests.
    pub dialler: Dialler,
    /// How long a use may take if the caller does not say: below what the edge allows.
    pub time: Duration,
    /// The same for a pass-through, whose answer streams.
    pub stream_time: Duration,
    /// How many uses may be under way at once.
    pub bulkhead: Bulkhead,
}

/// The routes whose answers are whole.
pub fn routes(function: Arc<UseSecret>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(use_route::use_secret))
        .routes(routes!(reveal::reveal))
        .routes(routes!(at_rest::show))
        .with_state(function)
}

/// The pass-through, whose answers stream.
pub fn pass_through(function: Arc<UseSecret>) -> OpenApiRouter {
    let bare = VIA.trim_end_matches("/{*path}");
    OpenApiRouter::with_openapi(via_document())
        .route(VIA, any(via::pass_through))
        .route(bare, any(via::pass_through))
        .route(&format!("{bare}/"), any(via::pass_through))
        .with_state(function)
}
