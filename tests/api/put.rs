//! Putting a secret: forms, limits, versions, and what happens when two put at once.

use crate::world::{Tenant, World, code, holds, put_body};
use bytes::Bytes;
use futures_util::future::join_all;
use http::Request;
use http_body_util::Full;
use local::{Upstream, client::Answer};
use serde_json::{Value, json};
use std::collections::BTreeSet;

async fn put_with(tenant: &Tenant<'_>, header: (&str, &str), body: &Value) -> Answer {
    let request = Request::builder()
        .method("PUT")
        .uri(tenant.path("/secrets/thing"))
        .header("authorization", format!("Bearer {}", tenant.token))
        .header(header.0, header.1)
        .body(Full::new(Bytes::from(body.to_string())))
        .unwrap();
    tenant.world.send(request).await
}

#[tokio::test]
async fn a_put_answers_with_its_version_and_never_with_its_value() {
    let tenant = Tenant::new().await;
    let upstream = Upstream::start().await.unwrap();
    for version in 1..=3 {
        let put = tenant
            .put("thing", &format!("value-number-{version}"), &upstream)
            .await;
        let body = put.json();
        assert_eq!(
            (body["name"].as_str(), body["version"].as_u64()),
            (Some("thing"), Some(version))
        );
        assert_eq!(body["wrappedBy"], tenant.key);
        assert!(body["keyMaterialId"].is_string());
        assert_eq!(put.header("etag"), format!("\"{}\"", body["revision"]));
        assert!(!holds(&put.body, "value-number"));
    }
    for version in 1..=3 {
        let body =
            json!({"request": {"method": "GET", "url": upstream.url("/")}, "version": version});
        let used = tenant.call("POST", "/secrets/thing/use", Some(body)).await;
        assert_eq!(
            used.json()["receipt"]["version"],
            version,
            "{}",
            used.json()
        );
        assert_eq!(
            upstream.take()[0].header("authorization"),
            format!("Bearer value-number-{version}")
        );
    }
}

#[tokio::test]
async fn text_json_and_bytes_come_back_exactly() {
    let tenant = Tenant::new().await;
    let upstream = Upstream::start().await.unwrap();
    let policy = json!({"destinations": [{"url": upstream.url("/")}], "inject": {"query": "k"}});
    for (field, value, sent) in [
        (
            "value",
            json!("t\u{e9}xt with spaces & \"signs\""),
            "t%C3%A9xt%20with%20spaces%20%26%20%22signs%22",
        ),
        (
            "value_base64",
            json!("AAEC/wABAv8="),
            "%00%01%02%FF%00%01%02%FF",
        ),
        (
            "value_json",
            json!({"user": "a"}),
            "%7B%22user%22%3A%22a%22%7D",
        ),
    ] {
        let put = tenant
            .call(
                "PUT",
                "/secrets/thing",
                Some(json!({field: value, "policy": policy})),
            )
            .await;
        assert_eq!(put.status, 201, "{field}: {}", put.json());
        let used = tenant.use_once("thing", &upstream).await;
        assert_eq!(used.status, 200, "{}", used.json());
        assert_eq!(
            upstream.take()[0].uri.query(),
            Some(format!("k={sent}").as_str()),
            "{field}"
        );
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_put_is_said_by_field_and_never_by_value() {
    let tenant = Tenant::new().await;
    let canary = "canary-in-a-bad-put";
    for (body, field) in [
        (json!({"policy": {}}), "value"),
        (json!({"value": canary}), "policy"),
        (
            json!({"value": canary, "value_base64": "AAAA", "policy": {}}),
            "value",
        ),
        (json!({"value": [canary], "policy": {}}), "value"),
        (json!({"value": "", "policy": {}}), "value"),
        (
            json!({"value_base64": canary, "policy": {}}),
            "value_base64",
        ),
        (json!({"value": canary, "policy": canary}), "policy"),
        (
            json!({"value": canary, "policy": {"reveal": canary}}),
            "policy.reveal",
        ),
        (
            json!({"value": canary, "policy": {"destinations": [{"url": canary}]}}),
            "policy.destinations[0].url",
        ),
        (
            json!({"value": format!("{canary}\n"), "policy": {"destinations": [{"url": "https://api.example.com/"}]}}),
            "value",
        ),
        (json!({"value": canary, "policy": {"wat": 1}}), "policy.wat"),
        (
            json!({"value": canary, "policy": {}, "expires_at": canary}),
            "expires_at",
        ),
        (
            json!({"value": canary, "policy": {}, "expires_at": "2001-01-01T00:00:00Z"}),
            "expires_at",
        ),
        (
            json!({"value": "7 bytes", "policy": {"destinations": [{"url": "https://api.example.com/"}]}}),
            "value",
        ),
        (
            json!({"value": canary, "policy": {}, "expires_at": "9999-12-31T23:59:59-01:00"}),
            "expires_at",
        ),
        (
            json!({"value": canary, "policy": {}, "extra": canary}),
            "extra",
        ),
    ] {
        let refused = tenant
            .call("PUT", "/secrets/thing", Some(body.clone()))
            .await;
        assert_eq!(
            (refused.status.as_u16(), code(&refused)),
            (400, "invalid_request"),
            "{body}"
        );
        assert_eq!(refused.json()["field"], field, "{body}: {}", refused.json());
        assert!(!holds(&refused.body, canary), "{}", refused.json());
    }
    let bad_name = tenant
        .call(
            "PUT",
            "/secrets/Bad%20Name",
            Some(json!({"value": canary, "policy": {}})),
        )
        .await;
    assert_eq!(
        (bad_name.status.as_u16(), bad_name.json()["field"].as_str()),
        (400, Some("name"))
    );
    assert_eq!(
        tenant.call("GET", "/secrets/thing", None).await.status,
        404,
        "nothing was stored"
    );
}

#[tokio::test]
async fn a_value_has_up_to_64_kib() {
    let tenant = Tenant::new().await;
    let most = json!({"value": "x".repeat(64 * 1024), "policy": {}});
    assert_eq!(
        tenant
            .call("PUT", "/secrets/thing", Some(most))
            .await
            .status,
        201
    );
    let more = json!({"value": "x".repeat(64 * 1024 + 1), "policy": {}});
    let refused = tenant.call("PUT", "/secrets/thing", Some(more)).await;
    assert_eq!(
        (refused.status.as_u16(), code(&refused)),
        (413, "too_large")
    );
    let huge = json!({"value": "x".repeat(2 << 20), "policy": {}});
    let refused = tenant.call("PUT", "/secrets/thing", Some(huge)).await;
    assert_eq!(
        (refused.status.as_u16(), code(&refused)),
        (413, "too_large")
    );
}

#[tokio::test]
async fn before_a_key_is_bound_there_is_no_put() {
    let tenant = Tenant::unbound(World::shared()).await;
    let refused = tenant
        .call(
            "PUT",
            "/secrets/thing",
            Some(json!({"value": "value", "policy": {}})),
        )
        .await;
    assert_eq!(
        (refused.status.as_u16(), code(&refused)),
        (409, "no_workspace_key")
    );
}

#[tokio::test]
async fn a_put_repeated_with_its_idempotency_key_gets_the_same_answer_and_makes_nothing() {
    let tenant = Tenant::new().await;
    let upstream = Upstream::start().await.unwrap();
    let body = put_body("the-same-value", &upstream);
    let first = put_with(&tenant, ("idempotency-key", "one"), &body).await;
    assert_eq!(first.status, 201);
    let calls = tenant.world.events(&tenant.workspace).len();
    let again = put_with(&tenant, ("idempotency-key", "one"), &body).await;
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(
        tenant.world.events(&tenant.workspace).len(),
        calls,
        "a repetition makes no data key"
    );
    let different = put_with(
        &tenant,
        ("idempotency-key", "one"),
        &put_body("another-value", &upstream),
    )
    .await;
    assert_eq!(
        (different.status.as_u16(), code(&different)),
        (409, "conflict")
    );
    let second = put_with(&tenant, ("idempotency-key", "two"), &body).await;
    assert_eq!(second.json()["version"], 2);
    for key in ["", &"k".repeat(256)] {
        assert_eq!(
            put_with(&tenant, ("idempotency-key", key), &body)
                .await
                .status,
            400
        );
    }
}

#[tokio::test]
async fn many_puts_at_once_give_distinct_versions_or_clean_conflicts_and_lose_none() {
    let tenant = Tenant::new().await;
    let upstream = Upstream::start().await.unwrap();
    let puts = join_all((0..20).map(|number| {
        let body = put_body(&format!("value-of-put-{number}"), &upstream);
        let tenant = &tenant;
        async move {
            (
                number,
                tenant.call("PUT", "/secrets/thing", Some(body)).await,
            )
        }
    }))
    .await;
    let mut versions = BTreeSet::new();
    for (number, answer) in puts {
        if answer.status == 409 {
            assert_eq!(code(&answer), "conflict");
            continue;
        }
        assert_eq!(answer.status, 201, "{}", answer.json());
        let version = answer.json()["version"].as_u64().unwrap();
        assert!(
            versions.insert(version),
            "version {version} was given twice"
        );
        let body =
            json!({"request": {"method": "GET", "url": upstream.url("/")}, "version": version});
        let used = tenant.call("POST", "/secrets/thing/use", Some(body)).await;
        assert_eq!(used.status, 200, "{}", used.json());
        assert_eq!(
            upstream.take()[0].header("authorization"),
            format!("Bearer value-of-put-{number}")
        );
    }
    assert!(!versions.is_empty());
}

#[tokio::test]
async fn the_same_request_many_times_at_once_makes_one_version() {
    let tenant = Tenant::new().await;
    let upstream = Upstream::start().await.unwrap();
    let body = put_body("the-same-value", &upstream);
    let answers =
        join_all((0..8).map(|_| put_with(&tenant, ("idempotency-key", "once"), &body))).await;
    for answer in &answers {
        assert_eq!(
            (answer.status.as_u16(), &answer.body),
            (201, &answers[0].body),
            "{}",
            answer.json()
        );
    }
    assert_eq!(
        tenant.call("GET", "/secrets/thing", None).await.json()["version"],
        1
    );
}

#[tokio::test]
async fn preconditions_are_kept() {
    let tenant = Tenant::new().await;
    let upstream = Upstream::start().await.unwrap();
    let body = put_body("some-value", &upstream);
    assert_eq!(
        put_with(&tenant, ("if-match", "\"1\""), &body).await.status,
        412,
        "there is none yet"
    );
    let first = put_with(&tenant, ("if-none-match", "*"), &body).await;
    assert_eq!(first.status, 201);
    let refused = put_with(&tenant, ("if-none-match", "*"), &body).await;
    assert_eq!(
        (refused.status.as_u16(), code(&refused)),
        (412, "precondition_failed")
    );
    let tag = first.header("etag").to_owned();
    assert_eq!(
        put_with(&tenant, ("if-match", &tag), &body).await.status,
        201
    );
    assert_eq!(
        put_with(&tenant, ("if-match", &tag), &body).await.status,
        412
    );
    assert_eq!(
        put_with(&tenant, ("if-match", "nonsense"), &body)
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn secrets_are_listed_by_name_a_page_at_a_time() {
    let tenant = Tenant::new().await;
    let upstream = Upstream::start().await.unwrap();
    for name in ["c", "a", "b", "e", "d"] {
        tenant.put(name, "some-value", &upstream).await;
    }
    let mut names = Vec::new();
    let mut after = String::new();
    loop {
        let page = tenant
            .call("GET", &format!("/secrets?limit=2{after}"), None)
            .await
            .json();
        names.extend(
            page["secrets"]
                .as_array()
                .unwrap()
                .iter()
                .map(|secret| secret["name"].as_str().unwrap().to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(names, ["a", "b", "c", "d", "e"]);
    for query in [
        "?limit=0",
        "?limit=101",
        "?limit=x",
        "?after=NO",
        "?what=1",
        "?limit=1&limit=2",
    ] {
        assert_eq!(
            tenant
                .call("GET", &format!("/secrets{query}"), None)
                .await
                .status,
            400,
            "{query}"
        );
    }
}
