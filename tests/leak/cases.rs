//! What is sent that must succeed, for each operation of the document; and whether
//! what comes back is as the document says.

use crate::{
    people::{ANSWER, People, Seen, Sent, answer_of, event, secret_of, told_once},
    runtime::Function,
    schema,
};
use local::client::Answer;
use serde_json::{Value, json};

/// One operation of the document.
#[derive(Clone)]
pub(crate) struct Operation {
    pub(crate) id: String,
    pub(crate) path: String,
    pub(crate) described: Value,
    method: String,
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
pub(crate) fn canary(people: &People<'_>, kind: &str) -> String {
    let edge = people.edge;
    // Its beginning and its end tell whose it is.
    let text = format!("{edge:?}:{kind}+\"canary\\of/\"%41=&~<>{kind}:{edge:?}");
    people.world.canary(&format!("{kind} over {edge:?}"), &text);
    text
}

/// The same for a query, where it must be encoded.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02X}")).collect()
}

fn policy(people: &People<'_>, inject: Value) -> Value {
    let url = format!("http://{}/v1/", people.world.upstream);
    json!({"destinations": [{"url": url}], "inject": inject})
}

impl Operation {
    pub(crate) fn is_via(&self) -> bool {
        self.path.contains("/via/")
    }

    /// A request of it, with the first token.
    pub(crate) fn request(&self, people: &People<'_>, name: &str, body: Option<Value>) -> Sent {
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
    pub(crate) async fn send(&self, people: &People<'_>, kind: &str, sent: &Sent) -> Answer {
        let what = format!("{}, {kind}", self.id);
        let answer = match self.id.as_str() {
            "makeToken" => people.send_for_token(&what, sent).await,
            // The one route that tells a secret; what it tells is still found nowhere else.
            "revealSecret" => people.send_for_value(&what, sent).await,
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
            // What is not the broker's own is the upstream's, whatever its status.
            _ if self.is_via() && code.is_empty() => &responses["default"],
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
    pub(crate) async fn good(&self, people: &People<'_>) -> Option<Vec<Sent>> {
        let plain = |body| vec![self.request(people, "text", body)];
        Some(match self.id.as_str() {
            "bindKey" => plain(Some(json!({"key": people.key}))),
            "putSecret" => puts(people)
                .into_iter()
                .chain([revealable(people)])
                .map(|(name, body)| self.request(people, name, Some(body)))
                .collect(),
            "showKey" | "checkKey" | "showKeyPolicy" | "listSecrets" | "showSecret"
            | "listVersions" | "listAudit" | "listTokens" => plain(None),
            "deleteSecret" => {
                let put = self.another("putSecret", people);
                let [(_, text), ..] = puts(people);
                let sent = put.request(people, "to-be-deleted", Some(text));
                put.send(people, "to be deleted", &sent).await;
                vec![self.request(people, "to-be-deleted", None)]
            }
            "lintKeyPolicy" => plain(Some(json!({"statements": [], "grants": [{}]}))),
            "changePolicy" => {
                let [(_, text), ..] = puts(people);
                plain(Some(json!({"policy": text["policy"]})))
            }
            "actOnVersion" => self.on_versions(people).await?,
            "listRewraps" => plain(None),
            "startRewrap" => vec![self.start_once(people)],
            "showRewrap" => {
                let start = self.another("startRewrap", people);
                let sent = start.start_once(people);
                let started = start.send(people, "to be shown", &sent).await.json();
                vec![self.of_rewrap(people, started["id"].as_str()?)]
            }
            "pauseRewrap" | "resumeRewrap" => {
                let id = self.paused_rewrap(people).await?;
                vec![self.of_rewrap(people, &id)]
            }
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
            "revealSecret" => vec![self.request(people, "told", None)],
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

    /// A promotion and a revocation of versions that are put for it.
    async fn on_versions(&self, people: &People<'_>) -> Option<Vec<Sent>> {
        let put = self.another("putSecret", people);
        let [(_, text), ..] = puts(people);
        let sent = put.request(people, "text", Some(text));
        let mut actions = Vec::new();
        for action in ["promote", "revoke"] {
            let made = put.send(people, "to be acted on", &sent).await.json();
            let mut act = self.request(people, "text", None);
            let action = format!("{}:{action}", made["version"].as_u64()?);
            act.path = act.path.replace("{action}", &action);
            actions.push(act);
        }
        Some(actions)
    }

    /// A re-wrap that is one however often it is asked for.
    fn start_once(&self, people: &People<'_>) -> Sent {
        let mut sent = self.request(people, "", None);
        sent.headers.push(("idempotency-key", "once".to_owned()));
        sent
    }

    fn of_rewrap(&self, people: &People<'_>, id: &str) -> Sent {
        let mut sent = self.request(people, "", None);
        sent.path = sent.path.replace(&"A".repeat(43), id);
        sent
    }

    /// The id of a re-wrap that is paused: one that lives, or one that is started for it.
    /// It may be over before it can be paused; then there is another.
    async fn paused_rewrap(&self, people: &People<'_>) -> Option<String> {
        let [start, list, pause] =
            ["startRewrap", "listRewraps", "pauseRewrap"].map(|id| self.another(id, people));
        for _ in 0..20 {
            let sent = start.request(people, "", None);
            start.send(people, "to be paused", &sent).await;
            let sent = list.request(people, "", None);
            let listed = list.send(people, "to pause one", &sent).await.json();
            let id = listed["rewraps"][0]["id"].as_str()?.to_owned();
            let sent = pause.of_rewrap(people, &id);
            let paused = pause.send(people, "a pause", &sent).await;
            if paused.status.is_success() {
                return Some(id);
            }
        }
        None
    }

    pub(crate) fn another(&self, id: &str, people: &People<'_>) -> Self {
        let all = operations(&people.world.document);
        all.into_iter().find(|it| it.id == id).unwrap()
    }
}

/// The three forms of a value, each in a slot of its own.
pub(crate) fn puts(people: &People<'_>) -> [(&'static str, Value); 3] {
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

/// A secret that may be told to its caller, and goes nowhere.
fn revealable(people: &People<'_>) -> (&'static str, Value) {
    let edge = people.edge;
    let value = format!("a secret that its caller may be told over {edge:?}, and nobody else");
    people
        .world
        .canary(&format!("the secret to tell over {edge:?}"), &value);
    ("told", json!({"value": value, "policy": {"reveal": true}}))
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
pub(crate) fn outbound(people: &People<'_>) -> Value {
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
    echoed(people, &all).await;
}

/// An upstream that gives back what it was sent: the caller still does not see the secret.
async fn echoed(people: &People<'_>, all: &[Operation]) {
    let operation = all.iter().find(|it| it.id == "useSecret").unwrap();
    for name in ["text", "bytes", "json"] {
        let mut body = outbound(people);
        let url = body["request"]["url"].as_str().unwrap();
        body["request"]["url"] = json!(url.replace("/things", "/echo"));
        let sent = operation.request(people, name, Some(body));
        operation
            .send(people, "an upstream that echoes the secret", &sent)
            .await;
        if people.world.seen().len() != 1 {
            people.world.wrong("nothing was echoed");
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
                let body = answer.json();
                let kept = match (body["token"].as_str(), body["value"].as_str()) {
                    (Some(token), _) => {
                        world.canary("a token made under the runtime", secret_of(token));
                        told_once(&raw, token)
                    }
                    (None, Some(value)) if id == "revealSecret" => told_once(&raw, value),
                    _ => raw.into_bytes(),
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
