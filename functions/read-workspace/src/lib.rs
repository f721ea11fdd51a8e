//! read-workspace: shows a workspace to its own people: its key, what to paste
//! into the key's policy, its secrets, its audit trail.
//!
//! It holds no right to any key, and shows no secret's bytes.

mod audit;
mod schema;
mod secrets;

use api::{Api, Call, Need, Problem, json, openapi::OfWorkspace, rfc3339};
use axum::{extract::State, response::Response};
use envelope::KeyPolicy;
use http::StatusCode;
use schema::{ReadProblems, ShownKey, ShownKeyPolicy};
use std::sync::Arc;
use store::Permission;
use utoipa_axum::{router::OpenApiRouter, routes};

/// What the function needs: the records, and whom the customer's policy names.
pub struct ReadWorkspace {
    /// What all functions share.
    pub api: Api,
    /// The ARN of the deployment's `broker` role.
    pub broker_role: String,
}

/// The function's routes.
pub fn routes(function: ReadWorkspace) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(key))
        .routes(routes!(key_policy))
        .routes(routes!(secrets::list))
        .routes(routes!(audit::list))
        .with_state(Arc::new(function))
}

/// Shows the workspace's key.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace}/key", operation_id = "showKey",
    params(OfWorkspace),
    responses((status = 200, description = "The key binding, and what the key was last seen to be.", body = ShownKey), ReadProblems)
)]
async fn key(State(this): State<Arc<ReadWorkspace>>, call: Call) -> Result<Response, Problem> {
    let query = call.query(&[]);
    let need = Need {
        state: true,
        ..Need::new(call.param("workspace"), Permission::Read)
    };
    let admitted = this.api.admit(&call.headers, need).await?;
    query?;
    let binding = admitted.binding()?;
    let state = admitted.records.state.as_ref();
    Ok(json(
        StatusCode::OK,
        ShownKey {
            key: binding.current.as_ref().map(ToString::to_string),
            former: binding.former.iter().map(ToString::to_string).collect(),
            revision: binding.revision.number(),
            changed_at: rfc3339(binding.changed_at),
            state: state.map_or("unbound", |state| state.state.as_str()),
            since: state.map(|state| rfc3339(state.since)),
            evidence: state.map(|state| state.evidence.clone()),
            frozen: admitted
                .records
                .freeze
                .as_ref()
                .is_some_and(|freeze| freeze.frozen),
        },
    ))
}

/// Writes what the customer pastes into the key's policy.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace}/key/policy", operation_id = "showKeyPolicy",
    params(OfWorkspace, ("format" = Option<String>, Query, description = "`json`, also if left out.", pattern = "^json$")),
    responses((status = 200, description = "The statements, the grant, and the statement that cuts.", body = ShownKeyPolicy), ReadProblems)
)]
async fn key_policy(
    State(this): State<Arc<ReadWorkspace>>,
    call: Call,
) -> Result<Response, Problem> {
    let query = call.query(&["format"]);
    let need = Need::new(call.param("workspace"), Permission::Read);
    let admitted = this.api.admit(&call.headers, need).await?;
    if query?.get("format").is_some_and(|format| format != "json") {
        return Err(Problem::invalid("format", "json"));
    }
    let policy = KeyPolicy {
        role: &this.broker_role,
        broker: &this.api.broker,
        workspace: &admitted.caller.workspace,
    };
    Ok(json(
        StatusCode::OK,
        ShownKeyPolicy {
            role: policy.role.to_owned(),
            statements: policy.statements(),
            grant: policy.grant(),
            cut: policy.cut(),
        },
    ))
}

/// How many items a page has: the query's `limit`, or 50.
fn limit(text: Option<&String>) -> Result<u32, Problem> {
    match text.map(|text| text.parse()) {
        None => Ok(50),
        Some(Ok(number @ 1..=100)) => Ok(number),
        Some(_) => Err(Problem::invalid("limit", "1 to 100")),
    }
}
