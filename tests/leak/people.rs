//! The stack, the people of one workspace, and everything that they are answered.

use crate::{
    cases, failures,
    search::{May, Search},
};
use api::edge::{self, Invoke, answer_event};
use axum::{Router, body::Bytes, extract::State, http::Uri, routing::post};
use base64::{Engine, prelude::BASE64_STANDARD};
use envelope::WorkspaceId;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::Full;
use local::{
    Customer, Stack, StackConfig,
    cast::Role,
    client::{self, Answer},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
};
use time::{Duration, OffsetDateTime};
use tokio::net::TcpListener;

/// The way in which requests come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edge {
    Http,
    Lambda,
}

/// What the upstream saw of one request.
pub(crate) struct Seen {
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// All that is shared by both edges' people.
pub(crate) struct World {
    pub(crate) stack: Stack,
    pub(crate) document: Value,
    pub(crate) upstream: SocketAddr,
    pub(crate) search: Mutex<Search>,
    pub(crate) visited: Mutex<BTreeSet<String>>,
    pub(crate) answered: Mutex<BTreeSet<String>>,
    pub(crate) moved: Arc<AtomicI64>,
    seen: Arc<Mutex<Vec<Seen>>>,
    answers: Mutex<Vec<(String, Vec<u8>)>>,
    report: Mutex<Vec<String>>,
}

/// One workspace's people, at one edge.
pub(crate) struct People<'w> {
    pub(crate) world: &'w World,
    pub(crate) edge: Edge,
    pub(crate) workspace: WorkspaceId,
    pub(crate) token: String,
    pub(crate) customer: Customer,
    pub(crate) key: String,
}

/// One request.
#[derive(Clone, Default)]
pub(crate) struct Sent {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

/// The canary in what the upstream answers.
pub(crate) const ANSWER: &str = "canary of the upstream's answer: \"account/1234+5678\"";

/// Does it all, and leaves what is wrong in `report`.
pub(crate) fn run(folder: &Path) {
    api::log::start();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let report = runtime.block_on(drive(folder));
    fs::write(folder.join("report"), report.join("\n")).unwrap();
}

async fn drive(folder: &Path) -> Vec<String> {
    let state = folder.join("state");
    let world = World::start(&state).await;
    let mut all = Vec::new();
    for edge in [Edge::Http, Edge::Lambda] {
        let people = world.open(edge, "a").await;
        let stranger = world.open(edge, "b").await;
        cases::successes(&people).await;
        failures::all(&people, &stranger).await;
        all.push(people);
    }
    cases::under_the_runtime(&all[1]).await;
    panics(&world).await;
    // While the files are open: the write-ahead log is one of them.
    world.search_folder(&state);
    for people in &all {
        failures::without_audit(people).await;
    }
    for people in &all {
        failures::without_table(people).await;
    }
    world.complete();
    let World {
        stack,
        search,
        answers,
        report,
        ..
    } = world;
    stack.stop().await;
    let (search, mut report) = (search.into_inner().unwrap(), report.into_inner().unwrap());
    for (what, bytes) in answers.into_inner().unwrap() {
        report.extend(told(
            &search,
            &format!("the answer to {what}"),
            &bytes,
            true,
        ));
    }
    report.extend(search_files(&search, &state));
    std::io::stdout().flush().unwrap();
    let output = fs::read(folder.join("output")).unwrap();
    report.extend(told(&search, "the log", &output, false));
    report.extend(quiet(&output));
    report.extend((search.canaries() < 20).then(|| "too few canaries".to_owned()));
    report.sort();
    report.dedup();
    report
}

/// What shows that the log was not loud: nothing would be found in silence.
fn quiet(output: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(output);
    [
        "\"level\":\"DEBUG\"",
        "\"message\":\"answered\"",
        "\"message\":\"panic\"",
        "\"code\":\"integrity_failure\"",
    ]
    .into_iter()
    .filter(|line| !text.contains(line))
    .map(|line| format!("the log has no {line}"))
    .collect()
}

fn told(search: &Search, place: &str, bytes: &[u8], is_answer: bool) -> Vec<String> {
    let found = search.find(bytes, is_answer);
    found
        .iter()
        .map(|(canary, form)| format!("{place} tells {canary} ({form})"))
        .collect()
}

fn search_files(search: &Search, folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for path in files(folder) {
        let bytes = fs::read(&path).unwrap_or_default();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        found.extend(told(search, &format!("the file {name}"), &bytes, false));
    }
    found
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

impl World {
    async fn start(state: &Path) -> Self {
        let moved = Arc::new(AtomicI64::new(0));
        let clock = Arc::clone(&moved);
        let config = StackConfig {
            clock: api::Clock::from_fn(move || {
                OffsetDateTime::now_utc() + Duration::seconds(clock.load(Ordering::SeqCst))
            }),
            ..StackConfig::on_free_ports(state)
        };
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut search = Search::default();
        search.add("the upstream's answer", ANSWER.as_bytes(), May::BeAnswered);
        Self {
            stack: Stack::start(config).await.unwrap(),
            document: json!(local::openapi().unwrap()),
            upstream: upstream(Arc::clone(&seen)).await,
            search: Mutex::new(search),
            visited: Mutex::default(),
            answered: Mutex::default(),
            moved,
            seen,
            answers: Mutex::default(),
            report: Mutex::default(),
        }
    }

    /// Opens a workspace as the operator, and binds its key.
    async fn open(&self, edge: Edge, letter: &str) -> People<'_> {
        let name = format!("{edge:?}-{letter}").to_lowercase();
        let event = json!({"workspace": name}).to_string();
        let answer = match edge {
            Edge::Http => {
                let credential = format!(
                    "AWS4-HMAC-SHA256 Credential={}/x",
                    Role::Operator.access_key_id()
                );
                let request = Request::builder()
                    .method("POST")
                    .uri("/2015-03-31/functions/open-workspace/invocations")
                    .header("authorization", credential)
                    .body(Full::new(Bytes::from(event)))
                    .unwrap();
                client::send(self.stack.http, request).await.unwrap().json()
            }
            Edge::Lambda => {
                let invoke: &Invoke = &self.stack.invocable["open-workspace"];
                answer_event(Router::new(), Some(Arc::clone(invoke)), &event).await
            }
        };
        let token = answer["token"].as_str().unwrap().to_owned();
        self.canary(&format!("{name}'s first token"), secret_of(&token));
        self.keep("open-workspace", told_once(&answer.to_string(), &token));
        let customer = self.stack.customer(Role::Customer);
        let key = customer.create_key().unwrap();
        let people = People {
            world: self,
            edge,
            workspace: WorkspaceId::parse(&name).unwrap(),
            token,
            customer,
            key,
        };
        people.grant();
        people
    }

    /// Something that must be found nowhere.
    pub(crate) fn canary(&self, name: &str, text: impl AsRef<[u8]>) {
        let mut search = self.search.lock().unwrap();
        search.add(name, text.as_ref(), May::Nowhere);
    }

    /// Something that is wrong.
    pub(crate) fn wrong(&self, what: impl Into<String>) {
        self.report.lock().unwrap().push(what.into());
    }

    /// What the upstream saw so far, which is then forgotten.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    /// Keeps an answer, to be searched.
    pub(crate) fn keep(&self, what: &str, answer: Vec<u8>) {
        self.answers.lock().unwrap().push((what.to_owned(), answer));
    }

    fn search_folder(&self, state: &Path) {
        let names: Vec<String> = files(state)
            .iter()
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        for file in ["broker.sqlite", "cloudtrail.jsonl"] {
            if !names.iter().any(|name| name == file) {
                self.wrong(format!("there is no {file} among {names:?}"));
            }
        }
        // A store that hides its text would hide a canary as well.
        let stored = files(state)
            .iter()
            .filter(|path| path.to_string_lossy().contains("sqlite"))
            .any(|path| contains(&fs::read(path).unwrap(), b"W#http-a"));
        if !stored {
            self.wrong("no file of the table shows a text that must be in it");
        }
        let found = search_files(&self.search.lock().unwrap(), state);
        self.report.lock().unwrap().extend(found);
    }

    /// Every operation succeeded, and every code was answered that can be made to happen.
    fn complete(&self) {
        let visited = self.visited.lock().unwrap();
        for id in cases::operations(&self.document) {
            for edge in [Edge::Http, Edge::Lambda] {
                if !visited.contains(&format!("{edge:?} {}", id.id)) {
                    self.wrong(format!("{} has no success case over {edge:?}", id.id));
                }
            }
        }
        let answered = self.answered.lock().unwrap();
        for code in failures::CODES {
            if !answered.contains(code) {
                self.wrong(format!("{code} was never answered"));
            }
        }
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
        assert!(answer.status.is_success(), "{operation}");
        answer.json()
    }
}

impl People<'_> {
    pub(crate) fn grant(&self) {
        self.customer
            .grant(&self.key, &self.world.stack.broker, &self.workspace)
            .unwrap();
    }

    /// Sends one request through the people's edge, and keeps all of its answer.
    pub(crate) async fn send(&self, what: &str, sent: &Sent) -> Answer {
        let (answer, raw) = self.exchange(sent).await;
        self.keep(what, &answer, raw);
        answer
    }

    /// The same, where the answer tells a token that was made just now.
    pub(crate) async fn send_for_token(&self, what: &str, sent: &Sent) -> Answer {
        let (mut answer, raw) = self.exchange(sent).await;
        let body = answer.json();
        let Some(token) = body["token"].as_str() else {
            self.keep(what, &answer, raw);
            return answer;
        };
        self.world.canary(
            &format!("a token made over {:?}", self.edge),
            secret_of(token),
        );
        self.keep_without(what, &mut answer, raw, token);
        answer
    }

    /// The same, where the answer tells a secret that it may tell.
    pub(crate) async fn send_for_value(&self, what: &str, sent: &Sent) -> Answer {
        let (mut answer, raw) = self.exchange(sent).await;
        let body = answer.json();
        match body["value"].as_str() {
            Some(value) => self.keep_without(what, &mut answer, raw, value),
            None => self.keep(what, &answer, raw),
        }
        answer
    }

    /// Keeps an answer without what it rightly tells, once.
    fn keep_without(&self, what: &str, answer: &mut Answer, raw: Option<String>, told: &str) {
        let whole = std::mem::take(&mut answer.body);
        answer.body = told_once(&String::from_utf8_lossy(&whole), told).into();
        let raw = raw.map(|raw| String::from_utf8(told_once(&raw, told)).unwrap());
        self.keep(what, answer, raw);
        answer.body = whole;
    }

    fn keep(&self, what: &str, answer: &Answer, raw: Option<String>) {
        let what = format!("{what} over {:?}", self.edge);
        let mut all = format!("{} {:?} ", answer.status, answer.headers).into_bytes();
        all.extend_from_slice(&answer.body);
        all.extend(raw.into_iter().flat_map(String::into_bytes));
        self.world.keep(&what, all);
    }

    async fn exchange(&self, sent: &Sent) -> (Answer, Option<String>) {
        match self.edge {
            Edge::Http => {
                let target = match sent.query.as_str() {
                    "" => sent.path.clone(),
                    query => format!("{}?{query}", sent.path),
                };
                let mut request = Request::builder().method(sent.method.as_str()).uri(target);
                for (name, value) in &sent.headers {
                    request = request.header(*name, value);
                }
                let body = Full::new(Bytes::from(sent.body.clone()));
                let request = request.body(body).unwrap();
                (
                    client::send(self.world.stack.http, request).await.unwrap(),
                    None,
                )
            }
            Edge::Lambda => {
                let event = event(sent);
                let answered = answer_event(self.world.stack.router.clone(), None, &event).await;
                (answer_of(&answered), Some(answered.to_string()))
            }
        }
    }
}

/// What is secret of a token: the rest is its workspace's name.
pub(crate) fn secret_of(token: &str) -> &str {
    &token[token.len() - 43..]
}

/// An answer without the token or the secret that it rightly tells, once.
pub(crate) fn told_once(text: &str, told: &str) -> Vec<u8> {
    assert_eq!(text.matches(told).count(), 1, "it is told once");
    text.replace(told, "").into_bytes()
}

/// A request as an event.
pub(crate) fn event(sent: &Sent) -> String {
    let headers: serde_json::Map<String, Value> = sent
        .headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!(value)))
        .collect();
    json!({
        "version": "2.0",
        "rawPath": sent.path,
        "rawQueryString": sent.query,
        "headers": headers,
        "requestContext": {"stage": "$default", "http": {"method": sent.method}},
        "body": BASE64_STANDARD.encode(&sent.body),
        "isBase64Encoded": true,
    })
    .to_string()
}

/// What an event's answer says.
pub(crate) fn answer_of(event: &Value) -> Answer {
    let headers = event["headers"].as_object().unwrap().iter();
    let body = event["body"].as_str().unwrap();
    let status = event["statusCode"].as_u64().unwrap();
    Answer {
        status: StatusCode::from_u16(status.try_into().unwrap()).unwrap(),
        headers: headers
            .map(|(name, value)| {
                let name: HeaderName = name.parse().unwrap();
                let value: HeaderValue = value.as_str().unwrap().parse().unwrap();
                (name, value)
            })
            .collect(),
        body: match event["isBase64Encoded"].as_bool().unwrap() {
            true => BASE64_STANDARD.decode(body).unwrap().into(),
            false => Bytes::from(body.to_owned()),
        },
    }
}

/// An upstream that answers with a canary of its own; under `/echo`, with the
/// secret that it was sent, in its head and in its body.
async fn upstream(seen: Arc<Mutex<Vec<Seen>>>) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = |State(seen): State<Arc<Mutex<Vec<Seen>>>>,
                  uri: Uri,
                  headers: HeaderMap,
                  body: Bytes| async move {
        let told = match uri.path().ends_with("/echo") {
            true => {
                let slot = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into();
                let header: String = headers.get("authorization").map_or_else(String::new, slot);
                let parameters = uri.query().unwrap_or_default().split('&');
                let parameter = parameters
                    .filter(|it| it.starts_with("k="))
                    .collect::<String>();
                format!("{header} {parameter}")
            }
            false => ANSWER.to_owned(),
        };
        seen.lock().unwrap().push(Seen { uri, headers, body });
        ([("x-answer", told.clone())], told)
    };
    let routes = Router::new().fallback(answer).with_state(seen);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    address
}

/// Code that panics with something secret in its words.
async fn panics(world: &World) {
    let text = "canary in the text of a panic: sk/live+0123456789";
    world.canary("a panic's text", text);
    let routes = edge::finish(
        Router::new()
            .route(
                "/panic",
                post(|body: Bytes| async move {
                    let text = String::from_utf8(body.to_vec()).unwrap();
                    assert!(text.is_empty(), "what broke was {text}");
                }),
            )
            .route(
                "/unwrap",
                post(|body: Bytes| async move {
                    let parsed: Result<Value, String> = serde_json::from_slice(&body)
                        .map_err(|_| String::from_utf8(body.to_vec()).unwrap());
                    parsed.expect("what is sent here is JSON");
                }),
            ),
    );
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(edge::serve(
        listener,
        routes.clone(),
        std::future::pending(),
    ));
    for path in ["/panic", "/unwrap"] {
        let sent = Sent {
            method: "POST".to_owned(),
            path: path.to_owned(),
            body: text.as_bytes().to_vec(),
            ..Sent::default()
        };
        let request = Request::post(path)
            .body(Full::new(Bytes::from(text)))
            .unwrap();
        let over_http = client::send(address, request).await.unwrap();
        let event = answer_event(routes.clone(), None, &event(&sent)).await;
        for (answer, raw) in [
            (over_http, String::new()),
            (answer_of(&event), event.to_string()),
        ] {
            if answer.header("byok-error") != "internal" {
                world.wrong(format!(
                    "{path} was not answered as a fault of the broker's own"
                ));
            }
            let kept = [
                answer.body.to_vec(),
                format!("{:?}{raw}", answer.headers).into_bytes(),
            ];
            world.keep(path, kept.concat());
        }
    }
    let invoke: Invoke = Arc::new(|event| panic!("what broke was {event}"));
    let event = json!({"secret": text}).to_string();
    let answer = answer_event(Router::new(), Some(invoke), &event).await;
    world.keep(
        "a panic in a direct invocation",
        answer.to_string().into_bytes(),
    );
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}
