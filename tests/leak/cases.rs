//! What is sent: for each operation of the document a success, and failures of
//! every kind, each with canaries wherever a caller can put something.

use crate::{
    people::{ANSWER, Edge, People, Seen, Sent, answer_of, event, told_once},
    runtime::Function,
    schema,
};
use futures_util::future::join_all;
use local::client::Answer;
use local_kms::{Fault, FaultKind};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

/// Those codes that the cases bring about. The others are of the same making: a
/// state of the key, a freeze, a race.
pub(crate) const CODES: [&str; 16] = [
    "invalid_request",
    "unauthenticated",
    "destination_denied",
    "not_found",
    "method_not_allowed",
    "conflict",
    "no_workspace_key",
    "secret_expired",
    "precondition_failed",
    "too_large",
    "key_access_denied",
    "kms_throttled",
    "integrity_failure",
    "upstream_unreachable",
    "audit_unavailable",
    "store_unavailable",
];

/// One operation of the document.
#[derive(Clone)]
pub(crate) struct Operation {
    pub(crate) id: String,
    method: String,
    path: String,
    described: Value,
}

/// Every operation.
pub(crate) fn operations(document: &Value) -> Vec<Operation> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap();
            methods.iter().map(move |(method, described)| Operation {
                id: described["operationId"].as_str().unwrap().to_owned(),
                method: method.to_ascii_uppercase(),
                path: path.clone(),
                described: described.clone(),
            })
        })
        .collect()
}

/// A canary of these people, of visible ASCII with something to escape in it.
fn canary(people: &People<'_>, kind: &str) -> String {
    let edge = people.edge;
    // Its beginning and its end tell whose it is.
    let text = format!("{edge:?}:{kind}+\"canary\\of/\"%41=&~<>{kind}:{edge:?}");
    people.world.canary(&format!("{kind} over {edge:?}"), &text);
    text
}

/// The same for a query, where it must be encoded.
fn encoded(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02X}")).collect()
}

fn policy(people: &People<'_>, inject: Value) -> Value {
    let url = format!("http://{}/v1/", people.world.upstream);
    json!({"destinations": [{"url": url}], "inject": inject})
}

impl Operation {
    fn is_via(&self) -> bool {
        self.path.contains("/via/")
    }

    /// A request of it, with the first token.
    fn request(&self, people: &People<'_>, name: &str, body: Option<Value>) -> Sent {
        let path = self
            .path
            .replace("{workspace}", people.workspace.as_str())
            .replace("{name}", name)
            .replace("{id}", &"A".repeat(43))
            .replace("{path}", "things");
        Sent {
            method: self.method.clone(),
            path,
            headers: vec![("authorization", format!("Bearer {}", people.token))],
            body: body
                .map(|body| body.to_string().into_bytes())
                .unwrap_or_default(),
            ..Sent::default()
        }
    }

    /// Sends a request, and holds its answer against the document.
    async fn send(&self, people: &People<'_>, kind: &str, sent: &Sent) -> Answer {
        let what = format!("{}, {kind}", self.id);
        let answer = match self.id.as_str() {
            "makeToken" => people.send_for_token(&what, sent).await,
            _ => people.send(&what, sent).await,
        };
        if let Err(why) = self.describes(&people.world.document, &answer) {
            let edge = people.edge;
            people
                .world
                .wrong(format!("{what} over {edge:?}: {}: {why}", answer.status));
        }
        let code = answer.header("byok-error").to_owned();
        people.world.answered.lock().unwrap().insert(code);
        answer
    }

    /// Whether the document says that there is such an answer.
    fn describes(&self, document: &Value, answer: &Answer) -> Result<(), String> {
        let code = answer.header("byok-error");
        let responses = &self.described["responses"];
        let described = match &responses[answer.status.as_str()] {
            Value::Null if code.is_empty() => &responses["default"],
            described => described,
        };
        if described.is_null() {
            return Err(format!("the document knows no such answer ({code})"));
        }
        if !code.is_empty() {
            let codes = described["headers"]["byok-error"]["schema"]["enum"].as_array();
            if !codes.is_some_and(|codes| codes.iter().any(|it| it == code)) {
                return Err(format!("the document does not name {code}"));
            }
        }
        let kind = answer.header("content-type");
        match &described["content"][kind]["schema"] {
            _ if self.method == "HEAD" => Ok(()),
            Value::Null if described["content"].is_null() => Ok(()),
            Value::Null => Err(format!("the document knows no {kind:?}")),
            schema => schema::check(document, schema, &answer.json()),
        }
    }

    /// A body that it takes, as the document describes it.
    fn check_body(&self, people: &People<'_>, sent: &Sent) {
        let described = &self.described["requestBody"]["content"]["application/json"]["schema"];
        if described.is_object() && !sent.body.is_empty() {
            let body = serde_json::from_slice(&sent.body).unwrap();
            if let Err(why) = schema::check(&people.world.document, described, &body) {
                people
                    .world
                    .wrong(format!("{}: its request: {why}", self.id));
            }
        }
    }

    /// Requests that must succeed; `None` for an operation that nobody has thought of here.
    async fn good(&self, people: &People<'_>) -> Option<Vec<Sent>> {
        let plain = |body| vec![self.request(people, "text", body)];
        Some(match self.id.as_str() {
            "bindKey" => plain(Some(json!({"key": people.key}))),
            "putSecret" => puts(people)
                .into_iter()
                .map(|(name, body)| self.request(people, name, Some(body)))
                .collect(),
            "showKey" | "checkKey" | "showKeyPolicy" | "listSecrets" | "showSecret"
            | "listAudit" | "listTokens" => plain(None),
            "makeToken" => plain(Some(
                json!({"permissions": ["read"], "secrets": ["text"], "label": "for a while"}),
            )),
            "revokeToken" => {
                let made = self.another("makeToken", people);
                let body = json!({"permissions": ["read"]});
                let sent = made.request(people, "", Some(body));
                let made = made.send(people, "to be revoked", &sent).await.json();
                let mut sent = self.request(people, "", None);
                sent.path = sent.path.replace(&"A".repeat(43), made["id"].as_str()?);
                vec![sent]
            }
            "useSecret" => ["text", "bytes", "json"]
                .map(|name| self.request(people, name, Some(outbound(people))))
                .into(),
            id if id.starts_with("passThrough") => {
                let mut sent = self.request(people, "text", None);
                sent.query = format!("q={}", encoded(&canary(people, "customer's query")));
                sent.headers
                    .push(("x-customer", canary(people, "customer's header")));
                if !matches!(self.method.as_str(), "GET" | "HEAD") {
                    sent.body = canary(people, "customer's body").into_bytes();
                }
                vec![sent]
            }
            _ => return None,
        })
    }

    fn another(&self, id: &str, people: &People<'_>) -> Self {
        let all = operations(&people.world.document);
        all.into_iter().find(|it| it.id == id).unwrap()
    }
}

/// The three forms of a value, each in a slot of its own.
fn puts(people: &People<'_>) -> [(&'static str, Value); 3] {
    let text = canary(people, "text secret");
    let json = json!({"user": canary(people, "user in a JSON secret"), "password": canary(people, "password in a JSON secret")});
    let bytes = bytes_secret(people);
    let base64 = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, &bytes);
    [
        (
            "text",
            json!({"value": text, "policy": policy(people, json!({"header": "authorization", "format": "Bearer {secret}"}))}),
        ),
        (
            "bytes",
            json!({"value_base64": base64, "policy": policy(people, json!({"query": "k"}))}),
        ),
        (
            "json",
            json!({"value_json": json, "policy": policy(people, json!({"basic": {"username": "someone"}}))}),
        ),
    ]
}

fn bytes_secret(people: &People<'_>) -> Vec<u8> {
    let mut bytes = b"\x00\xff\x80canary of bytes ".to_vec();
    bytes.extend_from_slice(format!("{:?}", people.edge).as_bytes());
    bytes.extend_from_slice(b"\x01\xfe\xc3\x28\x7f\x00\x10\x20\xf0\x9f");
    people
        .world
        .canary(&format!("bytes secret over {:?}", people.edge), &bytes);
    bytes
}

/// A use with the customer's own data in it.
fn outbound(people: &People<'_>) -> Value {
    let query = encoded(&canary(people, "customer's query"));
    json!({
        "request": {
            "method": "POST",
            "url": format!("http://{}/v1/things?q={query}", people.world.upstream),
            "headers": {"x-customer": canary(people, "customer's header")},
            "body": canary(people, "customer's body"),
        },
        "timeout_ms": 20_000,
    })
}

/// Every operation, at its best; the secrets and the customer's data arrive.
pub(crate) async fn successes(people: &People<'_>) {
    let world = people.world;
    let all = operations(&world.document);
    let unbound = all
        .iter()
        .filter(|it| it.id == "checkKey" || it.id == "putSecret");
    for operation in unbound {
        for sent in operation.good(people).await.unwrap() {
            let answer = operation.send(people, "before a key is bound", &sent).await;
            if answer.header("byok-error") != "no_workspace_key" {
                world.wrong(format!("{} needs no key", operation.id));
            }
        }
    }
    // What the others need comes first.
    let first = ["bindKey", "putSecret"].map(|id| all.iter().find(|it| it.id == id).unwrap());
    let rest = all
        .iter()
        .filter(|it| !first.iter().any(|one| one.id == it.id));
    for operation in first.into_iter().chain(rest) {
        let Some(requests) = operation.good(people).await else {
            continue;
        };
        for sent in requests {
            operation.check_body(people, &sent);
            let answer = operation.send(people, "a success", &sent).await;
            if !answer.status.is_success() {
                let code = answer.header("byok-error");
                world.wrong(format!("{} does not succeed: {code}", operation.id));
            } else {
                let id = format!("{:?} {}", people.edge, operation.id);
                world.visited.lock().unwrap().insert(id);
            }
            if operation.is_via() || operation.id == "useSecret" {
                arrived(people, operation, &answer, &sent, &world.seen());
            }
        }
    }
}

/// Without this the test would hold for a broker that does nothing.
fn arrived(
    people: &People<'_>,
    operation: &Operation,
    answer: &Answer,
    sent: &Sent,
    seen: &[Seen],
) {
    let wrong = |what: &str| people.world.wrong(format!("{}: {what}", operation.id));
    let [seen] = seen else {
        return wrong("the upstream was not asked once");
    };
    let puts = puts(people);
    let text = puts[0].1["value"].as_str().unwrap();
    let json = format!("someone:{}", puts[2].1["value_json"]);
    let basic = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, json);
    let authorization = seen
        .headers
        .get("authorization")
        .map(|value| value.as_bytes());
    let percent: String = bytes_secret(people)
        .iter()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(*b).to_string(),
            b => format!("%{b:02X}"),
        })
        .collect();
    let there = authorization == Some(format!("Bearer {text}").as_bytes())
        || authorization == Some(format!("Basic {basic}").as_bytes())
        || seen
            .uri
            .query()
            .is_some_and(|query| query.contains(&percent));
    if !there {
        wrong("the secret did not arrive");
    }
    let header = canary(people, "customer's header");
    let data = seen
        .headers
        .get("x-customer")
        .is_some_and(|value| value == header.as_str());
    let body = matches!(sent.method.as_str(), "GET" | "HEAD")
        || seen.body == canary(people, "customer's body");
    if !(data && body && seen.uri.query().is_some()) {
        wrong("the customer's data did not arrive");
    }
    let told = match operation.is_via() {
        true => String::from_utf8_lossy(&answer.body).into_owned(),
        false => answer.json()["body"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
    };
    if operation.method != "HEAD" && told != ANSWER {
        wrong("the upstream's answer did not come back");
    }
}

/// Every operation, at its worst.
pub(crate) async fn failures(people: &People<'_>, stranger: &People<'_>) {
    let world = people.world;
    let all = operations(&world.document);
    let make = all[0].another("makeToken", people);
    let sent = make.request(people, "", Some(json!({"permissions": ["reveal_secrets"]})));
    let made = make.send(people, "without powers", &sent).await.json();
    let powerless = made["token"].as_str().unwrap_or_default().to_owned();
    for operation in &all {
        let good = operation.good(people).await.into_iter().flatten().next();
        let Some(good) = good else { continue };
        strangers(people, stranger, operation, &good, &powerless).await;
        malformed(people, operation, &good).await;
    }
    states(people, &all).await;
    special(people, &all).await;
    let _ = world.seen();
}

/// Tokens that are absent, unknown, another's, or without the permission.
async fn strangers(
    people: &People<'_>,
    stranger: &People<'_>,
    operation: &Operation,
    good: &Sent,
    powerless: &str,
) {
    let edge = match people.edge {
        Edge::Http => "h",
        Edge::Lambda => "l",
    };
    let unknown = format!("byok_{}_{}A", people.workspace, "Zq9".repeat(14));
    let basic =
        base64::Engine::encode(&base64::prelude::BASE64_STANDARD, format!("user:{unknown}"));
    people
        .world
        .canary(&format!("unknown token {edge}"), &unknown);
    let cases = [
        ("without a token", vec![], "unauthenticated"),
        (
            "an unknown token",
            vec![("authorization", format!("Bearer {unknown}"))],
            "unauthenticated",
        ),
        (
            "an unknown token in Basic",
            vec![("authorization", format!("Basic {basic}"))],
            "unauthenticated",
        ),
        (
            "two tokens",
            vec![
                ("authorization", format!("Bearer {}", people.token)),
                ("x-api-key", unknown.clone()),
            ],
            "unauthenticated",
        ),
        (
            "a malformed token",
            vec![("authorization", format!("Bearer {unknown}="))],
            "unauthenticated",
        ),
        (
            "a stranger's token",
            vec![("x-api-key", stranger.token.clone())],
            "not_found",
        ),
        (
            "a token without powers",
            vec![("authorization", format!("Bearer {powerless}"))],
            "not_found",
        ),
    ];
    for (kind, headers, code) in cases {
        let sent = Sent {
            headers,
            ..good.clone()
        };
        let answer = operation.send(people, kind, &sent).await;
        if answer.header("byok-error") != code {
            people
                .world
                .wrong(format!("{}, {kind}: not {code}", operation.id));
        }
    }
    let mut brewed = good.clone();
    brewed.method = "BREW".to_owned();
    let answer = people
        .send(&format!("{}, another method", operation.id), &brewed)
        .await;
    let code = answer.header("byok-error").to_owned();
    people.world.answered.lock().unwrap().insert(code);
}

/// Canaries where something else must be.
async fn malformed(people: &People<'_>, operation: &Operation, good: &Sent) {
    let wrong = canary(people, "something in the wrong place");
    let elsewhere = format!("http://127.0.0.2:9/?q={}", encoded(&wrong));
    // More than any of them takes, but for a use, which may carry a large body itself.
    let size = match operation.is_via() {
        true => 6 * 1024 * 1024 + 64 * 1024,
        false => 600 * 1024,
    };
    let repeated = wrong.repeat(size / wrong.len());
    let bodies = [
        format!("{{\"value\":\"{wrong}"),
        format!("{wrong}{{}}"),
        json!([wrong]).to_string(),
        json!({"value": {"a": wrong}, "policy": wrong, "request": wrong, "permissions": wrong, "key": wrong}).to_string(),
        json!({"value": wrong, "policy": {"destinations": [{"url": format!("http://{wrong}")}]}}).to_string(),
        json!({"value": wrong, "policy": {"inject": {"header": wrong, "format": wrong}}, "expires_at": wrong}).to_string(),
        json!({"value": wrong, "value_json": wrong, "policy": {}}).to_string(),
        json!({"value_base64": wrong, "policy": {}}).to_string(),
        json!({"request": {"method": wrong, "url": wrong}}).to_string(),
        json!({"request": {"method": "GET", "url": elsewhere}}).to_string(),
        json!({"request": {"method": "GET", "url": "http://x/", "headers": {"x": format!("{wrong}\n")}}}).to_string(),
        json!({"request": {"method": "GET", "url": "http://x/", "body_base64": wrong}}).to_string(),
        json!({"request": {"method": "GET", "url": "http://x/"}, "version": wrong, "timeout_ms": wrong}).to_string(),
        json!({"permissions": [wrong]}).to_string(),
        json!({"permissions": ["read"], "secrets": [wrong]}).to_string(),
        json!({"permissions": ["read"], "label": format!("{wrong}\n"), "expires_at": wrong}).to_string(),
        json!({"key": format!("arn:aws:kms:eu-west-1:111122223333:key/{wrong}")}).to_string(),
        json!({"key": people.key, "grant_tokens": wrong}).to_string(),
        repeated,
    ];
    let last = bodies.len() - 1;
    for (number, body) in bodies.into_iter().enumerate() {
        // What the pass-through is given is the upstream's to judge, if it is not too large.
        let takes = operation.described["requestBody"].is_object();
        if !takes || operation.is_via() && (number != last || operation.method == "HEAD") {
            continue;
        }
        let sent = Sent {
            body: body.into_bytes(),
            ..good.clone()
        };
        let kind = format!("malformed body {number}");
        let answer = operation.send(people, &kind, &sent).await;
        if answer.status.is_success() {
            people
                .world
                .wrong(format!("{}, {kind}: succeeds", operation.id));
        }
    }
    for name in ["after", "limit", "day", "version", "format", "other"] {
        let sent = Sent {
            query: format!("{name}={}", encoded(&wrong)),
            ..good.clone()
        };
        operation
            .send(people, &format!("a malformed {name}"), &sent)
            .await;
    }
    for name in [
        "if-match",
        "if-none-match",
        "idempotency-key",
        "cookie",
        "content-type",
    ] {
        let mut sent = good.clone();
        sent.headers.push((name, wrong.clone()));
        operation
            .send(people, &format!("a canary as {name}"), &sent)
            .await;
    }
    if operation.path.contains("{name}") {
        let mut sent = good.clone();
        for name in ["/text", "/bytes", "/json"] {
            sent.path = sent.path.replace(name, &format!("/{}", encoded(&wrong)));
        }
        operation.send(people, "a canary as the name", &sent).await;
    }
    let mut sent = good.clone();
    sent.path = format!("/{}", encoded(&wrong));
    people.send("a path that leads nowhere", &sent).await;
}

/// The customer's KMS says no, or nothing.
async fn states(people: &People<'_>, all: &[Operation]) {
    let kms = &people.world.stack.kms;
    let asks = [
        "bindKey",
        "checkKey",
        "putSecret",
        "showSecret",
        "useSecret",
        "passThroughPost",
    ];
    let all_at_once = async |kind: &str, code: &str| {
        let asking = all.iter().filter(|it| asks.contains(&it.id.as_str()));
        join_all(asking.map(async |operation| {
            let good = operation.good(people).await.unwrap().remove(0);
            let answer = operation.send(people, kind, &good).await;
            let shows = operation.id == "showSecret" && answer.status.is_success();
            if answer.header("byok-error") != code && !shows {
                people
                    .world
                    .wrong(format!("{}, {kind}: not {code}", operation.id));
            }
        }))
        .await;
    };
    people.customer.revoke_all(&people.key).unwrap();
    all_at_once("the grant is gone", "key_access_denied").await;
    people.grant();
    kms.inject(Fault::always("*", FaultKind::Throttle));
    all_at_once("KMS throttles", "kms_throttled").await;
    kms.clear_faults();
}

/// What needs a preparation of its own.
async fn special(people: &People<'_>, all: &[Operation]) {
    let world = people.world;
    let find = |id: &str| all.iter().find(|it| it.id == id).unwrap();
    let (put, used) = (find("putSecret"), find("useSecret"));
    let fails = async |operation: &Operation, sent: &Sent, code: &str| {
        let answer = operation.send(people, code, sent).await;
        if answer.header("byok-error") != code {
            world.wrong(format!("{}: not {code}", operation.id));
        }
    };
    let [(_, text), ..] = puts(people);
    let mut sent = put.request(people, "text", Some(text.clone()));
    sent.headers.push(("if-match", "\"4711\"".to_owned()));
    fails(put, &sent, "precondition_failed").await;
    // One key for two requests: its second is refused.
    let key = canary(people, "idempotency key");
    let mut sent = put.request(people, "twice", Some(text.clone()));
    sent.headers.push(("idempotency-key", key));
    put.send(people, "an idempotency key", &sent).await;
    put.send(people, "the same again", &sent).await;
    let mut other = text.clone();
    other["value"] = json!(canary(people, "another value under the same key"));
    sent.body = other.to_string().into_bytes();
    fails(put, &sent, "conflict").await;

    let mut late = text.clone();
    let end = OffsetDateTime::now_utc() + Duration::hours(1);
    late["expires_at"] = json!(end.format(&Rfc3339).unwrap());
    put.send(
        people,
        "to expire",
        &put.request(people, "late", Some(late)),
    )
    .await;
    world.moved.store(7200, Ordering::SeqCst);
    fails(
        used,
        &used.request(people, "late", Some(outbound(people))),
        "secret_expired",
    )
    .await;
    world.moved.store(0, Ordering::SeqCst);

    let mut lost = text;
    lost["policy"]["destinations"] = json!([{"url": "http://127.0.0.1:9/v1/"}]);
    put.send(
        people,
        "to be lost",
        &put.request(people, "lost", Some(lost)),
    )
    .await;
    let mut body = outbound(people);
    body["request"]["url"] = json!("http://127.0.0.1:9/v1/");
    fails(
        used,
        &used.request(people, "lost", Some(body)),
        "upstream_unreachable",
    )
    .await;
    fails(
        used,
        &used.request(people, "lost", Some(outbound(people))),
        "destination_denied",
    )
    .await;

    // A record in another's place.
    let place = |sk: &str| json!({"pk": {"S": format!("W#{}", people.workspace)}, "sk": {"S": sk}});
    let read = json!({"TableName": "broker", "Key": place("S#text"), "ConsistentRead": true});
    let mut item = world.table("GetItem", read).await["Item"].clone();
    item["sk"] = json!({"S": "S#moved"});
    world
        .table("PutItem", json!({"TableName": "broker", "Item": item}))
        .await;
    fails(
        used,
        &used.request(people, "moved", Some(outbound(people))),
        "integrity_failure",
    )
    .await;
    let moved = json!({"TableName": "broker", "Key": place("S#moved")});
    world.table("DeleteItem", moved).await;
}

/// The same successes through the runtime that a function has on AWS, and what is
/// no event at all: the runtime logs what it cannot read.
pub(crate) async fn under_the_runtime(people: &People<'_>) {
    let world = people.world;
    let function = Function::start(world.stack.router.clone()).await;
    let mut events = Vec::new();
    for operation in operations(&world.document) {
        for sent in operation.good(people).await.into_iter().flatten() {
            events.push((operation.id.clone(), event(&sent), 200..300));
        }
    }
    let wrong = canary(people, "something in the wrong place");
    let mut hostile = events[0]
        .1
        .replace("\"isBase64Encoded\":true", "\"isBase64Encoded\":1");
    hostile = hostile.replace(
        "\"body\":\"",
        &format!("\"body\":{}, \"x\":\"", json!(wrong)),
    );
    for text in [
        json!({"secret": wrong}).to_string(),
        json!(wrong).to_string(),
        hostile,
    ] {
        events.push(("no request".to_owned(), text, 400..500));
    }
    for (id, event, expected) in events {
        let what = format!("{id}, under the runtime");
        match function.invoke(event).await {
            Ok(answered) => {
                let answer = answer_of(&answered);
                if !expected.contains(&answer.status.as_u16()) {
                    world.wrong(format!("{what}: {}", answer.status));
                }
                let raw = answered.to_string();
                let kept = match answer.json()["token"].as_str() {
                    Some(token) => {
                        world.canary("a token made under the runtime", token);
                        told_once(&raw, token)
                    }
                    None => raw.into_bytes(),
                };
                world.keep(&what, kept);
            }
            Err(error) => {
                world.wrong(format!("{what}: the handler told the runtime of an error"));
                world.keep(&what, error.into_bytes());
            }
        }
    }
    let _ = world.seen();
}

/// The audit trail cannot be written: whoever stores an intent first does nothing.
pub(crate) async fn without_audit(people: &People<'_>) {
    if people.edge == Edge::Http {
        people
            .world
            .table("DeleteTable", json!({"TableName": "audit"}))
            .await;
    }
    down(
        people,
        "without the audit table",
        &["useSecret", "passThroughPost", "checkKey"],
        "audit_unavailable",
    )
    .await;
}

/// The table cannot be read: nobody is let in.
pub(crate) async fn without_table(people: &People<'_>) {
    if people.edge == Edge::Http {
        people
            .world
            .table("DeleteTable", json!({"TableName": "broker"}))
            .await;
    }
    let all = operations(&people.world.document);
    let ids: Vec<&str> = all.iter().map(|it| it.id.as_str()).collect();
    down(people, "without the table", &ids, "store_unavailable").await;
}

async fn down(people: &People<'_>, kind: &str, ids: &[&str], code: &str) {
    for operation in operations(&people.world.document) {
        // To revoke a token one would have to make it first.
        if !ids.contains(&operation.id.as_str()) || operation.id == "revokeToken" {
            continue;
        }
        for good in operation.good(people).await.into_iter().flatten() {
            let answer = operation.send(people, kind, &good).await;
            if answer.header("byok-error") != code {
                people
                    .world
                    .wrong(format!("{}, {kind}: not {code}", operation.id));
            }
        }
    }
}
