//! All functions in one process, each with the credentials of its own role, and
//! all their routes on one port.

use crate::{
    cast::{AUDIT_TABLE, BROKER_ID, BROKER_ROLE, REGION, Role, TABLE},
    keys::DeploymentKeys,
    rewraps::Rewraps,
};
use api::{
    Api, Clock, Macs,
    edge::{self, Invoke},
};
use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use egress::{AddressGuard, Dialler, Limits, Resolve, Roots, RootsError, SystemResolver};
use envelope::{BrokerId, InvalidId, RecordKind, aws::AwsAccess, kms::Kms};
use http::{HeaderMap, StatusCode, header};
use serde_json::{json, value::RawValue};
use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};
use store::{Store, StoreConfig};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

/// How long a use may take if its caller does not say.
const USE_TIME: Duration = Duration::from_secs(20);
/// The same for a pass-through: what Lambda allows at the most.
const STREAM_TIME: Duration = Duration::from_secs(15 * 60);

/// Where the functions' surroundings are.
pub(crate) struct Surroundings {
    pub(crate) kms: SocketAddr,
    pub(crate) dynamodb: SocketAddr,
    pub(crate) keys: DeploymentKeys,
    pub(crate) permissive_keys: bool,
    pub(crate) rewraps: Rewraps,
    pub(crate) seats: use_secret::Seats,
    pub(crate) clock: Clock,
    pub(crate) guard: AddressGuard,
    pub(crate) resolver: Arc<dyn Resolve>,
}

/// The functions, ready to be served or invoked.
pub(crate) struct Functions {
    pub(crate) router: Router,
    pub(crate) invocable: HashMap<&'static str, Invoke>,
    routes: Vec<Route>,
    document: OpenApi,
}

/// A route, and the function that answers it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// The function, as its program is called.
    pub function: &'static str,
    /// The method, in capitals.
    pub method: String,
    /// The path, its parameters in braces.
    pub path: String,
}

/// Why the functions could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// A name is not of its grammar.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// The machine has no root certificates.
    #[error(transparent)]
    Roots(#[from] RootsError),
}

impl Surroundings {
    /// Puts all functions together.
    pub(crate) fn assemble(self) -> Result<Functions, AssembleError> {
        let broker = BrokerId::parse(BROKER_ID)?;
        let shared = AwsAccess::new(
            Role::Broker.access_key_id(),
            &Role::Broker.secret_access_key(),
            None,
        );
        let own_keys = |role: Role| {
            let access = shared.as_role(role.access_key_id(), &role.secret_access_key());
            Kms::new(access, Some(format!("http://{}", self.kms)))
        };
        let keys = &self.keys;
        let token_mac = |role| {
            own_keys(role).make_mac(RecordKind::Token, keys.token_mac.clone(), broker.clone())
        };
        let binding_mac = |role| {
            own_keys(role).make_mac(
                RecordKind::Binding,
                keys.binding_mac.clone(),
                broker.clone(),
            )
        };
        let job_keys = own_keys(Role::Broker);
        let api = |role: Role| Api {
            macs: Macs::new(
                &own_keys(role),
                &broker,
                keys.token_mac.clone(),
                keys.binding_mac.clone(),
            ),
            store: Store::new(StoreConfig {
                access: shared.as_role(role.access_key_id(), &role.secret_access_key()),
                region: REGION.to_owned(),
                endpoint: Some(format!("http://{}", self.dynamodb)),
                table: TABLE.to_owned(),
                audit_table: AUDIT_TABLE.to_owned(),
            }),
            broker: broker.clone(),
            clock: self.clock.clone(),
        };
        let kms = own_keys(Role::Broker).with_canary(keys.canary.clone(), &broker);
        let deployment_key = keys.deployment.clone();
        let rewrap = Arc::new(rewrap_secrets::RewrapSecrets {
            api: api(Role::Broker),
            rewrap: kms.rewrap(),
            job_mac: job_keys.make_mac(RecordKind::Job, keys.job_mac.clone(), broker.clone()),
            check_job: job_keys.check_mac(RecordKind::Job, keys.job_mac.clone(), broker.clone()),
            deployment_key: deployment_key.clone(),
            rate: self.rewraps.rate,
            run: self.rewraps.run,
        });
        let dialler = Dialler::new(self.guard, Limits::default(), self.resolver, Roots::Native)?;

        let use_secret = Arc::new(use_secret::UseSecret {
            api: api(Role::Broker),
            unwrap: kms.unwrap(),
            dialler,
            time: USE_TIME,
            stream_time: STREAM_TIME,
            bulkhead: use_secret::Bulkhead::new(self.seats),
            deployment_key: deployment_key.clone(),
        });

        let functions = [
            (
                "set-workspace-key",
                set_workspace_key::routes(set_workspace_key::SetWorkspaceKey {
                    api: api(Role::Broker),
                    wrap: kms.wrap(),
                    unwrap: kms.unwrap(),
                    inspect: kms.inspect(),
                    probe: kms.probe(),
                    binding_mac: binding_mac(Role::Broker),
                    broker_role: BROKER_ROLE.to_owned(),
                    deployment_key: deployment_key.clone(),
                    accepts_permissive: self.permissive_keys,
                }),
            ),
            (
                "put-secret",
                put_secret::routes(put_secret::PutSecret {
                    api: api(Role::Broker),
                    wrap: kms.wrap(),
                    deployment_key: deployment_key.clone(),
                }),
            ),
            ("use-secret", use_secret::routes(Arc::clone(&use_secret))),
            ("use-secret-stream", use_secret::pass_through(use_secret)),
            (
                "rewrap-secrets",
                rewrap_secrets::routes(Arc::clone(&rewrap)),
            ),
            (
                "delete-secret",
                delete_secret::routes(delete_secret::DeleteSecret {
                    api: api(Role::DeleteSecret),
                }),
            ),
            (
                "read-workspace",
                read_workspace::routes(read_workspace::ReadWorkspace {
                    api: api(Role::ReadWorkspace),
                    check_job: own_keys(Role::ReadWorkspace).check_mac(
                        RecordKind::Job,
                        keys.job_mac.clone(),
                        broker.clone(),
                    ),
                    broker_role: BROKER_ROLE.to_owned(),
                }),
            ),
            (
                "manage-tokens",
                manage_tokens::routes(manage_tokens::ManageTokens {
                    api: api(Role::ManageTokens),
                    token_mac: token_mac(Role::ManageTokens),
                }),
            ),
        ];
        let listed = functions
            .iter()
            .flat_map(|(function, routes)| Route::of(function, routes.get_openapi()))
            .collect();
        let (routes, mut document) = functions
            .into_iter()
            .fold(OpenApiRouter::new(), |all, (_, routes)| all.merge(routes))
            .split_for_parts();
        api::openapi::complete(&mut document);
        let shown = Bytes::from(json!(document).to_string());
        let show = || async move { ([(header::CONTENT_TYPE, "application/json")], shown) };
        let routes = routes.route("/openapi.json", get(show));
        let open = open_workspace::OpenWorkspace {
            api: api(Role::OpenWorkspace),
            token_mac: token_mac(Role::OpenWorkspace),
            binding_mac: binding_mac(Role::OpenWorkspace),
        }
        .invoke();
        let invocable = HashMap::from([
            ("open-workspace", open),
            ("rewrap-secrets", rewrap_secrets::invoke(rewrap)),
        ]);
        Ok(Functions {
            router: edge::finish(routes).merge(lambda(invocable.clone())),
            invocable,
            routes: listed,
            document,
        })
    }
}

/// Every route that the functions document.
///
/// # Errors
/// The functions could not be put together.
pub fn routes() -> Result<Vec<Route>, AssembleError> {
    Ok(nowhere()?.routes)
}

/// The API's document, as `GET /openapi.json` gives it.
///
/// # Errors
/// The functions could not be put together.
pub fn openapi() -> Result<OpenApi, AssembleError> {
    Ok(nowhere()?.document)
}

fn nowhere() -> Result<Functions, AssembleError> {
    // Nothing is asked before a request comes, so nothing need be there.
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let surroundings = Surroundings {
        kms: nowhere,
        dynamodb: nowhere,
        keys: DeploymentKeys::nowhere()?,
        permissive_keys: false,
        rewraps: Rewraps::default(),
        seats: use_secret::Seats::default(),
        clock: Clock::system(),
        guard: AddressGuard::default(),
        resolver: Arc::new(SystemResolver),
    };
    surroundings.assemble()
}

impl Route {
    fn of(function: &'static str, document: &OpenApi) -> Vec<Self> {
        let document = json!(document);
        let paths = document["paths"].as_object().into_iter().flatten();
        paths
            .flat_map(|(path, methods)| {
                let methods = methods.as_object().into_iter().flatten();
                methods.map(move |(method, _)| Self {
                    function,
                    method: method.to_ascii_uppercase(),
                    path: path.clone(),
                })
            })
            .collect()
    }
}

/// Lambda's Invoke (AWS Lambda API Reference, "Invoke"), for what has no route.
/// On AWS IAM says who may; here it takes the operator's access key.
fn lambda(invocable: HashMap<&'static str, Invoke>) -> Router {
    Router::new()
        .route("/2015-03-31/functions/{name}/invocations", post(invoke))
        .with_state(Arc::new(invocable))
}

async fn invoke(
    State(invocable): State<Arc<HashMap<&'static str, Invoke>>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let refuse = |status: StatusCode, kind: &'static str, message: &str| {
        (
            status,
            [("x-amzn-errortype", kind)],
            json!({"Message": message}).to_string(),
        )
            .into_response()
    };
    let credential = format!("Credential={}/", Role::Operator.access_key_id());
    let signed = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("AWS4-HMAC-SHA256 ") && value.contains(&credential));
    if !signed {
        return refuse(
            StatusCode::FORBIDDEN,
            "AccessDeniedException",
            "Only the operator may invoke functions.",
        );
    }
    let Some(function) = invocable.get(name.as_str()) else {
        return refuse(
            StatusCode::NOT_FOUND,
            "ResourceNotFoundException",
            "There is no such function without a route.",
        );
    };
    let Ok(event) = serde_json::from_slice::<&RawValue>(&body) else {
        return refuse(
            StatusCode::BAD_REQUEST,
            "InvalidRequestContentException",
            "The payload is not JSON.",
        );
    };
    let answer = edge::answer_event(Router::new(), Some(function.clone()), event.get()).await;
    (
        [
            (header::CONTENT_TYPE, "application/json"),
            (header::CACHE_CONTROL, "no-store"),
        ],
        answer.to_string(),
    )
        .into_response()
}
