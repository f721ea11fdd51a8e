//! The stack under test, and the people who use it.
//!
//! One stack serves all tests of the process, each with a workspace of its own;
//! a test that breaks a server or moves the clock starts a stack for itself.
//!
//! `BYOK_TEST_EDGE` says where requests go in:
//!
//! - `router`, or nothing: straight into the router;
//! - `http`: over a connection to the served port;
//! - `lambda`: to the functions themselves, under `cargo lambda watch` on
//!   `BYOK_TEST_LAMBDA`, which expect the KMS and the tables on `BYOK_TEST_KMS` and
//!   `BYOK_TEST_DYNAMODB`, with the state in `BYOK_TEST_STATE`. The pass-through goes to its function URL, as on AWS. A
//!   stack of one test's own has other ports, clocks or names than those functions
//!   know, so its requests go into the router all the same.

use axum::body::Body;
use bytes::Bytes;
use envelope::{RecordKind, WorkspaceId, aws::AwsAccess, kms::Kms};
use futures_util::FutureExt;
use http::Request;
use http_body_util::{BodyExt, Full};
use local::{
    Customer, Stack, StackConfig, Upstream,
    cast::{BROKER_ROLE, Role},
    client::{self, Answer},
};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicI64, AtomicU32, Ordering},
    },
};
use store::{Actor, AuditEntry, AuditKind, ReceiptId, TokenRecord};
use time::{Duration, OffsetDateTime};
use tokio::runtime::{Builder, Handle, Runtime};
use tower::ServiceExt;

/// A stack, and the runtime that it lives on.
pub(crate) struct World {
    pub(crate) stack: Stack,
    handle: Handle,
    edge: Edge,
    _runtime: Option<Runtime>,
    _folder: Folder,
}

/// A folder that is removed when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn fresh() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self(
            std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
                .join(format!("byok-api-{}-{number}", std::process::id())),
        )
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl World {
    /// The stack that most tests share.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: LazyLock<World> = LazyLock::new(|| {
            // Connections that are kept open must outlive the test that made them.
            let runtime = Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap();
            let handle = runtime.handle().clone();
            let edge = Edge::from_env();
            let folder = match edge {
                // The functions know the deployment's own keys, which are of this state.
                Edge::Lambda(_) => Folder(std::env::var_os("BYOK_TEST_STATE").unwrap().into()),
                Edge::Router | Edge::Http => Folder::fresh(),
            };
            let mut config = StackConfig::on_free_ports(&folder.0);
            if matches!(edge, Edge::Lambda(_)) {
                config.kms = address("BYOK_TEST_KMS");
                config.dynamodb = address("BYOK_TEST_DYNAMODB");
            }
            let stack = std::thread::scope(|scope| {
                scope
                    .spawn(|| handle.block_on(Stack::start(config)).unwrap())
                    .join()
                    .unwrap()
            });
            World {
                stack,
                handle,
                edge,
                _runtime: Some(runtime),
                _folder: folder,
            }
        });
        &SHARED
    }

    /// A stack for one test alone, whose clock and names it may choose.
    pub(crate) async fn own(change: impl FnOnce(StackConfig) -> StackConfig) -> Self {
        let folder = Folder::fresh();
        let stack = Stack::start(change(StackConfig::on_free_ports(&folder.0)))
            .await
            .unwrap();
        Self {
            stack,
            handle: Handle::current(),
            edge: match Edge::from_env() {
                Edge::Http => Edge::Http,
                Edge::Router | Edge::Lambda(_) => Edge::Router,
            },
            _runtime: None,
            _folder: folder,
        }
    }

    /// A stack for one test alone whose clock is ahead by as many seconds as the
    /// number says that comes with it.
    pub(crate) async fn with_moved_clock() -> (Self, Arc<AtomicI64>) {
        let ahead = Arc::new(AtomicI64::new(0));
        let seconds = Arc::clone(&ahead);
        let world = Self::own(|config| StackConfig {
            clock: api::Clock::from_fn(move || {
                OffsetDateTime::now_utc() + Duration::seconds(seconds.load(Ordering::SeqCst))
            }),
            ..config
        })
        .await;
        (world, ahead)
    }

    /// Sends one request through the edge.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        match self.edge {
            Edge::Router => {}
            Edge::Http => return client::send(self.stack.http, request).await.unwrap(),
            Edge::Lambda(watch) => return client::send(watch, to_function(request)).await.unwrap(),
        }
        let router = self.stack.router.clone();
        let task = self.handle.spawn(async move {
            let (parts, body) = router
                .oneshot(request.map(Body::new))
                .await
                .unwrap()
                .into_parts();
            Answer {
                status: parts.status,
                headers: parts.headers,
                body: body.collect().await.unwrap().to_bytes(),
            }
        });
        task.await.unwrap()
    }

    /// Whether a request reaches a function as it is. `cargo lambda watch` passes on
    /// what is text and nothing else; AWS does so with headers.
    pub(crate) fn carries(&self, request: &Request<Full<Bytes>>) -> bool {
        let is_text = |value: &http::HeaderValue| value.to_str().is_ok();
        let body = request.body().clone().collect().now_or_never();
        let body = body.unwrap().unwrap().to_bytes();
        !matches!(self.edge, Edge::Lambda(_))
            || (request.headers().values().all(is_text) && std::str::from_utf8(&body).is_ok())
    }

    /// Whether no function saw the request: as on AWS, what has no route is
    /// answered by the front door, in its own words.
    pub(crate) fn front_door_refused(&self, answer: &Answer) -> bool {
        matches!(self.edge, Edge::Lambda(_))
            && answer.header("byok-request-id").is_empty()
            && [404, 405].contains(&answer.status.as_u16())
    }

    /// Sends JSON, or nothing, with a bearer's token.
    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: Option<Value>,
    ) -> Answer {
        let bytes = body
            .map(|body| Bytes::from(body.to_string()))
            .unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {token}"))
            .body(Full::new(bytes))
            .unwrap();
        self.send(request).await
    }

    /// One call of DynamoDB's own protocol, as someone who can reach the table.
    pub(crate) async fn table(&self, operation: &str, input: Value) -> Value {
        let request = Request::builder()
            .method("POST")
            .uri("/")
            .header("x-amz-target", format!("DynamoDB_20120810.{operation}"))
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-date", "20260101T000000Z")
            .header("authorization", "AWS4-HMAC-SHA256 Credential=THIEF/20260101/eu-west-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0")
            .body(Full::new(Bytes::from(input.to_string())))
            .unwrap();
        let answer = client::send(self.stack.dynamodb, request).await.unwrap();
        assert!(answer.status.is_success(), "{operation}: {}", answer.json());
        answer.json()
    }

    /// Writes a token as manage-tokens would, without its rules.
    pub(crate) async fn write_token(&self, workspace: &WorkspaceId, token: &TokenRecord) {
        let role = Role::ManageTokens;
        let access = AwsAccess::new(role.access_key_id(), &role.secret_access_key(), None);
        let endpoint = format!("http://{}", self.stack.kms_address);
        let mac = Kms::new(access, Some(endpoint)).make_mac(
            RecordKind::Token,
            self.stack.keys.token_mac.clone(),
            self.stack.broker.clone(),
        );
        let entry = AuditEntry {
            id: ReceiptId::new(token.created_at),
            kind: AuditKind::CreateToken,
            at: token.created_at,
            token: Actor::Operator,
            secret: None,
            version: None,
            request_id: String::new(),
            destination: None,
            method: None,
            detail: std::collections::BTreeMap::new(),
        };
        let store = &self.stack.store;
        store
            .put_token(workspace, token, &mac, None, &entry)
            .await
            .unwrap();
    }

    /// The KMS events about one workspace's secrets and probes, oldest first.
    pub(crate) fn events(&self, workspace: &WorkspaceId) -> Vec<Value> {
        let context = "/requestParameters/encryptionContext/byok:workspace";
        let all = self.stack.kms.events().unwrap();
        all.into_iter()
            .filter(|event| {
                event.pointer(context).and_then(Value::as_str) == Some(workspace.as_str())
            })
            .collect()
    }
}

/// Where requests go in.
#[derive(Clone, Copy)]
enum Edge {
    Router,
    Http,
    Lambda(SocketAddr),
}

impl Edge {
    fn from_env() -> Self {
        match std::env::var("BYOK_TEST_EDGE").as_deref() {
            Ok("router") | Err(_) => Self::Router,
            Ok("http") => Self::Http,
            Ok("lambda") => Self::Lambda(address("BYOK_TEST_LAMBDA")),
            Ok(other) => panic!("BYOK_TEST_EDGE is router, http or lambda, not {other}"),
        }
    }
}

fn address(variable: &str) -> SocketAddr {
    let text = std::env::var(variable).unwrap_or_else(|_| panic!("{variable} must be set"));
    text.parse()
        .unwrap_or_else(|_| panic!("{variable} must be an address like 127.0.0.1:9117"))
}

/// The pass-through has a function URL; all else is routed by path.
fn to_function(mut request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
    let target = request.uri().to_string();
    if target.split('/').nth(4) == Some("via") {
        *request.uri_mut() = format!("/lambda-url/use-secret-stream{target}")
            .parse()
            .unwrap();
    }
    request
}

/// A workspace and its people: its own customer's key, and its first token.
pub(crate) struct Tenant<'w> {
    pub(crate) world: &'w World,
    pub(crate) workspace: WorkspaceId,
    pub(crate) token: String,
    pub(crate) customer: Customer,
    pub(crate) key: String,
}

impl Tenant<'static> {
    /// A workspace of the shared stack, whose key is granted and bound.
    pub(crate) async fn new() -> Self {
        Self::of(World::shared()).await
    }
}

impl<'w> Tenant<'w> {
    /// A workspace whose key is granted and bound.
    pub(crate) async fn of(world: &'w World) -> Self {
        let tenant = Self::unbound(world).await;
        tenant.grant();
        let bound = tenant
            .call("PUT", "/key", Some(json!({"key": tenant.key})))
            .await;
        assert_eq!(bound.status, 200, "{}", bound.json());
        tenant
    }

    /// A workspace with a customer's key that is neither granted nor bound.
    pub(crate) async fn unbound(world: &'w World) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("tenant-{}-x", NUMBER.fetch_add(1, Ordering::Relaxed));
        let answer = open(world, &json!({"workspace": name})).await;
        let customer = world.stack.customer(Role::Customer);
        let key = customer.create_key().unwrap();
        Self {
            world,
            workspace: WorkspaceId::parse(&name).unwrap(),
            token: answer["token"].as_str().unwrap().to_owned(),
            customer,
            key,
        }
    }

    /// Grants the broker the use of the key, and gives the grant's id.
    pub(crate) fn grant(&self) -> String {
        self.customer
            .grant(&self.key, &self.world.stack.broker, &self.workspace)
            .unwrap()
    }

    /// One of the workspace's own paths.
    pub(crate) fn path(&self, path: &str) -> String {
        format!("/v1/workspaces/{}{path}", self.workspace)
    }

    /// A call with the first token.
    pub(crate) async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.world
            .call(method, &self.path(path), &self.token, body)
            .await
    }

    /// A call with another token.
    pub(crate) async fn call_as(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        self.world.call(method, &self.path(path), token, body).await
    }

    /// Makes a token.
    pub(crate) async fn make_token(&self, body: Value) -> String {
        let made = self.call("POST", "/tokens", Some(body)).await;
        assert_eq!(made.status, 201, "{}", made.json());
        made.json()["token"].as_str().unwrap().to_owned()
    }

    /// Puts a text that may go to all of an upstream, as a bearer's token.
    pub(crate) async fn put(&self, name: &str, value: &str, upstream: &Upstream) -> Answer {
        let put = self
            .call(
                "PUT",
                &format!("/secrets/{name}"),
                Some(put_body(value, upstream)),
            )
            .await;
        assert_eq!(put.status, 201, "{}", put.json());
        put
    }

    /// Uses a secret in one request to an upstream.
    pub(crate) async fn use_once(&self, name: &str, upstream: &Upstream) -> Answer {
        let body = json!({"request": {"method": "GET", "url": upstream.url("/v1/thing")}});
        self.call("POST", &format!("/secrets/{name}/use"), Some(body))
            .await
    }

    /// The key's default policy with more statements.
    pub(crate) fn key_policy(&self, more: &[Value]) -> Value {
        let account = self.key.split(':').nth(4).unwrap();
        let mut statements = vec![json!({
            "Sid": "Owner",
            "Effect": "Allow",
            "Principal": {"AWS": format!("arn:aws:iam::{account}:root")},
            "Action": "kms:*",
            "Resource": "*",
        })];
        statements.extend_from_slice(more);
        json!({"Version": "2012-10-17", "Statement": statements})
    }

    /// Pastes a key policy.
    pub(crate) fn paste(&self, policy: &Value) {
        let input =
            json!({"KeyId": self.key, "PolicyName": "default", "Policy": policy.to_string()});
        self.customer.call("PutKeyPolicy", input).unwrap();
    }
}

/// The body of a put of a text that may go to all of an upstream.
pub(crate) fn put_body(value: &str, upstream: &Upstream) -> Value {
    json!({"value": value, "policy": {"destinations": [{"url": upstream.url("/")}]}})
}

/// Asks until it is so; fails after half a minute.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    while !is_so().await {
        assert!(
            tokio::time::Instant::now() < deadline,
            "not within half a minute: {what}"
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// Invokes open-workspace as the operator.
pub(crate) async fn open(world: &World, event: &Value) -> Value {
    let credential = format!(
        "AWS4-HMAC-SHA256 Credential={}/x",
        Role::Operator.access_key_id()
    );
    let request = Request::builder()
        .method("POST")
        .uri("/2015-03-31/functions/open-workspace/invocations")
        .header("authorization", credential)
        .body(Full::new(Bytes::from(event.to_string())))
        .unwrap();
    world.send(request).await.json()
}

/// The Deny statement that cuts every job of the broker.
pub(crate) fn deny() -> Value {
    json!({"Sid": "Cut", "Effect": "Deny", "Principal": {"AWS": BROKER_ROLE}, "Action": "kms:*", "Resource": "*"})
}

/// An answer's code, as `byok-error` has it; empty for a success.
pub(crate) fn code(answer: &Answer) -> &str {
    answer.header("byok-error")
}

/// Whether bytes hold a text.
pub(crate) fn holds(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}
