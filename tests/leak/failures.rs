//! What is sent that must fail: for each operation failures of every kind, with
//! canaries wherever a caller can put something.

use crate::{
    cases::{Operation, canary, encoded, operations, outbound, puts},
    people::{Edge, People, Sent, secret_of},
};
use futures_util::future::join_all;
use local_kms::{Fault, FaultKind};
use serde_json::json;
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

/// Every operation, at its worst.
pub(crate) async fn all(people: &People<'_>, stranger: &People<'_>) {
    let world = people.world;
    let all = operations(&world.document);
    let make = all[0].another("makeToken", people);
    let sent = make.request(people, "", Some(json!({"permissions": ["reveal_secrets"]})));
    let made = make.send(people, "without powers", &sent).await.json();
    let powerless = made["token"].as_str().unwrap_or_default().to_owned();
    // That one has the power to be told a secret; this one has not.
    let sent = make.request(people, "", Some(json!({"permissions": ["use_secrets"]})));
    let made = make.send(people, "without the power", &sent).await.json();
    let user = made["token"].as_str().unwrap_or_default().to_owned();
    for operation in &all {
        let good = operation.good(people).await.into_iter().flatten().next();
        let Some(good) = good else { continue };
        let powerless = match operation.id.as_str() {
            "revealSecret" => &user,
            _ => &powerless,
        };
        strangers(people, stranger, operation, &good, powerless).await;
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
        .canary(&format!("unknown token {edge}"), secret_of(&unknown));
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
    let repeated = wrong.repeat(600 * 1024 / wrong.len());
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
    for (number, body) in bodies.into_iter().enumerate() {
        // What the pass-through is given is the upstream's to judge.
        let takes = operation.described["requestBody"].is_object();
        if !takes || operation.is_via() {
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
        for name in ["/text", "/bytes", "/json", "/told"] {
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
        "revealSecret",
        "changePolicy",
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
        &["useSecret", "passThroughPost", "revealSecret", "checkKey"],
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
