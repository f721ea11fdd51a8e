//! read-workspace: shows a workspace to its own people: its key, what to paste
//! into the key's policy, its secrets, its audit trail.
//!
//! It holds no right to any customer's key, and shows no secret's bytes.

mod audit;
mod key;
mod key_policy;
mod schema;
mod secrets;
mod versions;

use api::{Api, Problem};
use envelope::kms::CheckMac;
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};

/// What the function needs: the records, and whom the customer's policy names.
pub struct ReadWorkspace {
    /// What all functions share.
    pub api: Api,
    /// The ARN of the deployment's `broker` role.
    pub broker_role: String,
    /// Checks the MACs of re-wrap jobs.
    pub check_job: CheckMac,
}

/// The function's routes.
pub fn routes(function: ReadWorkspace) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(key::show))
        .routes(routes!(key_policy::show))
        .routes(routes!(key_policy::lint))
        .routes(routes!(secrets::list))
        .routes(routes!(versions::list))
        .routes(routes!(audit::list))
        .with_state(Arc::new(function))
}

/// How many items a page has: the query's `limit`, or 50.
fn limit(text: Option<&String>) -> Result<u32, Problem> {
    match text.map(|text| text.parse()) {
        None => Ok(50),
        Some(Ok(number @ 1..=100)) => Ok(number),
        Some(_) => Err(Problem::invalid("limit", "1 to 100")),
    }
}
